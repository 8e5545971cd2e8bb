//! How the provider is asked: `https`, no redirects, bounded in time, size and number.
//!
//! The one HTTP client for discovery, keys, tokens and userinfo, handed to `openidconnect` as its
//! [`AsyncHttpClient`]. Proxies of the environment are not used: configuration comes from the
//! configuration alone.

use std::error::Error;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use openidconnect::http::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue};
use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse, http};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;
use url::{Host, Url};

use super::error::{HttpError, SetupError};

/// TCP and TLS together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The longest answer that is read.
const MAX_BODY: usize = 1024 * 1024;

/// The longest piece of somebody else's error message that is kept.
const MAX_REASON: usize = 200;

/// How patient a client is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// One request, from waiting for its turn to the last byte of its answer.
    pub(super) timeout: Duration,
    /// Requests at once. A provider that hangs must not gather connections without end.
    pub(super) in_flight: usize,
}

/// An HTTP client for the provider's endpoints.
#[derive(Debug)]
pub(super) struct HttpClient {
    client: reqwest::Client,
    allow_http: bool,
    timeout: Duration,
    turns: Semaphore,
}

impl HttpClient {
    /// Builds a client that trusts the system's certificates and those in `extra_roots_pem`.
    ///
    /// # Errors
    ///
    /// When `extra_roots_pem` holds no certificate, or TLS cannot be set up on this machine.
    pub(super) fn new(
        extra_roots_pem: Option<&[u8]>,
        allow_http: bool,
        bounds: Bounds,
    ) -> Result<Self, SetupError> {
        install_crypto_provider();
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            // A code can be redeemed once, so its request must not meet a connection that the
            // provider is just closing. A login can afford a new one.
            .pool_max_idle_per_host(0)
            .dns_resolver(Arc::new(LoopbackNames))
            .user_agent(concat!("portcullis/", env!("CARGO_PKG_VERSION")));
        // Without a word on it, a server may choose any encoding (RFC 9110 §12.5.3), and we unpack none.
        let plain = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static("identity"))]);
        builder = builder.default_headers(plain);
        if let Some(pem) = extra_roots_pem {
            builder = builder.tls_certs_merge(certificates(pem)?);
        }
        let client = builder.build().map_err(|error| SetupError::HttpClient {
            reason: innermost(&error),
        })?;
        Ok(Self {
            client,
            allow_http,
            timeout: bounds.timeout,
            turns: Semaphore::new(bounds.in_flight),
        })
    }

    /// The same, with bounds of its own: who waits for its turns takes none of this one's.
    pub(super) fn with_bounds(&self, bounds: Bounds) -> Self {
        Self {
            client: self.client.clone(),
            allow_http: self.allow_http,
            timeout: bounds.timeout,
            turns: Semaphore::new(bounds.in_flight),
        }
    }

    /// Whether `url` may be asked, or handed to a browser: `https`, or loopback, or allowed.
    pub(super) fn allows(&self, url: &Url) -> bool {
        match url.scheme() {
            "https" => true,
            "http" => self.allow_http || is_loopback(url),
            _ => false,
        }
    }

    /// Sends `request` and reads the whole answer. Any status below 300, and 400 to 499 but for 429, is
    /// an answer, since the protocols above give those a meaning.
    ///
    /// # Errors
    ///
    /// See [`HttpError`]: nothing else is an answer.
    pub(super) async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        tokio::time::timeout(self.timeout, self.send_in_turn(request))
            .await
            .unwrap_or(Err(HttpError::TimedOut))
    }

    async fn send_in_turn(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let request = reqwest::Request::try_from(request).map_err(unreachable)?;
        if !self.allows(request.url()) {
            return Err(HttpError::Insecure);
        }
        let _turn = self
            .turns
            .acquire()
            .await
            .map_err(|_closed| HttpError::TimedOut)?;
        let mut answer = self.client.execute(request).await.map_err(unreachable)?;
        let status = answer.status();
        if status.is_redirection() {
            return Err(HttpError::Redirect);
        }
        if status.is_server_error() || status == http::StatusCode::TOO_MANY_REQUESTS {
            let status = status.as_u16();
            return Err(HttpError::ServerError { status });
        }
        if is_encoded(answer.headers()) {
            return Err(HttpError::Encoded);
        }
        let announced = answer.content_length().unwrap_or(0);
        if announced > MAX_BODY as u64 {
            return Err(HttpError::TooLarge);
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
            if body.len() + chunk.len() > MAX_BODY {
                return Err(HttpError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        let mut whole = http::Response::new(body);
        *whole.status_mut() = status;
        *whole.headers_mut() = std::mem::take(answer.headers_mut());
        Ok(whole)
    }
}

impl<'c> AsyncHttpClient<'c> for HttpClient {
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.send(request))
    }
}

