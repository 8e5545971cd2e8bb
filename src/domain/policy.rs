//! Policies: what it takes to be let in, as groups, and the judgement on one person.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::identity::Identity;

/// A named policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The name that rules, services and proxies call it by.
    pub name: String,
    /// What it takes.
    pub requirement: Requirement,
}

/// What it takes to pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requirement {
    /// Nothing, and nobody is told who comes.
    Bypass,
    /// Nothing, but whoever is signed in is named.
    Optional,
    /// Being signed in.
    Authenticated,
    /// Nobody passes.
    Deny,
    /// Being signed in, and these conditions.
    Groups(GroupConditions),
}

/// Conditions on groups. All that are given must hold; names compare byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GroupConditions {
    /// One of these at least; no condition when empty.
    pub allowed: Vec<String>,
    /// Every one of these.
    pub required: Vec<String>,
    /// None of these. Wins over the others.
    pub denied: Vec<String>,
}

impl GroupConditions {
    /// Whether nothing is asked for at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.allowed.is_empty() && self.required.is_empty() && self.denied.is_empty()
    }
}

/// What a policy says about one person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement<'a> {
    /// Passes without anybody asking who it is.
    Bypassed,
    /// Passes, signed in or not.
    Optional,
    /// Passes, being signed in.
    SignedIn,
    /// Passes as a member of this group.
    Member(&'a str),
    /// Must sign in first.
    NotSignedIn,
    /// Is refused: the policy lets nobody pass.
    Closed,
    /// Is refused: in none of the groups that would do.
    NotAMember,
    /// Is refused: not in this group.
    Lacks(&'a str),
    /// Is refused: in this group.
    Excluded(&'a str),
}

/// The policies that exist without being configured.
pub const BUILT_IN: [(&str, Requirement); 4] = [
    ("authenticated", Requirement::Authenticated),
    ("bypass", Requirement::Bypass),
    ("deny", Requirement::Deny),
    ("optional", Requirement::Optional),
];

/// All policies, by name.
#[derive(Debug, Clone)]
pub struct Policies(BTreeMap<String, Arc<Policy>>);

impl Policies {
    /// The built-in policies and `configured` ones, none of which has the name of a built-in one.
    #[must_use]
    pub fn new(configured: impl IntoIterator<Item = Policy>) -> Self {
        let built_in = BUILT_IN.map(|(name, requirement)| Policy {
            name: name.to_owned(),
            requirement,
        });
        // The built-in ones come last, so that no other can take their place.
        let all = configured.into_iter().chain(built_in);
        Self(
            all.map(|policy| (policy.name.clone(), Arc::new(policy)))
                .collect(),
        )
    }

    /// The policy of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Policy>> {
        self.0.get(name)
    }

    /// All of them, ordered by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Policy>> {
        self.0.values()
    }
}

impl Policy {
    /// Judges `identity`; `None` is somebody who is not signed in.
    #[must_use]
    pub fn judge(&self, identity: Option<&Identity>) -> Judgement<'_> {
        match (&self.requirement, identity) {
            (Requirement::Bypass, _) => Judgement::Bypassed,
            (Requirement::Optional, _) => Judgement::Optional,
            (Requirement::Deny, _) => Judgement::Closed,
            (_, None) => Judgement::NotSignedIn,
            (Requirement::Authenticated, Some(_)) => Judgement::SignedIn,
            (Requirement::Groups(conditions), Some(identity)) => conditions.judge(identity),
        }
    }

    /// Whether the policy asks for nothing and hides who comes.
    #[must_use]
    pub fn is_bypass(&self) -> bool {
        self.requirement == Requirement::Bypass
    }
}

impl GroupConditions {
    fn judge(&self, identity: &Identity) -> Judgement<'_> {
        let held = |group: &&String| identity.is_member_of(group);
        if let Some(group) = self.denied.iter().find(held) {
            return Judgement::Excluded(group);
        }
        if let Some(group) = self.required.iter().find(|group| !held(group)) {
            return Judgement::Lacks(group);
        }
        match self.allowed.iter().find(held) {
            Some(group) => Judgement::Member(group),
            None if self.allowed.is_empty() => match self.required.first() {
                Some(group) => Judgement::Member(group),
                None => Judgement::SignedIn,
            },
            None => Judgement::NotAMember,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(
        clippy::unnecessary_wraps,
        reason = "so that it stands beside `None` in a table"
    )]
    fn member_of(groups: &[&str]) -> Option<Identity> {
        Some(Identity {
            issuer: "https://id.example.net".into(),
            subject: "1".into(),
            username: None,
            name: None,
            email: None,
            groups: groups.iter().map(ToString::to_string).collect(),
        })
    }

    fn groups(allowed: &[&str], required: &[&str], denied: &[&str]) -> Requirement {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        Requirement::Groups(GroupConditions {
            allowed: owned(allowed),
            required: owned(required),
            denied: owned(denied),
        })
    }

    #[test]
    #[rustfmt::skip] // the columns are the point
    fn policies_judge_by_groups() {
        use Judgement::*;
        let media = || groups(&["admins", "media"], &[], &[]);
        let both = || groups(&[], &["staff", "night"], &[]);
        let not_guests = || groups(&[], &[], &["guests"]);
        let mixed = || groups(&["media"], &["staff"], &["guests"]);
        let cases = [
            (media(),      None,                                     NotSignedIn),
            (media(),      member_of(&[]),                           NotAMember),
            (media(),      member_of(&["media"]),                    Member("media")),
            (media(),      member_of(&["x", "admins"]),              Member("admins")),
            (media(),      member_of(&["Media"]),                    NotAMember),
            (media(),      member_of(&["media "]),                   NotAMember),
            (media(),      member_of(&["*"]),                        NotAMember),
            (both(),       member_of(&["staff"]),                    Lacks("night")),
            (both(),       member_of(&["night", "staff"]),           Member("staff")),
            (not_guests(), member_of(&[]),                           SignedIn),
            (not_guests(), member_of(&["guests"]),                   Excluded("guests")),
            (not_guests(), None,                                     NotSignedIn),
            (mixed(),      member_of(&["media", "staff"]),           Member("media")),
            (mixed(),      member_of(&["media"]),                    Lacks("staff")),
            (mixed(),      member_of(&["media", "staff", "guests"]), Excluded("guests")),
            (Requirement::Authenticated, None,                       NotSignedIn),
            (Requirement::Authenticated, member_of(&[]),             SignedIn),
            (Requirement::Optional,      None,                       Optional),
            (Requirement::Optional,      member_of(&[]),             Optional),
            (Requirement::Bypass,        None,                       Bypassed),
            (Requirement::Bypass,        member_of(&["admins"]),     Bypassed),
            (Requirement::Deny,          None,                       Closed),
            (Requirement::Deny,          member_of(&["admins"]),     Closed),
        ];
        for (requirement, identity, expected) in cases {
            let policy = Policy { name: "p".into(), requirement };
            assert_eq!(policy.judge(identity.as_ref()), expected, "{policy:?} {identity:?}");
        }
    }
}
