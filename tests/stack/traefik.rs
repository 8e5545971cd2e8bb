//! The same decision behind a real Traefik: its file provider and `forwardAuth`.

use std::path::Path;

use tempfile::TempDir;

use crate::kit::ask::Ask;
use crate::kit::browser::Browser;
use crate::kit::caddy::Caddy;
use crate::kit::child::Running;
use crate::kit::gate::{self, Gate};
use crate::kit::printed::Places;
use crate::kit::provider::{self, Provider};
use crate::kit::upstream::Upstream;
use crate::kit::{Result, ports, traefik};
use crate::setup::{FILMS, ISSUER, NOTES, PORTAL, folder, program};

const RULES: &str = r#"
[policies]
media = { allowed_groups = ["admins", "media"] }

admins = { allowed_groups = ["admins"] }

[services.films]
host = "films.home.localhost"
policy = "media"

[services.any]
host = "*.work.localhost"
policy = "from_proxy"
"#;

/// Below the wildcard, and its router names a policy.
const ROOM: &str = "room.work.localhost";

/// How lookalikes of headers are kept away.
#[derive(Clone, Copy)]
pub enum Lookalikes {
    /// By the middleware alone.
    Middleware,
    /// By an option of the entry point as well.
    EntryPoint,
}

#[tokio::test]
async fn a_member_gets_in_and_nothing_forged_or_ours_reaches_the_app() {
    a_member_gets_in(Lookalikes::Middleware).await;
}

#[tokio::test]
async fn the_entry_point_can_drop_every_lookalike() {
    a_member_gets_in(Lookalikes::EntryPoint).await;
}

/// A new app at Traefik, as its file tells people to write it.
fn new_app() -> String {
    format!(
        "  routers:
    room:
      rule: Host(`{ROOM}`)
      middlewares: [portcullis-admins-policy]
      service: app-any
      tls: {{}}
"
    )
}

/// Everything that has to run, and goes when this is dropped.
struct Behind {
    https_port: u16,
    public_url: String,
    root: Vec<u8>,
    _running: (Running, Caddy, Gate, Provider, Upstream, TempDir),
}

async fn start_all(lookalikes: Lookalikes) -> Behind {
    let folder = folder().unwrap();
    let (https_port, gate_ports) = (ports::free(), gate::Ports::free());
    let app = Upstream::start("films").unwrap();
    // The provider stands behind a Caddy, whose authority makes Traefik's certificates too.
    let caddy_port = ports::free();
    let issuer = format!("https://{ISSUER}:{caddy_port}");
    let public_url = format!("https://{PORTAL}:{https_port}");
    let mut provider = Provider::start(
        folder.path(),
        &provider::Settings {
            issuer: &issuer,
            relying_party: &public_url,
        },
    )
    .unwrap();
    let sites = format!(
        "{ISSUER} {{\n\treverse_proxy 127.0.0.1:{}\n}}\n{FILMS}, {PORTAL}, {NOTES}, {ROOM} {{\n\trespond 404\n}}\n",
        provider.port
    );
    let caddy = Caddy::start(folder.path(), caddy_port, &sites)
        .await
        .unwrap();
    let root = std::fs::read(caddy.root_certificate()).unwrap();
    provider.metadata(&root).await.unwrap();
    let gate = Gate::start(
        program(),
        folder.path(),
        &gate::Settings {
            ports: gate_ports,
            public_url: &public_url,
            issuer: &issuer,
            client_id: provider::CLIENT_ID,
            client_secret_file: &provider.client_secret_file,
            ca_file: &caddy.root_certificate(),
            log_level: "info",
            server: "",
            session: "",
            rules: RULES,
        },
    )
    .await
    .unwrap();
    let certificate = |host: &str| caddy.certificate_of(host);
    let places = Places {
        program: program(),
        configuration: &gate.configuration,
        services: &["films", "any"],
        https_port,
        hosts: &[PORTAL, FILMS, NOTES, ROOM],
        app_port: app.port,
        changes: &[("  routers:\n", &new_app())],
        certificate: &certificate,
    };
    let routes = routes(&places).unwrap();
    let probe = format!("https://{FILMS}:{https_port}/");
    let traefik = start(
        folder.path(),
        https_port,
        &routes,
        &root,
        &probe,
        lookalikes,
    )
    .await
    .unwrap();
    Behind {
        https_port,
        public_url,
        root,
        _running: (traefik, caddy, gate, provider, app, folder),
    }
}

