//! Traefik's dynamic configuration: the middlewares, and a router for the portal and for each service.

use askama::Template;

use super::lookalikes::lookalikes;
use super::places::{
    Place, is_asked_about, is_https, is_policy_from_proxy, place, policies_to_name, portal_path,
    why_open,
};
use super::rendered;
use crate::config::{Config, Listen};
use crate::domain::service::Service;
use crate::domain::service_host::{HostPattern, ServiceHost};

/// What many apps read as one.
const MARKS: [char; 3] = ['-', '_', '.'];

#[derive(Template)]
#[template(path = "traefik.yml", escape = "none")]
struct File<'a> {
    /// What to write in our own configuration first.
    note: Option<&'a str>,
    verify: String,
    portal: String,
    portal_rule: String,
    /// The provider's host, where the portal lies under a path of it.
    shared_host: Option<String>,
    copied: &'a [String],
    copy_list: String,
    lookalikes: Vec<String>,
    secret: bool,
    https: bool,
    /// Those that a router may name.
    policies: Vec<&'a str>,
    apps: Vec<App<'a>>,
    /// Whether any of them is not asked about.
    any_open: bool,
}

struct App<'a> {
    name: &'a str,
    /// Says that nothing is asked about it, and why.
    open: Option<String>,
    /// Whether it is asked about, so that nothing of ours reaches it.
    asked: bool,
    from_proxy: bool,
    /// One for all of its names, and one for each domain: only so does the most specific win, as it does here.
    routers: Vec<Router>,
}

struct Router {
    /// What tells it from the app's first one.
    suffix: String,
    rule: String,
    /// For whole domains: below every router that names a host, and above those of wider domains.
    priority: Option<usize>,
}

/// The dynamic configuration for `services`. What is copied is for all services, whichever are chosen. `note` is what our own
/// configuration lacks.
///
/// # Errors
///
/// Where a listener is a socket: Traefik asks over addresses alone. Where a header has more spellings than can be
/// listed.
pub(super) fn snippet(
    config: &Config,
    services: &[&Service],
    note: Option<&str>,
) -> Result<String, String> {
    let server = &config.server;
    let portal_host = &server.portal.host;
    let path = portal_path(config);
    let copied = config.services.copied_headers();
    let needs_policy = services.iter().any(|service| is_policy_from_proxy(service));
    rendered(&File {
        note,
        verify: url("server.listen", &server.listen)?,
        portal: url("server.portal_listen", &server.portal_listen)?,
        portal_rule: match path {
            None => format!("Host(`{portal_host}`)"),
            Some(path) => {
                format!("Host(`{portal_host}`) && (Path(`{path}`) || PathPrefix(`{path}/`))")
            }
        },
        shared_host: path.map(|_| portal_host.to_string()),
        copied,
        copy_list: copied.join(" "),
        lookalikes: lookalikes(copied, &MARKS)?,
        secret: server.proxy_secret.is_some(),
        https: is_https(config),
        policies: if needs_policy {
            policies_to_name(config)
        } else {
            Vec::new()
        },
        apps: services
            .iter()
            .map(|service| app(config, service))
            .collect(),
        any_open: services
            .iter()
            .any(|service| !is_asked_about(config, service)),
    })
}

fn app<'a>(config: &Config, service: &'a Service) -> App<'a> {
    let (mut names, mut rules) = (Vec::new(), Vec::new());
    for host in &service.hosts {
        match &host.pattern {
            HostPattern::Exact(_) => names.push(rule(host)),
            HostPattern::Below(above) => {
                let labels = above.as_str().split('.').count();
                rules.push((rule(host), Some(labels)));
            }
        }
    }
    if !names.is_empty() {
        rules.insert(0, (names.join(" || "), None));
    }
    let router = |(number, (rule, priority)): (usize, (String, Option<usize>))| Router {
        suffix: match number {
            0 => String::new(),
            // No name of a service has this character.
            _ => format!("+{}", number + 1),
        },
        rule,
        priority,
    };
    App {
        name: &service.name,
        open: service.is_open().then(|| why_open(service)),
        asked: is_asked_about(config, service),
        from_proxy: is_policy_from_proxy(service),
        routers: rules.into_iter().enumerate().map(router).collect(),
    }
}

fn rule(host: &ServiceHost) -> String {
    match &host.pattern {
        // Without its brackets where a request names a port too.
        HostPattern::Exact(name) if name.as_str().starts_with('[') => {
            let bare = name.as_str().trim_matches(['[', ']']);
            format!("Host(`{name}`) || Host(`{bare}`)")
        }
        HostPattern::Exact(name) => format!("Host(`{name}`)"),
        HostPattern::Below(above) => {
            format!(
                r"HostRegexp(`^.+\.{}$`)",
                above.as_str().replace('.', r"\.")
            )
        }
    }
}

fn url(key: &str, listen: &Listen) -> Result<String, String> {
    match place(listen) {
        Place::Address(address) => Ok(format!("http://{address}")),
        Place::Socket(_) => Err(format!(
            "{key}: Traefik cannot reach a socket: it takes an address, such as \"127.0.0.1:9191\""
        )),
    }
}
