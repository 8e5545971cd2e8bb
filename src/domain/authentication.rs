//! How, and how long ago, somebody proved to the issuer who they are, and what a policy asks of that. Who does not
//! meet it is sent through the issuer once more: a step-up.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::identity::Identity;
use crate::domain::time::Timestamp;

/// How far the issuer's clock may be from ours. A sign-in counts as recent for so much longer than a policy says.
pub const LEEWAY: Duration = Duration::from_secs(60);

/// For how long a step-up that came back unmet is not tried again by itself.
const IN_VAIN_FOR: Duration = Duration::from_secs(300);

/// The proof that somebody gave of who they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Authentication<'a> {
    /// How long ago that was (by `auth_time`, OIDC Core §2); `None` where the issuer does not say, or names a time
    /// that is still to come.
    pub age: Option<Duration>,
    /// How it was given (`amr`, RFC 8176).
    pub methods: &'a [String],
    /// Policies, by name, that a step-up was made for a moment ago, and that it did not meet.
    pub in_vain: &'a [String],
}

/// Somebody who is signed in: who, and how they proved it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller<'a> {
    /// Who.
    pub identity: &'a Identity,
    /// How.
    pub authentication: Authentication<'a>,
}

/// Somebody of whom it is not known how they proved it.
impl<'a> From<&'a Identity> for Caller<'a> {
    fn from(identity: &'a Identity) -> Self {
        Self {
            identity,
            authentication: Authentication::default(),
        }
    }
}

impl<'a> Authentication<'a> {
    /// The proof that the issuer says it got at `time`, as seen at `now`.
    #[must_use]
    pub fn new(time: Option<Timestamp>, methods: &'a [String], now: Timestamp) -> Self {
        let time = time.filter(|time| *time <= now.plus(LEEWAY));
        Self {
            age: time.map(|time| now.since(time)),
            methods,
            in_vain: &[],
        }
    }

    /// Whether it was given within `max_age`, give or take [`LEEWAY`].
    #[must_use]
    pub fn is_within(&self, max_age: Duration) -> bool {
        self.age
            .is_some_and(|age| age <= max_age.saturating_add(LEEWAY))
    }

    /// Whether it was given in one of these ways.
    #[must_use]
    pub fn is_by_one_of(&self, methods: &[String]) -> bool {
        methods.iter().any(|method| self.methods.contains(method))
    }
}

/// A step-up that came back, and met the policies no more than before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InVain {
    /// The names of the policies.
    pub policies: Vec<String>,
    /// When.
    pub at: Timestamp,
}

impl InVain {
    /// The policies, while it was a moment ago.
    #[must_use]
    pub fn policies_at(&self, now: Timestamp) -> &[String] {
        let recent = self.at <= now.plus(LEEWAY) && now.since(self.at) < IN_VAIN_FOR;
        if recent { &self.policies } else { &[] }
    }
}

/// What a step-up asks for: as much as all the policies together that it is for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StepUp {
    /// The proof must have been given within this.
    pub max_age: Option<Duration>,
    /// The ways that would do, of each policy that names some.
    pub methods: Vec<String>,
}

impl StepUp {
    /// Asks for this as well.
    #[must_use]
    pub fn and(mut self, max_age: Option<Duration>, methods: &[String]) -> Self {
        self.max_age = self.max_age.into_iter().chain(max_age).min();
        for method in methods {
            if !self.methods.contains(method) {
                self.methods.push(method.clone());
            }
        }
        self
    }
}

/// A time, as people say it: in the largest unit that it is a whole number of.
#[derive(Debug, Clone, Copy)]
pub struct InWords(pub Duration);

impl fmt::Display for InWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let units = [
            (86_400, "day"),
            (3_600, "hour"),
            (60, "minute"),
            (1, "second"),
        ];
        let whole =
            |(length, _): &(u64, &str)| seconds >= *length && seconds.is_multiple_of(*length);
        let (length, unit) = units.into_iter().find(whole).unwrap_or((1, "second"));
        match seconds / length {
            1 => write!(f, "1 {unit}"),
            count => write!(f, "{count} {unit}s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip] // the columns are the point
    fn a_sign_in_is_recent_for_so_long() {
        let at = Timestamp::from_seconds;
        let now = 10_000;
        let cases = [
            // auth_time, its age, within 900 s
            (None,         None,        false),
            (Some(0),      Some(10_000), false),
            (Some(9_039),  Some(961),   false),
            (Some(9_040),  Some(960),   true), // the leeway's end
            (Some(9_100),  Some(900),   true),
            (Some(10_000), Some(0),     true),
            (Some(10_060), Some(0),     true), // the issuer's clock is ahead
            (Some(10_061), None,        false),
            (Some(u64::MAX), None,      false),
        ];
        for (time, age, within) in cases {
            let found = Authentication::new(time.map(at), &[], at(now));
            assert_eq!(found.age.map(|age| age.as_secs()), age, "{time:?}");
            assert_eq!(found.is_within(Duration::from_secs(900)), within, "{time:?}");
        }
        let ancient = Authentication::new(Some(at(0)), &[], at(u64::MAX));
        assert!(ancient.is_within(Duration::MAX));
    }

    #[test]
    fn one_of_the_ways_will_do() {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        for (given, asked, will_do) in [
            (&["phr"][..], &["phr"][..], true),
            (&["pwd", "otp"], &["phr", "otp"], true),
            (&["otp"], &["phr", "hwk"], false),
            (&[], &["phr"], false),
            (&["PHR"], &["phr"], false),
        ] {
            let given = owned(given);
            let authentication = Authentication {
                methods: &given,
                ..Authentication::default()
            };
            assert_eq!(
                authentication.is_by_one_of(&owned(asked)),
                will_do,
                "{given:?}"
            );
        }
    }

    #[test]
    fn what_was_in_vain_is_tried_again_after_a_while() {
        let at = Timestamp::from_seconds;
        let in_vain = InVain {
            policies: vec!["danger".into()],
            at: at(1_000),
        };
        for (now, counts) in [
            (1_000, true),
            (1_299, true),
            (1_300, false),
            (940, true),
            (939, false),
        ] {
            assert_eq!(!in_vain.policies_at(at(now)).is_empty(), counts, "{now}");
        }
    }

    #[test]
    fn several_policies_ask_for_the_strictest_of_all() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let named = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let all = StepUp::default()
            .and(seconds(900), &[])
            .and(None, &named(&["phr", "hwk"]))
            .and(seconds(60), &named(&["phr"]));
        assert_eq!(all.max_age, seconds(60));
        assert_eq!(all.methods, ["phr", "hwk"]);
        assert_eq!(StepUp::default().and(None, &[]), StepUp::default());
    }

    #[test]
    fn times_are_said_as_people_say_them() {
        for (seconds, words) in [
            (0, "0 seconds"),
            (1, "1 second"),
            (90, "90 seconds"),
            (60, "1 minute"),
            (900, "15 minutes"),
            (3_600, "1 hour"),
            (5_400, "90 minutes"),
            (172_800, "2 days"),
        ] {
            assert_eq!(InWords(Duration::from_secs(seconds)).to_string(), words);
        }
    }
}
