//! `[session]`

use std::time::Duration;

use super::{Files, item, one_of, store};
use crate::config::SessionSettings;
use crate::config::problems::Problems;
use crate::config::raw::{RawOidc, RawSession};
use crate::domain::cookie_scope::is_under;
use crate::domain::host::Host;
use crate::domain::renewal::{RenewalRules, WithoutRefresh};
use crate::domain::service_host::HostPattern;
use crate::domain::service_table::ServiceTable;
use crate::domain::session::SessionLifetime;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Browsers keep no cookie for longer (RFC 6265bis §5.5).
const MAX_LIFETIME: Duration = Duration::from_secs(400 * 24 * 60 * 60);

pub(super) fn session(
    raw: &RawSession,
    oidc: &RawOidc,
    inline: bool,
    files: &Files<'_>,
    problems: &mut Problems,
) -> Option<SessionSettings> {
    let store_timeout = store::timeout(raw, problems);
    let store = store::store(raw, inline, store_timeout, files, problems);
    let secret = store::secret(raw, store.as_ref(), files, problems);
    let lifetime = lifetime(raw, problems);
    let renewal = renewal(raw, oidc, problems);
    let cookie_domains = cookie_domains(raw, problems);
    Some(SessionSettings {
        store: store?,
        store_timeout,
        secret: secret?,
        lifetime,
        renewal: renewal?,
        cookie_domains,
    })
}

fn lifetime(raw: &RawSession, problems: &mut Problems) -> SessionLifetime {
    let absolute = raw.lifetime.unwrap_or(DAY * 30);
    let idle = raw.idle_timeout.unwrap_or(DAY.min(absolute));
    for (path, duration) in [
        ("session.idle_timeout", raw.idle_timeout),
        ("session.lifetime", raw.lifetime),
    ] {
        if duration.is_some_and(|duration| duration.as_secs() == 0) {
            problems.at(path, "must be one second at least");
        }
    }
    if absolute > MAX_LIFETIME {
        problems.at(
            "session.lifetime",
            "is longer than 400 days, and browsers keep no cookie for so long",
        );
    }
    if idle > absolute {
        let default = if raw.lifetime.is_none() {
            " (30 days where it is not given)"
        } else {
            ""
        };
        problems.at(
            "session.idle_timeout",
            format!("longer than session.lifetime{default}"),
        );
    }
    SessionLifetime { idle, absolute }
}

fn renewal(raw: &RawSession, oidc: &RawOidc, problems: &mut Problems) -> Option<RenewalRules> {
    let choices = [
        ("session", WithoutRefresh::Session),
        ("token", WithoutRefresh::Token),
    ];
    let written = raw.without_refresh.as_deref();
    let chosen = one_of(written, &choices, "session.without_refresh", problems)?;
    Some(RenewalRules {
        grace: oidc.refresh_grace.unwrap_or(DAY),
        without_refresh: chosen.unwrap_or_default(),
    })
}

/// Domains that browsers take a cookie for.
fn cookie_domains(raw: &RawSession, problems: &mut Problems) -> Vec<Host> {
    const PATH: &str = "session.cookie_domains";
    let written = raw.cookie_domains.as_deref().unwrap_or_default();
    let mut domains: Vec<Host> = Vec::new();
    for (index, name) in written.iter().enumerate() {
        let path = item(PATH, index, written.len());
        let domain = match Host::parse(name.trim()) {
            Ok(domain) if !domain.is_address() => domain,
            _ => {
                problems.at(
                    path,
                    format!("\"{name}\" is not a domain such as \"example.net\""),
                );
                continue;
            }
        };
        // Every name of one label counts as a suffix.
        if psl::suffix_str(domain.as_str()) == Some(domain.as_str()) {
            problems.at(
                path,
                format!(
                    "\"{domain}\" is a public suffix: browsers keep no cookie for it, since it would \
                     reach everybody's hosts"
                ),
            );
        } else if domains.contains(&domain) {
            problems.at(path, format!("\"{domain}\" is listed twice"));
        } else {
            domains.push(domain);
        }
    }
    for domain in &domains {
        if let Some(above) = domains.iter().find(|above| is_below(domain, above)) {
            problems.at(
                PATH,
                format!("\"{domain}\" lies below \"{above}\", whose cookie it shares already"),
            );
        }
    }
    domains
}

fn is_below(host: &Host, domain: &Host) -> bool {
    let rest = host.as_str().strip_suffix(domain.as_str());
    rest.is_some_and(|rest| rest.ends_with('.'))
}

/// Warns about apps that nothing stands before and that browsers send the cookie of a domain to all the same,
/// `isolated` or not: what an app gets of it opens every other one below the domain.
pub(super) fn warn_about_open(services: &ServiceTable, domains: &[Host], problems: &mut Problems) {
    for service in services
        .services()
        .iter()
        .filter(|service| service.is_open())
    {
        let sent = domains.iter().find(|domain| {
            service.hosts.iter().any(|host| match &host.pattern {
                HostPattern::Exact(name) => is_under(name, domain),
                HostPattern::Below(above) => is_under(above, domain) || is_below(domain, above),
            })
        });
        if let Some(domain) = sent {
            problems.warn(
                format!("services.{}.posture", service.name),
                format!(
                    "browsers send it the cookie of \"{domain}\", which opens every app there, and \
                     nothing stands before \"{}\": its site must take our cookies out, with `import \
                     portcullis_strip` as `portcullis snippet caddy` prints it",
                    service.posture.as_str()
                ),
            );
        }
    }
}
