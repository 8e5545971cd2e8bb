//! From the first click to the last logout, over several apps, through a real Caddy.

use crate::kit::ask::Ask;
use crate::kit::browser::Browser;
use crate::kit::cookies::FetchSite;
use crate::kit::page::{Hop, Page};
use crate::setup::{FILMS, ISSUER, NOTES, PORTAL, Stack};

fn asked_who_it_is(hops: &[Hop]) -> bool {
    hops.iter()
        .any(|hop| hop.url.path().starts_with("/interaction/"))
}

async fn status_at(browser: &Browser, url: &str) -> u16 {
    browser.ask(Ask::fetch(url)).await.unwrap().status
}

#[tokio::test]
async fn a_second_app_on_another_root_domain_needs_no_second_login() {
    let stack = Stack::shared().await;
    let browser = stack.signed_in("ada", FILMS).await;
    let url = stack.url(NOTES, "/second");
    assert_eq!(status_at(&browser, &url).await, 401, "no cookie for it yet");
    let page = browser.navigate(&url).await.unwrap();
    assert_eq!(
        (page.status, page.url.as_str()),
        (200, url.as_str()),
        "{}",
        page.way()
    );
    assert!(!asked_who_it_is(&page.hops), "{}", page.way());
    assert!(
        !page
            .hops
            .iter()
            .any(|hop| hop.url.host_str() == Some(ISSUER)),
        "the portal knows who it is:\n{}",
        page.way()
    );
    assert_eq!(page.seen().unwrap().all("remote-user"), ["ada"]);
}

#[tokio::test]
async fn the_cookie_of_one_host_is_refused_on_another() {
    let stack = Stack::shared().await;
    let browser = stack.signed_in("ada", FILMS).await;
    let name = "__Host-portcullis";
    let films = browser
        .cookie(&stack.url(FILMS, "/"), name)
        .expect("the host's own cookie");
    let sso = browser
        .cookie(&stack.url(PORTAL, "/"), "__Host-portcullis-sso")
        .expect("the portal's");
    let stranger = stack.browser();
    let ask = |host: &str, value: &str| {
        let cookie = format!("{name}={value}");
        stranger.ask(Ask::fetch(&stack.url(host, "/")).header("Cookie", &cookie))
    };
    assert_eq!(
        ask(FILMS, &films).await.unwrap().status,
        200,
        "it is good where it belongs"
    );
    assert_eq!(ask(NOTES, &films).await.unwrap().status, 401);
    assert_eq!(
        ask(FILMS, &sso).await.unwrap().status,
        401,
        "the portal's is good at the portal"
    );
    let whoami = |value: &str| {
        let cookie = format!("__Host-portcullis-sso={value}");
        stranger.ask(Ask::fetch(&stack.url(PORTAL, "/whoami")).header("Cookie", &cookie))
    };
    assert_eq!(whoami(&sso).await.unwrap().status, 200);
    assert_ne!(whoami(&films).await.unwrap().status, 200);
}

#[tokio::test]
async fn logout_at_one_app_ends_both() {
    let stack = Stack::shared().await;
    let browser = stack.signed_in("ada", FILMS).await;
    let (films, notes) = (stack.url(FILMS, "/"), stack.url(NOTES, "/"));
    browser.navigate(&notes).await.unwrap();
    // What a thief may have copied before.
    let stolen = |url: &str| {
        let value = browser
            .cookie(url, "__Host-portcullis")
            .expect("signed in here");
        format!("__Host-portcullis={value}")
    };
    let (films_cookie, notes_cookie) = (stolen(&films), stolen(&notes));
    for url in [&films, &notes] {
        assert_eq!(status_at(&browser, url).await, 200);
    }

    let out = browser
        .navigate(&stack.url(FILMS, "/.portcullis/logout"))
        .await
        .unwrap();
    assert_eq!(out.status, 200, "{}\n{}", out.way(), out.body);
    assert_eq!(
        (out.host(), out.url.path()),
        (PORTAL, "/signed-out"),
        "{}",
        out.way()
    );
    assert!(
        out.hops
            .iter()
            .any(|hop| hop.url.host_str() == Some(ISSUER)),
        "{}",
        out.way()
    );

    for url in [&films, &notes] {
        assert_eq!(status_at(&browser, url).await, 401);
    }
    let stranger = stack.browser();
    for (url, cookie) in [(&films, &films_cookie), (&notes, &notes_cookie)] {
        let page = stranger
            .ask(Ask::fetch(url).header("Cookie", cookie))
            .await
            .unwrap();
        assert_eq!(
            page.status, 401,
            "a copied cookie is worth nothing after logout"
        );
    }
    let again = browser.navigate(&films).await.unwrap();
    assert!(
        asked_who_it_is(&again.hops),
        "the provider asks again:\n{}",
        again.way()
    );
}

