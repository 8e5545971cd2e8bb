//! What `portcullis snippet` prints for each proxy, with what it leaves open filled in, and with what an operator has
//! beside it: something of the proxy's own at [`MIXED`], and the policy of [`ROOM`].

use std::path::{Path, PathBuf};

use crate::column::Program;
use crate::kit::caddy::{self, Caddy};
use crate::kit::child::Running;
use crate::kit::{Failure, Result, envoy, example, nginx, printed, traefik};
use crate::rules::{FILMS, MIXED, PROXY_SECRET, ROOM, SERVICES};
use crate::stack::program;
use crate::world::World;

/// Below these paths of [`MIXED`] the proxy has something of its own. What it says itself:
pub const SAID: &str = "from the proxy itself";
pub const SAYS: &str = "/said/";
/// A file that it has:
pub const FILE: &str = "/file/x.txt";
pub const FILED: &str = "from a file of the proxy";
/// The app again, which gets the path without it:
pub const STRIPPED: &str = "/stripped";
/// And what is said for everybody to read, beside all protection.
pub const PUBLIC: &str = "/for-all/";

/// What stands where the service's secret for the proxy belongs.
const SECRET: &str = "SECRET";

pub struct Places<'a> {
    pub folder: &'a Path,
    /// The configuration to print for.
    pub configuration: &'a Path,
    pub https_port: u16,
    pub app_port: u16,
    pub world: &'a World,
}

/// Starts the proxy.
///
/// # Errors
///
/// When it does not start, with what it said.
pub async fn start(program: Program, places: &Places<'_>) -> Result<Running> {
    std::fs::write(places.folder.join("x.txt"), FILED).map_err(Failure::of("file"))?;
    match program {
        Program::Caddy => caddy(places, caddy::CURRENT).await,
        Program::DebianCaddy => caddy(places, caddy::DEBIAN).await,
        Program::Nginx => nginx(places).await,
        Program::Envoy => envoy(places).await,
        Program::Traefik => traefik(places).await,
    }
}

impl Places<'_> {
    fn filled<'a>(
        &'a self,
        changes: &'a [(&'a str, &'a str)],
        certificate: &'a dyn Fn(&str) -> (PathBuf, PathBuf),
    ) -> printed::Places<'a> {
        printed::Places {
            program: program(),
            configuration: self.configuration,
            services: &SERVICES,
            https_port: self.https_port,
            // One certificate for all.
            hosts: &["all"],
            app_port: self.app_port,
            changes,
            certificate,
        }
    }

    fn certificate(&self) -> (PathBuf, PathBuf) {
        self.world.certificate.clone()
    }
}

