//! What pages of other sites may do to an app: nothing that writes, and preflights where the app wants them.

use portcullis::config::RawBypass;

use super::{FILMS, PAPERS, signed_in, told, with_papers};
use crate::support::app::owned;

#[actix_web::test]
#[rustfmt::skip] // the columns are the point
async fn pages_of_other_sites_cannot_write() {
    let app = with_papers(|raw| {
        let films = raw.services.get_mut("films").expect("films");
        films.allowed_origins = Some(owned(&["https://dashboard.example.net"]));
        films.bypass = vec![RawBypass {
            paths: Some(owned(&["/lan/*"])),
            allowed_networks: Some(owned(&["203.0.113.0/24"])),
            ..RawBypass::default()
        }];
        let papers = raw.services.get_mut("papers").expect("papers");
        papers.same_origin_guard = Some(false);
    })
    .await;
    let ben = signed_in(&app, "ben", &[FILMS, PAPERS]).await;
    let evil = "https://evil.example";
    let cases = [
        (FILMS,                            "GET",  "cross-site",  evil,                            200),
        (FILMS,                            "POST", "same-origin", "https://films.example.net",     200),
        (FILMS,                            "POST", "same-origin", "null",                          200),
        (FILMS,                            "POST", "same-site",   "https://notes.example.net",     403),
        (FILMS,                            "POST", "cross-site",  evil,                            403),
        (FILMS,                            "PUT",  "cross-site",  evil,                            403),
        (FILMS,                            "POST", "same-site",   "https://dashboard.example.net", 200),
        ("https://films.example.net/ping", "POST", "cross-site",  evil,                            200), // by path alone
        ("https://films.example.net/lan/x","POST", "cross-site",  evil,                            403), // by network
        ("https://films.example.net/lan/x","POST", "none",        evil,                            200),
        (PAPERS,                           "POST", "cross-site",  evil,                            200), // it guards itself
    ];
    for (url, method, site, origin, status) in cases {
        let ask = ben.ask(url).fetch().method(method).header("sec-fetch-site", site);
        let answer = ask.header("origin", origin).send().await;
        assert_eq!(answer.status.as_u16(), status, "{url} {method} {site} {origin}");
        if status == 403 {
            assert_eq!(answer.reason(), "cross_site");
        }
    }
    // A handshake for a WebSocket has no Sec-Fetch-*.
    for (origin, status) in [(evil, 403), ("https://films.example.net", 200), ("https://dashboard.example.net", 200)] {
        let ask = ben.ask(FILMS).header("upgrade", "websocket").header("connection", "upgrade");
        let answer = ask.header("sec-websocket-key", "x").header("origin", origin).send().await;
        assert_eq!(answer.status.as_u16(), status, "{origin}");
    }
}

#[actix_web::test]
async fn preflights_go_to_the_app_where_that_is_wanted() {
    let app = with_papers(|raw| {
        let films = raw.services.get_mut("films").expect("films");
        films.allowed_origins = Some(owned(&["https://dashboard.example.net"]));
        let papers = raw.services.get_mut("papers").expect("papers");
        papers.cors_preflight = true;
    })
    .await;
    let preflight = |url: &str, origin: &str| {
        let ask = app.ask(url).method("OPTIONS").header("origin", origin);
        ask.header("access-control-request-method", "PUT")
    };
    let friend = "https://dashboard.example.net";
    assert_eq!(preflight(FILMS, friend).send().await.status, 200);
    assert_eq!(
        preflight(FILMS, "https://evil.example").send().await.status,
        401
    );
    let answer = preflight(PAPERS, "https://evil.example")
        .header("x-api-key", "x")
        .send()
        .await;
    assert_eq!(
        (answer.status.as_u16(), told(&answer, "x-api-key")),
        (200, vec!["x"])
    );
    let overriding = preflight(PAPERS, friend).header("x-http-method-override", "DELETE");
    assert_eq!(overriding.send().await.status, 401);
    let no_preflight = app.ask(PAPERS).method("OPTIONS").header("origin", friend);
    assert_eq!(no_preflight.send().await.status, 401);
}

#[actix_web::test]
async fn a_preflight_is_no_handshake() {
    let app = with_papers(|raw| {
        raw.services
            .get_mut("papers")
            .expect("papers")
            .cors_preflight = true;
    })
    .await;
    let ask = app
        .ask(PAPERS)
        .method("OPTIONS")
        .header("origin", "https://evil.example");
    let ask = ask
        .header("access-control-request-method", "PUT")
        .header("upgrade", "h2c");
    assert_eq!(ask.header("connection", "upgrade").send().await.status, 401);
}
