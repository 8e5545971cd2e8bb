//! The original request, as a proxy describes it.

use std::borrow::Cow;

use thiserror::Error;

use crate::domain::host::{Authority, HostError, Scheme};
use crate::domain::navigation::Initiator;
use crate::domain::plain_path::{NotPlain, plainness};
use crate::domain::proxies::ClientAddress;
use crate::domain::target::{RequestTarget, TargetError};

/// The request that somebody sent to the proxy and that we are asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardedRequest {
    /// The method, as sent: case is significant (RFC 9110 §9.1).
    pub method: Cow<'static, str>,
    /// Over which scheme.
    pub scheme: Scheme,
    /// To which host and port.
    pub authority: Authority,
    /// For what.
    pub target: RequestTarget,
    /// From where.
    pub client: ClientAddress,
    /// Whether a header asks the app to take the request for one of another method.
    pub overrides_method: bool,
    /// Whether a header asks the app to take the request for one of another path.
    pub overrides_path: bool,
    /// What the browser was doing.
    pub initiator: Initiator,
    /// The names that the proxy says it copies from our answer (`Portcullis-Copy`).
    pub copy_list: Option<String>,
    /// The headers that some rule asks for, by lower-case name, as far as they came at all; `None` for one that came
    /// more than once, or under a name that some apps take for it.
    pub asked_headers: Vec<(String, Option<Vec<u8>>)>,
}

/// A header that some rule asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskedHeader<'a> {
    /// It is not there.
    Absent,
    /// It is there once.
    Once(&'a [u8]),
    /// It came more than once, or under a name that some apps take for it.
    Unsure,
}

/// Why the description of a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ForwardedError {
    /// No such header.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// More than one line, where they could contradict each other.
    #[error("{0} came more than once")]
    Repeated(&'static str),
    /// Bytes that are not text.
    #[error("{0} holds bytes that are not ASCII")]
    NotText(&'static str),
    /// Not a scheme, a host and a path in one.
    #[error("{0} is not an absolute URL")]
    NotAUrl(&'static str),
    /// Another host, or another port, than the one that the request itself was for.
    #[error("{0} names another host than Host does")]
    OtherHost(&'static str),
    /// Not an HTTP token (RFC 9110 §5.6.2).
    #[error("the method is not an HTTP token")]
    Method,
    /// Neither `http` nor `https`.
    #[error("the scheme is neither http nor https")]
    Scheme,
    /// The host.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The target.
    #[error(transparent)]
    Target(#[from] TargetError),
}

impl ForwardedRequest {
    /// Puts the description together.
    ///
    /// # Errors
    ///
    /// [`ForwardedError`] for the first part that does not parse: there is no falling back to another
    /// header, since the client might have sent that one.
    pub fn parse(
        method: &str,
        scheme: &str,
        host: &str,
        target: &str,
        client: ClientAddress,
        initiator: Initiator,
        overrides_method: bool,
    ) -> Result<Self, ForwardedError> {
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if method.is_empty() || method.len() > 32 || !method.bytes().all(token) {
            return Err(ForwardedError::Method);
        }
        let scheme = Scheme::parse(scheme).ok_or(ForwardedError::Scheme)?;
        Ok(Self {
            method: usual(method).map_or_else(|| method.to_owned().into(), Cow::Borrowed),
            scheme,
            authority: Authority::parse(host, scheme)?,
            target: RequestTarget::parse(target)?,
            client,
            overrides_method,
            overrides_path: false,
            initiator,
            copy_list: None,
            asked_headers: Vec::new(),
        })
    }

    /// Holds when every app takes the request for one of the same path.
    ///
    /// # Errors
    ///
    /// The first thing that makes it mean different things.
    pub fn plainness(&self) -> Result<(), NotPlain> {
        if self.overrides_path {
            return Err(NotPlain::Overridden);
        }
        plainness(self.target.path())
    }

    /// What is known of a header that some rule asks for.
    #[must_use]
    pub fn asked_header(&self, name: &str) -> AskedHeader<'_> {
        match self.asked_headers.iter().find(|(asked, _)| asked == name) {
            None => AskedHeader::Absent,
            Some((_, None)) => AskedHeader::Unsure,
            Some((_, Some(value))) => AskedHeader::Once(value),
        }
    }

    /// Whether this is a browser's question whether a page of another origin may ask (Fetch §4.8,
    /// CORS-preflight).
    #[must_use]
    pub fn is_preflight(&self) -> bool {
        !self.initiator.upgrade
            && self.method == "OPTIONS"
            && self.initiator.origin.is_some()
            && self.initiator.asks_for_method
    }

    /// Whether a login could not work, because our cookies do not travel over plain `http` when the portal, as
    /// usual, is `https` (`secure_portal`).
    #[must_use]
    pub fn is_insecure(&self, secure_portal: bool) -> bool {
        self.scheme == Scheme::Http && secure_portal
    }

    /// The URL that the browser shows.
    #[must_use]
    pub fn url(&self) -> String {
        format!(
            "{}://{}{}",
            self.scheme.as_str(),
            self.authority,
            self.target.as_str()
        )
    }
}

/// The methods that nearly all requests have: such a one takes no memory of its own.
fn usual(method: &str) -> Option<&'static str> {
    const USUAL: [&str; 7] = ["GET", "POST", "HEAD", "PUT", "OPTIONS", "DELETE", "PATCH"];
    USUAL.into_iter().find(|usual| *usual == method)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(method: &str, scheme: &str, host: &str, uri: &str) -> Result<String, ForwardedError> {
        let initiator = Initiator::default();
        ForwardedRequest::parse(
            method,
            scheme,
            host,
            uri,
            ClientAddress::Unknown,
            initiator,
            false,
        )
        .map(|request| request.url())
    }

    #[test]
    #[rustfmt::skip] // the columns are the point
    fn every_part_must_parse() {
        use ForwardedError::{Host, Method, Scheme, Target};
        let cases = [
            ("GET",     "https", "App.example.net:443",  "/a?b", Ok("https://app.example.net/a?b")),
            ("GET",     "wss",   "app.example.net:8443", "/a",   Ok("https://app.example.net:8443/a")),
            ("FOO",     "http",  "app.example.net",      "/",    Ok("http://app.example.net/")),
            ("",        "https", "app.example.net",      "/",    Err(Method)),
            ("GE T",    "https", "app.example.net",      "/",    Err(Method)),
            ("GET\r\n", "https", "app.example.net",      "/",    Err(Method)),
            ("GET",     "ftp",   "app.example.net",      "/",    Err(Scheme)),
            ("GET",     "",      "app.example.net",      "/",    Err(Scheme)),
            ("GET",     "https", "",                     "/",    Err(Host(HostError::Empty))),
            ("GET",     "https", "a,b",                  "/",    Err(Host(HostError::ForbiddenCharacter))),
            ("GET",     "https", "app.example.net",      "",     Err(Target(TargetError::NotAPath))),
            ("GET",     "https", "app.example.net",      "/#",   Err(Target(TargetError::Fragment))),
        ];
        for (method, scheme, host, uri, expected) in cases {
            let found = parse(method, scheme, host, uri);
            assert_eq!(found.as_deref(), expected.as_ref().map(|ok| *ok), "{method} {host} {uri}");
        }
        assert_eq!(parse(&"A".repeat(33), "https", "a.net", "/"), Err(Method));
    }
}
