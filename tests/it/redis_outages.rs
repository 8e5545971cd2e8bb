//! Redis down, killed, frozen, full, read-only: what people and programs are told, and that it passes without a
//! restart.

use std::time::{Duration, Instant};

use portcullis::config::RawConfig;
use secrecy::SecretString;

use crate::backchannel;
use crate::redis::Shared;
use crate::replicas::until;
use crate::support::app::{Answer, TestApp, spawn_app_with};
use crate::support::browser::Browser;

const FILMS: &str = "https://films.example.net/";
const LOGOUT: &str = "https://films.example.net/.portcullis/logout";

/// `session.store_timeout` is one second; the rest is for a machine that has much to do.
const DECIDED_WITHIN: Duration = Duration::from_secs(2);

const NOTICED_WITHIN: Duration = Duration::from_secs(3);

const RECOVERED_WITHIN: Duration = Duration::from_secs(5);

async fn spawn(shared: &Shared) -> TestApp {
    let app = spawn_app_with(|raw: &mut RawConfig| shared.configure(raw)).await;
    is_ready(&app).await;
    app
}

/// Until the store is there.
async fn is_ready(app: &TestApp) {
    let start = Instant::now();
    while app.health("ready").await.status != 200 {
        assert!(start.elapsed() < RECOVERED_WITHIN, "it does not recover");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Until it is known that the store is not there.
async fn is_not_ready(app: &TestApp) {
    let start = Instant::now();
    while app.health("ready").await.status == 200 {
        assert!(start.elapsed() < RECOVERED_WITHIN, "nobody notices");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn says_unavailable(answer: &Answer, what: &str) {
    assert_eq!(answer.status, 503, "{what}: {answer:?}");
    assert!(
        !answer.header("retry-after").is_empty(),
        "{what}: {answer:?}"
    );
    assert_eq!(answer.header("cache-control"), "no-store", "{what}");
    for name in ["location", "remote-user", "set-cookie"] {
        assert!(!answer.headers.contains_key(name), "{what}: {answer:?}");
    }
    for secret in [
        "127.0.0.1",
        "redis",
        "Redis",
        "NOAUTH",
        "MISCONF",
        "READONLY",
    ] {
        assert!(!answer.body.contains(secret), "{what}: {answer:?}");
    }
}

/// Whoever brings a session is told to wait, soon, and is never sent to sign in. What needs no session goes on.
async fn the_store_is_missed(app: &TestApp, browser: &mut Browser<'_>) {
    // Whoever is known goes on until it is noticed, which may take a second.
    let noticed = until("it is noticed", async || {
        browser.ask(FILMS).fetch().send().await.status != 200
    });
    assert!(noticed.await < NOTICED_WITHIN);
    for round in 0..3 {
        let start = Instant::now();
        let fetched = browser.ask(FILMS).fetch().send().await;
        assert!(start.elapsed() < DECIDED_WITHIN, "{:?}", start.elapsed());
        says_unavailable(&fetched, "a fetch");
        assert_eq!(fetched.reason(), "store_unavailable", "{round}");
        let start = Instant::now();
        let page = browser.ask(FILMS).navigation().send().await;
        assert!(start.elapsed() < DECIDED_WITHIN, "{:?}", start.elapsed());
        says_unavailable(&page, "a page");
        assert!(page.header("content-type").starts_with("text/html"));
    }
    let bypassed = browser.ask("https://films.example.net/ping").fetch();
    assert_eq!(bypassed.send().await.status, 200);
    let stranger = app.ask(FILMS).fetch().send().await;
    assert_eq!(stranger.status, 401);
    let portal = browser.open("https://auth.example.net/").await;
    says_unavailable(&portal, "the portal");
    assert_eq!(app.health("live").await.status, 200);
    let ready = app.health("ready").await;
    says_unavailable(
        &Answer {
            body: String::new(),
            ..ready
        },
        "ready",
    );
    let ready = app.health("ready").await.json();
    assert_eq!(
        (&ready["status"], &ready["store"]),
        (&"not ready".into(), &"down".into())
    );
}

#[actix_web::test]
async fn killed_and_restarted_empty() {
    let mut shared = Shared::start();
    let app = spawn(&shared).await;
    let mut browser = Browser::new(&app);
    browser.navigate(FILMS).await;
    shared.redis.kill();
    the_store_is_missed(&app, &mut browser).await;
    shared.redis.restart();
    is_ready(&app).await;
    // Nobody is known any more: one sign-in, and all is well.
    assert_eq!(browser.ask(FILMS).fetch().send().await.status, 401);
    let visit = browser.navigate(FILMS).await;
    assert_eq!((visit.end.status.as_u16(), visit.logins()), (200, 1));
    assert_eq!(browser.ask(FILMS).fetch().send().await.status, 200);
}

#[actix_web::test]
async fn flushed() {
    let shared = Shared::start();
    let app = spawn(&shared).await;
    let mut browser = Browser::new(&app);
    browser.navigate(FILMS).await;
    shared.redis.ask(&["FLUSHALL"]);
    let is_told = async || browser.ask(FILMS).fetch().send().await.status == 401;
    assert!(until("it is told", is_told).await < NOTICED_WITHIN);
    let visit = browser.navigate(FILMS).await;
    assert_eq!((visit.end.status.as_u16(), visit.logins()), (200, 1));
}

#[actix_web::test]
async fn frozen_and_thawed() {
    let shared = Shared::start();
    let app = spawn(&shared).await;
    let mut browser = Browser::new(&app);
    browser.navigate(FILMS).await;
    shared.redis.freeze();
    the_store_is_missed(&app, &mut browser).await;
    // Once it is known, nobody waits.
    is_not_ready(&app).await;
    let start = Instant::now();
    for _ in 0..20 {
        assert_eq!(browser.ask(FILMS).fetch().send().await.status, 503);
    }
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
    shared.redis.thaw();
    is_ready(&app).await;
    assert_eq!(browser.ask(FILMS).fetch().send().await.status, 200);
}

#[actix_web::test]
async fn down_at_the_start() {
    let mut shared = Shared::start();
    // A cookie from before.
    let before = spawn(&shared).await;
    let mut browser = Browser::new(&before);
    browser.navigate(FILMS).await;
    shared.redis.kill();
    let app = before.beside(|raw| shared.configure(raw));
    browser.led_to(&app);
    the_store_is_missed(&app, &mut browser).await;
    shared.redis.restart();
    is_ready(&app).await;
    let visit = browser.navigate(FILMS).await;
    assert_eq!((visit.end.status.as_u16(), visit.logins()), (200, 1));
}

#[actix_web::test]
async fn a_login_that_cannot_be_stored_is_refused_with_a_page() {
    let shared = Shared::start();
    let app = spawn(&shared).await;
    let mut signed_in = Browser::new(&app);
    signed_in.navigate(FILMS).await;
    let mut elsewhere = Browser::new(&app);
    elsewhere.navigate(FILMS).await;
    app.issuer.sign_in_as("ben");
    app.issuer.name_sessions("A");
    let mut of_ben = Browser::new(&app);
    of_ben.navigate(FILMS).await;
    app.issuer.name_sessions("B");
    let records = shared.redis.ask(&["DBSIZE"]);
    shared.redis.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    let mut newcomer = Browser::new(&app);
    let visit = newcomer.navigate(FILMS).await;
    assert!(
        visit.url().starts_with("https://auth.example.net/callback"),
        "{visit:?}"
    );
    assert_eq!(visit.end.status, 503);
    assert!(
        visit.end.body.contains("You are not signed in"),
        "{visit:?}"
    );
    assert!(!visit.end.header("retry-after").is_empty());
    assert!(visit.end.header("content-type").starts_with("text/html"));
    assert!(
        newcomer
            .cookie("auth.example.net", "__Host-portcullis-sso")
            .is_none()
    );
    assert_eq!(shared.redis.ask(&["DBSIZE"]), records, "no half session");
    // Who is in stays in, and may be noted to be there or not.
    assert_eq!(signed_in.ask(FILMS).fetch().send().await.status, 200);
    app.clock.advance(Duration::from_secs(12 * 3_600));
    assert_eq!(signed_in.ask(FILMS).fetch().send().await.status, 200);
    assert_eq!(app.health("ready").await.status, 200);
    // And may leave, at the provider too; by every other way as well.
    let left = signed_in.open(LOGOUT).await;
    assert!(left.location().contains("id_token_hint="), "{left:?}");
    assert_eq!(signed_in.ask(FILMS).fetch().send().await.status, 401);
    let left = elsewhere.post("/logout/everywhere", "same-origin").await;
    assert!(left.location().contains("id_token_hint="), "{left:?}");
    let told = backchannel::post(&app, &app.from, &app.issuer.logout_token("A")).await;
    assert_eq!(told.status, 200);
    for browser in [&elsewhere, &of_ben] {
        assert_eq!(browser.ask(FILMS).fetch().send().await.status, 401);
    }
    shared.redis.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    let visit = newcomer.navigate(FILMS).await;
    assert_eq!((visit.end.status.as_u16(), visit.logins()), (200, 1));
}

#[actix_web::test]
async fn a_logout_that_cannot_be_recorded_says_so() {
    let shared = Shared::start();
    let app = spawn(&shared).await;
    let mut browser = Browser::new(&app);
    browser.navigate(FILMS).await;
    // A replica of a primary that is not there: it can be read.
    shared.redis.ask(&["REPLICAOF", "127.0.0.1", "1"]);
    let at_app = browser.ask(LOGOUT).navigation().send().await;
    says_unavailable(&at_app, "at the app");
    let at_portal = browser.post("/logout", "same-origin").await;
    says_unavailable(&at_portal, "at the portal");
    assert!(at_portal.body.contains("NOT signed out"), "{at_portal:?}");
    let everywhere = browser.post("/logout/everywhere", "same-origin").await;
    says_unavailable(&everywhere, "everywhere");
    assert!(
        everywhere.body.contains("NOT signed out everywhere"),
        "{everywhere:?}"
    );
    assert_eq!(browser.ask(FILMS).fetch().send().await.status, 200);
    shared.redis.ask(&["REPLICAOF", "NO", "ONE"]);
    assert_eq!(browser.post("/logout", "same-origin").await.status, 303);
    assert_eq!(browser.ask(FILMS).fetch().send().await.status, 401);
    // The same while there is nobody to record it.
    browser.navigate(FILMS).await;
    shared.redis.freeze();
    let frozen = browser.post("/logout", "same-origin").await;
    says_unavailable(&frozen, "while it is frozen");
    shared.redis.thaw();
}

#[actix_web::test]
async fn closed_connections_are_not_noticed() {
    let shared = Shared::start();
    let app = spawn(&shared).await;
    let mut browser = Browser::new(&app);
    browser.navigate(FILMS).await;
    for _ in 0..10 {
        shared.redis.ask(&["CLIENT", "KILL", "TYPE", "normal"]);
        for _ in 0..5 {
            assert_eq!(browser.ask(FILMS).fetch().send().await.status, 200);
        }
    }
}

#[actix_web::test]
async fn a_changed_password_needs_no_restart() {
    let shared = Shared::start();
    let acl = |words: &[&str]| {
        let command = [&["ACL", "SETUSER", "ours", "on", "~*", "+@all"], words].concat();
        assert_eq!(shared.redis.ask(&command), "OK");
    };
    acl(&[">first"]);
    shared.write("password", "first\n");
    let app = spawn_app_with(|raw| {
        shared.configure(raw);
        let url = format!("redis://ours@127.0.0.1:{}/0", shared.redis.port);
        raw.session.store = Some(SecretString::from(url));
        raw.session.store_password_file = Some(shared.path("password"));
    })
    .await;
    is_ready(&app).await;
    let mut browser = Browser::new(&app);
    browser.navigate(FILMS).await;
    acl(&["resetpass", ">second"]);
    shared.redis.ask(&["CLIENT", "KILL", "USER", "ours"]);
    is_not_ready(&app).await;
    the_store_is_missed(&app, &mut browser).await;
    shared.write("password", "second\n");
    is_ready(&app).await;
    assert_eq!(browser.ask(FILMS).fetch().send().await.status, 200);
}
