//! Logout ends the session everywhere at once, and only when its owner asks.

use std::time::{Duration, Instant};

use crate::support::app::{owned, spawn_app, spawn_app_at, spawn_app_with};
use crate::support::browser::Browser;
use crate::support::clock::TestClock;
use crate::support::front::Front;
use crate::support::issuer::FakeIssuer;

const FILMS: &str = "https://films.example.net/";
const NOTES: &str = "https://notes.example.net/";

#[actix_web::test]
async fn at_an_app_it_ends_the_session_on_every_host_and_at_the_provider() {
    let app = spawn_app().await;
    let mut browser = Browser::new(&app);
    browser.navigate(FILMS).await;
    browser.navigate(NOTES).await;
    let before = browser.cookie_header("films.example.net");
    let visit = browser
        .navigate("https://films.example.net/.portcullis/logout")
        .await;
    assert_eq!(visit.url(), "https://auth.example.net/signed-out");
    assert!(visit.end.body.contains("You are signed out"));
    let told = app.issuer.logged_out().expect("the provider was told");
    let hint = told.get("id_token_hint").expect("a hint");
    assert_eq!(hint.split('.').count(), 3);
    assert_eq!(
        browser.cookie_names("films.example.net"),
        Vec::<&str>::new()
    );
    // A copy of the cookie is of no use.
    assert_eq!(
        app.ask(FILMS)
            .fetch()
            .header("cookie", &before)
            .send()
            .await
            .status,
        401
    );
    assert_eq!(browser.ask(NOTES).fetch().send().await.status, 401);
    let whoami = browser.open("https://auth.example.net/whoami").await;
    assert_eq!(whoami.status, 401);
}

#[actix_web::test]
async fn at_the_portal_it_asks_first() {
    let app = spawn_app().await;
    let mut browser = Browser::new(&app);
    browser.navigate(FILMS).await;
    let page = browser.open("https://auth.example.net/logout").await;
    assert!(page.status == 200 && page.body.contains("method=\"post\""));
    assert_eq!(browser.ask(FILMS).fetch().send().await.status, 200);
    for site in ["cross-site", "same-site"] {
        assert_eq!(browser.post("/logout", site).await.status, 403, "{site}");
    }
    assert_eq!(browser.ask(FILMS).fetch().send().await.status, 200);
    let done = browser.post("/logout", "same-origin").await;
    assert_eq!(done.status, 303);
    assert!(done.location().starts_with(app.issuer.issuer()));
    assert_eq!(browser.cookie_names("auth.example.net"), Vec::<&str>::new());
    assert_eq!(browser.ask(FILMS).fetch().send().await.status, 401);
    // Again, with nobody signed in.
    let again = browser.post("/logout", "same-origin").await;
    assert_eq!(again.location(), "https://auth.example.net/signed-out");
}

#[actix_web::test]
#[rustfmt::skip] // the columns are the point
async fn no_foreign_page_can_sign_anybody_out() {
    let app = spawn_app().await;
    let mut browser = Browser::new(&app);
    browser.navigate(FILMS).await;
    let url = "https://films.example.net/.portcullis/logout";
    let cases = [
        ("GET",  "navigate",  "document", "cross-site"),
        ("GET",  "navigate",  "document", "same-site"),
        ("GET",  "navigate",  "iframe",   "same-origin"),
        ("GET",  "no-cors",   "image",    "same-origin"),
        ("GET",  "cors",      "empty",    "same-origin"),
        ("POST", "navigate",  "document", "same-origin"),
    ];
    for (method, mode, dest, site) in cases {
        let ask = browser.ask(url).method(method).header("sec-fetch-mode", mode);
        let answer = ask.header("sec-fetch-dest", dest).header("sec-fetch-site", site).send().await;
        let found = (answer.status.as_u16(), answer.location());
        assert_eq!(found, (302, "https://auth.example.net/logout"), "{method} {mode} {dest} {site}");
        assert!(!answer.headers.contains_key("set-cookie"));
    }
    assert_eq!(browser.ask(FILMS).fetch().send().await.status, 200);
    let old = browser.ask(url).send().await;
    assert!(old.location().starts_with(app.issuer.issuer()), "{old:?}");
    assert_eq!(browser.ask(FILMS).fetch().send().await.status, 401);
}

