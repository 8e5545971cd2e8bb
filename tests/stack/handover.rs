//! The way of a login from host to host, and what somebody could do with a piece of it.

use crate::kit::ask::Ask;
use crate::kit::browser::Browser;
use crate::kit::html;
use crate::kit::page::Hop;
use crate::setup::{FILMS, ISSUER, NOTES, PORTAL, Stack};

/// The first URL that a browser was at, below this path.
fn visited(browser: &Browser, host: &str, path: &str) -> String {
    let at = |hop: &Hop| hop.url.host_str() == Some(host) && hop.url.path() == path;
    let hop = browser.history().into_iter().find(at);
    hop.unwrap_or_else(|| panic!("never at {host}{path}"))
        .url
        .into()
}

fn gave_a_session(hop: &Hop) -> bool {
    let session = |line: &str| {
        line.strip_prefix("__Host-portcullis=")
            .is_some_and(|value| !value.starts_with(';'))
    };
    hop.set_cookies().any(session)
}

#[tokio::test]
async fn a_ticket_is_worth_nothing_in_another_browser() {
    let stack = Stack::shared().await;
    let ada = stack.signed_in("ada", FILMS).await;
    let ticket = visited(&ada, FILMS, "/.portcullis/enter");

    let stranger = stack.browser();
    let page = stranger.ask(Ask::navigation(&ticket)).await.unwrap();
    assert_eq!(page.status, 302, "{}", page.body);
    assert!(
        !gave_a_session(&page.hops[0]),
        "a copied ticket signs nobody in"
    );

    // A link that signs its victim in as somebody else: this browser is on its way in, too.
    let victim = stack.browser();
    victim
        .ask(Ask::navigation(&stack.url(FILMS, "/")))
        .await
        .unwrap();
    let page = victim.ask(Ask::navigation(&ticket)).await.unwrap();
    assert_eq!(page.status, 302, "{}", page.body);
    assert!(
        !gave_a_session(&page.hops[0]),
        "it is not the one that this browser asked for"
    );
}

#[tokio::test]
async fn a_ticket_is_good_once() {
    let stack = Stack::shared().await;
    let ada = stack.signed_in("ada", FILMS).await;
    let ticket = visited(&ada, FILMS, "/.portcullis/enter");
    let page = ada.ask(Ask::navigation(&ticket)).await.unwrap();
    assert_eq!(
        (page.status, page.header("location")),
        (302, &*stack.url(FILMS, "/"))
    );
    assert!(!gave_a_session(&page.hops[0]));
}

#[tokio::test]
async fn a_ticket_of_one_host_is_worth_nothing_on_another() {
    let stack = Stack::shared().await;
    let ada = stack.signed_in("ada", FILMS).await;
    let ticket = visited(&ada, FILMS, "/.portcullis/enter").replace(FILMS, NOTES);
    let page = ada.ask(Ask::navigation(&ticket)).await.unwrap();
    assert_eq!(page.status, 302, "{}", page.body);
    assert!(!gave_a_session(&page.hops[0]));
}

#[tokio::test]
async fn a_callback_is_worth_nothing_in_another_browser() {
    let stack = Stack::shared().await;
    let ada = stack.browser();
    let login = ada.navigate(&stack.url(FILMS, "/")).await.unwrap();
    assert_eq!(login.host(), ISSUER, "{}", login.way());
    // Signs in at the provider, and stops before the code is used.
    let mut next = ada
        .ask(Ask::navigation(login.url.as_str()).form("user=ada".to_owned()))
        .await
        .unwrap();
    let callback = loop {
        let location = next.url.join(next.header("location")).unwrap();
        if location.host_str() == Some(PORTAL) {
            break location;
        }
        next = ada.ask(Ask::navigation(location.as_str())).await.unwrap();
    };

    for host in [None, Some(FILMS)] {
        let victim = stack.browser();
        if let Some(host) = host {
            victim.navigate(&stack.url(host, "/")).await.unwrap();
        }
        let page = victim
            .ask(Ask::navigation(callback.as_str()))
            .await
            .unwrap();
        assert!(
            (400..500).contains(&page.status),
            "{}: {}",
            page.status,
            page.body
        );
        let portal = stack.url(PORTAL, "/");
        assert!(victim.cookie(&portal, "__Host-portcullis-sso").is_none());
    }
}

