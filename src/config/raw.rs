//! The configuration as the operator writes it. Nothing here is checked beyond its type; a key that
//! is not given is `None`, and the defaults are known to [`validate`](super::validate) alone.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

use super::forms::{self, Short, TextList, Texts, list, text_table};
use super::presets::Preset;

/// All of it.
#[derive(Debug, Clone, Default, JsonSchema)]
#[schemars(deny_unknown_fields, default, title = "Portcullis")]
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
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, expecting = "a table")]
#[schemars(deny_unknown_fields)]
pub struct RawServer {
    /// `host:port` or `unix:/path`: `/verify`.
    pub listen: Option<String>,
    /// The same: what browsers see.
    pub portal_listen: Option<String>,
    /// The same: health.
    pub admin_listen: Option<String>,
    /// A path, or `off`: where the commands of administrators are taken.
    pub control_socket: Option<String>,
    /// What browsers call the portal.
    pub public_url: Option<String>,
    /// Networks of the proxies.
    #[serde(deserialize_with = "list")]
    #[schemars(with = "Option<TextList>")]
    pub trusted_proxies: Option<Vec<String>>,
    /// What every request of the proxy must carry in `Portcullis-Proxy`.
    pub proxy_secret_file: Option<PathBuf>,
    /// In which dialects proxies ask: `forward-auth`, `nginx`, `envoy`.
    #[serde(deserialize_with = "list")]
    #[schemars(with = "Option<TextList>")]
    pub dialects: Option<Vec<String>>,
    /// Permission bits of Unix sockets, in octal.
    pub socket_mode: Option<String>,
    /// Their group: a name or a number.
    pub socket_group: Option<String>,
    /// Plain `http` for development.
    pub danger_allow_http: bool,
    /// Lets the portal lie under a path of another host than the issuer's: whatever else is served on that host can act
    /// as the portal then.
    pub danger_shared_portal_origin: bool,
}

/// The provider, and us as its relying party.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, expecting = "a table")]
#[schemars(deny_unknown_fields)]
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
    #[schemars(with = "Option<String>")]
    pub client_secret: Option<SecretString>,
    /// What to ask for.
    #[serde(deserialize_with = "list")]
    #[schemars(with = "Option<TextList>")]
    pub scopes: Option<Vec<String>>,
    /// A claim name or JSON pointer.
    pub username_claim: Option<String>,
    /// The same.
    pub groups_claim: Option<String>,
    /// When to ask userinfo.
    #[schemars(extend("enum" = ["when_needed", "always"]))]
    pub userinfo: Option<String>,
    /// `auto`, `basic`, `post` or `none`.
    #[schemars(extend("enum" = ["auto", "basic", "post", "none"]))]
    pub client_auth: Option<String>,
    /// Further parameters of the authorization request.
    #[serde(deserialize_with = "text_table")]
    #[schemars(with = "BTreeMap<String, String>")]
    pub authorize_params: BTreeMap<String, String>,
    /// How long sessions are kept whose tokens cannot be renewed.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>")]
    pub refresh_grace: Option<Duration>,
    /// Certificates (PEM) to trust beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Take an address without `email_verified`.
    pub danger_trust_unverified_email: bool,
    /// Plain `http` for the provider.
    pub danger_allow_http_endpoints: bool,
}

/// Where sessions are kept, and for how long.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, expecting = "a table")]
#[schemars(deny_unknown_fields)]
pub struct RawSession {
    /// A URL. It may hold a password, so it counts as a secret until it is read.
    #[schemars(with = "Option<String>")]
    pub store: Option<SecretString>,
    /// The file that holds the password for it.
    pub store_password_file: Option<PathBuf>,
    /// Our name in the access control list of its sentinels, which have one of their own.
    pub store_sentinel_user: Option<String>,
    /// The file that holds the password for them.
    pub store_sentinel_password_file: Option<PathBuf>,
    /// Certificates (PEM): the store's is believed when one of them has certified it, and not otherwise.
    pub store_ca_file: Option<PathBuf>,
    /// Our certificate (PEM) towards it.
    pub store_client_cert_file: Option<PathBuf>,
    /// And its private key (PEM).
    pub store_client_key_file: Option<PathBuf>,
    /// How long one call may take.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>")]
    pub store_timeout: Option<Duration>,
    /// How long sessions in use go on while it does not answer.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>")]
    pub store_grace: Option<Duration>,
    /// Keys, one a line, newest first.
    pub secret_file: Option<PathBuf>,
    /// Without being used.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>")]
    pub idle_timeout: Option<Duration>,
    /// In all.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>")]
    pub lifetime: Option<Duration>,
    /// What becomes of sessions whose issuer gives no refresh token.
    #[schemars(extend("enum" = ["session", "token"]))]
    pub without_refresh: Option<String>,
    /// Domains whose hosts share one cookie.
    #[serde(deserialize_with = "list")]
    #[schemars(with = "Option<TextList>")]
    pub cookie_domains: Option<Vec<String>>,
}

