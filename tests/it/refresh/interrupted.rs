//! Whoever renews dies in the middle of it.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::{DAY, DUE, FILMS, HOST, LAPSED, Person, WAITED, long_sessions, until};
use crate::redis::Shared;
use crate::support::app::{TestApp, spawn_app_at, spawn_app_with};
use crate::support::browser::Browser;
use crate::support::clock::TestClock;
use crate::support::issuer::{Answer, CLIENT_ID, CLIENT_SECRET, Endpoint, FakeIssuer};

/// One replica of a shared Redis, beside a provider that gives refresh tokens.
async fn replica(shared: &Shared) -> TestApp {
    let app = spawn_app_with(|raw| {
        long_sessions(raw);
        shared.configure_patiently(raw);
    })
    .await;
    app.issuer.behave(|issuer| issuer.gives_refresh = true);
    app
}

fn one_record(shared: &Shared, kind: &str) -> String {
    let names = shared.redis.ask(&["KEYS", &format!("portcullis:{kind}:*")]);
    assert_eq!(names.lines().count(), 1, "{names}");
    names.trim().to_owned()
}

fn is_leased(shared: &Shared) -> bool {
    !shared
        .redis
        .ask(&["KEYS", "portcullis:renewing:*"])
        .is_empty()
}

/// Somebody has the lease and does nothing any more.
#[actix_web::test]
async fn a_holder_that_died_delays_by_one_lease_at_most() {
    let shared = Shared::start();
    let app = replica(&shared).await;
    let ada = Person::sign_in(&app, FILMS).await;
    app.clock.advance(LAPSED);
    let member = one_record(&shared, "session").replace("portcullis:session:", "");
    let lease = format!("portcullis:renewing:{member}");
    let taken = shared
        .redis
        .ask(&["SET", &lease, "somebody else", "PX", "4000"]);
    assert_eq!(taken, "OK");
    let began = Instant::now();
    assert_eq!(ada.status(&app).await, 200);
    assert!(began.elapsed() < WAITED, "{:?}", began.elapsed());
    assert_eq!(app.issuer.requests(Endpoint::Refresh), 0);
    until("the next one takes over", async || {
        app.issuer.renewals() == 1
    })
    .await;
    assert!(
        began.elapsed() >= Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(ada.status(&app).await, 200);
    assert_eq!(app.issuer.reuses(), 0);
}

/// The store loses the lease while the provider is asked, as one does whose replica takes over.
#[actix_web::test]
async fn a_lease_that_is_lost_loses_no_token() {
    let shared = Shared::start();
    let app = replica(&shared).await;
    let ada = Person::sign_in(&app, FILMS).await;
    app.clock.advance(DUE);
    // Longer than it takes to notice that.
    app.issuer
        .answer(Endpoint::Refresh, Answer::Late(Duration::from_secs(10)));
    assert_eq!(ada.status(&app).await, 200);
    until("the provider has replaced the token", async || {
        app.issuer.renewals() == 1
    })
    .await;
    let lease = one_record(&shared, "renewing");
    assert_eq!(shared.redis.ask(&["DEL", &lease]), "1");
    until("it is made again", async || is_leased(&shared)).await;
    until("it is given up", async || !is_leased(&shared)).await;
    app.clock.advance(LAPSED);
    until("she is renewed again", async || {
        assert_eq!(ada.status(&app).await, 200);
        app.issuer.renewals() == 2
    })
    .await;
    assert_eq!(app.issuer.reuses(), 0);
}

/// The tokens were written, and the session's record was not.
#[actix_web::test]
async fn what_was_written_halfway_is_completed_without_the_provider() {
    let shared = Shared::start();
    let app = replica(&shared).await;
    let mut ada = Person::sign_in(&app, FILMS).await;
    let session = one_record(&shared, "session");
    app.issuer.behave(|issuer| issuer.groups = Some(&["media"]));
    let copied = shared.redis.ask(&["COPY", &session, "before"]);
    assert_eq!(copied, "1");
    app.clock.advance(LAPSED);
    until("she is in another group", async || {
        assert_eq!(ada.status(&app).await, 200);
        ada.whoami().await["groups"][0] == "media"
    })
    .await;
    let back = shared.redis.ask(&["COPY", "before", &session, "REPLACE"]);
    assert_eq!(back, "1");
    until("she is in another group", async || {
        assert_eq!(ada.status(&app).await, 200);
        ada.whoami().await["groups"][0] == "media"
    })
    .await;
    assert_eq!(app.issuer.requests(Endpoint::Refresh), 1);
    // And the next one is made with the token that came then; also where that is only found out about when it is due.
    let back = shared.redis.ask(&["COPY", "before", &session, "REPLACE"]);
    assert_eq!(back, "1");
    app.clock.advance(LAPSED);
    app.issuer.behave(|issuer| issuer.groups = Some(&[]));
    until("she is in none", async || ada.status(&app).await == 403).await;
    assert_eq!((app.issuer.renewals(), app.issuer.reuses()), (2, 0));
}

/// A stop in good order waits for what the provider has replaced to be written down.
#[actix_web::test]
async fn a_stop_loses_no_token() {
    let shared = Shared::start();
    let app = replica(&shared).await;
    let ada = Person::sign_in(&app, FILMS).await;
    let cookie = ada.browser.cookie_header(HOST);
    app.clock.advance(DUE);
    app.issuer
        .answer(Endpoint::Refresh, Answer::Late(Duration::from_secs(2)));
    assert_eq!(ada.status(&app).await, 200);
    until("the provider has replaced the token", async || {
        app.issuer.renewals() == 1
    })
    .await;
    drop(ada);
    let app = app.restart().await;
    assert!(!is_leased(&shared));
    for renewals in 1..=2 {
        let ask = app.ask(FILMS).fetch().header("cookie", &cookie);
        assert_eq!(ask.send().await.status, 200);
        assert_eq!((app.issuer.renewals(), app.issuer.reuses()), (renewals, 0));
        app.clock.advance(LAPSED);
    }
}

/// The store gave the tokens up, and kept the session.
#[actix_web::test]
async fn a_session_whose_tokens_are_gone_ends_when_they_are_needed() {
    let shared = Shared::start();
    let app = replica(&shared).await;
    let mut ada = Person::sign_in(&app, FILMS).await;
    shared.redis.ask(&["DEL", &one_record(&shared, "tokens")]);
    assert_eq!(ada.status(&app).await, 200);
    app.clock.advance(LAPSED);
    assert_eq!(ada.status(&app).await, 401);
    let visit = ada.browser.navigate(FILMS).await;
    assert_eq!((visit.end.status.as_u16(), visit.logins()), (200, 1));
}

/// The key that they were sealed with is gone.
#[actix_web::test]
async fn a_session_whose_tokens_do_not_open_is_kept_for_its_grace_and_not_destroyed() {
    let shared = Shared::start();
    let app = replica(&shared).await;
    let ada = Person::sign_in(&app, FILMS).await;
    let (tokens, session) = (
        one_record(&shared, "tokens"),
        one_record(&shared, "session"),
    );
    let copied = shared.redis.ask(&["COPY", &session, &tokens, "REPLACE"]);
    assert_eq!(copied, "1");
    app.clock.advance(LAPSED);
    assert_eq!(ada.status(&app).await, 200);
    app.clock.advance(DAY);
    assert_eq!(ada.status(&app).await, 401);
    assert_eq!(app.issuer.requests(Endpoint::Refresh), 0);
    assert_eq!(one_record(&shared, "tokens"), tokens);
    assert_eq!(one_record(&shared, "session"), session);
}

/// A replica in a process of its own.
struct Process {
    child: Child,
    verify: String,
}

impl Process {
    /// Starts it, and waits until it answers.
    async fn start(shared: &Shared, issuer: &FakeIssuer) -> Self {
        let port = || FakeIssuer::free_address().port();
        let ports = [port(), port(), port()];
        let [verify, portal, admin] = ports;
        shared.write("client_secret", CLIENT_SECRET);
        let configuration = format!(
            "[server]\n\
             listen = \"127.0.0.1:{verify}\"\n\
             portal_listen = \"127.0.0.1:{portal}\"\n\
             admin_listen = \"127.0.0.1:{admin}\"\n\
             public_url = \"https://auth.example.net\"\n\
             [oidc]\n\
             issuer = \"{}\"\n\
             client_id = \"{CLIENT_ID}\"\n\
             client_secret_file = \"{}\"\n\
             [session]\n\
             store = \"{}\"\n\
             secret_file = \"{}\"\n\
             [services.films]\n\
             host = \"films.example.net\"\n\
             policy = \"authenticated\"\n",
            issuer.issuer(),
            shared.path("client_secret").display(),
            shared.redis.url(),
            shared.path("keys").display(),
        );
        shared.write("portcullis.toml", &configuration);
        let child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args(["serve", "--config"])
            .arg(shared.path("portcullis.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("a process");
        let process = Self {
            child,
            verify: format!("http://127.0.0.1:{verify}/verify"),
        };
        let health = format!("http://127.0.0.1:{admin}/health/ready");
        until("the process is ready", async || {
            reqwest::get(&health)
                .await
                .is_ok_and(|answer| answer.status() == 200)
        })
        .await;
        process
    }

    /// Asks it about a request with `cookie`, and does not wait for the answer.
    fn ask(&self, cookie: &str) {
        let request = reqwest::Client::new()
            .get(&self.verify)
            .header("x-forwarded-for", "203.0.113.7")
            .header("x-forwarded-method", "GET")
            .header("x-forwarded-proto", "https")
            .header("x-forwarded-host", HOST)
            .header("x-forwarded-uri", "/")
            .header("cookie", cookie);
        actix_web::rt::spawn(request.send());
    }

    /// As a loss of power would end it.
    fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// `kill -9` after the provider has replaced the refresh token, and before the new one is written down. Nobody is locked
/// out for long, and nothing goes round in circles: one sign-in at worst.
#[actix_web::test]
async fn a_replica_that_is_killed_in_the_middle_costs_one_sign_in_at_worst() {
    let shared = Shared::start();
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let clock = TestClock::at(now.expect("after 1970").as_secs() - LAPSED.as_secs());
    let issuer = FakeIssuer::start(&clock);
    issuer.behave(|issuer| issuer.gives_refresh = true);
    let app = spawn_app_at(issuer, clock, |raw| {
        long_sessions(raw);
        shared.configure_patiently(raw);
    });
    let mut ada = Person::sign_in(&app, FILMS).await;
    let cookie = ada.browser.cookie_header(HOST);
    let mut process = Process::start(&shared, &app.issuer).await;
    // Now it is the time that the process has.
    app.clock.advance(LAPSED);
    let issuer = &app.issuer;
    issuer.answer(Endpoint::Refresh, Answer::Late(Duration::from_secs(60)));
    process.ask(&cookie);
    until("the provider has replaced the token", async || {
        issuer.renewals() == 1
    })
    .await;
    process.kill();
    issuer.behave(|issuer| issuer.answers.clear());
    // Its lease is still there, and ends by itself.
    let lease = one_record(&shared, "renewing");
    let left: u64 = shared
        .redis
        .ask(&["PTTL", &lease])
        .trim()
        .parse()
        .expect("a time");
    assert!(left <= 25_000, "{left}");
    let began = Instant::now();
    assert_eq!(ada.status(&app).await, 200, "nothing is known against her");
    assert!(began.elapsed() < WAITED, "{:?}", began.elapsed());
    shared.redis.ask(&["PEXPIRE", &lease, "1"]);
    // What the next one has is the token of before, whose use ends everything that came of the login.
    until("the session has ended", async || {
        ada.status(&app).await == 401
    })
    .await;
    assert_eq!(
        (issuer.requests(Endpoint::Refresh), issuer.reuses()),
        (2, 1)
    );
    until("the lease is given up", async || !is_leased(&shared)).await;
    let visit = ada.browser.navigate(FILMS).await;
    assert_eq!((visit.end.status.as_u16(), visit.logins()), (200, 1));
    let mut again = Browser::new(&app);
    again.navigate(FILMS).await;
    assert_eq!(ada.status(&app).await, 200);
    app.clock.advance(LAPSED);
    assert_eq!(ada.status(&app).await, 200);
    assert_eq!(issuer.reuses(), 1);
}
