//! What a flow decided, as an HTTP answer: the one place that knows which status a reason has.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue, InvalidHeaderValue};
use actix_web::{HttpResponse, HttpResponseBuilder};
use serde_json::json;

use crate::domain::authentication::StepUp;
use crate::domain::decision::{Decision, Reason};
use crate::domain::dialects::{Dialect, Dialects};
use crate::domain::forwarded::{ForwardedError, ForwardedRequest};
use crate::domain::identity::Identity;
use crate::domain::service_table::ServiceTable;
use crate::domain::telling::Prepared;
use crate::flows::answer::Refusal;
use crate::http::cookies::without_ours;
use crate::http::decision_id::DecisionId;
use crate::http::pages::{CHALLENGE, NO_SNIFFING, Page, RETRY_AFTER};

/// Carries the id of the decision: it stands in the log and on the page too.
pub(super) const DECISION: HeaderName = HeaderName::from_static("portcullis-decision");

const PROBLEM: &str = "application/problem+json";

fn answer(status: StatusCode, id: &str) -> HttpResponseBuilder {
    let mut response = HttpResponse::build(status);
    response
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((DECISION, id));
    response
}

/// The headers that the proxy copies, in the order of every service's plan.
#[derive(Debug)]
pub(super) struct CopiedNames(Vec<HeaderName>);

impl CopiedNames {
    /// Reads the names once, since every answer has all of them. The configuration has found that they are names.
    pub(super) fn of(services: &ServiceTable) -> Self {
        let names = services.copied_headers().iter();
        let names = names.map(|name| {
            HeaderName::from_bytes(name.as_bytes()).expect("the configuration takes names alone")
        });
        Self(names.collect())
    }
}

/// 200: the proxy lets the request pass and copies these headers. `sent` are those of the request: some go on as
/// they are, and so do the cookies that are not ours.
pub(super) fn pass(
    id: &DecisionId,
    copied: &CopiedNames,
    told: &Prepared,
    sent: &HeaderMap,
) -> HttpResponse {
    let mut response = HttpResponse::new(StatusCode::OK);
    let headers = response.headers_mut();
    headers.reserve(copied.0.len() + 3);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(DECISION, id.header_value());
    for (name, value) in copied.0.iter().zip(told.values()) {
        match value {
            Some(value) => {
                headers.append(name.clone(), line(HeaderValue::from_maybe_shared(value)));
            }
            None if !sent.contains_key(name) => {
                headers.append(name.clone(), HeaderValue::from_static(""));
            }
            None => {
                for own in sent.get_all(name) {
                    headers.append(name.clone(), own.clone());
                }
            }
        }
    }
    if let Some(cookie) = without_ours(sent) {
        headers.append(header::COOKIE, line(HeaderValue::from_bytes(&cookie)));
    }
    response
}

