//! The id that the answer, the log and the page about one decision have in common.

use std::cell::Cell;

use crate::store::sealing::random;

thread_local! {
    // Begun at random and counted on: unique enough to find a log line, and costs no system call.
    static NEXT: Cell<u64> = Cell::new(u64::from_ne_bytes(random()));
}

/// A new id: 16 hexadecimal digits. Not a secret.
pub(super) fn next() -> String {
    let count = NEXT.with(|next| {
        let count = next.get();
        next.set(count.wrapping_add(1));
        count
    });
    format!("{:016x}", scatter(count))
}

/// One to one, so that counting never gives an id twice, but looks unlike its neighbours (the finaliser of
/// SplitMix64).
const fn scatter(count: u64) -> u64 {
    let x = count.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    #[test]
    fn ids_differ() {
        let ids: HashSet<String> = (0..10_000).map(|_| super::next()).collect();
        assert_eq!(ids.len(), 10_000);
        assert!(ids.iter().all(|id| id.len() == 16));
    }
}
