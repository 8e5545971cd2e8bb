//! The dialect of nginx's `auth_request`: 200, 401 and 403 and nothing else, and the location that leads to the
//! portal's listener.

use portcullis::config::RawConfig;
use reqwest::Method;

use crate::support::app::{
    Answer, Ask, Proxy, TestApp, every_dialect, owned, spawn_app, spawn_app_with,
};
use crate::support::browser::Browser;

const FILMS: &str = "https://films.example.net/";
const PING: &str = "https://films.example.net/ping";
const LOGOUT: &str = "https://films.example.net/.portcullis/logout";

fn by_nginx(raw: &mut RawConfig) {
    raw.server.dialects = Some(owned(&["nginx"]));
}

fn ask<'a>(app: &'a TestApp, url: &str) -> Ask<'a> {
    app.ask_as(Proxy::Nginx, url)
}

/// Why, as nginx can hand it on.
fn refused_for(answer: &Answer) -> (u16, &str) {
    assert!(!answer.headers.contains_key("remote-user"), "{answer:?}");
    assert_eq!(answer.header("cache-control"), "no-store");
    (answer.status.as_u16(), answer.header("portcullis-reason"))
}

#[actix_web::test]
#[rustfmt::skip] // the columns are the point
async fn a_description_that_is_not_whole_is_refused() {
    let app = spawn_app_with(by_nginx).await;
    for name in ["x-original-url", "x-original-method", "x-forwarded-for"] {
        let answer = ask(&app, PING).without(name).send().await;
        assert_eq!(refused_for(&answer), (403, "malformed_request"), "{name}");
        if name != "x-forwarded-for" {
            for second in [&b"GET"[..], PING.as_bytes(), b""] {
                let answer = ask(&app, PING).another(name, second).send().await;
                assert_eq!(refused_for(&answer), (403, "malformed_request"), "{name} twice");
            }
        }
    }
    let cases: [(&str, &[u8]); 27] = [
        ("x-original-method", b""),
        ("x-original-method", b"GE T"),
        ("x-original-method", b"GET,POST"),
        ("x-original-method", b"\xff"),
        ("x-original-url",    b""),
        ("x-original-url",    b"/ping"),
        ("x-original-url",    b"//films.example.net/ping"),
        ("x-original-url",    b"films.example.net/ping"),
        ("x-original-url",    b"https:/films.example.net/ping"),
        ("x-original-url",    b"https://films.example.net"),
        ("x-original-url",    b"https://films.example.net?/ping"),
        ("x-original-url",    b"https://films.example.net#/ping"),
        ("x-original-url",    b"https:///ping"),
        ("x-original-url",    b"://films.example.net/ping"),
        ("x-original-url",    b"ftp://films.example.net/ping"),
        ("x-original-url",    b"https,http://films.example.net/ping"),
        ("x-original-url",    b"https://user@films.example.net/ping"),
        ("x-original-url",    b"https://films.example.net:x/ping"),
        ("x-original-url",    b"https://films.example.net:/ping"),
        ("x-original-url",    b"https://films%2eexample.net/ping"),
        ("x-original-url",    b"https://films.example.net,evil.example/ping"),
        ("x-original-url",    b"https://films.example.net\\@evil.example/ping"),
        ("x-original-url",    b"https://films .example.net/ping"),
        ("x-original-url",    b"https://films.example.net/ping#x"),
        ("x-original-url",    b"https://films.example.net/pi ng"),
        ("x-original-url",    b"https://films.example.net/\xff"),
        ("x-forwarded-for",   b"\xff"),
    ];
    for (name, value) in cases {
        let answer = ask(&app, PING).without(name).another(name, value).send().await;
        assert_eq!(refused_for(&answer), (403, "malformed_request"), "{name}: {value:?}");
    }
}

