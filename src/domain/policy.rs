//! Policies: what it takes to be let in, and the judgement on one person.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::domain::authentication::{Authentication, Caller, StepUp};
use crate::domain::identity::Identity;
use crate::domain::proxies::ClientAddress;

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
    /// Coming from one of these networks; nobody is asked who they are, and nobody is told.
    Networks(Vec<IpNet>),
    /// Being signed in, and these conditions.
    Conditions(Conditions),
}

/// Conditions on a person. All that are given must hold; names compare byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Conditions {
    /// In one of these groups at least; no condition when empty.
    pub allowed_groups: Vec<String>,
    /// In every one of these.
    pub required_groups: Vec<String>,
    /// In none of these. Wins over the others.
    pub denied_groups: Vec<String>,
    /// One of these people; no condition when empty.
    pub allowed_users: Vec<UserMatcher>,
    /// With a verified mail address at one of these domains, in lower case; no condition when empty.
    pub allowed_email_domains: Vec<String>,
    /// Having proved who they are within this.
    pub max_auth_age: Option<Duration>,
    /// Having proved it in one of these ways (`amr`, RFC 8176); no condition when empty.
    pub amr: Vec<String>,
}

/// Means one person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserMatcher {
    /// By subject, which the issuer never gives to anybody else.
    Subject(String),
    /// By user name, which people can change at some issuers.
    Username(String),
    /// By verified mail address, which people can change at some issuers.
    Email(String),
}

impl UserMatcher {
    /// Reads `name:ada`, `email:ada@example.net`, or a subject.
    #[must_use]
    pub fn parse(written: &str) -> Self {
        if let Some(name) = written.strip_prefix("name:") {
            Self::Username(name.to_owned())
        } else if let Some(email) = written.strip_prefix("email:") {
            Self::Email(email.to_owned())
        } else {
            Self::Subject(written.strip_prefix("sub:").unwrap_or(written).to_owned())
        }
    }

    /// Whether `identity` is the one.
    #[must_use]
    pub fn means(&self, identity: &Identity) -> bool {
        match self {
            Self::Subject(subject) => identity.subject == *subject,
            Self::Username(name) => identity.username.as_ref() == Some(name),
            Self::Email(email) => identity.email.as_ref() == Some(email),
        }
    }

    /// Whether people may become the one by changing what they are called.
    #[must_use]
    pub fn is_changeable(&self) -> bool {
        !matches!(self, Self::Subject(_))
    }
}

/// The domain of a mail address, in lower case; `None` unless there is exactly one `@`, with something on
/// both sides of it.
fn domain_of(email: &str) -> Option<String> {
    let (local, domain) = email.split_once('@')?;
    let plain = !local.is_empty() && !domain.is_empty() && !domain.contains('@');
    plain.then(|| domain.to_ascii_lowercase())
}

