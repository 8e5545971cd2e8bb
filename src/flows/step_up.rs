//! A step-up: somebody who is signed in has to sign in again, because a policy asks for a more recent sign-in, or for
//! another way to do it.
//!
//! What travels with such a login are the names of the policies. They open nothing, since every request is judged anew
//! whatever a link said: all that somebody who makes a link up can bring about is that a person signs in again.

use serde::{Deserialize, Serialize};

use crate::domain::authentication::{Authentication, StepUp};
use crate::domain::decision::lacking;
use crate::domain::policy::Policy;
use crate::domain::reason::Reason;
use crate::flows::Gate;

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
            if known || names.len() + name.len() >= MAX_NAMES {
                continue;
            }
            if !names.is_empty() {
                names.push(' ');
            }
            names.push_str(name);
        }
        Self(names)
    }

    /// Reads the parameter of a login link, which may come from anywhere.
    #[must_use]
    pub fn parse(text: Option<&str>) -> Self {
        let text = text.filter(|text| text.len() < MAX_NAMES);
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
        for (names, text) in [
            (&[][..], String::new()),
            (&["danger"], "danger".to_owned()),
            (&["danger", "admins", "danger"], "danger admins".to_owned()),
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
        assert!(For::parse(Some(&"x".repeat(MAX_NAMES))).is_none());
    }
}
