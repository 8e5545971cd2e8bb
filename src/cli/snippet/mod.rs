//! `portcullis snippet`: the proxy's configuration for the services.

mod caddy;
mod caddy_block;
mod envoy;
mod lookalikes;
mod nginx;
mod places;
mod plain;
mod ports;
mod traefik;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use crate::config::Config;
use crate::domain::cookie_scope::is_under;
use crate::domain::dialects::Dialect;
use crate::domain::host::Host;
use crate::domain::service::Service;
use crate::domain::service_host::HostPattern;

/// For which proxy, and which services.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The proxy: caddy, traefik, nginx or envoy
    #[arg(value_name = "PROXY")]
    proxy: String,
    /// The services [default: all]
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

#[derive(Debug, Clone, Copy)]
enum Proxy {
    Caddy,
    Traefik,
    Nginx,
    Envoy,
}

impl Proxy {
    fn named(name: &str) -> Option<Self> {
        match name {
            "caddy" => Some(Self::Caddy),
            "traefik" => Some(Self::Traefik),
            "nginx" => Some(Self::Nginx),
            "envoy" => Some(Self::Envoy),
            _ => None,
        }
    }

    /// In which it asks.
    const fn dialect(self) -> Dialect {
        match self {
            Self::Caddy | Self::Traefik => Dialect::ForwardAuth,
            Self::Nginx => Dialect::Nginx,
            Self::Envoy => Dialect::Envoy,
        }
    }
}

/// Prints the snippet. 1 when the configuration, the proxy or a service cannot be used.
pub(super) fn run(config: Option<&Path>, arguments: &Arguments) -> ExitCode {
    let Some(proxy) = Proxy::named(&arguments.proxy) else {
        return super::complain(&format!(
            "there is no snippet for \"{}\"; there are some for caddy, traefik, nginx and envoy",
            arguments.proxy
        ));
    };
    let config = match super::load(config) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let printed = chosen(&config, &arguments.services)
        .and_then(|services| snippet(proxy, &config, &services));
    match printed {
        Ok(text) => {
            if let Some(wanted) = missing_dialect(proxy, &config) {
                let dialect = proxy.dialect().as_str();
                // There is nowhere left to complain to.
                let _ = writeln!(
                    io::stderr(),
                    "warning: server.dialects: \"{dialect}\" is missing, so this proxy would get no answer: say {wanted}"
                );
            }
            super::print(&text)
        }
        Err(error) => super::complain(&error),
    }
}

fn snippet(proxy: Proxy, config: &Config, services: &[&Service]) -> Result<String, String> {
    plain::check(config)?;
    let note = missing_dialect(proxy, config);
    match proxy {
        Proxy::Caddy => Ok(caddy::snippet(config, services, note.as_deref())),
        Proxy::Traefik => traefik::snippet(config, services, note.as_deref()),
        Proxy::Nginx => nginx::snippet(config, services, note.as_deref()),
        Proxy::Envoy => envoy::snippet(config, services, note.as_deref()),
    }
}

/// What to write below `[server]`, where the proxy would ask in vain, since its dialect is not answered.
fn missing_dialect(proxy: Proxy, config: &Config) -> Option<String> {
    let dialects = &config.server.dialects;
    if dialects.hold(proxy.dialect()) {
        return None;
    }
    let all = dialects.iter().chain([proxy.dialect()]);
    let all: Vec<String> = all
        .map(|dialect| format!("\"{}\"", dialect.as_str()))
        .collect();
    Some(format!("dialects = [{}]", all.join(", ")))
}

/// What a template makes of it.
fn rendered(template: &impl askama::Template) -> Result<String, String> {
    let text = template.render();
    text.map(|text| text + "\n")
        .map_err(|error| format!("the snippet cannot be written: {error}"))
}

fn chosen<'a>(config: &'a Config, names: &[String]) -> Result<Vec<&'a Service>, String> {
    let all = config.services.services();
    if names.is_empty() {
        return Ok(all.iter().map(Arc::as_ref).collect());
    }
    let find = |name: &String| {
        let found = all.iter().find(|service| service.name == *name);
        found.map(Arc::as_ref).ok_or_else(|| {
            let known: Vec<&str> = all.iter().map(|service| service.name.as_str()).collect();
            format!(
                "no service is called \"{name}\"; there are: {}",
                known.join(", ")
            )
        })
    };
    let chosen = names.iter().map(find).collect::<Result<Vec<_>, _>>()?;
    let is_left_out = |service: &&Arc<Service>| !names.contains(&service.name);
    for service in &chosen {
        for other in all.iter().filter(is_left_out) {
            if let Some(domain) = caught(service, other) {
                return Err(format!(
                    "\"*.{domain}\" of \"{0}\" holds a host of \"{1}\" too, which would be decided as \"{1}\" and end \
                     up at \"{0}\": name \"{1}\" as well",
                    service.name, other.name
                ));
            }
        }
    }
    Ok(chosen)
}

/// The domain of `service` that holds a host of `other`: a proxy that knows the first alone would send it there.
fn caught<'a>(service: &'a Service, other: &Service) -> Option<&'a Host> {
    let mut domains = service.hosts.iter().filter_map(|host| match &host.pattern {
        HostPattern::Below(above) => Some(above),
        HostPattern::Exact(_) => None,
    });
    domains.find(|above| {
        other.hosts.iter().any(|host| {
            let (HostPattern::Exact(name) | HostPattern::Below(name)) = &host.pattern;
            name != *above && is_under(name, above)
        })
    })
}
