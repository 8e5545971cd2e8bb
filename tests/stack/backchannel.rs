//! The provider ends its session, and tells the service through the real Caddy: everything is over at once.

use crate::kit::ask::Ask;
use crate::kit::browser::Browser;
use crate::setup::{FILMS, ISSUER, NOTES, PORTAL, Stack};

async fn status_at(browser: &Browser, url: &str) -> u16 {
    browser.ask(Ask::fetch(url)).await.unwrap().status
}

#[tokio::test]
async fn a_logout_at_the_provider_ends_both_apps() {
    let stack = Stack::shared().await;
    let browser = stack.signed_in("ada", FILMS).await;
    let elsewhere = stack.signed_in("ada", FILMS).await;
    let (films, notes) = (stack.url(FILMS, "/"), stack.url(NOTES, "/"));
    browser.navigate(&notes).await.unwrap();
    let whoami = stack.url(PORTAL, "/whoami");
    for url in [&films, &notes, &whoami] {
        assert_eq!(status_at(&browser, url).await, 200, "{url}");
    }
    // Without a hint the provider asks, and then tells everybody.
    let question = browser
        .navigate(&stack.url(ISSUER, "/api/oidc/end-session"))
        .await
        .unwrap();
    assert_eq!(question.status, 200, "{}", question.body);
    for url in [&films, &notes] {
        assert_eq!(status_at(&browser, url).await, 200, "asking ends nothing");
    }
    let done = browser
        .submit(&question, &[("logout", "yes")])
        .await
        .unwrap();
    assert_eq!(done.status, 200, "{}\n{}", done.way(), done.body);
    for url in [&films, &notes, &whoami] {
        assert_eq!(status_at(&browser, url).await, 401, "{url}");
    }
    assert_eq!(
        status_at(&elsewhere, &films).await,
        200,
        "another session at the provider is another matter"
    );
    let again = browser.sign_in(&films, "ada").await.unwrap();
    assert_eq!(
        (again.host(), again.status),
        (FILMS, 200),
        "{}",
        again.way()
    );
}

/// Nothing is ended by what nobody has signed, whoever brings it to the public address.
#[tokio::test]
async fn a_stranger_ends_nothing() {
    let stack = Stack::shared().await;
    let browser = stack.signed_in("ben", FILMS).await;
    let url = stack.url(PORTAL, "/backchannel-logout");
    let id_token = stack.provider.issued().iter().find_map(|answer| {
        let token = answer.get("id_token")?.as_str()?;
        Some(token.to_owned())
    });
    let stranger = stack.browser();
    for token in [id_token.expect("somebody signed in"), "e30.e30.".to_owned()] {
        let form = format!("logout_token={token}");
        let page = stranger
            .ask(Ask::navigation(&url).form(form))
            .await
            .unwrap();
        assert_eq!(page.status, 400, "{}", page.body);
        assert_eq!(page.body, r#"{"error":"invalid_request"}"#);
        assert_eq!(page.header("cache-control"), "no-store");
    }
    assert_eq!(status_at(&browser, &stack.url(FILMS, "/")).await, 200);
}
