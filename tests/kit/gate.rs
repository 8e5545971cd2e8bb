//! The service itself, as a process.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::child::Running;
use super::{Failure, Result, ports};

const START_LIMIT: Duration = Duration::from_secs(15);

/// The three listeners of one instance.
#[derive(Clone, Copy)]
pub struct Ports {
    pub verify: u16,
    pub portal: u16,
    pub admin: u16,
}

impl Ports {
    pub fn free() -> Self {
        Self {
            verify: ports::free(),
            portal: ports::free(),
            admin: ports::free(),
        }
    }
}

pub struct Gate {
    pub running: Running,
    pub ports: Ports,
    /// The file.
    pub configuration: PathBuf,
    pub session_secret_file: PathBuf,
}

pub struct Settings<'a> {
    pub ports: Ports,
    pub public_url: &'a str,
    pub issuer: &'a str,
    pub client_id: &'a str,
    pub client_secret_file: &'a Path,
    pub ca_file: &'a Path,
    pub log_level: &'a str,
    /// TOML: further lines of the table `server`. Without the listeners among them, those are at `ports`.
    pub server: &'a str,
    /// TOML: further lines of the table `session`. Without a store among them, sessions are kept in a file.
    pub session: &'a str,
    /// TOML: policies and services.
    pub rules: &'a str,
}

impl Gate {
    /// Starts `program` and waits until it says that it is ready.
    ///
    /// # Errors
    ///
    /// When it does not start, with what it said.
    pub async fn start(program: &Path, folder: &Path, settings: &Settings<'_>) -> Result<Self> {
        // Not there yet: the service makes one for itself.
        let session_secret_file = folder.join("session_secret");
        let file = folder.join("portcullis.toml");
        std::fs::write(&file, configuration(settings, &session_secret_file))
            .map_err(Failure::of(file.display()))?;
        let log = folder.join("portcullis.log");
        let mut running = Running::start("portcullis", program, &log, |command| {
            command.args(["serve", "--config"]).arg(&file);
        })?;
        let url = format!("http://127.0.0.1:{}/health/ready", settings.ports.admin);
        let client = plain_client()?;
        let started = running.wait_for(START_LIMIT, || async {
            let answer = client.get(&url).send().await.map_err(Failure::new)?;
            answer.error_for_status().map(drop).map_err(Failure::new)
        });
        started.await?;
        Ok(Self {
            running,
            ports: settings.ports,
            configuration: file,
            session_secret_file,
        })
    }
}

/// For the listeners that are not behind a proxy.
pub fn plain_client() -> Result<reqwest::Client> {
    super::browser::install_crypto();
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .tls_certs_only([])
        .timeout(Duration::from_secs(10))
        .build()
        .map_err(Failure::of("HTTP client"))
}

fn configuration(settings: &Settings<'_>, session_secret_file: &Path) -> String {
    format!(
        r#"[server]
{listeners}
admin_listen = "127.0.0.1:{admin}"
public_url = "{public_url}"
{server}

[oidc]
issuer = "{issuer}"
client_id = "{client_id}"
client_secret_file = "{client_secret}"
ca_file = "{ca}"

[session]
{store}
secret_file = "{session_secret}"
{session}

[log]
format = "json"
level = "{level}"

{rules}"#,
        listeners = if settings.server.contains("listen = ") {
            String::new()
        } else {
            let Ports { verify, portal, .. } = settings.ports;
            format!("listen = \"127.0.0.1:{verify}\"\nportal_listen = \"127.0.0.1:{portal}\"")
        },
        admin = settings.ports.admin,
        public_url = settings.public_url,
        server = settings.server,
        issuer = settings.issuer,
        client_id = settings.client_id,
        client_secret = settings.client_secret_file.display(),
        ca = settings.ca_file.display(),
        session_secret = session_secret_file.display(),
        level = settings.log_level,
        session = settings.session,
        store = if settings.session.contains("store = ") {
            ""
        } else {
            // A disk that has just taken in a whole build may keep a commit waiting for seconds.
            "store = \"file:portcullis.redb\"\nstore_timeout = \"10s\""
        },
        rules = settings.rules,
    )
}
