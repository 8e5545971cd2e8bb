//! What becomes of those who ask while the service stops.

use std::time::{Duration, Instant};

use futures_util::future::join;
use portcullis::startup::WHOLE_DRAIN;
use reqwest::Method;

use crate::support::app::spawn_app;
use crate::support::browser::Browser;
use crate::support::issuer::{self, Endpoint};

const FILMS: &str = "https://films.example.net/";

/// It is not ready first, goes on answering while proxies look at that, ends each connection with an answer, and is gone
/// soon, however many connections nobody uses.
#[actix_web::test]
async fn it_is_not_ready_before_it_is_gone() {
    let mut app = spawn_app().await;
    let mut browser = Browser::new(&app);
    browser.navigate(FILMS).await;
    let cookie = browser.cookie_header("films.example.net");
    let connection = |answer: &crate::support::app::Answer| answer.header("connection").to_owned();
    let before = app
        .ask(FILMS)
        .fetch()
        .header("cookie", &cookie)
        .send()
        .await;
    assert_eq!(
        (before.status.as_u16(), connection(&before)),
        (200, String::new())
    );
    assert_eq!(app.health("ready").await.status, 200);
    let told = Instant::now();
    app.tell_to_stop();
    let ready = app.health("ready").await;
    assert_eq!(ready.status, 503);
    assert!(!ready.header("retry-after").is_empty());
    assert_eq!(ready.json()["status"], "stopping");
    assert!(ready.json().get("store").is_none(), "nobody asks it");
    for _ in 0..3 {
        let answer = app
            .ask(FILMS)
            .fetch()
            .header("cookie", &cookie)
            .send()
            .await;
        assert_eq!(
            (answer.status.as_u16(), connection(&answer)),
            (200, "close".to_owned())
        );
    }
    assert_eq!(app.health("live").await.status, 200);
    app.has_stopped().await;
    assert!(
        told.elapsed() < Duration::from_secs(5),
        "{:?}",
        told.elapsed()
    );
}

/// Stops the service while the provider keeps a login waiting. Tells what became of the login: its status, if it was
/// answered.
async fn stop_while(provider: issuer::Answer) -> Option<u16> {
    let mut app = spawn_app().await;
    let mut browser = Browser::new(&app);
    let callback = browser.until_callback(FILMS).await;
    let (_, path) = callback.split_once("example.net").expect("the portal");
    let cookies = browser.cookie_header("auth.example.net");
    app.issuer.answer(Endpoint::Token, provider);
    let login = app.portal(Method::GET, path).header("cookie", cookies);
    let login = actix_web::rt::spawn(login.send());
    while app.issuer.requests(Endpoint::Token) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let told = Instant::now();
    app.tell_to_stop();
    app.has_stopped().await;
    assert!(told.elapsed() < WHOLE_DRAIN, "{:?}", told.elapsed());
    let login = login.await.expect("it does not panic");
    login.ok().map(|login| login.status().as_u16())
}

/// What is under way is answered, unless it takes too long: nobody holds the whole up.
#[actix_web::test]
async fn what_is_under_way_has_its_time() {
    let late = issuer::Answer::Slow(Duration::from_secs(3));
    let (late, never) = join(stop_while(late), stop_while(issuer::Answer::Hang)).await;
    assert_eq!(late, Some(302));
    assert_eq!(never, None);
}
