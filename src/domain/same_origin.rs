//! The same-origin guard: a browser sends our cookie, and comes from its network, for whatever page made it
//! ask. So what these two let pass must, where it changes something, come from the app's own pages.

use crate::domain::forwarded::ForwardedRequest;

/// Which other sites' pages may write to an app.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SameOriginGuard {
    /// Origins as browsers send them: `https://dashboard.example.net`, in lower case, without a slash.
    pub allowed_origins: Vec<String>,
}

impl SameOriginGuard {
    /// Whether `request` may be let pass for what its sender is, rather than for what its sender shows: see
    /// [`verdict`](Self::verdict).
    #[must_use]
    pub fn admits(&self, request: &ForwardedRequest) -> bool {
        self.verdict(request).admits()
    }

    /// Whose page made the browser send `request`.
    ///
    /// `Sec-Fetch-Site`, which no page can forge, decides where a browser sends it; `Origin: null` is common on
    /// good forms then. Without it (older browsers, and WebSocket handshakes) `Origin` decides: none is no
    /// browser's doing, `null` is a stranger's.
    #[must_use]
    pub fn verdict(&self, request: &ForwardedRequest) -> Verdict {
        if !changes_something(request) {
            return Verdict::Harmless;
        }
        if self.allows(request.initiator.origin.as_deref()) {
            return Verdict::AllowedOrigin;
        }
        match (&request.initiator.fetch_site, &request.initiator.origin) {
            (Some(site), _) if matches!(&**site, "same-origin" | "none") => Verdict::OwnSite,
            (None, None) => Verdict::NoBrowser,
            (None, Some(origin)) if *origin == own_origin(request) => Verdict::OwnSite,
            _ => Verdict::Foreign,
        }
    }

    /// Whether pages of `origin` may write to the app by configuration.
    #[must_use]
    pub fn allows(&self, origin: Option<&str>) -> bool {
        origin.is_some_and(|origin| self.allowed_origins.iter().any(|allowed| allowed == origin))
    }
}

/// What the guard makes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It changes nothing.
    Harmless,
    /// `allowed_origins` has the page's origin.
    AllowedOrigin,
    /// The app's own page, or the person themselves.
    OwnSite,
    /// Neither `Sec-Fetch-Site` nor `Origin`: no page made anybody send this.
    NoBrowser,
    /// A page of another site.
    Foreign,
}

impl Verdict {
    /// Whether this is a yes.
    #[must_use]
    pub const fn admits(self) -> bool {
        !matches!(self, Self::Foreign)
    }
}

/// For people.
impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Harmless => "the method changes nothing, so any page may make a browser send it",
            Self::AllowedOrigin => "the page's origin is one of allowed_origins",
            Self::OwnSite => "it comes from the app's own pages, or from the person directly",
            Self::NoBrowser => {
                "neither Sec-Fetch-Site nor Origin is there, so no page is behind it"
            }
            Self::Foreign => "a page of another site made the browser send it",
        })
    }
}

/// Everything but the safe methods (RFC 9110 §9.2.1), and handshakes, after which anything may be sent.
fn changes_something(request: &ForwardedRequest) -> bool {
    let safe = matches!(&*request.method, "GET" | "HEAD" | "OPTIONS" | "TRACE");
    !safe || request.initiator.upgrade || request.overrides_method
}

fn own_origin(request: &ForwardedRequest) -> String {
    format!("{}://{}", request.scheme.as_str(), request.authority)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::navigation::{Initiator, fetch_word};
    use crate::domain::proxies::ClientAddress;

    fn request(
        method: &str,
        site: Option<&str>,
        origin: Option<&str>,
        upgrade: bool,
    ) -> ForwardedRequest {
        let initiator = Initiator {
            fetch_site: site.map(fetch_word),
            origin: origin.map(str::to_owned),
            upgrade,
            ..Initiator::default()
        };
        let client = ClientAddress::Unknown;
        ForwardedRequest::parse(
            method,
            "https",
            "app.example.net:8443",
            "/",
            client,
            initiator,
            false,
        )
        .expect("a request")
    }

    #[test]
    #[rustfmt::skip] // the columns are the point
    fn only_the_apps_own_pages_may_write() {
        const OWN: &str = "https://app.example.net:8443";
        const FRIEND: &str = "https://dashboard.example.net";
        let guard = SameOriginGuard { allowed_origins: vec![FRIEND.into()] };
        let cases = [
            ("GET",     Some("cross-site"),  Some("https://evil.example"),    false, true),
            ("HEAD",    Some("cross-site"),  None,                            false, true),
            ("OPTIONS", None,                Some("https://evil.example"),    false, true),
            ("POST",    Some("same-origin"), Some(OWN),                       false, true),
            ("POST",    Some("none"),        None,                            false, true),
            ("POST",    Some("same-origin"), Some("null"),                    false, true),
            ("POST",    Some("same-site"),   Some("https://b.example.net"),   false, false),
            ("POST",    Some("cross-site"),  Some("https://evil.example"),    false, false),
            ("POST",    Some("cross-site"),  Some(OWN),                       false, false),
            ("POST",    Some("odd"),         None,                            false, false),
            ("POST",    None,                None,                            false, true),
            ("POST",    None,                Some(OWN),                       false, true),
            ("POST",    None,                Some("https://app.example.net"), false, false),
            ("POST",    None,                Some("http://app.example.net:8443"), false, false),
            ("POST",    None,                Some("null"),                    false, false),
            ("POST",    None,                Some("https://evil.example"),    false, false),
            ("POST",    Some("same-site"),   Some(FRIEND),                    false, true),
            ("POST",    None,                Some(FRIEND),                    false, true),
            ("DELETE",  Some("cross-site"),  None,                            false, false),
            ("get",     Some("cross-site"),  None,                            false, false),
            ("CONNECT", None,                Some("https://evil.example"),    false, false),
            ("GET",     None,                Some("https://evil.example"),    true,  false),
            ("GET",     None,                Some(OWN),                       true,  true),
            ("GET",     None,                None,                            true,  true),
        ];
        for (method, site, origin, upgrade, expected) in cases {
            let request = request(method, site, origin, upgrade);
            assert_eq!(guard.admits(&request), expected, "{method} {site:?} {origin:?} {upgrade}");
        }
    }
}