#[tokio::test]
async fn logout_at_the_portal_ends_the_apps() {
    let stack = Stack::shared().await;
    let browser = stack.signed_in("ben", FILMS).await;
    let films = stack.url(FILMS, "/");
    let question = browser
        .navigate(&stack.url(PORTAL, "/logout"))
        .await
        .unwrap();
    let out = if question.url.path() == "/logout" {
        assert_eq!(
            status_at(&browser, &films).await,
            200,
            "asking does not sign out"
        );
        browser.submit(&question, &[]).await.unwrap()
    } else {
        question
    };
    assert_eq!(
        (out.host(), out.url.path()),
        (PORTAL, "/signed-out"),
        "{}",
        out.way()
    );
    assert_eq!(status_at(&browser, &films).await, 401);
}

#[tokio::test]
async fn a_foreign_page_cannot_sign_anybody_out() {
    let stack = Stack::shared().await;
    let browser = stack.signed_in("ben", FILMS).await;
    let url = stack.url(FILMS, "/.portcullis/logout");
    let page = browser
        .ask(Ask::navigation(&url).site(FetchSite::CrossSite))
        .await
        .unwrap();
    assert_eq!(page.status, 302, "{}", page.body);
    assert_eq!(page.header("location"), stack.url(PORTAL, "/logout"));
    let image = Ask::fetch(&url)
        .header("sec-fetch-mode", "no-cors")
        .header("sec-fetch-dest", "image");
    let page = browser.ask(image.site(FetchSite::CrossSite)).await.unwrap();
    assert!(!(200..300).contains(&page.status), "{}", page.status);
    assert_eq!(status_at(&browser, &stack.url(FILMS, "/")).await, 200);
}

#[tokio::test]
async fn two_tabs_that_start_at_once_both_arrive() {
    let stack = Stack::shared().await;
    let browser = stack.browser();
    let (first, second) = (
        stack.url(FILMS, "/first"),
        stack.url(FILMS, "/second?tab=2"),
    );
    let (one, two) = tokio::join!(browser.navigate(&first), browser.navigate(&second));
    let (one, two) = (one.unwrap(), two.unwrap());
    for page in [&one, &two] {
        assert!(asked_who_it_is(&page.hops), "{}", page.way());
    }
    let arrived = |page: Page, url: String| {
        let browser = &browser;
        async move {
            let page = browser.submit(&page, &[("user", "ada")]).await.unwrap();
            assert_eq!(page.url.as_str(), url, "{}", page.way());
            assert_eq!(page.status, 200, "{}", page.way());
            assert_eq!(page.seen().unwrap().all("remote-user"), ["ada"]);
        }
    };
    arrived(one, first).await;
    arrived(two, second).await;
}