async fn a_member_gets_in(lookalikes: Lookalikes) {
    let behind = start_all(lookalikes).await;
    let Behind {
        https_port,
        public_url,
        root,
        ..
    } = &behind;
    let url = |path: &str| format!("https://{FILMS}:{https_port}{path}");
    let browser = Browser::new(root).unwrap();
    let page = browser
        .ask(Ask::navigation(&url("/page?x=1")))
        .await
        .unwrap();
    assert_eq!(page.status, 302, "a stranger: {}", page.body);
    assert!(
        page.header("location")
            .starts_with(&format!("{public_url}/login?"))
    );
    let page = browser.ask(Ask::fetch(&url("/page"))).await.unwrap();
    assert_eq!(page.status, 401, "a stranger's fetch: {}", page.body);

    let page = browser.sign_in(&url("/page?x=1"), "ben").await.unwrap();
    assert_eq!(
        (page.status, page.url.as_str()),
        (200, &*url("/page?x=1")),
        "{}",
        page.way()
    );

    browser
        .store_cookie(&url("/"), "theme=dark; Path=/")
        .unwrap();
    let session = browser
        .cookie(&url("/"), "__Host-portcullis")
        .expect("the host's own cookie");
    let ask = forged(&url("/page"), lookalikes);
    let page = browser.ask(ask).await.unwrap();
    assert_eq!(page.status, 200, "{}", page.body);
    let seen = page.seen().expect("the app's own answer");
    assert_eq!(seen.all("remote-user"), ["ben"]);
    assert_eq!(seen.all("remote-name"), ["Ben Okri"]);
    assert_eq!(seen.all("remote-email"), ["ben@example.net"]);
    assert_eq!(seen.all("remote-groups"), ["media"]);
    assert_eq!(seen.all("cookie"), ["theme=dark"]);
    // What is between Traefik and us, and what is ours.
    for name in ["portcullis-copy", "portcullis-key"] {
        assert_eq!(seen.all(name), [""; 0], "{name}");
    }
    let made_up = seen.headers.iter().find(|(_, value)| value == "root");
    assert_eq!(made_up, None);
    assert!(!page.body.contains(&session), "{}", page.body);

    let eve = Browser::new(root).unwrap();
    let page = eve.sign_in(&url("/"), "eve").await.unwrap();
    assert_eq!(page.status, 403, "{}\n{}", page.way(), page.body);
    a_policy_is_named_by_the_router(root, *https_port).await;
}

/// A wildcard that needs no touch: the app has a router with a policy, and nothing in our configuration. What has no
/// router of its own is refused.
async fn a_policy_is_named_by_the_router(root: &[u8], https_port: u16) {
    let url = |host: &str| format!("https://{host}:{https_port}/");
    for (user, status) in [("ada", 200), ("ben", 403)] {
        let browser = Browser::new(root).unwrap();
        let page = browser.sign_in(&url(ROOM), user).await.unwrap();
        assert_eq!((page.status, page.host()), (status, ROOM), "{user}");
        if status == 200 {
            let seen = page.seen().expect("the app's own answer");
            assert_eq!(seen.all("remote-user"), [user]);
        }
        let page = browser.navigate(&url(NOTES)).await.unwrap();
        assert_eq!((page.status, page.host()), (403, NOTES), "{user}");
    }
}

/// A request with what a client can make up about itself.
fn forged(url: &str, lookalikes: Lookalikes) -> Ask {
    let ask = Ask::fetch(url)
        .header("Remote-User", "root")
        .header("Remote-Groups", "admins")
        .header("Remote_User", "root")
        .header("Remote_Groups", "root")
        .header("Remote.User", "root")
        .header("Portcullis-Key", "root")
        .header("Portcullis-Copy", "nothing")
        .header("X-Forwarded-Host", "elsewhere.example")
        .header("Connection", "Remote-User");
    match lookalikes {
        Lookalikes::Middleware => ask,
        // The middleware names what it takes away, and there are more of these.
        Lookalikes::EntryPoint => ask
            .header("Remote~User", "root")
            .header("Remote-_User", "root"),
    }
}

/// Traefik's dynamic configuration: what the command prints, with a certificate for each host. They are those that a
/// Caddy has made for its own sites of the same names.
///
/// # Errors
///
/// When it is not printed.
pub fn routes(places: &Places<'_>) -> Result<String> {
    let certificate = |host: &&str| {
        let (chain, key) = (places.certificate)(host);
        format!(
            "    - {{ certFile: {}, keyFile: {} }}\n",
            chain.display(),
            key.display()
        )
    };
    let certificates: String = places.hosts.iter().map(certificate).collect();
    let printed = places.snippet("traefik")?;
    Ok(format!("{printed}tls:\n  certificates:\n{certificates}"))
}

/// Starts Traefik and waits until `probe`, the URL of something protected, is answered with 401 or 403.
///
/// # Errors
///
/// When it does not start, with what it said.
pub async fn start(
    folder: &Path,
    https_port: u16,
    routes: &str,
    root: &[u8],
    probe: &str,
    lookalikes: Lookalikes,
) -> Result<Running> {
    let further: &[&str] = match lookalikes {
        Lookalikes::EntryPoint => &["--entryPoints.web.http.aliasHeadersStrategy=delete"],
        Lookalikes::Middleware => &[],
    };
    let is_up = |status| matches!(status, 401 | 403);
    let files = traefik::Files {
        folder,
        routes,
        root,
    };
    traefik::start(&files, https_port, further, probe, is_up).await
}
