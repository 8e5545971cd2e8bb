//! Telling somebody who is not signed in to do so, in the form that their request can take.

use crate::domain::decision::{Decision, Reason};
use crate::domain::forwarded::ForwardedRequest;
use crate::domain::navigation::ChallengeForm;
use crate::domain::reason::ReasonKind;
use crate::domain::service::Service;
use crate::flows::answer::{Answer, CookieChange, Credentials, Errand, Refusal};
use crate::flows::handover::{Flow, FlowSecret};
use crate::flows::step_up::For;
use crate::flows::{Gate, MAX_HOPS, MAX_STEP_UP_HOPS};

/// Answers a request that would pass if its sender were signed in; or, where `step_up` is for something, if they signed
/// in again.
pub(super) fn challenge<'g>(
    gate: &'g Gate,
    request: &ForwardedRequest,
    service: &'g Service,
    (reason, step_up): (Reason<'g>, &For),
    credentials: &Credentials,
) -> Answer<'g> {
    let form = request.initiator.challenge_form(&request.method);
    let frame = match form {
        ChallengeForm::Redirect => false,
        ChallengeForm::RedirectFrame => true,
        ChallengeForm::Page | ChallengeForm::Problem if is_insecure(gate, request) => {
            let decision = Decision::Deny(Reason::InsecureScheme);
            return Answer::Refuse(Refusal::new(request, decision).at(service));
        }
        ChallengeForm::Page | ChallengeForm::Problem => {
            let mut refusal = Refusal::new(request, Decision::Challenge(reason)).at(service);
            refusal.page = form == ChallengeForm::Page;
            refusal.login_url = Some(app_login_url(gate, request, step_up));
            refusal.step_up = (!step_up.is_none()).then(|| Box::new(step_up.asks(gate)));
            return Answer::Refuse(refusal);
        }
    };
    begin_login(
        gate,
        request,
        service,
        Login {
            reason: reason.kind(),
            target: &request.url(),
            step_up,
            hops: credentials.hops,
            frame,
            flow: credentials.flow.as_ref(),
        },
    )
}

/// A login that a protected host begins.
#[derive(Clone, Copy)]
pub(super) struct Login<'a> {
    /// Why.
    pub(super) reason: ReasonKind,
    /// Where to come back to.
    pub(super) target: &'a str,
    /// What it is to be good enough for.
    pub(super) step_up: &'a For,
    /// How often it was begun already.
    pub(super) hops: u8,
    /// Whether this is in a frame.
    pub(super) frame: bool,
    /// The host's flow cookie.
    pub(super) flow: Option<&'a FlowSecret>,
}

/// Sends the browser to the portal, to come back to the target; or says why that would be in vain. Tabs that
/// begin at once share the flow cookie, so that none of them outdates the others.
pub(super) fn begin_login<'g>(
    gate: &'g Gate,
    request: &ForwardedRequest,
    service: &'g Service,
    login: Login<'_>,
) -> Answer<'g> {
    if is_insecure(gate, request) {
        let decision = Decision::Deny(Reason::InsecureScheme);
        return Answer::Refuse(Refusal::new(request, decision).at(service));
    }
    let most = if login.step_up.is_none() {
        MAX_HOPS
    } else {
        MAX_STEP_UP_HOPS
    };
    if login.hops >= most {
        let mut refusal = Refusal::new(request, Decision::Deny(Reason::LoginLoop)).at(service);
        refusal.page = true;
        return Answer::Refuse(refusal);
    }
    let mut cookies = Vec::new();
    let secret = login.flow.cloned().unwrap_or_else(|| {
        let secret = FlowSecret::new();
        cookies.push(CookieChange::SetFlow(secret.clone()));
        secret
    });
    let flow = Flow {
        cookie: secret.hash(),
        hops: login.hops,
    };
    Answer::Redirect {
        errand: Errand::SignIn(login.reason),
        location: gate.login_link(login.target, login.step_up, flow, login.frame),
        cookies,
    }
}

/// Whether a login could not work, because our cookies do not travel over plain `http`.
pub(super) fn is_insecure(gate: &Gate, request: &ForwardedRequest) -> bool {
    request.is_insecure(gate.public_url.scheme() == "https")
}

/// The link for a script or a page to offer: to the app's front page, since the request itself cannot be
/// repeated by following a link.
pub(super) fn app_login_url(gate: &Gate, request: &ForwardedRequest, step_up: &For) -> String {
    let front = format!("{}://{}/", request.scheme.as_str(), request.authority);
    gate.plain_login_link(&front, step_up)
}
