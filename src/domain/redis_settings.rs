//! How a Redis is reached, and what is shown to it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{SecretSlice, SecretString};

/// A Redis, and how it is talked to.
#[derive(Debug, Clone)]
pub struct RedisSettings {
    /// Where it listens, or who tells.
    pub servers: RedisServers,
    /// Whether TLS is spoken to it, and to whoever tells where it is.
    pub tls: bool,
    /// The number of the database.
    pub database: u32,
    /// Our name in its access control list; `None` for the default user.
    pub user: Option<String>,
    /// What is shown to it, and what it is recognised by.
    pub credentials: Arc<dyn RedisCredentialSource>,
    /// How long one call may take, everything included.
    pub timeout: Duration,
}

/// The same Redis, talked to in the same way. Credentials are the same when they come from one source: what they are
/// at the moment is not looked at.
impl PartialEq for RedisSettings {
    fn eq(&self, other: &Self) -> bool {
        let parts = |settings: &Self| (settings.tls, settings.database, settings.timeout);
        self.servers == other.servers
            && self.user == other.user
            && parts(self) == parts(other)
            && Arc::ptr_eq(&self.credentials, &other.credentials)
    }
}

impl Eq for RedisSettings {}

/// The form in which a Redis is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedisServers {
    /// One server, always at the same address.
    One(RedisAddress),
    /// A primary with replicas. Sentinels know which of them is the primary at the moment.
    Sentinel {
        /// Where the sentinels listen: at least one.
        sentinels: Vec<RedisAddress>,
        /// The name under which they know the primary.
        primary: String,
        /// Our name in their own access control list; `None` for their default user.
        user: Option<String>,
    },
    /// A Redis Cluster: several primaries, each with a part of the keys.
    Cluster {
        /// Nodes that are asked for the others: at least one.
        seeds: Vec<RedisAddress>,
    },
}

/// Where a Redis listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RedisAddress {
    /// A name or an address, and a port.
    Tcp {
        /// A name, an IPv4 address, or an IPv6 address without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// A socket in the file system.
    Unix(PathBuf),
}

impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// For people: never with a password.
impl fmt::Display for RedisSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, database) = (if self.tls { "rediss" } else { "redis" }, self.database);
        match &self.servers {
            RedisServers::One(address @ RedisAddress::Unix(_)) => {
                write!(f, "redis+unix://{address}?db={database}")
            }
            RedisServers::One(address) => write!(f, "{scheme}://{address}/{database}"),
            RedisServers::Sentinel {
                sentinels, primary, ..
            } => {
                let sentinels = listed(sentinels);
                write!(f, "{scheme}+sentinel://{sentinels}/{primary}/{database}")
            }
            RedisServers::Cluster { seeds } => write!(f, "{scheme}+cluster://{}", listed(seeds)),
        }
    }
}

fn listed(addresses: &[RedisAddress]) -> String {
    let addresses = addresses.iter().map(ToString::to_string);
    addresses.collect::<Vec<_>>().join(",")
}

/// Where the password and the certificates come from. They are asked for whenever a connection is made, so
/// that changed ones need no restart.
pub trait RedisCredentialSource: fmt::Debug + Send + Sync {
    /// Reads them as they are now. May block for as long as reading a file takes.
    ///
    /// # Errors
    ///
    /// What is wrong with which file, for people; never what it holds.
    fn read(&self) -> Result<RedisCredentials, String>;
}

/// What is shown to a Redis, and what it is recognised by.
#[derive(Debug, Clone, Default)]
pub struct RedisCredentials {
    /// The password.
    pub password: Option<SecretString>,
    /// What is shown to sentinels, which have a password of their own or none.
    pub sentinel_password: Option<SecretString>,
    /// Certificates (PEM): whoever is certified by one of them is believed, and nobody else. `None` for
    /// those of the system.
    pub roots: Option<Vec<u8>>,
    /// What we are recognised by.
    pub client: Option<ClientCertificate>,
}

/// A certificate of ours.
#[derive(Debug, Clone)]
pub struct ClientCertificate {
    /// The certificate, and those between it and the root (PEM).
    pub chain: Vec<u8>,
    /// Its private key (PEM).
    pub key: SecretSlice<u8>,
}
