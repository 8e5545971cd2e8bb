//! `/verify` as proxies ask it: what it reads, what it answers, and in which form.

use portcullis::config::RawConfig;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::app::{Answer, owned, spawn_app, spawn_app_with};
use crate::support::browser::Browser;

const FILMS: &str = "https://films.example.net/";
const IDENTITY: [&str; 4] = [
    "remote-user",
    "remote-name",
    "remote-email",
    "remote-groups",
];

fn identity_of(answer: &Answer) -> [&str; 4] {
    IDENTITY.map(|name| answer.header(name))
}

/// No refusal may carry anything that is for the app.
fn tells_nothing(answer: &Answer) {
    for name in IDENTITY.iter().chain(&["cookie"]) {
        assert!(!answer.headers.contains_key(*name), "{name}: {answer:?}");
    }
    assert_eq!(answer.header("cache-control"), "no-store");
}

#[actix_web::test]
#[rustfmt::skip] // the columns are the point
async fn a_description_that_is_not_whole_is_refused() {
    let app = spawn_app().await;
    for name in ["x-forwarded-method", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-uri", "x-forwarded-for"] {
        let answer = app.ask(FILMS).fetch().without(name).send().await;
        assert_eq!((answer.status, answer.reason()), (StatusCode::BAD_REQUEST, "malformed_request".into()), "{name}");
        tells_nothing(&answer);
        if name != "x-forwarded-for" {
            for second in [&b"GET"[..], b"https", b"films.example.net", b"/"] {
                let answer = app.ask(FILMS).another(name, second).send().await;
                assert_eq!(answer.status, 400, "{name} twice");
            }
        }
    }
    let cases: [(&str, &[u8]); 27] = [
        ("x-forwarded-method", b""),
        ("x-forwarded-method", b"GE T"),
        ("x-forwarded-method", b"GET,POST"),
        ("x-forwarded-method", b"\xff"),
        ("x-forwarded-proto",  b""),
        ("x-forwarded-proto",  b"ftp"),
        ("x-forwarded-proto",  b"https,http"),
        ("x-forwarded-proto",  b"javascript"),
        ("x-forwarded-host",   b""),
        ("x-forwarded-host",   b"films.example.net, evil.example"),
        ("x-forwarded-host",   b"user@films.example.net"),
        ("x-forwarded-host",   b"films.example.net:x"),
        ("x-forwarded-host",   b"films.example.net:99999"),
        ("x-forwarded-host",   b"films%2eexample.net"),
        ("x-forwarded-host",   b"films .example.net"),
        ("x-forwarded-host",   b"films..example.net"),
        ("x-forwarded-host",   b"films.example.net/x"),
        ("x-forwarded-host",   b"\xff.example.net"),
        ("x-forwarded-host",   b"["),
        ("x-forwarded-uri",    b""),
        ("x-forwarded-uri",    b"x"),
        ("x-forwarded-uri",    b"*"),
        ("x-forwarded-uri",    b"https://films.example.net/"),
        ("x-forwarded-uri",    b"/#x"),
        ("x-forwarded-uri",    b"/a b"),
        ("x-forwarded-uri",    b"/\xff"),
        ("x-forwarded-for",    b"\xff"),
    ];
    for (name, value) in cases {
        let answer = app.ask(FILMS).fetch().without(name).another(name, value).send().await;
        assert_eq!(answer.status, 400, "{name}: {value:?}");
        tells_nothing(&answer);
    }
}

#[actix_web::test]
async fn other_headers_and_the_query_change_nothing() {
    let app = spawn_app().await;
    let forged = [
        (
            "forwarded",
            "for=10.0.0.1;host=films.example.net;proto=https",
        ),
        ("x-real-ip", "127.0.0.1"),
        ("x-original-url", "https://films.example.net/ping"),
        ("x-original-uri", "/ping"),
        ("x-original-method", "HEAD"),
        ("x-rewrite-url", "/ping"),
        ("x-forwarded-prefix", "/ping"),
        ("x-forwarded-port", "80"),
        ("x-forwarded-server", "evil.example"),
        ("x_forwarded_uri", "/ping"),
        ("x.forwarded.uri", "/ping"),
        ("remote-user", "admin"),
        ("remote-groups", "admins"),
        ("portcullis-decision", "x"),
        ("user-agent", "kube-probe/1.30"),
    ];
    for (name, value) in forged {
        let ask = app.ask(FILMS).fetch().header(name, value);
        let answer = ask.at("/verify?policy=bypass&rd=/ping").send().await;
        assert_eq!(
            (answer.status.as_u16(), answer.reason()),
            (401, "not_signed_in".into()),
            "{name}"
        );
        tells_nothing(&answer);
    }
}

