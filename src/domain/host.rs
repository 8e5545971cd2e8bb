//! Host names in canonical form, so that two spellings of one host are one value.

use std::fmt;
use std::net::IpAddr;

use thiserror::Error;

/// The two schemes that a protected page may have been asked over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `http` (and `ws`).
    Http,
    /// `https` (and `wss`).
    Https,
}

impl Scheme {
    /// Reads a scheme as proxies send it. Traefik says `ws` and `wss` for WebSocket handshakes.
    #[must_use]
    pub fn parse(raw: &str) -> Option<Self> {
        let is = |known: &str| raw.eq_ignore_ascii_case(known);
        if is("https") || is("wss") {
            Some(Self::Https)
        } else if is("http") || is("ws") {
            Some(Self::Http)
        } else {
            None
        }
    }

    /// As it stands in a URL.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port that a URL of this scheme need not name.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Why a host name was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HostError {
    /// There is none.
    #[error("the host is empty")]
    Empty,
    /// Longer than a name may be (RFC 1035 §2.3.4: 253 characters in text form).
    #[error("the host is longer than 253 characters")]
    TooLong,
    /// A character that no host has: userinfo, percent signs, blanks, commas and the like.
    #[error("the host holds a character that no host name has")]
    ForbiddenCharacter,
    /// Not a name and not an address.
    #[error("the host is not a name or an address")]
    Malformed,
    /// The part after the colon is no port.
    #[error("the port is not a number from 1 to 65535")]
    BadPort,
}

/// A host name or IP address in canonical form: lower case, IDN as punycode, no trailing dot,
/// IPv6 in brackets (RFC 5952).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Host(String);

impl Host {
    /// Reads a host without a port.
    ///
    /// # Errors
    ///
    /// [`HostError`] for whatever could mean two things: userinfo, `%`, blanks, commas, empty
    /// labels, more than one trailing dot.
    pub fn parse(raw: &str) -> Result<Self, HostError> {
        if is_canonical(raw) {
            return Ok(Self(raw.to_owned()));
        }
        if raw.is_empty() {
            return Err(HostError::Empty);
        }
        let forbidden = |c: char| {
            c.is_whitespace() || c.is_control() || "%,@/\\?#\"'<>^`{|}*;=&!$()+".contains(c)
        };
        if raw.contains(forbidden) {
            return Err(HostError::ForbiddenCharacter);
        }
        let raw = raw.strip_suffix('.').unwrap_or(raw);
        let canonical = match url::Host::parse(raw).map_err(|_| HostError::Malformed)? {
            url::Host::Domain(name) => name,
            address => address.to_string(),
        };
        // The limit is on the canonical form: punycode is longer than what was typed.
        if canonical.len() > 253 {
            return Err(HostError::TooLong);
        }
        if canonical.is_empty() || canonical.split('.').any(str::is_empty) {
            return Err(HostError::Malformed);
        }
        Ok(Self(canonical))
    }

    /// The canonical form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is an IP address rather than a name.
    #[must_use]
    pub fn is_address(&self) -> bool {
        self.0.starts_with('[') || self.0.parse::<IpAddr>().is_ok()
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether this is a host name in canonical form for sure, as nearly all that are asked for are: what takes a closer look
/// (punycode, addresses, upper case) is none here.
fn is_canonical(raw: &str) -> bool {
    let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
    let label = |label: &str| !label.is_empty() && !label.starts_with("xn--");
    // What ends in a number may be an address.
    let last = raw.rsplit('.').next().unwrap_or_default();
    raw.len() <= 253
        && raw.bytes().all(plain)
        && raw.split('.').all(label)
        && last.starts_with(|first: char| first.is_ascii_lowercase())
}

/// A host and, where it is not the scheme's default, a port: what a browser calls `host`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Authority {
    /// The host alone. Cookies and services go by this.
    pub host: Host,
    /// The port; `None` when it is the default port of the scheme.
    pub port: Option<u16>,
}

impl Authority {
    /// Reads `host` or `host:port` as it was sent for a request over `scheme`.
    ///
    /// # Errors
    ///
    /// [`HostError`], as [`Host::parse`] and for a port that is none.
    pub fn parse(raw: &str, scheme: Scheme) -> Result<Self, HostError> {
        let (host, port) = match raw.rsplit_once(':') {
            // The last colon of a bare IPv6 address in brackets parts no port.
            Some((_, tail)) if tail.ends_with(']') => (raw, None),
            Some((host, port)) => (host, Some(parse_port(port)?)),
            None => (raw, None),
        };
        if host.contains(':') && !host.starts_with('[') {
            return Err(HostError::Malformed);
        }
        Ok(Self {
            host: Host::parse(host)?,
            port: port.filter(|port| *port != scheme.default_port()),
        })
    }

