//! What the proxy must tell: each `X-Forwarded-*` once and readable, else 400.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use crate::kit::ask::Ask;
use crate::kit::gate::plain_client;
use crate::setup::{BROKEN, FILMS, MISTOLD, Stack};

/// What Caddy sends for a fetch of `/page`, without what has nothing to do with it.
fn as_caddy_sends_it() -> Vec<(&'static str, &'static str)> {
    vec![
        ("x-forwarded-method", "GET"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", FILMS),
        ("x-forwarded-uri", "/page"),
        ("x-forwarded-for", "192.0.2.7"),
        ("sec-fetch-mode", "cors"),
        ("sec-fetch-site", "same-origin"),
        ("sec-fetch-dest", "empty"),
    ]
}

async fn status_of(stack: &Stack, headers: &[(&str, &str)]) -> u16 {
    let mut lines = HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        lines.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    let url = format!("http://127.0.0.1:{}/verify", stack.gate.ports.verify);
    let answer = plain_client()
        .unwrap()
        .get(url)
        .headers(lines)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.headers()["cache-control"], "no-store", "{headers:?}");
    answer.status().as_u16()
}

#[tokio::test]
async fn a_whole_set_of_headers_is_understood() {
    let stack = Stack::shared().await;
    assert_eq!(status_of(stack, &as_caddy_sends_it()).await, 401);
}

#[tokio::test]
async fn a_header_that_is_missing_is_400() {
    let stack = Stack::shared().await;
    for what in ["method", "proto", "host", "uri", "for"] {
        let name = format!("x-forwarded-{what}");
        let mut headers = as_caddy_sends_it();
        headers.retain(|(have, _)| *have != name);
        assert_eq!(status_of(stack, &headers).await, 400, "without {name}");
    }
}

#[tokio::test]
async fn a_header_that_comes_twice_is_400() {
    let stack = Stack::shared().await;
    for (name, value) in as_caddy_sends_it().into_iter().take(4) {
        let mut headers = as_caddy_sends_it();
        headers.push((name, value));
        assert_eq!(status_of(stack, &headers).await, 400, "{name} twice");
    }
    // Each proxy of a chain may write a line of its own.
    let mut headers = as_caddy_sends_it();
    headers.push(("x-forwarded-for", "198.51.100.9"));
    assert_eq!(status_of(stack, &headers).await, 401);
}

#[tokio::test]
async fn a_header_that_cannot_be_read_is_400() {
    let stack = Stack::shared().await;
    #[rustfmt::skip] // the columns are the point
    let cases: [(&str, &[&str]); 4] = [
        ("x-forwarded-method", &["", "GET POST", "G@T", "GET,POST"]),
        ("x-forwarded-proto",  &["", "gopher", "https,http", "https://", "https http"]),
        ("x-forwarded-host",   &["", " ", "a b", "ada@films.home.localhost", "films%2ehome.localhost",
                                 "films.home.localhost,notes.work.localhost", "films.home.localhost/x",
                                 "films.home.localhost:port", "films.home.localhost:99999"]),
        ("x-forwarded-uri",    &["", "page", "/page#top", "https//x"]),
    ];
    for (name, values) in cases {
        for value in values {
            let mut headers = as_caddy_sends_it();
            headers.retain(|(have, _)| *have != name);
            headers.push((name, value));
            assert_eq!(status_of(stack, &headers).await, 400, "{name}: {value:?}");
        }
    }
}

#[tokio::test]
async fn an_unreadable_client_address_is_an_unknown_client_and_no_more() {
    let stack = Stack::shared().await;
    for value in ["a", "unknown", "192.0.2.7, ,", "999.1.1.1"] {
        let mut headers = as_caddy_sends_it();
        headers.retain(|(have, _)| *have != "x-forwarded-for");
        headers.push(("x-forwarded-for", value));
        assert_eq!(status_of(stack, &headers).await, 401, "{value:?}");
    }
}

#[tokio::test]
async fn a_caddy_that_leaves_one_out_or_writes_nonsense_lets_nobody_in() {
    let stack = Stack::shared().await;
    let browser = stack.signed_in("ada", FILMS).await;
    for (path, change) in MISTOLD.iter().filter(|(path, _)| *path != "/plain-http") {
        let url = stack.url(BROKEN, &format!("{path}/page"));
        let page = browser.ask(Ask::navigation(&url)).await.unwrap();
        assert_eq!(page.status, 400, "{change}: {}", page.body);
        assert!(page.seen().is_none(), "{change}");
    }
    assert_eq!(stack.films.requests_with("/malformed/").len(), 0);
}

#[tokio::test]
async fn a_host_asked_over_http_never_starts_a_login() {
    let stack = Stack::shared().await;
    let url = stack.url(BROKEN, "/plain-http/page");
    let page = stack.browser().ask(Ask::navigation(&url)).await.unwrap();
    assert!(
        (400..500).contains(&page.status),
        "{} {}",
        page.status,
        page.body
    );
    assert_eq!(page.header("location"), "");
    assert!(page.header("content-type").starts_with("text/html"));
    assert!(
        page.body.contains("https"),
        "it names the cause: {}",
        page.body
    );
}
