//! Who gets in behind a proxy, who does not, and how they are told.

use std::net::Ipv4Addr;

use super::{Program, Proxied, UNNAMED};
use crate::kit::ask::Ask;
use crate::kit::browser::Browser;
use crate::setup::{FILMS, NOTES, PORTAL};

pub async fn a_stranger_signs_in_and_comes_back(stack: &Proxied) {
    let browser = stack.browser();
    let url = stack.url(
        FILMS,
        "/page/a%2Fb%20c?x=1&y=%2F%3f+z&u=https://evil.example/",
    );
    let page = browser.ask(Ask::navigation(&url)).await.unwrap();
    assert_eq!(page.status, 302, "{}", page.body);
    let login = stack.url(PORTAL, "/login?");
    assert!(page.header("location").starts_with(&login));
    assert_eq!(page.header("cache-control"), "no-store");
    assert_eq!(page.header("referrer-policy"), "no-referrer");

    let page = browser.sign_in(&url, "ben").await.unwrap();
    let found = (page.status, page.url.as_str());
    assert_eq!(found, (200, url.as_str()), "{}", page.way());
    let seen = page.seen().expect("the app's own answer");
    assert_eq!(stack.url(FILMS, &seen.target), url, "byte for byte");
    for (name, value) in [
        ("remote-user", "ben"),
        ("remote-name", "Ben Okri"),
        ("remote-email", "ben@example.net"),
        ("remote-groups", "media"),
    ] {
        assert_eq!(seen.all(name), [value], "{name}");
    }
    assert_eq!(seen.all("cookie"), Vec::<&str>::new());
    let host = format!("{FILMS}:{}", stack.https_port);
    assert_eq!(seen.all("host"), [host]);
}

pub async fn programs_are_told_to_sign_in(stack: &Proxied) {
    let browser = stack.browser();
    let url = stack.url(FILMS, "/page");
    let asks = [
        Ask::fetch(&url),
        Ask::navigation(&url).form("a=b".to_owned()),
        Ask::navigation(&url).header("sec-purpose", "prefetch"),
    ];
    for ask in asks {
        let page = browser.ask(ask).await.unwrap();
        assert_eq!(page.status, 401, "{}", page.body);
        assert_eq!(page.header("www-authenticate"), "Bearer");
        assert!(!page.header("portcullis-decision").is_empty());
        assert_eq!(page.header("location"), "");
        assert_eq!(page.hops[0].set_cookies().count(), 0);
    }
    let page = browser.ask(Ask::fetch(&url)).await.unwrap();
    let problem = page.header("content-type");
    assert!(problem.starts_with("application/problem+json"), "{problem}");
    let problem: serde_json::Value = serde_json::from_str(&page.body).unwrap();
    assert_eq!(problem["reason"], "not_signed_in");
    assert_eq!(problem["decision"], page.header("portcullis-decision"));
}

pub async fn a_non_member_is_refused(stack: &Proxied) {
    let eve = stack.browser();
    let page = eve.sign_in(&stack.url(FILMS, "/"), "eve").await.unwrap();
    assert_eq!(page.status, 403, "{}\n{}", page.way(), page.body);
    let decision = page.header("portcullis-decision").to_owned();
    assert!(page.body.contains(&decision), "{}", page.body);
    let page = eve.ask(Ask::fetch(&stack.url(FILMS, "/"))).await.unwrap();
    assert_eq!(page.status, 403);
    assert!(page.body.contains("not_a_member"), "{}", page.body);
    // Ben is let in at one app and not at the other.
    let ben = stack.signed_in("ben", FILMS).await;
    let page = ben.navigate(&stack.url(NOTES, "/")).await.unwrap();
    assert_eq!((page.status, page.host()), (403, NOTES), "{}", page.way());
    let page = ben.navigate(&stack.url(UNNAMED, "/")).await.unwrap();
    assert_eq!((page.status, page.host()), (403, UNNAMED));
}

/// An address that the proxy saw opens what is for its network.
pub async fn a_network_is_known_by_the_client_s_address(stack: &Proxied) {
    let url = stack.url(FILMS, "/lan/x");
    let near = Browser::from_address(&stack.root, Ipv4Addr::new(127, 9, 0, 7)).unwrap();
    for ask in [
        Ask::fetch(&url),
        Ask::fetch(&url).header("X-Forwarded-For", "203.0.113.7"),
    ] {
        let page = near.ask(ask).await.unwrap();
        assert_eq!(page.status, 200, "{}", page.body);
    }
    let page = stack.browser().ask(Ask::fetch(&url)).await.unwrap();
    assert_eq!(page.status, 401);
}

pub async fn a_logout_at_the_host_ends_the_session(stack: &Proxied) {
    let browser = stack.signed_in("ada", FILMS).await;
    let page = browser.navigate(&stack.url(NOTES, "/")).await.unwrap();
    assert_eq!(page.status, 200, "{}", page.way());
    // Not by a foreign page.
    let logout = stack.url(FILMS, "/.portcullis/logout");
    let page = browser.ask(Ask::fetch(&logout)).await.unwrap();
    assert_eq!(page.header("location"), stack.url(PORTAL, "/logout"));
    let page = browser
        .ask(Ask::fetch(&stack.url(FILMS, "/")))
        .await
        .unwrap();
    assert_eq!(page.status, 200);

    let page = browser.navigate(&logout).await.unwrap();
    assert!(page.status < 400, "{}\n{}", page.way(), page.body);
    assert!(browser.cookie(&logout, "__Host-portcullis").is_none());
    for host in [FILMS, NOTES] {
        let page = browser
            .ask(Ask::fetch(&stack.url(host, "/")))
            .await
            .unwrap();
        assert_eq!(page.status, 401, "{host}");
    }
}

/// While nobody answers it, nobody gets in.
pub async fn without_us_nobody_gets_in(program: Program) {
    let mut stack = Proxied::start(program).await;
    let ben = stack.signed_in("ben", FILMS).await;
    stack.gate.running.stop();
    for path in ["/", "/api/x"] {
        let page = ben.ask(Ask::fetch(&stack.url(FILMS, path))).await.unwrap();
        assert!(page.status >= 500, "{path}: {}", page.status);
    }
}
