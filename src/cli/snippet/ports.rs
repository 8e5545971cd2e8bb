//! Which hosts are served at which port: those that the decision takes there, and none else.
//!
//! A decision goes by the name, and then looks whether browsers use the port ([`ServiceTable::find`]): that of the
//! scheme, that of the portal, and one that the host names. A name that is not served at a port is refused there. Were
//! it left out, a domain of another service would take its requests, and that may be one which nothing is asked about.
//!
//! [`ServiceTable::find`]: crate::domain::service_table::ServiceTable::find

use std::collections::BTreeSet;

use super::places::{is_asked_about, is_https};
use crate::config::Config;
use crate::domain::cookie_scope::is_under;
use crate::domain::host::{Host, Scheme};
use crate::domain::service::Service;
use crate::domain::service_host::{HostPattern, ServiceHost};

/// Every port that a proxy of `services` listens at.
pub(super) fn ports(config: &Config, services: &[&Service]) -> BTreeSet<u16> {
    let hosts = services.iter().flat_map(|service| &service.hosts);
    let named = hosts.filter_map(|host| host.port);
    named.chain([portal_port(config)]).collect()
}

/// The port of the portal.
pub(super) fn portal_port(config: &Config) -> u16 {
    let portal = config.server.portal.port;
    portal.unwrap_or_else(|| default_port(config))
}

/// The port that a browser need not name.
pub(super) fn default_port(config: &Config) -> u16 {
    let scheme = if is_https(config) {
        Scheme::Https
    } else {
        Scheme::Http
    };
    scheme.default_port()
}

/// Whether a request for `host` at `port` is decided as its service's.
pub(super) fn is_served(config: &Config, host: &ServiceHost, port: u16) -> bool {
    port == default_port(config) || port == portal_port(config) || host.port == Some(port)
}

/// The names that are not served at `port`, without their own ports: of `services`, and the portal's.
pub(super) fn refused(config: &Config, services: &[&Service], port: u16) -> Vec<ServiceHost> {
    let hosts = services.iter().flat_map(|service| &service.hosts);
    let elsewhere = hosts.filter(|host| !is_served(config, host, port));
    let mut names: Vec<ServiceHost> = elsewhere.map(without_port).collect();
    if port != portal_port(config) {
        names.push(ServiceHost {
            pattern: HostPattern::Exact(config.server.portal.host.clone()),
            port: None,
        });
    }
    names
}

/// The provider's host, where a domain of an open one of `services` at `port` holds it: nobody would ask us, who refuse
/// it. `None` where the portal shares it, which has a server of its own.
pub(super) fn caught_issuer<'a>(
    config: &'a Config,
    services: &[&Service],
    port: u16,
) -> Option<&'a Host> {
    let issuer = config.services.issuer()?;
    if *issuer == config.server.portal.host {
        return None;
    }
    let open = services.iter();
    let open = open.filter(|service| !is_asked_about(config, service));
    let mut hosts = open.flat_map(|service| &service.hosts);
    let is_caught = hosts.any(|host| is_served(config, host, port) && holds(host, issuer));
    is_caught.then_some(issuer)
}

/// Whether `host` is a domain that `name` lies below.
pub(super) fn holds(host: &ServiceHost, name: &Host) -> bool {
    match &host.pattern {
        HostPattern::Exact(_) => false,
        HostPattern::Below(above) => name != above && is_under(name, above),
    }
}

/// The name alone.
pub(super) fn without_port(host: &ServiceHost) -> ServiceHost {
    ServiceHost {
        port: None,
        ..host.clone()
    }
}
