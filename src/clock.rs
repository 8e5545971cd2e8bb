//! What time it is. Everything that asks for the time is handed a [`Clock`], so that tests can
//! bring their own and no test has to sleep.

use std::ops::Add;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

use crate::domain::time::Timestamp;

/// A source of the current time.
pub trait Clock: Send + Sync {
    /// The current time, in whole seconds since the Unix epoch.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        // A clock set before 1970 reads as the epoch: everything has then expired, nothing lives
        // longer than it should.
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        Timestamp::from_seconds(since_epoch.as_secs())
    }
}

/// A moment, told from others by how long ago it was. Unlike that of `std`, whose clock stands still on Linux while the
/// machine is suspended, this one counts that time too: what was heard before a laptop was closed is old when it is
/// opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant {
    /// Since the machine was started.
    up: Duration,
}

impl Instant {
    /// When the machine was started.
    pub const BOOT: Self = Self { up: Duration::ZERO };

    /// The current moment.
    #[must_use]
    pub fn now() -> Self {
        let time = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or_default();
        Self {
            up: Duration::new(seconds, nanoseconds),
        }
    }

    /// How long ago it was; nothing for what is yet to come.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        Self::now().saturating_duration_since(*self)
    }

    /// How long after `earlier` it is; nothing when it is before that.
    #[must_use]
    pub fn saturating_duration_since(&self, earlier: Self) -> Duration {
        self.up.saturating_sub(earlier.up)
    }

    /// So much earlier; `None` for what was before the machine was started.
    #[must_use]
    pub fn checked_sub(&self, by: Duration) -> Option<Self> {
        self.up.checked_sub(by).map(|up| Self { up })
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, by: Duration) -> Self {
        Self {
            up: self.up.saturating_add(by),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Time in which the machine was suspended counts as well.
    #[test]
    fn a_moment_is_told_by_how_long_the_machine_has_been_up() {
        let read = || {
            let text = std::fs::read_to_string("/proc/uptime").expect("a file");
            let seconds = text.split_whitespace().next().expect("two numbers");
            Duration::from_secs_f64(seconds.parse().expect("a number"))
        };
        let before = read();
        let now = Instant::now();
        let after = read();
        // The file tells hundredths.
        let hundredth = Duration::from_millis(10);
        assert!(now.up + hundredth >= before, "{now:?} {before:?}");
        assert!(now.up <= after + hundredth, "{now:?} {after:?}");
    }

    #[test]
    fn moments_are_told_apart() {
        let now = Instant::now();
        let later = now + Duration::from_secs(5);
        assert_eq!(later.saturating_duration_since(now), Duration::from_secs(5));
        assert_eq!(now.saturating_duration_since(later), Duration::ZERO);
        assert_eq!(later.elapsed(), Duration::ZERO);
        assert_eq!(later.checked_sub(Duration::from_secs(5)), Some(now));
        assert_eq!(now.checked_sub(Duration::MAX), None);
    }
}