/// What no line can hold is an empty one, which is nobody and no credential.
fn line(value: Result<HeaderValue, InvalidHeaderValue>) -> HeaderValue {
    value.unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// 302, with changes to the cookies of the host that was asked.
pub(super) fn redirect(id: &str, location: &str, cookies: &[String]) -> HttpResponse {
    let mut response = answer(StatusCode::FOUND, id);
    response.insert_header((header::LOCATION, location));
    // The address holds a ticket or more; the next page need not learn it.
    response.insert_header((header::REFERRER_POLICY, "no-referrer"));
    for cookie in cookies {
        response.append_header((header::SET_COOKIE, cookie.as_str()));
    }
    response.finish()
}

/// 400: the proxy's description of a request does not parse. As a page where a person waits for one.
pub(super) fn malformed(id: &str, error: ForwardedError, page: bool) -> HttpResponse {
    let (status, title, detail) = (StatusCode::BAD_REQUEST, "Bad request", error.to_string());
    if !page {
        return problem(status, id, title, "malformed_request", &detail, None);
    }
    let page = Page::new(title)
        .line(format!("This request cannot be decided: {detail}."))
        .fact("Decision", id);
    identified(page.respond(status), id)
}

fn identified(mut response: HttpResponse, id: &str) -> HttpResponse {
    let id = HeaderValue::from_str(id).unwrap_or_else(|_| HeaderValue::from_static("-"));
    response.headers_mut().insert(DECISION, id);
    response
}

/// What a peer is told that may not ask.
pub(crate) const UNTRUSTED: &str =
    "This address is not one of the trusted proxies, so nothing is answered here.";

/// 403: this peer may not ask.
pub(super) fn untrusted(id: &str) -> HttpResponse {
    problem(
        StatusCode::FORBIDDEN,
        id,
        "Forbidden",
        "untrusted_peer",
        UNTRUSTED,
        None,
    )
}

/// 404: the proxy asks at an address where nothing is answered.
pub(super) fn no_such_question(id: &str, dialects: &Dialects) -> HttpResponse {
    let places: Vec<&str> = dialects.iter().map(Dialect::asked_at).collect();
    let detail = format!(
        "The proxy asks at an address that is none of the gate's: it is {}.",
        places.join("; or ")
    );
    problem(
        StatusCode::NOT_FOUND,
        id,
        "Not found",
        "no_such_question",
        &detail,
        None,
    )
}

/// 401, 403, 404 or 503, as a page or for a program.
pub(super) fn refuse(id: &str, request: &ForwardedRequest, refusal: &Refusal<'_>) -> HttpResponse {
    let status = status(&refusal.decision);
    let reason = refusal.decision.reason();
    let response = if refusal.page {
        page(id, request, refusal).respond(status)
    } else {
        let login_url = refusal.login_url.as_deref();
        let sentence = reason.to_string();
        problem(
            status,
            id,
            title(&refusal.decision),
            reason.code(),
            &sentence,
            login_url,
        )
    };
    let mut response = identified(response, id);
    if let (StatusCode::UNAUTHORIZED, Some(step_up)) = (status, &refusal.step_up) {
        let headers = response.headers_mut();
        headers.insert(header::WWW_AUTHENTICATE, step_up_challenge(step_up));
    }
    response
}

/// The challenge for programs of somebody who has to sign in again (RFC 9470 §3). It has a parameter for the time, and
/// none for `amr`.
fn step_up_challenge(step_up: &StepUp) -> HeaderValue {
    const CHALLENGE: &str = "Bearer error=\"insufficient_user_authentication\", \
        error_description=\"a more recent or another sign-in is required\"";
    match step_up.max_age {
        None => HeaderValue::from_static(CHALLENGE),
        Some(age) => HeaderValue::from_str(&format!("{CHALLENGE}, max_age=\"{}\"", age.as_secs()))
            .unwrap_or_else(|_| HeaderValue::from_static(CHALLENGE)),
    }
}

fn status(decision: &Decision<'_>) -> StatusCode {
    match decision {
        Decision::Challenge(_) => StatusCode::UNAUTHORIZED,
        Decision::Deny(Reason::ReservedPath) => StatusCode::NOT_FOUND,
        Decision::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        // No refusal is an Allow; if one were, it would still be none.
        Decision::Deny(_) | Decision::Allow(_) => StatusCode::FORBIDDEN,
    }
}

fn title(decision: &Decision<'_>) -> &'static str {
    match decision {
        Decision::Challenge(reason) => please_sign_in(reason.asks_for_step_up()),
        Decision::Deny(Reason::ReservedPath) => "Not found",
        Decision::Deny(Reason::LoginLoop) => "Signing in goes round in circles",
        Decision::Deny(Reason::InsecureScheme) => "Please use https",
        Decision::Unavailable(_) => "Not available right now",
        Decision::Deny(_) | Decision::Allow(_) => "You may not open this",
    }
}

/// What somebody is asked for, who may have done it before.
pub(super) const fn please_sign_in(again: bool) -> &'static str {
    if again {
        "Please sign in again"
    } else {
        "Please sign in"
    }
}

/// What to do when signing in again did not change what was lacking.
pub(super) fn step_up_advice(page: Page, reason: &Reason<'_>) -> Page {
    match reason {
        Reason::AuthMethod(_) => page.line(
            "The identity provider says that you signed in another way. Choose one of these ways there; if it did \
             not ask you at all, sign out at the identity provider first.",
        ),
        Reason::AuthTimeUnknown(_) => page.line(
            "The identity provider does not say when you signed in. Whoever runs this has to have it send \
             auth_time, or do without max_auth_age.",
        ),
        Reason::AuthTooOld(_) => page.line(
            "The identity provider let you pass without asking you again. Sign out at the identity provider, then \
             sign in once more.",
        ),
        _ => page,
    }
}

fn page(id: &str, request: &ForwardedRequest, refusal: &Refusal<'_>) -> Page {
    let reason = refusal.decision.reason();
    let mut page = Page::new(title(&refusal.decision)).line(reason.to_string());
    if *reason == Reason::LoginLoop {
        page = loop_advice(page, &request.authority.to_string());
    }
    if matches!(refusal.decision, Decision::Challenge(_)) {
        page = page.line("What you sent was not delivered. Sign in, then try it again.");
    }
    let again = reason.asks_for_step_up();
    if again && matches!(refusal.decision, Decision::Deny(_)) {
        page = page.line("You have just signed in again, and that did not change it.");
        page = step_up_advice(page, reason);
    }
    if let Some(url) = &refusal.login_url {
        page = page.link(if again { "Sign in again" } else { "Sign in" }, url);
    }
    if *reason == Reason::InsecureScheme {
        let target = request.target.as_str();
        page = page.link(
            "Open over https",
            format!("https://{}{target}", request.authority.host),
        );
    }
    if let Some(identity) = &refusal.identity {
        if matches!(reason, Reason::ReservedUser(_)) {
            page = page.fact("Your subject", &*identity.subject);
        }
        page = page
            .fact("Signed in as", display_name(identity))
            .link("Sign out", "/.portcullis/logout");
    }
    page.fact("Host", request.authority.to_string())
        .fact("Decision", id)
}

/// What to look at when a login does not take.
pub(super) fn loop_advice(page: Page, host: &str) -> Page {
    page.line(format!(
        "Most likely this browser keeps no cookies for {host}: they are blocked, or the page is in a private \
         window that forbids them."
    ))
    .line(
        "Otherwise the proxy may hand the host on under another name, or serve it over http; or the clocks \
         of the servers differ; or two servers do not share one session secret or one session store.",
    )
}

/// What to call somebody.
pub(super) fn display_name(identity: &Identity) -> &str {
    let names = [&identity.username, &identity.name, &identity.email];
    let mut names = names.into_iter().filter_map(|name| name.as_deref());
    names
        .find(|name| !name.trim().is_empty())
        .unwrap_or(&identity.subject)
}

/// A refusal for programs (RFC 9457).
fn problem(
    status: StatusCode,
    id: &str,
    title: &str,
    code: &str,
    detail: &str,
    login_url: Option<&str>,
) -> HttpResponse {
    let mut body = json!({
        "type": "about:blank",
        "title": title,
        "status": status.as_u16(),
        "detail": detail,
        "reason": code,
        "decision": id,
    });
    if let Some(url) = login_url {
        body["login_url"] = url.into();
    }
    let mut response = answer(status, id);
    response.content_type(PROBLEM).insert_header(NO_SNIFFING);
    if status == StatusCode::UNAUTHORIZED {
        response.insert_header((header::WWW_AUTHENTICATE, CHALLENGE));
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.insert_header((header::RETRY_AFTER, RETRY_AFTER));
    }
    response.body(body.to_string())
}
