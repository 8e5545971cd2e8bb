//! The portal under a path of the provider's host.

use crate::chain::{BESIDE_PROVIDER, Chain, POLICIES, Plan};
use crate::kit::ask::Ask;
use crate::kit::caddy;
use crate::setup::ISSUER;

const FILMS: &str = "films.home.localhost";

#[tokio::test]
async fn people_sign_in_and_out_at_a_portal_under_a_path() {
    people_sign_in_and_out(caddy::CURRENT).await;
}

#[tokio::test]
async fn people_sign_in_and_out_at_a_portal_under_a_path_of_debians_caddy() {
    people_sign_in_and_out(caddy::DEBIAN).await;
}

async fn people_sign_in_and_out(caddy: &str) {
    let rules = format!("{POLICIES}\n[services.films]\nhost = \"{FILMS}\"\npolicy = \"media\"\n");
    let chain = Chain::start(&Plan {
        rules: &rules,
        protected: &[FILMS],
        portal_path: Some("/auth"),
        caddy,
        ..Plan::default()
    })
    .await
    .unwrap();
    let films = chain.url(FILMS, "/page?x=1");
    let ben = chain.browser();
    let page = ben.ask(Ask::navigation(&films)).await.unwrap();
    let login = format!("{}/login?", chain.public_url);
    assert!(
        page.header("location").starts_with(&login),
        "{}",
        page.header("location")
    );
    let page = ben.sign_in(&films, "ben").await.unwrap();
    assert_eq!(
        (page.status, page.url.as_str()),
        (200, &*films),
        "{}",
        page.way()
    );
    let callback = page
        .hops
        .iter()
        .find(|hop| hop.url.path() == "/auth/callback");
    assert!(callback.is_some(), "{}", page.way());

    let front = ben
        .navigate(&format!("{}/", chain.public_url))
        .await
        .unwrap();
    assert_eq!(front.status, 200, "{}", front.body);
    assert!(
        front.body.contains("ben") || front.body.contains("Ben"),
        "{}",
        front.body
    );
    // The provider keeps its own paths, and nobody but the path's own is answered there.
    let provider = chain.url(ISSUER, "/.well-known/openid-configuration");
    assert_eq!(ben.ask(Ask::fetch(&provider)).await.unwrap().status, 200);
    // What is served there gets its own cookies and none of ours, which the portal gets.
    let here = chain.url(ISSUER, &format!("{BESIDE_PROVIDER}x"));
    let own = "theirs=kept; Path=/; Secure";
    ben.store_cookie(&here, own).unwrap();
    let portals = ben.cookie(&here, "__Host-portcullis-sso");
    let portals = portals.expect("browsers send it there too");
    let (page, seen) = chain
        .reaches_app(&ben, Ask::fetch(&here), BESIDE_PROVIDER)
        .await;
    assert!(page.hops[0].sent_cookies.contains(&portals), "it was sent");
    let cookies = seen.all("cookie").join("; ");
    assert!(cookies.contains("theirs=kept"), "{cookies}");
    assert!(!cookies.contains("portcullis"), "{cookies}");
    let beside = ben
        .ask(Ask::navigation(&chain.url(ISSUER, "/authority")))
        .await
        .unwrap();
    assert_eq!(beside.status, 404, "the provider's: {}", beside.body);

    let page = ben
        .navigate(&chain.url(FILMS, "/.portcullis/logout"))
        .await
        .unwrap();
    assert_eq!(
        (page.status, page.host(), page.url.path()),
        (200, ISSUER, "/auth/signed-out"),
        "{}",
        page.way()
    );
    assert_eq!(ben.ask(Ask::fetch(&films)).await.unwrap().status, 401);
    let again = ben.navigate(&films).await.unwrap();
    assert!(
        again.url.path().starts_with("/interaction/"),
        "the provider asks: {}",
        again.way()
    );
}
