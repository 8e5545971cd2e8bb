//! When a session's tokens are renewed, and what it is worth while that is not done.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::session::{CLOCK_SKEW, Session};
use crate::domain::time::Timestamp;

/// How long an access token lives whose issuer does not say (RFC 6749 §5.1 recommends that it does).
const UNSAID_LIFETIME: Duration = Duration::from_secs(3_600);

/// No access token counts as one of less than this, so that an issuer's odd answer does not have one session renewed
/// without end.
const SHORTEST_LIFETIME: Duration = Duration::from_secs(10);

/// An access token is renewed when a fifth of its lifetime is left, but not sooner than five minutes before it lapses.
const DUE_SHARE: u32 = 5;
const DUE_AT_MOST: Duration = Duration::from_secs(300);

/// How long it is at least from one attempt that failed to the next.
const BETWEEN_ATTEMPTS: Duration = Duration::from_secs(10);

/// How long it is believed that renewing fails, after it did the last time. A request that comes later waits to be told:
/// the provider may be back, and have something to say.
const BELIEVED_TO_FAIL: Duration = Duration::from_secs(60);

/// What a session knows about its tokens: enough to tell, without looking at them, whether they are to be renewed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewal {
    /// Which tokens: those of the login are 0, and each renewal makes one more.
    pub serial: u64,
    /// Whether the issuer gave a refresh token with them.
    pub is_renewable: bool,
    /// When they came.
    pub issued: Timestamp,
    /// When the access token lapses.
    pub lapses: Timestamp,
    /// Since when renewing them fails, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<Timestamp>,
    /// When the last attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tried: Option<Timestamp>,
}

impl Renewal {
    /// Tokens that came at `now`, with an access token that lives for `expires_in`.
    #[must_use]
    pub fn of(
        serial: u64,
        is_renewable: bool,
        expires_in: Option<Duration>,
        now: Timestamp,
    ) -> Self {
        let lifetime = expires_in.unwrap_or(UNSAID_LIFETIME).max(SHORTEST_LIFETIME);
        Self {
            serial,
            is_renewable,
            issued: now,
            lapses: now.plus(lifetime),
            failing_since: None,
            tried: None,
        }
    }

    fn is_due(&self, now: Timestamp) -> bool {
        let lifetime = self.lapses.since(self.issued);
        let margin = (lifetime / DUE_SHARE).min(DUE_AT_MOST);
        // Tokens from the future come from a clock that was ahead: they would be renewed too late.
        now.plus(margin) >= self.lapses || self.issued > now.plus(CLOCK_SKEW)
    }

    fn is_lapsed(&self, now: Timestamp) -> bool {
        now >= self.lapses
    }

    /// Whether the last attempt failed a moment ago, by whatever replica's clock.
    fn is_paused(&self, now: Timestamp) -> bool {
        self.has_failed_within(BETWEEN_ATTEMPTS, now)
    }

    fn has_failed_within(&self, time: Duration, now: Timestamp) -> bool {
        let is_recent = |tried: Timestamp| tried <= now.plus(CLOCK_SKEW) && now < tried.plus(time);
        self.tried.is_some_and(is_recent)
    }
}

/// What becomes of a session whose issuer gives no refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WithoutRefresh {
    /// It lives for its own limits.
    #[default]
    Session,
    /// It ends when its access token lapses.
    Token,
}

/// What the configuration says about renewing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RenewalRules {
    /// How long a session is kept while renewing it fails.
    pub grace: Duration,
    /// What becomes of sessions that cannot be renewed.
    pub without_refresh: WithoutRefresh,
}

/// What a session is worth at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// There is nothing to do.
    Valid,
    /// It counts, and its tokens are to be renewed meanwhile.
    Due,
    /// Its tokens have lapsed: they have to be renewed first.
    Lapsed,
    /// It is over.
    Over,
}