#[tokio::test]
async fn nobody_is_led_to_a_foreign_page() {
    let stack = Stack::shared().await;
    let browser = stack.signed_in("ada", FILMS).await;
    let films = stack.url(FILMS, "");
    let targets = [
        "https://elsewhere.example/".to_owned(),
        "//elsewhere.example/".to_owned(),
        "/\\elsewhere.example/".to_owned(),
        "https:elsewhere.example".to_owned(),
        "javascript:alert(1)".to_owned(),
        format!("{films}@elsewhere.example/"),
        format!("{films}.elsewhere.example/"),
        format!("https://{FILMS}:1/"),
        format!("http://{FILMS}/"),
        format!("{films}/.portcullis/logout"),
        stack.url(PORTAL, "/logout"),
        stack.url(ISSUER, "/authorize"),
    ];
    for target in targets {
        let mut login = url::Url::parse(&stack.url(PORTAL, "/login")).unwrap();
        login.query_pairs_mut().append_pair("rd", &target);
        let page = browser.navigate(login.as_str()).await.unwrap();
        let place = (page.host(), page.url.path());
        assert_eq!(
            place,
            (PORTAL, "/"),
            "rd={target} leads to:\n{}",
            page.way()
        );
        assert_eq!(page.status, 200, "rd={target}: {}", page.body);
    }
    // One of ours is honoured, even without a proof of where it comes from.
    let mut login = url::Url::parse(&stack.url(PORTAL, "/login")).unwrap();
    login
        .query_pairs_mut()
        .append_pair("rd", &format!("{films}/page"));
    let page = browser.navigate(login.as_str()).await.unwrap();
    assert_eq!(page.url.as_str(), format!("{films}/page"), "{}", page.way());
}

#[tokio::test]
async fn a_return_url_too_long_for_a_cookie_loses_its_query() {
    let stack = Stack::shared().await;
    for length in [2_500, 12_000] {
        let browser = stack.browser();
        let url = stack.url(FILMS, &format!("/long?q={}", "x".repeat(length)));
        let told = browser.navigate(&url).await.unwrap();
        assert_eq!(
            (told.status, told.host()),
            (200, PORTAL),
            "it says so: {}",
            told.body
        );
        let link = html::link(&told.body, "Go on").expect("a way on");
        let page = browser.sign_in(&link, "ben").await.unwrap();
        assert_eq!(
            page.url.as_str(),
            stack.url(FILMS, "/long"),
            "{}",
            page.way()
        );
        assert_eq!(page.status, 200, "{}", page.way());
    }
}

#[tokio::test]
async fn a_url_beyond_all_bounds_is_refused_in_a_sentence() {
    let stack = Stack::shared().await;
    let browser = stack.browser();
    let url = stack.url(FILMS, &format!("/long?q={}", "x".repeat(20_000)));
    let page = browser.navigate(&url).await.unwrap();
    assert_eq!((page.status, page.host()), (400, FILMS), "{}", page.body);
    assert!(
        page.body.contains("longer than 16384 bytes"),
        "{}",
        page.body
    );
}

#[tokio::test]
async fn a_new_login_is_a_new_session_and_the_old_one_is_over() {
    let stack = Stack::shared().await;
    let (films, portal) = (stack.url(FILMS, "/"), stack.url(PORTAL, "/"));
    let browser = stack.signed_in("ada", FILMS).await;
    let cookie = |url: &str, name: &str| browser.cookie(url, name).expect("signed in");
    let before = (
        cookie(&films, "__Host-portcullis"),
        cookie(&portal, "__Host-portcullis-sso"),
    );
    browser
        .navigate(&stack.url(FILMS, "/.portcullis/logout"))
        .await
        .unwrap();
    browser.sign_in(&films, "ada").await.unwrap();
    let after = (
        cookie(&films, "__Host-portcullis"),
        cookie(&portal, "__Host-portcullis-sso"),
    );
    assert_ne!(before.0, after.0);
    assert_ne!(before.1, after.1);
    let old = format!("__Host-portcullis={}", before.0);
    let page = stack
        .browser()
        .ask(Ask::fetch(&films).header("Cookie", &old))
        .await
        .unwrap();
    assert_eq!(page.status, 401);
}
