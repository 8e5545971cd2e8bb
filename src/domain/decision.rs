//! The decision: may this request pass, and why (not)? Pure, so that the answer, the log and every
//! explanation come from one value.

use crate::domain::authentication::{Authentication, Caller};
use crate::domain::forwarded::ForwardedRequest;
use crate::domain::paths::Readings;
use crate::domain::policy::{Judgement, Policy, Requirement};
pub use crate::domain::reason::Reason;
use crate::domain::rules::{Fit, Rule};
use crate::domain::service::{Posture, Service, ServicePolicy};
use crate::domain::service_table::NoService;

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
/// policy and that of every rule that fits any of its readings must allow it. Where a header may put another path in
/// its place, any path is a reading of it.
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
    let plain = request.plainness().is_ok();
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

    /// The policies that this proof of who somebody is does not satisfy, which are what a step-up is for.
    pub fn lacking(&self, authentication: Authentication<'_>) -> impl Iterator<Item = &'a Policy> {
        self.policies()
            .filter(move |policy| policy.lacking(authentication).is_some())
    }

    /// Decides for `caller`; `None` is somebody who is not signed in.
    #[must_use]
    pub fn judge(&self, request: &ForwardedRequest, caller: Option<Caller<'_>>) -> Decision<'a> {
        let decision = self.judge_by_policies(request, caller);
        // Whoever is refused at last is not sent to sign in again first.
        let passes = match &decision {
            Decision::Allow(_) => true,
            Decision::Challenge(reason) => reason.asks_for_step_up(),
            Decision::Deny(_) | Decision::Unavailable(_) => false,
        };
        if passes && let Some(refused) = self.refused_at_last(request, caller) {
            return Decision::Deny(refused);
        }
        match decision {
            Decision::Challenge(_) if self.service.posture == Posture::Internal => {
                Decision::Deny(Reason::NoLoginHere)
            }
            Decision::Challenge(_) if self.is_preflight_for_app(request) => {
                Decision::Allow(Reason::Preflight)
            }
            other => other,
        }
    }

    /// Why a request is refused although every policy lets it pass.
    fn refused_at_last(
        &self,
        request: &ForwardedRequest,
        caller: Option<Caller<'_>>,
    ) -> Option<Reason<'a>> {
        if self.would_echo(request) {
            return Some(Reason::Echo);
        }
        if self.is_forged(request, caller) {
            return Some(Reason::CrossSite);
        }
        let told = caller.filter(|_| self.reveals_identity());
        told.and_then(|caller| self.service.reserved_name_of(caller.identity))
            .map(Reason::ReservedUser)
    }

    /// Whether the app would send its own credential back to whoever asks (TRACE, RFC 9110 §9.3.8).
    fn would_echo(&self, request: &ForwardedRequest) -> bool {
        request.method.eq_ignore_ascii_case("TRACE") && !self.service.upstream.is_empty()
    }

    /// Every policy must allow. A refusal outweighs a challenge, because signing in would not help; a step-up that has
    /// just been in vain is a refusal too, which any other outweighs.
    fn judge_by_policies(
        &self,
        request: &ForwardedRequest,
        caller: Option<Caller<'_>>,
    ) -> Decision<'a> {
        let mut challenge = None;
        let mut allowed = None;
        let in_vain = caller.map_or(&[][..], |caller| caller.authentication.in_vain);
        let mut is_in_vain = false;
        for policy in self.policies() {
            let judgement = policy.judge(caller, request.client);
            let reason = match judgement {
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
                Judgement::OtherMethod | Judgement::AuthTimeUnknown | Judgement::AuthTooOld => {
                    let tried = in_vain.contains(&policy.name);
                    if challenge.is_none() || (tried && !is_in_vain) {
                        challenge = Some(refusal(policy, judgement));
                    }
                    is_in_vain |= tried;
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
            (Some(reason), _) if is_in_vain => Decision::Deny(reason),
            (Some(reason), _) => Decision::Challenge(reason),
            (None, Some(reason)) => Decision::Allow(reason),
            // Cannot be: a demand holds at least one policy, and each gives a reason. Closed if it were.
            (None, None) => Decision::Deny(Reason::Closed(self.policy)),
        }
    }

    /// Whether a page of another site made a browser ask for something that only the browser's cookie, or its
    /// network, lets pass.
    fn is_forged(&self, request: &ForwardedRequest, caller: Option<Caller<'_>>) -> bool {
        let guard = self.service.guard.as_ref();
        guard.is_some_and(|guard| self.is_guarded(caller) && !guard.admits(request))
    }

    /// Whether the same-origin guard has a say, where the service has one: a browser's cookie or its network
    /// is what lets the request pass.
    #[must_use]
    pub fn is_guarded(&self, caller: Option<Caller<'_>>) -> bool {
        let by_cookie = caller.is_some() && !self.ignores_identity();
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

/// Why `policy` wants another sign-in than this one; `None` when it will do.
#[must_use]
pub fn lacking<'a>(policy: &'a Policy, authentication: Authentication<'_>) -> Option<Reason<'a>> {
    let judgement = policy.lacking(authentication)?;
    Some(refusal(policy, judgement))
}

/// The reason of a judgement that is no.
fn refusal<'a>(policy: &'a Policy, judgement: Judgement<'a>) -> Reason<'a> {
    match judgement {
        Judgement::NotAMember => Reason::NotAMember(policy),
        Judgement::Lacks(group) => Reason::LacksGroup { policy, group },
        Judgement::Excluded(group) => Reason::ExcludedGroup { policy, group },
        Judgement::NotNamed => Reason::NotNamed(policy),
        Judgement::OtherEmailDomain => Reason::OtherEmailDomain(policy),
        Judgement::OtherMethod => Reason::AuthMethod(policy),
        Judgement::AuthTimeUnknown => Reason::AuthTimeUnknown(policy),
        Judgement::AuthTooOld => Reason::AuthTooOld(policy),
        Judgement::OutsideNetworks => Reason::OutsideNetworks(policy),
        _ => Reason::Closed(policy),
    }
}

/// Decides whether `request` may reach `service`, and says why. What nothing allows is denied.
#[must_use]
pub fn decide<'a>(
    request: &ForwardedRequest,
    caller: Option<Caller<'_>>,
    service: &'a Service,
    named: Option<&'a Policy>,
) -> Decision<'a> {
    match demand(request, service, named) {
        Ok(demand) => demand.judge(request, caller),
        Err(reason) => Decision::Deny(reason),
    }
}

#[cfg(test)]
#[path = "decision_tests.rs"]
mod tests;