/// Anything else than 200, 401 and 403 is a 500 to nginx. Each case is another status in the other dialects.
#[actix_web::test]
#[rustfmt::skip] // the columns are the point
async fn every_refusal_has_a_status_that_nginx_takes() {
    let app = spawn_app_with(|raw| {
        by_nginx(raw);
        let lab = raw.services.get_mut("lab").expect("lab");
        lab.posture = Some("trusted_header".into());
    })
    .await;
    let mut browser = Browser::new(&app).through(Proxy::Nginx);
    browser.navigate("https://a.lab.example.org/").await;
    let stale = || browser.ask("https://a.lab.example.org/").fetch().header("portcullis-copy", "Remote-Name");
    let cases = [
        (stale(),                                                        "not_copied"),         // 503
        (ask(&app, FILMS).without("x-original-url"),                     "malformed_request"),  // 400
        (ask(&app, "https://films.example.net/.portcullis/enter"),       "reserved_path"),      // 302
        (ask(&app, LOGOUT),                                              "reserved_path"),      // 302
        (ask(&app, "https://films.example.net/.portcullis/x"),           "reserved_path"),      // 404
        (ask(&app, "https://films.example.net/x/../.portcullis/enter"),  "reserved_path"),      // 404
        (ask(&app, "https://films.example.net/%2eportcullis%2flogout"),  "reserved_path"),      // 404
        (ask(&app, "https://nobody.example.net/"),                       "unknown_host"),
        (ask(&app, "https://auth.example.net/"),                         "own_host"),
        (ask(&app, "http://films.example.net/"),                         "insecure_scheme"),
        (ask(&app, PING).at("/verify/nginx/policy/unheard-of"),          "unknown_policy"),
        (ask(&app, PING).at("/verify/nginx/policy/bypass"),              "policy_loosens"),
    ];
    for (ask, reason) in cases {
        let answer = ask.send().await;
        assert_eq!(refused_for(&answer), (403, reason), "{answer:?}");
        assert_eq!(answer.reason(), reason);
        assert_eq!(answer.header("portcullis-decision").len(), 16);
        assert!(!answer.headers.contains_key("location"));
        assert!(!answer.headers.contains_key("set-cookie"));
    }
    let places = ["/verify/nginx/", "/verify/nginx/x", "/verify/nginx/policy", "/verify/nginx/policy/", "/verify/nginxx"];
    for place in places {
        let answer = ask(&app, PING).at(place).send().await;
        assert_eq!((answer.status.as_u16(), answer.reason()), (403, "no_such_question".into()), "{place}");
    }
    let large = ask(&app, PING).header("cookie", &"x".repeat(40_000)).send().await;
    assert_eq!(large.status, 403, "{large:?}");
    assert!(large.body.contains("32 KiB"), "{}", large.body);
}

#[actix_web::test]
async fn a_stranger_is_sent_to_log_in_by_a_401_that_says_where() {
    let app = spawn_app_with(by_nginx).await;
    let url = "https://films.example.net/a?b=c%20d";
    let page = ask(&app, url).navigation().send().await;
    assert_eq!(page.status, 401);
    let expected =
        "https://auth.example.net/login?rd=https%3A%2F%2Ffilms.example.net%2Fa%3Fb%3Dc%2520d&f=";
    assert!(page.location().starts_with(expected), "{}", page.location());
    // nginx knows the first cookie alone.
    let cookies: Vec<_> = page.headers.get_all("set-cookie").iter().collect();
    assert_eq!(cookies.len(), 1, "{cookies:?}");
    assert!(
        page.header("set-cookie")
            .starts_with("__Host-portcullis-flow=")
    );
    assert_eq!(page.header("www-authenticate"), "Bearer");

    let navigation = || ask(&app, FILMS).navigation();
    let no_login = [
        ask(&app, FILMS).fetch(),
        navigation().method("POST"),
        navigation().header("sec-purpose", "prefetch"),
        navigation().header("sec-websocket-key", "x"),
        navigation()
            .header("sec-fetch-dest", "iframe")
            .header("sec-fetch-site", "cross-site"),
    ];
    for ask in no_login {
        let answer = ask.send().await;
        assert_eq!(refused_for(&answer), (401, "not_signed_in"));
        assert!(!answer.headers.contains_key("location"), "{answer:?}");
        assert!(!answer.headers.contains_key("set-cookie"), "{answer:?}");
        assert_eq!(answer.header("www-authenticate"), "Bearer");
    }
}