/// Whether a body is compressed, although we asked for it as it is. Nothing is unpacked.
fn is_encoded(headers: &HeaderMap) -> bool {
    headers
        .get_all(http::header::CONTENT_ENCODING)
        .iter()
        .any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// Makes *ring* the process's provider of cryptography for TLS. Harmless when there is one.
pub fn install_crypto_provider() {
    // Err means that one is installed already, and it is ours: no other is compiled in.
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
}

fn certificates(pem: &[u8]) -> Result<Vec<reqwest::Certificate>, SetupError> {
    let found = reqwest::Certificate::from_pem_bundle(pem).map_err(|error| {
        let reason = innermost(&error);
        SetupError::ExtraRoots { reason }
    })?;
    if found.is_empty() {
        let reason = "no certificate found".to_owned();
        return Err(SetupError::ExtraRoots { reason });
    }
    Ok(found)
}

fn unreachable(error: reqwest::Error) -> HttpError {
    if error.is_timeout() {
        return HttpError::TimedOut;
    }
    // The URL is the configuration's or the metadata's, and of no use in the sentence.
    let reason = innermost(&error.without_url());
    HttpError::Unreachable { reason }
}

/// The last cause in the chain, which is the one that says what to mend. It is the system's or the
/// TLS library's own text; no part of an answer gets into it.
fn innermost(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string().chars().take(MAX_REASON).collect()
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => is_localhost_name(name),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// `localhost` and all names below it (RFC 6761 §6.3).
fn is_localhost_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let last_label = name.rsplit('.').next().unwrap_or(name);
    last_label.eq_ignore_ascii_case("localhost")
}

/// Answers `localhost` and all names below it with loopback, as RFC 6761 §6.3 wants and many a
/// system resolver does not; the system resolver answers the rest, anew for each connection.
#[derive(Debug)]
struct LoopbackNames;

impl Resolve for LoopbackNames {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            if is_localhost_name(name.as_str()) {
                let loopback = [
                    IpAddr::V4(Ipv4Addr::LOCALHOST),
                    IpAddr::V6(Ipv6Addr::LOCALHOST),
                ];
                let addresses = loopback.map(|address| SocketAddr::new(address, 0));
                return Ok(Box::new(addresses.into_iter()) as Addrs);
            }
            let addresses = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(Box::new(addresses.collect::<Vec<_>>().into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        timeout: Duration::from_secs(1),
        in_flight: 1,
    };

    #[test]
    fn plain_http_is_for_loopback() {
        let strict = HttpClient::new(None, false, BOUNDS).expect("a client");
        let lax = HttpClient::new(None, true, BOUNDS).expect("a client");
        #[rustfmt::skip]
        let cases = [
            // url                              strict, lax
            ("https://id.example.net/token",     true,  true),
            ("http://id.example.net/token",      false, true),
            ("http://pocket-id:1411/token",      false, true),
            ("http://127.0.0.1:8080/token",      true,  true),
            ("http://127.9.9.9/token",           true,  true),
            ("http://[::1]/token",               true,  true),
            ("http://localhost/token",           true,  true),
            ("http://id.localhost./token",       true,  true),
            ("http://localhost.example.net/",    false, true),
            ("http://notlocalhost/",             false, true),
            ("http://10.0.0.1/",                 false, true),
            ("ftp://id.example.net/",            false, false),
            ("file:///etc/passwd",               false, false),
        ];
        for (url, by_strict, by_lax) in cases {
            let parsed = Url::parse(url).expect("a URL");
            assert_eq!(strict.allows(&parsed), by_strict, "{url}");
            assert_eq!(lax.allows(&parsed), by_lax, "{url}");
        }
    }

    /// A token endpoint that hangs holds up tokens, and not the metadata.
    #[tokio::test]
    async fn who_has_turns_of_their_own_waits_for_nobody_else() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let bounds = Bounds {
            timeout: Duration::from_secs(60),
            in_flight: 1,
        };
        let logins = HttpClient::new(None, false, bounds).expect("a client");
        let discovery = logins.with_bounds(bounds);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a free port");
        let url = format!("http://{}/", listener.local_addr().expect("its address"));
        let request = || {
            http::Request::get(&url)
                .body(Vec::new())
                .expect("a request")
        };
        let (accepted, hangs) = tokio::sync::oneshot::channel();
        let serve = async {
            let (_hanging, _) = listener.accept().await.expect("the first");
            accepted.send(()).expect("somebody waits");
            let (mut second, _) = listener.accept().await.expect("the second");
            second.read_u8().await.expect("a request");
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
            second.write_all(answer).await.expect("a reader");
            std::future::pending::<()>().await;
        };
        let ask = async {
            hangs.await.expect("a connection");
            assert_eq!(logins.turns.available_permits(), 0);
            let beside_it = discovery.send(request());
            tokio::time::timeout(Duration::from_secs(20), beside_it).await
        };
        let answer = tokio::select! {
            () = serve => unreachable!("it serves for ever"),
            _ = logins.send(request()) => unreachable!("it hangs"),
            answer = ask => answer,
        };
        assert!(answer.expect("in time").is_ok());
    }

    #[tokio::test]
    async fn an_answer_is_asked_for_as_it_is() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let client = HttpClient::new(None, false, BOUNDS).expect("a client");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a free port");
        let url = format!("http://{}/", listener.local_addr().expect("its address"));
        let request = http::Request::get(&url).body(Vec::new()).expect("one");
        let serve = async {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                asked.push(stream.read_u8().await.expect("a request"));
            }
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(answer).await.expect("a reader");
            String::from_utf8_lossy(&asked).to_lowercase()
        };
        let (asked, answer) = tokio::join!(serve, client.send(request));
        assert!(answer.is_ok());
        assert!(
            asked.contains("\r\naccept-encoding: identity\r\n"),
            "{asked}"
        );
    }

    #[test]
    fn extra_roots_must_be_certificates() {
        let rubbish = HttpClient::new(Some(b"not a certificate"), false, BOUNDS);
        assert!(matches!(rubbish, Err(SetupError::ExtraRoots { .. })));
    }
}
