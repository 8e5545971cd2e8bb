//! The id that the answer, the log and the page about one decision have in common.

use std::cell::Cell;
use std::ops::Deref;

use actix_web::http::header::HeaderValue;

use crate::store::sealing::random;

thread_local! {
    // Begun at random and counted on: unique enough to find a log line, and costs no system call.
    static NEXT: Cell<u64> = Cell::new(u64::from_ne_bytes(random()));
}

/// An id: 16 hexadecimal digits. Not a secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct DecisionId([u8; 16]);

impl DecisionId {
    /// As text.
    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("digits are ASCII")
    }

    /// As the value of a header.
    pub(super) fn header_value(&self) -> HeaderValue {
        HeaderValue::from_bytes(&self.0).expect("digits may stand in a header")
    }
}

impl Deref for DecisionId {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

/// A new id.
pub(super) fn next() -> DecisionId {
    let count = NEXT.with(|next| {
        let count = next.get();
        next.set(count.wrapping_add(1));
        count
    });
    let mut digits = [0; 16];
    let mut rest = scatter(count);
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(rest & 0xf) as usize];
        rest >>= 4;
    }
    DecisionId(digits)
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
        let ids: HashSet<_> = (0..10_000).map(|_| super::next()).collect();
        assert_eq!(ids.len(), 10_000);
        assert!(
            ids.iter()
                .all(|id| id.len() == 16 && id.header_value() == **id)
        );
    }
}
