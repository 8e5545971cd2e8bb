//! Who gets in, who is sent to log in, and who is refused, through a real Caddy.

use serde_json::Value;

use crate::kit::ask::Ask;
use crate::kit::cookies::FetchSite;
use crate::kit::page::Page;
use crate::setup::{FILMS, MIXED, PORTAL, Stack, UNNAMED};

/// Sites with the same policy; a path each that some other directive of the site would serve.
const PLACES: [(&str, &str); 6] = [
    (FILMS, "/"),
    (FILMS, "/some/page?x=1"),
    (MIXED, "/"),
    (MIXED, "/handled/page"),
    (MIXED, "/stripped/page"),
    (MIXED, "/ping"),
];

fn identity_headers_of(page: &Page) -> Vec<String> {
    let names = page.headers.keys().map(ToString::to_string);
    names.filter(|name| name.starts_with("remote-")).collect()
}

#[tokio::test]
async fn a_stranger_who_navigates_is_sent_to_log_in() {
    let stack = Stack::shared().await;
    for (host, path) in PLACES {
        let url = stack.url(host, path);
        let page = stack.browser().ask(Ask::navigation(&url)).await.unwrap();
        assert_eq!(page.status, 302, "{url}: {}", page.body);
        let login = stack.url(PORTAL, "/login?");
        let location = page.header("location");
        assert!(location.starts_with(&login), "{url} leads to {location}");
        let target = url::Url::parse(location).unwrap();
        let rd = target
            .query_pairs()
            .find(|(name, _)| name == "rd")
            .map(|(_, value)| value);
        assert_eq!(rd.as_deref(), Some(url.as_str()));
        assert_eq!(page.header("cache-control"), "no-store", "{url}");
        assert!(!page.header("portcullis-decision").is_empty(), "{url}");
        let cookies: Vec<&str> = page.hops[0].set_cookies().collect();
        assert!(
            matches!(cookies[..], [flow] if flow.starts_with("__Host-portcullis-flow=")),
            "{url} sets {cookies:?}"
        );
    }
}

#[tokio::test]
async fn a_stranger_who_fetches_is_told_so_and_not_redirected() {
    let stack = Stack::shared().await;
    for (host, path) in PLACES {
        let url = stack.url(host, path);
        let page = stack.browser().ask(Ask::fetch(&url)).await.unwrap();
        assert_eq!(page.status, 401, "{url}: {}", page.body);
        assert_eq!(page.header("location"), "", "{url}");
        assert!(
            page.header("content-type")
                .starts_with("application/problem+json"),
            "{url}"
        );
        assert!(
            page.header("www-authenticate").starts_with("Bearer"),
            "{url}"
        );
        let problem: Value = serde_json::from_str(&page.body).unwrap();
        let login = problem["login_url"].as_str().unwrap_or_default();
        assert!(
            login.starts_with(&stack.url(PORTAL, "/login")),
            "{url}: {problem}"
        );
        assert_eq!(page.header("cache-control"), "no-store", "{url}");
    }
}

#[tokio::test]
async fn a_post_of_a_stranger_is_refused_as_a_page() {
    let stack = Stack::shared().await;
    let url = stack.url(FILMS, "/");
    let post = Ask::navigation(&url).method(reqwest::Method::POST);
    let page = stack.browser().ask(post).await.unwrap();
    assert_eq!(page.status, 401, "{}", page.body);
    assert!(page.header("content-type").starts_with("text/html"));
}

#[tokio::test]
async fn nothing_of_a_site_is_served_to_a_stranger() {
    let stack = Stack::shared().await;
    let mark = "nothing-for-strangers";
    for (host, path) in PLACES {
        let url = stack.url(host, &format!("{}?{mark}", path.trim_end_matches("?x=1")));
        for ask in [
            Ask::navigation(&url),
            Ask::fetch(&url),
            Ask::fetch(&url).method(reqwest::Method::POST),
            Ask::fetch(&url).method(reqwest::Method::OPTIONS),
        ] {
            let page = stack.browser().ask(ask).await.unwrap();
            assert!(!(200..300).contains(&page.status), "{url}: {}", page.body);
            assert!(!page.body.contains("from handle"), "{url}: {}", page.body);
            assert!(!page.body.contains("from respond"), "{url}: {}", page.body);
        }
    }
    assert_eq!(
        stack.films.requests_with(mark).len(),
        0,
        "the app was not even asked"
    );
}

