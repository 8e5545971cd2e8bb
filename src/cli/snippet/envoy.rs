//! Envoy's static configuration: a listener with `ext_authz`, the portal, and a virtual host for each service.

use askama::Template;

use super::lookalikes::lookalikes;
use super::places::{
    Place, is_asked_about, is_https, is_policy_from_proxy, place, portal_path, why_open,
};
use super::ports::{portal_port, ports};
use super::rendered;
use crate::config::{Config, Listen};
use crate::domain::service::Service;
use crate::domain::service_host::{HostPattern, ServiceHost};

/// What is left to take away: names with `_` Envoy drops itself.
const MARKS: [char; 2] = ['-', '.'];

#[derive(Template)]
#[template(path = "envoy.yml", escape = "none")]
struct File<'a> {
    /// What to write in our own configuration first.
    note: Option<&'a str>,
    /// For the value of `uri`, which a socket has too.
    verify_uri: String,
    verify: String,
    portal: String,
    portal_host: String,
    portal_path: Option<&'a str>,
    port: u16,
    /// Further ones that services name.
    other_ports: Vec<u16>,
    https: bool,
    secret: bool,
    copy_list: String,
    /// In lower case.
    copied: Vec<String>,
    lookalikes: Vec<String>,
    apps: Vec<App<'a>>,
}

struct App<'a> {
    name: &'a str,
    /// Says that nothing is asked about it, and why.
    open: Option<String>,
    asked: bool,
    from_proxy: bool,
    domains: String,
}

/// The configuration for `services`. What is copied is for all services, whichever are chosen. `note` is what our own
/// configuration lacks.
///
/// # Errors
///
/// Where a header has more spellings than can be listed.
pub(super) fn snippet(
    config: &Config,
    services: &[&Service],
    note: Option<&str>,
) -> Result<String, String> {
    let server = &config.server;
    let copied = config.services.copied_headers();
    let https = is_https(config);
    let port = portal_port(config);
    rendered(&File {
        note,
        verify_uri: match place(&server.listen) {
            Place::Address(address) => format!("http://{address}"),
            Place::Socket(_) => "http://portcullis".to_owned(),
        },
        verify: address(&server.listen),
        portal: address(&server.portal_listen),
        portal_host: server.portal.host.to_string(),
        portal_path: portal_path(config),
        port,
        other_ports: ports(config, services)
            .into_iter()
            .filter(|other| *other != port)
            .collect(),
        https,
        secret: server.proxy_secret.is_some(),
        copy_list: copied.join(" "),
        copied: copied
            .iter()
            .map(|name| name.to_ascii_lowercase())
            .collect(),
        lookalikes: lookalikes(copied, &MARKS)?
            .iter()
            .map(|name| name.to_ascii_lowercase())
            .collect(),
        apps: services
            .iter()
            .map(|service| app(config, service))
            .collect(),
    })
}

fn app<'a>(config: &Config, service: &'a Service) -> App<'a> {
    let domains: Vec<String> = service.hosts.iter().map(domain).collect();
    App {
        name: &service.name,
        open: service.is_open().then(|| why_open(service)),
        asked: is_asked_about(config, service),
        from_proxy: is_policy_from_proxy(service),
        domains: domains.join(", "),
    }
}

/// Ports are not looked at.
fn domain(host: &ServiceHost) -> String {
    match &host.pattern {
        HostPattern::Exact(name) => format!("\"{name}\""),
        HostPattern::Below(above) => format!("\"*.{above}\""),
    }
}

fn address(listen: &Listen) -> String {
    match place(listen) {
        Place::Address(address) => format!(
            "socket_address: {{ address: \"{}\", port_value: {} }}",
            address.ip(),
            address.port()
        ),
        Place::Socket(path) => format!("pipe: {{ path: \"{}\" }}", path.display()),
    }
}