impl RenewalRules {
    /// What `session` is worth at `now`.
    #[must_use]
    pub fn standing(&self, session: &Session, now: Timestamp) -> Standing {
        let unknown;
        let renewal = if let Some(renewal) = &session.renewal {
            renewal
        } else {
            // Written before there was such a thing.
            unknown = Renewal::of(0, false, None, session.created);
            &unknown
        };
        if !renewal.is_renewable {
            return match self.without_refresh {
                WithoutRefresh::Token if renewal.is_lapsed(now) => Standing::Over,
                WithoutRefresh::Token | WithoutRefresh::Session => Standing::Valid,
            };
        }
        if !renewal.is_due(now) {
            return Standing::Valid;
        }
        let is_in_grace = renewal.has_failed_within(BELIEVED_TO_FAIL, now)
            && self.failing_since(renewal, now).is_some()
            && self.is_kept(renewal, now);
        if renewal.is_lapsed(now) && !is_in_grace {
            Standing::Lapsed
        } else if renewal.is_paused(now) {
            Standing::Valid
        } else {
            Standing::Due
        }
    }

    /// Whether `session` counts although its tokens have lapsed and could not be renewed: nothing is known against it,
    /// and its grace is not over.
    #[must_use]
    pub fn outlasts_failure(&self, session: &Session, now: Timestamp) -> bool {
        let renewal = session.renewal.as_ref();
        renewal.is_none_or(|renewal| self.is_kept(renewal, now))
    }

    /// Whether an attempt may be made for `session` now.
    #[must_use]
    pub fn may_try(&self, session: &Session, now: Timestamp) -> bool {
        let renewal = session.renewal.as_ref();
        renewal.is_some_and(|it| it.is_renewable && it.is_due(now) && !it.is_paused(now))
    }

    /// `renewal`, after an attempt that failed at `now`.
    #[must_use]
    pub fn failed(&self, renewal: &Renewal, now: Timestamp) -> Renewal {
        let since = self.failing_since(renewal, now).unwrap_or(now);
        Renewal {
            // One that lies ahead was written by a clock that was ahead, and would prolong the grace.
            failing_since: Some(since.min(now)),
            tried: Some(now),
            ..renewal.clone()
        }
    }

    /// `renewal`, after it was seen at `now` that its tokens cannot be used at all. It says nothing about the provider, so
    /// the grace counts from when they lapse, whenever somebody looks.
    #[must_use]
    pub fn unusable(renewal: &Renewal, now: Timestamp) -> Renewal {
        Renewal {
            failing_since: Some(renewal.lapses.min(now)),
            tried: Some(now),
            ..renewal.clone()
        }
    }

    /// Since when renewing fails. A failure counts no more when nothing was tried for the whole grace after it: nobody
    /// used the session, and what failed before a pause says nothing about what comes after. So the grace of a session
    /// that is used at least once in that time is never prolonged.
    fn failing_since(&self, renewal: &Renewal, now: Timestamp) -> Option<Timestamp> {
        let since = renewal.failing_since?;
        let tried = renewal.tried.unwrap_or(since);
        (now < tried.plus(self.grace)).then_some(since)
    }

