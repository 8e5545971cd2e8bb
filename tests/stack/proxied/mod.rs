//! What holds behind every proxy that is told apart by its dialect alone: one set of checks, which nginx and Envoy
//! each go through.

mod forgery;
mod people;
mod transport;

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::kit::ask::Ask;
use crate::kit::browser::Browser;
use crate::kit::caddy::Caddy;
use crate::kit::child::Running;
use crate::kit::gate::{self, Gate};
use crate::kit::printed::Places;
use crate::kit::provider::{self, Provider};
use crate::kit::raw::RawClient;
use crate::kit::upstream::Upstream;
use crate::kit::{envoy, nginx, ports};
use crate::setup::{FILMS, ISSUER, NOTES, PORTAL, folder, program};

pub use self::forgery::*;
pub use self::people::*;
pub use self::transport::*;

/// In the service's configuration, and not at the proxy.
const ELSEWHERE: &str = "elsewhere.home.localhost";
/// The proxy asks about it, and the service's configuration does not name it.
const UNNAMED: &str = "unnamed.home.localhost";

const SERVER: &str = r#"dialects = ["nginx", "envoy"]
# Browsers come from other addresses of this machine, which are no proxies.
trusted_proxies = ["127.0.0.1/32"]"#;

const RULES: &str = r#"
[policies]
admins = { allowed_groups = ["admins"] }
media = { allowed_groups = ["admins", "media"] }

[services.films]
host = "films.home.localhost"
policy = "media"
bypass = [
    { paths = ["/api/*"] },
    { paths = ["/lan/*"], allowed_networks = ["127.9.0.0/16"] },
]

[services.notes]
host = "notes.work.localhost"
policy = "admins"

[services.elsewhere]
host = "elsewhere.home.localhost"
policy = "bypass"
"#;

/// Below a wildcard.
const ROOM: &str = "a.rooms.localhost";

const ROOMS: &str = r#"
[services.rooms]
host = "*.rooms.localhost"
policy = "from_proxy"
"#;

/// The configuration of when the proxy's was printed: there was one service more.
fn before(configuration: &Path) -> PathBuf {
    let text = std::fs::read_to_string(configuration).unwrap();
    let more = format!("\n[services.unnamed]\nhost = \"{UNNAMED}\"\npolicy = \"deny\"\n");
    let file = configuration.with_file_name("before.toml");
    std::fs::write(&file, text + &more).unwrap();
    file
}

/// Which proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    Nginx,
    Envoy,
}

pub struct Proxied {
    program: Program,
    pub https_port: u16,
    pub app: Upstream,
    pub gate: Gate,
    pub proxy: Running,
    root: Vec<u8>,
    _provider: Provider,
    _caddy: Caddy,
    _folder: TempDir,
}

/// An app more, whose policy the proxy is to name.
struct Wildcard<'a> {
    /// What an operator writes into what is printed.
    changes: &'a [(&'a str, &'a str)],
}

impl Proxied {
    pub async fn start(program: Program) -> Self {
        Self::start_with(program, None).await
    }

    async fn start_with(program: Program, wildcard: Option<Wildcard<'_>>) -> Self {
        let folder = folder().unwrap();
        let (https_port, gate_ports) = (ports::free(), gate::Ports::free());
        let app = Upstream::start("films").unwrap();
        // The provider stands behind a Caddy, whose authority makes the proxy's certificates too.
        let caddy_port = ports::free();
        let issuer = format!("https://{ISSUER}:{caddy_port}");
        let public_url = format!("https://{PORTAL}:{https_port}");
        let settings = provider::Settings {
            issuer: &issuer,
            relying_party: &public_url,
        };
        let mut provider = Provider::start(folder.path(), &settings).unwrap();
        let mut hosts = vec![PORTAL, FILMS, NOTES, UNNAMED];
        let mut services = vec!["films", "notes", "unnamed"];
        let mut rules = RULES.to_owned();
        if wildcard.is_some() {
            hosts.push(ROOM);
            services.push("rooms");
            rules.push_str(ROOMS);
        }
        let sites = format!(
            "{ISSUER} {{\n\treverse_proxy 127.0.0.1:{}\n}}\n{} {{\n\trespond 404\n}}\n",
            provider.port,
            hosts.join(", ")
        );
        let caddy = Caddy::start(folder.path(), caddy_port, &sites)
            .await
            .unwrap();
        let root = std::fs::read(caddy.root_certificate()).unwrap();
        provider.metadata(&root).await.unwrap();
        let gate = Gate::start(
            self::program(),
            folder.path(),
            &gate::Settings {
                ports: gate_ports,
                public_url: &public_url,
                issuer: &issuer,
                client_id: provider::CLIENT_ID,
                client_secret_file: &provider.client_secret_file,
                ca_file: &caddy.root_certificate(),
                log_level: "info",
                server: SERVER,
                session: "",
                rules: &rules,
            },
        )
        .await
        .unwrap();
        let certificate = |host: &str| caddy.certificate_of(host);
        let places = Places {
            program: self::program(),
            configuration: &before(&gate.configuration),
            services: &services,
            https_port,
            hosts: &hosts,
            app_port: app.port,
            changes: wildcard.map_or(&[], |wildcard| wildcard.changes),
            certificate: &certificate,
        };
        let proxy = match program {
            Program::Nginx => nginx::start(folder.path(), &places).await,
            Program::Envoy => envoy::start(folder.path(), &places).await,
        };
        Self {
            program,
            https_port,
            app,
            gate,
            proxy: proxy.unwrap(),
            root,
            _provider: provider,
            _caddy: caddy,
            _folder: folder,
        }
    }

    pub fn url(&self, host: &str, path: &str) -> String {
        format!("https://{host}:{}{path}", self.https_port)
    }

    pub fn browser(&self) -> Browser {
        Browser::new(&self.root).unwrap()
    }

    pub fn raw(&self) -> RawClient {
        RawClient::new(&self.root).unwrap()
    }

    /// A browser in which `user` has signed in and stands at `host`.
    pub async fn signed_in(&self, user: &str, host: &str) -> Browser {
        let browser = self.browser();
        let page = browser.sign_in(&self.url(host, "/"), user).await.unwrap();
        assert_eq!(page.host(), host, "{}", page.way());
        browser
    }
}

/// `changes` name the policy `admins` at the proxy; without them nobody is let in.
pub async fn a_policy_is_named_by_the_proxy(program: Program, changes: &[(&str, &str)]) {
    let stack = Proxied::start_with(program, Some(Wildcard { changes })).await;
    let member = if changes.is_empty() { 403 } else { 200 };
    for (user, status) in [("ada", member), ("ben", 403)] {
        let browser = stack.browser();
        let page = browser.sign_in(&stack.url(ROOM, "/"), user).await.unwrap();
        assert_eq!((page.status, page.host()), (status, ROOM), "{user}");
    }
    // The others have the policy of their own.
    let ben = stack.signed_in("ben", FILMS).await;
    let page = ben.navigate(&stack.url(FILMS, "/")).await.unwrap();
    assert_eq!(page.status, 200, "{}", page.body);
    let url = stack.url(ROOM, "/");
    let page = stack.browser().ask(Ask::fetch(&url)).await.unwrap();
    assert!(matches!(page.status, 401 | 403), "{}", page.status);
}
