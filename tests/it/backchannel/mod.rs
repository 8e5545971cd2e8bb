//! `/backchannel-logout`: which tokens are believed, what they end, and what the provider is told.

mod outages;
mod requests;
mod sessions;
mod tokens;

use std::sync::atomic::{AtomicU32, Ordering};

use reqwest::{Method, RequestBuilder};

use crate::support::app::{Answer, TestApp, answer};
use crate::support::browser::Browser;

const FILMS: &str = "https://films.example.net/";
const NOTES: &str = "https://notes.example.net/";
const PATH: &str = "/backchannel-logout";

/// An address that no other test uses, so that no limit counts somebody else's requests, and lines are found in the log.
fn address() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let [_, a, b, c] = NEXT.fetch_add(1, Ordering::SeqCst).to_be_bytes();
    format!("101.{a}.{b}.{c}")
}

/// Adds a form with `token` in it.
fn with_form(request: RequestBuilder, token: &str) -> RequestBuilder {
    let form = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("logout_token", token)
        .finish();
    request
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form)
}

/// Posts `token` as a provider does.
pub async fn post(app: &TestApp, from: &str, token: &str) -> Answer {
    answer(with_form(app.portal_from(from, Method::POST, PATH), token)).await
}

/// Somebody who has signed in, from the provider's session `sid`.
async fn signed_in<'a>(app: &'a TestApp, sid: &str) -> Browser<'a> {
    app.issuer.name_sessions(sid);
    let mut browser = Browser::new(app).at(address());
    let visit = browser.navigate(FILMS).await;
    assert_eq!(visit.end.status, 200, "{sid}: {}", visit.end.body);
    browser
}

async fn is_in(browser: &Browser<'_>) -> bool {
    let status = browser.ask(FILMS).fetch().send().await.status.as_u16();
    assert!(status == 200 || status == 401, "{status}");
    status == 200
}

/// 200, and nothing more.
fn is_obeyed(answer: &Answer, what: &str) {
    assert_eq!(answer.status, 200, "{what}: {answer:?}");
    assert_eq!(answer.header("cache-control"), "no-store", "{what}");
    assert_eq!(answer.body, "", "{what}");
}

/// A status, the code of an error, and nothing more.
fn is_refused(answer: &Answer, status: u16, code: &str, what: &str) {
    assert_eq!(answer.status, status, "{what}: {answer:?}");
    assert_eq!(answer.header("cache-control"), "no-store", "{what}");
    assert_eq!(answer.header("content-type"), "application/json", "{what}");
    assert_eq!(answer.body, format!("{{\"error\":\"{code}\"}}"), "{what}");
    assert_eq!(
        answer.headers.contains_key("retry-after"),
        status != 400,
        "{what}"
    );
}
