//! Faults that other gates have had, as far as the tests of the flows do not meet them on their way.
//! docs/security-cases.md lists them all.

use std::os::unix::fs::PermissionsExt;

use futures_util::StreamExt;
use reqwest::Method;

use crate::support::app::{answer, spawn_app, spawn_app_with};
use crate::support::browser::Browser;

const FILMS: &str = "https://films.example.net/";
const LAB: &str = "https://a.lab.example.org/";
const PORTAL: &str = "auth.example.net";

/// What the proxy says about the host is in `X-Forwarded-Host`; its own request has a `Host` too, which with some
/// proxies is the client's.
#[actix_web::test]
async fn the_host_of_the_question_is_not_the_one_that_is_asked_about() {
    let app = spawn_app().await;
    let ping = "https://films.example.net/ping";
    for host in ["films.example.net", "unknown.example.net", ""] {
        let answer = app.ask(ping).header("host", host).send().await;
        assert_eq!(answer.status, 200, "{host:?}");
        let unknown = app.ask("https://unknown.example.net/ping");
        let answer = unknown.header("host", host).send().await;
        assert_eq!(
            (answer.status.as_u16(), answer.reason()),
            (403, "unknown_host".into()),
            "{host:?}"
        );
        let without = app.ask(ping).without("x-forwarded-host");
        assert_eq!(without.header("host", host).send().await.status, 400);
    }
}

/// Addresses of our own come from `public_url`, whatever the portal is called in a request.
#[actix_web::test]
async fn no_address_of_ours_is_taken_from_a_request() {
    let app = spawn_app().await;
    for path in ["/login", "/login?rd=https%3A%2F%2Ffilms.example.net%2F"] {
        let request = app
            .portal(Method::GET, path)
            .header("x-forwarded-host", "evil.example")
            .header("x-forwarded-proto", "http")
            .header("x-forwarded-port", "81")
            .header("x-forwarded-prefix", "/evil")
            .header("x-original-url", "https://evil.example/")
            .header("forwarded", "host=evil.example;proto=http");
        let answer = answer(request).await;
        assert_eq!(answer.status, 302, "{path}: {}", answer.body);
        let sent_to = answer.location();
        assert!(sent_to.starts_with(app.issuer.issuer()), "{sent_to}");
        let redirect_uri = "redirect_uri=https%3A%2F%2Fauth.example.net%2Fcallback";
        assert!(sent_to.contains(redirect_uri), "{sent_to}");
        let head = format!("{:?}", answer.headers);
        assert!(!head.contains("evil"), "{head}");
    }
}

/// Many people at once: nobody is told to an app as somebody else, and no stranger as anybody.
#[actix_web::test]
async fn identities_of_requests_at_the_same_time_are_not_mixed_up() {
    let app = spawn_app().await;
    let mut browsers = Vec::new();
    for user in ["ada", "ben", "eve"] {
        app.issuer.sign_in_as(user);
        let mut browser = Browser::new(&app);
        let visit = browser.navigate(LAB).await;
        assert_eq!(visit.end.status, 200, "{user}");
        browsers.push((user, browser));
    }
    let stranger = Browser::new(&app);
    let who = |n: usize| match browsers.get(n % 4) {
        Some((user, browser)) => (Some(*user), browser),
        None => (None, &stranger),
    };
    let asks = (0..400).map(|n| async move {
        let (user, browser) = who(n);
        let answer = browser.ask(LAB).fetch().send().await;
        match user {
            Some(user) => assert_eq!(answer.header("remote-user"), user, "request {n}"),
            None => assert_eq!(answer.status, 401, "request {n}"),
        }
    });
    futures_util::stream::iter(asks)
        .buffer_unordered(40)
        .collect::<()>()
        .await;
}

/// Where nothing is asked either, the app gets no cookie that opens another one.
#[actix_web::test]
async fn our_cookies_are_kept_from_a_bypassed_app_too() {
    let app = spawn_app().await;
    let ask = app.ask("https://films.example.net/ping");
    let sent = "__Host-portcullis=x;a=1;__Secure-portcullis=y;__Host-portcullis-sso=z; b=2";
    let answer = ask.header("cookie", sent).send().await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("cookie")),
        (200, "a=1; b=2")
    );
}

/// A claim can hold anything; a header cannot.
#[actix_web::test]
async fn a_claim_that_would_break_a_line_is_not_sent_and_breaks_nothing() {
    let app = spawn_app().await;
    for end in [
        "\r\nRemote-User: root",
        "\n",
        "\r",
        "\0",
        "\u{7f}",
        "\u{85}\n",
    ] {
        app.issuer.behave(move |behaviour| {
            behaviour.edit_claims = Box::new(move |claims| {
                claims["name"] = format!("Ada{end}").into();
                claims["groups"] = serde_json::json!(["media", format!("admins{end}")]);
            });
        });
        app.issuer.sign_in_as("ada");
        let mut browser = Browser::new(&app);
        browser.navigate(FILMS).await;
        let answer = browser.ask(FILMS).fetch().send().await;
        assert_eq!(answer.status, 200, "{end:?}: {}", answer.body);
        for (name, expected) in [
            ("remote-user", "ada"),
            ("remote-name", ""),
            ("remote-groups", "media"),
        ] {
            let lines = answer.headers.get_all(name).iter().count();
            assert_eq!((lines, answer.header(name)), (1, expected), "{end:?}");
        }
    }
}

/// The address to return to is held against the services once more at the end: a replica, or the same service
/// after a restart, may know others.
#[actix_web::test]
async fn an_address_that_is_not_protected_any_more_is_not_gone_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let secret = folder.path().join("session_secret");
    std::fs::write(&secret, "c2VjcmV0IG9mIHR3byByZXBsaWNhcywgMzIgYnl0ZXM\n").expect("a file");
    let only_owner = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&secret, only_owner).expect("a changed mode");
    let first = spawn_app_with(|raw| raw.session.secret_file = Some(secret.clone())).await;
    let issuer = first.issuer.issuer().to_owned();
    let second = spawn_app_with(|raw| {
        raw.session.secret_file = Some(secret.clone());
        raw.oidc.issuer = Some(issuer);
        raw.services.remove("films");
    })
    .await;
    for (app, expected) in [
        (
            &first,
            "https://films.example.net/.portcullis/enter?ticket=",
        ),
        (&second, "https://auth.example.net/"),
    ] {
        first.issuer.sign_in_as("ben");
        let mut browser = Browser::new(&first);
        let login = browser.open(FILMS).await;
        let provider = browser.open(login.location()).await;
        let back = browser.open(provider.location()).await;
        let callback = url::Url::parse(back.location()).expect("a URL");
        let path = &callback[url::Position::BeforePath..url::Position::AfterQuery];
        let request = app.portal(Method::GET, path);
        let end = answer(request.header("cookie", browser.cookie_header(PORTAL))).await;
        assert_eq!(end.status, 302, "{}", end.body);
        assert!(end.location().starts_with(expected), "{}", end.location());
        assert!(end.header("set-cookie").starts_with("__Host-portcullis"));
    }
}
