//! A real Caddy with a certificate authority of its own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::child::Running;
use super::{Failure, Result, ports, tools};

/// Making the authority's keys and the first certificate takes a moment.
const START_LIMIT: Duration = Duration::from_secs(30);

/// The release that the documents ask for.
pub const CURRENT: &str = "caddy";
/// Debian's, from before Caddy took a client's own copies of the copied headers away.
pub const DEBIAN: &str = "caddy-2.6";

pub struct Caddy {
    pub running: Running,
    pub https_port: u16,
    storage: PathBuf,
}

impl Caddy {
    /// Starts Caddy on `https_port` with these sites; all that it writes goes below `folder`.
    ///
    /// # Errors
    ///
    /// When it does not start, with what it said.
    pub async fn start(folder: &Path, https_port: u16, sites: &str) -> Result<Self> {
        Self::start_program(CURRENT, folder, https_port, sites).await
    }

    /// The same with one of the programs that `make tools` installs.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn start_program(
        program: &str,
        folder: &Path,
        https_port: u16,
        sites: &str,
    ) -> Result<Self> {
        let storage = storage_below(folder);
        std::fs::create_dir_all(&storage).map_err(Failure::of(storage.display()))?;
        let file = folder.join("Caddyfile");
        let text = format!("{}{sites}", global_options(https_port, &storage));
        std::fs::write(&file, text).map_err(Failure::of(file.display()))?;
        let log = folder.join("caddy.log");
        let mut running = Running::start("Caddy", &tools::find(program)?, &log, |command| {
            command
                .args(["run", "--adapter", "caddyfile", "--config"])
                .arg(&file);
            // Caddy would else write its autosave and look for keys in the user's folders.
            command
                .env("XDG_CONFIG_HOME", &storage)
                .env("XDG_DATA_HOME", &storage);
        })?;
        let root = root_certificate_in(&storage);
        let started = running.wait_for(START_LIMIT, || async {
            if !root.is_file() {
                return Err(Failure::new("no root certificate yet"));
            }
            let connected = tokio::net::TcpStream::connect(("127.0.0.1", https_port)).await;
            connected.map(drop).map_err(Failure::new)
        });
        started.await?;
        Ok(Self {
            running,
            https_port,
            storage,
        })
    }

    /// The certificate of the authority that signs what this Caddy shows.
    pub fn root_certificate(&self) -> PathBuf {
        root_certificate_in(&self.storage)
    }

    /// Where that will be for a Caddy that starts in `folder`.
    pub fn root_certificate_below(folder: &Path) -> PathBuf {
        root_certificate_in(&storage_below(folder))
    }

    /// Certificate chain and key that Caddy made for `host`.
    pub fn certificate_of(&self, host: &str) -> (PathBuf, PathBuf) {
        let folder = self.storage.join("certificates/local").join(host);
        (
            folder.join(format!("{host}.crt")),
            folder.join(format!("{host}.key")),
        )
    }
}

fn storage_below(folder: &Path) -> PathBuf {
    folder.join("caddy")
}

fn root_certificate_in(storage: &Path) -> PathBuf {
    storage.join("pki/authorities/local/root.crt")
}

fn global_options(https_port: u16, storage: &Path) -> String {
    format!(
        "{{
	admin off
	local_certs
	skip_install_trust
	auto_https disable_redirects
	http_port {http}
	https_port {https_port}
	default_bind 127.0.0.1
	storage file_system \"{storage}\"
}}

",
        http = ports::free(),
        storage = storage.display(),
    )
}
