//! What holds in every dialect: which are answered, and that one's headers mean nothing in another.

use portcullis::config::RawConfig;

use crate::support::app::{Proxy, every_dialect, owned, spawn_app_with};
use crate::support::browser::Browser;

const PROXIES: [Proxy; 3] = [Proxy::Caddy, Proxy::Nginx, Proxy::Envoy];
const FILMS: &str = "https://films.example.net/";
const NOTES: &str = "https://notes.example.net/";
const PING: &str = "https://films.example.net/ping";

#[actix_web::test]
#[rustfmt::skip] // the columns are the point
async fn only_the_dialects_that_are_named_are_answered() {
    let cases: [(&[&str], [u16; 5]); 5] = [
        //                                    /verify  /policy  nginx  /policy  envoy
        (&["forward-auth"],                   [200,    403,     404,   404,     404]),
        (&["nginx"],                          [404,    404,     200,   403,     404]),
        (&["envoy"],                          [404,    404,     404,   404,     200]),
        (&["nginx", "envoy", "nginx"],        [404,    404,     200,   403,     200]),
        (&["forward-auth", "nginx", "envoy"], [200,    403,     200,   403,     200]),
    ];
    for (named, expected) in cases {
        let app = spawn_app_with(|raw| raw.server.dialects = Some(owned(named))).await;
        let asks = [
            app.ask(PING),
            app.ask(PING).at("/verify/policy/unheard-of"),
            app.ask_as(Proxy::Nginx, PING),
            app.ask_as(Proxy::Nginx, PING).at("/verify/nginx/policy/unheard-of"),
            app.ask_as(Proxy::Envoy, PING),
        ];
        let mut found = Vec::new();
        for ask in asks {
            let answer = ask.send().await;
            if answer.status == 404 {
                assert_eq!(answer.reason(), "no_such_question");
            }
            found.push(answer.status.as_u16());
        }
        assert_eq!(found, expected, "{named:?}");
    }
}

#[actix_web::test]
async fn a_refusal_says_where_each_dialect_asks() {
    let app = spawn_app_with(|raw| raw.server.dialects = Some(owned(&["nginx", "envoy"]))).await;
    let answer = app.ask(PING).send().await;
    for place in ["/verify/nginx/policy/", "/verify/envoy"] {
        assert!(answer.body.contains(place), "{}", answer.body);
    }
    assert!(!answer.body.contains("/verify,"), "{}", answer.body);
}

/// Every description that another dialect would take says that the request is for what everybody may have.
#[actix_web::test]
#[rustfmt::skip] // the columns are the point
async fn one_dialect_does_not_read_the_headers_of_another() {
    let app = spawn_app_with(every_dialect).await;
    let forged = [
        ("forwarded",          "for=10.0.0.1;host=films.example.net;proto=https"),
        ("x-real-ip",          "127.0.0.1"),
        ("x-original-uri",     "/ping"),
        ("x-original-host",    "films.example.net"),
        ("x-rewrite-url",      "/ping"),
        ("x-forwarded-prefix", "/ping"),
        ("x-forwarded-port",   "80"),
        ("x-forwarded-method", "OPTIONS"),
        ("x-forwarded-host",   "films.example.net"),
        ("x-forwarded-uri",    "/ping"),
        ("x-forwarded-proto",  "http"),
        ("x-original-url",     PING),
        ("x-original-method",  "OPTIONS"),
        ("x_original_url",     PING),
        ("x.original.url",     PING),
        ("x_forwarded_uri",    "/ping"),
        ("x.forwarded.uri",    "/ping"),
        ("x_forwarded_for",    "10.0.0.1"),
        ("x-envoy-original-path", "/ping"),
        ("remote-user",        "admin"),
        ("remote-groups",      "admins"),
    ];
    let own: [&[&str]; 3] = [
        &["x-forwarded-method", "x-forwarded-host", "x-forwarded-uri", "x-forwarded-proto"],
        &["x-original-url", "x-original-method"],
        &["x-forwarded-proto"],
    ];
    for (proxy, own) in PROXIES.into_iter().zip(own) {
        for (name, value) in forged.iter().filter(|(name, _)| !own.contains(name)) {
            let ask = app.ask_as(proxy, NOTES).fetch().header(name, value);
            let answer = ask.send().await;
            let found = (answer.status.as_u16(), answer.reason());
            assert_eq!(found, (401, "not_signed_in".into()), "{proxy:?} {name}");
        }
        let mut all = app.ask_as(proxy, NOTES).fetch();
        for (name, value) in forged.iter().filter(|(name, _)| !own.contains(name)) {
            all = all.header(name, value);
        }
        assert_eq!(all.send().await.status, 401, "{proxy:?}");
    }
}