    /// The authority of a URL that has a host; `None` for those that have not.
    #[must_use]
    pub fn of_url(url: &url::Url) -> Option<Self> {
        Some(Self {
            host: Host::parse(url.host_str()?).ok()?,
            port: url.port(),
        })
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.host),
            None => write!(f, "{}", self.host),
        }
    }
}

fn parse_port(raw: &str) -> Result<u16, HostError> {
    let digits = !raw.is_empty() && raw.len() <= 5 && raw.bytes().all(|b| b.is_ascii_digit());
    match raw.parse::<u16>() {
        Ok(port) if digits && port > 0 => Ok(port),
        _ => Err(HostError::BadPort),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    #[rustfmt::skip] // the columns are the point
    fn one_host_has_one_form() {
        use Scheme::{Http, Https};
        let cases: [(&str, Scheme, Result<&str, HostError>); 33] = [
            ("app.example.net",        Https, Ok("app.example.net")),
            ("APP.Example.NET",        Https, Ok("app.example.net")),
            ("app.example.net.",       Https, Ok("app.example.net")),
            ("app.example.net..",      Https, Err(HostError::Malformed)),
            ("app..example.net",       Https, Err(HostError::Malformed)),
            (".",                      Https, Err(HostError::Malformed)),
            (".example.net",           Https, Err(HostError::Malformed)),
            ("app.example.net:443",    Https, Ok("app.example.net")),
            ("app.example.net.:443",   Https, Ok("app.example.net")),
            ("app.example.net:443",    Http,  Ok("app.example.net:443")),
            ("app.example.net:80",     Http,  Ok("app.example.net")),
            ("app.example.net:80",     Https, Ok("app.example.net:80")),
            ("app.example.net:8443",   Https, Ok("app.example.net:8443")),
            ("app.example.net:",       Https, Err(HostError::BadPort)),
            ("app.example.net:0",      Https, Err(HostError::BadPort)),
            ("app.example.net:+443",   Https, Err(HostError::BadPort)),
            ("app.example.net:65536",  Https, Err(HostError::BadPort)),
            ("app.example.net:00443",  Https, Ok("app.example.net")),
            ("bücher.example.net",     Https, Ok("xn--bcher-kva.example.net")),
            ("BÜCHER.example.net",     Https, Ok("xn--bcher-kva.example.net")),
            ("user@app.example.net",   Https, Err(HostError::ForbiddenCharacter)),
            ("a%2eexample.net",        Https, Err(HostError::ForbiddenCharacter)),
            ("app.example.net evil",   Https, Err(HostError::ForbiddenCharacter)),
            ("a.example.net,b.net",    Https, Err(HostError::ForbiddenCharacter)),
            ("app.example.net\t",      Https, Err(HostError::ForbiddenCharacter)),
            ("*.example.net",          Https, Err(HostError::ForbiddenCharacter)),
            ("app_x.example.net",      Https, Ok("app_x.example.net")),
            ("",                       Https, Err(HostError::Empty)),
            (":443",                   Https, Err(HostError::Empty)),
            ("127.1",                  Https, Ok("127.0.0.1")),
            ("[::1]:8443",             Https, Ok("[::1]:8443")),
            ("[0:0::1]",               Https, Ok("[::1]")),
            ("::1",                    Https, Err(HostError::Malformed)),
        ];
        for (raw, scheme, expected) in cases {
            let found = Authority::parse(raw, scheme).map(|authority| authority.to_string());
            assert_eq!(found.as_deref(), expected.as_ref().map(|s| *s), "{raw:?}");
        }
    }

    proptest! {
        /// The short way leads where the long one does.
        #[test]
        fn what_looks_canonical_is(raw in "[a-z0-9._-]{0,6}(xn--)?[a-z0-9._-]{0,12}(\\.[a-z0-9_-]{0,4}){0,3}") {
            if is_canonical(&raw) {
                let parsed = url::Host::parse(&raw).expect("a host");
                prop_assert!(matches!(parsed, url::Host::Domain(_)));
                prop_assert_eq!(parsed.to_string(), raw);
            }
        }
    }

    #[test]
    fn a_host_has_a_bounded_length() {
        let long = format!("{}.net", "a.".repeat(130));
        assert_eq!(Host::parse(&long), Err(HostError::TooLong));
    }

    #[test]
    fn schemes_of_web_sockets_count_as_their_http_kin() {
        assert_eq!(Scheme::parse("wss"), Some(Scheme::Https));
        assert_eq!(Scheme::parse("WS"), Some(Scheme::Http));
        assert_eq!(Scheme::parse("https,http"), None);
        assert_eq!(Scheme::parse(""), None);
    }
}
