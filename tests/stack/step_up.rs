//! Signing in again, with the real provider, which is asked by `max_age` and `prompt=login`.

use serde_json::Value;
use url::Url;

use crate::chain::{Chain, POLICIES, Plan};
use crate::chromium::{Chromium, arrive, find, press, text};
use crate::kit::ask::Ask;
use crate::kit::page::Page;
use crate::kit::{Failure, Result};

const FILMS: &str = "films.home.localhost";
const NOTES: &str = "notes.home.localhost";
const DANGER: &str = "/danger/wipe?all=1&x=%2F%3f+z";

async fn start() -> Chain {
    let rules = format!(
        r#"{POLICIES}
danger = {{ allowed_groups = ["admins"], max_auth_age = "15m", amr = ["phr"] }}
impossible = {{ amr = ["retina"] }}

[services.films]
host = "{FILMS}"
policy = "media"
[[services.films.rules]]
paths = ["/danger/*"]
policy = "danger"
[[services.films.rules]]
paths = ["/impossible/*"]
policy = "impossible"

[services.notes]
host = "{NOTES}"
policy = "media"
"#
    );
    Chain::start(&Plan {
        rules: &rules,
        protected: &[FILMS, NOTES],
        ..Plan::default()
    })
    .await
    .unwrap()
}

fn asked_of_the_provider(page: &Page, name: &str) -> Option<String> {
    let urls: Vec<&Url> = page.hops.iter().map(|hop| &hop.url).collect();
    let request = urls.iter().find(|url| url.path() == "/authorize")?;
    let mut pairs = request.query_pairs();
    pairs.find_map(|(found, value)| (found == name).then(|| value.into_owned()))
}

fn is_the_providers(page: &Page) -> bool {
    page.url.path().starts_with("/interaction/")
}

#[tokio::test]
async fn the_real_provider_asks_again_and_the_page_is_there_byte_for_byte() {
    let chain = start().await;
    let browser = chain.browser();
    let login = browser.navigate(&chain.url(FILMS, "/")).await.unwrap();
    let by_code = [("user", "ada"), ("method", "otp")];
    let page = browser.submit(&login, &by_code).await.unwrap();
    assert_eq!(page.status, 200, "{}", page.way());
    browser.navigate(&chain.url(NOTES, "/")).await.unwrap();

    let fetched = browser.ask(Ask::fetch(&chain.url(FILMS, DANGER))).await;
    let fetched = fetched.unwrap();
    let challenge = fetched.header("www-authenticate");
    assert_eq!(fetched.status, 401);
    assert!(
        challenge.contains("insufficient_user_authentication"),
        "{challenge}"
    );
    assert!(challenge.ends_with("max_age=\"900\""), "{challenge}");
    let problem: Value = serde_json::from_str(&fetched.body).unwrap();
    assert_eq!(problem["reason"], "auth_method");

    // The provider knows who it is, and asks all the same.
    let url = chain.url(FILMS, DANGER);
    let login = browser.navigate(&url).await.unwrap();
    assert!(is_the_providers(&login), "{}", login.way());
    assert_eq!(
        asked_of_the_provider(&login, "max_age").as_deref(),
        Some("900")
    );
    assert_eq!(
        asked_of_the_provider(&login, "prompt").as_deref(),
        Some("login")
    );
    // By a code again: a page says so, and nobody is signed out.
    let page = browser.submit(&login, &by_code).await.unwrap();
    assert_eq!(page.status, 403, "{}", page.way());
    assert!(
        page.body.contains("Signing in again was not enough"),
        "{}",
        page.body
    );
    assert_eq!(
        browser
            .navigate(&chain.url(FILMS, "/"))
            .await
            .unwrap()
            .status,
        200
    );
    let page = browser.navigate(&url).await.unwrap();
    assert_eq!((page.status, page.hops.len()), (403, 1), "{}", page.way());

    // "Sign in again" on that page, by a passkey now.
    let link = login_link(&page);
    let login = browser.navigate(&link).await.unwrap();
    assert!(is_the_providers(&login), "{}", login.way());
    let page = browser.submit(&login, &[("user", "ada")]).await.unwrap();
    assert_eq!(page.status, 200, "{}", page.way());
    let page = browser.navigate(&url).await.unwrap();
    assert_eq!(
        (page.status, page.url.as_str()),
        (200, url.as_str()),
        "{}",
        page.way()
    );
    let seen = page.seen().unwrap();
    assert_eq!(seen.all("remote-user"), ["ada"]);

    // The other app follows without a login.
    let notes = chain.url(NOTES, "/");
    let page = browser.navigate(&notes).await.unwrap();
    assert_eq!(
        (page.status, page.url.as_str()),
        (200, notes.as_str()),
        "{}",
        page.way()
    );
}

fn login_link(page: &Page) -> String {
    let links = page.body.split("href=\"").skip(1);
    let mut links = links.filter_map(|rest| rest.split('"').next());
    let link = links.find(|link| link.contains("/login?")).unwrap();
    link.replace("&amp;", "&").replace("&#38;", "&")
}

#[tokio::test]
async fn a_real_browser_comes_back_to_the_page() {
    let chain = start().await;
    let chromium = Chromium::start().await.unwrap();
    let walked = walk(&chain, &chromium).await;
    chromium.close().await;
    walked.unwrap();
}

async fn walk(chain: &Chain, chromium: &Chromium) -> Result<()> {
    let page = &chromium.client;
    let goto = |url: String| async move { page.goto(&url).await.map_err(Failure::of(url)) };
    goto(chain.url(FILMS, "/")).await?;
    press(page, "input[name=method]").await?;
    press(page, "button[value=ada]").await?;
    find(page, "#user").await?;
    let url = chain.url(FILMS, DANGER);
    goto(url.clone()).await?;
    press(page, "button[value=ada]").await?;
    arrive(page, &url).await?;
    assert_eq!(text(page, "#user").await?, "ada");
    // A way that this provider does not know ends in a page, and the app is as open as before.
    goto(chain.url(FILMS, "/impossible/x")).await?;
    press(page, "button[value=ada]").await?;
    let said = text(page, "main").await?;
    assert!(said.contains("Signing in again was not enough"), "{said}");
    goto(url.clone()).await?;
    arrive(page, &url).await?;
    find(page, "#user").await?;
    Ok(())
}
