//! The hosts that the configuration gives to a service: names, and whole domains.

use thiserror::Error;

use crate::domain::host::{Authority, Host, HostError, Scheme};

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

#[cfg(test)]
mod tests {
    use super::*;

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
