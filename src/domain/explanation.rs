//! The decision about one request, told step by step.
//!
//! It is [`demand`] and [`Demand::judge`] that decide here, as they do for the proxy. What a step says comes from
//! the same functions that these two ask, so the words cannot tell another story than the answer.

use crate::domain::authentication::Caller;
use crate::domain::decision::{Decision, Demand, Reason, demand, no_service};
use crate::domain::forwarded::ForwardedRequest;
use crate::domain::identity::Identity;
use crate::domain::judgement_words::{names, words};
use crate::domain::paths::{RESERVED_PREFIX, Readings, is_reserved};
use crate::domain::policy::{Policies, Policy};
use crate::domain::rules::{Fit, Mismatch, Rule};
use crate::domain::service::{Service, ServicePolicy};
use crate::domain::service_table::{NoService, ServiceTable};
use crate::domain::telling::{Told, allow_not_copied, headers, not_copied};
use crate::domain::upstream_key::Tokens;

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Question<'q> {
    /// About which request.
    pub request: &'q ForwardedRequest,
    /// Who is signed in at its host; `None` is nobody.
    pub caller: Option<Caller<'q>>,
    /// The policy that the proxy names in the path that it asks.
    pub named: Option<&'q str>,
}

/// What the configuration says.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The protected apps.
    pub services: &'a ServiceTable,
    /// All policies.
    pub policies: &'a Policies,
    /// Whether the portal is `https`.
    pub secure_portal: bool,
}

/// A decision, and how it came about.
#[derive(Debug)]
pub struct Explanation<'a> {
    /// What becomes of the request.
    pub decision: Decision<'a>,
    /// The app that the host means.
    pub service: Option<&'a Service>,
    /// In the order in which they were taken.
    pub steps: Vec<Step>,
    /// What the app is told; nothing unless the request passes. A token of the person's, which only a session
    /// has, is a stand-in.
    pub headers: Vec<Told<'a>>,
}

/// One step to a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What was looked at: `host`, `bypass[0]`, `policy media`.
    pub rule: String,
    /// Whether it applies, holds or allows.
    pub matched: bool,
    /// Why (not), in words.
    pub why: String,
}

impl Step {
    /// A step.
    #[must_use]
    pub fn new(rule: impl Into<String>, matched: bool, why: impl Into<String>) -> Self {
        Self {
            rule: rule.into(),
            matched,
            why: why.into(),
        }
    }
}

/// Decides, and says how.
#[must_use]
pub fn explain<'a>(question: Question<'_>, facts: Facts<'a>) -> Explanation<'a> {
    let mut steps = Vec::new();
    let mut told = Vec::new();
    let service = find(question.request, facts, &mut steps);
    let (service, decision) = match service {
        Err(refused) => (None, refused),
        Ok(service) => {
            let decision = at_service(question, facts, service, &mut steps, &mut told);
            (Some(service), decision)
        }
    };
    Explanation {
        decision,
        service,
        steps,
        headers: told,
    }
}

fn find<'a>(
    request: &ForwardedRequest,
    facts: Facts<'a>,
    steps: &mut Vec<Step>,
) -> Result<&'a Service, Decision<'a>> {
    let authority = &request.authority;
    match facts.services.find_entry(authority) {
        Ok((service, entry)) => {
            let why = format!("\"{entry}\" of the service \"{}\" means it", service.name);
            steps.push(Step::new("host", true, why));
            Ok(service)
        }
        Err(none) => {
            let why = match none {
                NoService::Unknown => {
                    format!("no service names \"{authority}\", and what nothing allows is denied")
                }
                NoService::UnknownPort => {
                    format!("a service names the host of \"{authority}\", but not the port")
                }
                NoService::OwnHost => {
                    format!("\"{authority}\" is the portal's or the issuer's, which no service has")
                }
            };
            steps.push(Step::new("host", false, why));
            Err(no_service(
                none,
                request,
                request.is_insecure(facts.secure_portal),
            ))
        }
    }
}

