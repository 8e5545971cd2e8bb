//! The service under test, as one scenario wants it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use crate::kit::child::{Running, Stdout};
use crate::kit::gate::plain_client;
use crate::kit::provider::write_secret;
use crate::kit::{Failure, Result, provider, tools};
use crate::proc;
use crate::world::Slot;

/// For a start in a debug build on a busy machine. It takes some 50 ms on an idle one.
const START_LIMIT: Duration = Duration::from_secs(10);

const LOG_LIMIT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);

const OWN: &str = env!("CARGO_BIN_EXE_portcullis");

/// How it is set up and started.
pub struct Plan {
    /// `session.store`.
    pub store: String,
    /// TOML: further lines of `server`.
    pub server: String,
    /// TOML: further lines of `session`.
    pub session: String,
    /// TOML: further lines of `oidc`.
    pub oidc: String,
    pub issuer: String,
    pub client_secret_file: PathBuf,
    /// Where it listens.
    pub address: &'static str,
    /// A program and its arguments that start the service as their own last argument.
    pub launcher: Vec<String>,
    pub environment: Vec<(String, String)>,
    pub stdout: Stdout,
}

impl Plan {
    pub fn new(issuer: &str, client_secret_file: &Path) -> Self {
        Self {
            store: "memory:".to_owned(),
            server: String::new(),
            session: String::new(),
            oidc: String::new(),
            issuer: issuer.to_owned(),
            client_secret_file: client_secret_file.to_owned(),
            address: "127.0.0.1",
            launcher: Vec::new(),
            environment: Vec::new(),
            stdout: Stdout::Kept,
        }
    }
}

/// The service, started and perhaps stopped again.
pub struct Service {
    running: Option<Running>,
    /// Of the listener for administrators.
    admin: String,
    client: reqwest::Client,
    log: PathBuf,
    config: PathBuf,
}

impl Service {
    /// Writes the configuration below `folder`, and starts nothing yet.
    ///
    /// # Errors
    ///
    /// When a file cannot be written.
    pub fn prepare(folder: &Path, slot: &Slot, public_url: &str, plan: &Plan) -> Result<Self> {
        let config = folder.join("portcullis.toml");
        std::fs::write(&config, configuration(folder, slot, public_url, plan))
            .map_err(Failure::of(config.display()))?;
        let secret = folder.join("session_secret");
        if !secret.exists() {
            let made = Command::new(OWN)
                .arg("secret")
                .output()
                .map_err(Failure::of("secret"))?;
            write_secret(&secret, &String::from_utf8_lossy(&made.stdout))
                .map_err(Failure::of(secret.display()))?;
        }
        Ok(Self {
            running: None,
            admin: format!("{}:{}", plan.address, slot.ports.admin),
            client: plain_client()?,
            log: folder.join("portcullis.log"),
            config,
        })
    }

    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Starts it and waits until it is alive. Tells how long that took.
    ///
    /// # Errors
    ///
    /// When it does not start, with what it said.
    pub async fn start(&mut self, plan: &Plan) -> Result<Duration> {
        self.stop();
        let begun = Instant::now();
        let mut words = plan.launcher.clone();
        words.extend([OWN.to_owned(), "serve".to_owned(), "--config".to_owned()]);
        let (first, arguments) = words
            .split_first()
            .expect("the service's own name at least");
        let program = if first.contains('/') {
            PathBuf::from(first)
        } else {
            tools::find(first)?
        };
        let set_up = |command: &mut Command| {
            command
                .args(arguments)
                .arg(&self.config)
                .envs(plan.environment.iter().cloned());
        };
        let running = Running::start_with("portcullis", &program, &self.log, plan.stdout, set_up)?;
        let running = self.running.insert(running);
        let (client, admin) = (&self.client, &self.admin);
        let alive = || async move {
            match health(client, admin, "live").await? {
                200 => Ok(()),
                other => Err(Failure(format!("live is {other}"))),
            }
        };
        running.wait_for(START_LIMIT, alive).await?;
        Ok(begun.elapsed())
    }

    /// The running process.
    ///
    /// # Errors
    ///
    /// When it was not started, or has ended.
    pub fn running(&mut self) -> Result<&mut Running> {
        let running = self
            .running
            .as_mut()
            .ok_or_else(|| Failure::new("not started"))?;
        match running.has_ended() {
            None => Ok(running),
            Some(status) => Err(Failure(format!(
                "the service has ended: {status}\n{}",
                running.last_words()
            ))),
        }
    }

