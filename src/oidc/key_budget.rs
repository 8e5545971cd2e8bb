//! How often new keys may be fetched because a token asks for them: a token that names a key which nobody has costs its
//! sender nothing, and a fetch costs the provider something.

use std::time::Duration;

use tokio::time::Instant;

/// In this time…
const WINDOW: Duration = Duration::from_secs(30);

/// …so many fetches: one, and one more since what asks is a login in progress, whose token came from the provider.
const FETCHES: usize = 2;

/// The fetches that tokens asked for.
#[derive(Debug, Default)]
pub(super) struct KeyBudget {
    /// When the last ones were.
    taken: [Option<Instant>; FETCHES],
    /// The fetch that answers the last of them, counted as in `State::attempts`.
    answered_by: u64,
}

impl KeyBudget {
    /// The number of the fetch that will bring new keys when `attempts` have ended: one that is on its way already, or
    /// the next. `None` when it is too soon for one.
    pub(super) fn request(&mut self, attempts: u64, now: Instant) -> Option<u64> {
        if self.answered_by > attempts {
            return Some(self.answered_by);
        }
        let is_over =
            |taken: &&mut Option<Instant>| taken.is_none_or(|at| now.duration_since(at) >= WINDOW);
        let free = self.taken.iter_mut().find(is_over)?;
        *free = Some(now);
        self.answered_by = attempts + 1;
        Some(self.answered_by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_two_fetches_in_half_a_minute_and_everybody_shares_them() {
        let start = Instant::now();
        let mut budget = KeyBudget::default();
        #[rustfmt::skip]
        let cases = [
            // after s, fetches that ended, expected
            (0,  1, Some(2)),
            (0,  1, Some(2)), // the same one
            (1,  2, Some(3)),
            (2,  3, None),
            (29, 3, None),
            (30, 3, Some(4)),
            (30, 4, None),
            (31, 4, Some(5)),
            (59, 9, None),
            (90, 9, Some(10)),
        ];
        for (after, attempts, expected) in cases {
            let now = start + Duration::from_secs(after);
            assert_eq!(budget.request(attempts, now), expected, "after {after} s");
        }
    }
}
