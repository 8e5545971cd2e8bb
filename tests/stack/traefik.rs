//! A real Traefik with what `portcullis snippet traefik` prints and an option that is recommended beside it. What holds
//! without it is in `tests/proxies`.

use crate::chain::{Chain, POLICIES, Plan};
use crate::kit::ask::Ask;
use crate::kit::browser::Browser;
use crate::kit::printed::Places;
use crate::kit::{ports, traefik};
use crate::setup::{PORTAL, program};

const WIKI: &str = "wiki.home.localhost";
/// Each is read as `Remote-User` by some server.
const LOOKALIKES: [&str; 5] = [
    "Remote_User",
    "Remote.User",
    "Remote~User",
    "Remote-_User",
    "REMOTE_USER",
];

/// The middleware names what it takes away; the entry point knows every character that some server takes for a dash.
#[tokio::test]
async fn the_entry_point_can_drop_every_lookalike() {
    let rules = format!("{POLICIES}\n[services.wiki]\nhost = \"{WIKI}\"\npolicy = \"optional\"\n");
    let chain = Chain::start(&Plan {
        rules: &rules,
        protected: &[WIKI],
        ..Plan::default()
    })
    .await
    .unwrap();
    // Certificates are made when they are first asked for.
    for host in [WIKI, PORTAL] {
        let url = chain.url(host, "/");
        chain.browser().navigate(&url).await.unwrap();
    }
    let https_port = ports::free();
    let certificate = |host: &str| chain.caddy.certificate_of(host);
    let places = Places {
        program: program(),
        configuration: &chain.gate.configuration,
        services: &["wiki"],
        https_port,
        hosts: &[WIKI],
        app_port: chain.app.port,
        changes: &[],
        certificate: &certificate,
    };
    let (certificate, key) = chain.caddy.certificate_of(WIKI);
    let routes = format!(
        "{}tls:\n  certificates:\n    - {{ certFile: {}, keyFile: {} }}\n",
        places.snippet("traefik").unwrap(),
        certificate.display(),
        key.display()
    );
    let files = traefik::Files {
        folder: chain.folder(),
        routes: &routes,
        root: &chain.root,
    };
    let probe = format!("https://{WIKI}:{https_port}/");
    let option = ["--entryPoints.web.http.aliasHeadersStrategy=delete"];
    // The service knows the host at another port.
    let is_up = |status| status == 403;
    let _traefik = traefik::start(&files, https_port, &option, &probe, is_up)
        .await
        .unwrap();

    let ask = LOOKALIKES
        .iter()
        .fold(Ask::fetch(&probe), |ask, name| ask.header(name, "root"));
    let browser = Browser::new(&chain.root).unwrap();
    let ask = ask.header("X-Own", "kept").header("Host", WIKI);
    let page = browser.ask(ask).await.unwrap();
    let seen = page.seen().expect("the app's own answer");
    let made_up = seen.headers.iter().find(|(_, value)| value == "root");
    assert_eq!(made_up, None);
    assert_eq!(seen.all("x-own"), ["kept"]);
}
