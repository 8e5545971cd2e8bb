//! How often new keys may be fetched because a token asks for them: a token that names a key which nobody has costs its
//! sender nothing, and a fetch costs the provider something.

use std::time::Duration;

use tokio::time::Instant;

/// In this time…
const WINDOW: Duration = Duration::from_secs(30);

/// …so many fetches: one for whoever asks, and one more that is for tokens.
const FETCHES: usize = 2;

/// What asks for a fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asks {
    /// The token of a login in progress: it came from the provider.
    Token,
    /// A request that failed, or a logout token. Strangers can bring either about, with a code that some provider
    /// stumbles over, or a token that they made up; so they must not use up what tokens of logins need.
    Suspicion,
}

/// The fetches that were asked for.
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
    pub(super) fn request(&mut self, asks: Asks, attempts: u64, now: Instant) -> Option<u64> {
        if self.answered_by > attempts {
            return Some(self.answered_by);
        }
        let is_free =
            |taken: &Option<Instant>| taken.is_none_or(|at| now.duration_since(at) >= WINDOW);
        if asks == Asks::Suspicion && !self.taken.iter().all(is_free) {
            return None;
        }
        let free = self.taken.iter_mut().find(|taken| is_free(taken))?;
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
            let number = budget.request(Asks::Token, attempts, now);
            assert_eq!(number, expected, "after {after} s");
        }
    }

    #[test]
    fn requests_that_fail_leave_a_fetch_to_tokens() {
        let start = Instant::now();
        let mut budget = KeyBudget::default();
        #[rustfmt::skip]
        let cases = [
            // after s, who asks, fetches that ended, expected
            (0,  Asks::Suspicion, 1, Some(2)),
            (0,  Asks::Suspicion, 1, Some(2)), // the same one
            (1,  Asks::Suspicion, 2, None),
            (2,  Asks::Token,     2, Some(3)),
            (3,  Asks::Token,     3, None),
            (30, Asks::Suspicion, 3, None),    // the other one is 28 s old
            (32, Asks::Suspicion, 3, Some(4)),
            (33, Asks::Token,     4, Some(5)),
            (34, Asks::Suspicion, 5, None),
        ];
        for (after, asks, attempts, expected) in cases {
            let now = start + Duration::from_secs(after);
            let number = budget.request(asks, attempts, now);
            assert_eq!(number, expected, "after {after} s: {asks:?}");
        }
    }
}
