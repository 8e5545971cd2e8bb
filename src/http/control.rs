//! The control socket: who is signed in, and ending it, for administrators on this machine. Whoever may open the
//! socket is one; nothing else is asked for, and no request has a body.
//!
//! No answer holds what lets anybody in: a session is called by its name in the store, which is a hash of its id.

use std::time::{Duration, UNIX_EPOCH};

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, RETRY_AFTER};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::domain::time::Timestamp;
use crate::flows::control::{self, Revocation, Whose};
use crate::http::Http;
use crate::http::pages;
use crate::store::sessions::{NameStart, Named};
use crate::store::{Cursor, StoreError};

/// The last second of the year 9999, in seconds since the epoch: RFC 3339 goes no further.
const LAST_SECOND: u64 = 253_402_300_799;

/// Who is at the other end of a connection to a socket.
#[derive(Debug, Clone, Copy)]
pub struct SocketPeer {
    /// The user, by number.
    pub uid: u32,
}

/// A session, as administrators see it. Times are RFC 3339, in UTC.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SessionEntry {
    pub(crate) id: String,
    pub(crate) issuer: String,
    pub(crate) subject: String,
    pub(crate) username: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) email: Option<String>,
    pub(crate) groups: Vec<String>,
    /// When it began.
    pub(crate) created: String,
    /// When it was last noted to be in use.
    pub(crate) seen: String,
    /// When it ends if nobody uses it from now on.
    pub(crate) expires: String,
    /// When it ends at last.
    pub(crate) ends: String,
    pub(crate) auth_time: Option<String>,
    pub(crate) amr: Vec<String>,
}

/// One step through the sessions.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SessionList {
    pub(crate) sessions: Vec<SessionEntry>,
    /// How many records could not be opened.
    pub(crate) unreadable: usize,
    /// What to ask for as `after`; `None` at the end.
    pub(crate) next: Option<String>,
}

/// The query of `GET /v1/sessions`. One of the last four at most says whose.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    after: Option<String>,
    issuer: Option<String>,
    subject: Option<String>,
    username: Option<String>,
    email: Option<String>,
}

impl ListQuery {
    fn whose(self) -> Option<Whose> {
        Some(match (self.subject, self.username, self.email) {
            (Some(subject), None, None) => Whose::Subject {
                issuer: self.issuer,
                subject,
            },
            _ if self.issuer.is_some() => return None,
            (None, Some(name), None) => Whose::Username(name),
            (None, None, Some(address)) => Whose::Email(address),
            (None, None, None) => Whose::All,
            _ => return None,
        })
    }
}

/// `GET /v1/sessions`: one step through them.
pub(super) async fn list(
    http: web::Data<Http>,
    query: Option<web::Query<ListQuery>>,
) -> HttpResponse {
    let Some(web::Query(mut query)) = query else {
        return wrong_question();
    };
    let after = query.after.take().map(Cursor::new);
    let Some(whose) = query.whose() else {
        return wrong_question();
    };
    let page = match control::list(&http.gate, &whose, after.as_ref()).await {
        Ok(page) => page,
        Err(error) => return not_told(&error),
    };
    let entry = |one: Named| {
        let (session, lifetime) = (one.session, http.gate.sessions.lifetime());
        SessionEntry {
            id: one.name,
            created: rfc3339(session.created),
            seen: rfc3339(session.seen),
            expires: rfc3339(lifetime.end_of(&session)),
            ends: rfc3339(session.created.plus(lifetime.absolute)),
            auth_time: session.auth_time.map(rfc3339),
            issuer: session.identity.issuer,
            subject: session.identity.subject,
            username: session.identity.username,
            name: session.identity.name,
            email: session.identity.email,
            groups: session.identity.groups,
            amr: session.amr,
        }
    };
    let list = SessionList {
        sessions: page.sessions.into_iter().map(entry).collect(),
        unreadable: page.unreadable,
        next: page.next.map(|next| next.as_str().to_owned()),
    };
    answer(StatusCode::OK).json(list)
}

