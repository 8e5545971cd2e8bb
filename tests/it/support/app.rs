//! The real service on free ports, beside an issuer and a clock of its own.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use actix_web::rt::{self, task::JoinHandle};
use portcullis::config::{Config, RawConfig, RawPolicy, RawRule, RawService};
use portcullis::startup::Application;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, StatusCode};
use secrecy::SecretString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

use super::clock::TestClock;
use super::issuer::{CLIENT_ID, CLIENT_SECRET, FakeIssuer};
use super::relying_party::PUBLIC_URL;

/// A running service.
pub struct TestApp {
    pub clock: TestClock,
    pub issuer: Arc<FakeIssuer>,
    pub client: Client,
    /// Where its browsers are.
    pub from: String,
    pub verify: Door,
    pub portal: Door,
    pub admin: Door,
    raw: RawConfig,
    /// The service stops when this goes.
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<io::Result<()>>,
}

/// A listener, and a client for it.
pub struct Door {
    client: Client,
    base: String,
    address: Option<SocketAddr>,
}

impl Door {
    fn of(address: Option<SocketAddr>, listen: Option<&str>) -> Self {
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy();
        let (client, base) = if let Some(address) = address {
            (client, format!("http://{address}"))
        } else {
            let socket = listen.and_then(|listen| listen.strip_prefix("unix:"));
            let socket = socket.expect("a socket, where there is no address");
            (client.unix_socket(socket), "http://localhost".to_owned())
        };
        let client = client.build().expect("a client");
        Self {
            client,
            base,
            address,
        }
    }

    /// Where it is, unless it is a socket.
    pub fn address(&self) -> SocketAddr {
        self.address.expect("a TCP address")
    }

    pub fn request(&self, method: Method, path_and_query: &str) -> reqwest::RequestBuilder {
        let url = format!("{}{path_and_query}", self.base);
        self.client.request(method, url)
    }
}

/// Which proxy asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proxy {
    Caddy,
    Nginx,
    Envoy,
}

