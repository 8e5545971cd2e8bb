//! A browser, as far as the flows need one: cookies by host, and redirects followed one at a time, at the
//! protected hosts, the portal and the issuer.

use std::collections::HashMap;

use reqwest::Method;
use url::Url;

use super::app::{Answer, Ask, Proxy, TestApp, answer};

/// A chain longer than this is a loop.
const MAX_REDIRECTS: usize = 20;

pub struct Browser<'a> {
    app: &'a TestApp,
    /// What stands before the apps.
    proxy: Proxy,
    cookies: HashMap<String, HashMap<String, String>>,
    /// Hosts whose cookies are thrown away.
    forgets: Vec<&'static str>,
    /// The domain whose cookies are kept, for all of its hosts.
    shares: Option<&'static str>,
    /// Its address.
    from: String,
}

/// Where a navigation led.
#[derive(Debug)]
pub struct Visit {
    /// Every URL on the way, the last included.
    pub urls: Vec<String>,
    pub end: Answer,
}

impl Visit {
    pub fn url(&self) -> &str {
        self.urls.last().expect("a navigation begins somewhere")
    }

    /// How often the issuer was asked.
    pub fn logins(&self) -> usize {
        self.urls
            .iter()
            .filter(|url| url.contains("code_challenge="))
            .count()
    }
}

impl<'a> Browser<'a> {
    pub fn new(app: &'a TestApp) -> Self {
        Self {
            app,
            proxy: Proxy::Caddy,
            cookies: HashMap::new(),
            forgets: Vec::new(),
            shares: None,
            from: app.from.clone(),
        }
    }

    /// Has it reach the apps through `proxy`.
    pub fn through(mut self, proxy: Proxy) -> Self {
        self.proxy = proxy;
        self
    }

    /// From now on, the proxy asks `app`.
    pub fn led_to(&mut self, app: &'a TestApp) {
        self.app = app;
    }

    /// Keeps cookies of `domain` for all of its hosts. Otherwise cookies with a domain are thrown away.
    pub fn sharing(mut self, domain: &'static str) -> Self {
        self.shares = Some(domain);
        self
    }

    /// Puts it elsewhere than the app's other browsers.
    pub fn at(mut self, address: String) -> Self {
        self.from = address;
        self
    }

    /// Keeps no cookie of `host`.
    pub fn forgetting(mut self, host: &'static str) -> Self {
        self.forgets.push(host);
        self
    }

    /// Opens `url` and goes wherever it is sent.
    pub async fn navigate(&mut self, url: &str) -> Visit {
        let mut urls = vec![url.to_owned()];
        let mut end = self.open(url).await;
        while end.headers.contains_key("location") && urls.len() <= MAX_REDIRECTS {
            let next = end.location().to_owned();
            end = self.open(&next).await;
            urls.push(next);
        }
        Visit { urls, end }
    }

    /// Opens `url` and goes on as far as to the provider's answer: the URL that it is not led to yet.
    pub async fn until_callback(&mut self, url: &str) -> String {
        let mut url = url.to_owned();
        while !url.contains("/callback?") {
            let next = self.open(&url).await;
            assert!(next.headers.contains_key("location"), "{url}: {next:?}");
            next.location().clone_into(&mut url);
        }
        url
    }

    /// Opens `url` and goes nowhere else.
    pub async fn open(&mut self, url: &str) -> Answer {
        let parsed = Url::parse(url).expect("a URL");
        let host = parsed.host_str().expect("a host").to_owned();
        if url.starts_with(self.app.issuer.issuer()) {
            return self.visit_issuer(&parsed).await;
        }
        let end = if host == "auth.example.net" {
            let path = &parsed[url::Position::BeforePath..url::Position::AfterQuery];
            let request = self.app.portal_from(&self.from, Method::GET, path);
            answer(request.header("cookie", self.cookie_header(&host))).await
        } else if self.proxy == Proxy::Nginx {
            self.open_at_nginx(url).await
        } else {
            self.ask(url).navigation().send().await
        };
        self.keep(&host, &end);
        end
    }

