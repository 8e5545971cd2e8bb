//! `/callback` at the portal: the provider sends the browser back with a code, and a session begins.

use crate::domain::identity::Identity;
use crate::domain::identity_headers::HeaderStyle;
use crate::domain::proxies::ClientAddress;
use crate::domain::reason::Reason;
use crate::domain::session::SessionId;
use crate::domain::upstream_key::Tokens;
use crate::flows::Gate;
use crate::flows::attempt::{self, Attempt, SealedAttempt, target_in_state, to_forget};
use crate::flows::login::{Onward, is_good_enough, login_link, onward};
use crate::flows::logout::tell;
use crate::flows::step_up::{For, in_vain};
use crate::oidc::{RedeemError, SignedIn};
use crate::store::StoreError;
use crate::store::sessions::{BeginError, EndingsSoFar, Login};
use crate::telemetry::audit::{self, LogoutBy};

/// A login came to nothing because the store did not take the session: the word for it in metrics and audit events.
pub const SESSION_NOT_STORED: &str = "session_not_stored";

/// What came with the request (RFC 6749 §4.1.2, RFC 9207).
pub struct CallbackRequest<'a> {
    /// `state`.
    pub state: Option<&'a str>,
    /// `code`.
    pub code: Option<&'a str>,
    /// `iss`.
    pub iss: Option<&'a str>,
    /// `error`.
    pub error: Option<&'a str>,
    /// One of these came twice, so it is not among them.
    pub repeats: bool,
    /// Whose browser it is.
    pub client: ClientAddress,
    /// The session that the portal's cookie names.
    pub session: Option<SessionId>,
    /// The logins that are on their way.
    pub attempts: Vec<SealedAttempt>,
}

/// What becomes of it.
pub enum CallbackAnswer<'g> {
    /// Signed in.
    SignedIn {
        /// The new session, for the portal's cookie.
        session: SessionId,
        /// Where to go.
        onward: Onward,
    },
    /// The attempt is gone, but somebody is signed in: on to where they wanted to go.
    AlreadySignedIn(Onward),
    /// The attempt is gone: expired, finished, or begun in another browser.
    UnknownAttempt {
        /// The login that begins again.
        login_url: String,
    },
    /// The provider says no.
    Refused {
        /// Its error code, as far as it is one (RFC 6749 §4.1.2.1); never its free text.
        error: String,
        /// The login that begins again.
        login_url: String,
    },
    /// The answer is not believed, or could not be got.
    Failed {
        /// Why.
        error: RedeemError,
        /// The login that begins again.
        login_url: String,
    },
    /// The sign-in was ended before it was complete: everywhere, or at the provider.
    EndedMeanwhile {
        /// The login that begins again.
        login_url: String,
    },
    /// Signed in again, and it is not what was asked for. The session from before lives on, and there is no other.
    StepUpUnmet {
        /// What is missing.
        reason: Reason<'g>,
        /// Who it is.
        identity: Identity,
        /// The login that begins again.
        login_url: String,
    },
    /// The session could not be stored, so there is none.
    StoreUnavailable {
        /// Why not.
        error: StoreError,
        /// The login that begins again.
        login_url: String,
    },
}

impl CallbackAnswer<'_> {
    /// How the login ended, in a word for metrics; `None` where none did.
    fn result(&self) -> Option<&'static str> {
        match self {
            Self::SignedIn { .. } => Some("success"),
            Self::AlreadySignedIn(_) => None,
            Self::UnknownAttempt { .. } => Some("unknown_attempt"),
            Self::Refused { error, .. } => Some(known_error_code(error)),
            Self::Failed { error, .. } => Some(error.code()),
            Self::EndedMeanwhile { .. } => Some("ended_meanwhile"),
            Self::StepUpUnmet { reason, .. } => Some(reason.code()),
            Self::StoreUnavailable { .. } => Some(SESSION_NOT_STORED),
        }
    }
}

/// A callback, answered.
pub struct Completed<'g> {
    /// Labels of attempts for the browser to forget: this one, whatever came of it, and what has piled up.
    pub forget: Vec<String>,
    /// What came of it.
    pub answer: CallbackAnswer<'g>,
}

