//! Who gets in, who does not, and how they are told.

use std::net::Ipv4Addr;

use crate::kit::ask::Ask;
use crate::kit::browser::Browser;
use crate::rules::{FILMS, KEY, NOTES, OPEN, PAPERS, PORTAL, UNNAMED, WIKI};
use crate::stack::Stack;

pub async fn a_member(stack: &Stack) {
    let ben = stack.as_user("ben", FILMS).await;
    let url = stack.url(FILMS, "/page?x=1&y=%2F");
    for ask in [Ask::navigation(&url), Ask::fetch(&url)] {
        let page = ben.ask(ask).await.unwrap();
        let seen = Stack::seen(&page);
        assert_eq!(stack.url(FILMS, &seen.target), url);
        for (name, value) in [
            ("remote-user", "ben"),
            ("remote-name", "Ben Okri"),
            ("remote-email", "ben@example.net"),
            ("remote-groups", "media"),
            ("host", &stack.authority(FILMS)),
        ] {
            assert_eq!(seen.all(name), [value], "{name}");
        }
        // What is between the proxy and us, and what is ours.
        for name in ["cookie", "portcullis-copy", "portcullis-key"] {
            assert_eq!(seen.all(name).concat(), "", "{name}");
        }
    }
}

pub async fn a_non_member(stack: &Stack) {
    let eve = stack.browser();
    let url = stack.url(FILMS, "/for-members");
    let page = stack.sign_in(&eve, &url, "eve").await;
    assert_eq!(page.status, 403, "{}\n{}", page.way(), page.body);
    let decision = page.header("portcullis-decision").to_owned();
    assert!(page.body.contains(&decision), "{}", page.body);
    let page = eve.ask(Ask::fetch(&url)).await.unwrap();
    assert_eq!(page.status, 403);
    assert!(page.body.contains("not_a_member"), "{}", page.body);
    assert!(stack.reached("/for-members").is_empty());
    // Ben is let in at one app and not at the other.
    let ben = stack.signed_in("ben", FILMS).await;
    let page = ben.navigate(&stack.url(NOTES, "/")).await.unwrap();
    assert_eq!((page.status, page.host()), (403, NOTES), "{}", page.way());
}

pub async fn a_host_without_a_service(stack: &Stack) {
    for browser in [stack.browser(), stack.as_user("ada", FILMS).await] {
        let page = browser.navigate(&stack.url(UNNAMED, "/no-service")).await;
        let page = page.unwrap();
        assert_eq!((page.status, page.host()), (403, UNNAMED));
    }
    assert!(stack.reached("/no-service").is_empty());
}

pub async fn a_stranger_navigates(stack: &Stack) {
    let page = stack.browser();
    let url = stack.url(FILMS, "/page?who=nobody");
    let page = page.ask(Ask::navigation(&url)).await.unwrap();
    assert_eq!(page.status, 302, "{}", page.body);
    let login = stack.url(PORTAL, "/login?");
    assert!(page.header("location").starts_with(&login));
    assert_eq!(page.header("cache-control"), "no-store");
    assert_eq!(page.header("referrer-policy"), "no-referrer");
    assert_eq!(page.hops[0].set_cookies().count(), 1);
    assert!(stack.reached("who=nobody").is_empty());
}

pub async fn a_stranger_fetches(stack: &Stack) {
    let browser = stack.browser();
    let url = stack.url(FILMS, "/page?what=fetch");
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
    assert!(stack.reached("what=fetch").is_empty());
}

pub async fn login_and_return(stack: &Stack) {
    let browser = stack.browser();
    let path = "/page/a%2Fb%20c?x=1&y=%2F%3f+z&u=https://evil.example/";
    let url = stack.url(FILMS, path);
    let page = stack.sign_in(&browser, &url, "ben").await;
    let found = (page.status, page.url.as_str());
    assert_eq!(found, (200, url.as_str()), "{}", page.way());
    let seen = Stack::seen(&page);
    assert_eq!(stack.url(FILMS, &seen.target), url, "byte for byte");
    assert_eq!(seen.all("remote-user"), ["ben"]);
    assert!(!page.body.contains("portcullis="), "{}", page.body);
}