#[actix_web::test]
async fn a_peer_that_is_no_proxy_gets_nothing() {
    let app = spawn_app_with(|raw| raw.server.trusted_proxies = Some(owned(&["10.0.0.0/8"]))).await;
    let answer = app.ask("https://films.example.net/ping").send().await;
    assert_eq!(
        (answer.status.as_u16(), answer.reason()),
        (403, "untrusted_peer".into())
    );
    tells_nothing(&answer);
}

#[actix_web::test]
async fn a_secret_of_the_proxy_is_asked_for_each_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("proxy-secret");
    std::fs::write(&file, "let-me-ask\n").expect("a file");
    let secret = |raw: &mut RawConfig| raw.server.proxy_secret_file = Some(file);
    let app = spawn_app_with(secret).await;
    let ask = || app.ask("https://films.example.net/ping");
    assert_eq!(ask().send().await.status, 403);
    assert_eq!(
        ask()
            .header("portcullis-proxy", "let-me-as")
            .send()
            .await
            .status,
        403
    );
    let right = ask().header("portcullis-proxy", "let-me-ask");
    assert_eq!(right.send().await.status, 200);
    let twice = ask().header("portcullis-proxy", "let-me-ask");
    let twice = twice
        .another("portcullis-proxy", b"let-me-ask")
        .send()
        .await;
    assert_eq!(twice.status, 403);
}

#[actix_web::test]
#[rustfmt::skip] // the columns are the point
async fn hosts_and_reserved_paths() {
    let app = spawn_app().await;
    let cases = [
        ("https://unknown.example.net/",             403, "unknown_host"),
        ("https://example.org/",                     403, "unknown_host"),
        ("https://lab.example.org/",                 403, "unknown_host"),
        ("https://127.0.0.2/",                       403, "unknown_host"),
        ("https://127.0.0.1/",                       403, "own_host"), // the issuer, in this test
        ("https://films.example.net:8443/",          403, "unknown_port"),
        ("https://auth.example.net/verify",          403, "own_host"),
        ("https://auth.example.net/",                403, "own_host"),
        ("https://films.example.net/",               401, "not_signed_in"),
        ("https://FILMS.example.net.:443/",          401, "not_signed_in"),
        ("https://a.lab.example.org/",               401, "not_signed_in"),
        ("https://a.b.LAB.example.org/",             401, "not_signed_in"),
        ("https://a.wild.example.org/",              403, "policy_not_named"),
        ("https://films.example.net/.portcullis/",   404, "reserved_path"),
        ("https://films.example.net/.portcullis/x",  404, "reserved_path"),
        ("https://films.example.net/.portcullis/enter/x", 404, "reserved_path"),
        ("http://films.example.net/",                403, "insecure_scheme"),
    ];
    for (url, status, reason) in cases {
        let answer = app.ask(url).fetch().send().await;
        assert_eq!((answer.status.as_u16(), answer.reason().as_str()), (status, reason), "{url}");
        tells_nothing(&answer);
    }
}

#[actix_web::test]
#[rustfmt::skip] // the columns are the point
async fn the_path_alone_names_a_policy() {
    let app = spawn_app().await;
    app.issuer.sign_in_as("ben");
    let mut browser = Browser::new(&app);
    browser.navigate(FILMS).await;
    browser.navigate("https://a.lab.example.org/").await;
    let cases = [
        (FILMS,                              "/verify",                      200),
        (FILMS,                              "/verify?policy=admins",        200),
        (FILMS,                              "/verify/policy/media",         200),
        (FILMS,                              "/verify/policy/authenticated", 200),
        (FILMS,                              "/verify/policy/admins",        403),
        (FILMS,                              "/verify/policy/deny",          403),
        (FILMS,                              "/verify/policy/bypass",        403),
        (FILMS,                              "/verify/policy/unheard-of",    403),
        (FILMS,                              "/verify/policy/",              404),
        ("https://films.example.net/ping",   "/verify/policy/admins",        200),
        ("https://films.example.net/ping",   "/verify/policy/bypass",        403),
        ("https://films.example.net/open/x", "/verify/policy/admins",        403),
        ("https://unknown.example.net/",     "/verify/policy/media",         403),
        ("https://a.lab.example.org/",       "/verify/policy/media",         200),
        (FILMS,                              "/verify/nginx",                404),
        (FILMS,                              "/",                            404),
    ];
    for (url, path, status) in cases {
        let answer = browser.ask(url).fetch().at(path).send().await;
        assert_eq!(answer.status.as_u16(), status, "{url} {path}: {answer:?}");
    }
}

