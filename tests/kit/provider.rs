//! The real OpenID Provider (`tests/stack/provider`), which listens behind Caddy.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::browser::{Ask, Browser, Page};
use super::child::Running;
use super::{Failure, Result, ports, tools};

pub const CLIENT_ID: &str = "portcullis";

/// For the first answer through the proxy, certificate included.
const START_LIMIT: Duration = Duration::from_secs(30);

pub struct Provider {
    pub running: Running,
    pub port: u16,
    pub client_secret_file: PathBuf,
    issuer: String,
    issued: PathBuf,
}

pub struct Settings<'a> {
    /// As browsers and the service see it.
    pub issuer: &'a str,
    /// The relying party's `public_url`.
    pub relying_party: &'a str,
    /// Seconds.
    pub access_token_lifetime: u32,
}

impl Provider {
    /// Starts it; see [`metadata`](Self::metadata) for when it answers.
    ///
    /// # Errors
    ///
    /// When Node or the installed packages are missing.
    pub fn start(folder: &Path, settings: &Settings<'_>) -> Result<Self> {
        let script = tools::source_root().join("tests/stack/provider/provider.mjs");
        if !script.with_file_name("node_modules").is_dir() {
            return Err(Failure::new(
                "the provider's packages are not installed: run `make tools`",
            ));
        }
        let client_secret_file = folder.join("client_secret");
        let issued = folder.join("issued.jsonl");
        std::fs::write(&client_secret_file, random_secret()?)
            .and_then(|()| std::fs::write(&issued, ""))
            .map_err(Failure::of(folder.display()))?;
        let port = ports::free();
        let own = settings.relying_party;
        let log = folder.join("provider.log");
        let running = Running::start("provider", &tools::find("node")?, &log, |command| {
            command
                .arg(script)
                .env("PROVIDER_PORT", port.to_string())
                .env("PROVIDER_ISSUER", settings.issuer)
                .env("PROVIDER_CLIENT_ID", CLIENT_ID)
                .env("PROVIDER_CLIENT_SECRET_FILE", &client_secret_file)
                .env("PROVIDER_REDIRECT_URIS", format!("{own}/callback"))
                .env(
                    "PROVIDER_POST_LOGOUT_REDIRECT_URIS",
                    format!("{own}/signed-out"),
                )
                .env(
                    "PROVIDER_ACCESS_TTL",
                    settings.access_token_lifetime.to_string(),
                )
                .env("PROVIDER_ISSUED_FILE", &issued);
        })?;
        Ok(Self {
            running,
            port,
            client_secret_file,
            issuer: settings.issuer.to_owned(),
            issued,
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

    /// Every token answer so far, as JSON objects.
    pub fn issued(&self) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(&self.issued).unwrap_or_default();
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }
}

/// 256 bits in hexadecimal, from the system.
pub fn random_secret() -> Result<String> {
    use std::fmt::Write;
    use std::io::Read;

    let mut bytes = [0; 32];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .map_err(Failure::of("/dev/urandom"))?;
    let mut text = String::new();
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a string takes all");
    }
    Ok(text)
}