#[actix_web::test]
async fn a_login_leads_back_byte_for_byte_and_a_logout_ends_it_everywhere() {
    let app = spawn_app_with(every_dialect).await;
    for proxy in PROXIES {
        let mut browser = Browser::new(&app).through(proxy);
        let url =
            "https://films.example.net/a/b%20c?x=1&y=%2F%3f+z&u=https://evil.example/&t=~!*()";
        let visit = browser.navigate(url).await;
        let found = (visit.end.status.as_u16(), visit.url(), visit.logins());
        assert_eq!(found, (200, url, 1), "{proxy:?}: {visit:#?}");
        let visit = browser.navigate(NOTES).await;
        let found = (visit.end.status.as_u16(), visit.url(), visit.logins());
        assert_eq!(found, (200, NOTES, 0), "{proxy:?}");
        // A ticket is good once, in every dialect.
        let names = browser.cookie_names("films.example.net");
        let flow = names.iter().any(|name| name.ends_with("-flow"));
        assert!(!flow, "{proxy:?}: {names:?}");

        let visit = browser
            .navigate("https://films.example.net/.portcullis/logout")
            .await;
        assert_eq!(
            visit.url(),
            "https://auth.example.net/signed-out",
            "{proxy:?}"
        );
        let names = browser.cookie_names("films.example.net");
        assert_eq!(names, Vec::<&str>::new(), "{proxy:?}");
        let after = browser.ask(NOTES).fetch().send().await;
        assert_eq!(after.status, 401, "{proxy:?}");
    }
}

/// A browser that keeps no cookies of the app is stopped, in every dialect.
#[actix_web::test]
async fn logins_that_do_not_take_are_stopped() {
    let app = spawn_app_with(every_dialect).await;
    for proxy in PROXIES {
        let mut browser = Browser::new(&app)
            .through(proxy)
            .forgetting("films.example.net");
        let visit = browser.navigate(FILMS).await;
        assert_eq!(visit.end.status, 403, "{proxy:?}");
        assert!(visit.urls.len() < 15, "{proxy:?}: {:#?}", visit.urls);
    }
}

#[actix_web::test]
async fn frames_of_the_same_site_are_told_apart() {
    let app = spawn_app_with(every_dialect).await;
    for proxy in PROXIES {
        let frame = |site| {
            let ask = app.ask_as(proxy, FILMS).navigation();
            ask.header("sec-fetch-dest", "iframe")
                .header("sec-fetch-site", site)
        };
        let own = frame("same-site").send().await;
        assert!(own.location().ends_with("&frame=1"), "{proxy:?}: {own:?}");
        let foreign = frame("cross-site").send().await;
        assert_eq!(foreign.status, 401, "{proxy:?}");
        assert_eq!(foreign.location(), "", "{proxy:?}");
    }
}

#[actix_web::test]
async fn the_peer_has_to_be_trusted_and_know_the_secret() {
    let foreign = |raw: &mut RawConfig| {
        every_dialect(raw);
        raw.server.trusted_proxies = Some(owned(&["10.0.0.0/8"]));
    };
    let app = spawn_app_with(foreign).await;
    for proxy in PROXIES {
        let answer = app.ask_as(proxy, PING).send().await;
        let found = (answer.status.as_u16(), answer.reason());
        assert_eq!(found, (403, "untrusted_peer".into()), "{proxy:?}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("proxy-secret");
    std::fs::write(&file, "let-me-ask\n").expect("a file");
    let app = spawn_app_with(|raw| {
        every_dialect(raw);
        raw.server.proxy_secret_file = Some(file);
    })
    .await;
    for proxy in PROXIES {
        let ask = || app.ask_as(proxy, PING);
        assert_eq!(ask().send().await.status, 403, "{proxy:?}");
        let right = ask().header("portcullis-proxy", "let-me-ask");
        assert_eq!(right.send().await.status, 200, "{proxy:?}");
        let wrong = ask().header("portcullis-proxy", "let-me-as");
        assert_eq!(wrong.send().await.status, 403, "{proxy:?}");
    }
    // nginx's way to our own paths needs it as well.
    let logout = "https://films.example.net/.portcullis/logout";
    let ask = || app.ask_as(Proxy::Nginx, logout).navigation();
    let path = "/.portcullis/logout";
    assert_eq!(ask().send_to_portal(path).await.status, 403);
    let right = ask().header("portcullis-proxy", "let-me-ask");
    assert_eq!(right.send_to_portal(path).await.status, 302);
}

/// The client's address is found by the same walk.
#[actix_web::test]
async fn networks_are_held_against_the_address_that_the_proxy_saw() {
    let app = spawn_app_with(|raw| {
        every_dialect(raw);
        let notes = raw.services.get_mut("notes").expect("notes");
        notes.policy = None;
        notes.posture = Some("internal".into());
        notes.allowed_networks = Some(owned(&["10.20.0.0/16"]));
    })
    .await;
    let cases = [
        ("10.20.0.7", 200),
        ("10.20.0.7, 127.0.0.1", 200),
        ("203.0.113.7, 10.20.0.7", 200),
        ("10.20.0.7, 203.0.113.7", 403),
        ("10.20.0.7, junk", 403),
        ("", 403),
    ];
    for proxy in PROXIES {
        for (clients, expected) in cases {
            let ask = app.ask_as(proxy, NOTES).header("x-forwarded-for", clients);
            let answer = ask.send().await;
            assert_eq!(answer.status.as_u16(), expected, "{proxy:?} {clients:?}");
        }
    }
}
