//! Many requests at once, at two replicas on one Redis, with a provider that ends everything when a refresh token is used
//! twice.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::{DUE, FILMS, HOST, LAPSED, Person, WAITED, long_sessions, until};
use crate::redis::Shared;
use crate::support::app::{TestApp, spawn_app_with};
use crate::support::issuer::{Answer, Endpoint};

const CROWD: usize = 200;

/// Two replicas, and what they share.
struct Two {
    shared: Shared,
    one: TestApp,
    other: TestApp,
}

impl Two {
    async fn spawn() -> Self {
        let shared = Shared::start();
        let configure = |raw: &mut _| {
            long_sessions(raw);
            shared.configure_patiently(raw);
        };
        let one = spawn_app_with(configure).await;
        one.issuer.behave(|issuer| issuer.gives_refresh = true);
        let other = one.beside(configure);
        Self { shared, one, other }
    }

    /// As many requests as there are in a crowd, at both in turn. Their statuses, and what the slowest one took.
    async fn crowd(&self, cookie: &str) -> (Vec<u16>, Duration) {
        let asked = (0..CROWD).map(|number| async move {
            let app = if number % 2 == 0 {
                &self.one
            } else {
                &self.other
            };
            let began = Instant::now();
            let ask = app.ask(FILMS).fetch().header("cookie", cookie);
            (ask.send().await.status.as_u16(), began.elapsed())
        });
        let answers = join_all(asked).await;
        let slowest = answers.iter().map(|(_, took)| *took).max();
        let statuses = answers.into_iter().map(|(status, _)| status).collect();
        (statuses, slowest.expect("a crowd"))
    }

    /// Waits until nobody renews anything.
    async fn settled(&self) {
        until("the lease is given up", async || {
            self.records("renewing").is_empty()
        })
        .await;
    }

    fn records(&self, kind: &str) -> Vec<String> {
        let names = self
            .shared
            .redis
            .ask(&["KEYS", &format!("portcullis:{kind}:*")]);
        names
            .lines()
            .map(str::to_owned)
            .filter(|line| !line.is_empty())
            .collect()
    }
}

fn all_pass(statuses: &[u16]) -> bool {
    statuses.iter().all(|status| *status == 200)
}

#[actix_web::test]
async fn a_crowd_has_its_session_renewed_once() {
    for (what, later) in [("due", DUE), ("lapsed", LAPSED)] {
        let two = Two::spawn().await;
        let ada = Person::sign_in(&two.one, FILMS).await;
        let cookie = ada.browser.cookie_header(HOST);
        let issuer = &two.one.issuer;
        // The new refresh token works too: hours later there is one more renewal, and no more.
        for renewals in 1..=2 {
            two.one.clock.advance(later);
            let late = Duration::from_millis(if renewals == 1 { 1_500 } else { 10 });
            issuer.answer(Endpoint::Refresh, Answer::Late(late));
            let (statuses, slowest) = two.crowd(&cookie).await;
            assert!(all_pass(&statuses), "{what}: {statuses:?}");
            assert!(slowest < WAITED, "{what}: {slowest:?}");
            two.settled().await;
            assert_eq!(issuer.renewals(), renewals, "{what}");
            assert_eq!(issuer.requests(Endpoint::Refresh), renewals, "{what}");
            assert_eq!(issuer.reuses(), 0, "{what}");
            let (statuses, _) = two.crowd(&cookie).await;
            assert!(all_pass(&statuses), "{what}: {statuses:?}");
            assert_eq!(issuer.requests(Endpoint::Refresh), renewals, "{what}");
        }
    }
}

/// Whoever has a token that is still valid waits for nothing.
#[actix_web::test]
async fn nobody_waits_for_a_renewal_while_something_is_valid() {
    let two = Two::spawn().await;
    let ada = Person::sign_in(&two.one, FILMS).await;
    two.one.clock.advance(DUE);
    two.one
        .issuer
        .answer(Endpoint::Refresh, Answer::Late(Duration::from_secs(5)));
    let began = Instant::now();
    for app in [&two.one, &two.other, &two.one] {
        assert_eq!(ada.status(app).await, 200);
    }
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    until("it is renewed all the same", async || {
        two.one.issuer.requests(Endpoint::Refresh) == 1
    })
    .await;
}