/// Has the service answer every proxy.
pub fn every_dialect(raw: &mut RawConfig) {
    raw.server.dialects = Some(owned(&["forward-auth", "nginx", "envoy"]));
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).map(HeaderValue::as_bytes);
        std::str::from_utf8(value.unwrap_or_default()).expect("UTF-8")
    }

    pub fn location(&self) -> &str {
        self.header("location")
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    /// The member `reason` of a problem.
    pub fn reason(&self) -> String {
        self.json()["reason"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}

pub async fn spawn_app() -> TestApp {
    spawn_app_with(|_| {}).await
}

/// Starts the real service on free ports. `adjust` edits the configuration first. Tests share nothing, so
/// they may run at once.
pub async fn spawn_app_with(adjust: impl FnOnce(&mut RawConfig)) -> TestApp {
    let clock = TestClock::new();
    let issuer = FakeIssuer::start(&clock);
    spawn_app_at(issuer, clock, adjust)
}

/// The same beside an issuer that is there already.
pub fn spawn_app_at(
    issuer: FakeIssuer,
    clock: TestClock,
    adjust: impl FnOnce(&mut RawConfig),
) -> TestApp {
    let issuer = Arc::new(issuer);
    let mut raw = test_config(issuer.issuer());
    adjust(&mut raw);
    start(raw, issuer, clock)
}

fn start(raw: RawConfig, issuer: Arc<FakeIssuer>, clock: TestClock) -> TestApp {
    let config = Config::from_raw(&raw, Path::new("/nowhere")).expect("a valid test configuration");
    portcullis::oidc::install_crypto_provider();
    let application = Application::build(config, Arc::new(clock.clone())).expect("an application");
    let server = &raw.server;
    let (verify, portal, admin) = (
        Door::of(application.verify_address(), server.listen.as_deref()),
        Door::of(
            application.portal_address(),
            server.portal_listen.as_deref(),
        ),
        Door::of(application.admin_address(), server.admin_listen.as_deref()),
    );
    let (stop, stopped) = oneshot::channel::<()>();
    let running = rt::spawn(application.run_until(async {
        let _ = stopped.await;
    }));
    let client = Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .expect("a client");
    TestApp {
        clock,
        issuer,
        client,
        from: "203.0.113.7".to_owned(),
        verify,
        portal,
        admin,
        raw,
        stop: Some(stop),
        running,
    }
}

/// `films` for admins and media, `notes` for admins, `*.lab.example.org` for everybody who signs in.
pub fn test_config(issuer: &str) -> RawConfig {
    let mut raw = RawConfig {
        danger_allow_inline_secrets: true,
        ..RawConfig::default()
    };
    let free = || Some("127.0.0.1:0".to_owned());
    raw.server.listen = free();
    raw.server.portal_listen = free();
    raw.server.admin_listen = free();
    // The usual place may be another service's.
    raw.server.control_socket = Some("off".to_owned());
    raw.server.public_url = Some(PUBLIC_URL.to_owned());
    raw.oidc.issuer = Some(issuer.to_owned());
    raw.oidc.client_id = Some(CLIENT_ID.to_owned());
    raw.oidc.client_secret = Some(SecretString::from(CLIENT_SECRET));
    raw.session.store = Some(SecretString::from("memory:"));
    let policy = |groups: &[&str]| RawPolicy {
        allowed_groups: Some(owned(groups)),
        ..RawPolicy::default()
    };
    raw.policies.insert("admins".into(), policy(&["admins"]));
    raw.policies
        .insert("media".into(), policy(&["admins", "media"]));
    let service = |host: &str, policy: &str| RawService {
        host: Some(owned(&[host])),
        policy: Some(policy.into()),
        ..RawService::default()
    };
    let mut films = service("films.example.net", "media");
    films.rules = vec![
        RawRule {
            paths: Some(owned(&["/ping", "/feed/*"])),
            policy: Some("bypass".into()),
            ..RawRule::default()
        },
        RawRule {
            paths: Some(owned(&["/open/*"])),
            policy: Some("optional".into()),
            ..RawRule::default()
        },
    ];
    raw.services.insert("films".into(), films);
    raw.services
        .insert("notes".into(), service("notes.example.net", "admins"));
    raw.services
        .insert("lab".into(), service("*.lab.example.org", "authenticated"));
    raw.services
        .insert("wild".into(), service("*.wild.example.org", "from_proxy"));
    raw
}

pub fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

impl TestApp {
    /// Another instance beside this one: the same issuer, the same time. `adjust` edits its configuration first.
    pub fn beside(&self, adjust: impl FnOnce(&mut RawConfig)) -> Self {
        let mut raw = test_config(self.issuer.issuer());
        adjust(&mut raw);
        start(raw, Arc::clone(&self.issuer), self.clock.clone())
    }

    /// As SIGTERM does.
    pub fn tell_to_stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // Nobody listens when it has ended by itself, and that shows in what it says.
            let _ = stop.send(());
        }
    }

    /// Waits until it has stopped.
    pub async fn has_stopped(mut self) {
        let ended = (&mut self.running).await.expect("it does not panic");
        ended.expect("a clean stop");
    }

    /// Stops the service, and starts one anew with the same configuration, beside the same issuer.
    pub async fn restart(mut self) -> Self {
        self.tell_to_stop();
        (&mut self.running)
            .await
            .expect("it does not panic")
            .expect("a clean stop");
        start(self.raw, self.issuer, self.clock)
    }

    /// What Caddy asks about a request for `url` (`https://host/target`).
    pub fn ask(&self, url: &str) -> Ask<'_> {
        self.ask_as(Proxy::Caddy, url)
    }

    /// What `proxy` asks about it.
    pub fn ask_as(&self, proxy: Proxy, url: &str) -> Ask<'_> {
        let (scheme, rest) = url.split_once("://").expect("a scheme");
        let slash = rest.find('/').unwrap_or(rest.len());
        let (host, target) = rest.split_at(slash);
        let target = if target.is_empty() { "/" } else { target };
        let ask = Ask {
            app: self,
            proxy,
            method: Method::GET,
            path: "/verify".into(),
            headers: HeaderMap::new(),
        };
        let ask = ask.header("x-forwarded-for", &self.from);
        match proxy {
            Proxy::Caddy => ask
                .header("x-forwarded-method", "GET")
                .header("x-forwarded-proto", scheme)
                .header("x-forwarded-host", host)
                .header("x-forwarded-uri", target),
            Proxy::Nginx => ask
                .at("/verify/nginx")
                .header("host", host)
                .header("x-original-method", "GET")
                .header("x-original-url", &format!("{scheme}://{host}{target}")),
            Proxy::Envoy => ask
                .at(&format!("/verify/envoy{target}"))
                .header("host", host)
                .header("x-forwarded-proto", scheme),
        }
    }

    /// A request to the portal, by way of the proxy.
    pub fn portal(&self, method: Method, path_and_query: &str) -> reqwest::RequestBuilder {
        self.portal_from(&self.from, method, path_and_query)
    }

    /// The same from another place.
    pub fn portal_from(
        &self,
        from: &str,
        method: Method,
        path_and_query: &str,
    ) -> reqwest::RequestBuilder {
        self.portal
            .request(method, path_and_query)
            .header("host", "auth.example.net")
            .header("x-forwarded-for", from)
    }

    /// Sends bytes to `server.listen` as they are.
    pub async fn send_raw(&self, request: &[u8]) -> String {
        let mut stream = tokio::net::TcpStream::connect(self.verify.address())
            .await
            .expect("it listens");
        stream.write_all(request).await.expect("it reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("an answer");
        String::from_utf8_lossy(&answer).into_owned()
    }

    pub async fn health(&self, name: &str) -> Answer {
        let path = format!("/health/{name}");
        answer(self.admin(Method::GET, &path)).await
    }

    /// A request to `server.admin_listen`.
    pub fn admin(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.admin.request(method, path)
    }
}

