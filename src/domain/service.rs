//! Protected apps, and which of them a host name means.

use std::collections::HashMap;
use std::sync::Arc;

use thiserror::Error;

use crate::domain::host::{Authority, Host, HostError, Scheme};
use crate::domain::policy::Policy;
use crate::domain::rules::Rule;

/// An app that we protect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its key in the configuration.
    pub name: String,
    /// The hosts that it answers on.
    pub hosts: Vec<ServiceHost>,
    /// What holds where no rule matches.
    pub policy: ServicePolicy,
    /// Ordered; the first that matches decides.
    pub rules: Vec<Rule>,
}

/// Where a service's own policy comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServicePolicy {
    /// The configuration names it.
    Own(Arc<Policy>),
    /// The proxy names it with every request (`/verify/policy/{name}`).
    FromProxy,
}

/// One host, or a whole domain, of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceHost {
    /// Which names.
    pub pattern: HostPattern,
    /// A port that browsers use beside the default one and that of the portal.
    pub port: Option<u16>,
}

/// Which names an entry means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPattern {
    /// This one.
    Exact(Host),
    /// Every name with at least one label more than this one: `*.example.net`.
    Below(Host),
}

/// Why a service's host was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ServiceHostError {
    /// The name itself.
    #[error(transparent)]
    Host(#[from] HostError),
    /// `*` stands for whole labels, and there must be something that it is below.
    #[error("'*' may stand only as the first label, before a domain name: \"*.example.net\"")]
    Wildcard,
    /// A URL instead of a host.
    #[error("must be a host name such as \"app.example.net\", without a scheme or a path")]
    Url,
}

impl ServiceHost {
    /// Reads `app.example.net`, `app.example.net:8443` or `*.example.net`.
    ///
    /// # Errors
    ///
    /// [`ServiceHostError`], for what is no host or a wildcard in another place.
    pub fn parse(raw: &str) -> Result<Self, ServiceHostError> {
        if raw.contains('/') {
            return Err(ServiceHostError::Url);
        }
        let (wildcard, name) = match raw.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, raw),
        };
        if name.contains('*') {
            return Err(ServiceHostError::Wildcard);
        }
        let authority = Authority::parse(name, Scheme::Https)?;
        let pattern = match (wildcard, authority.host.is_address()) {
            (true, true) => return Err(ServiceHostError::Wildcard),
            (true, false) => HostPattern::Below(authority.host),
            (false, _) => HostPattern::Exact(authority.host),
        };
        Ok(Self {
            pattern,
            port: authority.port,
        })
    }
}

impl std::fmt::Display for ServiceHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.pattern {
            HostPattern::Exact(host) => write!(f, "{host}")?,
            HostPattern::Below(host) => write!(f, "*.{host}")?,
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

/// Why a host leads to no service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoService {
    /// No service names it.
    Unknown,
    /// It is the portal's or the issuer's: whoever signs in has to get there first.
    OwnHost,
    /// A service names the host, but browsers are not known to use that port.
    UnknownPort,
}

/// All services, by host.
#[derive(Debug, Clone)]
pub struct ServiceTable {
    services: Vec<Arc<Service>>,
    exact: HashMap<Host, Entry>,
    /// By the name after `*.`.
    below: HashMap<Host, Entry>,
    portal: Authority,
    issuer: Option<Host>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    service: usize,
    port: Option<u16>,
}

/// Lets `below` be searched with a part of a name, without building a [`Host`] for each.
impl std::borrow::Borrow<str> for Host {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl ServiceTable {
    /// Builds the table. `portal` and `issuer` are hosts that never belong to a service, not even by
    /// a wildcard. Where two services name one host, the first keeps it; the configuration has
    /// reported that by then.
    #[must_use]
    pub fn new(services: Vec<Service>, portal: Authority, issuer: Option<Host>) -> Self {
        let mut table = Self {
            services: services.into_iter().map(Arc::new).collect(),
            exact: HashMap::new(),
            below: HashMap::new(),
            portal,
            issuer,
        };
        for (index, service) in table.services.iter().enumerate() {
            for host in &service.hosts {
                let entry = Entry {
                    service: index,
                    port: host.port,
                };
                let (map, name) = match &host.pattern {
                    HostPattern::Exact(name) => (&mut table.exact, name),
                    HostPattern::Below(name) => (&mut table.below, name),
                };
                map.entry(name.clone()).or_insert(entry);
            }
        }
        table
    }

    /// All services, in the order in which they were given: the configuration's is that of their names.
    #[must_use]
    pub fn services(&self) -> &[Arc<Service>] {
        &self.services
    }

    /// The portal's own host and port.
    #[must_use]
    pub fn portal(&self) -> &Authority {
        &self.portal
    }