/// However many replicas there are, and whichever is asked.
#[actix_web::test]
async fn attempts_that_fail_are_ten_seconds_apart_over_all_replicas() {
    let two = Two::spawn().await;
    let ada = Person::sign_in(&two.one, FILMS).await;
    let issuer = &two.one.issuer;
    issuer.answer(Endpoint::Refresh, Answer::Status(500));
    two.one.clock.advance(LAPSED);
    for attempts in 1..=4 {
        for seconds in [9, 1] {
            for app in [&two.one, &two.other, &two.one] {
                assert_eq!(ada.status(app).await, 200);
            }
            until("it was tried", async || {
                issuer.requests(Endpoint::Refresh) >= attempts
            })
            .await;
            two.settled().await;
            assert_eq!(issuer.requests(Endpoint::Refresh), attempts);
            two.one.clock.advance(Duration::from_secs(seconds));
        }
    }
}

/// Longer than anybody waits. What the provider has replaced is not lost for that.
#[actix_web::test]
async fn a_provider_that_takes_eight_seconds_signs_nobody_out() {
    let two = Two::spawn().await;
    let ada = Person::sign_in(&two.one, FILMS).await;
    let cookie = ada.browser.cookie_header(HOST);
    two.one.clock.advance(LAPSED);
    let issuer = &two.one.issuer;
    issuer.answer(Endpoint::Refresh, Answer::Late(Duration::from_secs(8)));
    let began = Instant::now();
    let (statuses, slowest) = two.crowd(&cookie).await;
    assert!(all_pass(&statuses), "{statuses:?}");
    assert!(slowest < WAITED, "{slowest:?}");
    // Nobody who comes later waits as long once more.
    let later = Instant::now();
    assert_eq!(ada.status(&two.one).await, 200);
    let waited = later.elapsed();
    assert!(waited < Duration::from_secs(2), "{waited:?}");
    two.settled().await;
    assert!(began.elapsed() >= Duration::from_secs(8));
    assert_eq!((issuer.renewals(), issuer.reuses()), (1, 0));
    let (statuses, _) = two.crowd(&cookie).await;
    assert!(all_pass(&statuses), "{statuses:?}");
    assert_eq!(issuer.requests(Endpoint::Refresh), 1);
}

#[actix_web::test]
async fn a_logout_in_the_middle_stays_one() {
    let two = Two::spawn().await;
    let mut ada = Person::sign_in(&two.one, FILMS).await;
    let cookie = ada.browser.cookie_header(HOST);
    two.one.clock.advance(LAPSED);
    let issuer = &two.one.issuer;
    issuer.answer(
        Endpoint::Refresh,
        Answer::Late(Duration::from_millis(1_500)),
    );
    let leaving = async {
        until("the provider is asked", async || {
            issuer.requests(Endpoint::Refresh) == 1
        })
        .await;
        ada.browser.led_to(&two.other);
        let answer = ada.browser.post("/logout", "same-origin").await;
        assert!(answer.status.is_redirection(), "{}", answer.status);
    };
    let ((statuses, _), ()) = tokio::join!(two.crowd(&cookie), leaving);
    assert!(
        statuses.iter().all(|status| [200, 401].contains(status)),
        "{statuses:?}"
    );
    two.settled().await;
    assert_eq!((issuer.renewals(), issuer.reuses()), (1, 0));
    for _ in 0..2 {
        let (statuses, _) = two.crowd(&cookie).await;
        assert!(statuses.iter().all(|status| *status == 401), "{statuses:?}");
        two.one.clock.advance(LAPSED);
    }
    assert!(two.records("session").is_empty());
    assert!(two.records("tokens").is_empty());
    assert_eq!(issuer.requests(Endpoint::Refresh), 1);
}
