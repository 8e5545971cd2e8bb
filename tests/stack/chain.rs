//! A chain of a test's own: its services, its sites, one app behind all of them.

use std::path::Path;

use tempfile::TempDir;

use crate::kit::ask::Ask;
use crate::kit::browser::Browser;
use crate::kit::caddy::{self, Caddy};
use crate::kit::gate::{self, Gate};
use crate::kit::page::Page;
use crate::kit::provider::{self, Provider};
use crate::kit::upstream::{OwnKey, Seen, Upstream};
use crate::kit::{Failure, Result, example, ports};
use crate::setup::{ISSUER, PORTAL, folder, program};

/// The seed's four policies.
pub const POLICIES: &str = r#"
[policies]
admins = { allowed_groups = ["admins"] }
users = { allowed_groups = ["admins", "users"] }
media = { allowed_groups = ["admins", "users", "media"] }
home = { allowed_groups = ["admins", "users", "home"] }
"#;

/// What a chain is made of.
///
/// In `rules`, `sites` and `session` `{folder}` stands for where `files` are, and `{port}`, `{verify}`, `{portal}` and `{app}`
/// for Caddy's, the service's and the app's ports.
pub struct Plan<'a> {
    /// Policies and services.
    pub rules: &'a str,
    /// Sites behind the shipped snippet.
    pub protected: &'a [&'a str],
    /// What the snippet copies beside what it does as shipped.
    pub also_copied: &'a [&'a str],
    /// Further sites, as a Caddyfile has them.
    pub sites: &'a str,
    /// Names and contents of secret files.
    pub files: &'a [(&'a str, &'a str)],
    /// Further lines of the table `session`.
    pub session: &'a str,
    /// The path of the portal at the provider's host; `None` where it has a host of its own.
    pub portal_path: Option<&'a str>,
    /// Which Caddy.
    pub caddy: &'a str,
    /// A key that the app itself asks for.
    pub own_key: Option<OwnKey>,
    pub log_level: &'a str,
}

impl Default for Plan<'_> {
    fn default() -> Self {
        Self {
            rules: "",
            protected: &[],
            also_copied: &[],
            sites: "",
            files: &[],
            session: "",
            portal_path: None,
            caddy: caddy::CURRENT,
            own_key: None,
            log_level: "info",
        }
    }
}

pub struct Chain {
    pub caddy: Caddy,
    pub provider: Provider,
    pub gate: Gate,
    pub app: Upstream,
    pub public_url: String,
    pub root: Vec<u8>,
    folder: TempDir,
}

impl Chain {
    /// # Errors
    ///
    /// When a part does not start, with what it said.
    pub async fn start(plan: &Plan<'_>) -> Result<Self> {
        let folder = folder()?;
        for (name, text) in plan.files {
            provider::write_secret(&folder.path().join(name), text).map_err(Failure::of(name))?;
        }
        let (https_port, gate_ports) = (ports::free(), gate::Ports::free());
        let app = Upstream::start_with_key("app", plan.own_key.clone())?;
        let issuer = format!("https://{ISSUER}:{https_port}");
        let public_url = match plan.portal_path {
            Some(path) => format!("{issuer}{path}"),
            None => format!("https://{PORTAL}:{https_port}"),
        };
        let mut provider = Provider::start(
            folder.path(),
            &provider::Settings {
                issuer: &issuer,
                relying_party: &public_url,
            },
        )?;
        let fill = |text: &str| {
            text.replace("{folder}", &folder.path().display().to_string())
                .replace("{port}", &https_port.to_string())
                .replace("{verify}", &gate_ports.verify.to_string())
                .replace("{portal}", &gate_ports.portal.to_string())
                .replace("{app}", &app.port.to_string())
        };
        let sites = [
            example::snippet(gate_ports.verify, plan.also_copied)?,
            example::strip()?,
            sites_of_sign_in(plan.portal_path, gate_ports.portal, provider.port, app.port),
            plan.protected
                .iter()
                .map(|host| example::protected_site(host, app.port))
                .collect(),
            fill(plan.sites),
        ]
        .concat();
        let caddy = Caddy::start_program(plan.caddy, folder.path(), https_port, &sites).await?;
        let root = std::fs::read(caddy.root_certificate()).map_err(Failure::of("root"))?;
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
                log_level: plan.log_level,
                server: "",
                session: &fill(plan.session),
                rules: &fill(plan.rules),
            },
        )
        .await?;
        Ok(Self {
            caddy,
            provider,
            gate,
            app,
            public_url,
            root,
            folder,
        })
    }

    pub fn url(&self, host: &str, path: &str) -> String {
        format!("https://{host}:{}{path}", self.caddy.https_port)
    }

    /// Where the programs keep their files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A browser with an empty cookie jar.
    pub fn browser(&self) -> Browser {
        Browser::new(&self.root).expect("Caddy's own root certificate")
    }

    /// A browser in which `user` has signed in and stands at `host`.
    pub async fn signed_in(&self, user: &str, host: &str) -> Browser {
        let browser = self.browser();
        let url = self.url(host, "/");
        let page = browser.sign_in(&url, user).await.unwrap();
        assert_eq!(
            page.url.as_str(),
            url,
            "{user} signs in and comes back:\n{}",
            page.way()
        );
        browser
    }

    /// Sends `ask` and returns the one request that reached the app for it, as the app got it. `mark` stands in
    /// the request's URL and nowhere else.
    pub async fn reaches_app(&self, browser: &Browser, ask: Ask, mark: &str) -> (Page, Seen) {
        let page = browser.ask(ask).await.unwrap();
        let requests = self.app.requests_with(mark);
        match requests.as_slice() {
            [one] => (page, one.clone()),
            _ => panic!(
                "{} requests at the app for {mark}: {} {}",
                requests.len(),
                page.status,
                page.body
            ),
        }
    }
}

/// Below this path of the provider's host lies the app, where the portal lies there too: so that a test sees what
/// the provider gets.
pub const BESIDE_PROVIDER: &str = "/beside-the-provider/";

/// The provider and the portal, which nothing stands before. Where they share a host, as the snippet that is
/// printed has it.
fn sites_of_sign_in(portal_path: Option<&str>, portal: u16, provider: u16, app: u16) -> String {
    let Some(path) = portal_path else {
        return [
            example::open_site(PORTAL, portal),
            example::open_site(ISSUER, provider),
        ]
        .concat();
    };
    format!(
        "{ISSUER} {{
	@portcullis path {path} {path}/*
	handle @portcullis {{
		reverse_proxy 127.0.0.1:{portal}
	}}
	handle {{
		import portcullis_strip
		reverse_proxy {BESIDE_PROVIDER}* 127.0.0.1:{app}
		reverse_proxy 127.0.0.1:{provider}
	}}
}}
"
    )
}
