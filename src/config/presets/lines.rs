//! What to write for an app: the lines of a service that uses its preset.

use std::fmt::Write;

use super::Preset;
use crate::domain::service::Posture;

impl Preset {
    /// A service in TOML that uses the preset, as `check` takes it beside a `[server]`, an `[oidc]` and a `[session]`.
    #[must_use]
    pub fn lines(&self) -> String {
        let id = self.id;
        let mut text = format!("[services.{id}]\napp = \"{id}\"\nhost = \"{id}.example.net\"\n");
        let mut add = |line: &str| {
            text.push_str(line);
            text.push('\n');
        };
        match self.posture {
            // What lets everybody through is for the operator to say.
            Posture::NativeOidc | Posture::Passthrough => {
                add(&format!("posture = \"{}\"", self.posture.as_str()));
            }
            Posture::Protect | Posture::TrustedHeader | Posture::Hybrid | Posture::Internal => {
                add("policy = \"authenticated\" # or a policy of yours");
            }
        }
        if let Some(name) = self.upstream_header {
            let file = format!("/run/secrets/{}_key", id.replace('-', "_"));
            let header = format!("{{ name = \"{name}\", value_file = \"{file}\" }}");
            add(&format!("upstream_headers = [{header}]"));
        }
        if self.wants_domain_cookie() {
            add("# Its service worker wants the cookie of a domain that holds the portal too:");
            add("# and in [session]: cookie_domains = [\"example.net\"]");
        }
        if !self.close.is_empty() {
            let paths: Vec<String> = self
                .close
                .iter()
                .map(|path| format!("\"{path}\""))
                .collect();
            let paths = paths.join(", ");
            // Writing to a text cannot fail.
            let _ = write!(
                text,
                "[[services.{id}.rules]]\npaths = [{paths}]\npolicy = \"authenticated\" # or that of your \
                 administrators\n"
            );
        }
        text
    }

    /// Whether people get a session at the app, and a service worker stands in the way of one for its host alone.
    #[must_use]
    pub const fn wants_domain_cookie(&self) -> bool {
        self.service_worker && !self.opens() && !matches!(self.posture, Posture::Internal)
    }
}
