//! `portcullis check`: everything that is wrong with the configuration, else what it comes to.

mod service;

use std::fmt::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use crate::config::{Config, SessionSecret, StoreLocation};
use crate::domain::cookie_scope::{CookieDomains, CookieScope};
use crate::domain::dialects::Dialect;
use crate::domain::host::Host;
use crate::domain::policy::Requirement;
use crate::domain::service::Service;
use crate::domain::service_host::HostPattern;

/// Says what is wrong or questionable on standard error; where nothing is wrong, sums up on standard output.
pub(super) fn run(config: Option<&Path>) -> ExitCode {
    match super::load(config) {
        Ok(config) => {
            super::report("warning", &config.warnings);
            super::print(&Summary(&config).to_string())
        }
        Err(code) => code,
    }
}

/// What a configuration comes to.
struct Summary<'a>(&'a Config);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(config) = self;
        let server = &config.server;
        let paths: Vec<&str> = server.dialects.iter().map(Dialect::path).collect();
        writeln!(f, "listen         {} ({})", server.listen, paths.join(", "))?;
        writeln!(f, "portal_listen  {}", server.portal_listen)?;
        writeln!(f, "admin_listen   {}", server.admin_listen)?;
        writeln!(f, "public_url     {}", server.public_url)?;
        let proxies = server.trusted_proxies.networks().iter();
        let proxies: Vec<String> = proxies.map(ToString::to_string).collect();
        writeln!(f, "proxies        {}", proxies.join(", "))?;
        writeln!(f, "issuer         {}", config.oidc.issuer)?;
        writeln!(f, "redirect URI   {}", config.oidc.redirect_uri)?;
        write_store(f, &config.session.store)?;
        match &config.session.secret {
            SessionSecret::Keys(keys) => writeln!(f, "session keys   {}", keys.len())?,
            SessionSecret::ToBeMade(path) => writeln!(
                f,
                "session keys   {} will be made when the service starts",
                path.display()
            )?,
            SessionSecret::Ephemeral => {
                writeln!(f, "session keys   one that ends with the process")?;
            }
        }
        for policy in config.policies.iter() {
            if let Requirement::Conditions(conditions) = &policy.requirement {
                let conditions = service::conditions(conditions);
                writeln!(f, "policy         {}: {conditions}", policy.name)?;
            }
        }
        for domain in &config.session.cookie_domains {
            write_cookie_domain(f, domain, config)?;
        }
        for service in config.services.services() {
            let preset = config.presets.get(&service.name).copied();
            service::write(f, service, preset)?;
        }
        let copied = config.services.copied_headers();
        if !copied.is_empty() {
            writeln!(f, "copy list      {}", copied.join(" "))?;
        }
        Ok(())
    }
}

fn write_store(f: &mut impl Write, store: &StoreLocation) -> fmt::Result {
    match store {
        StoreLocation::Memory => {
            writeln!(f, "store          memory: (sessions end with the process)")
        }
        StoreLocation::Redis(redis) => writeln!(f, "store          {redis}"),
        StoreLocation::File(path) => writeln!(f, "store          file:{}", path.display()),
    }
}

/// Who receives the cookie of a whole domain.
fn write_cookie_domain(f: &mut impl Write, domain: &Host, config: &Config) -> fmt::Result {
    let domains = CookieDomains::new(config.session.cookie_domains.clone());
    let receives = |service: &&Arc<Service>| {
        let mut hosts = service.hosts.iter().map(|host| match &host.pattern {
            HostPattern::Exact(name) | HostPattern::Below(name) => name,
        });
        hosts.any(|host| domains.scope(host, service) == CookieScope::Domain(domain))
    };
    let services = config.services.services().iter().filter(receives);
    let names: Vec<&str> = services.map(|service| service.name.as_str()).collect();
    let others = "and whatever else is served on a host of that domain";
    writeln!(
        f,
        "cookie domain  {domain}: {} ({others})",
        names.join(", ")
    )
}