    /// Ends it as a loss of power would.
    pub fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.kill();
        }
    }

    /// Asks it to stop, and does not wait for it.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub fn ask_to_stop(&mut self) -> Result<()> {
        self.running()?.ask_to_stop();
        Ok(())
    }

    /// What it ended with, if it has.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.running.as_mut()?.has_ended()
    }

    /// Whether it is ready; `None` where it does not answer.
    pub async fn is_ready(&self) -> Option<bool> {
        let ready = health(&self.client, &self.admin, "ready").await;
        ready.ok().map(|status| status == 200)
    }

    /// Asks it to stop; `false` when it had to be killed or ended with an error.
    pub fn stop(&mut self) -> bool {
        let Some(mut running) = self.running.take() else {
            return true;
        };
        running.stop().is_some_and(|status| status.success())
    }

    /// All that it has logged.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until so many lines of the log hold `word`: it is written behind what is done.
    ///
    /// # Errors
    ///
    /// When they do not come.
    pub async fn logs(&self, word: &str, count: usize) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < LOG_LIMIT {
            if self
                .log()
                .lines()
                .filter(|line| line.contains(word))
                .count()
                >= count
            {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
        Err(Failure(format!(
            "the log does not have `{word}` {count} times"
        )))
    }

    /// Holds the status of both health endpoints against what it must be.
    ///
    /// # Errors
    ///
    /// When it is another one.
    pub async fn expect_health(&self, live: u16, ready: u16) -> Result<()> {
        let seen = (
            health(&self.client, &self.admin, "live").await?,
            health(&self.client, &self.admin, "ready").await?,
        );
        if seen == (live, ready) {
            return Ok(());
        }
        Err(Failure(format!(
            "live and ready are {seen:?}, not {:?}",
            (live, ready)
        )))
    }

    /// Waits until it is ready, and tells how long that took.
    ///
    /// # Errors
    ///
    /// When it does not within `limit`.
    pub async fn ready_within(&self, limit: Duration) -> Result<Duration> {
        let begun = Instant::now();
        loop {
            let ready = health(&self.client, &self.admin, "ready").await;
            match ready {
                Ok(200) => return Ok(begun.elapsed()),
                _ if begun.elapsed() > limit => {
                    return Err(Failure(format!("not ready within {limit:?}: {ready:?}")));
                }
                _ => tokio::time::sleep(POLL).await,
            }
        }
    }

    /// Memory in use, in KiB.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub fn memory_kib(&mut self) -> Result<usize> {
        proc::memory_kib(self.running()?.id())
    }

    /// How many files and connections it has open.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub fn open_files(&mut self) -> Result<usize> {
        proc::open_files(self.running()?.id())
    }

    /// Processor time that it took so far.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub fn processor_time(&mut self) -> Result<Duration> {
        proc::processor_time(self.running()?.id())
    }
}

async fn health(client: &reqwest::Client, admin: &str, name: &str) -> Result<u16> {
    let url = format!("http://{admin}/health/{name}");
    let answer = client.get(&url).send().await.map_err(Failure::of(name))?;
    Ok(answer.status().as_u16())
}

fn configuration(folder: &Path, slot: &Slot, public_url: &str, plan: &Plan) -> String {
    let mut text = String::new();
    let ports = slot.ports;
    // Writing to a string does not fail.
    let _ = write!(
        text,
        r#"[server]
listen = "{address}:{verify}"
portal_listen = "{address}:{portal}"
admin_listen = "{address}:{admin}"
public_url = "{public_url}"
{server}

[oidc]
issuer = "{issuer}"
client_id = "{client_id}"
client_secret_file = "{client_secret}"
{oidc}

[session]
store = "{store}"
secret_file = "{session_secret}"
{session}

[log]
format = "json"
level = "info"

[policies]
media = {{ allowed_groups = ["admins", "media"] }}

[services.films]
host = "{host}:{other_port}"
policy = "media"
[[services.films.bypass]]
paths = ["/open/*"]
"#,
        address = plan.address,
        verify = ports.verify,
        portal = ports.portal,
        admin = ports.admin,
        server = plan.server,
        issuer = plan.issuer,
        client_id = provider::CLIENT_ID,
        client_secret = plan.client_secret_file.display(),
        oidc = plan.oidc,
        store = plan.store,
        session_secret = folder.join("session_secret").display(),
        session = plan.session,
        host = slot.app_host,
        other_port = slot.other_port,
    );
    text
}