/// What lets a request pass by its path names nobody, and lets nothing else pass.
pub async fn a_bypass(stack: &Stack) {
    for browser in [stack.browser(), stack.as_user("ben", FILMS).await] {
        let url = stack.url(FILMS, "/api/x?a=%2e%2e");
        let page = browser.ask(Ask::fetch(&url)).await.unwrap();
        let seen = Stack::seen(&page);
        assert_eq!(stack.url(FILMS, &seen.target), url);
        assert_eq!(seen.all("remote-user").concat(), "");
        assert_eq!(seen.all("cookie").concat(), "");
    }
    let stranger = stack.browser();
    for path in [
        "/api",
        "/api/..%2fadmin",
        "/api/%2e%2e/admin",
        "/api;/x",
        "/API/x",
    ] {
        let page = stranger.ask(Ask::fetch(&stack.url(FILMS, path))).await;
        assert_eq!(page.unwrap().status, 401, "{path}");
    }
    let page = stranger.ask(Ask::fetch(&stack.url(OPEN, "/"))).await;
    assert_eq!(page.unwrap().status, 200, "a service that is open");
}

/// An address that the proxy saw opens what is for its network.
pub async fn an_allowed_network(stack: &Stack) {
    let url = stack.url(FILMS, "/lan/x");
    let near = Browser::from_address(stack.root(), Ipv4Addr::new(127, 9, 0, 7)).unwrap();
    for ask in [
        Ask::fetch(&url),
        Ask::fetch(&url).header("X-Forwarded-For", "203.0.113.7"),
    ] {
        let page = near.ask(ask).await.unwrap();
        assert_eq!(Stack::seen(&page).all("remote-user").concat(), "");
    }
    let page = stack.browser().ask(Ask::fetch(&url)).await.unwrap();
    assert_eq!(page.status, 401);
}

pub async fn signed_in_or_not(stack: &Stack) {
    let url = stack.url(WIKI, "/");
    let page = stack.browser().ask(Ask::fetch(&url)).await.unwrap();
    assert_eq!(Stack::seen(&page).all("remote-user").concat(), "");
    // Nobody has to sign in there; who wants to does it below another path.
    let ben = stack.browser();
    let account = stack.url(WIKI, "/account/");
    let page = stack.sign_in(&ben, &account, "ben").await;
    assert_eq!(page.url.as_str(), account, "{}", page.way());
    let page = ben.ask(Ask::fetch(&url)).await.unwrap();
    assert_eq!(Stack::seen(&page).all("remote-user"), ["ben"]);
}

/// The app's key is put in for members, in the place of the client's; where there is none to put in, the client's own
/// arrives.
pub async fn a_key_for_the_app(stack: &Stack) {
    let own = "the-clients-own-key";
    let cases = [
        (PAPERS, "ben", "/", KEY, KEY),
        (FILMS, "ben", "/", own, ""),
        (FILMS, "", "/api/", own, ""),
        (WIKI, "", "/", own, ""),
    ];
    for (host, user, path, with, without) in cases {
        let browser = match user {
            "" => stack.browser(),
            _ => stack.as_user("ben", host).await,
        };
        for (sent, expected) in [(true, with), (false, without)] {
            let mark = format!("key-{host}-{}-{sent}", user.len());
            let ask = Ask::fetch(&stack.url(host, &format!("{path}?{mark}")));
            let ask = if sent {
                ask.header("x-api-key", own)
            } else {
                ask
            };
            let page = browser.ask(ask).await.unwrap();
            assert_eq!(page.status, 200, "{mark}: {}", page.body);
            let seen = &stack.reached(&mark)[0];
            assert_eq!(seen.all("x-api-key").concat(), expected, "{mark}");
            let text = format!("{:?} {}", page.headers, page.body);
            assert!(!text.contains(KEY), "{mark}: the browser sees it");
        }
    }
    let url = stack.url(PAPERS, "/?own-key-only");
    let ask = Ask::fetch(&url).header("x-api-key", KEY);
    let page = stack.browser().ask(ask).await.unwrap();
    assert_eq!(page.status, 401, "the app's key opens nothing here");
    assert!(!page.body.contains(KEY));
    assert!(stack.reached("own-key-only").is_empty());
}
