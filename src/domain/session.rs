//! The session model: what one login is, how it is named, and how long it lives.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::authentication::{Authentication, Caller, InVain};
use crate::domain::identity::Identity;
use crate::domain::renewal::Renewal;
use crate::domain::time::Timestamp;

/// Names a session: 256 random bits. Whoever knows it is the session's owner, so it is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionId([u8; 32]);

impl SessionId {
    /// Takes 32 random bytes for a name.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, for a cookie or for hashing.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(..)")
    }
}

/// One login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Who signed in.
    pub identity: Identity,
    /// When.
    pub created: Timestamp,
    /// When the session was last noted to be in use; lags behind by up to a tenth of the idle time-out.
    pub seen: Timestamp,
    /// When the person last proved to the issuer who they are (`auth_time`), where it says so.
    pub auth_time: Option<Timestamp>,
    /// How (`amr`).
    pub amr: Vec<String>,
    /// The last step-up that led to no new session, because it met its policies no more than this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_vain: Option<InVain>,
    /// The issuer's own name for its session (`sid`), where it has one.
    pub sid: Option<String>,
    /// When its tokens are to be renewed. `None` where an earlier version wrote it, without any that could be.
    #[serde(default)]
    pub renewal: Option<Renewal>,
}

impl Session {
    /// Whose it is, and how they proved it, as seen at `now`.
    #[must_use]
    pub fn caller(&self, now: Timestamp) -> Caller<'_> {
        let in_vain = self.in_vain.as_ref();
        Caller {
            identity: &self.identity,
            authentication: Authentication {
                in_vain: in_vain.map_or(&[], |in_vain| in_vain.policies_at(now)),
                ..Authentication::new(self.auth_time, &self.amr, now)
            },
        }
    }
}

/// How far the clocks of replicas may differ.
pub(crate) const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// How long sessions live. Both limits are enforced on the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionLifetime {
    /// Without being used.
    pub idle: Duration,
    /// In all.
    pub absolute: Duration,
}

impl SessionLifetime {
    /// When `session` ends if nobody uses it from now on.
    #[must_use]
    pub fn end_of(&self, session: &Session) -> Timestamp {
        let idle = session.seen.plus(self.idle);
        let absolute = session.created.plus(self.absolute);
        idle.min(absolute)
    }

    /// Whether `session` lives. One that began, or was used, later than now was written by a clock that was
    /// ahead, and would outlive its limits.
    #[must_use]
    pub fn is_live(&self, session: &Session, now: Timestamp) -> bool {
        let latest = now.plus(CLOCK_SKEW);
        session.created <= latest && session.seen <= latest && now < self.end_of(session)
    }

    /// Whether its use is worth noting: at most once per tenth of the idle time-out.
    #[must_use]
    pub fn is_touch_due(&self, session: &Session, now: Timestamp) -> bool {
        now.since(session.seen) >= self.idle / 10
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip] // the columns are the point
    fn sessions_end_when_idle_and_at_last() {
        let lifetime = SessionLifetime {
            idle: Duration::from_secs(100),
            absolute: Duration::from_secs(1_000),
        };
        let cases = [
            // created, seen, now, live, touch due
            (1_000, 1_000, 1_000, true,  false),
            (1_000, 1_000, 1_009, true,  false),
            (1_000, 1_000, 1_010, true,  true),
            (1_000, 1_000, 1_099, true,  true),
            (1_000, 1_000, 1_100, false, true),
            (1_000, 1_950, 1_999, true,  true),
            (1_000, 1_999, 2_000, false, false),
            (1_000, 1_000, 940,   true,  false), // replicas differ by a little
            (1_000, 1_000, 900,   false, false), // the clock was ahead: nothing lives longer for it
        ];
        for (created, seen, now, live, touch) in cases {
            let session = Session {
                identity: Identity {
                    issuer: String::new(),
                    subject: String::new(),
                    username: None,
                    name: None,
                    email: None,
                    groups: Vec::new(),
                },
                created: Timestamp::from_seconds(created),
                seen: Timestamp::from_seconds(seen),
                auth_time: None,
                amr: Vec::new(),
                in_vain: None,
                sid: None,
                renewal: None,
            };
            let now = Timestamp::from_seconds(now);
            assert_eq!(lifetime.is_live(&session, now), live, "{created} {seen} {now:?}");
            assert_eq!(lifetime.is_touch_due(&session, now), touch, "{created} {seen} {now:?}");
        }
    }

    #[test]
    fn a_session_id_is_not_printed() {
        assert_eq!(
            format!("{:?}", SessionId::from_bytes([7; 32])),
            "SessionId(..)"
        );
    }

    /// The clock was a day ahead when the session began or was used, and was set right since.
    #[test]
    fn nothing_lives_longer_for_a_clock_that_was_ahead() {
        let day = 24 * 3_600;
        let lifetime = SessionLifetime {
            idle: Duration::from_secs(3_600),
            absolute: Duration::from_secs(day),
        };
        let session = |created, seen| Session {
            identity: Identity {
                issuer: String::new(),
                subject: String::new(),
                username: None,
                name: None,
                email: None,
                groups: Vec::new(),
            },
            created: Timestamp::from_seconds(created),
            seen: Timestamp::from_seconds(seen),
            auth_time: None,
            amr: Vec::new(),
            in_vain: None,
            sid: None,
            renewal: None,
        };
        let at = Timestamp::from_seconds;
        let start = 1_000_000;
        // Begun while the clock was a day ahead; then not used for two hours, with an idle time-out of one.
        let ahead = session(start + day, start + day);
        assert!(!lifetime.is_live(&ahead, at(start + 2 * 3_600)));
        // Used once while the clock was half a day ahead; then not for two hours.
        let touched = session(start, start + day / 2);
        assert!(!lifetime.is_live(&touched, at(start + 2 * 3_600)));
    }
}
