//! The dialect of Envoy's `ext_authz`: the original request behind `/verify/envoy`.

use portcullis::config::RawConfig;
use reqwest::Method;

use crate::support::app::{Ask, Proxy, TestApp, owned, spawn_app_with};
use crate::support::browser::Browser;

const FILMS: &str = "https://films.example.net/";
const PING: &str = "https://films.example.net/ping";

fn by_envoy(raw: &mut RawConfig) {
    raw.server.dialects = Some(owned(&["envoy"]));
}

fn ask<'a>(app: &'a TestApp, url: &str) -> Ask<'a> {
    app.ask_as(Proxy::Envoy, url)
}

#[actix_web::test]
#[rustfmt::skip] // the columns are the point
async fn a_description_that_is_not_whole_is_refused() {
    let app = spawn_app_with(by_envoy).await;
    for name in ["x-forwarded-proto", "x-forwarded-for"] {
        let answer = ask(&app, PING).without(name).send().await;
        assert_eq!((answer.status.as_u16(), answer.reason()), (400, "malformed_request".into()), "{name}");
    }
    let twice = ask(&app, PING).another("x-forwarded-proto", b"https").send().await;
    assert_eq!(twice.status, 400);
    let cases: [(&str, &[u8]); 11] = [
        ("x-forwarded-proto", b""),
        ("x-forwarded-proto", b"ftp"),
        ("x-forwarded-proto", b"https,http"),
        ("host",              b"films.example.net, evil.example"),
        ("host",              b"user@films.example.net"),
        ("host",              b"films.example.net:x"),
        ("host",              b"films%2eexample.net"),
        ("host",              b"films..example.net"),
        ("host",              b"films.example.net/x"),
        ("host",              b"\xff.example.net"),
        ("x-forwarded-for",   b"\xff"),
    ];
    for (name, value) in cases {
        let answer = ask(&app, PING).without(name).another(name, value).send().await;
        assert_eq!(answer.status, 400, "{name}: {value:?}");
    }
}

/// What no HTTP client would send.
#[actix_web::test]
#[rustfmt::skip] // the columns are the point
async fn the_target_is_read_as_it_came() {
    let app = spawn_app_with(by_envoy).await;
    let lines = "Host: films.example.net\r\nX-Forwarded-Proto: https\r\nX-Forwarded-For: 203.0.113.7\r\n";
    let cases = [
        ("GET /verify/envoy/ping",                        lines, "200"),
        ("GET /verify/envoy/ping?",                       lines, "200"),
        ("GET /verify/envoy/ping?policy=deny",            lines, "200"),
        ("PURGE /verify/envoy/ping",                      lines, "200"),
        ("GET /verify/envoy/",                            lines, "401"),
        ("GET /verify/envoy/feed/../admin",               lines, "401"),
        ("GET /verify/envoy/feed/%2e%2e/admin",           lines, "401"),
        ("GET /verify/envoy//ping",                       lines, "401"),
        ("GET /verify/envoy/x?/ping",                     lines, "401"),
        ("GET /verify/envoy/verify/envoy/ping",           lines, "401"),
        ("GET /verify/envoy/policy/bypass",               lines, "401"),
        ("GET /verify/envoy/.portcullis/x",               lines, "404"),
        ("GET /verify/envoy/x/../.portcullis/enter",      lines, "404"),
        // The prefix alone, another spelling of it, and none.
        ("GET /verify/envoy",                             lines, "400"),
        ("GET /verify/envoy?/ping",                       lines, "400"),
        ("GET /verify/%65nvoy/ping",                      lines, "400"),
        ("GET /verify/envoy*",                            lines, "404"),
        ("GET /verify/envoyping",                         lines, "404"),
        ("GET /VERIFY/envoy/ping",                        lines, "404"),
        ("GET //verify/envoy/ping",                       lines, "404"),
        ("GET /verify/envoy%2fping",                      lines, "404"),
        ("GET /verify/../verify/envoy/ping",              lines, "404"),
        ("OPTIONS *",                                     lines, "404"),
        // An absolute target has a host of its own.
        ("GET http://films.example.net/verify/envoy/ping", lines, "400"),
        // No host, and two.
        ("GET /verify/envoy/ping", "X-Forwarded-Proto: https\r\nX-Forwarded-For: 203.0.113.7\r\n", "400"),
        ("GET /verify/envoy/ping", "Host: films.example.net\r\nHost: films.example.net\r\nX-Forwarded-Proto: https\r\nX-Forwarded-For: 203.0.113.7\r\n", "400"),
    ];
    for (line, headers, expected) in cases {
        let request = format!("{line} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n");
        let answer = app.send_raw(request.as_bytes()).await;
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert_eq!(status, expected, "{line}: {answer}");
    }
}