#[actix_web::test]
async fn any_method_of_the_proxy_is_answered() {
    let app = spawn_app().await;
    for method in [
        "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PURGE",
    ] {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let ping = app.ask("https://films.example.net/ping").by(method.clone());
        assert_eq!(ping.send().await.status, 200, "{method}");
        assert_eq!(
            app.ask(FILMS).by(method.clone()).send().await.status,
            401,
            "{method}"
        );
    }
}

#[actix_web::test]
async fn an_upgrade_is_answered_plainly() {
    let app = spawn_app().await;
    let ask = |url: &str| {
        let ask = app.ask(url).header("upgrade", "websocket");
        ask.header("connection", "upgrade")
            .header("sec-websocket-key", "x")
    };
    assert_eq!(
        ask("https://films.example.net/ping").send().await.status,
        200
    );
    let stranger = ask(FILMS).navigation().send().await;
    assert_eq!(
        (stranger.status.as_u16(), stranger.reason()),
        (401, "not_signed_in".into())
    );
}

#[actix_web::test]
async fn a_stranger_is_sent_to_log_in_or_told_to() {
    let app = spawn_app().await;
    let page = app
        .ask("https://films.example.net/a?b=c%20d")
        .navigation()
        .send()
        .await;
    assert_eq!(page.status, 302);
    let expected =
        "https://auth.example.net/login?rd=https%3A%2F%2Ffilms.example.net%2Fa%3Fb%3Dc%2520d&f=";
    assert!(page.location().starts_with(expected), "{}", page.location());
    assert!(
        page.header("set-cookie")
            .starts_with("__Host-portcullis-flow=")
    );
    tells_nothing(&page);

    let script = app
        .ask("https://films.example.net/a?b")
        .fetch()
        .send()
        .await;
    assert_eq!(script.status, 401);
    assert_eq!(script.header("content-type"), "application/problem+json");
    assert_eq!(script.header("www-authenticate"), "Bearer");
    let expected = json!({
        "type": "about:blank",
        "title": "Please sign in",
        "status": 401,
        "detail": "This asks for a sign-in.",
        "reason": "not_signed_in",
        "login_url": "https://auth.example.net/login?rd=https%3A%2F%2Ffilms.example.net%2F",
        "decision": script.header("portcullis-decision"),
    });
    assert_eq!(script.json(), expected);

    let form = app.ask(FILMS).navigation().method("POST").send().await;
    assert_eq!(form.status, 401);
    assert!(form.header("content-type").starts_with("text/html"));
    assert!(form.body.contains("Sign in") && !form.headers.contains_key("location"));

    let prefetch = app
        .ask(FILMS)
        .navigation()
        .header("sec-purpose", "prefetch")
        .send()
        .await;
    assert_eq!(prefetch.status, 401);

    let frame = app
        .ask(FILMS)
        .navigation()
        .header("sec-fetch-dest", "iframe");
    let own = frame.header("sec-fetch-site", "same-site").send().await;
    assert!(
        own.status == 302 && own.location().ends_with("&frame=1"),
        "{own:?}"
    );
    let frame = app
        .ask(FILMS)
        .navigation()
        .header("sec-fetch-dest", "iframe");
    let foreign = frame.header("sec-fetch-site", "cross-site").send().await;
    assert!(foreign.status == 401 && foreign.header("content-type").starts_with("text/html"));

    let old = app
        .ask(FILMS)
        .header("accept", "text/html,*/*;q=0.8")
        .send()
        .await;
    assert_eq!(old.status, 302);
    let doubled = app
        .ask(FILMS)
        .navigation()
        .another("sec-fetch-mode", b"navigate");
    assert_eq!(doubled.send().await.status, 401);
}