/// `DELETE /v1/sessions/{id}`: ends the one that is called so, or the only one whose name begins so.
pub(super) async fn revoke(
    request: HttpRequest,
    http: web::Data<Http>,
    id: web::Path<String>,
) -> HttpResponse {
    let Some(start) = NameStart::parse(&id) else {
        let told = "A session's id is 8 characters or more of those that are listed.";
        return problem(StatusCode::BAD_REQUEST, "malformed_id", told);
    };
    match control::revoke(&http.gate, &start, &who_asks(&request)).await {
        Ok(Revocation::Ended { name, identity }) => answer(StatusCode::OK).json(json!({
            "id": name,
            "subject": identity.as_ref().map(|identity| &identity.subject),
            "username": identity.as_ref().and_then(|identity| identity.username.as_ref()),
        })),
        Ok(Revocation::Unknown) => problem(
            StatusCode::NOT_FOUND,
            "no_such_session",
            "There is no such session.",
        ),
        Ok(Revocation::Ambiguous) => problem(
            StatusCode::CONFLICT,
            "ambiguous_id",
            "Several sessions have ids that begin like that; none was ended.",
        ),
        Err(error) => not_recorded(&error),
    }
}

/// The query of `DELETE /v1/sessions`: always one person.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UserQuery {
    subject: String,
    issuer: Option<String>,
}

/// `DELETE /v1/sessions?subject=`: ends all sessions of a person.
pub(super) async fn revoke_user(
    request: HttpRequest,
    http: web::Data<Http>,
    query: Option<web::Query<UserQuery>>,
) -> HttpResponse {
    let Some(web::Query(UserQuery { subject, issuer })) = query else {
        return wrong_question();
    };
    let by = who_asks(&request);
    match control::revoke_user(&http.gate, issuer.as_deref(), &subject, &by).await {
        Ok(ended) => answer(StatusCode::OK).json(json!({ "ended": ended })),
        Err(error) => not_recorded(&error),
    }
}

/// Everything else.
pub(super) async fn not_found() -> HttpResponse {
    problem(
        StatusCode::NOT_FOUND,
        "no_such_question",
        "This version knows nothing of that.",
    )
}

/// For the audit event.
fn who_asks(request: &HttpRequest) -> String {
    match request.conn_data::<SocketPeer>() {
        Some(peer) => format!("uid {}", peer.uid),
        None => "control socket".to_owned(),
    }
}

fn rfc3339(time: Timestamp) -> String {
    let since_epoch = Duration::from_secs(time.seconds().min(LAST_SECOND));
    humantime::format_rfc3339_seconds(UNIX_EPOCH + since_epoch).to_string()
}

fn answer(status: StatusCode) -> HttpResponseBuilder {
    let mut response = HttpResponse::build(status);
    response
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header(pages::NO_SNIFFING);
    response
}

/// A refusal (RFC 9457). `reason` is for programs, `detail` for people.
fn problem(status: StatusCode, reason: &str, detail: &str) -> HttpResponse {
    let body = json!({
        "type": "about:blank",
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "detail": detail,
        "reason": reason,
    });
    let mut response = answer(status);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.insert_header((RETRY_AFTER, pages::RETRY_AFTER));
    }
    response
        .content_type("application/problem+json")
        .body(body.to_string())
}

fn wrong_question() -> HttpResponse {
    let told = "This version does not know these parameters, or one is missing.";
    problem(StatusCode::BAD_REQUEST, "malformed_question", told)
}

fn not_told(error: &StoreError) -> HttpResponse {
    if *error == StoreError::UnknownCursor {
        let told = "There is no such place to go on from.";
        return problem(StatusCode::BAD_REQUEST, "unknown_cursor", told);
    }
    tracing::warn!(%error, "sessions cannot be listed");
    problem(
        StatusCode::SERVICE_UNAVAILABLE,
        "store_unavailable",
        &format!("The sessions cannot be read: {error}."),
    )
}

fn not_recorded(error: &StoreError) -> HttpResponse {
    tracing::error!(%error, "a revocation could not be recorded");
    problem(
        StatusCode::SERVICE_UNAVAILABLE,
        "not_recorded",
        &format!("It could not be recorded, so it may still be in force: {error}."),
    )
}
