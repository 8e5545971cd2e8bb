//! The six apps, one for each pattern, and what the service is told about them.

use std::path::Path;

use crate::kit::upstream::{OwnKey, Upstream};
use crate::kit::{Result, example};

pub const GRAFANA: &str = "grafana.localhost";
pub const SONARR: &str = "sonarr.localhost";
pub const PAPERLESS_AI: &str = "paperless-ai.localhost";
pub const MEALIE: &str = "mealie.localhost";
pub const PLEX: &str = "plex.localhost";
pub const HOOKS: &str = "hooks.localhost";

/// What the proxy copies beside what it does as shipped: the name that one of the apps wants its key under.
pub const ALSO_COPIED: [&str; 1] = ["X-Api-Key"];

/// Policies and services. `paperless_ai_api_key` is the file that holds that app's key.
pub fn rules(paperless_ai_api_key: &Path) -> String {
    format!(
        r#"
[policies]
admins = {{ allowed_groups = ["admins"] }}
users = {{ allowed_groups = ["admins", "users"] }}
media = {{ allowed_groups = ["admins", "users", "media"] }}
home = {{ allowed_groups = ["admins", "users", "home"] }}

# Believes Remote-User, as its preset knows.
[services.grafana]
app = "grafana"
host = "{GRAFANA}"
policy = "admins"

# Its own login is off. Programs come by /api/, where it asks for its own key.
[services.sonarr]
app = "sonarr"
host = "{SONARR}"
policy = "media"
preset_bypass = ["api"]

# Wants a key, which nobody but the app gets to see.
[services.paperless-ai]
app = "paperless-ai"
host = "{PAPERLESS_AI}"
policy = "home"
upstream_headers = [{{ name = "x-api-key", value_file = "{key}" }}]

# Signs people in at the provider by itself. No preset sets a posture that lets everybody through.
[services.mealie]
app = "mealie"
host = "{MEALIE}"
posture = "native_oidc"

# Has a login of its own, and a part that is for administrators.
[services.plex]
app = "plex"
host = "{PLEX}"
posture = "passthrough"
[[services.plex.rules]]
paths = ["/admin/*"]
policy = "admins"

# For programs of our own network.
[services.hooks]
host = "{HOOKS}"
posture = "internal"
allowed_networks = ["127.0.0.1/32"]
"#,
        key = paperless_ai_api_key.display()
    )
}

/// The apps as they run.
pub struct Apps {
    apps: Vec<(&'static str, Upstream)>,
}

impl Apps {
    /// Starts them. `keys` are those that sonarr and paperless-ai ask for.
    ///
    /// # Errors
    ///
    /// When a port was taken meanwhile.
    pub fn start(keys: &Keys) -> Result<Self> {
        let own_key = |below: &'static str, key: &str| {
            let key = key.to_owned();
            Some(OwnKey { below, key })
        };
        let named = [
            (GRAFANA, "grafana", None),
            (SONARR, "sonarr", own_key("/api/", &keys.sonarr)),
            (
                PAPERLESS_AI,
                "paperless-ai",
                own_key("/", &keys.paperless_ai),
            ),
            (MEALIE, "mealie", None),
            (PLEX, "plex", None),
            (HOOKS, "hooks", None),
        ];
        let mut apps = Vec::with_capacity(named.len());
        for (host, name, own_key) in named {
            apps.push((host, Upstream::start_with_key(name, own_key)?));
        }
        Ok(Self { apps })
    }

    /// The app of a host.
    pub fn at(&self, host: &str) -> &Upstream {
        let found = self.apps.iter().find(|(known, _)| *known == host);
        &found.expect("one of the constants above").1
    }

    /// Their sites, for Caddy.
    pub fn sites(&self) -> String {
        let sites = self.apps.iter();
        sites
            .map(|(host, app)| example::protected_site(host, app.port))
            .collect()
    }
}

/// Keys that the apps themselves ask for.
pub struct Keys {
    /// For programs.
    pub sonarr: String,
    /// For the service, in a file.
    pub paperless_ai: String,
}