#[actix_web::test]
async fn a_member_passes_with_the_right_headers_and_no_cookie_of_ours() {
    let app = spawn_app().await;
    app.issuer.sign_in_as("ben");
    let mut browser = Browser::new(&app);
    assert_eq!(browser.navigate(FILMS).await.end.status, 200);
    let host = "films.example.net";
    browser.set_cookie(host, "theme", "dark");
    browser.set_cookie(host, "__Host-portcullis-flow", "x");
    let ask = browser.ask("https://films.example.net/x").fetch();
    let answer = ask
        .header("remote-user", "admin")
        .header("remote-groups", "admins")
        .send()
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        identity_of(&answer),
        ["ben", "Ben Müller", "ben@example.net", "media"]
    );
    assert_eq!(answer.header("cookie"), "theme=dark");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("portcullis-decision").len(), 16);
    // The proxies would not hand it on.
    assert!(!answer.headers.contains_key("set-cookie"));
    assert!(answer.body.is_empty());
}

#[actix_web::test]
async fn a_non_member_is_refused_and_not_sent_anywhere() {
    let app = spawn_app().await;
    app.issuer.sign_in_as("eve");
    let mut browser = Browser::new(&app);
    let visit = browser.navigate(FILMS).await;
    assert_eq!((visit.end.status.as_u16(), visit.logins()), (403, 1));
    let page = &visit.end;
    tells_nothing(page);
    assert!(page.header("content-type").starts_with("text/html"));
    for part in [
        "none of the groups",
        "media",
        "eve",
        page.header("portcullis-decision"),
    ] {
        assert!(page.body.contains(part), "{part}: {}", page.body);
    }
    for header in [
        "content-security-policy",
        "x-frame-options",
        "x-content-type-options",
    ] {
        assert!(page.headers.contains_key(header), "{header}");
    }
    let script = browser.ask(FILMS).fetch().send().await;
    assert_eq!(
        (script.status.as_u16(), script.reason()),
        (403, "not_a_member".into())
    );
    assert!(script.json().get("login_url").is_none());
}

#[actix_web::test]
async fn a_bypass_names_nobody_and_an_optional_policy_does() {
    let app = spawn_app().await;
    let mut browser = Browser::new(&app);
    browser.navigate(FILMS).await;
    let ping = browser.ask("https://films.example.net/ping").send().await;
    assert_eq!((ping.status.as_u16(), identity_of(&ping)), (200, [""; 4]));
    let open = browser.ask("https://films.example.net/open/x").send().await;
    assert_eq!(
        (open.status.as_u16(), open.header("remote-user")),
        (200, "ada")
    );
    let stranger = app.ask("https://films.example.net/open/x").send().await;
    assert_eq!(
        (stranger.status.as_u16(), identity_of(&stranger)),
        (200, [""; 4])
    );
    // All four are there, empty: the proxy replaces what the client sent.
    for name in IDENTITY {
        assert!(stranger.headers.contains_key(name), "{name}");
    }
}

#[actix_web::test]
async fn health_is_on_its_own_listener() {
    let app = spawn_app().await;
    assert_eq!(app.health("live").await.json(), json!({ "status": "live" }));
    let ready = app.health("ready").await;
    assert_eq!(ready.status, 200);
    assert_eq!(ready.json()["store"], "up");
    assert_eq!(app.health("other").await.status, 404);
    for path in ["/health/live", "/verify", "/metrics"] {
        let answer = app
            .portal(Method::GET, path)
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.status(), 404, "{path}");
    }
}

#[actix_web::test]
async fn on_http_for_development_nothing_asks_for_https() {
    let app = spawn_app_with(|raw| {
        raw.server.public_url = Some("http://auth.example.net".into());
        raw.server.danger_allow_http = true;
    })
    .await;
    let page = app
        .ask("http://films.example.net/")
        .navigation()
        .send()
        .await;
    assert_eq!(page.status, 302);
    assert!(
        page.location()
            .starts_with("http://auth.example.net/login?")
    );
    assert!(page.header("set-cookie").starts_with("portcullis-flow="));
    assert!(!page.header("set-cookie").contains("Secure"));
}
