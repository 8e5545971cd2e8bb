//! One cookie for all hosts of a domain (`session.cookie_domains`), and apps that keep apart from it.

use futures_util::future::join_all;

use crate::chain::{Chain, POLICIES, Plan};
use crate::kit::ask::Ask;
use crate::kit::browser::Browser;
use crate::setup::ISSUER;

const FILMS: &str = "films.home.localhost";
const MUSIC: &str = "music.home.localhost";
/// Below the same domain, and isolated.
const VAULT: &str = "vault.home.localhost";
/// Below another domain.
const NOTES: &str = "notes.work.localhost";

const SHARED: &str = "__Secure-portcullis";
const OWN: &str = "__Host-portcullis";

async fn start() -> Chain {
    let rules = format!(
        r#"{POLICIES}
[services.films]
host = "{FILMS}"
policy = "media"

[services.music]
host = "{MUSIC}"
policy = "media"

[services.vault]
host = "{VAULT}"
policy = "media"
isolated = true

[services.notes]
host = "{NOTES}"
policy = "media"
"#
    );
    Chain::start(&Plan {
        rules: &rules,
        protected: &[FILMS, MUSIC, VAULT, NOTES],
        session: r#"cookie_domains = ["home.localhost"]"#,
        ..Plan::default()
    })
    .await
    .unwrap()
}

/// Ten tabs on two hosts.
fn tabs(chain: &Chain) -> Vec<String> {
    let hosts = [FILMS, MUSIC].into_iter().cycle();
    let numbered = hosts.zip(0..10);
    numbered
        .map(|(host, tab)| chain.url(host, &format!("/tab/{tab}?x={tab}")))
        .collect()
}

async fn open_all(browser: &Browser, urls: &[String]) {
    let pages = join_all(urls.iter().map(|url| browser.navigate(url))).await;
    for (page, url) in pages.into_iter().zip(urls) {
        let page = page.unwrap();
        assert_eq!(
            (page.status, page.url.as_str()),
            (200, &**url),
            "{}",
            page.way()
        );
        assert_eq!(
            page.seen().expect("the app's answer").all("remote-user"),
            ["ben"]
        );
    }
}

async fn status_with(chain: &Chain, host: &str, name: &str, value: &str) -> u16 {
    let ask = Ask::fetch(&chain.url(host, "/")).header("cookie", &format!("{name}={value}"));
    chain.browser().ask(ask).await.unwrap().status
}

#[tokio::test]
async fn ten_tabs_at_once_share_one_cookie() {
    let chain = start().await;
    let urls = tabs(&chain);
    // A browser that restores its tabs, with nobody signed in: each leads to the provider.
    let ben = chain.browser();
    let pages = join_all(urls.iter().map(|url| ben.navigate(url))).await;
    for page in &pages {
        let page = page.as_ref().unwrap();
        assert_eq!(page.host(), ISSUER, "{}", page.way());
    }
    // Signed in in one of them, the others come in when they are loaded again.
    let page = ben.sign_in(&urls[9], "ben").await.unwrap();
    assert_eq!(
        (page.status, page.url.as_str()),
        (200, &*urls[9]),
        "{}",
        page.way()
    );
    let shared = ben.cookie(&urls[0], SHARED).expect("the domain's cookie");
    assert_eq!(
        ben.cookie(&urls[1], SHARED),
        Some(shared.clone()),
        "one cookie for both hosts"
    );
    open_all(&ben, &urls).await;
    assert_eq!(
        ben.cookie(&urls[0], SHARED),
        Some(shared),
        "and it stays the same"
    );
    for url in &urls[..2] {
        assert_eq!(ben.cookie(url, OWN), None, "{url}");
    }
}

#[tokio::test]
async fn ten_tabs_at_once_come_in_with_the_login_of_another_domain() {
    let chain = start().await;
    let ben = chain.signed_in("ben", NOTES).await;
    assert_eq!(ben.cookie(&chain.url(FILMS, "/"), SHARED), None);
    assert!(
        ben.cookie(&chain.url(NOTES, "/"), OWN).is_some(),
        "another domain, its own cookie"
    );
    open_all(&ben, &tabs(&chain)).await;
    assert!(ben.cookie(&chain.url(MUSIC, "/"), SHARED).is_some());
}

#[tokio::test]
async fn an_isolated_app_keeps_its_own_cookie() {
    let chain = start().await;
    let ben = chain.signed_in("ben", FILMS).await;
    let vault = chain.url(VAULT, "/");
    let shared = ben
        .cookie(&vault, SHARED)
        .expect("browsers send it there too");
    assert_eq!(
        status_with(&chain, VAULT, SHARED, &shared).await,
        401,
        "and it opens nothing"
    );
    let page = ben.navigate(&vault).await.unwrap();
    assert_eq!(page.status, 200, "without a second login: {}", page.way());
    let own = ben.cookie(&vault, OWN).expect("its own");
    for (host, name, value, expected) in [
        (VAULT, OWN, &own, 200),
        (FILMS, OWN, &own, 401),
        (FILMS, SHARED, &own, 401),
        (MUSIC, SHARED, &shared, 200),
        (NOTES, SHARED, &shared, 401),
        (NOTES, OWN, &shared, 401),
        (VAULT, OWN, &shared, 401),
    ] {
        let status = status_with(&chain, host, name, value).await;
        assert_eq!(status, expected, "{name} at {host}");
    }
    // Neither of them reaches an app.
    for host in [VAULT, MUSIC] {
        let mark = format!("cookies-of-{host}");
        let ask = Ask::fetch(&chain.url(host, &format!("/{mark}")));
        let (_, seen) = chain.reaches_app(&ben, ask, &mark).await;
        assert_eq!(seen.all("cookie").join(""), "", "{host}");
    }
}

#[tokio::test]
async fn a_logout_ends_them_all() {
    let chain = start().await;
    let ben = chain.signed_in("ben", FILMS).await;
    for host in [MUSIC, VAULT, NOTES] {
        ben.navigate(&chain.url(host, "/")).await.unwrap();
    }
    let page = ben
        .navigate(&chain.url(MUSIC, "/.portcullis/logout"))
        .await
        .unwrap();
    assert_eq!(page.url.path(), "/signed-out", "{}", page.way());
    assert_eq!(
        ben.cookie(&chain.url(FILMS, "/"), SHARED),
        None,
        "the browser forgets it"
    );
    for host in [FILMS, MUSIC, VAULT, NOTES] {
        let page = ben.ask(Ask::fetch(&chain.url(host, "/"))).await.unwrap();
        assert_eq!(page.status, 401, "{host}");
    }
}
