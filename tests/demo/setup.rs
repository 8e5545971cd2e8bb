//! The programs of the demo and how they are put together.

use std::path::PathBuf;

use crate::kit::browser::Browser;
use crate::kit::caddy::Caddy;
use crate::kit::gate::{self, Gate};
use crate::kit::provider::{self, Provider};
use crate::kit::upstream::Upstream;
use crate::kit::{Failure, Result, example, ports, tools};

pub const FILMS: &str = "films.localhost";
pub const NOTES: &str = "notes.localhost";
pub const PORTAL: &str = "auth.localhost";
const ISSUER: &str = "id.localhost";

const RULES: &str = r#"
[policies]
admins = { allowed_groups = ["admins"] }
media = { allowed_groups = ["admins", "media"] }

[services.films]
host = "films.localhost"
policy = "media"

[services.notes]
host = "notes.localhost"
policy = "admins"
"#;

// Stopped in this order: first what lets people in.
pub struct Demo {
    caddy: Caddy,
    gate: Gate,
    provider: Provider,
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
        let (films, notes) = (Upstream::start("films")?, Upstream::start("notes")?);
        let url = |host: &str| format!("https://{host}:{port}");
        let (issuer, public_url) = (url(ISSUER), url(PORTAL));
        let mut provider = Provider::start(
            &folder,
            &provider::Settings {
                issuer: &issuer,
                relying_party: &public_url,
            },
        )?;
        let places = example::Places {
            gate: gate_ports,
            portal: PORTAL,
            apps: [(FILMS, films.port), (NOTES, notes.port)],
        };
        let sites = format!(
            "{}\n{ISSUER} {{\n\treverse_proxy 127.0.0.1:{}\n}}\n",
            example::fitted_to(&places)?,
            provider.port
        );
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
                session: "",
                rules: RULES,
            },
        )
        .await?;
        Ok(Self {
            caddy,
            gate,
            provider,
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
        format!(
            "
Portcullis runs. Open one of the apps in a browser on this machine:

  {films:<32} for the groups admins and media
  {notes:<32} for the group admins
  {portal:<32} the portal: where you sign in and out
  {issuer:<32} the provider, an OpenID Provider with these users:

  ada  (admins)    gets into both apps
  ben  (media)     gets into films; notes refuses him with 403
  eve  (no group)  is refused by both

Try: sign in at films as ada, then open notes (no second login), sign out at either, and
look at both again. Or without a session:  curl -ki {films}

The browser will warn: Caddy signs with an authority of its own. Go on, or import its root:
  {root}
What the programs write, and the configuration they run on:
  {folder}

Ctrl-C stops everything.
",
            films = self.url(FILMS, "/"),
            notes = self.url(NOTES, "/"),
            portal = self.url(PORTAL, "/"),
            issuer = self.url(ISSUER, ""),
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