#[actix_web::test]
async fn the_method_is_that_of_the_request() {
    let app = spawn_app_with(|raw| {
        by_envoy(raw);
        let films = raw.services.get_mut("films").expect("films");
        films.rules[0].methods = Some(owned(&["GET"]));
    })
    .await;
    for (method, expected) in [("GET", 200), ("POST", 401), ("HEAD", 401), ("get", 401)] {
        let by = Method::from_bytes(method.as_bytes()).expect("a method");
        let answer = ask(&app, PING).by(by);
        let answer = answer.header("x-forwarded-method", "GET").send().await;
        assert_eq!(answer.status.as_u16(), expected, "{method}");
    }
}

#[actix_web::test]
async fn a_stranger_is_sent_to_log_in_or_told_to() {
    let app = spawn_app_with(by_envoy).await;
    let url = "https://films.example.net/a?b=c%20d";
    let page = ask(&app, url).navigation().send().await;
    assert_eq!(page.status, 302);
    let expected =
        "https://auth.example.net/login?rd=https%3A%2F%2Ffilms.example.net%2Fa%3Fb%3Dc%2520d&f=";
    assert!(page.location().starts_with(expected), "{}", page.location());
    let script = ask(&app, url).fetch().send().await;
    assert_eq!(
        (script.status.as_u16(), script.reason()),
        (401, "not_signed_in".into())
    );
    for refused in [page, script] {
        let removed = "x-envoy-auth-headers-to-remove";
        assert!(!refused.headers.contains_key(removed), "{refused:?}");
    }
}

#[actix_web::test]
async fn what_is_empty_is_taken_away() {
    let app = spawn_app_with(by_envoy).await;
    let removed = "x-envoy-auth-headers-to-remove";
    let ping = ask(&app, PING).header("cookie", "__Host-portcullis=x");
    let ping = ping.header("remote-user", "admin").send().await;
    assert_eq!(ping.status, 200);
    let mut names: Vec<&str> = ping.header(removed).split(',').collect();
    names.sort_unstable();
    let all = [
        "cookie",
        "remote-email",
        "remote-groups",
        "remote-name",
        "remote-user",
    ];
    assert_eq!(names, all);
    // They are there, too, for whoever does not know that header.
    assert!(ping.headers.contains_key("remote-user"));

    app.issuer.sign_in_as("ben");
    let mut browser = Browser::new(&app).through(Proxy::Envoy);
    assert_eq!(browser.navigate(FILMS).await.end.status, 200);
    let answer = browser.ask(FILMS).fetch().send().await;
    assert_eq!(answer.header("remote-user"), "ben");
    assert_eq!(answer.header(removed), "cookie");
    browser.set_cookie("films.example.net", "theme", "dark");
    let answer = browser.ask(FILMS).fetch().send().await;
    assert_eq!(answer.header("cookie"), "theme=dark");
    assert_eq!(answer.header(removed), "");

    app.issuer.sign_in_as("eve");
    let mut browser = Browser::new(&app).through(Proxy::Envoy);
    let visit = browser.navigate(FILMS).await;
    assert_eq!((visit.end.status.as_u16(), visit.logins()), (403, 1));
}
