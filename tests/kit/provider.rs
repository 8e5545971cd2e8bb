//! The real OpenID Provider (`tests/stack/provider`), which listens behind Caddy.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Method;

use super::ask::Ask;
use super::browser::Browser;
use super::child::Running;
use super::page::Page;
use super::{Failure, Result, gate, ports, tools};

pub const CLIENT_ID: &str = "portcullis";

/// For the first answer through the proxy, certificate included.
const START_LIMIT: Duration = Duration::from_secs(30);

pub struct Provider {
    pub running: Running,
    pub port: u16,
    pub client_secret_file: PathBuf,
    issuer: String,
    issued: PathBuf,
    control_port: u16,
}

pub struct Settings<'a> {
    /// As browsers and the service see it.
    pub issuer: &'a str,
    /// The relying party's `public_url`.
    pub relying_party: &'a str,
}

/// What is special about a provider.
#[derive(Clone, Copy)]
pub struct Special<'a> {
    /// What ID tokens are signed with.
    pub algorithm: &'a str,
    /// A file with its keys, which is made when there is none; else there is a new one.
    pub keys: Option<&'a Path>,
    pub environment: &'a [(String, String)],
}

/// What most providers are.
pub const USUAL: Special<'static> = Special {
    algorithm: "RS256",
    keys: None,
    environment: &[],
};

impl Provider {
    /// Starts it; see [`metadata`](Self::metadata) for when it answers.
    ///
    /// # Errors
    ///
    /// When Node or the installed packages are missing.
    pub fn start(folder: &Path, settings: &Settings<'_>) -> Result<Self> {
        Self::start_signing(folder, settings, USUAL.algorithm)
    }

    /// The same with ID tokens that are signed with `algorithm`.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn start_signing(folder: &Path, settings: &Settings<'_>, algorithm: &str) -> Result<Self> {
        let own = [settings.relying_party.to_owned()];
        let special = Special { algorithm, ..USUAL };
        Self::start_on(ports::free(), folder, settings.issuer, &own, special)
    }

    /// Starts it on a port of the test's choice, for several relying parties.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn start_on(
        port: u16,
        folder: &Path,
        issuer: &str,
        relying_parties: &[String],
        special: Special<'_>,
    ) -> Result<Self> {
        let script = tools::source_root().join("tests/stack/provider/provider.mjs");
        if !script.with_file_name("node_modules").is_dir() {
            return Err(Failure::new(
                "the provider's packages are not installed: run `make tools`",
            ));
        }
        let client_secret_file = folder.join("client_secret");
        let answers = folder.join("issued.jsonl");
        // One that is started again keeps its secret.
        if !client_secret_file.exists() {
            write_secret(&client_secret_file, &random_secret()?)
                .map_err(Failure::of(folder.display()))?;
        }
        std::fs::write(&answers, "").map_err(Failure::of(folder.display()))?;
        let pages = |path: &str| {
            let urls = relying_parties.iter().map(|own| format!("{own}{path}"));
            urls.collect::<Vec<_>>().join(" ")
        };
        let control_port = ports::free();
        let log = folder.join("provider.log");
        let running = Running::start("provider", &tools::find("node")?, &log, |command| {
            command
                .arg(script)
                .env("PROVIDER_PORT", port.to_string())
                .env("PROVIDER_CONTROL_PORT", control_port.to_string())
                .env("PROVIDER_ALGORITHM", special.algorithm)
                .env("PROVIDER_ISSUER", issuer)
                .env("PROVIDER_CLIENT_ID", CLIENT_ID)
                .env("PROVIDER_CLIENT_SECRET_FILE", &client_secret_file)
                .env("PROVIDER_REDIRECT_URIS", pages("/callback"))
                .env("PROVIDER_POST_LOGOUT_REDIRECT_URIS", pages("/signed-out"))
                .env("PROVIDER_ISSUED_FILE", &answers);
            command.envs(special.environment.iter().cloned());
            if let Some(keys) = special.keys {
                command.env("PROVIDER_KEYS_FILE", keys);
            }
        })?;
        Ok(Self {
            running,
            port,
            client_secret_file,
            issuer: issuer.to_owned(),
            issued: answers,
            control_port,
        })
    }

    /// Waits until its metadata can be had through the proxy before it, and returns them.
    ///
    /// # Errors
    ///
    /// When they do not come, with what the provider said.
    pub async fn metadata(&mut self, root_pem: &[u8]) -> Result<Page> {
        let browser = Browser::new(root_pem)?;
        let url = format!("{}/.well-known/openid-configuration", self.issuer);
        let answered = self.running.wait_for(START_LIMIT, || async {
            let page = browser.ask(Ask::fetch(&url)).await?;
            if page.status == 200 {
                Ok(page)
            } else {
                Err(Failure(format!("{}", page.status)))
            }
        });
        answered.await
    }

    /// Waits until it listens.
    ///
    /// # Errors
    ///
    /// When it does not, with what the provider said.
    pub async fn listens(&mut self) -> Result<()> {
        let port = self.port;
        let connected = || async move {
            let connected = tokio::net::TcpStream::connect(("127.0.0.1", port)).await;
            connected.map(drop).map_err(Failure::new)
        };
        self.running.wait_for(START_LIMIT, connected).await
    }

    /// Replaces the key that signs ID tokens, without overlap.
    ///
    /// # Errors
    ///
    /// When the provider does not answer.
    pub async fn rotate_to(&self, algorithm: &str) -> Result<()> {
        self.control(Method::POST, &format!("rotate/{algorithm}"))
            .await
            .map(drop)
    }

    /// How often its keys were fetched.
    ///
    /// # Errors
    ///
    /// When the provider does not answer.
    pub async fn keys_fetched(&self) -> Result<u32> {
        let count = self.control(Method::GET, "keys-fetched").await?;
        count.parse().map_err(Failure::of("keys-fetched"))
    }

    /// What a user is a member of from now on.
    ///
    /// # Errors
    ///
    /// When the provider does not answer.
    pub async fn move_to(&self, user: &str, groups: &[&str]) -> Result<()> {
        let path = format!("users/{user}/groups/{}", groups.join(","));
        self.control(Method::POST, &path).await.map(drop)
    }

    /// Lets a user in no more.
    ///
    /// # Errors
    ///
    /// When the provider does not answer.
    pub async fn disable(&self, user: &str) -> Result<()> {
        let path = format!("users/{user}/disable");
        self.control(Method::POST, &path).await.map(drop)
    }

    async fn control(&self, method: Method, path: &str) -> Result<String> {
        let url = format!("http://127.0.0.1:{}/{path}", self.control_port);
        let request = gate::plain_client()?.request(method, &url);
        let answer = request.send().await.map_err(Failure::of(&url))?;
        let answer = answer.error_for_status().map_err(Failure::of(&url))?;
        answer.text().await.map_err(Failure::of(&url))
    }

    /// Every token answer so far, as JSON objects.
    pub fn issued(&self) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(&self.issued).unwrap_or_default();
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }
}

/// For nobody else to read: the service warns of a secret that others can.
///
/// # Errors
///
/// When the file cannot be written.
pub fn write_secret(file: &Path, secret: &str) -> io::Result<()> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(file)?.write_all(secret.as_bytes())
}

/// 256 bits in hexadecimal, from the system.
///
/// # Errors
///
/// When the system gives none.
pub fn random_secret() -> Result<String> {
    let mut bytes = [0; 32];
    File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .map_err(Failure::of("/dev/urandom"))?;
    Ok(bytes.map(|byte| format!("{byte:02x}")).concat())
}
