//! Telling somebody who is not signed in to do so, in the form that their request can take.

use crate::domain::decision::{Decision, Reason};
use crate::domain::forwarded::ForwardedRequest;
use crate::domain::host::Scheme;
use crate::domain::navigation::ChallengeForm;
use crate::domain::service::Service;
use crate::flows::Gate;
use crate::flows::answer::{Answer, CookieChange, Credentials, Refusal};
use crate::flows::handover::{Flow, FlowSecret};

/// Answers a request that would pass if its sender were signed in.
pub(super) fn challenge<'g>(
    gate: &'g Gate,
    request: &ForwardedRequest,
    service: &'g Service,
    reason: Reason<'g>,
    credentials: &Credentials,
) -> Answer<'g> {
    if is_insecure(gate, request) {
        let decision = Decision::Deny(Reason::InsecureScheme);
        return Answer::Refuse(Refusal::new(request, decision).at(service));
    }
    let form = request.initiator.challenge_form(&request.method);
    let frame = match form {
        ChallengeForm::Redirect => false,
        ChallengeForm::RedirectFrame => true,
        ChallengeForm::Page | ChallengeForm::Problem => {
            let mut refusal = Refusal::new(request, Decision::Challenge(reason)).at(service);
            refusal.page = form == ChallengeForm::Page;
            refusal.login_url = Some(app_login_url(gate, request));
            return Answer::Refuse(refusal);
        }
    };
    begin_login(gate, &request.url(), 0, frame, credentials)
}

/// Whether a login could not work, because our cookies do not travel over plain `http`.
fn is_insecure(gate: &Gate, request: &ForwardedRequest) -> bool {
    request.scheme == Scheme::Http && gate.public_url.scheme() == "https"
}

/// Sends the browser to the portal, to come back to `target`. Tabs that begin at once share the flow
/// cookie, so that none of them outdates the others.
pub(super) fn begin_login<'g>(
    gate: &'g Gate,
    target: &str,
    hops: u8,
    frame: bool,
    credentials: &Credentials,
) -> Answer<'g> {
    let mut cookies = Vec::new();
    let secret = credentials.flow.clone().unwrap_or_else(|| {
        let secret = FlowSecret::new();
        cookies.push(CookieChange::SetFlow(secret.clone()));
        secret
    });
    let flow = Flow {
        cookie: secret.hash(),
        hops,
    };
    Answer::Redirect {
        location: gate.login_link(target, flow, frame),
        cookies,
    }
}

/// The link for a script or a page to offer: to the app's front page, since the request itself cannot be
/// repeated by following a link.
fn app_login_url(gate: &Gate, request: &ForwardedRequest) -> String {
    let front = format!("{}://{}/", request.scheme.as_str(), request.authority);
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("rd", &front);
    gate.portal_url(&format!("/login?{}", query.finish()))
}