/// Completes a login. Only the browser that began it can, because the attempt is in its cookie.
pub async fn callback<'g>(gate: &'g Gate, request: CallbackRequest<'_>) -> Completed<'g> {
    let attempt = request
        .state
        .and_then(|state| Some((state, Attempt::find(gate, &request.attempts, state)?)));
    let mut forget = to_forget(gate, &request.attempts, 0);
    let answer = match attempt {
        Some((state, attempt)) => {
            forget.extend(attempt::label_of(state).map(str::to_owned));
            complete(gate, request, state, attempt).await
        }
        None => without_attempt(gate, &request).await,
    };
    if let Some(result) = answer.result() {
        gate.metrics.login(result);
    }
    Completed { forget, answer }
}

async fn complete<'g>(
    gate: &'g Gate,
    request: CallbackRequest<'_>,
    state: &str,
    attempt: Attempt,
) -> CallbackAnswer<'g> {
    // Checked at the start already; the services may have changed since.
    let target = attempt.target(gate, state);
    let target = target.and_then(|raw| gate.return_to(&raw).ok());
    let login_url = || login_link(gate, target.as_ref(), &attempt.step_up, attempt.flow);
    let client = request.client;
    let failed = |error: RedeemError| {
        audit::login_failed(error.code(), client);
        tracing::warn!(%error, code = error.code(), %client, "a login failed");
        let login_url = login_url();
        CallbackAnswer::Failed { error, login_url }
    };
    let not_stored = |error: StoreError| {
        audit::login_failed(SESSION_NOT_STORED, client);
        let login_url = login_url();
        CallbackAnswer::StoreUnavailable { error, login_url }
    };
    if request.repeats {
        return failed(RedeemError::ResponseRepeats);
    }
    let code = match (request.code, request.error) {
        (Some(code), None) => code,
        (_, error) => {
            // Only a refusal from our issuer is one (RFC 9207 §2.4).
            if let Err(error) = gate.relying_party.check_response_issuer(request.iss).await {
                return failed(error);
            }
            let error = error.map_or("no_code", plain_error_code).to_owned();
            audit::login_failed(&error, client);
            let login_url = login_url();
            return CallbackAnswer::Refused { error, login_url };
        }
    };
    // Whatever ends this person's sessions from here on ends this login too, whose tokens may have been given out by
    // then.
    let endings = match gate.sessions.endings_so_far().await {
        Ok(endings) => endings,
        Err(error) => return not_stored(error),
    };
    let redeemed = gate
        .relying_party
        .redeem(code, request.iss, &attempt.secrets)
        .await;
    let signed_in = match redeemed {
        Ok(signed_in) => signed_in,
        Err(error) => return failed(error),
    };
    let onward = |session: &SessionId| onward(gate, session, target.as_ref(), attempt.flow, 0);
    let before = match &request.session {
        Some(id) => match gate.sessions.load(id).await {
            Ok(session) => session.map(|session| (id, session)),
            Err(error) => return not_stored(error),
        },
        None => None,
    };
    // Another tab's login, that was on its way at the same time, has just begun one for the same person: a second
    // one would sign that tab out again. Nothing is fixated, since the session is newer than this attempt.
    if let Some((id, session)) = &before
        && session.created >= attempt.made
        && session.identity == signed_in.identity
        && is_good_enough(gate, session, &attempt.step_up)
    {
        return CallbackAnswer::SignedIn {
            onward: onward(id),
            session: (*id).clone(),
        };
    }
    // Whoever turns out to be somebody else has simply signed in, and is judged as such.
    if let Some((id, session)) = &before
        && is_same_person(&session.identity, &signed_in.identity)
        && let Some(reason) = in_vain(gate, id, session, &attempt.step_up, &signed_in).await
    {
        audit::step_up_failed(reason.code(), &session.identity, client);
        return CallbackAnswer::StepUpUnmet {
            reason,
            identity: signed_in.identity,
            login_url: login_url(),
        };
    }
    let begun = begin_session(
        gate,
        signed_in,
        endings,
        attempt.secrets.nonce,
        request.client,
    );
    let session = match begun.await {
        Ok(session) => session,
        Err(BeginError::Store(error)) => return not_stored(error),
        Err(BeginError::Ended) => {
            audit::login_failed("ended_meanwhile", client);
            tracing::info!(%client, "a login was ended before it was complete");
            let login_url = login_url();
            return CallbackAnswer::EndedMeanwhile { login_url };
        }
    };
    if let Some((id, _)) = before {
        end_replaced(gate, id, client).await;
    }
    CallbackAnswer::SignedIn {
        onward: onward(&session),
        session,
    }
}

