//! Sessions follow people at a certified provider, which replaces refresh tokens without grace, through a real Caddy.

use std::time::{Duration, Instant};

use crate::kit::ask::Ask;
use crate::kit::browser::Browser;
use crate::kit::provider::{Special, USUAL};
use crate::setup::{FILMS, NOTES, Stack};

/// The least that counts; it is renewed two seconds before it lapses.
const ACCESS_TTL: u64 = 10;

/// A renewal, with what a busy machine adds.
const WITHIN: Duration = Duration::from_secs(ACCESS_TTL + 10);

/// Asks again and again, until it is answered with `status`. Until then each answer is one of `before`.
async fn until(browser: &Browser, url: &str, status: u16, before: &[u16]) {
    let began = Instant::now();
    loop {
        let answered = browser.ask(Ask::fetch(url)).await.unwrap().status;
        if answered == status {
            return;
        }
        assert!(before.contains(&answered), "{url}: {answered}");
        assert!(began.elapsed() < WITHIN, "{url}: still {answered}");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

#[tokio::test]
async fn groups_and_people_that_are_taken_away_are_gone_within_one_renewal() {
    let environment = [("PROVIDER_ACCESS_TTL".to_owned(), ACCESS_TTL.to_string())];
    let special = Special {
        environment: &environment,
        ..USUAL
    };
    let stack = Stack::start_at(special, "info").await.unwrap();
    let browser = stack.signed_in("ada", NOTES).await;
    let (notes, films) = (stack.url(NOTES, "/"), stack.url(FILMS, "/"));
    browser.navigate(&films).await.unwrap();

    stack.provider.move_to("ada", &["media"]).await.unwrap();
    until(&browser, &notes, 403, &[200]).await;
    until(&browser, &films, 200, &[]).await;
    let renewals = |stack: &Stack| stack.provider.issued().len() - 1;
    assert_eq!(renewals(&stack), 1);

    // Crowds at the moment when it is due do not use a token twice: that would sign her out.
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(ACCESS_TTL + 2) {
        let crowd = (0..10).map(|_| browser.ask(Ask::fetch(&films)));
        for answer in futures_util::future::join_all(crowd).await {
            assert_eq!(answer.unwrap().status, 200);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let renewed = renewals(&stack);
    assert!((2..=3).contains(&renewed), "{renewed}");

    stack.provider.disable("ada").await.unwrap();
    let renewed = renewals(&stack);
    until(&browser, &films, 401, &[200]).await;
    assert_eq!(renewals(&stack), renewed);
}
