//! `/backchannel-logout`: the provider says that it has ended a session of its own, or all of a person's
//! (Back-Channel Logout 1.0 §2.5).

use crate::domain::proxies::ClientAddress;
use crate::flows::Gate;
use crate::oidc::LogoutTokenError;
use crate::store::StoreError;
use crate::store::sessions::Partly;
use crate::telemetry::audit::{self, LogoutBy};

/// Why nothing, or not everything, was ended.
#[derive(Debug)]
pub enum BackchannelError {
    /// The token is not believed.
    Token(LogoutTokenError),
    /// The store does not say that it was recorded: the provider may try again.
    Store(StoreError),
}

impl From<LogoutTokenError> for BackchannelError {
    fn from(error: LogoutTokenError) -> Self {
        Self::Token(error)
    }
}

impl From<StoreError> for BackchannelError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Ends what `token` says has ended. That there is nothing to end is no error: the session may have ended here before.
/// `client` is who sent it; `may_wait` says whether the provider may be asked for keys that are not at hand.
///
/// # Errors
///
/// [`BackchannelError`]. What could be ended, was; the same token may come again.
pub async fn backchannel_logout(
    gate: &Gate,
    token: &str,
    client: ClientAddress,
    may_wait: impl FnOnce() -> bool,
) -> Result<(), BackchannelError> {
    let token = gate.relying_party.logout_token(token, may_wait).await?;
    let issuer = gate.relying_party.issuer();
    let sessions = &gate.sessions;
    if sessions.has_obeyed(issuer, &token.jti).await? {
        return Err(LogoutTokenError::Replayed.into());
    }
    let (subject, sid) = (token.subject.as_deref(), token.sid.as_deref());
    let ended = sessions.end_at_provider(issuer, subject, sid).await;
    let (ended, error) = match ended {
        Ok(ended) => (ended, None),
        Err(Partly { ended, error }) => (ended, Some(error)),
    };
    for identity in ended.iter().filter_map(|ended| ended.identity.as_ref()) {
        audit::logout(identity, LogoutBy::Backchannel, client);
        gate.metrics.logged_out(LogoutBy::Backchannel.name(), 1);
    }
    if let Some(error) = error {
        return Err(error.into());
    }
    // Last: a token that could not be obeyed is not a used one. Two copies at the same time end the same sessions.
    let is_first = sessions.note_obeyed(issuer, &token.jti, token.believed_for);
    if is_first.await? {
        Ok(())
    } else {
        Err(LogoutTokenError::Replayed.into())
    }
}