fn at_service<'a>(
    question: Question<'_>,
    facts: Facts<'a>,
    service: &'a Service,
    steps: &mut Vec<Step>,
    told: &mut Vec<Told<'a>>,
) -> Decision<'a> {
    let request = question.request;
    let path = request.target.path();
    if is_reserved(path) {
        let why = match path.strip_prefix(RESERVED_PREFIX) {
            Some("enter" | "logout") => {
                "Portcullis answers this path itself, and the app never sees it"
            }
            _ => "some reader would look for it below /.portcullis/, where the app has nothing",
        };
        steps.push(Step::new("reserved path", true, why));
        return Decision::Deny(Reason::ReservedPath);
    }
    let why = "the path is not below /.portcullis/";
    steps.push(Step::new("reserved path", false, why));
    steps.push(match request.plainness() {
        Ok(()) => Step::new("plain path", true, "every reader takes it for the same"),
        Err(not) => Step::new("plain path", false, format!("{not}, so no rule lets it by")),
    });
    let named = match question.named {
        None => None,
        Some(name) => {
            let found = facts.policies.get(name);
            let Some(policy) = found else {
                let why = format!("no policy is called \"{name}\"");
                steps.push(Step::new("policy of the proxy", false, why));
                return Decision::Deny(Reason::UnknownPolicy);
            };
            Some(&**policy)
        }
    };
    let demand = demand(request, service, named);
    add_rules(request, service, &demand, steps);
    add_named(service, named, &demand, steps);
    let demand = match demand {
        Ok(demand) => demand,
        Err(reason) => return Decision::Deny(reason),
    };
    add_own_policy(service, &demand, steps);
    judge(question, facts, service, &demand, steps, told)
}

/// A step for each rule.
fn add_rules(
    request: &ForwardedRequest,
    service: &Service,
    demand: &Result<Demand<'_>, Reason<'_>>,
    steps: &mut Vec<Step>,
) {
    let readings = Readings::of(request.target.path());
    let decides = demand.as_ref().ok().and_then(Demand::rule);
    let mut ended_by = None;
    for rule in &service.rules {
        let (matched, why) = if matches!(demand, Err(Reason::PolicyLoosens)) {
            let why = "not looked at: the proxy named a policy that it may not name";
            (false, why.to_owned())
        } else if let Some(label) = ended_by {
            (false, format!("not looked at: {label} decides"))
        } else if decides.is_some_and(|decides| std::ptr::eq(decides, rule)) {
            ended_by = Some(&rule.label);
            let policy = &rule.policy.name;
            (
                true,
                format!("all its conditions hold, so its policy \"{policy}\" decides"),
            )
        } else {
            fit(rule, rule.fit(request, &readings), request)
        };
        steps.push(Step::new(&rule.label, matched, why));
    }
}

/// What becomes of a rule that does not decide.
fn fit(rule: &Rule, fit: Fit<'_>, request: &ForwardedRequest) -> (bool, String) {
    let holds = match fit {
        Fit::No(mismatch) => return (false, mismatch_words(rule, mismatch, request)),
        Fit::Exact => "its conditions hold, but the path is not plain",
        Fit::OtherReading if request.overrides_method && !rule.methods.is_empty() => {
            "the app might take the request for another method, as a header asks"
        }
        Fit::OtherReading
            if !rule.methods.is_empty()
                && !rule.methods.iter().any(|method| *method == request.method) =>
        {
            "only if the app takes the method in any letter case"
        }
        Fit::OtherReading if rule.is_unsure_of_header(request) => {
            "its header is there more than once, or in another spelling"
        }
        Fit::OtherReading if request.overrides_path && !rule.paths.is_empty() => {
            "the app might take the request for another path, as a header asks"
        }
        Fit::OtherReading => "only in another reading of the path",
    };
    let policy = &rule.policy;
    if policy.is_bypass() {
        return (false, format!("{holds}, so it lets nothing by"));
    }
    let name = &policy.name;
    (
        true,
        format!("{holds}, so its policy \"{name}\" must allow as well"),
    )
}

fn mismatch_words(rule: &Rule, mismatch: Mismatch<'_>, request: &ForwardedRequest) -> String {
    match mismatch {
        Mismatch::Path => {
            let paths = rule.paths.iter().map(|path| path.as_written().to_owned());
            format!("{mismatch}: not {}", paths.collect::<Vec<_>>().join(", "))
        }
        Mismatch::Method => {
            let methods = rule.methods.join(", ");
            format!("{mismatch}: {}, not {methods}", request.method)
        }
        Mismatch::Network => {
            let networks = rule.networks.iter().map(ToString::to_string);
            let networks = networks.collect::<Vec<_>>().join(", ");
            format!("{mismatch}: {}, not {networks}", request.client)
        }
        Mismatch::UnknownClient | Mismatch::Header(_) => mismatch.to_string(),
    }
}

fn add_named(
    service: &Service,
    named: Option<&Policy>,
    demand: &Result<Demand<'_>, Reason<'_>>,
    steps: &mut Vec<Step>,
) {
    let from_proxy = service.policy == ServicePolicy::FromProxy;
    let (matched, why) = match (named, demand) {
        (_, Err(Reason::PolicyLoosens)) => (
            false,
            "the proxy named \"bypass\", and it may only tighten".to_owned(),
        ),
        (None, Err(Reason::PolicyNotNamed)) => (
            false,
            "the service takes its policy from the proxy, which named none".to_owned(),
        ),
        (None, _) => return,
        (Some(named), Ok(demand)) if demand.rule().is_none() && from_proxy => (
            true,
            format!("the service takes \"{}\" as its own", named.name),
        ),
        (Some(named), Ok(demand)) if demand.policies().any(|policy| policy == named) => {
            (true, format!("\"{}\" must allow as well", named.name))
        }
        (Some(named), _) => (
            false,
            format!(
                "\"{}\" is not asked, since the request is let by",
                named.name
            ),
        ),
    };
    steps.push(Step::new("policy of the proxy", matched, why));
}