    /// As nginx has it: our own paths lead to the portal's listener, and a 401 that says where to sign in becomes a
    /// redirect.
    async fn open_at_nginx(&self, url: &str) -> Answer {
        let ask = self.ask(url).navigation();
        let own = url
            .splitn(4, '/')
            .nth(3)
            .filter(|path| path.starts_with(".portcullis/"));
        if let Some(path) = own {
            return ask.send_to_portal(&format!("/{path}")).await;
        }
        let mut answer = ask.send().await;
        let taken = [200, 401, 403].contains(&answer.status.as_u16());
        assert!(taken, "nginx takes no {}", answer.status);
        if answer.headers.contains_key("location") {
            assert_eq!(answer.status, 401);
            answer.status = reqwest::StatusCode::FOUND;
        }
        answer
    }

    async fn visit_issuer(&self, url: &Url) -> Answer {
        if url.path().ends_with("/authorize") {
            let back = self
                .app
                .issuer
                .visit(url)
                .expect("a request that a strict provider takes");
            let headers = [(
                reqwest::header::LOCATION,
                back.as_str().parse().expect("a value"),
            )];
            return Answer {
                status: reqwest::StatusCode::FOUND,
                headers: headers.into_iter().collect(),
                body: String::new(),
            };
        }
        answer(self.app.client.get(url.clone())).await
    }

    /// What a proxy asks about a request of this browser for `url`.
    pub fn ask(&self, url: &str) -> Ask<'a> {
        let parsed = Url::parse(url).expect("a URL");
        let host = parsed.host_str().expect("a host");
        let ask = self.app.ask_as(self.proxy, url);
        match self.cookie_header(host) {
            cookies if cookies.is_empty() => ask,
            cookies => ask.header("cookie", &cookies),
        }
    }

    /// Posts the form of the portal's page at `path`.
    pub async fn post(&mut self, path: &str, site: &str) -> Answer {
        let host = "auth.example.net";
        let request = self
            .app
            .portal(Method::POST, path)
            .header("sec-fetch-site", site)
            .header("cookie", self.cookie_header(host));
        let end = answer(request).await;
        self.keep(host, &end);
        end
    }

    pub fn cookie(&self, host: &str, name: &str) -> Option<&str> {
        self.cookies.get(host)?.get(name).map(String::as_str)
    }

    pub fn set_cookie(&mut self, host: &str, name: &str, value: &str) {
        let jar = self.cookies.entry(host.to_owned()).or_default();
        jar.insert(name.to_owned(), value.to_owned());
    }

    pub fn cookie_names(&self, host: &str) -> Vec<&str> {
        let jar = self.cookies.get(host);
        let mut names: Vec<&str> = jar
            .into_iter()
            .flat_map(HashMap::keys)
            .map(String::as_str)
            .collect();
        names.sort_unstable();
        names
    }

    pub fn cookie_header(&self, host: &str) -> String {
        let shared = self
            .shares
            .filter(|domain| host.ends_with(&format!(".{domain}")));
        let jars = [Some(host), shared].into_iter().flatten();
        let pairs = jars.filter_map(|jar| self.cookies.get(jar)).flatten();
        let pairs = pairs.map(|(name, value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join("; ")
    }

    fn keep(&mut self, host: &str, answer: &Answer) {
        if self.forgets.contains(&host) {
            return;
        }
        for line in answer.headers.get_all("set-cookie") {
            let line = line.to_str().expect("text");
            let (pair, attributes) = line.split_once(';').expect("attributes");
            let (name, value) = pair.split_once('=').expect("a name");
            for needed in ["Path=/", "HttpOnly", "SameSite=Lax", "Secure"] {
                assert!(attributes.contains(needed), "{line}");
            }
            assert!(
                line.len() < 4_096,
                "browsers drop longer cookies: {}",
                line.len()
            );
            let jar = if let Some((_, rest)) = attributes.split_once("Domain=") {
                assert!(name.starts_with("__Secure-portcullis"), "{line}");
                let domain = rest.split(';').next().expect("a domain");
                assert!(host.ends_with(&format!(".{domain}")), "{line} from {host}");
                if self.shares != Some(domain) {
                    continue;
                }
                domain
            } else {
                assert!(name.starts_with("__Host-portcullis"), "{line}");
                host
            };
            let jar = self.cookies.entry(jar.to_owned()).or_default();
            if attributes.contains("Max-Age=0;") {
                jar.remove(name);
            } else {
                jar.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}
