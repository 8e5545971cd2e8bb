//! Logout: the record first, then the cookies, then the provider. When it is done, every host is signed
//! out, because all of their cookies name the same record.

use crate::domain::decision::{Decision, Reason};
use crate::domain::forwarded::ForwardedRequest;
use crate::domain::proxies::ClientAddress;
use crate::domain::service::Service;
use crate::domain::session::SessionId;
use crate::flows::Gate;
use crate::flows::answer::{Answer, CookieChange, Credentials, Errand, Refusal};
use crate::store::StoreError;
use crate::store::sessions::{Ended, EndedEverywhere, Partly};
use crate::telemetry::audit::{self, LogoutBy};

/// Ends `session`. Answers where the browser goes next: to the provider, to end its session too, or to the
/// page that says it is done, and says so if the provider is not there.
///
/// # Errors
///
/// [`StoreError`]: then the session may still live, and nobody may be told that it ended.
pub async fn logout(
    gate: &Gate,
    session: Option<&SessionId>,
    client: ClientAddress,
) -> Result<String, StoreError> {
    let Some(id) = session else {
        return Ok(gate.portal_url("/signed-out"));
    };
    let ended = gate.sessions.end(id).await?;
    Ok(onward(gate, ended, LogoutBy::Rp, client).await)
}

/// What came of signing out everywhere.
#[derive(Debug)]
pub enum Everywhere {
    /// It is done. The browser goes on to this address.
    Done(String),
    /// There was no session here any more, so that nobody knows whose others would be: nothing has ended.
    NobodyHere,
}

/// Ends every session of the person whose `session` it is, in whichever browser.
///
/// # Errors
///
/// [`StoreError`]: then some of them may still live, this one certainly unless it was the last; so that it can be asked
/// for again.
pub async fn logout_everywhere(
    gate: &Gate,
    session: Option<&SessionId>,
    client: ClientAddress,
) -> Result<Everywhere, StoreError> {
    let Some(id) = session else {
        return Ok(Everywhere::NobodyHere);
    };
    match gate.sessions.end_everywhere(id).await {
        Ok(Some(EndedEverywhere { own, sessions })) => {
            let by = LogoutBy::Everywhere { sessions };
            let next = onward(gate, own, by, client).await;
            Ok(Everywhere::Done(next))
        }
        Ok(None) => Ok(Everywhere::NobodyHere),
        Err(Partly { ended, error }) => {
            if let Some(EndedEverywhere { own, sessions }) = ended
                && sessions > 0
            {
                tell(gate, &own, LogoutBy::Everywhere { sessions }, client);
            }
            Err(error)
        }
    }
}

/// Audits and counts what has ended.
pub(super) fn tell(gate: &Gate, ended: &Ended, by: LogoutBy, client: ClientAddress) {
    if let Some(identity) = &ended.identity {
        audit::logout(identity, by, client);
        gate.metrics.logged_out(by.name(), by.sessions());
    }
}

async fn onward(gate: &Gate, ended: Ended, by: LogoutBy, client: ClientAddress) -> String {
    tell(gate, &ended, by, client);
    let at_provider = match &ended.id_token {
        Some(hint) => gate.relying_party.end_session_url(Some(hint)).await,
        None => None,
    };
    match at_provider {
        Some(url) => url.into(),
        None => gate.portal_url("/signed-out"),
    }
}

/// `/.portcullis/logout` of a protected host. Acts only when the person went there, at the top level, from
/// this very host or by typing; anything else is asked at the portal, so that no foreign page can sign
/// anybody out.
pub(super) async fn logout_at_host<'g>(
    gate: &'g Gate,
    request: &ForwardedRequest,
    service: &'g Service,
    credentials: &Credentials,
) -> Answer<'g> {
    let asked = request.method == "GET" && request.initiator.is_own_top_level_navigation();
    let (true, Some(id)) = (asked, &credentials.session) else {
        let location = gate.portal_url("/logout");
        return Answer::Redirect {
            errand: Errand::Logout,
            location,
            cookies: Vec::new(),
        };
    };
    match logout(gate, Some(id), request.client).await {
        Ok(location) => Answer::Redirect {
            errand: Errand::Logout,
            location,
            cookies: vec![
                CookieChange::DropSession,
                CookieChange::DropFlow,
                CookieChange::SetHops(0),
            ],
        },
        Err(error) => {
            tracing::error!(%error, "a logout could not be recorded");
            let decision = Decision::Unavailable(Reason::LogoutNotRecorded);
            Answer::Refuse(Refusal::new(request, decision).at(service))
        }
    }
}
