//! The provider is not there, or says nothing that can be used: sessions are kept for a while, and it is asked now and
//! then.

use std::time::{Duration, Instant};

use super::{DAY, DUE, FILMS, LAPSED, Person, WAITED, long_sessions, until};
use crate::redis::Shared;
use crate::support::app::{TestApp, spawn_app_at, spawn_app_with};
use crate::support::clock::TestClock;
use crate::support::front::{Fault, Front};
use crate::support::issuer::{Answer, Endpoint, FakeIssuer};

const TEN: Duration = Duration::from_secs(10);
/// Eleven seconds less.
const ALMOST_A_DAY: Duration = Duration::from_secs(24 * 3_600 - 11);

/// A service, and a provider behind a front that spoils what it says.
fn spawn(grace: Option<Duration>) -> (TestApp, Front) {
    let (front, clock) = (Front::start(), TestClock::new());
    let issuer = FakeIssuer::start_behind(&front, &clock);
    let app = spawn_app_at(issuer, clock, |raw| {
        long_sessions(raw);
        raw.oidc.refresh_grace = grace;
    });
    app.issuer.behave(|issuer| issuer.gives_refresh = true);
    (app, front)
}

type Spoil = fn(&TestApp, &Front);

fn answers(app: &TestApp, answer: Answer) {
    app.issuer.answer(Endpoint::Refresh, answer);
}

#[rustfmt::skip] // the columns are the point
const FAULTS: [(&str, Spoil); 10] = [
    ("500",             |app, _| answers(app, Answer::Status(500))),
    ("503",             |app, _| answers(app, Answer::Status(503))),
    ("429",             |app, _| answers(app, Answer::Status(429))),
    ("404, no JSON",    |app, _| answers(app, Answer::Status(404))),
    ("a page",          |app, _| answers(app, Answer::Page)),
    ("half an answer",  |app, _| answers(app, Answer::Json("{\"access_token\":".into()))),
    ("no access token", |app, _| answers(app, Answer::Json("{}".into()))),
    ("our secret is not known", |app, _| app.issuer.change_secret("another")),
    ("reset",           |_, front| front.spoil("/token", Fault::Reset)),
    ("closed",          |_, front| front.spoil("/token", Fault::Close)),
];

#[actix_web::test]
async fn an_outage_is_outlasted_for_the_grace_and_asked_about_every_ten_seconds() {
    for (what, spoil) in FAULTS {
        let (app, front) = spawn(None);
        let mut ada = Person::sign_in(&app, FILMS).await;
        spoil(&app, &front);
        app.clock.advance(LAPSED);
        let tries = || app.issuer.requests(Endpoint::Refresh);
        for _ in 0..5 {
            assert_eq!(ada.status(&app).await, 200, "{what}");
        }
        // What breaks before it reaches the provider cannot be counted there.
        let is_counted = !matches!(what, "reset" | "closed");
        let expect = async |count: usize| {
            if is_counted {
                until("it was tried so often", async || tries() >= count).await;
                assert_eq!(tries(), count, "{what}");
            }
        };
        expect(1).await;
        app.clock.advance(Duration::from_secs(9));
        assert_eq!(ada.status(&app).await, 200, "{what}");
        expect(1).await;
        app.clock.advance(Duration::from_secs(1));
        assert_eq!(ada.status(&app).await, 200, "{what}");
        expect(2).await;
        // At the end of the grace one more attempt is made, which the person waits for.
        app.clock.advance(ALMOST_A_DAY);
        assert_eq!(ada.status(&app).await, 200, "{what}");
        app.clock.advance(TEN);
        assert_eq!(ada.status(&app).await, 401, "{what}");
        assert_eq!(app.issuer.renewals(), 0, "{what}");
        // No loop: whoever comes back has the page of the login, or signs in once the provider is there again.
        front.heal();
        app.issuer.behave(|issuer| issuer.answers.clear());
        app.issuer
            .change_secret(crate::support::issuer::CLIENT_SECRET);
        until("the provider is found again", async || {
            let visit = ada.browser.navigate(FILMS).await;
            visit.end.status == 200
        })
        .await;
    }
}

#[actix_web::test]
async fn who_was_kept_is_renewed_when_the_provider_is_back() {
    for later in [DUE, LAPSED] {
        let (app, _front) = spawn(None);
        let mut ada = Person::sign_in(&app, FILMS).await;
        app.issuer.answer(Endpoint::Refresh, Answer::Status(500));
        app.clock.advance(later);
        assert_eq!(ada.status(&app).await, 200);
        until("it was tried", async || {
            app.issuer.requests(Endpoint::Refresh) == 1
        })
        .await;
        app.issuer.behave(|issuer| {
            issuer.answers.clear();
            issuer.groups = Some(&["media"]);
        });
        // What failed before a pause is waited for: the provider may have something to say by now.
        app.clock.advance(DAY / 24 * 23);
        let groups = ada.whoami().await["groups"].clone();
        assert_eq!(groups, serde_json::json!(["media"]), "{later:?}");
        // The grace begins anew with the next outage.
        app.issuer.answer(Endpoint::Refresh, Answer::Status(500));
        app.clock.advance(LAPSED);
        assert_eq!(ada.status(&app).await, 200);
        app.clock.advance(DAY / 24 * 23);
        assert_eq!(ada.status(&app).await, 200);
    }
}

/// A failure before a pause lets nobody pass after it who was disabled meanwhile.
#[actix_web::test]
async fn who_was_kept_and_disabled_is_out_at_the_first_request_after_a_pause() {
    let (app, _front) = spawn(None);
    let ada = Person::sign_in(&app, FILMS).await;
    app.issuer.answer(Endpoint::Refresh, Answer::Status(500));
    app.clock.advance(LAPSED);
    assert_eq!(ada.status(&app).await, 200);
    app.issuer.behave(|issuer| {
        issuer.answers.clear();
        issuer.refuse_refresh = Some("invalid_grant");
    });
    app.clock.advance(DAY / 2);
    assert_eq!(ada.status(&app).await, 401);
}

