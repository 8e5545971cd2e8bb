//! A back-channel logout that could not be recorded, or of which nobody can tell whether to believe it.

use std::time::{Duration, Instant};

use reqwest::Method;

use super::{address, is_in, is_obeyed, is_refused, post, signed_in};
use crate::redis::Shared;
use crate::support::app::{answer, spawn_app, spawn_app_at, spawn_app_with};
use crate::support::clock::TestClock;
use crate::support::issuer::{Answer, Endpoint, FakeIssuer};
use crate::support::log;

/// The provider is told to come again, with the same token; and when it does, it counts.
#[actix_web::test]
async fn what_was_not_recorded_may_come_again() {
    let mut shared = Shared::start();
    let app = spawn_app_with(|raw| shared.configure(raw)).await;
    let browser = signed_in(&app, "A").await;
    let token = app.issuer.logout_token("A");
    shared.redis.kill();
    let start = Instant::now();
    let told = post(&app, &address(), &token).await;
    is_refused(&told, 503, "temporarily_unavailable", "the store is gone");
    assert!(start.elapsed() < Duration::from_secs(5));
    shared.redis.restart();
    let start = Instant::now();
    loop {
        let told = post(&app, &address(), &token).await;
        if told.status == 200 {
            break;
        }
        assert_eq!(told.status, 503, "never used up: {told:?}");
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "it does not recover"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(!is_in(&browser).await);
}

/// Redis that takes nothing: the session cannot be ended, and nobody says that it was.
#[actix_web::test]
async fn a_store_that_takes_nothing_is_no_success() {
    let shared = Shared::start();
    let app = shared.spawn().await;
    let browser = signed_in(&app, "A").await;
    let token = app.issuer.logout_token("A");
    shared
        .redis
        .ask(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    is_refused(
        &post(&app, &address(), &token).await,
        503,
        "temporarily_unavailable",
        "no writes",
    );
    shared
        .redis
        .ask(&["CONFIG", "SET", "min-replicas-to-write", "0"]);
    assert!(is_in(&browser).await);
    is_obeyed(&post(&app, &address(), &token).await, "again");
    assert!(!is_in(&browser).await);
}

#[actix_web::test]
async fn nobody_can_tell_without_the_providers_keys() {
    let clock = TestClock::new();
    let issuer = FakeIssuer::start(&clock);
    issuer.answer(Endpoint::Jwks, Answer::Status(500));
    let app = spawn_app_at(issuer, clock, |_| {});
    let token = app.issuer.logout_token("A");
    is_refused(
        &post(&app, &address(), &token).await,
        503,
        "temporarily_unavailable",
        "no keys",
    );
    app.issuer.behave(|behaviour| behaviour.answers.clear());
    let start = Instant::now();
    while post(&app, &address(), &token).await.status != 200 {
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "it does not recover"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The provider has a new key, and does not give it out just now.
#[actix_web::test]
async fn nobody_can_tell_while_new_keys_cannot_be_had() {
    let app = spawn_app().await;
    let browser = signed_in(&app, "A").await;
    app.issuer.rotate_keys(2);
    let token = app.issuer.logout_token("A");
    app.issuer.answer(Endpoint::Jwks, Answer::Status(500));
    is_refused(
        &post(&app, &address(), &token).await,
        503,
        "temporarily_unavailable",
        "no new keys",
    );
    assert!(is_in(&browser).await);
    app.issuer.behave(|behaviour| behaviour.answers.clear());
    let start = Instant::now();
    while post(&app, &address(), &token).await.status != 200 {
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "it does not recover"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(!is_in(&browser).await);
}

/// Two sessions came from the provider's; the first one ends, and the second one's record cannot be looked at. What has
/// ended is in the audit log and counted, before the provider is told to come again.
#[actix_web::test]
async fn what_has_ended_is_audited_though_not_all_has() {
    log::capture();
    let shared = Shared::start();
    let app = shared.spawn().await;
    let first = signed_in(&app, "A").await;
    let keys = || -> Vec<String> {
        let keys = shared.redis.ask(&["KEYS", "*session:*"]);
        keys.lines().map(str::to_owned).collect()
    };
    let before = keys();
    app.clock.advance(Duration::from_secs(1));
    let second = signed_in(&app, "A").await;
    let added = keys().into_iter().find(|key| !before.contains(key));
    let added = added.expect("the second session");
    let record = shared.redis.ask(&["RENAME", &added, "elsewhere"]);
    assert!(record.contains("OK"), "{record}");
    shared.redis.ask(&["LPUSH", &added, "no record"]);
    let (from, token) = (address(), app.issuer.logout_token("A"));
    let told = post(&app, &from, &token).await;
    is_refused(&told, 503, "temporarily_unavailable", "one does not end");
    let ended = || log::with("client", &from).into_iter();
    let ended = || ended().filter(|line| line["event"] == "logout").count();
    assert_eq!(ended(), 1);
    assert!(!is_in(&first).await);
    shared.redis.ask(&["DEL", &added]);
    shared.redis.ask(&["RENAME", "elsewhere", &added]);
    assert!(is_in(&second).await);
    is_obeyed(&post(&app, &from, &token).await, "again");
    assert_eq!(ended(), 2);
    let counted = answer(app.admin(Method::GET, "/metrics")).await.body;
    let sample = "portcullis_logouts_total{how=\"backchannel\"} 2\n";
    assert!(counted.contains(sample), "{counted}");
    assert!(!is_in(&second).await);
}
