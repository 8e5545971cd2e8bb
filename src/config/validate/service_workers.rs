//! Apps whose pages have a service worker: it fetches pages in the browser's place, and a redirect to another host is
//! lost on it. So it swallows the hand-over of a cookie for one host; a cookie of a domain needs none.

use std::collections::BTreeMap;

use super::services::asks_login;
use crate::config::problems::Problems;
use crate::config::raw::RawService;
use crate::domain::cookie_scope::{CookieDomains, CookieScope, is_under};
use crate::domain::host::Host;
use crate::domain::service::Service;
use crate::domain::service_host::HostPattern;
use crate::domain::service_table::ServiceTable;

/// Warns of each such app that people get a session at, and a cookie for its host alone.
pub(super) fn look_over(
    raw: &BTreeMap<String, RawService>,
    services: &ServiceTable,
    cookie_domains: &[Host],
    problems: &mut Problems,
) {
    let domains = CookieDomains::new(cookie_domains.to_vec());
    let portal = &services.portal().host;
    for service in services.services() {
        let has_worker = raw
            .get(&service.name)
            .and_then(|raw| raw.service_worker)
            .unwrap_or_default();
        if !has_worker || !asks_login(service) {
            continue;
        }
        for host in &service.hosts {
            let (HostPattern::Exact(host) | HostPattern::Below(host)) = &host.pattern;
            // The portal hands the cookie of a domain over only where it may set it itself.
            let is_fine = matches!(
                domains.scope(host, service),
                CookieScope::Domain(domain) if is_under(portal, domain)
            );
            if !is_fine {
                problems.warn(
                    format!("services.{}.service_worker", service.name),
                    format!(
                        "the app's service worker swallows the redirects by which {host} gets a cookie of its own, so \
                         a sign-in may not get through: {}",
                        remedy(host, service, portal)
                    ),
                );
            }
        }
    }
}

/// What to write.
fn remedy(host: &Host, service: &Service, portal: &Host) -> String {
    let Some(domain) = shared_domain(host, portal) else {
        return format!(
            "it and the portal {portal} share no domain whose cookie could help; give one of them a name below the \
             other's domain"
        );
    };
    if service.isolated {
        format!(
            "leave isolated out, and list \"{domain}\", which holds the portal too, in session.cookie_domains"
        )
    } else {
        format!("list \"{domain}\", which holds the portal too, in session.cookie_domains")
    }
}

/// The longest domain that both hosts lie under and that browsers take a cookie for.
fn shared_domain<'a>(host: &'a Host, portal: &Host) -> Option<&'a str> {
    if host.is_address() {
        return None;
    }
    let mut domain = host.as_str();
    loop {
        let holds_portal = Host::parse(domain).is_ok_and(|domain| is_under(portal, &domain));
        // Every name of one label counts as a suffix.
        if holds_portal && psl::suffix_str(domain) != Some(domain) {
            return Some(domain);
        }
        (_, domain) = domain.split_once('.')?;
    }
}
