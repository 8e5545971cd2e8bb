//! The decision: may this request pass, and why (not)? Pure, so that the answer, the log and every
//! explanation come from one value.

use std::fmt;

use crate::domain::forwarded::ForwardedRequest;
use crate::domain::host::Host;
use crate::domain::identity::Identity;
use crate::domain::paths::{Readings, is_plain};
use crate::domain::policy::{Judgement, Policy, Requirement};
use crate::domain::rules::{Fit, Rule};
use crate::domain::service::{NoService, Service, ServicePolicy};

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision<'a> {
    /// It passes.
    Allow(Reason<'a>),
    /// Whoever sent it must sign in first.
    Challenge(Reason<'a>),
    /// It does not pass.
    Deny(Reason<'a>),
    /// We cannot tell now, so it does not pass now.
    Unavailable(Reason<'a>),
}

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
    /// It comes from none of the networks that may.
    OutsideNetworks(&'a Policy),
    /// The policy lets nobody pass.
    Closed(&'a Policy),
    /// A page of another site made the browser ask.
    CrossSite,
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

impl Reason<'_> {
    /// A stable word for logs and machines.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::BypassedByRule(_) => "bypassed_by_rule",
            Self::BypassedByPolicy(_) => "bypassed_by_policy",
            Self::InNetwork(_) => "in_network",
            Self::Preflight => "preflight",
            Self::Optional(_) => "optional",
            Self::SignedIn(_) => "signed_in",
            Self::Member { .. } => "member",
            Self::NotSignedIn(_) => "not_signed_in",
            Self::NotAMember(_) => "not_a_member",
            Self::LacksGroup { .. } => "lacks_group",
            Self::ExcludedGroup { .. } => "excluded_group",
            Self::NotNamed(_) => "not_named",
            Self::OtherEmailDomain(_) => "other_email_domain",
            Self::OutsideNetworks(_) => "outside_networks",
            Self::Closed(_) => "closed",
            Self::CrossSite => "cross_site",
            Self::ReservedUser(_) => "reserved_user",
            Self::NoUserHeader(_) => "no_user_header",
            Self::UnknownHost(_) => "unknown_host",
            Self::UnknownPort => "unknown_port",
            Self::OwnHost => "own_host",
            Self::PolicyNotNamed => "policy_not_named",
            Self::UnknownPolicy => "unknown_policy",
            Self::PolicyLoosens => "policy_loosens",
            Self::HeadersTooLarge => "headers_too_large",
            Self::InsecureScheme => "insecure_scheme",
            Self::ReservedPath => "reserved_path",
            Self::LoginLoop => "login_loop",
            Self::NotCopied(_) => "not_copied",
            Self::StoreUnavailable => "store_unavailable",
            Self::LogoutNotRecorded => "logout_not_recorded",
        }
    }
}

/// One plain sentence, for people.
impl fmt::Display for Reason<'_> {
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
            Self::OutsideNetworks(_) => f.write_str(
                "This is for machines of certain networks only, and you come from elsewhere.",
            ),
            Self::CrossSite => f.write_str(
                "A page of another site made your browser send this, so it was not delivered.",
            ),
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

impl<'a> Decision<'a> {
    /// The reason.
    #[must_use]
    pub const fn reason(&self) -> &Reason<'a> {
        match self {
            Self::Allow(reason)
            | Self::Challenge(reason)
            | Self::Deny(reason)
            | Self::Unavailable(reason) => reason,
        }
    }

    /// A stable word for logs and machines.
    #[must_use]
    pub const fn outcome(&self) -> &'static str {
        match self {
            Self::Allow(_) => "allow",
            Self::Challenge(_) => "challenge",
            Self::Deny(_) => "deny",
            Self::Unavailable(_) => "unavailable",
        }
    }
}

/// What becomes of a request whose host leads to no service. `insecure` is that of
/// [`ForwardedRequest::is_insecure`].
#[must_use]
pub fn no_service(
    none: NoService,
    request: &ForwardedRequest,
    insecure: bool,
) -> Decision<'static> {
    Decision::Deny(match none {
        NoService::Unknown => Reason::UnknownHost(request.authority.host.clone()),
        // Over http the port differs as well, but it is not what has to be mended.
        NoService::UnknownPort if insecure => Reason::InsecureScheme,
        NoService::UnknownPort => Reason::UnknownPort,
        NoService::OwnHost => Reason::OwnHost,
    })
}

