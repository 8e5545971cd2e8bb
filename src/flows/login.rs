//! `/login` at the portal: on to where the person wants to go if they are signed in, else to the provider.

use url::Url;

use crate::domain::return_to::ReturnTo;
use crate::domain::session::{Session, SessionId};
use crate::flows::attempt::{Attempt, SealedAttempt, new_state, to_forget};
use crate::flows::handover::Flow;
use crate::flows::step_up::For;
use crate::flows::{Gate, MAX_HOPS};
use crate::oidc::ProviderError;
use crate::store::StoreError;

/// What came with the request.
pub struct LoginRequest<'a> {
    /// `rd`: where the person wants to go.
    pub target: Option<&'a str>,
    /// `f`: ties this login to a protected host's flow cookie.
    pub link: Option<&'a str>,
    /// `step_up`: the policies that the login is to be good enough for.
    pub step_up: For,
    /// Whether this is in a frame, which no provider's page will open in.
    pub frame: bool,
    /// The session that the portal's cookie names. It may have ended.
    pub session: Option<SessionId>,
    /// The logins that are on their way already.
    pub attempts: Vec<SealedAttempt>,
    /// How often in a row this browser was sent on without a ticket, and where.
    pub bounces: Bounces,
}

/// How often in a row somebody was sent to one address without a ticket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bounces {
    /// How often.
    pub count: u8,
    /// Stands for the address.
    pub target: u32,
}

/// What becomes of it.
pub enum LoginAnswer {
    /// Signed in: go there.
    Onward {
        /// The session.
        session: SessionId,
        /// Where.
        onward: Onward,
    },
    /// Not signed in: to the provider.
    ToProvider {
        /// The authorization request.
        url: Url,
        /// For the browser to keep.
        attempt: SealedAttempt,
        /// Labels of attempts for the browser to forget.
        forget: Vec<String>,
    },
    /// The address is too long to be kept: tell, and offer to go on with what is left of it.
    Shortened {
        /// What is left.
        target: String,
        /// The login with that.
        continue_url: String,
    },
    /// In a frame: offer to open the login in a tab of its own.
    InNewTab {
        /// The login.
        url: String,
        /// Whether somebody is signed in, and has to do so again.
        again: bool,
    },
    /// The same login was begun over and over.
    Loop {
        /// The app's host, where the cookie does not arrive.
        host: Option<String>,
    },
    /// The provider cannot be asked.
    ProviderUnavailable {
        /// Why.
        error: ProviderError,
        /// The same login, for later.
        login_url: String,
    },
    /// The store cannot be asked.
    StoreUnavailable(StoreError),
}

/// Where somebody goes who is signed in.
pub struct Onward {
    /// An absolute URL.
    pub location: String,
    /// What to remember of that, where it was without a ticket.
    pub bounces: Bounces,
}

