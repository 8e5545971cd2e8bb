//! Which of the 16,384 slots of a Redis Cluster a key lies in.

/// How many there are.
pub(super) const SLOTS: u16 = 16_384;

/// The slot of a key: a checksum of it, or of what stands between its first braces.
pub(super) fn slot_of(key: &[u8]) -> u16 {
    crc16(hashed_part(key)) % SLOTS
}

fn hashed_part(key: &[u8]) -> &[u8] {
    let find = |within: &[u8], wanted: u8| within.iter().position(|byte| *byte == wanted);
    let Some(open) = find(key, b'{') else {
        return key;
    };
    let behind = &key[open + 1..];
    match find(behind, b'}') {
        Some(length @ 1..) => &behind[..length],
        Some(0) | None => key,
    }
}

/// CRC16 as XMODEM has it: polynomial 0x1021, begun with 0.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |sum, byte| {
        (0..8).fold(sum ^ (u16::from(*byte) << 8), |sum, _| {
            let shifted = sum << 1;
            if sum & 0x8000 == 0 {
                shifted
            } else {
                shifted ^ 0x1021
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `CLUSTER KEYSLOT` tells them; the first is the check value of the specification.
    #[test]
    fn keys_have_the_slots_that_redis_gives_them() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
        let cases = [
            ("123456789", 12_739),
            ("", 0),
            ("foo", 12_182),
            ("{foo}", 12_182),
            ("{foo}.bar", 12_182),
            ("any{foo}{bar}", 12_182),
            ("foo{}{bar}", 8_363),
            ("foo{bar", slot_of(b"foo{bar")),
        ];
        for (key, slot) in cases {
            assert_eq!(slot_of(key.as_bytes()), slot, "{key}");
        }
    }
}