/// Seconds later it is known, and nobody waits.
#[actix_web::test]
async fn what_has_just_failed_is_tried_again_in_the_background() {
    let (app, _front) = spawn(None);
    let mut ada = Person::sign_in(&app, FILMS).await;
    app.issuer.answer(Endpoint::Refresh, Answer::Status(500));
    app.clock.advance(LAPSED);
    assert_eq!(ada.status(&app).await, 200);
    app.issuer.behave(|issuer| {
        issuer.answers.clear();
        issuer.groups = Some(&["media"]);
    });
    app.issuer
        .answer(Endpoint::Refresh, Answer::Late(Duration::from_secs(5)));
    app.clock.advance(TEN * 3);
    let began = Instant::now();
    assert_eq!(ada.status(&app).await, 200);
    let waited = began.elapsed();
    assert!(waited < Duration::from_secs(2), "{waited:?}");
    until("it is renewed", async || {
        ada.whoami().await["groups"] == serde_json::json!(["media"])
    })
    .await;
}

/// A failure before a pause that is as long as the grace is forgotten: the next outage is outlasted as a whole.
#[actix_web::test]
async fn a_failure_before_a_pause_uses_no_grace_up() {
    let (app, _front) = spawn(None);
    let ada = Person::sign_in(&app, FILMS).await;
    app.issuer.answer(Endpoint::Refresh, Answer::Status(500));
    app.clock.advance(LAPSED);
    assert_eq!(ada.status(&app).await, 200);
    app.clock.advance(DAY * 3);
    assert_eq!(ada.status(&app).await, 200);
    // From here on she is there all the time, and the grace is not prolonged.
    for _ in 0..23 {
        app.clock.advance(DAY / 24);
        assert_eq!(ada.status(&app).await, 200);
    }
    app.clock.advance(DAY / 24);
    assert_eq!(ada.status(&app).await, 401);
}

/// A provider that hangs holds up those who are there when it begins, and for three seconds.
#[actix_web::test]
async fn a_provider_that_hangs_is_waited_for_in_bounds() {
    let (app, _front) = spawn(None);
    let ada = Person::sign_in(&app, FILMS).await;
    let mut ben = Person::sign_in(&app, FILMS).await;
    app.issuer.answer(Endpoint::Refresh, Answer::Hang);
    app.clock.advance(LAPSED);
    let began = Instant::now();
    assert_eq!(ada.status(&app).await, 200);
    let waited = began.elapsed();
    assert!(
        waited < WAITED && waited > Duration::from_secs(2),
        "{waited:?}"
    );
    let began = Instant::now();
    for _ in 0..5 {
        assert_eq!(ada.status(&app).await, 200);
    }
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(app.issuer.requests(Endpoint::Refresh), 1);
    // Others sign in meanwhile.
    let began = Instant::now();
    let visit = ben.browser.navigate("https://a.lab.example.org/").await;
    assert_eq!(visit.end.status, 200);
    assert!(began.elapsed() < WAITED, "{:?}", began.elapsed());
}

/// While the store takes no writes, a new token could not be kept. So the provider is not asked, and what was known of
/// somebody is believed for the grace, and no longer.
#[actix_web::test]
async fn a_store_that_takes_no_writes_is_outlasted_for_the_grace() {
    for grace in [None, Some(Duration::ZERO)] {
        let shared = Shared::start();
        let app = spawn_app_with(|raw| {
            long_sessions(raw);
            shared.configure_patiently(raw);
            raw.oidc.refresh_grace = grace;
        })
        .await;
        app.issuer.behave(|issuer| issuer.gives_refresh = true);
        let ada = Person::sign_in(&app, FILMS).await;
        shared.redis.ask(&["REPLICAOF", "127.0.0.1", "1"]);
        app.clock.advance(LAPSED);
        // Twice: at once, and while it is known.
        let expected = if grace.is_none() { 200 } else { 503 };
        for _ in 0..2 {
            assert_eq!(ada.status(&app).await, expected, "{grace:?}");
        }
        if grace.is_none() {
            app.clock.advance(ALMOST_A_DAY);
            assert_eq!(ada.status(&app).await, 200);
            app.clock.advance(TEN + TEN);
            for _ in 0..2 {
                assert_eq!(ada.status(&app).await, 503);
            }
        }
        assert_eq!(app.issuer.requests(Endpoint::Refresh), 0);
        app.issuer.behave(|issuer| issuer.groups = Some(&["media"]));
        shared.redis.ask(&["REPLICAOF", "NO", "ONE"]);
        until("she is renewed", async || ada.status(&app).await == 200).await;
        assert_eq!(app.issuer.renewals(), 1);
    }
}

/// `oidc.refresh_grace = "0s"`: what cannot be confirmed does not count, once the token has lapsed.
#[actix_web::test]
async fn without_a_grace_nothing_is_outlasted() {
    let (app, _front) = spawn(Some(Duration::ZERO));
    let ada = Person::sign_in(&app, FILMS).await;
    app.issuer.answer(Endpoint::Refresh, Answer::Status(500));
    app.clock.advance(DUE);
    assert_eq!(ada.status(&app).await, 200);
    until("it was tried", async || {
        app.issuer.requests(Endpoint::Refresh) == 1
    })
    .await;
    app.clock.advance(Duration::from_secs(210));
    assert_eq!(ada.status(&app).await, 200, "the token has not lapsed");
    app.clock.advance(Duration::from_secs(60));
    assert_eq!(ada.status(&app).await, 401);
}
