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
        Requirement::Conditions(Conditions {
            allowed_groups: owned(allowed),
            required_groups: owned(required),
            denied_groups: owned(denied),
            ..Conditions::default()
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
            (media(),      member_of(&["m\u{435}dia"]),              NotAMember), // a Cyrillic letter
            (media(),      member_of(&["admins,media"]),             NotAMember),
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
            let found = policy.judge(identity.as_ref().map(Caller::from), ClientAddress::Unknown);
            assert_eq!(found, expected, "{policy:?} {identity:?}");
        }
    }

    #[test]
    #[rustfmt::skip] // the columns are the point
    fn policies_judge_by_person() {
        use Judgement::{NotNamed, OtherEmailDomain, SignedIn};
        let ada = |email: &str| {
            let mut identity = member_of(&[]).expect("somebody");
            identity.username = Some("ada".into());
            identity.email = Some(email.into());
            identity
        };
        let users = |names: &[&str]| Conditions {
            allowed_users: names.iter().map(|name| UserMatcher::parse(name)).collect(),
            ..Conditions::default()
        };
        let domains = |names: &[&str]| Conditions {
            allowed_email_domains: names.iter().map(ToString::to_string).collect(),
            ..Conditions::default()
        };
        let cases = [
            (users(&["1"]),                        "ada@example.net",              SignedIn),
            (users(&["sub:1"]),                    "ada@example.net",              SignedIn),
            (users(&["2"]),                        "ada@example.net",              NotNamed),
            (users(&["ada"]),                      "ada@example.net",              NotNamed),
            (users(&["name:ada"]),                 "ada@example.net",              SignedIn),
            (users(&["name:Ada"]),                 "ada@example.net",              NotNamed),
            (users(&["2", "email:ada@example.net"]), "ada@example.net",            SignedIn),
            (users(&["email:ada@example.net"]),    "ada@example.org",              NotNamed),
            (domains(&["example.net"]),            "ada@example.net",              SignedIn),
            (domains(&["example.net"]),            "ada@EXAMPLE.net",              SignedIn),
            (domains(&["example.net"]),            "ada@evil.example.net",         OtherEmailDomain),
            (domains(&["example.net"]),            "ada@evilexample.net",          OtherEmailDomain),
            (domains(&["example.net"]),            "x@evil.example@example.net",   OtherEmailDomain),
            (domains(&["example.net"]),            "@example.net",                 OtherEmailDomain),
            (domains(&["example.net"]),            "example.net",                  OtherEmailDomain),
        ];
        for (conditions, email, expected) in cases {
            let policy = Policy { name: "p".into(), requirement: Requirement::Conditions(conditions) };
            let found = policy.judge(Some(Caller::from(&ada(email))), ClientAddress::Unknown);
            assert_eq!(found, expected, "{policy:?} {email}");
        }
        let policy = Policy { name: "p".into(), requirement: Requirement::Conditions(domains(&["example.net"])) };
        let nobody_verified = member_of(&[]);
        assert_eq!(policy.judge(nobody_verified.as_ref().map(Caller::from), ClientAddress::Unknown), OtherEmailDomain);
    }

    /// The conditions; who comes, how long ago they signed in, and how; what is said about it.
    type Case<'a> = (
        Conditions,
        Option<Identity>,
        Option<u64>,
        &'a [&'a str],
        Judgement<'a>,
    );

    #[test]
    #[rustfmt::skip] // the columns are the point
    fn policies_judge_by_how_and_when_somebody_signed_in() {
        use Judgement::{AuthTimeUnknown, AuthTooOld, Excluded, Member, NotAMember, NotSignedIn, OtherMethod, SignedIn};
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let conditions = |allowed: &[&str], max_auth_age, amr: &[&str]| Conditions {
            allowed_groups: allowed.iter().map(ToString::to_string).collect(),
            denied_groups: vec!["guests".into()],
            max_auth_age,
            amr: amr.iter().map(ToString::to_string).collect(),
            ..Conditions::default()
        };
        let recent = || conditions(&[], seconds(900), &[]);
        let staff = || conditions(&["staff"], seconds(900), &[]);
        let passkey = || conditions(&[], None, &["phr", "hwk"]);
        let both = || conditions(&["staff"], seconds(900), &["phr"]);
        let cases: [Case<'_>; 20] = [
            (recent(),  None,                   None,       &[],             NotSignedIn),
            (recent(),  member_of(&[]),         Some(0),    &[],             SignedIn),
            (recent(),  member_of(&[]),         Some(960),  &[],             SignedIn), // with a minute of leeway
            (recent(),  member_of(&[]),         Some(961),  &["phr"],        AuthTooOld),
            (recent(),  member_of(&[]),         None,       &["phr"],        AuthTimeUnknown),
            (recent(),  member_of(&["guests"]), Some(0),    &[],             Excluded("guests")),
            (staff(),   member_of(&["staff"]),  Some(10),   &[],             Member("staff")),
            (staff(),   member_of(&["staff"]),  Some(9999), &[],             AuthTooOld),
            // Signing in again would not help.
            (staff(),   member_of(&["media"]),  Some(9999), &[],             NotAMember),
            (staff(),   member_of(&["media"]),  None,       &[],             NotAMember),
            (passkey(), None,                   None,       &[],             NotSignedIn),
            (passkey(), member_of(&[]),         None,       &["hwk", "pin"], SignedIn),
            (passkey(), member_of(&[]),         Some(9999), &["phr"],        SignedIn),
            (passkey(), member_of(&[]),         Some(0),    &["otp"],        OtherMethod),
            (passkey(), member_of(&[]),         Some(0),    &[],             OtherMethod),
            (both(),    member_of(&["staff"]),  Some(0),    &["phr"],        Member("staff")),
            (both(),    member_of(&["staff"]),  Some(9999), &["otp"],        OtherMethod),
            (both(),    member_of(&["staff"]),  Some(0),    &["otp"],        OtherMethod),
            (both(),    member_of(&["staff"]),  Some(9999), &["phr"],        AuthTooOld),
            (both(),    member_of(&[]),         Some(9999), &["otp"],        NotAMember),
        ];
        for (conditions, identity, age, methods, expected) in cases {
            let policy = Policy { name: "p".into(), requirement: Requirement::Conditions(conditions) };
            let methods: Vec<String> = methods.iter().map(ToString::to_string).collect();
            let authentication = Authentication { age: age.map(Duration::from_secs), methods: &methods, in_vain: &[] };
            let caller = identity.as_ref().map(|identity| Caller { identity, authentication });
            let found = policy.judge(caller, ClientAddress::Unknown);
            assert_eq!(found, expected, "{policy:?} {caller:?}");
            assert_eq!(found.asks_for_step_up(), policy.lacking(authentication) == Some(found), "{policy:?} {caller:?}");
        }
    }

    #[test]
    fn networks_let_pass_whoever_comes_from_there() {
        let lan = vec!["10.0.0.0/8".parse().expect("a network")];
        let policy = Policy {
            name: "internal".into(),
            requirement: Requirement::Networks(lan),
        };
        let from = |address: &str| ClientAddress::Known(address.parse().expect("an address"));
        assert_eq!(policy.judge(None, from("10.1.2.3")), Judgement::InNetwork);
        assert_eq!(
            policy.judge(None, from("11.1.2.3")),
            Judgement::OutsideNetworks
        );
        assert_eq!(
            policy.judge(None, ClientAddress::Unknown),
            Judgement::OutsideNetworks
        );
    }
}
