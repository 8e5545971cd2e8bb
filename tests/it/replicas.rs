//! Sessions that instances keep in memory: what one of them ends, the others obey, whatever becomes of the connection that
//! tells them.

mod hammer;
mod people;

use std::cell::Cell;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join;
use portcullis::config::{RawConfig, RawUpstreamHeader};
use secrecy::SecretString;

use self::hammer::Ends;
use crate::redis::Shared;
use crate::support::app::{TestApp, spawn_app_with};
use crate::support::browser::Browser;
use crate::support::relay::{Relay, Weather};

const FILMS: &str = "https://films.example.net/";
const HOST: &str = "films.example.net";
const LOGOUT: &str = "https://films.example.net/.portcullis/logout";

/// What is promised is a tenth of it; the rest is for a machine that has much to do.
const OBEYED_WITHIN: Duration = Duration::from_secs(1);

/// After the connection is lost without a word, so much longer.
const NOTICED_WITHIN: Duration = Duration::from_secs(3);

/// Whether the tests are to last, and are alone on the machine (`make faults`).
fn lasts_long() -> bool {
    std::env::var("PORTCULLIS_FAULTS").is_ok_and(|extent| extent == "all")
}

/// How often something is done.
fn rounds(brief: usize, long: usize) -> usize {
    if lasts_long() { long } else { brief }
}

/// What the app's cookie is good for at `app`.
async fn status(app: &TestApp, cookie: &str) -> u16 {
    let asked = app.ask(FILMS).fetch().header("cookie", cookie);
    asked.send().await.status.as_u16()
}

pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !holds().await {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "it did not happen: {what}"
        );
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    begun.elapsed()
}

/// The connections that tell, as Redis lists them.
const LISTENER: &str = "name=portcullis-invalidations";

/// How many connections tell instances of changes.
fn listeners(shared: &Shared) -> usize {
    let clients = shared.redis.ask(&["CLIENT", "LIST", "TYPE", "normal"]);
    let clients = clients.lines();
    let telling = |line: &&str| line.contains(LISTENER) && line.contains("flags=tB");
    clients.filter(telling).count()
}

/// One that nobody else has: logins are limited by address.
fn an_address() -> String {
    static COUNT: AtomicU8 = AtomicU8::new(0);
    format!("198.51.100.{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Signs somebody in, and has `other` know them.
async fn sign_in<'a>(one: &'a TestApp, other: &TestApp) -> (Browser<'a>, String) {
    let mut browser = Browser::new(one).at(an_address());
    let visit = browser.navigate(FILMS).await;
    assert_eq!(visit.end.status, 200, "{:?}", visit.urls);
    let cookie = browser.cookie_header(HOST);
    for _ in 0..3 {
        for app in [one, other] {
            assert_eq!(status(app, &cookie).await, 200);
        }
    }
    (browser, cookie)
}

/// The same while either may be without Redis for a moment.
async fn sign_in_patiently<'a>(one: &'a TestApp, other: &TestApp) -> (Browser<'a>, String) {
    let begun = Instant::now();
    loop {
        let mut browser = Browser::new(one).at(an_address());
        let visit = browser.navigate(FILMS).await;
        let cookie = browser.cookie_header(HOST);
        if visit.end.status == 200 && status(other, &cookie).await == 200 {
            return (browser, cookie);
        }
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "{:?}",
            visit.urls
        );
    }
}

async fn pair(shared: &Shared) -> (TestApp, TestApp) {
    let one = shared.spawn().await;
    let other = one.beside(|raw| shared.configure_patiently(raw));
    until("both are told", async || listeners(shared) == 2).await;
    (one, other)
}

#[actix_web::test]
async fn an_end_at_one_is_obeyed_by_the_other() {
    let shared = Shared::start();
    let (one, other) = pair(&shared).await;
    // Known to the other when it ends, and just being read.
    for stirred in [None, Some(&shared)] {
        let mut ends = Ends::default();
        for _ in 0..rounds(20, 200) {
            let (browser, cookie) = sign_in(&one, &other).await;
            ends.end(&browser, &cookie, &other, stirred).await;
            assert_eq!(status(&one, &cookie).await, 401);
        }
        let what = stirred.map_or("known", |_| "being read");
        ends.conclude(what, 0);
    }
}

/// Whatever is lost on the way, nobody is let in for long who has been signed out; and once nothing is lost any more,
/// sessions are kept in memory again.
#[actix_web::test]
async fn an_end_is_obeyed_while_connections_are_closed_all_the_time() {
    let shared = Shared::start();
    let (one, other) = pair(&shared).await;
    // Each has to be made anew before the next is closed.
    let often = Duration::from_millis(if lasts_long() { 1_000 } else { 250 });
    let closing = || {
        shared.redis.ask(&["CLIENT", "KILL", "TYPE", "normal"]);
    };
    let mut ends = Ends::default();
    for stirred in [None, Some(&shared)] {
        while_harmed(often, closing, async {
            for _ in 0..rounds(15, 150) {
                let (browser, cookie) = sign_in_patiently(&one, &other).await;
                ends.end(&browser, &cookie, &other, stirred).await;
            }
        })
        .await;
    }
    ends.conclude("while connections are closed", 100);
    until("both are told again", async || listeners(&shared) == 2).await;
}

