//! Audit events, target `audit`: who signed in and out, and what was refused. docs/audit.md has each with its fields.
//! They name people and pages, never a credential; of a URL the path alone, because queries hold secrets.

use crate::domain::decision::Decision;
use crate::domain::forwarded::ForwardedRequest;
use crate::domain::identity::Identity;
use crate::domain::proxies::ClientAddress;

/// Somebody signed in, from `client`.
pub fn login(identity: &Identity, client: ClientAddress) {
    tracing::info!(
        target: "audit",
        event = "login",
        issuer = identity.issuer,
        subject = identity.subject,
        username = identity.username,
        %client,
        "login"
    );
}

/// Somebody who is signed in signed in again, and it was not what a policy asks for; they stay signed in as before.
/// `reason` is a code.
pub fn step_up_failed(reason: &str, identity: &Identity, client: ClientAddress) {
    tracing::warn!(
        target: "audit",
        event = "step_up_failed",
        reason,
        issuer = identity.issuer,
        subject = identity.subject,
        username = identity.username,
        %client,
        "step-up failed"
    );
}

/// A login came to nothing. `reason` is a code, not text from outside; `client` is whose browser it was.
pub fn login_failed(reason: &str, client: ClientAddress) {
    tracing::warn!(target: "audit", event = "login_failed", reason, %client, "login failed");
}

/// What ended a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogoutBy {
    /// Its owner, here (RP-Initiated Logout 1.0).
    Rp,
    /// Its owner, with all of their other sessions.
    Everywhere {
        /// How many there were in all.
        sessions: usize,
    },
    /// The provider (Back-Channel Logout 1.0).
    Backchannel,
    /// Its owner, who signed in anew in the same browser.
    Replaced,
}

impl LogoutBy {
    /// Its name in the log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rp => "rp",
            Self::Everywhere { .. } => "everywhere",
            Self::Backchannel => "backchannel",
            Self::Replaced => "replaced",
        }
    }

    /// How many sessions ended by it.
    #[must_use]
    pub const fn sessions(self) -> usize {
        match self {
            Self::Everywhere { sessions } => sessions,
            Self::Rp | Self::Backchannel | Self::Replaced => 1,
        }
    }
}

/// A session of somebody ended. `client` is whose browser asked for it, or the provider.
pub fn logout(identity: &Identity, by: LogoutBy, client: ClientAddress) {
    let sessions = match by {
        LogoutBy::Everywhere { sessions } => Some(sessions),
        LogoutBy::Rp | LogoutBy::Backchannel | LogoutBy::Replaced => None,
    };
    tracing::info!(
        target: "audit",
        event = "logout",
        by = by.name(),
        sessions,
        issuer = identity.issuer,
        subject = identity.subject,
        username = identity.username,
        %client,
        "logout"
    );
}

/// The provider has confirmed who somebody is, and what they are called and belong to by now.
pub fn refreshed(identity: &Identity) {
    tracing::info!(
        target: "audit",
        event = "refresh",
        issuer = identity.issuer,
        subject = identity.subject,
        username = identity.username,
        "session renewed"
    );
}

/// A session ended because it could not be renewed. `reason` is a code.
pub fn refresh_ended(identity: &Identity, reason: &str) {
    tracing::info!(
        target: "audit",
        event = "refresh_ended",
        reason,
        issuer = identity.issuer,
        subject = identity.subject,
        username = identity.username,
        "session ended"
    );
}

/// A request was refused, or could not be decided.
pub fn refused(
    id: &str,
    request: &ForwardedRequest,
    decision: &Decision<'_>,
    service: Option<&str>,
    identity: Option<&Identity>,
) {
    tracing::info!(
        target: "audit",
        event = "deny",
        decision = id,
        outcome = decision.outcome(),
        reason = decision.reason().code(),
        detail = %decision.reason(),
        service,
        host = %request.authority,
        method = &*request.method,
        path = request.target.path(),
        client = %request.client,
        subject = identity.map(|identity| identity.subject.as_str()),
        username = identity.and_then(|identity| identity.username.as_deref()),
        "refused"
    );
}

/// So many denials of a stranger got no line of their own; `None` is all whose addresses are not named.
pub fn denials_left_out(client: Option<ClientAddress>, denials: u64) {
    tracing::info!(
        target: "audit",
        event = "deny_left_out",
        client = client.map(tracing::field::display),
        denials,
        "denials without a line of their own"
    );
}

/// An administrator ended sessions: this one, or all of a person's. `by` is who asked for it.
pub fn revoke(revoked: &Revoked<'_>, by: &str) {
    tracing::info!(
        target: "audit",
        event = "revoke",
        session = revoked.session,
        issuer = revoked.issuer,
        subject = revoked.subject,
        username = revoked.username,
        sessions = revoked.sessions,
        by,
        "revoke"
    );
}

/// What was revoked.
#[derive(Debug, Default)]
pub struct Revoked<'a> {
    /// The session's name in the store, where it was one.
    pub session: Option<&'a str>,
    /// Whose.
    pub issuer: Option<&'a str>,
    /// The same.
    pub subject: Option<&'a str>,
    /// The same.
    pub username: Option<&'a str>,
    /// How many.
    pub sessions: usize,
}
