//! The Caddyfile: the snippets that all sites share, the portal, and a site for each service.

use std::collections::BTreeSet;

use super::caddy_block;
use super::places::{Place, is_https, place, portal_path, why_open};
use super::ports::{caught_issuer, default_port, holds, is_served, ports, refused, without_port};
use crate::config::{Config, Listen};
use crate::domain::service::{Posture, Service, ServicePolicy};
use crate::domain::service_host::{HostPattern, ServiceHost};

/// The Caddyfile for `services`. The snippet in it is for all services of the configuration, whichever are chosen:
/// what Caddy copies must cover every header that any of them sets. `note` is what our own configuration lacks.
pub(super) fn snippet(config: &Config, services: &[&Service], note: Option<&str>) -> String {
    let verify = dial(&config.server.listen);
    let early = if opens_to_networks(config) {
        EARLY_DATA
    } else {
        ""
    };
    let secret = config.server.proxy_secret.is_some();
    let gate = caddy_block::gate(&verify, config.services.copied_headers(), secret);
    let lacking = note.map(lacking).unwrap_or_default();
    let mut text = format!("{INTRODUCTION}{lacking}{early}\n{gate}");
    if has_open_sites(config) {
        text.push_str(&caddy_block::strip());
    }
    text.push_str(&portal(config));
    text.push_str(&refusing(config, services));
    let ports = ports(config, services);
    let mut explained = false;
    for service in services {
        text.push('\n');
        if service.is_open() {
            text.push_str(&open_site(config, service, &ports));
            continue;
        }
        if !explained {
            text.push_str(APPS);
            explained = true;
        }
        text.push_str(&site(config, service, &ports));
    }
    text
}

const INTRODUCTION: &str = "\
# Portcullis behind Caddy 2.11.5 or later. Older ones need the line `keepalive off` below, and some let a
# client's own Remote-User through where Portcullis has nothing to say (2.9.0 to 2.11.1).
#
# One snippet, written once and imported by every site that is to be protected. `portcullis snippet
# caddy` prints all of this for your own configuration.
";

const EARLY_DATA: &str = "\
#
# Networks open something here. Over HTTP/3 Caddy takes requests (\"early data\") before a client has
# proved that its address is its own. Turn that off in the global options, which stand first in the file:
#
#	{
#		servers {
#			0rtt off
#		}
#	}
";

const PORTAL: &str = "
# Where people sign in: `server.public_url`, which is `server.portal_listen`. Not protected.
";

const REFUSING: &str = "
# These are served at other ports. Here they must not end up at the site of a whole domain.
";

const SHARED_PORTAL: &str = "
# Where people sign in: `server.public_url`, which is `server.portal_listen`. Not protected, and beside
# it what else is served under this host: the provider.
";

/// For whoever runs it to fill in: where an app listens is none of our configuration.
const UPSTREAM: &str = "# reverse_proxy 127.0.0.1:PORT";

const FROM_PROXY: &str = "\
# Its policy is the proxy's to name: give this site a `forward_auth` of its own, like the one above
# with `uri /verify/policy/NAME?`. As it stands here everybody is refused.
";

const APPS: &str = "\
# The protected apps, each with one line more than an open one. Say where the app listens, and take
# the # away.
";

fn lacking(note: &str) -> String {
    format!(
        "#
# Portcullis answers Caddy when its own configuration says so, and yours does not yet. Below [server]:
#
#     {note}
"
    )
}