#[actix_web::test]
async fn a_member_passes_and_a_non_member_does_not() {
    let app = spawn_app_with(by_nginx).await;
    app.issuer.sign_in_as("ben");
    let mut browser = Browser::new(&app).through(Proxy::Nginx);
    assert_eq!(browser.navigate(FILMS).await.end.status, 200);
    browser.set_cookie("films.example.net", "theme", "dark");
    let answer = browser.ask(FILMS).fetch().send().await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("remote-user"), "ben");
    assert_eq!(answer.header("cookie"), "theme=dark");
    assert!(!answer.headers.contains_key("set-cookie"));
    assert!(!answer.headers.contains_key("portcullis-reason"));
    let tightened = browser.ask(FILMS).fetch().at("/verify/nginx/policy/admins");
    assert_eq!(refused_for(&tightened.send().await), (403, "not_a_member"));

    app.issuer.sign_in_as("eve");
    let mut browser = Browser::new(&app).through(Proxy::Nginx);
    let visit = browser.navigate(FILMS).await;
    assert_eq!(visit.logins(), 1);
    assert_eq!(refused_for(&visit.end), (403, "not_a_member"));
}

#[actix_web::test]
async fn any_method_of_the_subrequest_is_answered() {
    let app = spawn_app_with(by_nginx).await;
    for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PURGE"] {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let ping = ask(&app, PING).by(method.clone()).send().await;
        assert_eq!(ping.status, 200, "{method}");
        let films = ask(&app, FILMS).by(method.clone()).send().await;
        assert_eq!(films.status, 401, "{method}");
    }
}

/// The portal's listener answers for protected hosts where nginx leads there, and never with 2xx.
#[actix_web::test]
#[rustfmt::skip] // the columns are the point
async fn our_own_paths_are_answered_at_the_portal() {
    let app = spawn_app_with(by_nginx).await;
    let enter = "https://films.example.net/.portcullis/enter";
    let cases = [
        // What nginx says,                                    what it asks for,        and the answer.
        (enter,                                                "/.portcullis/enter",    302, "https://auth.example.net/login?rd=https%3A%2F%2Ffilms.example.net%2F&f="),
        ("https://films.example.net/.portcullis/enter?ticket=x", "/.portcullis/enter?ticket=x", 302, "https://auth.example.net/login?rd=https%3A%2F%2Ffilms.example.net%2F&f="),
        (LOGOUT,                                               "/.portcullis/logout",   302, "https://auth.example.net/logout"),
        ("https://films.example.net/.portcullis/x",            "/.portcullis/x",        404, ""),
        ("https://films.example.net/.portcullis/",             "/.portcullis/",         404, ""),
        ("https://films.example.net/ping",                     "/.portcullis/enter",    404, ""),
        ("https://films.example.net/open/x",                   "/.portcullis/logout",   404, ""),
        ("https://films.example.net/x/../.portcullis/logout",  "/.portcullis/logout",   404, ""),
        ("https://films.example.net/%2eportcullis/logout",     "/%2eportcullis/logout", 404, ""),
        ("https://nobody.example.net/.portcullis/logout",      "/.portcullis/logout",   403, ""),
        ("https://auth.example.net/.portcullis/logout",        "/.portcullis/logout",   403, ""),
        ("https://id.example.net/.portcullis/logout",          "/.portcullis/logout",   403, ""),
        ("/.portcullis/logout",                                "/.portcullis/logout",   400, ""),
        ("http://films.example.net/.portcullis/enter",         "/.portcullis/enter",    403, ""),
    ];
    for (url, path, status, location) in cases {
        let host = url.split('/').nth(2).filter(|host| host.contains('.')).unwrap_or("films.example.net");
        let ask = ask(&app, FILMS).navigation().header("x-original-url", url).header("host", host);
        let answer = ask.send_to_portal(path).await;
        assert_eq!(answer.status.as_u16(), status, "{url}: {answer:?}");
        assert!(answer.location().starts_with(location), "{url}: {answer:?}");
        assert!(!location.is_empty() || answer.location().is_empty(), "{url}: {answer:?}");
        assert!(!answer.headers.contains_key("portcullis-reason"), "{url}");
    }
    for name in ["x-original-url", "x-original-method", "x-forwarded-for"] {
        let answer = ask(&app, LOGOUT).navigation().without(name).send_to_portal("/.portcullis/logout").await;
        assert_eq!(answer.status, 400, "{name}");
    }
    for method in ["POST", "DELETE", "OPTIONS"] {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let logout = ask(&app, LOGOUT).navigation().method(method.as_str()).by(method.clone());
        let answer = logout.send_to_portal("/.portcullis/logout").await;
        assert_eq!((answer.status.as_u16(), answer.location()), (302, "https://auth.example.net/logout"), "{method}");
    }
}