/// The policies that a request has to satisfy, before anybody has asked who sent it.
#[derive(Debug, Clone)]
pub struct Demand<'a> {
    service: &'a Service,
    /// The rule that decides; `None` when the service's own policy does.
    rule: Option<&'a Rule>,
    policy: &'a Policy,
    /// Policies that must allow as well.
    further: Vec<&'a Policy>,
}

/// Gathers what `request` has to satisfy at `service`. `named` is the policy that the proxy named
/// (`/verify/policy/{name}`); it tightens whatever was decided, except a bypass.
///
/// A plain path takes the first rule that fits it byte for byte, and every earlier rule that fits
/// another reading of it must allow as well. A path that is not plain gets no bypass: the service's own
/// policy and that of every rule that fits any of its readings must allow it.
///
/// # Errors
///
/// The reason of the denial, where there is no policy to satisfy.
pub fn demand<'a>(
    request: &ForwardedRequest,
    service: &'a Service,
    named: Option<&'a Policy>,
) -> Result<Demand<'a>, Reason<'a>> {
    if named.is_some_and(Policy::is_bypass) {
        return Err(Reason::PolicyLoosens);
    }
    let path = request.target.path();
    let plain = is_plain(path);
    let mut decides = None;
    let mut further = Vec::new();
    if !service.rules.is_empty() {
        let readings = Readings::of(path);
        for rule in &service.rules {
            match rule.fit(request, &readings) {
                Fit::No(_) => {}
                Fit::Exact if plain => {
                    decides = Some(rule);
                    break;
                }
                Fit::Exact | Fit::OtherReading => {
                    if !rule.policy.is_bypass() {
                        further.push(&*rule.policy);
                    }
                }
            }
        }
    }
    let policy: &Policy = match (decides, &service.policy) {
        (Some(rule), _) => &rule.policy,
        (None, ServicePolicy::Own(policy)) => policy,
        (None, ServicePolicy::FromProxy) => named.ok_or(Reason::PolicyNotNamed)?,
    };
    if !(policy.is_bypass() && further.is_empty()) {
        further.extend(named);
    }
    Ok(Demand {
        service,
        rule: decides,
        policy,
        further,
    })
}

impl<'a> Demand<'a> {
    /// Whether the answer is the same for everybody, so that nobody need be asked who they are.
    #[must_use]
    pub fn ignores_identity(&self) -> bool {
        self.policies().all(Policy::ignores_identity)
    }

    /// Whether the app is told who comes, once the request passes.
    #[must_use]
    pub fn reveals_identity(&self) -> bool {
        !self.policy.ignores_identity()
    }

    /// The same, for a request that passes for `reason`: a preflight names nobody.
    #[must_use]
    pub fn names_person(&self, reason: &Reason<'_>) -> bool {
        self.reveals_identity() && *reason != Reason::Preflight
    }