/// What a policy says about one person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement<'a> {
    /// Passes without anybody asking who it is.
    Bypassed,
    /// Passes, coming from where it comes.
    InNetwork,
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
    /// Is refused: comes from elsewhere.
    OutsideNetworks,
    /// Is refused: in none of the groups that would do.
    NotAMember,
    /// Is refused: not in this group.
    Lacks(&'a str),
    /// Is refused: in this group.
    Excluded(&'a str),
    /// Is refused: not one of the people that are named.
    NotNamed,
    /// Is refused: no verified mail address at one of the domains.
    OtherEmailDomain,
    /// Must sign in again: in another way.
    OtherMethod,
    /// Must sign in again: it is not known when they did.
    AuthTimeUnknown,
    /// Must sign in again: they did so too long ago.
    AuthTooOld,
}

impl Judgement<'_> {
    /// Whether this is a yes.
    #[must_use]
    pub const fn passes(&self) -> bool {
        matches!(
            self,
            Self::Bypassed | Self::InNetwork | Self::Optional | Self::SignedIn | Self::Member(_)
        )
    }

    /// Whether signing in again may make it a yes.
    #[must_use]
    pub const fn asks_for_step_up(&self) -> bool {
        matches!(
            self,
            Self::OtherMethod | Self::AuthTimeUnknown | Self::AuthTooOld
        )
    }
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
    /// Judges `caller`, who comes from `client`; `None` is somebody who is not signed in.
    #[must_use]
    pub fn judge(&self, caller: Option<Caller<'_>>, client: ClientAddress) -> Judgement<'_> {
        match (&self.requirement, caller) {
            (Requirement::Bypass, _) => Judgement::Bypassed,
            (Requirement::Optional, _) => Judgement::Optional,
            (Requirement::Deny, _) => Judgement::Closed,
            (Requirement::Networks(networks), _) if client.is_in(networks) => Judgement::InNetwork,
            (Requirement::Networks(_), _) => Judgement::OutsideNetworks,
            (_, None) => Judgement::NotSignedIn,
            (Requirement::Authenticated, Some(_)) => Judgement::SignedIn,
            (Requirement::Conditions(conditions), Some(caller)) => {
                match conditions.judge(caller.identity) {
                    // Who would be refused anyway is not sent to sign in again first.
                    yes if yes.passes() => conditions.lacking(caller.authentication).unwrap_or(yes),
                    no => no,
                }
            }
        }
    }

    /// What this proof of who somebody is lacks; `None` when it will do.
    #[must_use]
    pub fn lacking(&self, authentication: Authentication<'_>) -> Option<Judgement<'static>> {
        match &self.requirement {
            Requirement::Conditions(conditions) => conditions.lacking(authentication),
            _ => None,
        }
    }

    /// Adds what this policy asks of the proof to `step_up`.
    #[must_use]
    pub fn add_to(&self, step_up: StepUp) -> StepUp {
        match &self.requirement {
            Requirement::Conditions(asked) => step_up.and(asked.max_auth_age, &asked.amr),
            _ => step_up,
        }
    }

    /// Whether the policy asks for nothing and hides who comes.
    #[must_use]
    pub fn is_bypass(&self) -> bool {
        self.requirement == Requirement::Bypass
    }

    /// Whether the policy never asks who comes.
    #[must_use]
    pub fn ignores_identity(&self) -> bool {
        matches!(
            self.requirement,
            Requirement::Bypass | Requirement::Deny | Requirement::Networks(_)
        )
    }
}

impl Conditions {
    /// Whether nothing is asked for at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn judge(&self, identity: &Identity) -> Judgement<'_> {
        let held = |group: &&String| identity.is_member_of(group);
        if let Some(group) = self.denied_groups.iter().find(held) {
            return Judgement::Excluded(group);
        }
        if let Some(group) = self.required_groups.iter().find(|group| !held(group)) {
            return Judgement::Lacks(group);
        }
        let named = self.allowed_users.iter().any(|user| user.means(identity));
        if !named && !self.allowed_users.is_empty() {
            return Judgement::NotNamed;
        }
        if !self.allowed_email_domains.is_empty() {
            let domain = identity.email.as_deref().and_then(domain_of);
            if !domain.is_some_and(|domain| self.allowed_email_domains.contains(&domain)) {
                return Judgement::OtherEmailDomain;
            }
        }
        match self.allowed_groups.iter().find(held) {
            Some(group) => Judgement::Member(group),
            None if self.allowed_groups.is_empty() => match self.required_groups.first() {
                Some(group) => Judgement::Member(group),
                None => Judgement::SignedIn,
            },
            None => Judgement::NotAMember,
        }
    }

    /// The way comes before the time: another way to sign in is a newer sign-in as well.
    fn lacking(&self, authentication: Authentication<'_>) -> Option<Judgement<'static>> {
        if !self.amr.is_empty() && !authentication.is_by_one_of(&self.amr) {
            return Some(Judgement::OtherMethod);
        }
        let max_age = self.max_auth_age?;
        if authentication.is_within(max_age) {
            return None;
        }
        Some(match authentication.age {
            Some(_) => Judgement::AuthTooOld,
            None => Judgement::AuthTimeUnknown,
        })
    }
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
