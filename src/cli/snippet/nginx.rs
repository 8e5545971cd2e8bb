//! nginx's configuration: one file for `conf.d`, with a `server` for the portal and one for the apps.

use std::collections::BTreeMap;

use askama::Template;

use super::caddy_block::escape;
use super::places::{
    Place, is_asked_about, is_https, is_policy_from_proxy, place, policies_to_name, portal_path,
    why_open,
};
use super::ports::{
    caught_issuer, default_port, is_served, portal_port, ports, refused, without_port,
};
use super::rendered;
use crate::config::{Config, Listen};
use crate::domain::service::Service;
use crate::domain::service_host::ServiceHost;

#[derive(Template)]
#[template(path = "nginx.conf", escape = "none")]
struct File<'a> {
    /// What to write in our own configuration first.
    note: Option<&'a str>,
    verify: String,
    portal: String,
    portal_host: String,
    /// As a regular expression has it.
    portal_path: Option<String>,
    /// `listen` of the portal's server, after the word.
    portal_listen: String,
    /// `$host`, with a port where browsers name one.
    portal_authority: String,
    https: bool,
    secret: bool,
    copy_list: String,
    headers: Vec<Header<'a>>,
    apps: Vec<App<'a>>,
    /// Services whose policy the proxy is to name: their hosts.
    from_proxy: Vec<String>,
    /// A policy to show there.
    policy: &'a str,
    /// `listen` of each port that browsers use.
    listens: Vec<String>,
    /// Directives that give nginx's tables room for long names.
    tables: Vec<String>,
    /// One for each port.
    protected: Vec<Server<'a>>,
    open: Vec<Server<'a>>,
    refusing: Vec<Refusing>,
}

struct Header<'a> {
    name: &'a str,
    /// In lower case and with `_`, as nginx's variables are.
    variable: String,
}

struct App<'a> {
    name: &'a str,
    /// Says that nothing is asked about it, and why.
    open: Option<String>,
    asked: bool,
}

/// What is served at one port: some of the protected apps, or of the open ones.
struct Server<'a> {
    port: u16,
    listen: String,
    authority: String,
    /// The variable that says which app it is, without its `$`. None but the server's own names are in its map: what is
    /// protected here may be open at another port.
    app: String,
    hosts: Vec<NamedHost<'a>>,
    /// The provider's host, where nobody would ask us about it.
    issuer: Option<String>,
}

struct NamedHost<'a> {
    /// As `server_name` has it.
    name: String,
    /// As the map has it.
    key: String,
    service: &'a str,
}

/// The names that another port is for.
struct Refusing {
    listen: String,
    names: Vec<String>,
}

/// The configuration for `services`. What is copied is for all services, whichever are chosen. `note` is what our own
/// configuration lacks.
///
/// # Errors
///
/// Where some service sets a header that nginx cannot copy.
pub(super) fn snippet(
    config: &Config,
    services: &[&Service],
    note: Option<&str>,
) -> Result<String, String> {
    let server = &config.server;
    let copied = config.services.copied_headers();
    if let Some(name) = copied.iter().find(|name| !is_copied(name)) {
        return Err(format!(
            "nginx cannot copy the header \"{name}\": its name may have letters, digits, - and _"
        ));
    }
    if let Some((one, other)) = alike(copied) {
        return Err(format!(
            "nginx cannot tell the headers \"{one}\" and \"{other}\" apart: it reads \"-\" and \"_\" as one"
        ));
    }
    let ports = ports(config, services);
    let all = |asked: bool| -> Vec<Server<'_>> {
        let each = ports
            .iter()
            .map(|port| served_at(config, services, *port, asked));
        each.filter(|server| !server.hosts.is_empty()).collect()
    };
    let refusing = ports.iter().map(|port| Refusing {
        listen: listen(config, *port),
        names: refused(config, services, *port).iter().map(name).collect(),
    });
    let refusing = refusing.filter(|server| !server.names.is_empty());
    let policies = policies_to_name(config);
    rendered(&File {
        note,
        verify: reached(&server.listen),
        portal: reached(&server.portal_listen),
        portal_host: server.portal.host.to_string(),
        portal_path: portal_path(config).map(pattern),
        portal_listen: listen(config, portal_port(config)),
        portal_authority: authority(config, portal_port(config)),
        https: is_https(config),
        secret: server.proxy_secret.is_some(),
        copy_list: copied.join(" "),
        headers: copied.iter().map(|name| header(name)).collect(),
        apps: services
            .iter()
            .map(|service| app(config, service))
            .collect(),
        from_proxy: services
            .iter()
            .filter(|service| is_policy_from_proxy(service))
            .flat_map(|service| service.hosts.iter().map(key))
            .collect(),
        policy: policies.first().copied().unwrap_or("authenticated"),
        listens: ports.iter().map(|port| listen(config, *port)).collect(),
        tables: tables(config, services, copied),
        protected: all(true),
        open: all(false),
        refusing: refusing.collect(),
    })
}

