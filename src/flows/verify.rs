//! The check of one request: whose is it, may it pass, and what is the proxy told?

use std::sync::Arc;

use crate::domain::authentication::Caller;
use crate::domain::decision::{Decision, Demand, Reason, demand, no_service};
use crate::domain::forwarded::ForwardedRequest;
use crate::domain::navigation::ChallengeForm;
use crate::domain::paths::{RESERVED_PREFIX, is_reserved};
use crate::domain::service::Service;
use crate::domain::service_table::NoService;
use crate::flows::answer::{Answer, Credentials, Refusal};
use crate::flows::challenge::{app_login_url, challenge, is_insecure};
use crate::flows::step_up::For;
use crate::flows::tell::{Person, tell};
use crate::flows::{Gate, enter, logout};

/// What becomes of a request below `/.portcullis/` of a protected host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnPaths {
    /// It is answered, as all others are.
    Answered,
    /// It is refused: whoever asks cannot hand on an answer with several cookies.
    Refused,
    /// It is answered, and nothing else is.
    Alone,
}

/// Checks `request`. `found` is what the table of services says of its host; `named` is the policy in the path that the
/// proxy asked (`/verify/policy/{name}`). Whatever cannot be decided does not pass.
pub async fn verify<'g>(
    gate: &'g Gate,
    request: &ForwardedRequest,
    found: Result<&'g Arc<Service>, NoService>,
    named: Option<&str>,
    own_paths: OwnPaths,
    credentials: &Credentials,
) -> Answer<'g> {
    let refuse = |decision| Answer::Refuse(Refusal::new(request, decision));
    let service = match found {
        Ok(service) => service,
        Err(none) => return refuse(no_service(none, request, is_insecure(gate, request))),
    };
    // Only the plain spelling acts; no other is for the app either, in case it reads it like that.
    let path = request.target.path();
    if is_reserved(path) || own_paths == OwnPaths::Alone {
        let name = path.strip_prefix(RESERVED_PREFIX);
        return match name.filter(|_| own_paths != OwnPaths::Refused) {
            Some("enter") => enter::enter(gate, request, service, credentials).await,
            Some("logout") => logout::logout_at_host(gate, request, service, credentials).await,
            _ => refuse(Decision::Deny(Reason::ReservedPath)),
        };
    }
    let named = match named.map(|name| gate.policies.get(name)) {
        None => None,
        Some(Some(policy)) => Some(&**policy),
        Some(None) => return refuse(Decision::Deny(Reason::UnknownPolicy)),
    };
    match demand(request, service, named) {
        Ok(demand) => judge(gate, request, service, &demand, credentials).await,
        Err(reason) => Answer::Refuse(Refusal::new(request, Decision::Deny(reason)).at(service)),
    }
}

async fn judge<'g>(
    gate: &'g Gate,
    request: &ForwardedRequest,
    service: &'g Service,
    demand: &Demand<'g>,
    credentials: &Credentials,
) -> Answer<'g> {
    let mut session = None;
    // A bypass asks for nobody, so it goes on working while the store does not.
    if !demand.ignores_identity()
        && let Some(id) = &credentials.session
    {
        match gate.session(id).await {
            Ok(found) => session = found,
            Err(error) => {
                tracing::debug!(%error, "a session could not be looked up");
                let decision = Decision::Unavailable(Reason::StoreUnavailable);
                return Answer::Refuse(Refusal::new(request, decision).at(service));
            }
        }
    }
    let caller = session
        .as_ref()
        .map(|session| session.caller(gate.clock.now()));
    let decision = match demand.judge(request, caller) {
        Decision::Allow(reason) => {
            let person = match (&session, &credentials.session) {
                (Some(known), Some(session)) if demand.names_person(&reason) => {
                    Some(Person { known, session })
                }
                _ => None,
            };
            match tell(gate, request, service, person).await {
                Ok(told) => {
                    return Answer::Pass {
                        reason,
                        service,
                        told,
                    };
                }
                Err(refused) => refused,
            }
        }
        Decision::Challenge(reason) => {
            let step_up = step_up(demand, caller);
            let mut answer = challenge(gate, request, service, (reason, &step_up), credentials);
            if let Answer::Refuse(refusal) = &mut answer {
                refusal.identity = session.map(|session| session.identity.clone());
            }
            return answer;
        }
        refused => refused,
    };
    let mut refusal = Refusal::new(request, decision).at(service);
    if refusal.decision.reason().asks_for_step_up() {
        // The last one was in vain; whoever knows better may try once more.
        let step_up = step_up(demand, caller);
        refusal.login_url = Some(match request.initiator.challenge_form(&request.method) {
            ChallengeForm::Redirect => gate.plain_login_link(&request.url(), &step_up),
            _ => app_login_url(gate, request, &step_up),
        });
    }
    refusal.identity = session.as_ref().map(|session| session.identity.clone());
    Answer::Refuse(refusal)
}

/// What a login has to be good enough for, where somebody is signed in who has to do so again.
fn step_up(demand: &Demand<'_>, caller: Option<Caller<'_>>) -> For {
    match caller {
        Some(caller) => For::policies(demand.lacking(caller.authentication)),
        None => For::default(),
    }
}
