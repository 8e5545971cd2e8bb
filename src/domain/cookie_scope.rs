//! For which hosts a session cookie is: each its own, or one for a whole domain.

use crate::domain::host::Host;
use crate::domain::service::Service;

/// Who receives a session cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CookieScope<'a> {
    /// The one host.
    Host,
    /// Every host of this domain, and the domain itself.
    Domain(&'a Host),
}

/// The domains whose hosts share one cookie (`session.cookie_domains`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CookieDomains(Vec<Host>);

impl CookieDomains {
    /// These domains.
    #[must_use]
    pub fn new(domains: Vec<Host>) -> Self {
        Self(domains)
    }

    /// The scope of the cookie on `host`, which belongs to `service`: that of the most specific domain, unless the
    /// service keeps apart.
    #[must_use]
    pub fn scope(&self, host: &Host, service: &Service) -> CookieScope<'_> {
        if service.isolated {
            return CookieScope::Host;
        }
        self.domain_of(host)
            .map_or(CookieScope::Host, CookieScope::Domain)
    }

    /// The most specific of the domains that `host` lies under.
    #[must_use]
    pub fn domain_of(&self, host: &Host) -> Option<&Host> {
        let over = self.0.iter().filter(|domain| is_under(host, domain));
        over.max_by_key(|domain| domain.as_str().len())
    }
}

/// Whether browsers send a cookie of `domain` to `host` (RFC 6265 §5.1.3).
#[must_use]
pub fn is_under(host: &Host, domain: &Host) -> bool {
    if host == domain {
        return true;
    }
    let rest = host.as_str().strip_suffix(domain.as_str());
    !host.is_address() && rest.is_some_and(|rest| rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::policy::{Policy, Requirement};
    use crate::domain::service::ServicePolicy;

    fn host(name: &str) -> Host {
        Host::parse(name).expect("a host")
    }

    #[test]
    #[rustfmt::skip] // the columns are the point
    fn the_most_specific_domain_wins() {
        let domains = CookieDomains::new(vec![host("example.net"), host("lab.example.net")]);
        let cases = [
            ("example.net",       Some("example.net")),
            ("a.example.net",     Some("example.net")),
            ("a.b.example.net",   Some("example.net")),
            ("lab.example.net",   Some("lab.example.net")),
            ("a.lab.example.net", Some("lab.example.net")),
            ("badexample.net",    None),
            ("example.org",       None),
            ("net",               None),
            ("10.0.0.1",          None),
        ];
        for (name, expected) in cases {
            assert_eq!(domains.domain_of(&host(name)).map(Host::as_str), expected, "{name}");
        }
    }

    #[test]
    fn an_isolated_service_keeps_its_cookie_to_itself() {
        let domains = CookieDomains::new(vec![host("example.net")]);
        let policy = Policy {
            name: "authenticated".into(),
            requirement: Requirement::Authenticated,
        };
        let mut service = Service::new("films", Vec::new(), ServicePolicy::Own(Arc::new(policy)));
        let films = host("films.example.net");
        assert_eq!(
            domains.scope(&films, &service),
            CookieScope::Domain(&host("example.net"))
        );
        service.isolated = true;
        assert_eq!(domains.scope(&films, &service), CookieScope::Host);
    }
}