    fn is_kept(&self, renewal: &Renewal, now: Timestamp) -> bool {
        now < self
            .failing_since(renewal, now)
            .unwrap_or(now)
            .plus(self.grace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::identity::Identity;

    const START: u64 = 1_000_000;
    const HOUR: u64 = 3_600;
    const DAY: u64 = 24 * HOUR;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(START + seconds)
    }

    fn session(renewal: Option<Renewal>) -> Session {
        Session {
            identity: Identity {
                issuer: String::new(),
                subject: String::new(),
                username: None,
                name: None,
                email: None,
                groups: Vec::new(),
            },
            created: at(0),
            seen: at(0),
            auth_time: None,
            amr: Vec::new(),
            sid: None,
            renewal,
            in_vain: None,
        }
    }

    fn rules(grace: u64, without_refresh: WithoutRefresh) -> RenewalRules {
        RenewalRules {
            grace: Duration::from_secs(grace),
            without_refresh,
        }
    }

    #[test]
    #[rustfmt::skip] // the columns are the point
    fn tokens_are_due_some_time_before_they_lapse() {
        use Standing::{Due, Lapsed, Valid};
        let cases = [
            // expires_in, seconds later, standing
            (Some(HOUR),    0,               Valid),
            (Some(HOUR),    HOUR - 301,      Valid),
            (Some(HOUR),    HOUR - 300,      Due),
            (Some(HOUR),    HOUR - 1,        Due),
            (Some(HOUR),    HOUR,            Lapsed),
            (Some(HOUR),    DAY,             Lapsed),
            (Some(60),      47,              Valid),
            (Some(60),      48,              Due),
            (Some(60),      60,              Lapsed),
            // Absurdly short ones count as ten seconds.
            (Some(0),       7,               Valid),
            (Some(0),       8,               Due),
            (Some(1),       10,              Lapsed),
            (Some(365 * DAY), 365 * DAY - 301, Valid),
            (Some(u64::MAX), 400 * DAY,      Valid),
            // Nothing said: an hour.
            (None,          HOUR - 301,      Valid),
            (None,          HOUR,            Lapsed),
        ];
        let rules = rules(DAY, WithoutRefresh::Session);
        for (expires_in, later, expected) in cases {
            let renewal = Renewal::of(0, true, expires_in.map(Duration::from_secs), at(0));
            let session = session(Some(renewal));
            assert_eq!(rules.standing(&session, at(later)), expected, "{expires_in:?} {later}");
        }
    }

    #[test]
    #[rustfmt::skip]
    fn a_session_is_kept_while_renewing_fails_for_the_grace() {
        use Standing::{Due, Lapsed, Valid};
        let cases = [
            // grace, failing since, tried, now, standing, outlasts the failure
            (DAY, HOUR - 300, HOUR - 300, HOUR - 291,       Valid,  true),
            (DAY, HOUR - 300, HOUR - 300, HOUR - 290,       Due,    true),
            (DAY, HOUR - 300, HOUR - 5,   HOUR + 4,         Valid,  true),
            (DAY, HOUR - 300, HOUR - 5,   HOUR + 5,         Due,    true),
            (DAY, HOUR,       HOUR + DAY - 5, HOUR + DAY - 1, Valid, true),
            (DAY, HOUR,       HOUR + DAY - 15, HOUR + DAY - 1, Due, true),
            (DAY, HOUR,       HOUR + DAY - 5, HOUR + DAY,   Lapsed, false),
            // What failed a while ago may go well again: that is waited for, and the session still kept.
            (DAY, HOUR,       HOUR,       HOUR + 59,        Due,    true),
            (DAY, HOUR,       HOUR,       HOUR + 60,        Lapsed, true),
            (DAY, HOUR,       HOUR,       HOUR + DAY - 1,   Lapsed, true),
            (DAY, HOUR - 300, HOUR - 300, HOUR - 1,         Due,    true),
            // Nothing was tried for the whole grace: the next failure is a new one.
            (DAY, HOUR,       HOUR,       HOUR + DAY,       Lapsed, true),
            (DAY, HOUR,       HOUR + 1,   HOUR + DAY,       Lapsed, false),
            (DAY, HOUR,       HOUR + 1,   HOUR + DAY + 1,   Lapsed, true),
            (0,   HOUR - 300, HOUR - 300, HOUR - 295,       Valid,  false),
            (0,   HOUR,       HOUR,       HOUR + 5,         Lapsed, false),
            // Another replica's clock is ahead by a little; one that was a day ahead is not believed.
            (DAY, HOUR,       HOUR + 60,  HOUR,             Valid,  true),
            (DAY, HOUR,       HOUR + DAY, HOUR,             Lapsed, true),
        ];
        for (grace, since, tried, now, expected, outlasts) in cases {
            let renewal = Renewal {
                failing_since: Some(at(since)),
                tried: Some(at(tried)),
                ..Renewal::of(0, true, Some(Duration::from_secs(HOUR)), at(0))
            };
            let session = session(Some(renewal));
            let rules = rules(grace, WithoutRefresh::Session);
            assert_eq!(rules.standing(&session, at(now)), expected, "{grace} {since} {tried} {now}");
            assert_eq!(rules.outlasts_failure(&session, at(now)), outlasts, "{grace} {since} {now}");
        }
    }

    #[test]
    fn the_first_failure_counts_and_a_success_forgets_it() {
        let fresh = Renewal::of(3, true, None, at(0));
        let rules = rules(DAY, WithoutRefresh::Session);
        assert!(rules.outlasts_failure(&session(Some(fresh.clone())), at(400 * DAY)));
        let failed = rules.failed(&fresh, at(HOUR));
        let failed = rules.failed(&failed, at(HOUR + 10));
        assert_eq!(failed.failing_since, Some(at(HOUR)));
        assert_eq!((failed.tried, failed.serial), (Some(at(HOUR + 10)), 3));
        assert_eq!(failed.lapses, fresh.lapses);
        // The clock was set back: the grace is not longer for it.
        assert_eq!(rules.failed(&failed, at(60)).failing_since, Some(at(60)));
    }

    /// Whoever uses a session has it tried, and cannot prolong the grace by that; whoever comes after a long pause has
    /// the whole of it.
    #[test]
    fn a_failure_before_a_pause_uses_no_grace_up() {
        let rules = rules(DAY, WithoutRefresh::Session);
        let mut renewal = rules.failed(&Renewal::of(0, true, None, at(0)), at(HOUR));
        for pause in [10, 60, HOUR, DAY - 1] {
            let now = renewal
                .tried
                .expect("it was tried")
                .plus(Duration::from_secs(pause));
            renewal = rules.failed(&renewal, now);
            assert_eq!(renewal.failing_since, Some(at(HOUR)), "{pause}");
        }
        let later = renewal
            .tried
            .expect("it was tried")
            .plus(Duration::from_secs(DAY));
        renewal = rules.failed(&renewal, later);
        assert_eq!(renewal.failing_since, Some(later));
        assert!(rules.outlasts_failure(&session(Some(renewal)), later));
    }

    /// No pause prolongs the time of a session whose tokens do not open.
    #[test]
    fn what_cannot_be_renewed_at_all_is_kept_for_one_grace() {
        let rules = rules(DAY, WithoutRefresh::Session);
        let fresh = Renewal::of(0, true, Some(Duration::from_secs(HOUR)), at(0));
        for (now, kept) in [
            (HOUR - 300, true),
            (HOUR + DAY - 1, true),
            (HOUR + DAY, false),
            (9 * DAY, false),
        ] {
            let unusable = session(Some(RenewalRules::unusable(&fresh, at(now))));
            assert_eq!(rules.outlasts_failure(&unusable, at(now)), kept, "{now}");
        }
    }

    #[test]
    #[rustfmt::skip]
    fn attempts_are_for_what_is_due_and_ten_seconds_apart() {
        let fresh = Renewal::of(0, true, Some(Duration::from_secs(HOUR)), at(0));
        let failed = rules(DAY, WithoutRefresh::Token).failed(&fresh, at(HOUR));
        let fixed = Renewal { is_renewable: false, ..fresh.clone() };
        let cases = [
            ("not due",           Some(&fresh),  HOUR - 301, false),
            ("due",               Some(&fresh),  HOUR - 300, true),
            ("lapsed",            Some(&fresh),  DAY,        true),
            ("failed just now",   Some(&failed), HOUR + 9,   false),
            ("failed before",     Some(&failed), HOUR + 10,  true),
            ("no refresh token",  Some(&fixed),  DAY,        false),
            ("of an old version", None,          DAY,        false),
        ];
        for (what, renewal, now, expected) in cases {
            let session = session(renewal.cloned());
            let rules = rules(DAY, WithoutRefresh::Token);
            assert_eq!(rules.may_try(&session, at(now)), expected, "{what}");
        }
    }

    #[test]
    #[rustfmt::skip]
    fn a_session_without_a_refresh_token_lives_as_configured() {
        use Standing::{Over, Valid};
        let fixed = Some(Renewal::of(0, false, Some(Duration::from_secs(60)), at(0)));
        let cases = [
            (&fixed, WithoutRefresh::Session, 400 * DAY, Valid),
            (&fixed, WithoutRefresh::Token,   59,        Valid),
            (&fixed, WithoutRefresh::Token,   60,        Over),
            (&None,  WithoutRefresh::Session, 400 * DAY, Valid),
            (&None,  WithoutRefresh::Token,   HOUR - 1,  Valid),
            (&None,  WithoutRefresh::Token,   HOUR,      Over),
        ];
        for (renewal, without_refresh, now, expected) in cases {
            let session = session(renewal.clone());
            let standing = rules(DAY, without_refresh).standing(&session, at(now));
            assert_eq!(standing, expected, "{renewal:?} {without_refresh:?} {now}");
        }
    }

    #[test]
    fn tokens_from_the_future_are_due() {
        let ahead = Renewal::of(0, true, Some(Duration::from_secs(HOUR)), at(DAY));
        let rules = rules(DAY, WithoutRefresh::Session);
        assert_eq!(rules.standing(&session(Some(ahead)), at(0)), Standing::Due);
    }
}
