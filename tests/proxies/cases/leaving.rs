//! Signing out, and what one session is worth on several hosts.

use crate::kit::ask::Ask;
use crate::rules::{FILMS, NOTES, PORTAL};
use crate::stack::Stack;

pub async fn logout(stack: &Stack) {
    let browser = stack.signed_in("ada", FILMS).await;
    let page = browser.navigate(&stack.url(NOTES, "/")).await.unwrap();
    assert_eq!(page.status, 200, "{}", page.way());
    // Not by a foreign page.
    let logout = stack.url(FILMS, "/.portcullis/logout");
    let page = browser.ask(Ask::fetch(&logout)).await.unwrap();
    assert_eq!(page.header("location"), stack.url(PORTAL, "/logout"));
    let page = browser.ask(Ask::fetch(&stack.url(FILMS, "/"))).await;
    assert_eq!(page.unwrap().status, 200);

    let old = [FILMS, NOTES].map(|host| (host, stack.cookie(&browser, host)));
    let page = browser.navigate(&logout).await.unwrap();
    assert!(page.status < 400, "{}\n{}", page.way(), page.body);
    assert!(browser.cookie(&logout, "__Host-portcullis").is_none());
    for (host, cookie) in old {
        let url = stack.url(host, "/?left");
        let page = browser.ask(Ask::fetch(&url)).await.unwrap();
        assert_eq!(page.status, 401, "{host}");
        // Nor for whoever has kept it.
        let ask = Ask::fetch(&url).header("Cookie", &cookie);
        let page = stack.browser().ask(ask).await.unwrap();
        assert_eq!(page.status, 401, "{host}: the old cookie");
    }
    assert!(stack.reached("?left").is_empty());
}

/// One login for hosts that share no domain, and a cookie for each of them that is worth nothing at the other.
pub async fn two_root_domains(stack: &Stack) {
    let ada = stack.signed_in("ada", FILMS).await;
    let url = stack.url(NOTES, "/page");
    let page = ada.navigate(&url).await.unwrap();
    assert_eq!(
        (page.status, page.url.as_str()),
        (200, &*url),
        "{}",
        page.way()
    );
    let asked = page.way().contains("/interaction/");
    assert!(!asked, "nobody is asked again: {}", page.way());
    assert_eq!(Stack::seen(&page).all("remote-user"), ["ada"]);
    let [films, notes] = [FILMS, NOTES].map(|host| stack.cookie(&ada, host));
    assert_ne!(films, notes);
    for (host, cookie) in [(FILMS, &notes), (NOTES, &films)] {
        let ask = Ask::fetch(&stack.url(host, "/?other-domain")).header("Cookie", cookie);
        let page = stack.browser().ask(ask).await.unwrap();
        assert_eq!(page.status, 401, "{host}");
    }
    assert!(stack.reached("?other-domain").is_empty());
}
