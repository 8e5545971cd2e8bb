//! Numbers that many threads change at once, none of them waiting for another: each thread has its own, and
//! whoever asks adds them up.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Threads beyond that many share, which costs them a little and spoils nothing.
const STRIPES: usize = 16;

static NEXT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static STRIPE: usize = NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES;
}

/// A `T` for each stripe of threads, made when it is first wanted.
pub(super) struct Striped<T>([OnceLock<Box<T>>; STRIPES]);

impl<T> Default for Striped<T> {
    fn default() -> Self {
        Self([const { OnceLock::new() }; STRIPES])
    }
}

impl<T: Default> Striped<T> {
    /// That of this thread.
    pub(super) fn mine(&self) -> &T {
        let stripe = STRIPE.with(|stripe| *stripe);
        self.0[stripe].get_or_init(Box::default)
    }

    /// All that were ever wanted.
    pub(super) fn all(&self) -> impl Iterator<Item = &T> {
        self.0.iter().filter_map(OnceLock::get).map(|own| &**own)
    }
}

impl<T> fmt::Debug for Striped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Striped(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;
    use std::thread;

    use super::*;

    #[test]
    fn nothing_is_lost_between_more_threads_than_stripes() {
        let counts: Striped<AtomicU64> = Striped::default();
        thread::scope(|scope| {
            for _ in 0..2 * STRIPES {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        counts.mine().fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        let all = counts.all().map(|count| count.load(Ordering::Relaxed));
        assert_eq!(all.sum::<u64>(), 2 * STRIPES as u64 * 10_000);
        assert!(counts.all().count() <= STRIPES);
    }
}
