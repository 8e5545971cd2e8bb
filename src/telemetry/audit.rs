//! Audit events, target `audit`: who signed in and out, and what was refused. They name people and pages,
//! never a credential; of a URL the path alone, because queries hold secrets.

use crate::domain::identity::Identity;

/// Somebody signed in.
pub fn login(identity: &Identity) {
    tracing::info!(
        target: "audit",
        event = "login",
        issuer = identity.issuer,
        subject = identity.subject,
        username = identity.username,
        "login"
    );
}

/// A login came to nothing. `reason` is a code, not text from outside.
pub fn login_failed(reason: &str) {
    tracing::warn!(target: "audit", event = "login_failed", reason, "login failed");
}

/// Somebody signed out.
pub fn logout(identity: &Identity) {
    tracing::info!(
        target: "audit",
        event = "logout",
        issuer = identity.issuer,
        subject = identity.subject,
        username = identity.username,
        "logout"
    );
}