/// The connection that tells is lost, and may not be made again for a while, and then may.
#[actix_web::test]
async fn an_end_is_obeyed_while_the_connection_that_tells_is_cut() {
    let shared = Shared::start();
    let (one, other) = pair(&shared).await;
    let is_deaf = Cell::new(false);
    let cutting = || {
        is_deaf.set(!is_deaf.get());
        let word = if is_deaf.get() {
            "-client|tracking"
        } else {
            "+client|tracking"
        };
        shared.redis.ask(&["ACL", "SETUSER", "default", word]);
        let clients = shared.redis.ask(&["CLIENT", "LIST"]);
        let listening = clients.lines().filter(|line| line.contains(LISTENER));
        for id in listening.filter_map(|line| line.split(' ').next()?.strip_prefix("id=")) {
            shared.redis.ask(&["CLIENT", "KILL", "ID", id]);
        }
    };
    let mut ends = Ends::default();
    for stirred in [None, Some(&shared)] {
        while_harmed(Duration::from_millis(400), cutting, async {
            for _ in 0..rounds(15, 150) {
                let (browser, cookie) = sign_in_patiently(&one, &other).await;
                ends.end(&browser, &cookie, &other, stirred).await;
            }
        })
        .await;
    }
    // The store is there all the while.
    ends.conclude("while the connection that tells is cut", 0);
    shared
        .redis
        .ask(&["ACL", "SETUSER", "default", "+client|tracking"]);
    until("both are told again", async || listeners(&shared) == 2).await;
}

/// Does harm now and then until `done`, once at least.
async fn while_harmed(often: Duration, harm: impl Fn(), done: impl Future<Output = ()>) {
    let is_done = Cell::new(false);
    let harming = async {
        while !is_done.get() {
            harm();
            tokio::time::sleep(often).await;
        }
    };
    let done = async {
        done.await;
        is_done.set(true);
    };
    join(harming, done).await;
}

/// An instance that may not listen looks each session up, and serves everybody.
#[actix_web::test]
async fn without_word_of_changes_each_session_is_looked_up() {
    let shared = Shared::start();
    let one = shared.spawn().await;
    shared.redis.ask(&[
        "ACL",
        "SETUSER",
        "deaf",
        "on",
        ">x",
        "~*",
        "+@all",
        "-client|tracking",
    ]);
    shared.write("password", "x");
    let deaf = one.beside(|raw| {
        shared.configure_patiently(raw);
        let url = format!("redis://deaf@127.0.0.1:{}/0", shared.redis.port);
        raw.session.store = Some(SecretString::from(url));
        raw.session.store_password_file = Some(shared.path("password"));
    });
    let (browser, cookie) = sign_in(&one, &deaf).await;
    let left = browser.ask(LOGOUT).navigation().send().await;
    assert_eq!(left.status, 302, "{left:?}");
    // At once: there was nothing to wait for.
    assert_eq!(status(&deaf, &cookie).await, 401);
}

/// Behind a network that swallows everything, an instance knows within a second that it may not go by what it knew.
#[actix_web::test]
async fn an_instance_that_is_cut_off_lets_nobody_in() {
    let shared = Shared::start();
    let one = shared.spawn().await;
    let relay = Relay::start(shared.redis.port).await.expect("a relay");
    let cut_off = one.beside(|raw| {
        shared.configure(raw);
        let url = format!("redis://127.0.0.1:{}/0", relay.address.port());
        raw.session.store = Some(SecretString::from(url));
    });
    until("both are told", async || listeners(&shared) == 2).await;
    let (_stays, other_cookie) = sign_in(&one, &cut_off).await;
    for weather in [Weather::Silent, Weather::Cut] {
        let (browser, cookie) = sign_in(&one, &cut_off).await;
        relay.set(weather);
        let left = browser.ask(LOGOUT).navigation().send().await;
        assert_eq!(left.status, 302, "{left:?}");
        let noticed = until("it is noticed", async || {
            status(&cut_off, &cookie).await != 200
        })
        .await;
        assert!(noticed < NOTICED_WITHIN, "{noticed:?}");
        for _ in 0..3 {
            assert_eq!(status(&cut_off, &cookie).await, 503);
            assert_eq!(status(&cut_off, &other_cookie).await, 503);
            assert_eq!(status(&one, &other_cookie).await, 200);
        }
        relay.set(Weather::Fine);
        let back = until("it is back", async || {
            status(&cut_off, &other_cookie).await == 200
        })
        .await;
        assert!(back < Duration::from_secs(10), "{back:?}");
        assert_eq!(status(&cut_off, &cookie).await, 401);
        until("both are told", async || listeners(&shared) == 2).await;
    }
}

