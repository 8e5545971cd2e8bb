//! `/login` at the portal: on to where the person wants to go if they are signed in, else to the provider.

use url::Url;

use crate::domain::return_to::ReturnTo;
use crate::domain::session::SessionId;
use crate::flows::attempt::{Attempt, SealedAttempt};
use crate::flows::handover::Flow;
use crate::flows::{Gate, MAX_HOPS};
use crate::oidc::ProviderError;
use crate::store::StoreError;

/// What came with the request.
#[derive(Debug)]
pub struct LoginRequest<'a> {
    /// `rd`: where the person wants to go.
    pub target: Option<&'a str>,
    /// `f`: ties this login to a protected host's flow cookie.
    pub link: Option<&'a str>,
    /// Whether this is in a frame, which no provider's page will open in.
    pub frame: bool,
    /// The session that the portal's cookie names. It may have ended.
    pub session: Option<SessionId>,
    /// The logins that are on their way already.
    pub attempts: Vec<SealedAttempt>,
    /// How often in a row this browser was sent on without a ticket.
    pub bounces: u8,
}

/// What becomes of it.
#[derive(Debug)]
pub enum LoginAnswer {
    /// Signed in: go there.
    Onward(Onward),
    /// Not signed in: to the provider.
    ToProvider {
        /// The authorization request.
        url: Url,
        /// For the browser to keep.
        attempt: SealedAttempt,
        /// Labels of attempts to forget.
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
    },
    /// The same login was begun over and over.
    Loop {
        /// The app's host, where the cookie does not arrive.
        host: Option<String>,
    },
    /// The provider cannot be asked.
    ProviderUnavailable(ProviderError),
    /// The store cannot be asked.
    StoreUnavailable(StoreError),
}

/// Where somebody goes who is signed in.
#[derive(Debug)]
pub struct Onward {
    /// An absolute URL.
    pub location: String,
    /// How often in a row this browser has now been sent on without a ticket.
    pub bounces: u8,
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
        (Some(raw), Some(f), Some(_)) => gate.handover.read_login_parameter(f, raw),
        _ => None,
    };
    if flow.is_some_and(|flow| flow.hops >= MAX_HOPS) || request.bounces >= MAX_HOPS {
        let host = target.map(|target| target.authority().to_string());
        return LoginAnswer::Loop { host };
    }
    if let Some(target) = target.as_ref().filter(|target| target.is_cut()) {
        return LoginAnswer::Shortened {
            target: target.as_str().to_owned(),
            continue_url: link_for(gate, target, flow, request.frame),
        };
    }
    if let Some(id) = &request.session {
        match gate.sessions.load(id).await {
            Ok(Some(_)) => {
                let onward = onward(gate, id, target.as_ref(), flow, request.bounces);
                return LoginAnswer::Onward(onward);
            }
            Ok(None) => {}
            Err(error) => return LoginAnswer::StoreUnavailable(error),
        }
    }
    if request.frame {
        let url = match &target {
            Some(target) => link_for(gate, target, flow, false),
            None => gate.portal_url("/login"),
        };
        return LoginAnswer::InNewTab { url };
    }
    match gate.relying_party.authorization_request().await {
        Ok(authorization) => {
            let target = target.map(|target| target.as_str().to_owned());
            let (state, secrets) = (authorization.state, authorization.secrets);
            LoginAnswer::ToProvider {
                url: authorization.url,
                attempt: Attempt::new(gate, state, secrets, target, flow).seal(gate),
                forget: Attempt::make_room(gate, &request.attempts),
            }
        }
        Err(error) => LoginAnswer::ProviderUnavailable(error),
    }
}

/// Where `session` goes: with a ticket where there is a flow; to the address alone otherwise, which counts
/// as a bounce, because the host there will send the browser back unless it gets its own flow going; to the
/// front page without an address.
pub(super) fn onward(
    gate: &Gate,
    session: &SessionId,
    target: Option<&ReturnTo>,
    flow: Option<Flow>,
    bounces: u8,
) -> Onward {
    let Some(target) = target else {
        return Onward {
            location: gate.portal_url("/"),
            bounces: 0,
        };
    };
    Onward {
        location: gate.onward(session, target, flow),
        bounces: match flow {
            Some(_) => 0,
            None => bounces.saturating_add(1),
        },
    }
}

fn link_for(gate: &Gate, target: &ReturnTo, flow: Option<Flow>, frame: bool) -> String {
    if let Some(flow) = flow {
        return gate.login_link(target.as_str(), flow, frame);
    }
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("rd", target.as_str());
    gate.portal_url(&format!("/login?{}", query.finish()))
}
