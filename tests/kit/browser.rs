//! An HTTP client that behaves as a browser does, as far as a gate can tell.
//!
//! It has a cookie jar, sends `Sec-Fetch-*`, resolves every name to the loopback address, trusts
//! the certificate authority of the test, and remembers every step that it took.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{ACCEPT, COOKIE, HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Certificate, Method, redirect};
use url::Url;

use super::ask::Ask;
use super::cookies::{FetchSite, Jar};
use super::html::Form;
use super::page::{Hop, Page};
use super::{Failure, Result};

/// As many redirects as Chromium follows.
const MOST_HOPS: usize = 20;
const TIME_LIMIT: Duration = Duration::from_secs(20);
const PAGE_TYPES: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

pub struct Browser {
    client: reqwest::Client,
    jar: Mutex<Jar>,
    /// Hosts whose cookies are thrown away, as some privacy settings do.
    no_cookies_for: Vec<String>,
    history: Mutex<Vec<Hop>>,
}

impl Browser {
    /// # Errors
    ///
    /// When `root_pem` is no certificate.
    pub fn new(root_pem: &[u8]) -> Result<Self> {
        Self::without_cookies_for(root_pem, &[])
    }

    /// A browser that stores no cookies of these hosts.
    ///
    /// # Errors
    ///
    /// When `root_pem` is no certificate.
    pub fn without_cookies_for(root_pem: &[u8], hosts: &[&str]) -> Result<Self> {
        Self::build(root_pem, hosts, own_address())
    }

    /// A browser whose connections come from `address`.
    ///
    /// # Errors
    ///
    /// When `root_pem` is no certificate.
    pub fn from_address(root_pem: &[u8], address: Ipv4Addr) -> Result<Self> {
        Self::build(root_pem, &[], address)
    }

    fn build(root_pem: &[u8], hosts: &[&str], address: Ipv4Addr) -> Result<Self> {
        install_crypto();
        let root = Certificate::from_pem(root_pem).map_err(Failure::of("root certificate"))?;
        let client = reqwest::Client::builder()
            .tls_certs_only([root])
            .dns_resolver(Loopback)
            .local_address(IpAddr::V4(address))
            .no_proxy()
            .redirect(redirect::Policy::none())
            .timeout(TIME_LIMIT)
            .build()
            .map_err(Failure::of("HTTP client"))?;
        Ok(Self {
            client,
            jar: Mutex::default(),
            no_cookies_for: hosts.iter().map(|&host| host.to_owned()).collect(),
            history: Mutex::default(),
        })
    }

    /// Goes to an address that was typed in, and on through every redirect.
    ///
    /// # Errors
    ///
    /// When an answer does not come, or the redirects do not end.
    pub async fn navigate(&self, url: &str) -> Result<Page> {
        self.follow(Ask::navigation(url)).await
    }

    /// Presses the first form of `page` with these fields beside its hidden ones.
    ///
    /// # Errors
    ///
    /// When there is none, and as [`navigate`](Self::navigate).
    pub async fn submit(&self, page: &Page, fields: &[(&str, &str)]) -> Result<Page> {
        let form = Form::first_in(&page.body)
            .ok_or_else(|| Failure(format!("no form at {}:\n{}", page.url, page.body)))?;
        let target = page
            .url
            .join(&form.action)
            .map_err(Failure::of(&form.action))?;
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(&form.hidden).extend_pairs(fields);
        let body = body.finish();
        let site = FetchSite::between(&page.url, &target);
        let ask = Ask::navigation(target.as_str())
            .site(site)
            .header("origin", &page.url.origin().ascii_serialization());
        self.follow(ask.form(body)).await
    }

    /// Goes to `url` and, when that leads to the provider's login page, signs in there as `user`.
    ///
    /// # Errors
    ///
    /// As [`navigate`](Self::navigate).
    pub async fn sign_in(&self, url: &str, user: &str) -> Result<Page> {
        let page = self.navigate(url).await?;
        if !page.url.path().starts_with("/interaction/") {
            return Ok(page);
        }
        let mut arrived = self.submit(&page, &[("user", user)]).await?;
        arrived.hops.splice(0..0, page.hops);
        Ok(arrived)
    }

    /// One request, no redirect followed.
    ///
    /// # Errors
    ///
    /// When no answer comes.
    pub async fn ask(&self, ask: Ask) -> Result<Page> {
        let mut headers = HeaderMap::new();
        let (mode, destination, accept) = if ask.navigates {
            ("navigate", "document", PAGE_TYPES)
        } else {
            ("cors", "empty", "*/*")
        };
        let defaults = [
            ("sec-fetch-site", ask.site.as_str()),
            ("sec-fetch-mode", mode),
            ("sec-fetch-dest", destination),
            (ACCEPT.as_str(), accept),
        ];
        let given = |name: &str| {
            ask.headers
                .iter()
                .any(|(own, _)| own.eq_ignore_ascii_case(name))
        };
        let defaults = defaults.iter().filter(|(name, _)| !given(name)).copied();
        let own = ask
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in defaults.chain(own) {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(Failure::of(name))?;
            let value = HeaderValue::from_bytes(value.as_bytes()).map_err(Failure::of(&name))?;
            headers.append(name, value);
        }
        let top_level_get = ask.navigates && ask.method == Method::GET;
        let sent_cookies = self
            .jar()
            .for_request(&ask.url, ask.site, top_level_get)
            .iter()
            .map(|cookie| format!("{}={}", cookie.name, cookie.value))
            .collect::<Vec<_>>()
            .join("; ");
        if !sent_cookies.is_empty() && !given("cookie") {
            let value = HeaderValue::from_str(&sent_cookies).map_err(Failure::of("Cookie"))?;
            headers.insert(COOKIE, value);
        }
        let mut request = self
            .client
            .request(ask.method.clone(), ask.url.clone())
            .headers(headers);
        if let Some(body) = ask.body {
            request = request.body(body);
        }
        let answer = request.send().await.map_err(Failure::of(&ask.url))?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = answer.bytes().await.map_err(Failure::of(&ask.url))?;
        let hop = Hop {
            method: ask.method,
            url: ask.url,
            sent_cookies,
            status,
            headers: headers.clone(),
            body: String::from_utf8_lossy(&body).into_owned(),
        };
        self.keep_cookies(&hop)?;
        lock(&self.history).push(hop.clone());
        Ok(Page {
            url: hop.url.clone(),
            status,
            headers,
            body: hop.body.clone(),
            hops: vec![hop],
        })
    }