/// Decides where to send the browser.
pub async fn login(gate: &Gate, request: LoginRequest<'_>) -> LoginAnswer {
    let target = request.target.and_then(|raw| match gate.return_to(raw) {
        Ok(target) => Some(target),
        Err(reason) => {
            tracing::info!(%reason, "the address to return to is not used");
            None
        }
    });
    let flow = match (request.target, request.link, &target) {
        (Some(raw), Some(f), Some(_)) => {
            let step_up = request.step_up.as_str();
            gate.handover.read_login_parameter(f, raw, step_up)
        }
        _ => None,
    };
    let step_up = &request.step_up;
    let bounced = target
        .as_ref()
        .map_or(0, |target| request.bounces.to(target));
    let without_ticket = flow.is_none()
        || target
            .as_ref()
            .is_some_and(|target| gate.shares_cookie(target));
    if without_ticket && bounced >= MAX_HOPS {
        let host = target.map(|target| target.authority().to_string());
        return LoginAnswer::Loop { host };
    }
    if let Some(target) = target.as_ref().filter(|target| target.is_cut()) {
        return LoginAnswer::Shortened {
            target: target.as_str().to_owned(),
            continue_url: link_for(gate, target, step_up, flow, request.frame),
        };
    }
    let mut again = false;
    if let Some(id) = &request.session {
        match gate.session(id).await {
            // Another tab may have been through it already.
            Ok(Some(session)) if !is_good_enough(gate, &session, step_up) => again = true,
            Ok(Some(_)) => {
                let onward = onward(gate, id, target.as_ref(), flow, bounced);
                return LoginAnswer::Onward {
                    session: id.clone(),
                    onward,
                };
            }
            Ok(None) => {}
            Err(error) => return LoginAnswer::StoreUnavailable(error),
        }
    }
    if request.frame {
        let url = login_link(gate, target.as_ref(), step_up, flow);
        return LoginAnswer::InNewTab { url, again };
    }
    let login_url = login_link(gate, target.as_ref(), step_up, flow);
    let target = target.map(|target| target.as_str().to_owned());
    let state = new_state(gate, target.as_deref());
    // Whoever is not signed in could ask in this way which policies there are, and what they want.
    let is_known = again || flow.is_some();
    let step_up = if is_known {
        request.step_up
    } else {
        For::default()
    };
    let asked = step_up.asks(gate);
    match gate
        .relying_party
        .authorization_request(&state, &asked)
        .await
    {
        Ok(authorization) => {
            let bound = (flow, step_up);
            let attempt = Attempt::new(gate, &state, authorization.secrets, target, bound);
            LoginAnswer::ToProvider {
                url: authorization.url,
                attempt: attempt.seal(gate, &state),
                forget: to_forget(gate, &request.attempts, 1),
            }
        }
        Err(error) => LoginAnswer::ProviderUnavailable { error, login_url },
    }
}

/// Whether `session` satisfies the policies that a step-up is for; so does any where it is for none.
pub(super) fn is_good_enough(gate: &Gate, session: &Session, step_up: &For) -> bool {
    let authentication = session.caller(gate.clock.now()).authentication;
    step_up.lacking(gate, authentication).is_none()
}

/// Where `session` goes: with a ticket where there is a flow; to the address alone otherwise, which counts
/// as a bounce, because the host there will send the browser back unless it gets its own flow going; to the
/// front page without an address. `bounced` is how often it was sent to this address already.
pub(super) fn onward(
    gate: &Gate,
    session: &SessionId,
    target: Option<&ReturnTo>,
    flow: Option<Flow>,
    bounced: u8,
) -> Onward {
    let Some(target) = target else {
        return Onward {
            location: gate.portal_url("/"),
            bounces: Bounces::default(),
        };
    };
    Onward {
        location: gate.onward(session, target, flow),
        bounces: match flow {
            Some(_) if !gate.shares_cookie(target) => Bounces::default(),
            _ => Bounces {
                count: bounced.saturating_add(1),
                target: Bounces::name(target),
            },
        },
    }
}

impl Bounces {
    /// How many of them went to `target`.
    fn to(self, target: &ReturnTo) -> u8 {
        if self.target == Self::name(target) {
            self.count
        } else {
            0
        }
    }

    fn name(target: &ReturnTo) -> u32 {
        let hash = blake3::hash(target.as_str().as_bytes());
        let [a, b, c, d, ..] = *hash.as_bytes();
        u32::from_be_bytes([a, b, c, d])
    }
}

/// The link that begins this login, or begins it again.
pub(super) fn login_link(
    gate: &Gate,
    target: Option<&ReturnTo>,
    step_up: &For,
    flow: Option<Flow>,
) -> String {
    match target {
        Some(target) => link_for(gate, target, step_up, flow, false),
        None => gate.portal_url("/login"),
    }
}

fn link_for(
    gate: &Gate,
    target: &ReturnTo,
    step_up: &For,
    flow: Option<Flow>,
    frame: bool,
) -> String {
    match flow {
        Some(flow) => gate.login_link(target.as_str(), step_up, flow, frame),
        None => gate.plain_login_link(target.as_str(), step_up),
    }
}
