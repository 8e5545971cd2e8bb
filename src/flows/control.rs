//! What an administrator asks over the control socket: who is signed in, and that somebody is so no more.

use crate::domain::identity::Identity;
use crate::flows::Gate;
use crate::store::sessions::{NameMatch, NameStart, Partly, SessionPage};
use crate::store::{Cursor, StoreError};
use crate::telemetry::audit::{self, Revoked};

/// How these endings are counted.
const ADMIN: &str = "admin";

/// Whose sessions are asked for.
#[derive(Debug)]
pub enum Whose {
    /// Everybody's.
    All,
    /// Those of the person with this subject, at the provider that is configured unless another issuer is named.
    Subject {
        /// At which provider.
        issuer: Option<String>,
        /// Who.
        subject: String,
    },
    /// Those of whoever has this user name. People may be able to choose theirs.
    Username(String),
    /// Those of whoever has this mail address.
    Email(String),
}

/// What became of a session that was to end.
#[derive(Debug, PartialEq, Eq)]
pub enum Revocation {
    /// It has ended.
    Ended {
        /// Its name in the store.
        name: String,
        /// Whose it was, if that could be read.
        identity: Option<Identity>,
    },
    /// There is none.
    Unknown,
    /// There are several whose names begin like that. None has ended.
    Ambiguous,
}

/// One step through the sessions that are asked for: see [`Sessions::page`](crate::store::sessions::Sessions::page).
/// A person's own are found at once, whatever `after` says.
///
/// # Errors
///
/// [`StoreError`], when the store cannot tell.
pub async fn list(
    gate: &Gate,
    whose: &Whose,
    after: Option<&Cursor>,
) -> Result<SessionPage, StoreError> {
    if let Whose::Subject { issuer, subject } = whose {
        let issuer = issuer_or_ours(gate, issuer.as_deref());
        return gate.sessions.of_user(issuer, subject).await;
    }
    let mut page = gate.sessions.page(after).await?;
    page.sessions.retain(|one| {
        let identity = &one.session.identity;
        match whose {
            Whose::All | Whose::Subject { .. } => true,
            Whose::Username(name) => identity.username.as_ref() == Some(name),
            Whose::Email(address) => {
                let known = identity.email.as_deref();
                known.is_some_and(|known| known.eq_ignore_ascii_case(address))
            }
        }
    });
    Ok(page)
}

/// Ends the session whose name is, or begins with, `start`. `by` is who asks for it.
///
/// # Errors
///
/// [`StoreError`]: then it may still live, and nobody may be told that it ended.
pub async fn revoke(gate: &Gate, start: &NameStart, by: &str) -> Result<Revocation, StoreError> {
    let name = if start.is_whole() {
        start.as_str().to_owned()
    } else {
        match gate.sessions.matching(start).await? {
            NameMatch::One(name) => name,
            NameMatch::Nobody => return Ok(Revocation::Unknown),
            NameMatch::Several => return Ok(Revocation::Ambiguous),
        }
    };
    let Some(ended) = gate.sessions.end_named(&name).await? else {
        return Ok(Revocation::Unknown);
    };
    let identity = ended.identity;
    let revoked = Revoked {
        session: Some(&name),
        issuer: identity.as_ref().map(|identity| &*identity.issuer),
        subject: identity.as_ref().map(|identity| &*identity.subject),
        username: identity
            .as_ref()
            .and_then(|identity| identity.username.as_deref()),
        sessions: 1,
    };
    audit::revoke(&revoked, by);
    gate.metrics.logged_out(ADMIN, 1);
    Ok(Revocation::Ended { name, identity })
}

/// Ends all sessions of a person, at the provider that is configured unless another issuer is named. Tells how many
/// there were.
///
/// # Errors
///
/// [`StoreError`]: then some of them may still live.
pub async fn revoke_user(
    gate: &Gate,
    issuer: Option<&str>,
    subject: &str,
    by: &str,
) -> Result<usize, StoreError> {
    let issuer = issuer_or_ours(gate, issuer);
    let (sessions, error) = match gate.sessions.end_all_of(issuer, subject).await {
        Ok(sessions) => (sessions, None),
        // What has ended is told of even so.
        Err(Partly { ended: 0, error }) => return Err(error),
        Err(Partly { ended, error }) => (ended, Some(error)),
    };
    let revoked = Revoked {
        issuer: Some(issuer),
        subject: Some(subject),
        sessions,
        ..Revoked::default()
    };
    audit::revoke(&revoked, by);
    gate.metrics.logged_out(ADMIN, sessions);
    error.map_or(Ok(sessions), Err)
}

fn issuer_or_ours<'a>(gate: &'a Gate, issuer: Option<&'a str>) -> &'a str {
    issuer.unwrap_or_else(|| gate.relying_party.issuer())
}
