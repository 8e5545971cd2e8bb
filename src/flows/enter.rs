//! `/.portcullis/enter`: the browser comes back to a protected host with a ticket, and gets that host's own
//! cookie.

use crate::domain::decision::{Decision, Reason};
use crate::domain::forwarded::ForwardedRequest;
use crate::domain::navigation::ChallengeForm;
use crate::domain::reason::ReasonKind;
use crate::domain::service::Service;
use crate::flows::Gate;
use crate::flows::answer::{Answer, CookieChange, Credentials, Errand, Refusal};
use crate::flows::challenge::{Login, begin_login};
use crate::flows::handover::{LINK_LIFETIME, Ticket};
use crate::flows::step_up::For;

/// Takes the ticket, or sends the browser on without.
///
/// A ticket counts only for the browser whose flow cookie it names, within its minute, and while the session
/// that it names lives. Any other: to its target if somebody is signed in here already, whose session it
/// never replaces; else a new login, one hop more.
pub(super) async fn enter<'g>(
    gate: &'g Gate,
    request: &ForwardedRequest,
    service: &'g Service,
    credentials: &Credentials,
) -> Answer<'g> {
    let ticket = ticket_of(gate, request);
    let target = match &ticket {
        Some(ticket) => ticket.target.clone(),
        None => format!("{}://{}/", request.scheme.as_str(), request.authority),
    };
    // A browser that only guesses must not use the ticket up; a form must not sign anybody in.
    if request.method != "GET" || request.initiator.speculative {
        return to(target, Vec::new());
    }
    let unavailable = || {
        let decision = Decision::Unavailable(Reason::StoreUnavailable);
        Answer::Refuse(Refusal::new(request, decision).at(service))
    };
    if let Some(ticket) = ticket
        .as_ref()
        .filter(|ticket| is_for(gate, ticket, credentials))
    {
        match gate.session(&ticket.session).await {
            Ok(Some(_)) => {
                let cookies = vec![
                    CookieChange::SetSession(ticket.session.clone()),
                    CookieChange::DropFlow,
                    CookieChange::SetHops(ticket.flow.hops.saturating_add(1)),
                ];
                return to(target, cookies);
            }
            Ok(None) => {}
            Err(error) => {
                tracing::debug!(%error, "a ticket's session could not be looked up");
                return unavailable();
            }
        }
    }
    if let Some(id) = &credentials.session {
        match gate.session(id).await {
            Ok(Some(_)) => return to(target, Vec::new()),
            Ok(None) => {}
            Err(error) => {
                tracing::debug!(%error, "a session could not be looked up");
                return unavailable();
            }
        }
    }
    // A ticket from the browser's history says nothing about the chain that this is.
    let chain = ticket
        .as_ref()
        .filter(|ticket| gate.handover.is_fresh(ticket.made, LINK_LIFETIME));
    let hops = chain.map_or(1, |ticket| ticket.flow.hops.saturating_add(1));
    let form = request.initiator.challenge_form(&request.method);
    begin_login(
        gate,
        request,
        service,
        Login {
            reason: ReasonKind::NotSignedIn,
            target: &target,
            // Judged anew when it is there.
            step_up: &For::default(),
            hops,
            frame: form == ChallengeForm::RedirectFrame,
            flow: credentials.flow.as_ref(),
        },
    )
}

fn ticket_of(gate: &Gate, request: &ForwardedRequest) -> Option<Ticket> {
    let query = request.target.query()?;
    let mut tickets =
        url::form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "ticket");
    let (_, ticket) = tickets.next()?;
    gate.handover.open_ticket(&ticket, &request.authority.host)
}

fn is_for(gate: &Gate, ticket: &Ticket, credentials: &Credentials) -> bool {
    let ours = |secret| ticket.flow.cookie.is_of(secret);
    gate.handover.is_in_time(ticket) && credentials.flow.as_ref().is_some_and(ours)
}

fn to<'g>(location: String, cookies: Vec<CookieChange>) -> Answer<'g> {
    Answer::Redirect {
        errand: Errand::Enter,
        location,
        cookies,
    }
}
