//! The whole chain as the tests use it: browser, Caddy, the service, the provider, two apps.

use std::path::Path;

use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::kit::browser::Browser;
use crate::kit::caddy::Caddy;
use crate::kit::gate::{self, Gate};
use crate::kit::provider::{self, Provider, Special, USUAL};
use crate::kit::upstream::Upstream;
use crate::kit::{Failure, Result, example, folder, ports};

/// The program under test.
pub fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_portcullis"))
}

/// Two apps on two root domains, so that no cookie could be shared by accident.
pub const FILMS: &str = "films.home.localhost";
pub const NOTES: &str = "notes.work.localhost";
/// As [`FILMS`], on a site that has `handle`, `handle_path` and `respond` as well.
pub const MIXED: &str = "mixed.home.localhost";
/// Anybody may read it, so nobody's identity goes there.
pub const OPEN: &str = "open.home.localhost";
/// Caddy asks about it, and the service's configuration does not name it.
pub const UNNAMED: &str = "unnamed.home.localhost";
/// A site whose forward_auth does not hand on what it should.
pub const BROKEN: &str = "broken.home.localhost";
pub const PORTAL: &str = "auth.localhost";
pub const ISSUER: &str = "id.localhost";

/// Paths of [`BROKEN`] and what its Caddy does to the headers of the auth request.
#[rustfmt::skip] // the columns are the point
pub const MISTOLD: [(&str, &str); 10] = [
    ("/missing/method",   "-X-Forwarded-Method"),
    ("/missing/proto",    "-X-Forwarded-Proto"),
    ("/missing/host",     "-X-Forwarded-Host"),
    ("/missing/uri",      "-X-Forwarded-Uri"),
    ("/missing/for",      "-X-Forwarded-For"),
    ("/malformed/method", "X-Forwarded-Method \"a b\""),
    ("/malformed/proto",  "X-Forwarded-Proto gopher"),
    ("/malformed/host",   "X-Forwarded-Host a,b"),
    ("/malformed/uri",    "X-Forwarded-Uri no-slash"),
    ("/plain-http",       "X-Forwarded-Proto http"),
];

const RULES: &str = r#"
[policies]
admins = { allowed_groups = ["admins"] }
media = { allowed_groups = ["admins", "media"] }

[services.films]
host = "films.home.localhost"
policy = "media"

[services.notes]
host = "notes.work.localhost"
policy = "admins"

[services.mixed]
host = "mixed.home.localhost"
policy = "media"

[services.open]
host = "open.home.localhost"
policy = "bypass"

[services.broken]
host = "broken.home.localhost"
policy = "media"
"#;

pub struct Stack {
    pub caddy: Caddy,
    pub provider: Provider,
    pub gate: Gate,
    /// What stands behind all sites but [`NOTES`].
    pub films: Upstream,
    root: Vec<u8>,
    _folder: TempDir,
}

impl Stack {
    /// The one that most tests share: they change nothing of it that another could see.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Stack> = OnceCell::const_new();
        SHARED
            .get_or_init(|| async { Self::start("info").await.unwrap() })
            .await
    }

    /// One of the test's own.
    ///
    /// # Errors
    ///
    /// When a part does not start, with what it said.
    pub async fn start(log_level: &str) -> Result<Self> {
        Self::start_signing("RS256", log_level).await
    }

    /// The same with a provider that signs with `algorithm`.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn start_signing(algorithm: &str, log_level: &str) -> Result<Self> {
        Self::start_at(Special { algorithm, ..USUAL }, log_level).await
    }

    /// The same with a provider that is special.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn start_at(special: Special<'_>, log_level: &str) -> Result<Self> {
        let folder = folder()?;
        let https_port = ports::free();
        let gate_ports = gate::Ports::free();
        let (films, notes) = (Upstream::start("films")?, Upstream::start("notes")?);
        let url = |host: &str| format!("https://{host}:{https_port}");
        let (issuer, public_url) = (url(ISSUER), url(PORTAL));
        let root = Caddy::root_certificate_below(folder.path());
        let mut environment = special.environment.to_vec();
        environment.push((
            "PROVIDER_BACKCHANNEL_LOGOUT_CA".to_owned(),
            root.display().to_string(),
        ));
        let special = Special {
            environment: &environment,
            ..special
        };
        let relying_parties = [public_url.clone()];
        let mut provider = Provider::start_on(
            ports::free(),
            folder.path(),
            &issuer,
            &relying_parties,
            special,
        )?;
        let sites = format!(
            "{}{}",
            example::fitted_to(&example::Places {
                gate: gate_ports,
                portal: PORTAL,
                apps: [(FILMS, films.port), (NOTES, notes.port), (OPEN, films.port),],
            })?,
            further_sites(gate_ports, films.port, provider.port),
        );
        let caddy = Caddy::start(folder.path(), https_port, &sites).await?;
        let root = std::fs::read(root).map_err(Failure::of("root"))?;
        provider.metadata(&root).await?;
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
                log_level,
                server: "",
                session: "",
                rules: RULES,
            },
        )
        .await?;
        Ok(Self {
            caddy,
            provider,
            gate,
            films,
            root,
            _folder: folder,
        })
    }

    /// `https://host:port/path`, the way a browser asks for it.
    pub fn url(&self, host: &str, path: &str) -> String {
        format!("https://{host}:{}{path}", self.caddy.https_port)
    }

    /// A browser with an empty cookie jar.
    pub fn browser(&self) -> Browser {
        Browser::new(&self.root).expect("Caddy's own root certificate")
    }

    pub fn browser_without_cookies_for(&self, hosts: &[&str]) -> Browser {
        Browser::without_cookies_for(&self.root, hosts).expect("Caddy's own root certificate")
    }

    /// A browser in which `user` has signed in and stands at `host`.
    pub async fn signed_in(&self, user: &str, host: &str) -> Browser {
        let browser = self.browser();
        let page = browser.sign_in(&self.url(host, "/"), user).await.unwrap();
        assert_eq!(
            page.host(),
            host,
            "{user} signs in and comes back:\n{}",
            page.way()
        );
        browser
    }
}

/// Where the programs of one stack keep their files; goes when it is dropped.
///
/// # Errors
///
/// When it cannot be made.
pub fn folder() -> Result<TempDir> {
    folder::temporary(Path::new(env!("CARGO_TARGET_TMPDIR")), "stack-")
}

/// Sites that the tests need beside those of the example.
fn further_sites(gate: gate::Ports, app: u16, provider: u16) -> String {
    let gate = gate.verify;
    let broken_sites = MISTOLD.map(|(path, change)| {
        format!(
            "	handle {path}/* {{
		forward_auth 127.0.0.1:{gate} {{
			uri /verify?
			header_up {change}
		}}
		reverse_proxy 127.0.0.1:{app}
	}}
"
        )
    });
    let broken_sites = broken_sites.concat();
    format!(
        "
{ISSUER} {{
	reverse_proxy 127.0.0.1:{provider}
}}

{MIXED} {{
	import portcullis
	handle /handled/* {{
		respond \"from handle\"
	}}
	handle_path /stripped/* {{
		reverse_proxy 127.0.0.1:{app}
	}}
	respond /ping \"from respond\"
	reverse_proxy 127.0.0.1:{app}
}}

{UNNAMED} {{
	import portcullis
	reverse_proxy 127.0.0.1:{app}
}}

{BROKEN} {{
{broken_sites}}}
"
    )
}
