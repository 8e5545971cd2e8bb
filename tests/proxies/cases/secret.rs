//! `server.proxy_secret_file`: the service answers whoever shows it, and nobody else gets to see it.

use crate::kit::ask::Ask;
use crate::kit::page::Page;
use crate::rules::{FILMS, NOTES, OPEN, PORTAL, PROXY_SECRET, WIKI};
use crate::stack::Stack;

pub async fn the_secret_of_the_proxy(stack: &Stack) {
    nobody_sees_it(stack).await;
    nobody_is_answered_without_it(stack).await;
}

fn is_not_in(page: &Page) {
    for hop in &page.hops {
        assert!(!hop.body.contains(PROXY_SECRET), "{}", hop.url);
        let told = |value: &reqwest::header::HeaderValue| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            value.contains(PROXY_SECRET)
        };
        assert!(!hop.headers.values().any(told), "{}", hop.url);
    }
    assert!(!page.body.contains(PROXY_SECRET), "{}", page.url);
}

/// A whole login and logout, and what a stranger gets.
async fn nobody_sees_it(stack: &Stack) {
    let ben = stack.browser();
    let url = stack.url(FILMS, "/?shown");
    let page = stack.sign_in(&ben, &url, "ben").await;
    assert_eq!(page.host(), FILMS, "{}", page.way());
    is_not_in(&page);
    for host in [NOTES, OPEN, WIKI, PORTAL] {
        is_not_in(&ben.navigate(&stack.url(host, "/?shown")).await.unwrap());
    }
    let stranger = stack.browser();
    for (host, path) in [(FILMS, "/"), (FILMS, "/api/"), (OPEN, "/"), (WIKI, "/")] {
        let url = stack.url(host, &format!("{path}?shown"));
        is_not_in(&stranger.ask(Ask::fetch(&url)).await.unwrap());
        is_not_in(&stranger.ask(Ask::navigation(&url)).await.unwrap());
    }
    let url = stack.url(FILMS, "/.portcullis/logout");
    is_not_in(&ben.navigate(&url).await.unwrap());
    let reached = stack.reached("?shown");
    assert!(!reached.is_empty());
    for seen in reached {
        assert_eq!(seen.all("portcullis-proxy").concat(), "");
        super::lies::nothing_made_up(&seen, "shown");
    }
}

/// Asked as each kind of proxy asks, about what everybody may have.
async fn nobody_is_answered_without_it(stack: &Stack) {
    let at = stack.authority(FILMS);
    let told = "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: https\r\nConnection: close\r\n";
    let forward_auth =
        format!("X-Forwarded-Method: GET\r\nX-Forwarded-Host: {at}\r\nX-Forwarded-Uri: /api/x\r\n");
    let nginx =
        |path: &str| format!("X-Original-Method: GET\r\nX-Original-URL: https://{at}{path}\r\n");
    let questions = [
        (false, "/verify", forward_auth, "200"),
        (false, "/verify/nginx", nginx("/api/x"), "200"),
        (false, "/verify/envoy/api/x", String::new(), "200"),
        (
            true,
            "/.portcullis/logout",
            nginx("/.portcullis/logout"),
            "302",
        ),
    ];
    let shown = format!("Portcullis-Proxy: {PROXY_SECRET}\r\n");
    let begun = format!("Portcullis-Proxy: {}\r\n", &PROXY_SECRET[..20]);
    let spelt = format!("Portcullis_Proxy: {PROXY_SECRET}\r\n");
    for (portal, path, lines, expected) in questions {
        let head = |secret: &str| {
            format!("GET {path} HTTP/1.1\r\nHost: {at}\r\n{told}{lines}{secret}\r\n")
        };
        let answer = stack.ask_service(portal, &head(&shown)).await;
        let status = format!("HTTP/1.1 {expected} ");
        assert!(answer.starts_with(&status), "{path}: {answer}");
        for wrong in [
            "",
            "Portcullis-Proxy:\r\n",
            "Portcullis-Proxy: SECRET\r\n",
            &begun,
            &spelt,
            &shown.repeat(2),
        ] {
            let answer = stack.ask_service(portal, &head(wrong)).await;
            assert!(
                answer.starts_with("HTTP/1.1 403 "),
                "{path}, {wrong}: {answer}"
            );
            assert!(!answer.contains(PROXY_SECRET), "{path}: {answer}");
        }
    }
}
