//! Where the browser may go after login.

use thiserror::Error;
use url::Url;

use crate::domain::host::Authority;
use crate::domain::paths::is_reserved;
use crate::domain::service_table::{NoService, ServiceTable};

/// The longest address that travels through a login, in bytes: it is kept in a cookie.
pub const MAX_BYTES: usize = 2_000;

/// Where the browser goes after login: a URL on a host that we protect.
///
/// [`parse`](Self::parse) is the only constructor, so whoever holds a `ReturnTo` knows that the
/// open-redirect check (RFC 9700 §4.11) is done. What is kept, and sent, is the address as
/// re-serialised after parsing, never the text that came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReturnTo {
    url: Url,
    authority: Authority,
    cut: bool,
}

/// Why an address was refused. The browser then goes to the portal's front page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ReturnToError {
    /// Not an absolute URL.
    #[error("it is not an absolute URL")]
    NotAUrl,
    /// Two readers could disagree about it.
    #[error("it holds userinfo, a backslash, blanks or control characters")]
    Ambiguous,
    /// Not `https`.
    #[error("it is not https")]
    Insecure,
    /// Nobody asked us to protect that host.
    #[error("no service names its host")]
    ForeignHost,
    /// The portal and the issuer are not destinations.
    #[error("it is the sign-in host itself")]
    OwnHost,
    /// Not a port that browsers use for the service.
    #[error("its port is none of the service's")]
    ForeignPort,
    /// One of our own answers.
    #[error("it is one of the gate's own paths")]
    Reserved,
    /// Even the host alone is too long.
    #[error("it is too long")]
    TooLong,
}

impl ReturnTo {
    /// Reads an address. `allow_http` is `server.danger_allow_http`.
    ///
    /// An address longer than [`MAX_BYTES`] loses its query, and if that is not enough its path:
    /// [`is_cut`](Self::is_cut) tells.
    ///
    /// # Errors
    ///
    /// [`ReturnToError`], for everything that is not plainly a page of a protected host.
    pub fn parse(
        raw: &str,
        services: &ServiceTable,
        allow_http: bool,
    ) -> Result<Self, ReturnToError> {
        // The parser would drop tabs and line ends, and turn backslashes; a browser that gets the
        // original might do something else.
        if raw.contains(|c: char| c.is_control() || c.is_whitespace() || c == '\\') {
            return Err(ReturnToError::Ambiguous);
        }
        let mut url = Url::parse(raw).map_err(|_| ReturnToError::NotAUrl)?;
        match url.scheme() {
            "https" => {}
            "http" if allow_http => {}
            _ => return Err(ReturnToError::Insecure),
        }
        let userinfo = raw
            .split_once("//")
            .and_then(|(_, rest)| rest.split(['/', '?', '#']).next())
            .is_none_or(|authority| authority.contains('@'));
        if userinfo || !url.username().is_empty() || url.password().is_some() {
            return Err(ReturnToError::Ambiguous);
        }
        let authority = Authority::of_url(&url).ok_or(ReturnToError::ForeignHost)?;
        match services.find(&authority) {
            Ok(_) => {}
            Err(NoService::Unknown) => return Err(ReturnToError::ForeignHost),
            Err(NoService::OwnHost) => return Err(ReturnToError::OwnHost),
            Err(NoService::UnknownPort) => return Err(ReturnToError::ForeignPort),
        }
        if is_reserved(url.path()) {
            return Err(ReturnToError::Reserved);
        }
        url.set_fragment(None);
        // The canonical host (one trailing dot off), so that the cookie of that host is the one we set.
        url.set_host(Some(authority.host.as_str()))
            .map_err(|_| ReturnToError::ForeignHost)?;
        let mut cut = false;
        if url.as_str().len() > MAX_BYTES {
            url.set_query(None);
            cut = true;
        }
        if url.as_str().len() > MAX_BYTES {
            url.set_path("/");
        }
        if url.as_str().len() > MAX_BYTES {
            return Err(ReturnToError::TooLong);
        }
        Ok(Self {
            url,
            authority,
            cut,
        })
    }

