//! Whatever strangers send: a plain refusal, no 2xx, no 5xx, and nothing that grows.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::StreamExt;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use reqwest::Method;

use crate::support::app::{TestApp, answer, spawn_app};
use crate::support::browser::Browser;

const COOKIES: usize = 100_000;

/// Values that look more or less like one of ours.
fn cookie_values(real: String) -> impl Strategy<Value = String> {
    let length = real.len();
    let changed = (0..length, "[A-Za-z0-9_-]").prop_map(move |(at, with)| {
        let mut value = real.clone();
        value.replace_range(at..=at, &with);
        value
    });
    prop_oneof![
        "[!-:<-~]{0,200}",
        "[A-Za-z0-9_-]{86}",
        "[A-Za-z0-9_-]{43}",
        proptest::array::uniform32(any::<u8>()).prop_map(|bytes| URL_SAFE_NO_PAD.encode(bytes)),
        "[\\x20-\\x7e]{0,300}",
        changed,
    ]
}

#[actix_web::test]
async fn no_random_cookie_opens_anything_or_breaks_anything() {
    let app = Arc::new(spawn_app().await);
    let mut browser = Browser::new(&app);
    browser.navigate("https://films.example.net/").await;
    let name = "__Host-portcullis";
    let real = browser
        .cookie("films.example.net", name)
        .expect("a cookie")
        .to_owned();
    let strategy = cookie_values(real.clone());
    let mut runner = TestRunner::deterministic();
    let values = (0..COOKIES).map(|n| {
        let value = strategy.new_tree(&mut runner).expect("a value").current();
        (n, value)
    });
    let asks = values
        .filter(|(_, value)| *value != real)
        .map(|(n, value)| {
            let (app, names) = (&app, ["", "-flow", "-sso", "-login-abcdefgh"]);
            let line = format!(
                "a=1; {name}{}={value}; {name}={value}",
                names[n % names.len()]
            );
            async move {
                let answer = if n % 10 == 0 {
                    answer(app.portal(Method::GET, "/whoami").header("cookie", line)).await
                } else {
                    app.ask("https://films.example.net/")
                        .fetch()
                        .header("cookie", &line)
                        .send()
                        .await
                };
                assert_eq!(answer.status, 401, "{value:?}");
            }
        });
    futures_util::stream::iter(asks)
        .buffer_unordered(32)
        .collect::<()>()
        .await;
    // Nobody was harmed.
    assert_eq!(
        browser
            .ask("https://films.example.net/")
            .fetch()
            .send()
            .await
            .status,
        200
    );
}

#[actix_web::test]
#[rustfmt::skip] // the columns are the point
async fn malformed_requests_to_the_portal_are_refused_in_plain_words() {
    let app = spawn_app().await;
    let long = format!("/callback?state={}&code={}", "s".repeat(9_000), "c".repeat(9_000));
    let cases = [
        (Method::GET,    "/callback",                                   400),
        (Method::GET,    "/callback?state=&code=",                      400),
        (Method::GET,    "/callback?state=x&code=y",                    400),
        (Method::GET,    "/callback?state=x&state=y&code=z",            400),
        (Method::GET,    "/callback?error=access_denied",               400),
        (Method::GET,    "/callback?state=%ff%fe&code=%00",             400),
        (Method::GET,    "/callback?state=ääääääää&code=x",             400),
        (Method::GET,    "/callback?%",                                 400),
        (Method::GET,    long.as_str(),                                 400),
        (Method::POST,   "/callback",                                   405),
        (Method::POST,   "/login",                                      405),
        (Method::DELETE, "/logout",                                     405),
        (Method::GET,    "/nothing",                                    404),
        (Method::GET,    "/verify",                                     404),
        (Method::GET,    "/../../etc/passwd",                           404),
        (Method::GET,    "/.portcullis/enter?ticket=x",                 404),
    ];
    for (method, path, status) in cases {
        let answer = answer(app.portal(method, path)).await;
        assert_eq!(answer.status.as_u16(), status, "{path}");
        assert!(!answer.headers.contains_key("set-cookie"), "{path}");
    }
}

async fn statuses(app: &TestApp, path: &str, from: &str, times: usize) -> Vec<u16> {
    let mut found = Vec::new();
    for _ in 0..times {
        let request = app
            .portal(Method::GET, path)
            .header("x-forwarded-for", from);
        found.push(answer(request).await.status.as_u16());
    }
    found
}

#[actix_web::test]
async fn logins_are_limited_by_address_and_checks_are_not() {
    let app = spawn_app().await;
    let asked = statuses(&app, "/callback?state=x&code=y", "198.51.100.1", 150).await;
    assert!(asked.contains(&429), "{asked:?}");
    assert!(asked.iter().all(|status| [400, 429].contains(status)));
    for _ in 0..150 {
        let ping = app
            .ask("https://films.example.net/ping")
            .header("x-forwarded-for", "198.51.100.1");
        assert_eq!(ping.send().await.status, 200);
    }
}