#[tokio::test]
async fn two_tabs_of_two_apps_that_run_side_by_side_both_arrive() {
    let stack = Stack::shared().await;
    let browser = stack.browser();
    browser
        .sign_in(&stack.url(FILMS, "/"), "ada")
        .await
        .unwrap();
    // The portal knows the user; both hosts lack a cookie.
    let other = stack.signed_in("ada", NOTES).await;
    let urls = [
        stack.url(FILMS, "/a"),
        stack.url(FILMS, "/b"),
        stack.url(FILMS, "/c"),
    ];
    let (a, b, c) = tokio::join!(
        other.navigate(&urls[0]),
        other.navigate(&urls[1]),
        other.navigate(&urls[2])
    );
    for (page, url) in [a, b, c].into_iter().zip(&urls) {
        let page = page.unwrap();
        assert_eq!(
            (page.status, page.url.as_str()),
            (200, url.as_str()),
            "{}",
            page.way()
        );
    }
}

#[tokio::test]
async fn a_browser_that_stores_no_cookies_ends_at_a_page_that_says_why() {
    let stack = Stack::shared().await;
    let browser = stack.browser_without_cookies_for(&[FILMS]);
    let page = browser
        .sign_in(&stack.url(FILMS, "/"), "ada")
        .await
        .unwrap();
    assert!(
        (400..500).contains(&page.status),
        "{}\n{}",
        page.way(),
        page.body
    );
    assert!(
        page.header("content-type").starts_with("text/html"),
        "{}",
        page.way()
    );
    assert!(page.body.to_lowercase().contains("cookie"), "{}", page.body);
    let visits = page.hops.iter().filter(|hop| hop.url.path() == "/").count();
    assert!(visits <= 4, "three hops are enough:\n{}", page.way());
}

#[tokio::test]
async fn a_browser_that_stores_no_cookies_of_the_portal_ends_at_a_page() {
    let stack = Stack::shared().await;
    let browser = stack.browser_without_cookies_for(&[PORTAL]);
    let page = browser
        .sign_in(&stack.url(FILMS, "/"), "ada")
        .await
        .unwrap();
    assert!(
        (400..500).contains(&page.status),
        "{}\n{}",
        page.way(),
        page.body
    );
    assert!(
        page.header("content-type").starts_with("text/html"),
        "{}",
        page.way()
    );
}

#[tokio::test]
async fn a_return_url_comes_back_byte_for_byte() {
    let stack = Stack::shared().await;
    let targets = [
        "/page?x=1&y=2",
        "/page?next=https%3A%2F%2Felsewhere.example%2F%3Fa%3Db&empty=&flag",
        "/a%20b/%C3%BC/%2F/c?q=a+b%20c;d=%e2%82%ac&q=%zz&rd=/x&f=1&ticket=2",
        "/~tilde/(paren)/'quote'/comma,semi;colon?[]={}|^%60",
        "/?",
    ];
    for target in targets {
        let browser = stack.browser();
        let page = browser
            .sign_in(&stack.url(FILMS, target), "ben")
            .await
            .unwrap();
        assert_eq!(page.status, 200, "{target}:\n{}\n{}", page.way(), page.body);
        assert_eq!(
            page.seen().unwrap().target,
            asked_for(&browser, FILMS),
            "{target}"
        );
    }
}

/// The first target that a browser asked of `host`, as it stood in the request.
fn asked_for(browser: &Browser, host: &str) -> String {
    let first = browser
        .history()
        .into_iter()
        .find(|hop| hop.url.host_str() == Some(host));
    let url = first.expect("it was asked").url;
    url[url::Position::BeforePath..url::Position::AfterQuery].to_owned()
}

#[tokio::test]
async fn what_lies_below_our_own_path_is_never_the_apps() {
    let stack = Stack::shared().await;
    let browser = stack.signed_in("ada", FILMS).await;
    for path in [
        "/.portcullis/",
        "/.portcullis/x",
        "/.portcullis/enter",
        "/.portcullis/enter?ticket=x",
    ] {
        let page = browser
            .ask(Ask::navigation(&stack.url(FILMS, path)))
            .await
            .unwrap();
        assert!(
            matches!(page.status, 302 | 404),
            "{path}: {} {}",
            page.status,
            page.body
        );
        assert!(page.seen().is_none(), "{path}");
    }
}
