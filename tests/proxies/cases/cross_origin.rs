//! Pages of other sites: their preflights, and what they write in a visitor's name.

use reqwest::Method;

use crate::kit::ask::Ask;
use crate::kit::cookies::FetchSite;
use crate::rules::{CORS, FILMS, FRIEND, FRIENDLY};
use crate::stack::Stack;

pub async fn preflights(stack: &Stack) {
    let stranger = stack.browser();
    let cases = [
        (FILMS, "https://evil.example", 401),
        (FILMS, FRIEND, 401),
        (CORS, "https://evil.example", 200),
        (FRIENDLY, "https://evil.example", 401),
        (FRIENDLY, FRIEND, 200),
    ];
    for (number, (host, origin, status)) in cases.into_iter().enumerate() {
        let mark = format!("/preflight-{number}");
        let ask = Ask::fetch(&stack.url(host, &mark))
            .method(Method::OPTIONS)
            .site(FetchSite::CrossSite)
            .header("Origin", origin)
            .header("Access-Control-Request-Method", "POST")
            .header("Access-Control-Request-Headers", "remote-user")
            .header("Remote-User", "root");
        let page = stranger.ask(ask).await.unwrap();
        assert_eq!(page.status, status, "{host}, {origin}: {}", page.body);
        // Whether it may is the app's to say, and never ours.
        assert_eq!(page.header("access-control-allow-origin"), "");
        let seen = stack.reached(&mark);
        assert_eq!(seen.len(), usize::from(status == 200), "{host}, {origin}");
        for seen in seen {
            assert_eq!(seen.method, "OPTIONS");
            assert_eq!(seen.all("remote-user").concat(), "");
        }
    }
    // Not everything with this method is one.
    for (host, header) in [
        (CORS, "Origin"),
        (CORS, "Access-Control-Request-Method"),
        (FRIENDLY, "Origin"),
    ] {
        let ask = Ask::fetch(&stack.url(host, "/no-preflight")).method(Method::OPTIONS);
        let page = stranger.ask(ask.header(header, FRIEND)).await.unwrap();
        assert_eq!(page.status, 401, "{host}, {header}: {}", page.body);
    }
    assert!(stack.reached("/no-preflight").is_empty());
}

pub async fn writes_across_sites(stack: &Stack) {
    let cases = [
        (FILMS, FetchSite::SameOrigin, None, 200),
        (
            FILMS,
            FetchSite::CrossSite,
            Some("https://evil.example"),
            403,
        ),
        (FILMS, FetchSite::SameSite, None, 403),
        (FRIENDLY, FetchSite::CrossSite, Some(FRIEND), 200),
        (
            FRIENDLY,
            FetchSite::CrossSite,
            Some("https://evil.example"),
            403,
        ),
    ];
    for (number, (host, site, origin, status)) in cases.into_iter().enumerate() {
        let ben = stack.as_user("ben", host).await;
        let mark = format!("/write-{number}");
        let mut ask = Ask::fetch(&stack.url(host, &mark)).form("a=b".to_owned());
        if let Some(origin) = origin {
            ask = ask.header("Origin", origin);
        }
        // The cookie goes along: where a browser would keep it back, the guard is not what is tried here.
        ask = ask.header("Cookie", &stack.cookie(&ben, host)).site(site);
        let page = ben.ask(ask).await.unwrap();
        assert_eq!(
            page.status, status,
            "{host}, {site:?}, {origin:?}: {}",
            page.body
        );
        let reached = stack.reached(&mark).len();
        assert_eq!(reached, usize::from(status == 200), "{host}, {site:?}");
    }
}
