//! What an attacker, or an unlucky browser, makes of the login flows.

use reqwest::Method;
use std::collections::HashMap;
use std::time::Duration;

use crate::support::app::{answer, spawn_app};
use crate::support::browser::Browser;

const FILMS: &str = "https://films.example.net/";
const NOTES: &str = "https://notes.example.net/";
const PORTAL: &str = "auth.example.net";
const SESSION: &str = "__Host-portcullis";

/// A browser that restores many tabs sends all its `/login`s before the first answer is there. The person
/// signs in in the tab that was opened last.
#[actix_web::test]
async fn the_newest_of_many_restored_tabs_can_sign_in() {
    let app = spawn_app().await;
    let mut browser = Browser::new(&app);
    let mut last = String::new();
    for tab in 0..9 {
        let mut fresh = Browser::new(&app);
        let login = fresh.open(&format!("{FILMS}{tab}")).await;
        let provider = fresh.open(login.location()).await;
        for name in fresh.cookie_names(PORTAL) {
            let value = fresh.cookie(PORTAL, name).expect("a cookie");
            browser.set_cookie(PORTAL, name, value);
        }
        last = fresh.open(provider.location()).await.location().to_owned();
    }
    let found = browser.open(&last).await;
    assert_eq!(found.status, 302, "{}", found.body);
    assert!(found.location().contains("/.portcullis/enter?ticket="));
    // What it and the others left is cleared away.
    assert!(
        browser.cookie_names(PORTAL).len() <= 4,
        "{:?}",
        browser.cookie_names(PORTAL)
    );
}

/// Logins that begin at once do not know of each other; the next request clears away what has piled up.
#[actix_web::test]
async fn attempts_that_pile_up_are_cleared_away_down_to_three() {
    let app = spawn_app().await;
    let mut browser = Browser::new(&app);
    let mut restored = HashMap::new();
    for _ in 0..20 {
        let mut fresh = Browser::new(&app);
        fresh.open("https://auth.example.net/login").await;
        for name in fresh.cookie_names(PORTAL) {
            restored.insert(
                name.to_owned(),
                fresh.cookie(PORTAL, name).expect("a cookie").to_owned(),
            );
        }
    }
    assert_eq!(restored.len(), 20);
    for (name, value) in &restored {
        browser.set_cookie(PORTAL, name, value);
    }
    assert!(browser.cookie_header(PORTAL).len() < 16 * 1024);
    browser.open("https://auth.example.net/login").await;
    assert_eq!(browser.cookie_names(PORTAL).len(), 3);
}

/// The flow cookie stays, the session cookie does not (a cookie rule, an extension, a second replica with a
/// store of its own): each round ends with an accepted ticket, so no hop is counted.
#[actix_web::test]
async fn a_session_cookie_that_never_arrives_ends_at_a_page() {
    let app = spawn_app().await;
    let mut browser = Browser::new(&app);
    let mut url = FILMS.to_owned();
    let mut steps = 0;
    let end = loop {
        let answer = browser.open(&url).await;
        browser.set_cookie("films.example.net", SESSION, "lost");
        if !answer.headers.contains_key("location") || steps == 60 {
            break answer;
        }
        url = answer.location().to_owned();
        steps += 1;
    };
    assert!(
        end.status == 403 && end.body.contains("round in circles"),
        "after {steps} redirects: {} {}",
        end.status,
        end.location()
    );
}

#[actix_web::test]
async fn over_http_enter_starts_no_login() {
    let app = spawn_app().await;
    let answer = app
        .ask("http://films.example.net/.portcullis/enter?ticket=x")
        .navigation()
        .send()
        .await;
    assert!(
        !answer.location().contains("/login?"),
        "a login was started over http: {}",
        answer.location()
    );
}

#[actix_web::test]
async fn signed_out_is_not_said_to_somebody_who_is_signed_in() {
    let app = spawn_app().await;
    let mut browser = Browser::new(&app);
    browser.navigate(FILMS).await;
    let page = browser.open("https://auth.example.net/signed-out").await;
    assert_eq!(browser.ask(FILMS).fetch().send().await.status, 200);
    assert!(!page.body.contains("You are signed out"), "{}", page.body);
}

