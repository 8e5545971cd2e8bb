//! User names that mean an app's own administrator: people may rename themselves at some providers.

use crate::chain::{Chain, POLICIES, Plan};

const GRAFANA: &str = "grafana.home.localhost";
const WIKI: &str = "wiki.home.localhost";
const NOTES: &str = "notes.home.localhost";
/// Ada's at the sample provider.
const ADA: &str = "6f1a2f5e-0a53-4a5f-9a6e-2f6d1f0c9a01";

#[tokio::test]
async fn a_reserved_name_is_for_the_subjects_that_may_carry_it() {
    let rules = format!(
        r#"{POLICIES}
[services.grafana]
host = "{GRAFANA}"
posture = "trusted_header"
policy = "media"
reserved_users = {{ Ada = ["somebody-else"] }}

[services.wiki]
host = "{WIKI}"
posture = "trusted_header"
policy = "media"
reserved_users = {{ ada = ["somebody-else", "{ADA}"], root = [] }}

[services.notes]
host = "{NOTES}"
policy = "media"
"#
    );
    let chain = Chain::start(&Plan {
        rules: &rules,
        protected: &[GRAFANA, WIKI, NOTES],
        ..Plan::default()
    })
    .await
    .unwrap();
    let ada = chain.signed_in("ada", NOTES).await;
    let page = ada.navigate(&chain.url(GRAFANA, "/as-ada")).await.unwrap();
    assert_eq!(
        (page.status, page.host()),
        (403, GRAFANA),
        "{}\n{}",
        page.way(),
        page.body
    );
    assert!(
        page.body.contains("reserved_users"),
        "it says how to allow it: {}",
        page.body
    );
    assert!(chain.app.requests_with("/as-ada").is_empty());
    let page = ada.navigate(&chain.url(WIKI, "/as-ada")).await.unwrap();
    assert_eq!(page.status, 200, "{}\n{}", page.way(), page.body);
    assert_eq!(
        page.seen().expect("the app's answer").all("remote-user"),
        ["ada"]
    );
    // Anybody else comes and goes as before.
    let ben = chain.signed_in("ben", GRAFANA).await;
    let page = ben.navigate(&chain.url(WIKI, "/")).await.unwrap();
    assert_eq!(page.status, 200, "{}", page.body);
}
