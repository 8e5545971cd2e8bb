//! A cookie jar that keeps the rules of RFC 6265bis which our cookies rely on.
//!
//! `Secure`, host-only and `Domain` cookies, the `__Host-` and `__Secure-` prefixes, paths,
//! `SameSite`, and deletion by `Max-Age` or `Expires`. Public suffixes are taken to be the last
//! label of a name, which is right for the names that the tests use.

use cookie::Expiration;
use cookie::time::OffsetDateTime;
use url::Url;

/// Where a request comes from, as `SameSite` and `Sec-Fetch-FetchSite` see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchSite {
    /// The address bar, a bookmark.
    None,
    SameOrigin,
    SameSite,
    CrossSite,
}

impl FetchSite {
    /// The relation of `target` to the page that asks for it.
    pub fn between(initiator: &Url, target: &Url) -> Self {
        if initiator.origin() == target.origin() {
            Self::SameOrigin
        } else if registrable(initiator) == registrable(target) {
            Self::SameSite
        } else {
            Self::CrossSite
        }
    }

    /// The relation of a chain of redirects, which is that of its most distant member.
    pub fn and(self, other: Self) -> Self {
        let distance = |site| match site {
            Self::None => 3,
            Self::SameOrigin => 0,
            Self::SameSite => 1,
            Self::CrossSite => 2,
        };
        if distance(other) > distance(self) {
            other
        } else {
            self
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::SameOrigin => "same-origin",
            Self::SameSite => "same-site",
            Self::CrossSite => "cross-site",
        }
    }
}

/// Scheme and the last two labels: the site of a URL.
fn registrable(url: &Url) -> (String, String) {
    let host = url.host_str().unwrap_or_default();
    let labels: Vec<&str> = host.rsplitn(3, '.').take(2).collect();
    (url.scheme().to_owned(), labels.join("."))
}

#[derive(Clone, Debug)]
pub struct Stored {
    pub name: String,
    pub value: String,
    /// The host that set it, or the domain it asked for.
    domain: String,
    host_only: bool,
    path: String,
    secure: bool,
    same_site: cookie::SameSite,
}

#[derive(Default)]
pub struct Jar {
    cookies: Vec<Stored>,
}

impl Jar {
    /// Keeps, replaces or deletes as one `Set-Cookie` line from `url` says.
    ///
    /// # Errors
    ///
    /// Says why a browser would ignore the line.
    pub fn accept(&mut self, url: &Url, line: &str) -> Result<(), String> {
        let cookie = cookie::Cookie::parse(line.to_owned()).map_err(|cause| cause.to_string())?;
        let host = url.host_str().ok_or("no host")?;
        let secure = cookie.secure().unwrap_or(false);
        if secure && url.scheme() != "https" {
            return Err("Secure, but not set over https".to_owned());
        }
        let domain = cookie.domain().map(|domain| domain.trim_start_matches('.'));
        let name = cookie.name();
        if name.starts_with("__Secure-") && !secure {
            return Err("__Secure- without Secure".to_owned());
        }
        if name.starts_with("__Host-")
            && (!secure || domain.is_some() || cookie.path() != Some("/"))
        {
            return Err("__Host- needs Secure, Path=/ and no Domain".to_owned());
        }
        if cookie.same_site() == Some(cookie::SameSite::None) && !secure {
            return Err("SameSite=None without Secure".to_owned());
        }
        if let Some(domain) = domain {
            if !covers(domain, host) {
                return Err(format!("Domain={domain} does not hold {host}"));
            }
            if !domain.contains('.') {
                return Err(format!("Domain={domain} is a public suffix"));
            }
        }
        let stored = Stored {
            name: name.to_owned(),
            value: cookie.value().to_owned(),
            domain: domain.unwrap_or(host).to_ascii_lowercase(),
            host_only: domain.is_none(),
            path: match cookie.path() {
                Some(path) if path.starts_with('/') => path.to_owned(),
                _ => default_path(url),
            },
            secure,
            // Browsers take a cookie that says nothing for Lax.
            same_site: cookie.same_site().unwrap_or(cookie::SameSite::Lax),
        };
        self.cookies.retain(|old| {
            (&old.name, &old.domain, &old.path) != (&stored.name, &stored.domain, &stored.path)
        });
        if !has_expired(&cookie) {
            self.cookies.push(stored);
        }
        Ok(())
    }

    /// The cookies that a request to `url` carries.
    pub fn for_request(&self, url: &Url, site: FetchSite, top_level_get: bool) -> Vec<&Stored> {
        let host = url.host_str().unwrap_or_default();
        let mut sent: Vec<&Stored> = self
            .cookies
            .iter()
            .filter(|cookie| {
                if cookie.host_only {
                    cookie.domain == host
                } else {
                    covers(&cookie.domain, host)
                }
            })
            .filter(|cookie| !cookie.secure || url.scheme() == "https")
            .filter(|cookie| path_matches(&cookie.path, url.path()))
            .filter(|cookie| match cookie.same_site {
                cookie::SameSite::None => true,
                cookie::SameSite::Lax => site != FetchSite::CrossSite || top_level_get,
                cookie::SameSite::Strict => site != FetchSite::CrossSite,
            })
            .collect();
        // Longer paths first (RFC 6265 §5.4); the sort keeps the order of creation otherwise.
        sent.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        sent
    }