/// What a browser without Fetch Metadata (Safari before 16.4, or any over plain http) sends for a form of a
/// page with `Referrer-Policy: no-referrer`: `Origin: null` (Fetch, "append a request Origin header").
#[actix_web::test]
async fn the_sign_out_button_works_without_fetch_metadata() {
    let app = spawn_app().await;
    let mut browser = Browser::new(&app);
    browser.navigate(FILMS).await;
    let page = browser.open("https://auth.example.net/logout").await;
    let origin = match page.header("referrer-policy") {
        "no-referrer" => "null",
        _ => "https://auth.example.net",
    };
    let request = app
        .portal(Method::POST, "/logout")
        .header("origin", origin)
        .header("cookie", browser.cookie_header(PORTAL));
    let done = answer(request).await;
    assert_eq!(done.status, 303, "{}", done.body);
}

/// Three links without `f`, to three apps, in ten seconds: no loop.
#[actix_web::test]
async fn tabs_to_different_apps_are_no_loop() {
    let app = spawn_app().await;
    let mut browser = Browser::new(&app);
    browser.navigate(FILMS).await;
    for url in [FILMS, NOTES, "https://a.lab.example.org/"] {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("rd", url);
        let login = format!("https://{PORTAL}/login?{}", query.finish());
        assert_eq!(browser.open(&login).await.status, 302);
    }
    // A fourth, with a valid `f`.
    let visit = browser.navigate("https://b.lab.example.org/").await;
    assert_eq!(visit.end.status, 200, "{}", visit.end.body);
}

/// A ticket's address in the history, from a chain that had made two hops, days later.
#[actix_web::test]
async fn an_old_ticket_from_the_history_is_a_new_login_and_no_loop() {
    let app = spawn_app().await;
    let mut browser = Browser::new(&app);
    // Two tickets go astray, the third says hop 2.
    let mut url = FILMS.to_owned();
    let mut enters = 0;
    let third = loop {
        let answer = browser.open(&url).await;
        let next = answer.location().to_owned();
        if next.contains("/enter?") {
            enters += 1;
            if enters == 3 {
                break next;
            }
            browser.set_cookie("films.example.net", "__Host-portcullis-flow", "lost");
        }
        url = next;
    };
    browser.navigate(&third).await;
    app.clock.advance(Duration::from_secs(3 * 24 * 3_600));
    let mut browser = Browser::new(&app);
    let visit = browser.navigate(&third).await;
    assert_eq!(visit.end.status, 200, "{}", visit.end.body);
}

/// Two tabs, two apps, one person: both logins were begun before either ended.
#[actix_web::test]
async fn the_second_of_two_tabs_does_not_sign_the_first_one_out() {
    let app = spawn_app().await;
    let mut browser = Browser::new(&app);
    let mut callbacks = Vec::new();
    for url in [FILMS, NOTES] {
        let login = browser.open(url).await;
        let provider = browser.open(login.location()).await;
        let callback = browser.open(provider.location()).await;
        callbacks.push(callback.location().to_owned());
    }
    for callback in &callbacks {
        assert_eq!(browser.navigate(callback).await.end.status, 200);
    }
    assert_eq!(browser.ask(NOTES).fetch().send().await.status, 200);
    assert_eq!(browser.ask(FILMS).fetch().send().await.status, 200);
}

#[actix_web::test]
async fn a_frame_whose_ticket_fails_stays_known_as_a_frame() {
    let app = spawn_app().await;
    let answer = app
        .ask("https://films.example.net/.portcullis/enter?ticket=x")
        .navigation()
        .header("sec-fetch-dest", "iframe")
        .header("sec-fetch-site", "same-origin")
        .send()
        .await;
    assert!(
        answer.location().contains("frame=1"),
        "{}",
        answer.location()
    );
}

#[test]
fn an_attempt_is_not_printed() {
    use portcullis::flows::attempt::SealedAttempt;
    let attempt = SealedAttempt {
        label: "abcdefgh".into(),
        sealed: "the-cookie".into(),
    };
    assert_eq!(format!("{attempt:?}"), "SealedAttempt(abcdefgh, ..)");
}