    /// Everything that this browser has asked and been told.
    pub fn history(&self) -> Vec<Hop> {
        lock(&self.history).clone()
    }

    /// The value of the cookie that a request to `url` would carry.
    pub fn cookie(&self, url: &str, name: &str) -> Option<String> {
        let url = Url::parse(url).expect("the tests write valid URLs");
        let jar = self.jar();
        let sent = jar.for_request(&url, FetchSite::None, true);
        sent.iter()
            .find(|cookie| cookie.name == name)
            .map(|cookie| cookie.value.clone())
    }

    /// Stores a cookie as if `url` had set it.
    ///
    /// # Errors
    ///
    /// When a browser would not store it.
    pub fn store_cookie(&self, url: &str, line: &str) -> Result<()> {
        let url = Url::parse(url).expect("the tests write valid URLs");
        self.jar().accept(&url, line).map_err(Failure::of(line))
    }

    pub fn forget_cookies(&self) {
        self.jar().clear();
    }

    async fn follow(&self, first: Ask) -> Result<Page> {
        let typed = first.site == FetchSite::None;
        let mut ask = first;
        let mut hops = Vec::new();
        loop {
            let (site, url) = (ask.site, ask.url.clone());
            let mut page = self.ask(ask).await?;
            hops.append(&mut page.hops);
            let Some(next) = redirect_target(&page)? else {
                page.hops = hops;
                return Ok(page);
            };
            if hops.len() == MOST_HOPS {
                page.hops = hops;
                return Err(Failure(format!("too many redirects:\n{}", page.way())));
            }
            // What was typed in stays `none` through every redirect.
            let site = if typed {
                site
            } else {
                site.and(FetchSite::between(&url, &next))
            };
            ask = Ask::navigation(next.as_str()).site(site);
        }
    }

    fn keep_cookies(&self, hop: &Hop) -> Result<()> {
        if self
            .no_cookies_for
            .iter()
            .any(|host| hop.url.host_str() == Some(host))
        {
            return Ok(());
        }
        for line in hop.set_cookies() {
            // A line that a browser would ignore is a fault of whoever sent it.
            self.jar()
                .accept(&hop.url, line)
                .map_err(Failure::of(&hop.url))?;
        }
        Ok(())
    }

    fn jar(&self) -> MutexGuard<'_, Jar> {
        lock(&self.jar)
    }
}

fn redirect_target(page: &Page) -> Result<Option<Url>> {
    if !matches!(page.status, 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let location = page
        .headers
        .get(LOCATION)
        .and_then(|value| value.to_str().ok());
    let location = location.ok_or_else(|| Failure(format!("no Location at {}", page.url)))?;
    page.url
        .join(location)
        .map(Some)
        .map_err(Failure::of(location))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Each browser comes from an address of its own, as in life: what is limited per address is not
/// shared. The whole of 127.0.0.0/8 is this machine.
fn own_address() -> Ipv4Addr {
    static COUNT: AtomicU16 = AtomicU16::new(0);
    let [high, low] = COUNT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    Ipv4Addr::new(127, 1, high, low)
}

/// A client without cookies and redirects, to which every name is this machine.
///
/// # Errors
///
/// When `root_pem` is no certificate.
pub fn bare_client(root_pem: &[u8], time_limit: Duration) -> Result<reqwest::Client> {
    install_crypto();
    let root = Certificate::from_pem(root_pem).map_err(Failure::of("root certificate"))?;
    reqwest::Client::builder()
        .tls_certs_only([root])
        .dns_resolver(Loopback)
        .no_proxy()
        .redirect(redirect::Policy::none())
        .timeout(time_limit)
        // What a crowd opened at once is not kept.
        .pool_max_idle_per_host(8)
        .build()
        .map_err(Failure::of("HTTP client"))
}

/// Every name is this machine, as `*.localhost` is.
struct Loopback;

impl Resolve for Loopback {
    fn resolve(&self, _: Name) -> Resolving {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Box::pin(std::future::ready(Ok(
            Box::new(std::iter::once(address)) as Addrs
        )))
    }
}

/// rustls is built without a default, so that there is one implementation in the whole program.
pub fn install_crypto() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Fails only when somebody did it before, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}