async fn caddy(places: &Places<'_>, release: &str) -> Result<Running> {
    let certificate = |_: &str| places.certificate();
    let app = places.app_port;
    let site = format!("{MIXED}:{} {{\n\timport portcullis\n", places.https_port);
    let own = format!(
        "{site}	handle {SAYS}* {{
		respond \"{SAID}\"
	}}
	handle /file/* {{
		root * {folder}
		uri strip_prefix /file
		file_server
	}}
	handle_path {STRIPPED}/* {{
		reverse_proxy 127.0.0.1:{app}
	}}
	respond /ping \"{SAID}\"
",
        folder = places.folder.display()
    );
    let text = places
        .filled(&[(&site, &own), (SECRET, PROXY_SECRET)], &certificate)
        .snippet("caddy")?;
    let missing = || Failure::new("no snippet (portcullis)");
    let naming = example::snippet_in(&text)
        .ok_or_else(missing)?
        .replace("(portcullis)", "(portcullis_admins)");
    let naming = printed::replaced(&naming, "uri /verify?", "uri /verify/policy/admins?")?;
    let (chain, key) = places.certificate();
    let sites = format!(
        "{text}
{naming}
{ROOM}:{port} {{
	import portcullis_admins
	reverse_proxy 127.0.0.1:{app}
}}
# The names of this certificate get no other.
certificate.localhost {{
	tls {chain} {key}
}}
",
        port = places.https_port,
        chain = chain.display(),
        key = key.display()
    );
    let started = Caddy::start_program(release, places.folder, places.https_port, &sites).await?;
    Ok(started.running)
}

async fn nginx(places: &Places<'_>) -> Result<Running> {
    let certificate = |_: &str| places.certificate();
    let app = "    location / {\n        proxy_pass http://$portcullis_app;";
    // As the file asks of further locations: with every header that the one for apps sets.
    let printed = places.filled(&[], &certificate).snippet("nginx")?;
    let missing = || Failure::new("no location for apps");
    let (_, apps) = printed.split_once(app).ok_or_else(missing)?;
    let (body, _) = apps.split_once("\n    }\n").ok_or_else(missing)?;
    let own = format!(
        "    location /file/ {{
        alias {folder}/;
    }}
    location {SAYS} {{
        return 200 \"{SAID}\";
    }}
    location {STRIPPED}/ {{
        proxy_pass http://127.0.0.1:{port}/;{body}
    }}
{app}",
        folder = places.folder.display(),
        port = places.app_port,
    );
    let line = "*.rooms.localhost /policy/admins;";
    let (from, to) = (
        format!("    # {line}"),
        format!("    {ROOM} /policy/admins;"),
    );
    let changes = [(app, own.as_str()), (&from, &to), (SECRET, PROXY_SECRET)];
    nginx::start(places.folder, &places.filled(&changes, &certificate)).await
}

async fn envoy(places: &Places<'_>) -> Result<Running> {
    let certificate = |_: &str| places.certificate();
    let host = format!("              domains: [\"{MIXED}\"]\n              routes:\n");
    let own = format!(
        "{host}              - match: {{ prefix: {SAYS} }}
                direct_response: {{ status: 200, body: {{ inline_string: \"{SAID}\" }} }}
              - match: {{ prefix: {PUBLIC} }}
                direct_response: {{ status: 200, body: {{ inline_string: \"{SAID}\" }} }}
                typed_per_filter_config: *not_protected
              - match: {{ prefix: {STRIPPED}/ }}
                route: {{ cluster: app-mixed, prefix_rewrite: / }}
"
    );
    let changes = [(host.as_str(), own.as_str()), (SECRET, PROXY_SECRET)];
    envoy::start(places.folder, &places.filled(&changes, &certificate)).await
}

async fn traefik(places: &Places<'_>) -> Result<Running> {
    let certificate = |_: &str| places.certificate();
    let own = format!(
        "  routers:
    own-room:
      rule: Host(`{ROOM}`)
      middlewares: [portcullis-admins-policy]
      service: app-rooms
      tls: {{}}
    own-stripped:
      rule: Host(`{MIXED}`) && PathPrefix(`{STRIPPED}/`)
      middlewares: [portcullis, own-strip]
      service: app-mixed
      tls: {{}}
    own-public:
      rule: Host(`{MIXED}`) && PathPrefix(`{PUBLIC}`)
      service: app-mixed
      tls: {{}}
"
    );
    let middlewares = format!(
        "  middlewares:\n    own-strip:\n      stripPrefix:\n        prefixes: [\"{STRIPPED}\"]\n"
    );
    let changes = [
        ("  routers:\n", own.as_str()),
        ("  middlewares:\n", &middlewares),
        (SECRET, PROXY_SECRET),
    ];
    let printed = places.filled(&changes, &certificate).snippet("traefik")?;
    let (chain, key) = places.certificate();
    let routes = format!(
        "{printed}tls:\n  certificates:\n    - {{ certFile: {}, keyFile: {} }}\n",
        chain.display(),
        key.display()
    );
    let files = traefik::Files {
        folder: places.folder,
        routes: &routes,
        root: &places.world.root,
    };
    let probe = format!("https://{FILMS}:{}/", places.https_port);
    let is_up = |status| status == 401;
    traefik::start(&files, places.https_port, &[], &probe, is_up).await
}
