//! A step-up: somebody who is signed in has to sign in again, because a policy asks for a more recent sign-in, or for
//! another way to do it.
//!
//! What travels with such a login are the names of the policies. They open nothing, since every request is judged anew
//! whatever a link said: all that somebody who makes a link up can bring about is that a person signs in again.

use serde::{Deserialize, Serialize};

use crate::domain::authentication::{Authentication, InVain, StepUp};
use crate::domain::decision::lacking;
use crate::domain::policy::Policy;
use crate::domain::reason::Reason;
use crate::domain::session::{Session, SessionId};
use crate::flows::Gate;
use crate::oidc::SignedIn;

/// The longest list of names, in bytes: it travels in a cookie. A policy that has no room in it comes up by itself when
/// the others are met.
const MAX_NAMES: usize = 200;

/// The policies that a step-up is for, by name; none for an ordinary login.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct For(String);

impl For {
    /// For these policies, as many of them as have room.
    pub(super) fn policies<'p>(policies: impl Iterator<Item = &'p Policy>) -> Self {
        let mut names = String::new();
        for policy in policies {
            let name = &policy.name;
            let known = names.split(' ').any(|known| known == name);
            let between = usize::from(!names.is_empty());
            if known || names.len() + between + name.len() > MAX_NAMES {
                continue;
            }
            names.push_str(&" "[..between]);
            names.push_str(name);
        }
        Self(names)
    }

    /// Reads the parameter of a login link, which may come from anywhere.
    #[must_use]
    pub fn parse(text: Option<&str>) -> Self {
        let text = text.filter(|text| text.len() <= MAX_NAMES);
        Self(text.unwrap_or_default().to_owned())
    }

    /// The parameter of a login link; empty for an ordinary login.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is an ordinary login.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// The policies, as far as there are any of these names.
    fn found<'g>(&self, gate: &'g Gate) -> impl Iterator<Item = &'g Policy> {
        let names = self.0.split(' ');
        names.filter_map(|name| gate.policies.get(name).map(|policy| &**policy))
    }

    /// What the provider is to be asked for.
    pub(super) fn asks(&self, gate: &Gate) -> StepUp {
        let asked = self.found(gate);
        asked.fold(StepUp::default(), |step_up, policy| policy.add_to(step_up))
    }

    /// What `authentication` still lacks: the first reason; `None` when it will do.
    pub(super) fn lacking<'g>(
        &self,
        gate: &'g Gate,
        authentication: Authentication<'_>,
    ) -> Option<Reason<'g>> {
        self.found(gate)
            .find_map(|policy| lacking(policy, authentication))
    }

    /// The names of the policies that `authentication` does not satisfy.
    pub(super) fn unmet(&self, gate: &Gate, authentication: Authentication<'_>) -> Vec<String> {
        self.found(gate)
            .filter(|policy| policy.lacking(authentication).is_some())
            .map(|policy| policy.name.clone())
            .collect()
    }
}

/// What a sign-in lacks that was asked for as a step-up: a provider may ignore what it is asked for, or be unable to
/// do it. `session` is noted to have been through this in vain, so that it is not sent there again by itself.
pub(super) async fn in_vain<'g>(
    gate: &'g Gate,
    id: &SessionId,
    session: &Session,
    step_up: &For,
    signed_in: &SignedIn,
) -> Option<Reason<'g>> {
    let now = gate.clock.now();
    let came = Authentication::new(signed_in.auth_time, &signed_in.amr, now);
    let reason = step_up.lacking(gate, came)?;
    tracing::warn!(
        reason = reason.code(),
        policies = step_up.as_str(),
        subject = session.identity.subject,
        auth_age_s = came.age.map(|age| age.as_secs()),
        amr = ?came.methods,
        "somebody signed in again, and it was not what the policy asks for"
    );
    let noted = InVain {
        policies: step_up.unmet(gate, came),
        at: now,
    };
    if let Err(error) = gate.sessions.note_in_vain(id, noted).await {
        // Then they are sent to sign in again when they come back, and see this page again.
        tracing::warn!(%error, "that could not be noted");
    }
    Some(reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::policy::Requirement;

    fn policies(names: &[&str]) -> Vec<Policy> {
        let policy = |name: &&str| Policy {
            name: (*name).to_owned(),
            requirement: Requirement::Authenticated,
        };
        names.iter().map(policy).collect()
    }

    #[test]
    fn names_are_listed_once_and_as_far_as_they_have_room() {
        let long = "x".repeat(100);
        let almost = "a".repeat(99);
        for (names, text) in [
            (&[][..], String::new()),
            (&["danger"], "danger".to_owned()),
            (&["danger", "admins", "danger"], "danger admins".to_owned()),
            (&[&almost, &long], format!("{almost} {long}")),
            (
                &[&long, "y", &long.replace('x', "z"), "w"],
                format!("{long} y w"),
            ),
        ] {
            let policies = policies(names);
            let made = For::policies(policies.iter());
            assert_eq!(made.as_str(), text);
            assert_eq!(For::parse(Some(made.as_str())), made);
            assert_eq!(made.is_none(), text.is_empty());
        }
        assert!(For::parse(None).is_none());
        assert!(For::parse(Some(&"x".repeat(MAX_NAMES + 1))).is_none());
    }
}