/// Two headers that are one variable.
fn alike(names: &[String]) -> Option<(&str, &str)> {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    names
        .iter()
        .find_map(|name| Some((seen.insert(header(name).variable, name)?, name.as_str())))
}

/// nginx refuses names that do not fit into a row of its tables: 64 bytes, unless it is told otherwise.
fn tables(config: &Config, services: &[&Service], copied: &[String]) -> Vec<String> {
    let hosts = services.iter().flat_map(|service| &service.hosts);
    let issuer = config.services.issuer();
    let issuer = issuer.map(|host| host.as_str().len());
    let hosts = hosts.map(|host| name(host).len()).chain(issuer);
    let hosts = hosts.max().unwrap_or(0);
    let servers = hosts.max(config.server.portal.host.as_str().len());
    let headers = copied.iter().map(String::len).max().unwrap_or(0);
    let tables = [
        ("server_names_hash_bucket_size", servers),
        ("map_hash_bucket_size", hosts),
        ("variables_hash_bucket_size", VARIABLE.len() + headers),
        ("proxy_headers_hash_bucket_size", headers),
    ];
    let long = tables.into_iter().filter_map(|(table, longest)| {
        // A pointer, the name's length in two bytes, the name, up to seven bytes to align, and a pointer at the end.
        let row = (longest + 2).next_multiple_of(8) + 16;
        (row > 64).then(|| format!("{table} {};", row.next_power_of_two()))
    });
    long.collect()
}

/// How the variables of the template for copied headers begin.
const VARIABLE: &str = "portcullis_set_";

/// Whether a variable of nginx can stand for it.
fn is_copied(name: &str) -> bool {
    let mut characters = name.chars();
    characters.all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}

fn header(name: &str) -> Header<'_> {
    Header {
        name,
        variable: name.to_ascii_lowercase().replace('-', "_"),
    }
}

fn pattern(path: &str) -> String {
    let segments: Vec<String> = path.split('/').map(escape).collect();
    segments.join("/")
}

fn app<'a>(config: &Config, service: &'a Service) -> App<'a> {
    App {
        name: &service.name,
        open: service.is_open().then(|| why_open(service)),
        asked: is_asked_about(config, service),
    }
}

/// What the server for `port` serves of the services that are asked about, or of those that are not.
fn served_at<'a>(config: &Config, services: &[&'a Service], port: u16, asked: bool) -> Server<'a> {
    let mut hosts = Vec::new();
    for service in services {
        if is_asked_about(config, service) != asked {
            continue;
        }
        let served = service.hosts.iter();
        let served = served.filter(|host| is_served(config, host, port));
        hosts.extend(served.map(|host| NamedHost {
            name: name(host),
            key: key(host),
            service: &service.name,
        }));
    }
    let kind = if asked { "app" } else { "open_app" };
    let issuer = caught_issuer(config, services, port).filter(|_| !asked);
    Server {
        port,
        listen: listen(config, port),
        authority: authority(config, port),
        app: if port == portal_port(config) {
            format!("portcullis_{kind}")
        } else {
            format!("portcullis_{kind}_{port}")
        },
        hosts,
        issuer: issuer.map(ToString::to_string),
    }
}

/// As `server_name` has it.
fn name(host: &ServiceHost) -> String {
    without_port(host).to_string()
}

/// As the source value of a `map`: words that mean something there stand behind a backslash.
fn key(host: &ServiceHost) -> String {
    let name = name(host);
    match name.as_str() {
        "default" | "hostnames" | "include" | "volatile" => format!("\\{name}"),
        _ => name,
    }
}

fn listen(config: &Config, port: u16) -> String {
    if is_https(config) {
        format!("{port} ssl http2")
    } else {
        port.to_string()
    }
}

/// nginx's `$host` has no port.
fn authority(config: &Config, port: u16) -> String {
    if port == default_port(config) {
        "$host".to_owned()
    } else {
        format!("$host:{port}")
    }
}

/// As `server` of an `upstream` has it.
fn reached(listen: &Listen) -> String {
    match place(listen) {
        Place::Address(address) => address.to_string(),
        Place::Socket(path) => format!("unix:{}", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_named_as_nginx_names_them() {
        let variable = |name| header(name).variable;
        assert_eq!(variable("Remote-User"), "remote_user");
        assert_eq!(variable("X-Api_Key"), "x_api_key");
        assert!(is_copied("X-Api_Key1"));
        assert!(!is_copied("X.Api-Key"));
    }

    #[test]
    fn headers_that_are_one_variable_are_noticed() {
        let alike = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            alike(&names).map(|(one, other)| format!("{one} {other}"))
        };
        assert_eq!(alike(&["Remote-User", "Remote-Name"]), None);
        let found = alike(&["X-Api-Key", "Remote-User", "X_Api-Key"]);
        assert_eq!(found.as_deref(), Some("X-Api-Key X_Api-Key"));
    }

    #[test]
    fn a_path_means_itself() {
        assert_eq!(pattern("/auth"), "/auth");
        assert_eq!(pattern("/a.b/c+d"), r"/a\.b/c\+d");
    }
}
