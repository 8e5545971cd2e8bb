//! The operator's words in, facts out. The configuration is read here and nowhere else: first as it
//! is written ([`RawConfig`]), then checked, all problems at once, into a [`Config`] that nobody
//! checks again.

mod drop_ins;
mod forms;
mod listeners;
mod load;
pub mod presets;
mod problems;
mod raw;
mod read;
mod schema;
mod secrets;
mod store_credentials;
mod validate;
pub mod watch;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use self::load::Folders;
use self::presets::PresetsInUse;

pub use self::forms::Texts;
pub use self::load::Variables;
pub use self::problems::{Problem, Problems};
pub use self::raw::{
    RawBypass, RawConfig, RawHeader, RawLog, RawOidc, RawPolicy, RawRequiredHeader, RawRule,
    RawServer, RawService, RawSession, RawUpstreamHeader,
};
pub use self::schema::schema;
pub use self::secrets::{SecretError, new_key};
pub use self::watch::WatchedSecret;
pub use crate::domain::session_key::SessionKey;
pub use crate::telemetry::subscriber::Format as LogFormat;

use crate::domain::dialects::Dialects;
use crate::domain::host::{Authority, Host};
use crate::domain::policy::Policies;
use crate::domain::proxies::TrustedProxies;
use crate::domain::redis_settings::RedisSettings;
use crate::domain::relying_party::OidcSettings;
use crate::domain::renewal::RenewalRules;
use crate::domain::service_table::ServiceTable;
use crate::domain::session::SessionLifetime;

/// What the program may rely on.
#[derive(Debug, Clone)]
pub struct Config {
    /// Listeners, and what stands before them.
    pub server: Server,
    /// The provider, and us as its relying party.
    pub oidc: OidcSettings,
    /// Where sessions are kept, and for how long.
    pub session: SessionSettings,
    /// By name; the built-in ones included.
    pub policies: Policies,
    /// What is protected, by host.
    pub services: ServiceTable,
    /// The presets that services were filled in from, by the services' names.
    pub presets: PresetsInUse,
    /// What is logged, and how.
    pub log: Log,
    /// Secrets that follow their files.
    pub watched: Vec<WatchedSecret>,
    /// What the operator should look at.
    pub warnings: Vec<Problem>,
}

/// Listeners, and what stands before them.
#[derive(Debug, Clone)]
pub struct Server {
    /// For `/verify`: the proxy alone.
    pub listen: Listen,
    /// For what browsers see.
    pub portal_listen: Listen,
    /// For health.
    pub admin_listen: Listen,
    /// For the commands of administrators.
    pub control_socket: ControlSocket,
    /// What browsers call the portal; its path is `/`.
    pub public_url: Url,
    /// Host and port of `public_url`.
    pub portal: Authority,
    /// Whose headers we believe.
    pub trusted_proxies: TrustedProxies,
    /// What every request of the proxy must carry in `Portcullis-Proxy`.
    pub proxy_secret: Option<SecretString>,
    /// In which dialects it may ask.
    pub dialects: Dialects,
    /// Who may open the sockets among the listeners.
    pub sockets: SocketAccess,
    /// Cookies without `Secure` and without prefixes: for development.
    pub allow_http: bool,
}

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// An address and a port; port 0 is any that is free.
    Tcp(SocketAddr),
    /// A socket in the file system.
    Unix(PathBuf),
}

/// What the name of a socket is longer by while it is made, in bytes: a dot, and the number of the process in hexadecimal.
/// The system's limit for a path holds for that name too.
pub const SOCKET_IN_MAKING: usize = 1 + 8;

/// Where the commands of administrators are taken: `portcullis sessions`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlSocket {
    /// At [`USUAL_CONTROL_SOCKET`], as long as its folder is there and the socket can be made.
    Usual,
    /// At this path.
    At(PathBuf),
    /// Nowhere.
    Off,
}

/// Where the control socket is when nobody says so.
pub const USUAL_CONTROL_SOCKET: &str = "/run/portcullis/control.sock";

/// Who may open a socket in the file system, apart from its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketAccess {
    /// Its permission bits.
    pub mode: u32,
    /// Its group; `None` for that of the process.
    pub group: Option<u32>,
}

/// Where sessions are kept, and for how long.
#[derive(Debug, Clone)]
pub struct SessionSettings {
    /// Where.
    pub store: StoreLocation,
    /// How long one call to the store may take.
    pub store_timeout: Duration,
    /// How long sessions that were read before count while the store does not answer.
    pub store_grace: Duration,
    /// What seals them.
    pub secret: SessionSecret,
    /// How long they live.
    pub lifetime: SessionLifetime,
    /// How their tokens are renewed.
    pub renewal: RenewalRules,
    /// Domains whose hosts share one cookie; none lies below another.
    pub cookie_domains: Vec<Host>,
}

/// Where sessions are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreLocation {
    /// In this process: they end with it.
    Memory,
    /// In this file, which may be still to be made; its folder is there.
    File(PathBuf),
    /// In this Redis, which others may share.
    Redis(RedisSettings),
}

/// The keys that seal sessions, tickets and login attempts.
#[derive(Debug, Clone)]
pub enum SessionSecret {
    /// These: the first seals, all of them open. Never empty.
    Keys(Vec<SessionKey>),
    /// This file does not exist yet; it is made when the service starts.
    ToBeMade(PathBuf),
    /// One that lives as long as the process.
    Ephemeral,
}

/// What is logged, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    /// From which level on.
    pub level: tracing::Level,
    /// How.
    pub format: LogFormat,
}

impl Config {
    /// Reads the configuration of this process: the file `path`, else the one that
    /// `$PORTCULLIS_CONFIG` names, else `/etc/portcullis/portcullis.toml`; then the environment.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, at once.
    pub fn load(path: Option<&Path>) -> Result<Self, Problems> {
        Self::load_with(path, &load::variables())
    }

    /// As [`load`](Self::load), with `variables` for an environment.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, at once.
    pub fn load_with(path: Option<&Path>, variables: &Variables) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        match load::load(path, variables, &mut problems) {
            Some(loaded) => validate::validate(&loaded.raw, &loaded.folders, problems),
            None => Err(problems),
        }
    }

    /// Checks `raw`. Relative paths in it begin at `base`.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, at once.
    pub fn from_raw(raw: &RawConfig, base: &Path) -> Result<Self, Problems> {
        let folders = Folders {
            configuration: base.to_owned(),
            credentials: None,
        };
        validate::validate(raw, &folders, Problems::default())
    }
}

/// Where the service that uses the configuration `path` answers about its health, and what kept that from being
/// read: then it is the default. Mistakes elsewhere in the configuration are no matter, and no secret is read.
#[must_use]
pub fn admin_listen(path: Option<&Path>) -> (Listen, Vec<Problem>) {
    listeners::admin_listen(path, &load::variables())
}

/// Where the service that uses the configuration `path` takes the commands of administrators, and what kept that from
/// being read, in the same way.
#[must_use]
pub fn control_socket(path: Option<&Path>) -> (ControlSocket, Vec<Problem>) {
    listeners::control_socket(path, &load::variables())
}

impl std::fmt::Display for Listen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;

#[cfg(test)]
mod pattern_tests;

#[cfg(test)]
mod preset_tests;

#[cfg(test)]
mod redis_store_tests;

#[cfg(test)]
mod secret_tests;

#[cfg(test)]
mod store_tests;
