//! Logout ends the session everywhere at once, and only when its owner asks.

use crate::support::app::{owned, spawn_app, spawn_app_with};
use crate::support::browser::Browser;

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