/// Ends the session before this login, whose place the new one has taken.
async fn end_replaced(gate: &Gate, id: &SessionId, client: ClientAddress) {
    match gate.sessions.end(id).await {
        Ok(ended) => tell(gate, &ended, LogoutBy::Replaced, client),
        Err(error) => {
            tracing::warn!(%error, "the session before this login is left to its lifetime");
        }
    }
}

/// A user is issuer and subject together (OIDC Core §5.7).
fn is_same_person(one: &Identity, other: &Identity) -> bool {
    one.issuer == other.issuer && one.subject == other.subject
}

async fn without_attempt<'g>(gate: &'g Gate, request: &CallbackRequest<'_>) -> CallbackAnswer<'g> {
    let target = request.state.and_then(|state| target_in_state(gate, state));
    let target = target.and_then(|raw| gate.return_to(&raw).ok());
    let session = match &request.session {
        Some(id) => gate.session(id).await.map(|session| session.map(|_| id)),
        None => Ok(None),
    };
    let login_url = match &target {
        Some(target) => gate.plain_login_link(target.as_str(), &For::default()),
        None => gate.portal_url("/login"),
    };
    match session {
        Ok(Some(id)) => CallbackAnswer::AlreadySignedIn(onward(gate, id, target.as_ref(), None, 0)),
        Ok(None) => CallbackAnswer::UnknownAttempt { login_url },
        Err(error) => CallbackAnswer::StoreUnavailable { error, login_url },
    }
}

async fn begin_session(
    gate: &Gate,
    signed_in: SignedIn,
    endings: EndingsSoFar,
    nonce: String,
    client: ClientAddress,
) -> Result<SessionId, BeginError> {
    let identity = signed_in.identity.clone();
    // First, so that there is no session of somebody who is not known.
    gate.users.note(&identity, gate.clock.now()).await?;
    let login = Login {
        identity: signed_in.identity,
        tokens: Tokens {
            access: Some(signed_in.access_token),
            id: Some(signed_in.id_token),
            refresh: signed_in.refresh_token,
        },
        expires_in: signed_in.expires_in,
        nonce,
        auth_time: signed_in.auth_time,
        amr: signed_in.amr,
        sid: signed_in.sid,
    };
    let session = gate.sessions.begin(login, endings).await?;
    audit::login(&identity, client);
    let withheld: Vec<&str> = HeaderStyle::default()
        .unsendable_groups(&identity)
        .collect();
    if !withheld.is_empty() {
        tracing::warn!(
            subject = identity.subject,
            groups = ?withheld,
            "these groups cannot be sent to apps: they hold a comma, a control character or blanks at an end"
        );
    }
    Ok(session)
}

/// Why a provider may say no: RFC 6749 §4.1.2.1 and OIDC Core §3.1.2.6, and what stands in `error` where there is none.
pub const ERROR_CODES: [&str; 17] = [
    "no_code",
    "invalid_request",
    "unauthorized_client",
    "access_denied",
    "unsupported_response_type",
    "invalid_scope",
    "server_error",
    "temporarily_unavailable",
    "interaction_required",
    "login_required",
    "account_selection_required",
    "consent_required",
    "invalid_request_uri",
    "invalid_request_object",
    "request_not_supported",
    "request_uri_not_supported",
    "registration_not_supported",
];

/// The code, where it is one of those: whoever sends the browser could make up any number of others.
fn known_error_code(error: &str) -> &'static str {
    let mut known = ERROR_CODES.iter();
    let known = known.find(|known| **known == error);
    known.copied().unwrap_or("unknown_error")
}

/// Error codes are of a few printable characters (RFC 6749 §4.1.2.1); anything else is not repeated.
fn plain_error_code(error: &str) -> &str {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    if !error.is_empty() && error.len() <= 64 && error.bytes().all(plain) {
        error
    } else {
        "unknown_error"
    }
}