    /// The rule that decides; `None` when the service's own policy does.
    #[must_use]
    pub fn rule(&self) -> Option<&'a Rule> {
        self.rule
    }

    /// The policies, all of which must allow: the one that decides comes first.
    pub fn policies(&self) -> impl Iterator<Item = &'a Policy> {
        std::iter::once(self.policy).chain(self.further.iter().copied())
    }

    /// Decides for `identity`; `None` is somebody who is not signed in.
    #[must_use]
    pub fn judge(&self, request: &ForwardedRequest, identity: Option<&Identity>) -> Decision<'a> {
        match self.judge_by_policies(request, identity) {
            Decision::Allow(_) if self.is_forged(request, identity) => {
                Decision::Deny(Reason::CrossSite)
            }
            Decision::Allow(reason) => {
                let told = identity.filter(|_| self.reveals_identity());
                match told.and_then(|identity| self.service.reserved_name_of(identity)) {
                    Some(name) => Decision::Deny(Reason::ReservedUser(name)),
                    None => Decision::Allow(reason),
                }
            }
            Decision::Challenge(_) if self.is_preflight_for_app(request) => {
                Decision::Allow(Reason::Preflight)
            }
            other => other,
        }
    }

    /// Every policy must allow. A refusal outweighs a challenge, because signing in would not help.
    fn judge_by_policies(
        &self,
        request: &ForwardedRequest,
        identity: Option<&Identity>,
    ) -> Decision<'a> {
        let mut challenge = None;
        let mut allowed = None;
        for policy in self.policies() {
            let reason = match policy.judge(identity, request.client) {
                Judgement::Bypassed => {
                    // With further policies it is one of theirs that says why.
                    if self.further.is_empty() {
                        allowed = Some(match self.rule {
                            Some(rule) => Reason::BypassedByRule(&rule.label),
                            None => Reason::BypassedByPolicy(policy),
                        });
                    }
                    continue;
                }
                Judgement::NotSignedIn => {
                    challenge.get_or_insert(Reason::NotSignedIn(policy));
                    continue;
                }
                Judgement::InNetwork => Reason::InNetwork(policy),
                Judgement::Optional => Reason::Optional(policy),
                Judgement::SignedIn => Reason::SignedIn(policy),
                Judgement::Member(group) => Reason::Member { policy, group },
                refused => return Decision::Deny(refusal(policy, refused)),
            };
            allowed.get_or_insert(reason);
        }
        match (challenge, allowed) {
            (Some(reason), _) => Decision::Challenge(reason),
            (None, Some(reason)) => Decision::Allow(reason),
            // Cannot be: a demand holds at least one policy, and each gives a reason. Closed if it were.
            (None, None) => Decision::Deny(Reason::Closed(self.policy)),
        }
    }

    /// Whether a page of another site made a browser ask for something that only the browser's cookie, or its
    /// network, lets pass.
    fn is_forged(&self, request: &ForwardedRequest, identity: Option<&Identity>) -> bool {
        let guard = self.service.guard.as_ref();
        guard.is_some_and(|guard| self.is_guarded(identity) && !guard.admits(request))
    }

    /// Whether the same-origin guard has a say, where the service has one: a browser's cookie or its network
    /// is what lets the request pass.
    #[must_use]
    pub fn is_guarded(&self, identity: Option<&Identity>) -> bool {
        let by_cookie = identity.is_some() && !self.ignores_identity();
        let by_network = self.rule.is_some_and(|rule| !rule.networks.is_empty())
            || self
                .policies()
                .any(|policy| matches!(policy.requirement, Requirement::Networks(_)));
        by_cookie || by_network
    }

    /// Whether this is a preflight that the app is to answer itself.
    fn is_preflight_for_app(&self, request: &ForwardedRequest) -> bool {
        let origin = request.initiator.origin.as_deref();
        let expected = self.service.cors_preflight
            || self
                .service
                .guard
                .as_ref()
                .is_some_and(|guard| guard.allows(origin));
        expected && request.is_preflight() && !request.overrides_method
    }
}

/// The reason of a judgement that is no.
fn refusal<'a>(policy: &'a Policy, judgement: Judgement<'a>) -> Reason<'a> {
    match judgement {
        Judgement::NotAMember => Reason::NotAMember(policy),
        Judgement::Lacks(group) => Reason::LacksGroup { policy, group },
        Judgement::Excluded(group) => Reason::ExcludedGroup { policy, group },
        Judgement::NotNamed => Reason::NotNamed(policy),
        Judgement::OtherEmailDomain => Reason::OtherEmailDomain(policy),
        Judgement::OutsideNetworks => Reason::OutsideNetworks(policy),
        _ => Reason::Closed(policy),
    }
}

/// Decides whether `request` may reach `service`, and says why. What nothing allows is denied.
#[must_use]
pub fn decide<'a>(
    request: &ForwardedRequest,
    identity: Option<&Identity>,
    service: &'a Service,
    named: Option<&'a Policy>,
) -> Decision<'a> {
    match demand(request, service, named) {
        Ok(demand) => demand.judge(request, identity),
        Err(reason) => Decision::Deny(reason),
    }
}

#[cfg(test)]
#[path = "decision_tests.rs"]
mod tests;