    /// The address, re-serialised.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.url.as_str()
    }

    /// The protected host, and its port.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Scheme, host and port, without a slash at the end.
    #[must_use]
    pub fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    /// Whether query or path were cut, being too long to be kept.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.cut
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::host::{Host, Scheme};
    use crate::domain::policy::{Policy, Requirement};
    use crate::domain::service::{Service, ServicePolicy};
    use crate::domain::service_host::ServiceHost;

    fn services() -> ServiceTable {
        let policy = Arc::new(Policy {
            name: "authenticated".into(),
            requirement: Requirement::Authenticated,
        });
        let service = |name: &str, host: &str| {
            let hosts = vec![ServiceHost::parse(host).expect("a host")];
            Service::new(name, hosts, ServicePolicy::Own(policy.clone()))
        };
        ServiceTable::new(
            vec![
                service("films", "films.example.net"),
                service("lab", "*.lab.example.net:9443"),
            ],
            Authority::parse("auth.example.net:8443", Scheme::Https).expect("an authority"),
            Some(Host::parse("id.example.net").expect("a host")),
        )
    }

    #[test]
    #[rustfmt::skip] // the columns are the point
    fn only_pages_of_protected_hosts() {
        use ReturnToError::*;
        let cases = [
            ("https://films.example.net/",                     Ok("https://films.example.net/")),
            ("https://films.example.net",                      Ok("https://films.example.net/")),
            ("https://FILMS.example.net/A?b=C%20d+e&f='g'#h",  Ok("https://films.example.net/A?b=C%20d+e&f=%27g%27")),
            ("https://films.example.net/a?b=https://x/&c=%2F", Ok("https://films.example.net/a?b=https://x/&c=%2F")),
            ("https://films.example.net./a",                   Ok("https://films.example.net/a")),
            ("https://films.example.net:443/",                 Ok("https://films.example.net/")),
            ("https://films.example.net:8443/",                Ok("https://films.example.net:8443/")),
            ("https://a.lab.example.net:9443/",                Ok("https://a.lab.example.net:9443/")),
            ("https://films.example.net/@x",                   Ok("https://films.example.net/@x")),
            ("https://films.example.net:9443/",                Err(ForeignPort)),
            ("http://films.example.net/",                      Err(Insecure)),
            ("ftp://films.example.net/",                       Err(Insecure)),
            ("javascript:alert(1)//films.example.net/",        Err(Insecure)),
            ("https://evil.example/",                          Err(ForeignHost)),
            ("https://films.example.net.evil.example/",        Err(ForeignHost)),
            ("https://evilfilms.example.net/",                 Err(ForeignHost)),
            ("https://lab.example.net/",                       Err(ForeignHost)),
            ("https://evil.example/?films.example.net",        Err(ForeignHost)),
            ("https://evil.example#films.example.net",         Err(ForeignHost)),
            ("https://films.example.net@evil.example/",        Err(Ambiguous)),
            ("https://user@films.example.net/",                Err(Ambiguous)),
            ("https://@films.example.net/",                    Err(Ambiguous)),
            ("https://:@films.example.net/",                   Err(Ambiguous)),
            ("https://evil.example\\@films.example.net/",      Err(Ambiguous)),
            ("https:\\\\films.example.net/",                   Err(Ambiguous)),
            ("https://films.example.net/\\evil.example",       Err(Ambiguous)),
            ("https://films.exa\tmple.net/",                   Err(Ambiguous)),
            (" https://films.example.net/",                    Err(Ambiguous)),
            ("https://films.example.net/\r\nX: y",             Err(Ambiguous)),
            ("https:films.example.net/",                       Err(Ambiguous)),
            ("//films.example.net/",                           Err(NotAUrl)),
            ("/\\evil.example",                                Err(Ambiguous)),
            ("/a",                                             Err(NotAUrl)),
            ("",                                               Err(NotAUrl)),
            ("https://auth.example.net:8443/logout",           Err(OwnHost)),
            ("https://auth.example.net/",                      Err(OwnHost)),
            ("https://id.example.net/",                        Err(OwnHost)),
            ("https://films.example.net/.portcullis/logout",   Err(Reserved)),
            ("https://films.example.net/x/../.portcullis/enter", Err(Reserved)),
            ("https://films.example.net/.portcullis",          Ok("https://films.example.net/.portcullis")),
        ];
        for (raw, expected) in cases {
            let found = ReturnTo::parse(raw, &services(), false);
            let found = found.as_ref().map(ReturnTo::as_str);
            assert_eq!(found, expected.as_ref().map(|ok| *ok), "{raw:?}");
        }
    }

    #[test]
    fn http_is_for_development() {
        let raw = "http://films.example.net/";
        assert!(ReturnTo::parse(raw, &services(), true).is_ok());
    }

    #[test]
    fn too_long_an_address_loses_its_query_and_then_its_path() {
        let query = format!("https://films.example.net/a?{}", "q".repeat(MAX_BYTES));
        let found = ReturnTo::parse(&query, &services(), false).expect("an address");
        assert_eq!(found.as_str(), "https://films.example.net/a");
        assert!(found.is_cut());
        let path = format!("https://films.example.net/{}", "p".repeat(MAX_BYTES));
        let found = ReturnTo::parse(&path, &services(), false).expect("an address");
        assert_eq!(found.as_str(), "https://films.example.net/");
        assert!(found.is_cut());
    }

    proptest! {
        /// Whatever is accepted leads to a protected host, and reads the same a second time.
        #[test]
        fn what_is_accepted_stays_at_home(
            prefix in prop::sample::select(vec!["https://", "https:/", "https:", "http://", "//", ""]),
            middle in "[a-z.@:/\\\\?#%\t ;,]{0,12}",
            host in prop::sample::select(vec!["films.example.net", "evil.example", "a.lab.example.net"]),
            tail in "[ -~]{0,24}",
        ) {
            let raw = format!("{prefix}{middle}{host}{tail}");
            if let Ok(found) = ReturnTo::parse(&raw, &services(), false) {
                let url = Url::parse(found.as_str()).expect("a URL");
                let name = url.host_str().expect("a host");
                prop_assert!(name == "films.example.net" || name.ends_with(".lab.example.net"), "{raw}");
                prop_assert!(url.scheme() == "https" && url.username().is_empty());
                let again = ReturnTo::parse(found.as_str(), &services(), false);
                prop_assert_eq!(again.as_ref().map(ReturnTo::as_str), Ok(found.as_str()));
            }
        }

        #[test]
        fn any_text_is_read_without_panic(raw in any::<String>()) {
            let _ = ReturnTo::parse(&raw, &services(), true);
        }
    }
}
