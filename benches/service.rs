//! The service under measurement: the release binary, on one core and so with one worker, without its provider.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use portcullis::config::new_key;
use secrecy::ExposeSecret;

use crate::client;
use crate::kit::child::Running;
use crate::kit::gate::Ports;
use crate::kit::provider::write_secret;
use crate::kit::{Failure, Result, ports};
use crate::machine;

const START_LIMIT: Duration = Duration::from_secs(15);

/// The binary, built as it is shipped.
pub fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_portcullis"))
}

/// Where sessions are kept.
pub struct Store<'a> {
    /// For `session.store`.
    pub url: &'a str,
    pub password_file: Option<&'a Path>,
}

/// A configuration and its secrets, below a folder of its own.
pub struct Configuration {
    pub file: PathBuf,
    pub folder: PathBuf,
    pub ports: Ports,
}

impl Configuration {
    /// Writes it. The session's key is that of the folder above, which all share.
    pub fn write(folder: &Path, name: &str, store: &Store<'_>) -> Result<Self> {
        let own = folder.join(name);
        fs::create_dir_all(&own).map_err(Failure::of(own.display()))?;
        let key = folder.join("session_secret");
        for file in [key, folder.join("client_secret"), folder.join("api_key")] {
            if !file.exists() {
                let secret = new_key();
                write_secret(&file, secret.expose_secret()).map_err(Failure::of(file.display()))?;
            }
        }
        let (file, ports) = (own.join("portcullis.toml"), Ports::free());
        let text = text(folder, ports, store);
        fs::write(&file, text).map_err(Failure::of(file.display()))?;
        Ok(Self {
            file,
            folder: own,
            ports,
        })
    }

    /// Starts the service with it.
    pub async fn start(self) -> Result<Service> {
        let program = machine::pinned(&self.folder, machine::MEASURED, program())?;
        self.start_as(&program).await
    }

    /// The same on whichever cores there are.
    pub async fn start_on_all_cores(self) -> Result<Service> {
        self.start_as(program()).await
    }

    async fn start_as(self, program: &Path) -> Result<Service> {
        let log = self.folder.join("log");
        let mut running = Running::start("portcullis", program, &log, |command| {
            command.args(["serve", "--config"]).arg(&self.file);
        })?;
        let admin = self.ports.admin;
        let ready = || async {
            let answer = client::ask(admin, &get("/health/ready"))?;
            let is_ready = answer.status == 200;
            is_ready.then_some(()).ok_or(Failure::new("not ready"))
        };
        running.wait_for(START_LIMIT, ready).await?;
        Ok(Service {
            running,
            ports: self.ports,
            configuration: self,
        })
    }
}

/// A running service.
pub struct Service {
    pub running: Running,
    pub ports: Ports,
    pub configuration: Configuration,
}

impl Service {
    /// What it has counted so far.
    pub fn counted(&self, name: &str) -> Result<u64> {
        Ok(sum(&self.metrics()?, name, ""))
    }

    /// How many decisions there were: those that let somebody in, and all.
    pub fn decisions(&self) -> Result<(u64, u64)> {
        // At one moment: some may still be under way.
        let (metrics, name) = (self.metrics()?, "portcullis_decisions_total");
        let allowed = sum(&metrics, name, "outcome=\"allow\"");
        Ok((allowed, sum(&metrics, name, "")))
    }

    fn metrics(&self) -> Result<String> {
        let answer = client::ask(self.ports.admin, &get("/metrics"))?;
        Ok(String::from_utf8_lossy(&answer.body).into_owned())
    }
}

/// The samples of this name whose labels hold `label`.
fn sum(metrics: &str, name: &str, label: &str) -> u64 {
    let of_name = metrics.lines().filter_map(|line| line.strip_prefix(name));
    of_name
        .filter(|rest| rest.starts_with(['{', ' ']) && rest.contains(label))
        .filter_map(|rest| rest.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}

/// A request to a listener that is not behind a proxy.
pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

/// A dozen apps, as a small installation has them. The provider does not answer: nobody signs in here.
fn text(folder: &Path, ports: Ports, store: &Store<'_>) -> String {
    let password = store.password_file.map_or_else(String::new, |file| {
        format!("store_password_file = \"{}\"", file.display())
    });
    let others = [
        "grafana", "sonarr", "radarr", "wiki", "git", "cloud", "photos", "mail", "books", "music",
    ];
    let others = others.map(|name| {
        format!("[services.{name}]\nhost = \"{name}.example.net\"\npolicy = \"users\"\n\n")
    });
    format!(
        r#"[server]
listen = "127.0.0.1:{verify}"
portal_listen = "127.0.0.1:{portal}"
admin_listen = "127.0.0.1:{admin}"
control_socket = "off"
public_url = "https://auth.example.net"

[oidc]
issuer = "https://127.0.0.1:{closed}"
client_id = "portcullis"
client_secret_file = "{folder}/client_secret"

[session]
store = "{store}"
{password}
secret_file = "{folder}/session_secret"

[policies]
admins = {{ allowed_groups = ["admins"] }}
users = {{ allowed_groups = ["admins", "users"] }}
media = {{ allowed_groups = ["admins", "users", "media"] }}

[services.films]
host = "films.example.net"
posture = "trusted_header"
policy = "media"
[[services.films.bypass]]
paths = ["/ping", "/feed/*"]
[[services.films.rules]]
paths = ["/admin/*"]
policy = "admins"

[services.papers]
host = "papers.example.net"
posture = "hybrid"
policy = "users"
upstream_headers = [{{ name = "X-Api-Key", value_file = "{folder}/api_key" }}]

{others}"#,
        verify = ports.verify,
        portal = ports.portal,
        admin = ports.admin,
        closed = ports::free(),
        folder = folder.display(),
        store = store.url,
        others = others.concat(),
    )
}