fn add_own_policy(service: &Service, demand: &Demand<'_>, steps: &mut Vec<Step>) {
    let ServicePolicy::Own(policy) = &service.policy else {
        return;
    };
    let name = &policy.name;
    let (matched, why) = match demand.rule() {
        Some(rule) => (
            false,
            format!("\"{name}\" is not asked, since {} decides", rule.label),
        ),
        None if service.rules.is_empty() => (true, format!("\"{name}\" decides")),
        None => (true, format!("no rule decides, so \"{name}\" does")),
    };
    steps.push(Step::new("policy of the service", matched, why));
}

/// The verdict of every policy, and what comes after them.
fn judge<'a>(
    question: Question<'_>,
    facts: Facts<'a>,
    service: &'a Service,
    demand: &Demand<'a>,
    steps: &mut Vec<Step>,
    told: &mut Vec<Told<'a>>,
) -> Decision<'a> {
    let request = question.request;
    // As for the proxy: where the answer is the same for everybody, nobody is looked up.
    let caller = question.caller.filter(|_| !demand.ignores_identity());
    for policy in demand.policies() {
        let judgement = policy.judge(caller, request.client);
        let why = words(policy, judgement, caller, request.client);
        let label = format!("policy {}", policy.name);
        steps.push(Step::new(label, judgement.passes(), why));
    }
    add_guard(service, demand, request, caller, steps);
    let decision = demand.judge(request, caller);
    match &decision {
        Decision::Deny(Reason::ReservedUser(name)) => {
            let why =
                format!("\"{name}\" is the app's own administrator, and this person may not be");
            steps.push(Step::new("reserved users", false, why));
        }
        Decision::Allow(Reason::Preflight) => {
            let why = "a browser asks whether another site's page may ask; the app answers that";
            steps.push(Step::new("preflight", true, why));
        }
        _ => {}
    }
    match decision {
        Decision::Allow(reason) => {
            let person = caller
                .map(|caller| caller.identity)
                .filter(|_| demand.names_person(&reason));
            match tell(request, service, person, steps) {
                Ok(headers) => {
                    *told = headers;
                    Decision::Allow(reason)
                }
                Err(refused) => refused,
            }
        }
        Decision::Challenge(_) if request.is_insecure(facts.secure_portal) => {
            let why = "asked over http, where our cookies do not travel, so a login could not work";
            steps.push(Step::new("scheme", false, why));
            Decision::Deny(Reason::InsecureScheme)
        }
        other => other,
    }
}

fn add_guard(
    service: &Service,
    demand: &Demand<'_>,
    request: &ForwardedRequest,
    caller: Option<Caller<'_>>,
    steps: &mut Vec<Step>,
) {
    let (matched, why) = match &service.guard {
        None => (true, "it is off for this service".to_owned()),
        Some(_) if !demand.is_guarded(caller) => (
            true,
            "not asked: neither a cookie nor a network lets this pass".to_owned(),
        ),
        Some(guard) => {
            let verdict = guard.verdict(request);
            (verdict.admits(), verdict.to_string())
        }
    };
    steps.push(Step::new("same-origin guard", matched, why));
}

fn tell<'a>(
    request: &ForwardedRequest,
    service: &'a Service,
    person: Option<&Identity>,
    steps: &mut Vec<Step>,
) -> Result<Vec<Told<'a>>, Decision<'a>> {
    for name in not_copied(request, service) {
        let why = format!("the proxy does not copy {name}, which the service sets");
        steps.push(Step::new("copy list", false, why));
        allow_not_copied(service, name)?;
    }
    // A made-up person has no tokens. That one would be sent is all there is to say.
    let tokens = Tokens {
        access: Some("stand-in".into()),
        id: Some("stand-in".into()),
        refresh: None,
    };
    let told = headers(service, person, &tokens).inspect_err(|refused| {
        steps.push(Step::new("headers", false, refused.reason().to_string()));
    })?;
    let withheld: Vec<&str> = person
        .filter(|_| !service.headers.is_empty())
        .map(|person| service.style.unsendable_groups(person).collect())
        .unwrap_or_default();
    if !withheld.is_empty() {
        let why = format!(
            "left out, since no header of this service can carry them whole: {}",
            names(&withheld)
        );
        steps.push(Step::new("groups", false, why));
    }
    Ok(told)
}

#[cfg(test)]
#[path = "explanation_tests.rs"]
mod tests;
