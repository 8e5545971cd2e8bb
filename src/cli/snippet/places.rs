//! What the configuration of every proxy says of ours: where our listeners are reached, and what browsers ask for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use crate::config::{Config, Listen};
use crate::domain::cookie_scope::is_under;
use crate::domain::policy::{Policy, Requirement};
use crate::domain::service::{Posture, Service, ServicePolicy};
use crate::domain::service_host::HostPattern;

/// Where a proxy on the same machine reaches a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place<'a> {
    /// At an address.
    Address(SocketAddr),
    /// At a socket in the file system.
    Socket(&'a Path),
}

/// A listener on every address is reached on that of this machine.
pub(super) fn place(listen: &Listen) -> Place<'_> {
    match listen {
        Listen::Unix(path) => Place::Socket(path),
        Listen::Tcp(address) => {
            let ip = match address.ip() {
                IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
                IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
                ip => ip,
            };
            Place::Address(SocketAddr::new(ip, address.port()))
        }
    }
}

/// Whether browsers come over `https`.
pub(super) fn is_https(config: &Config) -> bool {
    config.server.public_url.scheme() != "http"
}

/// The path of the portal, without a slash at its end; `None` where it has a host of its own.
pub(super) fn portal_path(config: &Config) -> Option<&str> {
    let path = config.server.public_url.path().trim_end_matches('/');
    (!path.is_empty()).then_some(path)
}

/// Whether the proxy has to ask us about `service`, where it cannot take our cookies out by itself: for every service
/// that is not open, and for open ones that browsers send the cookie of a domain to.
pub(super) fn is_asked_about(config: &Config, service: &Service) -> bool {
    !service.is_open() || gets_our_cookies(config, service)
}

fn gets_our_cookies(config: &Config, service: &Service) -> bool {
    let mut domains = config.session.cookie_domains.iter();
    domains.any(|domain| {
        service.hosts.iter().any(|host| match &host.pattern {
            HostPattern::Exact(name) => is_under(name, domain),
            HostPattern::Below(above) => is_under(above, domain) || is_under(domain, above),
        })
    })
}

/// Why nothing is asked about an open service, for a comment.
pub(super) fn why_open(service: &Service) -> String {
    let why = match service.posture {
        Posture::NativeOidc => "logs people in at the provider itself",
        _ => "has a login of its own",
    };
    format!(
        "{}: not protected, since its posture is {}: the app {why}.",
        service.name,
        service.posture.as_str()
    )
}

/// The policies that a proxy may name: those that may let somebody in, and may keep somebody out.
pub(super) fn policies_to_name(config: &Config) -> Vec<&str> {
    let nameable = |policy: &&Policy| {
        matches!(
            policy.requirement,
            Requirement::Authenticated | Requirement::Conditions(_)
        )
    };
    let policies = config.policies.iter().map(AsRef::as_ref);
    let nameable = policies.filter(nameable);
    nameable.map(|policy| policy.name.as_str()).collect()
}

/// Whether the proxy is to name the policy of `service`.
pub(super) fn is_policy_from_proxy(service: &Service) -> bool {
    service.policy == ServicePolicy::FromProxy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_reached_where_they_are() {
        let tcp = |listen: &str, reached: &str| {
            let listen = Listen::Tcp(listen.parse().expect("an address"));
            let reached = Place::Address(reached.parse().expect("an address"));
            assert_eq!(place(&listen), reached);
        };
        tcp("127.0.0.1:9191", "127.0.0.1:9191");
        tcp("10.0.0.3:9191", "10.0.0.3:9191");
        tcp("0.0.0.0:9191", "127.0.0.1:9191");
        tcp("[::]:9191", "[::1]:9191");
        let socket = Listen::Unix("/run/portcullis/verify.sock".into());
        let path = Path::new("/run/portcullis/verify.sock");
        assert_eq!(place(&socket), Place::Socket(path));
    }
}