/// What it takes to be let in.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, expecting = "a table")]
#[schemars(deny_unknown_fields)]
pub struct RawPolicy {
    /// One of these.
    #[serde(deserialize_with = "list")]
    #[schemars(with = "Option<TextList>")]
    pub allowed_groups: Option<Vec<String>>,
    /// All of these.
    #[serde(deserialize_with = "list")]
    #[schemars(with = "Option<TextList>")]
    pub required_groups: Option<Vec<String>>,
    /// None of these.
    #[serde(deserialize_with = "list")]
    #[schemars(with = "Option<TextList>")]
    pub denied_groups: Option<Vec<String>>,
    /// One of these people: a subject, `name:ada` or `email:ada@example.net`.
    #[serde(deserialize_with = "list")]
    #[schemars(with = "Option<TextList>")]
    pub allowed_users: Option<Vec<String>>,
    /// A verified mail address at one of these domains.
    #[serde(deserialize_with = "list")]
    #[schemars(with = "Option<TextList>")]
    pub allowed_email_domains: Option<Vec<String>>,
    /// A sign-in at the provider within this, else another one.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>")]
    pub max_auth_age: Option<Duration>,
    /// A sign-in by one of these (`amr`), else another one.
    #[serde(deserialize_with = "list")]
    #[schemars(with = "Option<TextList>")]
    pub amr: Option<Vec<String>>,
}

/// An app to protect.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, expecting = "a table")]
#[schemars(deny_unknown_fields)]
pub struct RawService {
    /// One host, or several.
    #[serde(deserialize_with = "list")]
    #[schemars(with = "Option<TextList>")]
    pub host: Option<Vec<String>>,
    /// What people call it.
    pub name: Option<String>,
    /// Which app it is: a preset, which fills in what is not written here.
    #[schemars(extend("enum" = Preset::names().collect::<Vec<_>>()))]
    pub app: Option<String>,
    /// Bypasses of the preset, by name.
    #[serde(deserialize_with = "list")]
    #[schemars(with = "Option<TextList>")]
    pub preset_bypass: Option<Vec<String>>,
    /// How it is protected.
    #[schemars(extend("enum" = [
        "protect", "trusted_header", "hybrid", "native_oidc", "passthrough", "internal",
    ]))]
    pub posture: Option<String>,
    /// The name of a policy, or `from_proxy`.
    pub policy: Option<String>,
    /// Networks of the clients of an `internal` service.
    #[serde(deserialize_with = "list")]
    #[schemars(with = "Option<TextList>")]
    pub allowed_networks: Option<Vec<String>>,
    /// Stand before `rules`, with the policy `bypass`.
    pub bypass: Vec<RawBypass>,
    /// Ordered.
    pub rules: Vec<RawRule>,
    /// What the app is told about people: names of headers, or tables of a name and a claim.
    #[serde(deserialize_with = "forms::short_list")]
    #[schemars(with = "Option<Vec<Short<RawHeader>>>")]
    pub headers: Option<Vec<RawHeader>>,
    /// How the values of `headers` are written.
    #[schemars(extend("enum" = ["utf8", "percent", "ascii"]))]
    pub header_encoding: Option<String>,
    /// What stands between two groups: one character.
    pub group_separator: Option<String>,
    /// Credentials that the app is shown on behalf of people.
    pub upstream_headers: Vec<RawUpstreamHeader>,
    /// Whether pages of other sites are kept from writing to the app.
    pub same_origin_guard: Option<bool>,
    /// Origins whose pages may write to it in spite of the guard.
    #[serde(deserialize_with = "list")]
    #[schemars(with = "Option<TextList>")]
    pub allowed_origins: Option<Vec<String>>,
    /// Whether CORS preflights pass without anybody being signed in.
    pub cors_preflight: bool,
    /// User names that only these subjects may carry.
    pub reserved_users: Option<BTreeMap<String, Texts>>,
    /// A cookie of its own, whatever `session.cookie_domains` says.
    pub isolated: bool,
    /// Whether its pages have a service worker, which does not survive the hand-over of a host's own cookie.
    pub service_worker: Option<bool>,
}