    pub fn clear(&mut self) {
        self.cookies.clear();
    }
}

fn has_expired(cookie: &cookie::Cookie<'_>) -> bool {
    if let Some(age) = cookie.max_age() {
        return age <= cookie::time::Duration::ZERO;
    }
    matches!(cookie.expires(), Some(Expiration::DateTime(then)) if then <= OffsetDateTime::now_utc())
}

fn covers(domain: &str, host: &str) -> bool {
    host == domain
        || host
            .strip_suffix(domain)
            .is_some_and(|front| front.ends_with('.'))
}

/// RFC 6265 §5.1.4.
fn default_path(url: &Url) -> String {
    match url.path().rfind('/') {
        Some(0) | None => "/".to_owned(),
        Some(end) => url.path()[..end].to_owned(),
    }
}

fn path_matches(cookie: &str, request: &str) -> bool {
    request
        .strip_prefix(cookie)
        .is_some_and(|rest| rest.is_empty() || cookie.ends_with('/') || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn sent(jar: &Jar, to: &str) -> Vec<String> {
        let stored = jar.for_request(&url(to), FetchSite::None, true);
        stored.iter().map(|cookie| cookie.name.clone()).collect()
    }

    #[test]
    fn takes_what_a_browser_takes() {
        #[rustfmt::skip] // the columns are the point
        let cases = [
            ("https://a.x.localhost", "n=v",                                            true),
            ("https://a.x.localhost", "__Host-n=v; Secure; Path=/",                     true),
            ("https://a.x.localhost", "__Host-n=v; Secure",                             false),
            ("https://a.x.localhost", "__Host-n=v; Path=/",                             false),
            ("https://a.x.localhost", "__Host-n=v; Secure; Path=/; Domain=x.localhost", false),
            ("http://a.x.localhost",  "__Host-n=v; Secure; Path=/",                     false),
            ("https://a.x.localhost", "__Secure-n=v; Secure; Domain=x.localhost",       true),
            ("https://a.x.localhost", "__Secure-n=v",                                   false),
            ("https://a.x.localhost", "n=v; Domain=y.localhost",                        false),
            ("https://a.x.localhost", "n=v; Domain=localhost",                          false),
            ("https://a.x.localhost", "n=v; SameSite=None",                             false),
        ];
        for (from, line, taken) in cases {
            let outcome = Jar::default().accept(&url(from), line);
            assert_eq!(outcome.is_ok(), taken, "{line} from {from}: {outcome:?}");
        }
    }

    #[test]
    fn sends_a_cookie_where_it_belongs_and_nowhere_else() {
        let mut jar = Jar::default();
        for line in [
            "host=1; Path=/",
            "wide=1; Path=/; Domain=x.localhost",
            "deep=1; Path=/deep",
        ] {
            jar.accept(&url("https://a.x.localhost/"), line).unwrap();
        }
        assert_eq!(sent(&jar, "https://a.x.localhost/"), ["host", "wide"]);
        assert_eq!(
            sent(&jar, "https://a.x.localhost/deep/er"),
            ["deep", "host", "wide"]
        );
        assert_eq!(sent(&jar, "https://a.x.localhost/deeper"), ["host", "wide"]);
        assert_eq!(sent(&jar, "https://b.x.localhost/"), ["wide"]);
        assert_eq!(sent(&jar, "https://ax.localhost/"), [""; 0]);
    }

    #[test]
    fn deletes_by_age_and_by_date() {
        let from = url("https://a.x.localhost/");
        for end in ["Max-Age=0", "Expires=Thu, 01 Jan 1970 00:00:00 GMT"] {
            let mut jar = Jar::default();
            jar.accept(&from, "n=v; Path=/; Max-Age=60").unwrap();
            assert_eq!(sent(&jar, from.as_str()), ["n"]);
            jar.accept(&from, &format!("n=; Path=/; {end}")).unwrap();
            assert_eq!(sent(&jar, from.as_str()), [""; 0], "{end}");
        }
    }

    #[test]
    fn keeps_a_lax_cookie_from_foreign_pages_except_for_navigations() {
        let mut jar = Jar::default();
        let here = url("https://a.x.localhost/");
        jar.accept(&here, "n=v; Path=/; SameSite=Lax").unwrap();
        assert_eq!(jar.for_request(&here, FetchSite::CrossSite, true).len(), 1);
        assert_eq!(jar.for_request(&here, FetchSite::CrossSite, false).len(), 0);
        assert_eq!(jar.for_request(&here, FetchSite::SameSite, false).len(), 1);
    }
}
