//! Which sessions a logout token ends: on every host, in every replica, and against a login that is on its way.

use std::time::Duration;

use serde_json::{Value, json};

use super::{FILMS, NOTES, address, is_in, is_obeyed, is_refused, post, signed_in};
use crate::provider::lies::set;
use crate::redis::Shared;
use crate::support::app::{TestApp, spawn_app};
use crate::support::browser::Browser;

async fn end(app: &TestApp, sub: Option<&str>, sid: Option<&str>) {
    let mut draft = app.issuer.logout_draft("");
    set(
        &mut draft.claims,
        "sub",
        sub.map_or(Value::Null, |sub| json!(sub)),
    );
    set(
        &mut draft.claims,
        "sid",
        sid.map_or(Value::Null, |sid| json!(sid)),
    );
    is_obeyed(
        &post(app, &address(), &app.issuer.sign(&draft)).await,
        "a good token",
    );
}

#[actix_web::test]
async fn it_ends_the_session_on_every_host() {
    let app = spawn_app().await;
    let mut browser = signed_in(&app, "A").await;
    let other = signed_in(&app, "B").await;
    browser.navigate(NOTES).await;
    let copied = browser.cookie_header("notes.example.net");
    is_obeyed(
        &post(&app, &address(), &app.issuer.logout_token("A")).await,
        "a good token",
    );
    assert!(!is_in(&browser).await && is_in(&other).await);
    let with_copy = app.ask(NOTES).fetch().header("cookie", &copied);
    assert_eq!(with_copy.send().await.status, 401);
    let whoami = browser.open("https://auth.example.net/whoami").await;
    assert_eq!(whoami.status, 401);
    // Another provider's session, and all is as before.
    app.issuer.name_sessions("C");
    let visit = browser.navigate(FILMS).await;
    assert_eq!((visit.end.status.as_u16(), visit.logins()), (200, 1));
}

/// Ada from A in two browsers, and from B; ben from B too, as if she had handed her browser on.
#[rustfmt::skip] // the columns are the point
#[actix_web::test]
async fn it_ends_what_it_names() {
    let ada = "0a11ce00-ada0-4000-8000-000000000001";
    let ben = "0b0b0000-be00-4000-8000-000000000002";
    let cases = [
        // sub, sid, who is in then
        (None,           Some("A"), [false, false, true,  true]),
        (None,           Some("B"), [true,  true,  false, false]),
        (Some(ada),      Some("B"), [true,  true,  false, true]),
        (Some(ben),      Some("B"), [true,  true,  true,  false]),
        (Some(ben),      Some("A"), [true,  true,  true,  true]),
        (Some(ada),      None,      [false, false, false, true]),
        (Some(ben),      None,      [true,  true,  true,  false]),
        (Some("nobody"), None,      [true,  true,  true,  true]),
        (None,           Some("C"), [true,  true,  true,  true]),
    ];
    for (sub, sid, expected) in cases {
        let app = spawn_app().await;
        let browsers = [signed_in(&app, "A").await, signed_in(&app, "A").await, signed_in(&app, "B").await];
        app.issuer.sign_in_as("ben");
        let bens = signed_in(&app, "B").await;
        end(&app, sub, sid).await;
        let mut found = Vec::new();
        for browser in browsers.iter().chain([&bens]) {
            found.push(is_in(browser).await);
        }
        assert_eq!(found, expected, "{sub:?} {sid:?}");
    }
}

/// A session that is used for days is found by its name all the while.
#[actix_web::test]
async fn it_finds_a_session_that_is_used() {
    let app = spawn_app().await;
    let browser = signed_in(&app, "A").await;
    for _ in 0..5 {
        app.clock.advance(Duration::from_secs(20 * 3_600));
        assert!(is_in(&browser).await);
    }
    end(&app, None, Some("A")).await;
    assert!(!is_in(&browser).await);
}

#[actix_web::test]
async fn it_counts_once() {
    let app = spawn_app().await;
    signed_in(&app, "X").await;
    let token = app.issuer.logout_token("A");
    is_obeyed(&post(&app, &address(), &token).await, "an unknown session");
    for _ in 0..3 {
        is_refused(
            &post(&app, &address(), &token).await,
            400,
            "invalid_request",
            "a replay",
        );
        app.clock.advance(Duration::from_secs(59));
    }
    // In the end it has expired, and is no longer remembered.
    app.clock.advance(Duration::from_secs(3_600));
    is_refused(
        &post(&app, &address(), &token).await,
        400,
        "invalid_request",
        "expired",
    );
    // The same name signed anew is the same token; that of a bad one is nobody's.
    let mut draft = app.issuer.logout_draft("A");
    let good = app.issuer.sign(&draft);
    draft.claims["aud"] = json!("other");
    is_refused(
        &post(&app, &address(), &app.issuer.sign(&draft)).await,
        400,
        "invalid_request",
        "for others",
    );
    is_obeyed(&post(&app, &address(), &good).await, "not used up by that");
    draft.claims["aud"] = json!("portcullis");
    draft.claims["sid"] = json!("B");
    is_refused(
        &post(&app, &address(), &app.issuer.sign(&draft)).await,
        400,
        "invalid_request",
        "the same name",
    );
}

/// The provider ended its session while the code that came from it was on its way.
#[actix_web::test]
async fn a_login_from_an_ended_session_comes_to_nothing() {
    let app = spawn_app().await;
    app.issuer.name_sessions("A");
    let mut browser = Browser::new(&app).at(address());
    let url = browser.until_callback(FILMS).await;
    end(&app, None, Some("A")).await;
    let page = browser.open(&url).await;
    assert_eq!(page.status, 403, "{}", page.body);
    assert!(
        page.body.contains("You were signed out again"),
        "{}",
        page.body
    );
    assert_eq!(
        browser.cookie("auth.example.net", "__Host-portcullis-sso"),
        None
    );
    assert!(!is_in(&browser).await);
    app.issuer.name_sessions("B");
    assert_eq!(browser.navigate(FILMS).await.end.status, 200);
}

#[actix_web::test]
async fn one_replica_is_told_and_the_other_obeys() {
    let shared = Shared::start();
    let one = shared.spawn().await;
    let other = one.beside(|raw| shared.configure_patiently(raw));
    let mut browser = signed_in(&one, "A").await;
    browser.led_to(&other);
    assert!(is_in(&browser).await);
    let token = one.issuer.logout_token("A");
    is_obeyed(&post(&one, &address(), &token).await, "one replica");
    assert!(!is_in(&browser).await);
    is_refused(
        &post(&other, &address(), &token).await,
        400,
        "invalid_request",
        "a replay at the other",
    );
    browser.led_to(&one);
    assert!(!is_in(&browser).await);
}
