//! Why a request passes or does not: one value that the answer, the log and every explanation speak from.

use std::fmt;

use crate::domain::authentication::InWords;
use crate::domain::host::Host;
use crate::domain::policy::{Conditions, Policy, Requirement};

/// Why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason<'a> {
    /// The rule of this label lets it by.
    BypassedByRule(&'a str),
    /// The service's policy lets everything by.
    BypassedByPolicy(&'a Policy),
    /// It comes from a network that may.
    InNetwork(&'a Policy),
    /// A browser asks whether another site's page may ask; the app answers that itself.
    Preflight,
    /// Everybody may; who is signed in is named.
    Optional(&'a Policy),
    /// Everybody who is signed in may.
    SignedIn(&'a Policy),
    /// A group opens it.
    Member {
        /// The policy that asks for it.
        policy: &'a Policy,
        /// The group.
        group: &'a str,
    },
    /// Nobody is signed in.
    NotSignedIn(&'a Policy),
    /// In none of the policy's groups.
    NotAMember(&'a Policy),
    /// Not in a group that is required.
    LacksGroup {
        /// The policy that asks for it.
        policy: &'a Policy,
        /// The group.
        group: &'a str,
    },
    /// In a group that is kept out.
    ExcludedGroup {
        /// The policy that keeps it out.
        policy: &'a Policy,
        /// The group.
        group: &'a str,
    },
    /// Not one of the people that the policy names.
    NotNamed(&'a Policy),
    /// No verified mail address at one of the policy's domains.
    OtherEmailDomain(&'a Policy),
    /// Signed in, but in none of the ways that the policy asks for.
    AuthMethod(&'a Policy),
    /// Signed in, but it is not known when.
    AuthTimeUnknown(&'a Policy),
    /// Signed in, but longer ago than the policy lets pass.
    AuthTooOld(&'a Policy),
    /// It comes from none of the networks that may.
    OutsideNetworks(&'a Policy),
    /// The policy lets nobody pass.
    Closed(&'a Policy),
    /// A page of another site made the browser ask.
    CrossSite,
    /// The answer to this method would show the app's credential to whoever asked.
    Echo,
    /// Only machines use this, so nobody is sent to sign in.
    NoLoginHere,
    /// The user name belongs to the app's own administrator.
    ReservedUser(&'a str),
    /// The app believes our user header, and there is no value for it that would arrive whole.
    NoUserHeader(&'a str),
    /// No service names the host.
    UnknownHost(Host),
    /// A service names the host, with another port.
    UnknownPort,
    /// The portal's or the issuer's host, which the gate must not stand before.
    OwnHost,
    /// The service takes its policy from the proxy, which named none.
    PolicyNotNamed,
    /// The proxy named a policy that does not exist.
    UnknownPolicy,
    /// The proxy named `bypass`: a proxy may tighten only.
    PolicyLoosens,
    /// The identity headers would be longer than proxies and apps take.
    HeadersTooLarge,
    /// Asked over plain `http`, where our cookies do not travel, so that a login could not work.
    InsecureScheme,
    /// Below `/.portcullis/`, where the app has nothing, and neither have we.
    ReservedPath,
    /// The login was begun over and over: the host's cookie does not arrive.
    LoginLoop,
    /// The app believes our headers, and the proxy does not copy this one.
    NotCopied(&'a str),
    /// The session store does not answer.
    StoreUnavailable,
    /// The logout could not be recorded, so the session may still live.
    LogoutNotRecorded,
}

/// Gives each reason its word.
macro_rules! codes {
    ($($reason:ident => $code:literal,)*) => {
        /// Which reason it is, without what it speaks of: for whoever counts them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[expect(missing_docs, reason = "they are documented as reasons")]
        pub enum ReasonKind {
            $($reason,)*
        }

        impl ReasonKind {
            /// All of them, each at the place that its number says.
            pub const ALL: &[Self] = &[$(Self::$reason,)*];

            /// A stable word for logs and machines.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self {
                    $(Self::$reason => $code,)*
                }
            }
        }

        impl Reason<'_> {
            /// Which one it is.
            #[must_use]
            pub const fn kind(&self) -> ReasonKind {
                match self {
                    $(Self::$reason { .. } => ReasonKind::$reason,)*
                }
            }
        }
    };
}

codes! {
    BypassedByRule => "bypassed_by_rule",
    BypassedByPolicy => "bypassed_by_policy",
    InNetwork => "in_network",
    Preflight => "preflight",
    Optional => "optional",
    SignedIn => "signed_in",
    Member => "member",
    NotSignedIn => "not_signed_in",
    NotAMember => "not_a_member",
    LacksGroup => "lacks_group",
    ExcludedGroup => "excluded_group",
    NotNamed => "not_named",
    OtherEmailDomain => "other_email_domain",
    AuthMethod => "auth_method",
    AuthTimeUnknown => "auth_time_unknown",
    AuthTooOld => "auth_too_old",
    OutsideNetworks => "outside_networks",
    Closed => "closed",
    CrossSite => "cross_site",
    Echo => "echo_method",
    NoLoginHere => "no_login_here",
    ReservedUser => "reserved_user",
    NoUserHeader => "no_user_header",
    UnknownHost => "unknown_host",
    UnknownPort => "unknown_port",
    OwnHost => "own_host",
    PolicyNotNamed => "policy_not_named",
    UnknownPolicy => "unknown_policy",
    PolicyLoosens => "policy_loosens",
    HeadersTooLarge => "headers_too_large",
    InsecureScheme => "insecure_scheme",
    ReservedPath => "reserved_path",
    LoginLoop => "login_loop",
    NotCopied => "not_copied",
    StoreUnavailable => "store_unavailable",
    LogoutNotRecorded => "logout_not_recorded",
}

impl Reason<'_> {
    /// A stable word for logs and machines.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.kind().code()
    }

    /// Whether signing in again may mend it, although somebody is signed in.
    #[must_use]
    pub const fn asks_for_step_up(&self) -> bool {
        matches!(
            self,
            Self::AuthMethod(_) | Self::AuthTimeUnknown(_) | Self::AuthTooOld(_)
        )
    }
}

/// The ways to sign in that `policy` asks for, and how long ago it may be, in words.
fn sign_in_of(policy: &Policy) -> (String, String) {
    let Requirement::Conditions(Conditions {
        max_auth_age, amr, ..
    }) = &policy.requirement
    else {
        return (String::new(), String::new());
    };
    let within = max_auth_age.map_or_else(String::new, |age| InWords(age).to_string());
    (amr.join(" or "), within)
}

/// One plain sentence, for people.
impl fmt::Display for Reason<'_> {
    #[expect(
        clippy::too_many_lines,
        reason = "one sentence a reason, and nothing else"
    )]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BypassedByRule(rule) => write!(f, "The rule {rule} lets this by."),
            Self::BypassedByPolicy(policy) => {
                write!(f, "The policy \"{}\" lets everything by.", policy.name)
            }
            Self::InNetwork(policy) => write!(
                f,
                "The policy \"{}\" lets pass whoever comes from one of its networks.",
                policy.name
            ),
            Self::Preflight => f.write_str(
                "This is a browser's question about another site's page; the app answers it.",
            ),
            Self::Optional(policy) => {
                write!(f, "The policy \"{}\" lets everybody pass.", policy.name)
            }
            Self::SignedIn(policy) => write!(
                f,
                "The policy \"{}\" lets everybody pass who is signed in.",
                policy.name
            ),
            Self::Member { policy, group } => write!(
                f,
                "The policy \"{}\" lets the group \"{group}\" pass.",
                policy.name
            ),
            // Strangers are not told what the policy is called.
            Self::NotSignedIn(_) => f.write_str("This asks for a sign-in."),
            Self::NotAMember(policy) => write!(
                f,
                "You are in none of the groups that the policy \"{}\" lets pass.",
                policy.name
            ),
            Self::LacksGroup { policy, group } => write!(
                f,
                "You are not in the group \"{group}\" that the policy \"{}\" requires.",
                policy.name
            ),
            Self::ExcludedGroup { policy, group } => write!(
                f,
                "You are in the group \"{group}\" that the policy \"{}\" keeps out.",
                policy.name
            ),
            Self::NotNamed(policy) => write!(
                f,
                "You are not one of the people that the policy \"{}\" lets pass.",
                policy.name
            ),
            Self::OtherEmailDomain(policy) => write!(
                f,
                "You have no verified mail address at a domain that the policy \"{}\" lets pass.",
                policy.name
            ),
            Self::AuthMethod(policy) => write!(
                f,
                "The policy \"{}\" asks for a sign-in by {}, and yours was another one.",
                policy.name,
                sign_in_of(policy).0
            ),
            Self::AuthTimeUnknown(policy) => write!(
                f,
                "The policy \"{}\" asks for a sign-in within the last {}, and it is not known when yours was.",
                policy.name,
                sign_in_of(policy).1
            ),
            Self::AuthTooOld(policy) => write!(
                f,
                "The policy \"{}\" asks for a sign-in within the last {}, and yours was longer ago.",
                policy.name,
                sign_in_of(policy).1
            ),
            Self::OutsideNetworks(_) => f.write_str(
                "This is for machines of certain networks only, and you come from elsewhere.",
            ),
            Self::CrossSite => f.write_str(
                "A page of another site made your browser send this, so it was not delivered.",
            ),
            Self::Echo => f.write_str(
                "TRACE has an app send back what it got, and this app gets a credential.",
            ),
            Self::NoLoginHere => f.write_str("Only machines use this, so nobody can sign in to it."),
            Self::ReservedUser(name) => write!(
                f,
                "The user name \"{name}\" belongs to this app's own administrator; to allow it, list your \
                 subject under reserved_users."
            ),
            Self::NoUserHeader(header) => write!(
                f,
                "This app goes by the header {header}, and your user name cannot be sent in it unchanged."
            ),
            Self::NotCopied(header) => write!(
                f,
                "The proxy does not copy the header {header}, which this app goes by; its copy list must \
                 name it."
            ),
            Self::Closed(policy) => {
                write!(f, "The policy \"{}\" lets nobody pass.", policy.name)
            }
            Self::UnknownHost(host) => write!(f, "No service is configured for the host \"{host}\"."),
            Self::UnknownPort => {
                f.write_str("A service is configured for this host, but not for this port.")
            }
            Self::OwnHost => f.write_str(
                "This is the sign-in host itself; the proxy must not ask the gate about it.",
            ),
            Self::PolicyNotNamed => f.write_str(
                "This service takes its policy from the proxy, and the proxy named none.",
            ),
            Self::UnknownPolicy => f.write_str("The proxy named a policy that does not exist."),
            Self::PolicyLoosens => {
                f.write_str("The proxy named the policy \"bypass\", and a proxy may only tighten.")
            }
            Self::HeadersTooLarge => {
                f.write_str(
                    "What is known about you (your groups, mostly) is too long to be handed to this app.",
                )
            }
            Self::InsecureScheme => f.write_str(
                "This page was asked for over http, and signing in works over https only.",
            ),
            Self::ReservedPath => f.write_str("There is nothing at this address."),
            Self::LoginLoop => f.write_str(
                "Signing in did not take: the browser came back without the cookie of this host.",
            ),
            Self::LogoutNotRecorded => {
                f.write_str("You are NOT signed out: it could not be recorded. Please try again.")
            }
            Self::StoreUnavailable => {
                f.write_str("Sessions cannot be looked up at the moment; please try again soon.")
            }
        }
    }
}