#[actix_web::test]
async fn with_nobody_signed_in_the_portal_is_asked() {
    let app = spawn_app().await;
    let mut browser = Browser::new(&app);
    let visit = browser
        .navigate("https://films.example.net/.portcullis/logout")
        .await;
    assert_eq!(visit.url(), "https://auth.example.net/logout");
}

#[actix_web::test]
async fn after_a_logout_the_next_visit_is_a_new_login() {
    let app = spawn_app().await;
    let mut browser = Browser::new(&app);
    browser.navigate(FILMS).await;
    browser
        .navigate("https://films.example.net/.portcullis/logout")
        .await;
    let visit = browser.navigate(FILMS).await;
    assert_eq!((visit.end.status.as_u16(), visit.logins()), (200, 1));
}

/// Where a logout leads stands in the configuration and the provider's metadata, and nowhere else.
#[actix_web::test]
async fn no_request_says_where_a_logout_leads() {
    let app = spawn_app().await;
    let wish = "?rd=https%3A%2F%2Fevil.example%2F&post_logout_redirect_uri=https%3A%2F%2Fevil.example%2F\
                &redirect_uri=%2F%2Fevil.example&id_token_hint=evil&state=evil";
    let front = "https://auth.example.net/";
    let mut browser = Browser::new(&app);
    for at_the_portal in [false, true] {
        browser.navigate(FILMS).await;
        let left = if at_the_portal {
            browser.post(&format!("/logout{wish}"), "same-origin").await
        } else {
            browser
                .open(&format!("{FILMS}.portcullis/logout{wish}"))
                .await
        };
        assert!(left.location().starts_with(app.issuer.issuer()), "{left:?}");
        assert!(!left.location().contains("evil"), "{left:?}");
        browser.open(left.location()).await;
        let told = app.issuer.logged_out().expect("the provider was told");
        let back = told.get("post_logout_redirect_uri").map(String::as_str);
        assert_eq!(back, Some("https://auth.example.net/signed-out"));
        assert_eq!(told.get("state"), None);
    }
    // With nobody signed in, too; and what the provider may add on the way back is not looked at.
    let nobody = browser.post(&format!("/logout{wish}"), "same-origin").await;
    assert_eq!(nobody.location(), "https://auth.example.net/signed-out");
    let asked = Browser::new(&app)
        .open(&format!("{FILMS}.portcullis/logout{wish}"))
        .await;
    assert_eq!(asked.location(), "https://auth.example.net/logout");
    for path in ["signed-out", "logout"] {
        for query in [wish, "", "?state=", "?state=a&state=b"] {
            let page = browser.open(&format!("{front}{path}{query}")).await;
            assert_eq!(page.status, 200, "{path}{query}");
            let whole = format!("{:?}{}", page.headers, page.body);
            assert!(!whole.contains("evil"), "{path}{query}: {whole}");
        }
    }
}

/// Where the portal's own cookie is gone, and that of its domain is not, the session lives: it ends all the same before
/// anybody is told so.
#[actix_web::test]
async fn at_the_portal_it_ends_the_session_of_the_domain_too() {
    let app = spawn_app_with(|raw| {
        raw.session.cookie_domains = Some(owned(&["example.net"]));
    })
    .await;
    let mut browser = Browser::new(&app).sharing("example.net");
    browser.navigate(FILMS).await;
    let copied = browser.cookie_header("films.example.net");
    browser.set_cookie("auth.example.net", "__Host-portcullis-sso", "lost");
    assert_eq!(browser.ask(FILMS).fetch().send().await.status, 200);
    // It is good for that alone: the portal knows nobody by it.
    let whoami = browser.open("https://auth.example.net/whoami").await;
    assert_eq!(whoami.status, 401);
    let left = browser.post("/logout", "same-origin").await;
    assert!(left.location().starts_with(app.issuer.issuer()), "{left:?}");
    let with_copy = app.ask(FILMS).fetch().header("cookie", &copied);
    assert_eq!(with_copy.send().await.status, 401);
}