#[actix_web::test]
async fn what_redis_forgets_is_forgotten() {
    let mut shared = Shared::start();
    let (one, other) = pair(&shared).await;
    for restarts in [false, true] {
        let (_browser, cookie) = sign_in(&one, &other).await;
        if restarts {
            // It keeps nothing.
            shared.redis.restart();
        } else {
            shared.redis.ask(&["FLUSHALL"]);
        }
        for app in [&one, &other] {
            let obeyed = until("it is not let in", async || {
                status(app, &cookie).await != 200
            })
            .await;
            assert!(obeyed < OBEYED_WITHIN, "{obeyed:?}");
            // While there is no connection nobody can tell.
            until("it is known", async || status(app, &cookie).await == 401).await;
        }
        until("both are told", async || listeners(&shared) == 2).await;
        // Also once sessions are kept again.
        for app in [&one, &other] {
            for _ in 0..20 {
                assert_eq!(status(app, &cookie).await, 401);
            }
        }
    }
}

/// With `session.store_grace`, whoever was here goes on while Redis does not answer, and nobody else, and not for long.
#[actix_web::test]
async fn a_grace_outlasts_redis_for_those_who_were_here() {
    const GRACE: Duration = Duration::from_secs(6);
    let shared = Shared::start();
    let spawned = |grace: Duration| {
        let shared = &shared;
        move |raw: &mut RawConfig| {
            shared.configure(raw);
            raw.session.store_grace = Some(grace);
        }
    };
    let lenient = spawn_app_with(spawned(GRACE)).await;
    let strict = lenient.beside(spawned(Duration::ZERO));
    until("both are told", async || listeners(&shared) == 2).await;
    let (_browser, known) = sign_in(&lenient, &strict).await;
    let mut browser = Browser::new(&strict);
    browser.navigate(FILMS).await;
    let unknown = browser.cookie_header(HOST);
    shared.redis.freeze();
    let frozen = Instant::now();
    let noticed = until("it is noticed", async || {
        status(&strict, &known).await == 503
    })
    .await;
    assert!(noticed < NOTICED_WITHIN, "{noticed:?}");
    while frozen.elapsed() + Duration::from_secs(2) < GRACE {
        assert_eq!(
            status(&lenient, &known).await,
            200,
            "{:?}",
            frozen.elapsed()
        );
        assert_eq!(status(&lenient, &unknown).await, 503);
        assert_eq!(status(&strict, &known).await, 503);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let ended = until("it is over", async || status(&lenient, &known).await == 503).await;
    assert!(ended < Duration::from_secs(6), "{ended:?}");
    shared.redis.thaw();
    for app in [&lenient, &strict] {
        until("it is back", async || status(app, &known).await == 200).await;
        until("it is back", async || status(app, &unknown).await == 200).await;
    }
}

/// Nor is anybody turned away between, whose tokens are to be renewed meanwhile: that cannot be done, and is tried again.
#[actix_web::test]
async fn a_grace_outlasts_redis_for_those_whose_tokens_lapse() {
    let mut shared = Shared::start();
    let app = spawn_app_with(|raw| {
        shared.configure(raw);
        raw.session.store_grace = Some(Duration::from_secs(600));
    })
    .await;
    app.issuer.behave(|issuer| {
        issuer.gives_refresh = true;
        issuer.expires_in = serde_json::json!(60);
    });
    until("it is told", async || listeners(&shared) == 1).await;
    let mut browser = Browser::new(&app);
    browser.navigate(FILMS).await;
    let cookie = browser.cookie_header(HOST);
    assert_eq!(status(&app, &cookie).await, 200);
    shared.redis.kill();
    app.clock.advance(Duration::from_secs(61));
    // Longer than it is until a renewal is tried again.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(7) {
        let told = status(&app, &cookie).await;
        assert_eq!(told, 200, "{:?}", begun.elapsed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What is put together once is put together anew when a file with a credential says something else.
#[actix_web::test]
async fn a_changed_credential_is_told_to_those_who_are_known() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("key");
    std::fs::write(&file, "first").expect("a file");
    let app = spawn_app_with(|raw| {
        let films = raw.services.get_mut("films").expect("films");
        films.upstream_headers = vec![RawUpstreamHeader {
            name: Some("X-Api-Key".into()),
            value_file: Some(file.clone()),
            ..RawUpstreamHeader::default()
        }];
    })
    .await;
    let mut browser = Browser::new(&app);
    browser.navigate(FILMS).await;
    let key = async || {
        let answer = browser.ask(FILMS).fetch().send().await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("remote-user")),
            (200, "ada")
        );
        answer.header("x-api-key").to_owned()
    };
    for _ in 0..3 {
        assert_eq!(key().await, "first");
    }
    std::fs::write(&file, "second").expect("a file");
    until("it is told", async || key().await == "second").await;
    assert_eq!(key().await, "second");
}