#[tokio::test]
async fn a_member_gets_in_and_the_app_learns_who_it_is() {
    let stack = Stack::shared().await;
    #[rustfmt::skip] // the columns are the point
    let people = [
        ("ada", "Ada Lovelace", "ada@example.net", "admins"),
        ("ben", "Ben Okri",     "ben@example.net", "media"),
    ];
    for (user, name, email, groups) in people {
        for host in [FILMS, MIXED] {
            let browser = stack.signed_in(user, host).await;
            let url = stack.url(host, "/page");
            for ask in [Ask::navigation(&url), Ask::fetch(&url)] {
                let page = browser.ask(ask).await.unwrap();
                assert_eq!(page.status, 200, "{user} at {host}: {}", page.body);
                let seen = page.seen().expect("the app's own answer");
                assert_eq!(seen.target, "/page");
                assert_eq!(seen.all("remote-user"), [user]);
                assert_eq!(seen.all("remote-name"), [name]);
                assert_eq!(seen.all("remote-email"), [email]);
                assert_eq!(seen.all("remote-groups"), [groups]);
                assert_eq!(
                    identity_headers_of(&page),
                    [""; 0],
                    "none goes to the browser"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_member_gets_the_rest_of_a_mixed_site_too() {
    let stack = Stack::shared().await;
    let browser = stack.signed_in("ben", MIXED).await;
    let get = |path: &str| browser.ask(Ask::fetch(&stack.url(MIXED, path)));
    assert_eq!(get("/handled/page").await.unwrap().body, "from handle");
    assert_eq!(get("/ping").await.unwrap().body, "from respond");
    let stripped = get("/stripped/page")
        .await
        .unwrap()
        .seen()
        .expect("the app's own answer");
    assert_eq!(stripped.target, "/page");
    assert_eq!(stripped.all("remote-user"), ["ben"]);
}

#[tokio::test]
async fn whoever_is_no_member_is_refused_and_not_sent_to_log_in_again() {
    let stack = Stack::shared().await;
    for host in [FILMS, MIXED] {
        let browser = stack.signed_in("eve", host).await;
        let url = stack.url(host, "/");
        #[rustfmt::skip] // the columns are the point
        let cases = [
            (Ask::navigation(&url), "text/html"),
            (Ask::fetch(&url),      "application/problem+json"),
        ];
        for (ask, kind) in cases {
            let page = browser.ask(ask).await.unwrap();
            assert_eq!(page.status, 403, "{url}: {}", page.body);
            assert!(page.header("content-type").starts_with(kind), "{url}");
            assert_eq!(page.header("location"), "", "{url}");
            assert_eq!(page.header("cache-control"), "no-store", "{url}");
            assert_eq!(identity_headers_of(&page), [""; 0], "{url}");
            assert!(page.seen().is_none(), "{url}: the app was not asked");
        }
    }
}

#[tokio::test]
async fn only_what_a_person_looks_at_starts_a_login() {
    let stack = Stack::shared().await;
    let url = stack.url(FILMS, "/");
    let ask = |mode: &str, destination: &str| {
        Ask::navigation(&url)
            .header("sec-fetch-mode", mode)
            .header("sec-fetch-dest", destination)
    };
    #[rustfmt::skip] // the columns are the point
    let cases = [
        ("a page",           ask("navigate", "document"),                                302),
        ("a worker's page",  ask("navigate", "empty"),                                   302),
        ("its headers",      ask("navigate", "document").method(reqwest::Method::HEAD),  302),
        ("a prefetch",       ask("navigate", "document").header("sec-purpose", "prefetch"), 401),
        ("a picture",        ask("no-cors", "image"),                                    401),
        ("a manifest",       ask("cors", "manifest"),                                    401),
        ("a service worker", ask("same-origin", "serviceworker"),                        401),
        ("an event stream",  ask("cors", "empty").header("accept", "text/event-stream"), 401),
        ("a foreign frame",  ask("navigate", "iframe").site(FetchSite::CrossSite),       401),
    ];
    for (what, ask, expected) in cases {
        let page = stack.browser().ask(ask).await.unwrap();
        assert_eq!(page.status, expected, "{what}: {}", page.body);
        assert_eq!(
            page.header("location").is_empty(),
            expected != 302,
            "{what}"
        );
    }
}

#[tokio::test]
async fn a_websocket_of_a_stranger_is_refused_at_once() {
    let stack = Stack::shared().await;
    for host in [FILMS, MIXED] {
        let ask = Ask::fetch(&stack.url(host, "/socket"))
            .header("sec-fetch-mode", "websocket")
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
            .header("Origin", &stack.url(host, ""));
        let page = stack.browser().ask(ask).await.unwrap();
        assert_eq!(page.status, 401, "{}", page.body);
        assert_eq!(page.header("location"), "");
    }
}

#[tokio::test]
async fn a_host_that_no_service_names_is_refused_by_its_name() {
    let stack = Stack::shared().await;
    let ada = stack.signed_in("ada", FILMS).await;
    for browser in [&stack.browser(), &ada] {
        let url = stack.url(UNNAMED, "/unnamed");
        for ask in [Ask::navigation(&url), Ask::fetch(&url)] {
            let page = browser.ask(ask).await.unwrap();
            assert_eq!(page.status, 403, "{}", page.body);
            assert!(page.body.contains(UNNAMED), "{}", page.body);
        }
    }
    assert_eq!(stack.films.requests_with("/unnamed").len(), 0);
}
