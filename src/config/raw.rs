//! The configuration as the operator writes it. Nothing here is checked beyond its type; a key that
//! is not given is `None`, and the defaults are known to [`validate`](super::validate) alone.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};

/// All of it.
#[derive(Debug, Clone, Default)]
pub struct RawConfig {
    /// `danger_allow_inline_secrets`: secrets may stand in the file itself.
    pub danger_allow_inline_secrets: bool,
    /// `[server]`
    pub server: RawServer,
    /// `[oidc]`
    pub oidc: RawOidc,
    /// `[session]`
    pub session: RawSession,
    /// `[policies]`, by name.
    pub policies: BTreeMap<String, RawPolicy>,
    /// `[services]`, by name.
    pub services: BTreeMap<String, RawService>,
    /// `[log]`
    pub log: RawLog,
}

/// The listeners, and what stands before them.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, expecting = "a table")]
pub struct RawServer {
    /// `host:port` or `unix:/path`: `/verify`.
    pub listen: Option<String>,
    /// The same: what browsers see.
    pub portal_listen: Option<String>,
    /// The same: health.
    pub admin_listen: Option<String>,
    /// What browsers call the portal.
    pub public_url: Option<String>,
    /// Networks of the proxies.
    #[serde(deserialize_with = "list")]
    pub trusted_proxies: Option<Vec<String>>,
    /// What every request of the proxy must carry in `Portcullis-Proxy`.
    pub proxy_secret_file: Option<PathBuf>,
    /// Plain `http` for development.
    pub danger_allow_http: bool,
    /// Lets the portal lie under a path of another host than the issuer's: whatever else is served on that host can act
    /// as the portal then.
    pub danger_shared_portal_origin: bool,
}

/// The provider, and us as its relying party.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, expecting = "a table")]
pub struct RawOidc {
    /// Exactly as in its ID tokens.
    pub issuer: Option<String>,
    /// Our name there.
    pub client_id: Option<String>,
    /// Or the file that holds it.
    pub client_id_file: Option<PathBuf>,
    /// The file that holds our secret.
    pub client_secret_file: Option<PathBuf>,
    /// The secret itself, where inline secrets are allowed.
    pub client_secret: Option<SecretString>,
    /// What to ask for.
    #[serde(deserialize_with = "list")]
    pub scopes: Option<Vec<String>>,
    /// A claim name or JSON pointer.
    pub username_claim: Option<String>,
    /// The same.
    pub groups_claim: Option<String>,
    /// `auto`, `basic`, `post` or `none`.
    pub client_auth: Option<String>,
    /// Further parameters of the authorization request.
    #[serde(deserialize_with = "text_table")]
    pub authorize_params: BTreeMap<String, String>,
    /// Certificates (PEM) to trust beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Take an address without `email_verified`.
    pub danger_trust_unverified_email: bool,
    /// Plain `http` for the provider.
    pub danger_allow_http_endpoints: bool,
}

/// Where sessions are kept, and for how long.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, expecting = "a table")]
pub struct RawSession {
    /// A URL. It may hold a password, so it counts as a secret until it is read.
    pub store: Option<SecretString>,
    /// Keys, one a line, newest first.
    pub secret_file: Option<PathBuf>,
    /// Without being used.
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Option<Duration>,
    /// In all.
    #[serde(with = "humantime_serde")]
    pub lifetime: Option<Duration>,
}

/// What it takes to be let in.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, expecting = "a table")]
pub struct RawPolicy {
    /// One of these.
    #[serde(deserialize_with = "list")]
    pub allowed_groups: Option<Vec<String>>,
    /// All of these.
    #[serde(deserialize_with = "list")]
    pub required_groups: Option<Vec<String>>,
    /// None of these.
    #[serde(deserialize_with = "list")]
    pub denied_groups: Option<Vec<String>>,
}

/// An app to protect.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, expecting = "a table")]
pub struct RawService {
    /// One host, or several.
    #[serde(deserialize_with = "list")]
    pub host: Option<Vec<String>>,
    /// The name of a policy, or `from_proxy`.
    pub policy: Option<String>,
    /// Stand before `rules`, with the policy `bypass`.
    pub bypass: Vec<RawBypass>,
    /// Ordered.
    pub rules: Vec<RawRule>,
}

/// A rule of a service.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, expecting = "a table")]
pub struct RawRule {
    /// Exact (`/ping`) or below a folder (`/api/*`).
    #[serde(deserialize_with = "list")]
    pub paths: Option<Vec<String>>,
    /// Methods.
    #[serde(deserialize_with = "list")]
    pub methods: Option<Vec<String>>,
    /// Networks of clients.
    #[serde(deserialize_with = "list")]
    pub allowed_networks: Option<Vec<String>>,
    /// The name of a policy.
    pub policy: Option<String>,
}

/// A rule whose policy is `bypass`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, expecting = "a table")]
pub struct RawBypass {
    /// As in [`RawRule`].
    #[serde(deserialize_with = "list")]
    pub paths: Option<Vec<String>>,
    /// As in [`RawRule`].
    #[serde(deserialize_with = "list")]
    pub methods: Option<Vec<String>>,
    /// As in [`RawRule`].
    #[serde(deserialize_with = "list")]
    pub allowed_networks: Option<Vec<String>>,
}

/// What is logged, and how.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, expecting = "a table")]
pub struct RawLog {
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: Option<String>,
    /// `json` or `pretty`.
    pub format: Option<String>,
}

/// A list, or one text that is split at commas (an environment variable cannot hold a list). Blanks
/// around the parts of such a text go, and empty parts with them: `""` is a list of nothing.
fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    struct ListVisitor;

    impl<'de> Visitor<'de> for ListVisitor {
        type Value = Option<Vec<String>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of texts")
        }

        fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
            let parts = text.split(',').map(str::trim);
            let given = parts.filter(|part| !part.is_empty());
            Ok(Some(given.map(str::to_owned).collect()))
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut items = Vec::new();
            while let Some(item) = seq.next_element()? {
                items.push(item);
            }
            Ok(Some(items))
        }
    }

    deserializer.deserialize_any(ListVisitor)
}

/// A table of texts.
fn text_table<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    let table: Option<BTreeMap<String, String>> = Option::deserialize(deserializer)?;
    Ok(table.unwrap_or_default())
}
