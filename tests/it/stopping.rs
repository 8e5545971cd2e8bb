//! What becomes of those who ask while the service stops.

use std::time::{Duration, Instant};

use crate::support::app::spawn_app;
use crate::support::browser::Browser;

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
    assert_eq!(ready.json()["store"], "up");
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
