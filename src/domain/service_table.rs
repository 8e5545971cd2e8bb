//! All services, and which of them a host name means.

use std::collections::HashMap;
use std::sync::Arc;

use crate::domain::header_plan::{Planned, Sets, copied_names, plan};
use crate::domain::host::{Authority, Host};
use crate::domain::service::Service;
use crate::domain::service_host::{HostPattern, ServiceHost};

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
    copied_headers: Vec<String>,
    asked_headers: Vec<String>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    service: usize,
    /// Its place among the service's hosts.
    host: usize,
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
    pub fn new(mut services: Vec<Service>, portal: Authority, issuer: Option<Host>) -> Self {
        let sets: Vec<Sets<'_>> = services.iter().map(Service::sets).collect();
        let plans: Vec<Vec<Planned>> = sets.iter().map(|own| plan(*own, &sets)).collect();
        let copied_headers = copied_names(&sets);
        for (place, (service, plan)) in services.iter_mut().zip(plans).enumerate() {
            service.plan = plan;
            service.place = place;
        }
        let headers = services.iter().flat_map(|service| &service.rules);
        let mut asked_headers: Vec<String> = headers
            .filter_map(|rule| rule.header.as_ref())
            .map(|header| header.name.clone())
            .collect();
        asked_headers.sort();
        asked_headers.dedup();
        let mut table = Self {
            services: services.into_iter().map(Arc::new).collect(),
            exact: HashMap::new(),
            below: HashMap::new(),
            portal,
            issuer,
            copied_headers,
            asked_headers,
        };
        for (index, service) in table.services.iter().enumerate() {
            for (place, host) in service.hosts.iter().enumerate() {
                let entry = Entry {
                    service: index,
                    host: place,
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

    /// The names that the proxy has to copy from allowed answers.
    #[must_use]
    pub fn copied_headers(&self) -> &[String] {
        &self.copied_headers
    }

    /// The names of headers that some rule asks for, in lower case.
    #[must_use]
    pub fn asked_headers(&self) -> &[String] {
        &self.asked_headers
    }

    /// The portal's own host and port.
    #[must_use]
    pub fn portal(&self) -> &Authority {
        &self.portal
    }

    /// The provider's host, where it is known.
    #[must_use]
    pub const fn issuer(&self) -> Option<&Host> {
        self.issuer.as_ref()
    }

    /// The service that `authority` means: the exact name first, then the most specific wildcard.
    ///
    /// # Errors
    ///
    /// [`NoService`], where none does: such a request is denied.
    pub fn find(&self, authority: &Authority) -> Result<&Arc<Service>, NoService> {
        self.find_entry(authority).map(|(service, _)| service)
    }

    /// The same, with the entry that says so.
    ///
    /// # Errors
    ///
    /// As [`find`](Self::find).
    pub fn find_entry(
        &self,
        authority: &Authority,
    ) -> Result<(&Arc<Service>, &ServiceHost), NoService> {
        if authority.host == self.portal.host || Some(&authority.host) == self.issuer.as_ref() {
            return Err(NoService::OwnHost);
        }
        let entry = self.entry(&authority.host).ok_or(NoService::Unknown)?;
        match authority.port {
            None => {}
            port if port == self.portal.port || port == entry.port => {}
            Some(_) => return Err(NoService::UnknownPort),
        }
        let service = self.services.get(entry.service);
        service
            .and_then(|service| Some((service, service.hosts.get(entry.host)?)))
            .ok_or(NoService::Unknown)
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
    use crate::domain::host::Scheme;
    use crate::domain::policy::{Policy, Requirement};
    use crate::domain::service::ServicePolicy;

    fn service(name: &str, hosts: &[&str]) -> Service {
        let policy = Policy {
            name: "authenticated".into(),
            requirement: Requirement::Authenticated,
        };
        let hosts = hosts
            .iter()
            .map(|host| ServiceHost::parse(host).expect("a host"));
        Service::new(name, hosts.collect(), ServicePolicy::Own(Arc::new(policy)))
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
}
