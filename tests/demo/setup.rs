//! The programs of the demo and how they are put together.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use super::apps::{self, Apps, GRAFANA, HOOKS, Keys, MEALIE, PAPERLESS_AI, PLEX, SONARR};
use crate::kit::browser::Browser;
use crate::kit::caddy::Caddy;
use crate::kit::gate::{self, Gate};
use crate::kit::provider::{self, Provider};
use crate::kit::{Failure, Result, example, ports, tools};

pub const PORTAL: &str = "auth.localhost";
const ISSUER: &str = "id.localhost";

// Stopped in this order: first what lets people in.
pub struct Demo {
    caddy: Caddy,
    gate: Gate,
    provider: Provider,
    pub apps: Apps,
    pub keys: Keys,
    root: Vec<u8>,
    folder: PathBuf,
}

impl Demo {
    /// Starts everything; Caddy listens on `port`. A check keeps its files apart, so that it does
    /// not disturb a demo that runs.
    ///
    /// # Errors
    ///
    /// When the port is taken, a program is missing or does not start.
    pub async fn start(port: u16, checks: bool) -> Result<Self> {
        if !ports::is_free(port) {
            return Err(Failure(format!(
                "port {port} is taken: stop what listens there, or say another: \
                 DEMO_PORT=9443 make demo"
            )));
        }
        // It stays, so that Caddy's root certificate does: who has imported it need not again.
        let name = if checks { "demo-check" } else { "demo" };
        let folder = tools::source_root().join("target").join(name);
        std::fs::create_dir_all(&folder).map_err(Failure::of(folder.display()))?;
        for log in ["caddy.log", "provider.log", "portcullis.log"] {
            // Of the run before; there is none at first.
            let _ = std::fs::remove_file(folder.join(log));
        }
        let gate_ports = gate::Ports::free();
        let keys = Keys {
            sonarr: provider::random_secret()?,
            paperless_ai: provider::random_secret()?,
        };
        let key_file = folder.join("paperless_ai_api_key");
        provider::write_secret(&key_file, &keys.paperless_ai)
            .map_err(Failure::of(key_file.display()))?;
        let apps = Apps::start(&keys)?;
        let url = |host: &str| format!("https://{host}:{port}");
        let (issuer, public_url) = (url(ISSUER), url(PORTAL));
        let mut provider = Provider::start(
            &folder,
            &provider::Settings {
                issuer: &issuer,
                relying_party: &public_url,
            },
        )?;
        let sites = [
            example::snippet(gate_ports.verify, &apps::ALSO_COPIED)?,
            example::open_site(PORTAL, gate_ports.portal),
            example::open_site(ISSUER, provider.port),
            apps.sites(),
        ]
        .concat();
        let caddy = Caddy::start(&folder, port, &sites).await?;
        let root = std::fs::read(caddy.root_certificate()).map_err(Failure::of("root"))?;
        provider.metadata(&root).await?;
        let gate = Gate::start(
            &program()?,
            &folder,
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
                rules: &apps::rules(&key_file),
            },
        )
        .await?;
        Ok(Self {
            caddy,
            gate,
            provider,
            apps,
            keys,
            root,
            folder,
        })
    }

    pub fn url(&self, host: &str, path: &str) -> String {
        format!("https://{host}:{}{path}", self.caddy.https_port)
    }

    /// A browser with an empty cookie jar.
    ///
    /// # Errors
    ///
    /// When Caddy's root certificate cannot be read.
    pub fn browser(&self) -> Result<Browser> {
        Browser::new(&self.root)
    }

    /// A browser whose connections come from `address`.
    ///
    /// # Errors
    ///
    /// When Caddy's root certificate cannot be read.
    pub fn browser_at(&self, address: Ipv4Addr) -> Result<Browser> {
        Browser::from_address(&self.root, address)
    }

    /// What the programs have written so far.
    pub fn logs(&self) -> String {
        [
            self.gate.running.output(),
            self.caddy.running.output(),
            self.provider.running.output(),
        ]
        .concat()
    }

    /// # Errors
    ///
    /// When one of the programs has ended.
    pub fn still_runs(&mut self) -> Result<()> {
        for program in [
            &mut self.caddy.running,
            &mut self.gate.running,
            &mut self.provider.running,
        ] {
            if program.has_ended().is_some() {
                return Err(program.explain(&Failure::new("a program has ended")));
            }
        }
        Ok(())
    }

    /// Adds what the service said last to a failure.
    pub fn explain(&mut self, failure: &Failure) -> Failure {
        self.gate.running.explain(failure)
    }

    pub fn welcome(&self) -> String {
        let app = |host| self.url(host, "/");
        format!(
            "
Portcullis runs. Open one of the apps in a browser on this machine:

  app                                  pattern         who gets in
  {grafana:<36} trusted header  group admins; it believes Remote-User
  {sonarr:<36} own login off   group media; /api/ with the app's own key alone
  {paperless_ai:<36} hybrid          group home; the app gets its key with the request
  {mealie:<36} native OIDC     everybody; the app would sign people in itself
  {plex:<36} own login       everybody; /admin/ for the group admins
  {hooks:<36} internal        whatever comes from 127.0.0.1; nobody is asked to log in

  {portal:<36} the portal: where you sign in and out
  {issuer:<36} the provider, with these users:

  ada  (admins)    gets in everywhere
  ben  (media)     gets into sonarr
  cleo (home)      gets into paperless-ai
  eve  (no group)  gets into nothing that asks who she is

Try: sign in at grafana as ada, then open sonarr (no second login); sign out at either, and look
again. Or without a session:

  curl -k {sonarr}                       401, in words for programs
  curl -k {sonarr}api/ -H 'X-Api-Key: {sonarr_key}'
  curl -k {hooks}                        let in; refused from elsewhere:
  curl -k --interface 127.0.0.2 {hooks}

The browser will warn: Caddy signs with an authority of its own. Go on, or import its root:
  {root}
What the programs write, and the configuration they run on:
  {folder}

Ctrl-C stops everything.
",
            grafana = app(GRAFANA),
            sonarr = app(SONARR),
            paperless_ai = app(PAPERLESS_AI),
            mealie = app(MEALIE),
            plex = app(PLEX),
            hooks = app(HOOKS),
            portal = app(PORTAL),
            issuer = self.url(ISSUER, ""),
            sonarr_key = self.keys.sonarr,
            root = self.caddy.root_certificate().display(),
            folder = self.folder.display(),
        )
    }
}

/// The service, which was built into the folder above the one of this program.
fn program() -> Result<PathBuf> {
    let demo = std::env::current_exe().map_err(Failure::of("the demo's own path"))?;
    let program = demo
        .ancestors()
        .nth(2)
        .map(|folder| folder.join("portcullis"));
    program
        .filter(|program| program.is_file())
        .ok_or_else(|| Failure::new("the service is not built: run `make demo`"))
}
