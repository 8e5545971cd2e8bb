//! What hosts have in common: the cookie of their domain, and the portal's place.

use super::FILMS;
use crate::support::app::{owned, spawn_app_with};
use crate::support::browser::Browser;

#[actix_web::test]
async fn hosts_of_a_domain_share_one_cookie_and_need_no_ticket() {
    let app = spawn_app_with(|raw| {
        raw.session.cookie_domains = Some(owned(&["example.net"]));
        raw.services.get_mut("notes").expect("notes").isolated = true;
    })
    .await;
    app.issuer.sign_in_as("ada");
    let mut browser = Browser::new(&app).sharing("example.net");
    let visit = browser.navigate(FILMS).await;
    assert_eq!((visit.end.status.as_u16(), visit.url()), (200, FILMS));
    assert!(
        !visit
            .urls
            .iter()
            .any(|url| url.contains("/.portcullis/enter")),
        "{:?}",
        visit.urls
    );
    // The one that keeps apart gets a cookie of its own, by ticket.
    let visit = browser.navigate("https://notes.example.net/").await;
    assert_eq!(visit.end.status, 200);
    assert!(
        visit
            .urls
            .iter()
            .any(|url| url.contains("/.portcullis/enter")),
        "{:?}",
        visit.urls
    );
    let shared = browser.cookie_header("films.example.net");
    assert!(shared.contains("__Secure-portcullis="));
    let ask = app
        .ask("https://notes.example.net/")
        .fetch()
        .header("cookie", &shared);
    assert_eq!(ask.send().await.status, 401);
    // Another domain is another matter.
    let visit = browser.navigate("https://a.lab.example.org/").await;
    assert_eq!(visit.end.status, 200);
    browser
        .navigate("https://films.example.net/.portcullis/logout")
        .await;
    for url in [
        FILMS,
        "https://notes.example.net/",
        "https://a.lab.example.org/",
    ] {
        assert_eq!(
            app.ask(url)
                .fetch()
                .header("cookie", &shared)
                .send()
                .await
                .status,
            401,
            "{url}"
        );
    }
}

#[actix_web::test]
async fn a_domains_cookie_that_never_arrives_ends_at_a_page() {
    let app = spawn_app_with(|raw| {
        raw.session.cookie_domains = Some(owned(&["example.net"]));
    })
    .await;
    // The domain's cookie is thrown away, the portal's own is not.
    let mut browser = Browser::new(&app);
    let visit = browser.navigate(FILMS).await;
    assert_eq!(visit.end.status, 403);
    assert!(
        visit.end.body.contains("round in circles"),
        "{}",
        visit.end.body
    );
}

#[actix_web::test]
async fn the_portal_may_lie_under_a_path() {
    let app = spawn_app_with(|raw| {
        raw.server.public_url = Some("https://auth.example.net/gate".into());
        raw.server.danger_shared_portal_origin = true;
    })
    .await;
    app.issuer.sign_in_as("ada");
    let mut browser = Browser::new(&app);
    let visit = browser.navigate(FILMS).await;
    assert_eq!((visit.end.status.as_u16(), visit.url()), (200, FILMS));
    let portal = |url: &&String| url.starts_with("https://auth.example.net/");
    assert!(
        visit
            .urls
            .iter()
            .filter(portal)
            .all(|url| url.starts_with("https://auth.example.net/gate/"))
    );
    for path in ["/gate", "/gate/"] {
        let front = browser
            .open(&format!("https://auth.example.net{path}"))
            .await;
        assert!(front.body.contains("Hello, ada"), "{path}");
        assert!(
            front
                .body
                .contains("action=\"https://auth.example.net/gate/logout\""),
            "{}",
            front.body
        );
    }
    assert_eq!(
        browser.open("https://auth.example.net/login").await.status,
        404
    );
    let done = browser.post("/gate/logout", "same-origin").await;
    assert_eq!(done.status, 303);
    assert_eq!(browser.ask(FILMS).fetch().send().await.status, 401);
}