/// Another proxy before the portal hands on what its clients send as `X-Original-URL`, with a `Host` of its own.
#[actix_web::test]
#[rustfmt::skip] // the columns are the point
async fn the_portal_answers_for_the_host_alone_that_it_is_asked_at() {
    const AT_A_PORT: &str = "https://movies.example.net:8443/.portcullis/logout";
    let app = spawn_app_with(|raw| {
        every_dialect(raw);
        let films = raw.services.get_mut("films").expect("films");
        films.host = Some(owned(&["films.example.net", "movies.example.net:8443"]));
    })
    .await;
    let cases = [
        // What the URL names, what Host does, and the answer.
        (LOGOUT,    "films.example.net",       302),
        (LOGOUT,    "Films.Example.NET.",      302),
        (LOGOUT,    "films.example.net:443",   302),
        (AT_A_PORT, "movies.example.net:8443", 302),
        (LOGOUT,    "auth.example.net",        400),
        (LOGOUT,    "notes.example.net",       400),
        (LOGOUT,    "nobody.example.net",      400),
        (LOGOUT,    "127.0.0.1",               400),
        (LOGOUT,    "films.example.net:80",    400),
        (LOGOUT,    "films.example.net:8443",  400),
        (LOGOUT,    "films.example.net:x",     400),
        (LOGOUT,    "films.example.net,films.example.net", 400),
        (LOGOUT,    "x@films.example.net",     400),
        (LOGOUT,    "",                        400),
        (AT_A_PORT, "movies.example.net",      400),
        (AT_A_PORT, "movies.example.net:443",  400),
        (AT_A_PORT, "movies.example.net:9443", 400),
        (AT_A_PORT, "films.example.net:8443",  400),
    ];
    for (url, host, status) in cases {
        let ask = ask(&app, url).navigation().header("host", host);
        let answer = ask.send_to_portal("/.portcullis/logout").await;
        assert_eq!(answer.status.as_u16(), status, "{url}, {host:?}: {answer:?}");
        assert_eq!(answer.headers.contains_key("location"), status == 302, "{url}, {host:?}");
    }
    let twice = ask(&app, LOGOUT).navigation().another("host", b"auth.example.net");
    assert_eq!(twice.send_to_portal("/.portcullis/logout").await.status, 400);
}

#[actix_web::test]
async fn our_own_paths_are_not_at_the_portal_without_nginx() {
    let app = spawn_app().await;
    let answer = ask(&app, LOGOUT).navigation();
    let answer = answer.send_to_portal("/.portcullis/logout").await;
    assert_eq!(answer.status, 404);
    let foreign = |raw: &mut RawConfig| {
        by_nginx(raw);
        raw.server.trusted_proxies = Some(owned(&["10.0.0.0/8"]));
    };
    let app = spawn_app_with(foreign).await;
    let answer = ask(&app, LOGOUT).navigation();
    let answer = answer.send_to_portal("/.portcullis/logout").await;
    assert_eq!(
        (answer.status.as_u16(), answer.reason()),
        (403, "untrusted_peer".into())
    );
}

/// Also where the portal has a path of its own.
#[actix_web::test]
async fn our_own_paths_are_at_the_root_of_the_listener() {
    let app = spawn_app_with(|raw| {
        by_nginx(raw);
        raw.server.public_url = Some("https://auth.example.net/sso".into());
        raw.server.danger_shared_portal_origin = true;
    })
    .await;
    let answer = ask(&app, LOGOUT).navigation();
    let answer = answer.send_to_portal("/.portcullis/logout").await;
    assert_eq!(answer.location(), "https://auth.example.net/sso/logout");
}