fn portal(config: &Config) -> String {
    let site = address(config, &config.server.portal.to_string());
    let upstream = dial(&config.server.portal_listen);
    match portal_path(config) {
        None => format!("{PORTAL}{site} {{\n\treverse_proxy {upstream}\n}}\n"),
        Some(path) => format!(
            "{SHARED_PORTAL}{site} {{
	@portcullis path {path} {path}/*
	handle @portcullis {{
		reverse_proxy {upstream}
	}}
	handle {{
		import portcullis_strip
		{UPSTREAM}
	}}
}}
"
        ),
    }
}

/// Whether where a client comes from lets it do something.
fn opens_to_networks(config: &Config) -> bool {
    let mut services = config.services.services().iter();
    services.any(|service| {
        let by_rule = service.rules.iter().any(|rule| !rule.networks.is_empty());
        by_rule || service.posture == Posture::Internal
    })
}

/// Whether a site that is not protected gets our cookies: the provider's beside the portal, an app's that is open,
/// or one below a cookie domain, which need not be a service.
fn has_open_sites(config: &Config) -> bool {
    let mut services = config.services.services().iter();
    config.server.public_url.path() != "/"
        || !config.session.cookie_domains.is_empty()
        || services.any(|service| service.is_open())
}

fn open_site(config: &Config, service: &Service, ports: &BTreeSet<u16>) -> String {
    let mut ports_here = ports.iter();
    let issuer = ports_here.find_map(|port| caught_issuer(config, &[service], *port));
    let provider = issuer.map_or_else(String::new, |issuer| {
        format!("\t# The provider's host is nobody else's.\n\t@provider host {issuer}\n\tabort @provider\n")
    });
    format!(
        "# {}\n{} {{\n\timport portcullis_strip\n{provider}\t{UPSTREAM}\n}}\n",
        why_open(service),
        addresses(config, service, ports)
    )
}

fn site(config: &Config, service: &Service, ports: &BTreeSet<u16>) -> String {
    let warning = match service.policy {
        ServicePolicy::Own(_) => "",
        ServicePolicy::FromProxy => FROM_PROXY,
    };
    let addresses = addresses(config, service, ports);
    format!("{warning}{addresses} {{\n\timport portcullis\n\t{UPSTREAM}\n}}\n")
}

/// The site of all that a domain holds at a port which it is not served at; empty where there is nothing.
fn refusing(config: &Config, services: &[&Service]) -> String {
    let mut addresses = Vec::new();
    for port in ports(config, services) {
        let hosts = services.iter().flat_map(|service| &service.hosts);
        let here: Vec<&ServiceHost> = hosts.filter(|host| is_served(config, host, port)).collect();
        let refused = refused(config, services, port);
        let caught = refused.iter().filter(|host| {
            let (HostPattern::Exact(name) | HostPattern::Below(name)) = &host.pattern;
            here.iter().any(|domain| holds(domain, name))
        });
        addresses.extend(caught.map(|host| written(config, host, port)));
    }
    if addresses.is_empty() {
        return String::new();
    }
    format!("{REFUSING}{} {{\n\tabort\n}}\n", addresses.join(", "))
}

/// Each name at each port that it is served at.
fn addresses(config: &Config, service: &Service, ports: &BTreeSet<u16>) -> String {
    let mut all = Vec::new();
    for host in &service.hosts {
        let served = ports.iter().filter(|port| is_served(config, host, **port));
        all.extend(served.map(|port| written(config, host, *port)));
    }
    all.join(", ")
}

fn written(config: &Config, host: &ServiceHost, port: u16) -> String {
    let name = without_port(host);
    if port == default_port(config) {
        address(config, &name.to_string())
    } else {
        address(config, &format!("{name}:{port}"))
    }
}

/// Caddy serves `https` unless a site says otherwise. A single word could be one of its directives.
fn address(config: &Config, host: &str) -> String {
    let scheme = match (is_https(config), host) {
        (false, _) => "http://",
        (true, host) if !host.contains('.') => "https://",
        (true, _) => "",
    };
    format!("{scheme}{host}")
}

/// How Caddy writes where it reaches a listener of ours.
fn dial(listen: &Listen) -> String {
    match place(listen) {
        Place::Socket(path) => format!("unix/{}", path.display()),
        Place::Address(address) => address.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_dialled_as_caddy_writes_them() {
        let tcp = |address: &str| dial(&Listen::Tcp(address.parse().expect("an address")));
        assert_eq!(tcp("127.0.0.1:9191"), "127.0.0.1:9191");
        assert_eq!(tcp("[::]:9191"), "[::1]:9191");
        let socket = Listen::Unix("/run/portcullis/verify.sock".into());
        assert_eq!(dial(&socket), "unix//run/portcullis/verify.sock");
    }
}
