//! What the check of a request works with, and what the proxy is told.

use std::sync::Arc;

use crate::domain::authentication::StepUp;
use crate::domain::decision::{Decision, Reason};
use crate::domain::forwarded::ForwardedRequest;
use crate::domain::identity::Identity;
use crate::domain::reason::ReasonKind;
use crate::domain::service::Service;
use crate::domain::session::SessionId;
use crate::domain::telling::Prepared;
use crate::flows::handover::FlowSecret;

/// What the browser brought along for the host that it asked.
#[derive(Debug, Default)]
pub struct Credentials {
    /// The session that this host's cookie names. It may have ended.
    pub session: Option<SessionId>,
    /// This host's flow cookie.
    pub flow: Option<FlowSecret>,
    /// How many logins in a row have just ended here without taking.
    pub hops: u8,
}

/// What the proxy is told.
pub enum Answer<'g> {
    /// Let it pass, and tell the app this.
    Pass {
        /// Why.
        reason: Reason<'g>,
        /// Which app.
        service: &'g Service,
        /// The values of the service's header plan, for the proxy to copy.
        told: Arc<Prepared>,
    },
    /// Send the browser elsewhere.
    Redirect {
        /// What for.
        errand: Errand,
        /// An absolute URL.
        location: String,
        /// What to do to the cookies of the host that was asked.
        cookies: Vec<CookieChange>,
    },
    /// Do not let it pass.
    Refuse(Refusal<'g>),
}

/// What a browser is sent elsewhere for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errand {
    /// To sign in, for this reason.
    SignIn(ReasonKind),
    /// On from `enter`.
    Enter,
    /// On from `logout`.
    Logout,
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
    /// What another sign-in would have to be, where that would help somebody who is signed in.
    pub step_up: Option<Box<StepUp>>,
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
    /// Remember for a moment that so many logins in a row ended here: the next request shows whether the last one
    /// took. Nothing to remember for 0.
    SetHops(u8),
}

impl<'g> Refusal<'g> {
    pub(super) fn new(request: &ForwardedRequest, decision: Decision<'g>) -> Self {
        Self {
            decision,
            page: request.initiator.is_navigation(),
            login_url: None,
            service: None,
            step_up: None,
            identity: None,
        }
    }

    pub(super) fn at(mut self, service: &'g Service) -> Self {
        self.service = Some(&service.name);
        self
    }
}
