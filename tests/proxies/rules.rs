//! The hosts, and what the service's configuration says of them: the same behind every proxy.

use std::path::Path;

pub const PORTAL: &str = "auth.localhost";
pub const ISSUER: &str = "id.localhost";
/// For the groups `media` and `admins`; below `/api/` for everybody, below `/lan/` for a network.
pub const FILMS: &str = "films.home.localhost";
/// On another root domain, for `admins`.
pub const NOTES: &str = "notes.work.localhost";
/// Everybody may.
pub const OPEN: &str = "open.home.localhost";
/// The proxy asks about it, and the service's configuration does not name it.
pub const UNNAMED: &str = "unnamed.home.localhost";
/// Here the proxy has something of its own beside the app.
pub const MIXED: &str = "mixed.home.localhost";
/// Its app wants a key, which is put in.
pub const PAPERS: &str = "papers.home.localhost";
/// Signed in or not, but for `/account/`.
pub const WIKI: &str = "wiki.home.localhost";
/// Its app believes a header that the proxy does not copy.
pub const STALE: &str = "stale.home.localhost";
/// Lets preflights pass.
pub const CORS: &str = "cors.home.localhost";
/// Another page may write to it: that of [`FRIEND`].
pub const FRIENDLY: &str = "friendly.home.localhost";
pub const FRIEND: &str = "https://friend.example";
/// Below `/public/` everybody may; the rest is for the group `media`.
pub const OPENED: &str = "opened.home.localhost";
/// Everybody may; what is below `/admin/` is for the group `admins`.
pub const CLOSED: &str = "closed.home.localhost";
/// Below a wildcard, whose policy the proxy names: `admins`.
pub const ROOM: &str = "a.rooms.localhost";
/// Below the same, and the proxy names none.
pub const OTHER_ROOM: &str = "b.rooms.localhost";

/// What the certificate is for.
pub const NAMES: [&str; 5] = [
    PORTAL,
    ISSUER,
    "*.home.localhost",
    "*.work.localhost",
    "*.rooms.localhost",
];

/// What the proxy's configuration is printed for.
pub const SERVICES: [&str; 13] = [
    "films", "notes", "open", "unnamed", "mixed", "papers", "wiki", "stale", "cors", "friendly",
    "opened", "closed", "rooms",
];

/// What [`PAPERS`] wants.
pub const KEY: &str = "key-of-papers-4711-0815-abcdef";
/// By which the service knows the proxy.
pub const PROXY_SECRET: &str = "secret-of-the-proxy-1f0c-77aa-93de";
/// The header that the proxy does not copy.
pub const LATE: &str = "X-Late-User";
/// Browsers from here are in the network of [`FILMS`].
pub const NETWORK: &str = "127.9.0.0/16";

/// Policies and services; `folder` holds the file of [`KEY`].
pub fn rules(folder: &Path) -> String {
    format!(
        r#"
[policies]
admins = {{ allowed_groups = ["admins"] }}
media = {{ allowed_groups = ["admins", "media"] }}

[services.films]
host = "{FILMS}"
policy = "media"
bypass = [
    {{ paths = ["/api/*"] }},
    {{ paths = ["/lan/*"], allowed_networks = ["{NETWORK}"] }},
]

[services.notes]
host = "{NOTES}"
policy = "admins"

[services.open]
host = "{OPEN}"
policy = "bypass"

[services.mixed]
host = "{MIXED}"
policy = "media"

[services.papers]
host = "{PAPERS}"
posture = "hybrid"
policy = "media"
upstream_headers = [{{ name = "x-api-key", value_file = "{folder}/key" }}]

[services.wiki]
host = "{WIKI}"
policy = "optional"
rules = [{{ paths = ["/account/*"], policy = "media" }}]

[services.stale]
host = "{STALE}"
posture = "trusted_header"
policy = "media"
headers = {STALE_HEADERS}

[services.cors]
host = "{CORS}"
policy = "media"
cors_preflight = true

[services.friendly]
host = "{FRIENDLY}"
policy = "media"
allowed_origins = ["{FRIEND}"]

[services.opened]
host = "{OPENED}"
policy = "media"
bypass = [{{ paths = ["/public/*"] }}]

[services.closed]
host = "{CLOSED}"
posture = "passthrough"
rules = [{{ paths = ["/admin/*"], policy = "admins" }}]

[services.rooms]
host = "*.rooms.localhost"
policy = "from_proxy"
"#,
        folder = folder.display()
    )
}

const STALE_HEADERS: &str = r#"[{ name = "X-Late-User", claim = "username" }]"#;

/// The configuration of when the proxy's was printed: there was one service more, and one header less.
pub fn before(now: &str) -> String {
    let more = format!("\n[services.unnamed]\nhost = \"{UNNAMED}\"\npolicy = \"deny\"\n");
    now.replace(&format!("headers = {STALE_HEADERS}\n"), "") + &more
}