#[actix_web::test]
async fn everywhere_is_every_browser_of_one_person() {
    let app = spawn_app().await;
    let (mut here, mut there) = (Browser::new(&app), Browser::new(&app));
    for browser in [&mut here, &mut there] {
        browser.navigate(FILMS).await;
        browser.navigate(NOTES).await;
    }
    app.issuer.sign_in_as("ben");
    let mut bens = Browser::new(&app);
    bens.navigate(FILMS).await;
    let page = here.open("https://auth.example.net/logout").await;
    assert!(page.body.contains("Sign out everywhere"), "{}", page.body);
    // No link, and no other site.
    let linked = here
        .open("https://auth.example.net/logout/everywhere")
        .await;
    assert_eq!(
        (linked.status.as_u16(), linked.header("allow")),
        (405, "POST")
    );
    for site in ["cross-site", "same-site"] {
        let refused = here.post("/logout/everywhere", site).await;
        assert_eq!(refused.status, 403, "{site}");
    }
    assert_eq!(there.ask(FILMS).fetch().send().await.status, 200);
    let done = here.post("/logout/everywhere", "same-origin").await;
    assert_eq!(done.status, 303);
    assert!(done.location().starts_with(app.issuer.issuer()), "{done:?}");
    assert!(done.location().contains("id_token_hint="), "{done:?}");
    assert_eq!(here.cookie_names("auth.example.net"), Vec::<&str>::new());
    for (browser, expected) in [(&here, 401), (&there, 401), (&bens, 200)] {
        let found = browser.ask(FILMS).fetch().send().await;
        assert_eq!(found.status, expected);
    }
    let whoami = there.open("https://auth.example.net/whoami").await;
    assert_eq!(whoami.status, 401);
    // And in again, at once.
    app.issuer.sign_in_as("ada");
    assert_eq!(here.navigate(FILMS).await.end.status, 200);
    // Whose session is gone ends nobody's, and is told so.
    let nobody = there.post("/logout/everywhere", "same-origin").await;
    assert_eq!(nobody.status, 200);
    for said in ["You were signed out already", "other browsers", "sign in"] {
        assert!(nobody.body.contains(said), "{}", nobody.body);
    }
    assert_eq!(there.cookie_names("auth.example.net"), Vec::<&str>::new());
    assert_eq!(here.ask(FILMS).fetch().send().await.status, 200);
}

/// Whoever signs out while the provider is gone is signed out here, at once, and not sent to where nobody answers.
#[actix_web::test]
async fn with_the_provider_gone_it_ends_here_and_says_so() {
    let front = Front::start();
    let clock = TestClock::new();
    let issuer = FakeIssuer::start_behind(&front, &clock);
    let app = spawn_app_at(issuer, clock, |_| {});
    let mut at_app = Browser::new(&app);
    let mut at_portal = Browser::new(&app);
    let mut everywhere = Browser::new(&app);
    for browser in [&mut at_app, &mut at_portal, &mut everywhere] {
        browser.navigate(FILMS).await;
    }
    let mut newcomer = Browser::new(&app);
    let back = newcomer.until_callback(FILMS).await;
    app.issuer.stop().await;
    // A login that fails has the provider looked at.
    assert_eq!(newcomer.open(&back).await.status, 503);
    let start = Instant::now();
    while app.health("ready").await.json()["provider"] != "down" {
        assert!(start.elapsed() < Duration::from_secs(10), "nobody notices");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let start = Instant::now();
    let left = at_app
        .open("https://films.example.net/.portcullis/logout")
        .await;
    let signed_out = "https://auth.example.net/signed-out";
    assert_eq!(left.location(), signed_out);
    let page = at_app.open(signed_out).await;
    assert_eq!(page.status, 200);
    for said in ["You are signed out", "cannot be reached"] {
        assert!(page.body.contains(said), "{}", page.body);
    }
    let left = at_portal.post("/logout", "same-origin").await;
    assert_eq!((left.status.as_u16(), left.location()), (303, signed_out));
    let left = everywhere.post("/logout/everywhere", "same-origin").await;
    assert_eq!((left.status.as_u16(), left.location()), (303, signed_out));
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
    for browser in [&at_app, &at_portal, &everywhere] {
        assert_eq!(browser.ask(FILMS).fetch().send().await.status, 401);
    }
}