/// A header about the person: its name alone, where that says which claim it holds, or both.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, expecting = "a table")]
#[schemars(deny_unknown_fields)]
pub struct RawHeader {
    /// The header's name.
    pub name: Option<String>,
    /// What it holds: `preferred_username`, `name`, `email`, `groups` or `sub`.
    #[schemars(extend("enum" = ["preferred_username", "username", "name", "email", "groups", "sub"]))]
    pub claim: Option<String>,
}

/// A header with a credential for the app: a value from a file, HTTP Basic, or a token of the person's own.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, expecting = "a table")]
#[schemars(deny_unknown_fields)]
pub struct RawUpstreamHeader {
    /// The header's name.
    pub name: Option<String>,
    /// The file that holds the value.
    pub value_file: Option<PathBuf>,
    /// The value itself, where inline secrets are allowed.
    #[schemars(with = "Option<String>")]
    pub value: Option<SecretString>,
    /// The user name of HTTP Basic.
    pub username: Option<String>,
    /// The file that holds its password.
    pub password_file: Option<PathBuf>,
    /// The password itself, where inline secrets are allowed.
    #[schemars(with = "Option<String>")]
    pub password: Option<SecretString>,
    /// Which of the person's tokens.
    #[schemars(extend("enum" = ["access_token", "id_token"]))]
    pub token: Option<String>,
    /// Sent for members of one of these groups alone.
    #[serde(deserialize_with = "list")]
    #[schemars(with = "Option<TextList>")]
    pub only_groups: Option<Vec<String>>,
}

/// A header that a request must have: its name alone, or with what it must say.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, expecting = "a table")]
#[schemars(deny_unknown_fields)]
pub struct RawRequiredHeader {
    /// The header's name.
    pub name: Option<String>,
    /// The file that holds what it must say.
    pub value_file: Option<PathBuf>,
    /// What it must say, where inline secrets are allowed.
    #[schemars(with = "Option<String>")]
    pub value: Option<SecretString>,
}

/// A rule of a service.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, expecting = "a table")]
#[schemars(deny_unknown_fields)]
pub struct RawRule {
    /// Exact (`/ping`) or below a folder (`/api/*`).
    #[serde(deserialize_with = "list")]
    #[schemars(with = "Option<TextList>")]
    pub paths: Option<Vec<String>>,
    /// Methods.
    #[serde(deserialize_with = "list")]
    #[schemars(with = "Option<TextList>")]
    pub methods: Option<Vec<String>>,
    /// Networks of clients.
    #[serde(deserialize_with = "list")]
    #[schemars(with = "Option<TextList>")]
    pub allowed_networks: Option<Vec<String>>,
    /// A header that must be there.
    #[serde(deserialize_with = "forms::short")]
    #[schemars(with = "Option<Short<RawRequiredHeader>>")]
    pub requires_header: Option<RawRequiredHeader>,
    /// The name of a policy.
    pub policy: Option<String>,
}

/// A rule whose policy is `bypass`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, expecting = "a table")]
#[schemars(deny_unknown_fields)]
pub struct RawBypass {
    /// As in a rule.
    #[serde(deserialize_with = "list")]
    #[schemars(with = "Option<TextList>")]
    pub paths: Option<Vec<String>>,
    /// As in a rule.
    #[serde(deserialize_with = "list")]
    #[schemars(with = "Option<TextList>")]
    pub methods: Option<Vec<String>>,
    /// As in a rule.
    #[serde(deserialize_with = "list")]
    #[schemars(with = "Option<TextList>")]
    pub allowed_networks: Option<Vec<String>>,
    /// As in a rule.
    #[serde(deserialize_with = "forms::short")]
    #[schemars(with = "Option<Short<RawRequiredHeader>>")]
    pub requires_header: Option<RawRequiredHeader>,
    /// The name that the preset gives it; `None` for one that the operator wrote.
    #[serde(skip)]
    #[schemars(skip)]
    pub preset: Option<&'static str>,
}

impl From<String> for RawHeader {
    fn from(name: String) -> Self {
        Self {
            name: Some(name),
            claim: None,
        }
    }
}

impl From<String> for RawRequiredHeader {
    fn from(name: String) -> Self {
        Self {
            name: Some(name),
            ..Self::default()
        }
    }
}

/// What is logged, and how.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, expecting = "a table")]
#[schemars(deny_unknown_fields)]
pub struct RawLog {
    /// `error`, `warn`, `info`, `debug` or `trace`.
    #[schemars(extend("enum" = ["error", "warn", "info", "debug", "trace"]))]
    pub level: Option<String>,
    /// `json` or `pretty`.
    #[schemars(extend("enum" = ["json", "pretty"]))]
    pub format: Option<String>,
}
