//! A proxy whose list of copied headers has grown stale.

use crate::chain::{Chain, POLICIES, Plan};
use crate::kit::ask::Ask;

const GRAFANA: &str = "grafana.home.localhost";
const FILMS: &str = "films.home.localhost";

/// As the shipped snippet, with one name less.
const STALE: &str = "forward_auth 127.0.0.1:{verify} {
		uri /verify?
		header_up Portcullis-Copy \"Remote-Name Remote-Email Remote-Groups\"
		copy_headers Remote-Name Remote-Email Remote-Groups
	}
	reverse_proxy 127.0.0.1:{app}
";

#[tokio::test]
async fn an_app_that_believes_headers_is_closed_when_the_proxy_does_not_copy_one() {
    let rules = format!(
        r#"{POLICIES}
[services.grafana]
host = "{GRAFANA}"
posture = "trusted_header"
policy = "media"

[services.films]
host = "{FILMS}"
policy = "media"
"#
    );
    let sites = format!("{GRAFANA} {{\n\t{STALE}}}\n{FILMS} {{\n\t{STALE}}}\n");
    let chain = Chain::start(&Plan {
        rules: &rules,
        sites: &sites,
        ..Plan::default()
    })
    .await
    .unwrap();
    let ben = chain.signed_in("ben", FILMS).await;
    let page = ben.navigate(&chain.url(GRAFANA, "/stale")).await.unwrap();
    assert_eq!(
        (page.status, page.host()),
        (503, GRAFANA),
        "{}\n{}",
        page.way(),
        page.body
    );
    assert!(
        page.body.contains("Remote-User"),
        "it names the header: {}",
        page.body
    );
    let forged = Ask::fetch(&chain.url(GRAFANA, "/stale")).header("Remote-User", "admin");
    let page = ben.ask(forged).await.unwrap();
    assert_eq!(page.status, 503, "{}", page.body);
    assert!(
        page.body.contains("Remote-User"),
        "it names the header: {}",
        page.body
    );
    assert!(
        chain.app.requests_with("/stale").is_empty(),
        "nobody is impersonated"
    );
    // Where nobody goes by it, it is only said.
    for service in ["films", "grafana"] {
        let warned = |line: &str| {
            line.contains("WARN") && line.contains(service) && line.contains("Remote-User")
        };
        chain
            .gate
            .running
            .wait_for_line(warned)
            .await
            .expect(service);
    }
}
