//! Sessions that nobody uses, and sessions that cannot be renewed.

use std::time::Duration;

use super::{DAY, DUE, FILMS, LAPSED, Person, long_sessions, spawn, until};
use crate::support::app::spawn_app_with;
use crate::support::issuer::{Answer, Endpoint};

#[actix_web::test]
async fn a_session_that_nobody_uses_is_not_renewed_and_one_that_is_used_again_waits_for_it() {
    let app = spawn(|_| {}).await;
    let mut ada = Person::sign_in(&app, FILMS).await;
    let ben = Person::sign_in(&app, FILMS).await;
    for _ in 0..10 {
        app.clock.advance(LAPSED);
        assert_eq!(ben.status(&app).await, 200);
        tokio::task::yield_now().await;
    }
    assert_eq!(app.issuer.requests(Endpoint::Refresh), 10, "ben's alone");
    // What was taken away in the pause counts for the first request after it.
    app.issuer.behave(|issuer| issuer.groups = Some(&[]));
    app.issuer
        .answer(Endpoint::Refresh, Answer::Late(Duration::from_millis(500)));
    assert_eq!(ada.status(&app).await, 403);
    assert_eq!(app.issuer.requests(Endpoint::Refresh), 11);
    assert_eq!(ada.whoami().await["groups"], serde_json::json!([]));
}

/// Open paths ask for nobody, so they renew nothing either.
#[actix_web::test]
async fn what_is_open_to_everybody_renews_nothing() {
    let app = spawn(|_| {}).await;
    let ada = Person::sign_in(&app, FILMS).await;
    app.clock.advance(LAPSED);
    app.issuer.answer(Endpoint::Refresh, Answer::Hang);
    let cookie = ada.browser.cookie_header(super::HOST);
    let ask = app.ask("https://films.example.net/ping").fetch();
    let answer = ask.header("cookie", &cookie).send().await;
    assert_eq!(answer.status, 200);
    assert_eq!(app.issuer.requests(Endpoint::Refresh), 0);
}

#[actix_web::test]
async fn every_way_to_use_a_session_renews_it() {
    for page in ["/whoami", "/", "/login"] {
        let app = spawn(|_| {}).await;
        let mut ada = Person::sign_in(&app, FILMS).await;
        app.clock.advance(LAPSED);
        app.issuer
            .behave(|issuer| issuer.refuse_refresh = Some("invalid_grant"));
        let answer = ada
            .browser
            .open(&format!("https://auth.example.net{page}"))
            .await;
        assert_eq!(app.issuer.requests(Endpoint::Refresh), 1, "{page}");
        match page {
            "/whoami" => assert_eq!(answer.status, 401),
            "/login" => assert!(
                answer.location().contains("code_challenge="),
                "to the provider"
            ),
            _ => assert!(
                answer.body.contains("You are not signed in"),
                "{}",
                answer.body
            ),
        }
    }
}

/// A provider that gives no refresh token: the session has its own limits, or those of the token.
#[actix_web::test]
async fn without_a_refresh_token_a_session_lives_as_configured() {
    for (without_refresh, after_an_hour) in
        [(None, 200), (Some("session"), 200), (Some("token"), 401)]
    {
        let app = spawn_app_with(|raw| {
            long_sessions(raw);
            raw.session.without_refresh = without_refresh.map(str::to_owned);
        })
        .await;
        let mut ada = Person::sign_in(&app, FILMS).await;
        app.clock.advance(DUE);
        assert_eq!(ada.status(&app).await, 200, "{without_refresh:?}");
        app.clock.advance(Duration::from_secs(5 * 60));
        assert_eq!(ada.status(&app).await, after_an_hour, "{without_refresh:?}");
        assert_eq!(app.issuer.requests(Endpoint::Refresh), 0);
        if after_an_hour == 401 {
            let visit = ada.browser.navigate(FILMS).await;
            assert_eq!((visit.end.status.as_u16(), visit.logins()), (200, 1));
        }
    }
    // One that can be renewed is none of these.
    let app = spawn(|raw| raw.session.without_refresh = Some("token".into())).await;
    let ada = Person::sign_in(&app, FILMS).await;
    app.clock.advance(LAPSED);
    assert_eq!(ada.status(&app).await, 200);
}

/// A renewed session still has its own limits.
#[actix_web::test]
async fn renewing_prolongs_nothing() {
    let app = spawn(|raw| {
        raw.session.idle_timeout = Some(DAY);
        raw.session.lifetime = Some(DAY);
    })
    .await;
    let ada = Person::sign_in(&app, FILMS).await;
    for _ in 0..23 {
        app.clock.advance(Duration::from_secs(3_600));
        assert_eq!(ada.status(&app).await, 200);
    }
    until("renewals are over", async || app.issuer.renewals() >= 20).await;
    app.clock.advance(Duration::from_secs(3_600));
    assert_eq!(ada.status(&app).await, 401);
}
