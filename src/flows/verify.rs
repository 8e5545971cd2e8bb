//! The check of one request: whose is it, may it pass, and what is the proxy told?

use crate::domain::decision::{Decision, Demand, Reason, demand};
use crate::domain::forwarded::ForwardedRequest;
use crate::domain::host::Scheme;
use crate::domain::identity::Identity;
use crate::domain::identity_headers;
use crate::domain::navigation::ChallengeForm;
use crate::domain::return_to::RESERVED_PREFIX;
use crate::domain::service::{NoService, Service};
use crate::domain::session::SessionId;
use crate::flows::handover::{Flow, FlowSecret};
use crate::flows::{Gate, enter, logout};

/// What the browser brought along for the host that it asked.
#[derive(Debug, Default)]
pub struct Credentials {
    /// The session that this host's cookie names. It may have ended.
    pub session: Option<SessionId>,
    /// This host's flow cookie.
    pub flow: Option<FlowSecret>,
}

/// What the proxy is told.
#[derive(Debug)]
pub enum Answer<'g> {
    /// Let it pass, with the values of the identity headers.
    Pass {
        /// Why.
        reason: Reason<'g>,
        /// In the order of [`identity_headers::IDENTITY_HEADERS`].
        headers: [String; 4],
    },
    /// Send the browser elsewhere.
    Redirect {
        /// An absolute URL.
        location: String,
        /// What to do to the cookies of the host that was asked.
        cookies: Vec<CookieChange>,
    },
    /// Do not let it pass.
    Refuse(Refusal<'g>),
}

/// A refusal, with all that a page about it can say.
#[derive(Debug)]
pub struct Refusal<'g> {
    /// The decision; never an Allow.
    pub decision: Decision<'g>,
    /// Whether a person waits for a page.
    pub page: bool,
    /// Where to sign in, if that would help.
    pub login_url: Option<String>,
    /// The app that was asked for.
    pub service: Option<&'g str>,
    /// Who asked.
    pub identity: Option<Identity>,
}

/// A change to the cookies of a protected host.
#[derive(Debug)]
pub enum CookieChange {
    /// Remember that a login was begun here.
    SetFlow(FlowSecret),
    /// Forget it.
    DropFlow,
    /// Remember the session.
    SetSession(SessionId),
    /// Forget it.
    DropSession,
}

impl<'g> Refusal<'g> {
    pub(super) fn new(request: &ForwardedRequest, decision: Decision<'g>) -> Self {
        Self {
            decision,
            page: request.initiator.is_navigation(),
            login_url: None,
            service: None,
            identity: None,
        }
    }

    pub(super) fn at(mut self, service: &'g Service) -> Self {
        self.service = Some(&service.name);
        self
    }
}

/// Checks `request`. `named` is the policy in the path that the proxy asked (`/verify/policy/{name}`).
/// Whatever cannot be decided does not pass.
pub async fn verify<'g>(
    gate: &'g Gate,
    request: &ForwardedRequest,
    named: Option<&str>,
    credentials: &Credentials,
) -> Answer<'g> {
    let refuse = |decision| Answer::Refuse(Refusal::new(request, decision));
    let service = match gate.services.find(&request.authority) {
        Ok(service) => service,
        Err(NoService::Unknown) => return refuse(Decision::Deny(Reason::UnknownHost)),
        Err(NoService::UnknownPort) => return refuse(Decision::Deny(Reason::UnknownPort)),
        Err(NoService::OwnHost) => return refuse(Decision::Deny(Reason::OwnHost)),
    };
    if let Some(path) = request.target.path().strip_prefix(RESERVED_PREFIX) {
        return match path {
            "enter" => enter::enter(gate, request, service, credentials).await,
            "logout" => logout::logout_at_host(gate, request, service, credentials).await,
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
    let mut identity = None;
    // A bypass asks for nobody, so it goes on working while the store does not.
    if !demand.ignores_identity()
        && let Some(id) = &credentials.session
    {
        match gate.sessions.load(id).await {
            Ok(session) => identity = session.map(|session| session.identity),
            Err(error) => {
                tracing::error!(%error, "a session could not be looked up");
                let decision = Decision::Unavailable(Reason::StoreUnavailable);
                return Answer::Refuse(Refusal::new(request, decision).at(service));
            }
        }
    }
    let decision = match demand.judge(identity.as_ref()) {
        Decision::Allow(reason) => {
            let told = identity.as_ref().filter(|_| demand.reveals_identity());
            match identity_headers::values(told) {
                Ok(headers) => return Answer::Pass { reason, headers },
                Err(identity_headers::TooLarge) => Decision::Deny(Reason::HeadersTooLarge),
            }
        }
        Decision::Challenge(reason) => {
            return challenge(gate, request, service, reason, credentials);
        }
        refused => refused,
    };
    let mut refusal = Refusal::new(request, decision).at(service);
    refusal.identity = identity;
    Answer::Refuse(refusal)
}

/// Tells somebody who is not signed in to do so, in the form that the request can take.
fn challenge<'g>(
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