/// One question of a proxy.
pub struct Ask<'a> {
    app: &'a TestApp,
    proxy: Proxy,
    method: Method,
    path: String,
    headers: HeaderMap,
}

impl Ask<'_> {
    /// Adds a line, or replaces the one that is there.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let (name, value) = header(name, value.as_bytes());
        self.headers.insert(name, value);
        self
    }

    /// Adds one more line.
    pub fn another(mut self, name: &str, value: &[u8]) -> Self {
        let (name, value) = header(name, value);
        self.headers.append(name, value);
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    /// The method of the original request.
    pub fn method(self, method: &str) -> Self {
        match self.proxy {
            Proxy::Caddy => self.header("x-forwarded-method", method),
            Proxy::Nginx => self.header("x-original-method", method),
            Proxy::Envoy => self.by(Method::from_bytes(method.as_bytes()).expect("a method")),
        }
    }

    /// The method of the proxy's own request.
    pub fn by(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// The path that the proxy asks.
    pub fn at(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    pub fn navigation(self) -> Self {
        self.header("sec-fetch-mode", "navigate")
            .header("sec-fetch-dest", "document")
            .header("sec-fetch-site", "none")
    }

    pub fn fetch(self) -> Self {
        self.header("sec-fetch-mode", "cors")
            .header("sec-fetch-dest", "empty")
            .header("sec-fetch-site", "same-origin")
    }

    pub async fn send(self) -> Answer {
        let request = self.app.verify.request(self.method, &self.path);
        answer(request.headers(self.headers)).await
    }
}

impl Ask<'_> {
    /// Asks for `path_and_query` at the portal's listener instead.
    pub async fn send_to_portal(self, path_and_query: &str) -> Answer {
        let request = self.app.portal.request(self.method, path_and_query);
        answer(request.headers(self.headers)).await
    }
}

fn header(name: &str, value: &[u8]) -> (HeaderName, HeaderValue) {
    let name = HeaderName::from_bytes(name.as_bytes()).expect("a header name");
    (
        name,
        HeaderValue::from_bytes(value).expect("a header value"),
    )
}

pub async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.expect("an answer");
    Answer {
        status: response.status(),
        headers: response.headers().clone(),
        body: response.text().await.expect("a body"),
    }
}