    /// The service that `authority` means: the exact name first, then the most specific wildcard.
    ///
    /// # Errors
    ///
    /// [`NoService`], where none does: such a request is denied.
    pub fn find(&self, authority: &Authority) -> Result<&Arc<Service>, NoService> {
        if authority.host == self.portal.host || Some(&authority.host) == self.issuer.as_ref() {
            return Err(NoService::OwnHost);
        }
        let entry = self.entry(&authority.host).ok_or(NoService::Unknown)?;
        match authority.port {
            None => {}
            port if port == self.portal.port || port == entry.port => {}
            Some(_) => return Err(NoService::UnknownPort),
        }
        self.services.get(entry.service).ok_or(NoService::Unknown)
    }

    fn entry(&self, host: &Host) -> Option<Entry> {
        if let Some(entry) = self.exact.get(host) {
            return Some(*entry);
        }
        if host.is_address() || self.below.is_empty() {
            return None;
        }
        let mut name = host.as_str();
        while let Some((_, parent)) = name.split_once('.') {
            if let Some(entry) = self.below.get(parent) {
                return Some(*entry);
            }
            name = parent;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::policy::Requirement;

    fn service(name: &str, hosts: &[&str]) -> Service {
        let policy = Policy {
            name: "authenticated".into(),
            requirement: Requirement::Authenticated,
        };
        Service {
            name: name.into(),
            hosts: hosts
                .iter()
                .map(|host| ServiceHost::parse(host).expect("a host"))
                .collect(),
            policy: ServicePolicy::Own(Arc::new(policy)),
            rules: Vec::new(),
        }
    }

    fn authority(raw: &str) -> Authority {
        Authority::parse(raw, Scheme::Https).expect("an authority")
    }

    #[test]
    #[rustfmt::skip] // the columns are the point
    fn the_most_specific_entry_wins_and_the_rest_is_unknown() {
        use NoService::{OwnHost, Unknown, UnknownPort};
        let table = ServiceTable::new(
            vec![
                service("films",  &["films.example.net", "movies.example.org:9443"]),
                service("wide",   &["*.example.net"]),
                service("narrow", &["*.lab.example.net"]),
                service("ten",    &["10.0.0.1"]),
            ],
            authority("auth.example.net:8443"),
            Some(Host::parse("id.example.net").expect("a host")),
        );
        let cases = [
            ("films.example.net",        Ok("films")),
            ("FILMS.example.net.",       Ok("films")),
            ("films.example.net:443",    Ok("films")),
            ("films.example.net:8443",   Ok("films")),
            ("films.example.net:8444",   Err(UnknownPort)),
            ("movies.example.org",       Ok("films")),
            ("movies.example.org:9443",  Ok("films")),
            ("movies.example.org:9444",  Err(UnknownPort)),
            ("notes.example.net",        Ok("wide")),
            ("a.b.example.net",          Ok("wide")),
            ("a.lab.example.net",        Ok("narrow")),
            ("a.B.lab.example.net",      Ok("narrow")),
            ("lab.example.net",          Ok("wide")),
            ("example.net",              Err(Unknown)),
            ("notexample.net",           Err(Unknown)),
            ("films.example.net.evil",   Err(Unknown)),
            ("auth.example.net",         Err(OwnHost)),
            ("auth.example.net:8443",    Err(OwnHost)),
            ("AUTH.example.net.",        Err(OwnHost)),
            ("id.example.net",           Err(OwnHost)),
            ("10.0.0.1",                 Ok("ten")),
            ("10.0.0.2",                 Err(Unknown)),
            ("[::1]",                    Err(Unknown)),
        ];
        for (host, expected) in cases {
            let found = table.find(&authority(host)).map(|service| service.name.as_str());
            assert_eq!(found, expected, "{host}");
        }
    }

    #[test]
    #[rustfmt::skip] // the columns are the point
    fn hosts_are_names_and_wildcards() {
        let cases = [
            ("app.example.net",         Ok("app.example.net")),
            ("App.Example.Net.",        Ok("app.example.net")),
            ("app.example.net:8443",    Ok("app.example.net:8443")),
            ("app.example.net:443",     Ok("app.example.net")),
            ("*.example.net",           Ok("*.example.net")),
            ("*",                       Err(ServiceHostError::Wildcard)),
            ("a.*.example.net",         Err(ServiceHostError::Wildcard)),
            ("*.*.example.net",         Err(ServiceHostError::Wildcard)),
            ("*.10.0.0.1",              Err(ServiceHostError::Wildcard)),
            ("https://app.example.net", Err(ServiceHostError::Url)),
            ("app.example.net/x",       Err(ServiceHostError::Url)),
            ("",                        Err(ServiceHostError::Host(HostError::Empty))),
            ("*.",                      Err(ServiceHostError::Host(HostError::Empty))),
        ];
        for (raw, expected) in cases {
            let found = ServiceHost::parse(raw).map(|host| host.to_string());
            assert_eq!(found.as_deref(), expected.as_ref().map(|ok| *ok), "{raw:?}");
        }
    }
}
