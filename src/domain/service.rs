//! Protected apps, and which of them a host name means.

use std::collections::HashMap;
use std::sync::Arc;

use thiserror::Error;

use crate::domain::header_plan::{Planned, Sets, copied_names, plan};
use crate::domain::host::{Authority, Host, HostError, Scheme};
use crate::domain::identity::Identity;
use crate::domain::identity_headers::{Attribute, DEFAULT_HEADERS, HeaderStyle, IdentityHeader};
use crate::domain::policy::Policy;
use crate::domain::rules::Rule;
use crate::domain::same_origin::SameOriginGuard;
use crate::domain::upstream_key::UpstreamHeader;

/// An app that we protect.
#[derive(Debug, Clone)]
pub struct Service {
    /// Its key in the configuration.
    pub name: String,
    /// What people call it.
    pub title: String,
    /// The hosts that it answers on.
    pub hosts: Vec<ServiceHost>,
    /// How it is protected.
    pub posture: Posture,
    /// What holds where no rule matches.
    pub policy: ServicePolicy,
    /// Ordered; the first that matches decides.
    pub rules: Vec<Rule>,
    /// What it is told about people.
    pub headers: Vec<IdentityHeader>,
    /// How values are written.
    pub style: HeaderStyle,
    /// What is shown to it on behalf of people.
    pub upstream: Vec<UpstreamHeader>,
    /// Keeps other sites' pages from writing to it; `None` where it does that itself.
    pub guard: Option<SameOriginGuard>,
    /// Whether preflights pass without identity.
    pub cors_preflight: bool,
    /// User names that the app knows as its own administrators', and the subjects that may carry them.
    pub reserved_users: Vec<ReservedUser>,
    /// Whether it has a cookie of its own even below a domain of `session.cookie_domains`.
    pub isolated: bool,
    /// The headers of every allowed answer; filled in by [`ServiceTable::new`].
    pub plan: Vec<Planned>,
}

/// How an app is protected: the six patterns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Posture {
    /// Login and policy; the app has no login of its own.
    #[default]
    Protect,
    /// The same, for an app that believes our headers.
    TrustedHeader,
    /// The same, for an app that wants a credential as well.
    Hybrid,
    /// The app logs people in at the issuer itself.
    NativeOidc,
    /// The app has a login of its own.
    Passthrough,
    /// Machines of our own networks only.
    Internal,
}

impl Posture {
    /// As the configuration has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Protect => "protect",
            Self::TrustedHeader => "trusted_header",
            Self::Hybrid => "hybrid",
            Self::NativeOidc => "native_oidc",
            Self::Passthrough => "passthrough",
            Self::Internal => "internal",
        }
    }

    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Protect,
        Self::TrustedHeader,
        Self::Hybrid,
        Self::NativeOidc,
        Self::Passthrough,
        Self::Internal,
    ];
}

/// A user name that only some may carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReservedUser {
    /// The name. Apps differ in whether case counts, so here it does not.
    pub name: String,
    /// Subjects that may carry it.
    pub subjects: Vec<String>,
}

/// Where a service's own policy comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServicePolicy {
    /// The configuration names it.
    Own(Arc<Policy>),
    /// The proxy names it with every request (`/verify/policy/{name}`).
    FromProxy,
}

impl Service {
    /// An app that `policy` protects, with the defaults of everything else.
    #[must_use]
    pub fn new(name: &str, hosts: Vec<ServiceHost>, policy: ServicePolicy) -> Self {
        let header = |(name, attribute): (&str, Attribute)| IdentityHeader {
            name: name.to_owned(),
            attribute,
        };
        Self {
            name: name.to_owned(),
            title: name.to_owned(),
            hosts,
            posture: Posture::default(),
            policy,
            rules: Vec::new(),
            headers: DEFAULT_HEADERS.map(header).to_vec(),
            style: HeaderStyle::default(),
            upstream: Vec::new(),
            guard: Some(SameOriginGuard::default()),
            cors_preflight: false,
            reserved_users: Vec::new(),
            isolated: false,
            plan: Vec::new(),
        }
    }

    /// What it sets on allowed answers.
    #[must_use]
    pub fn sets(&self) -> Sets<'_> {
        Sets {
            identity: &self.headers,
            upstream: &self.upstream,
        }
    }

    /// The reserved name that `identity` carries without being allowed to: as user name, or as whatever else the
    /// service takes for one.
    #[must_use]
    pub fn reserved_name_of<'a>(&'a self, identity: &Identity) -> Option<&'a str> {
        if self.reserved_users.is_empty() {
            return None;
        }
        let told = |attribute| {
            self.headers
                .iter()
                .any(|header| header.attribute == attribute)
        };
        let display_name = identity
            .name
            .as_ref()
            .filter(|_| !told(Attribute::Username) && told(Attribute::Name));
        let email = identity.email.as_ref().filter(|_| told(Attribute::Email));
        let carried = [identity.username.as_ref(), display_name, email];
        let carried: Vec<String> = carried
            .into_iter()
            .flatten()
            .map(|name| name.to_lowercase())
            .collect();
        let reserved = self.reserved_users.iter().find(|reserved| {
            carried.contains(&reserved.name.to_lowercase())
                && !reserved.subjects.contains(&identity.subject)
        })?;
        Some(&reserved.name)
    }
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
        for (service, plan) in services.iter_mut().zip(plans) {
            service.plan = plan;
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
    use crate::domain::policy::Requirement;

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
