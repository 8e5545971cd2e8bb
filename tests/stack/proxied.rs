//! What holds behind every proxy that is told apart by its dialect alone: one set of checks, which nginx and Envoy
//! each go through.

use std::net::Ipv4Addr;

use reqwest::Method;
use tempfile::TempDir;

use crate::kit::ask::Ask;
use crate::kit::browser::Browser;
use crate::kit::caddy::Caddy;
use crate::kit::child::Running;
use crate::kit::gate::{self, Gate};
use crate::kit::provider::{self, Provider};
use crate::kit::raw::RawClient;
use crate::kit::upstream::Upstream;
use crate::kit::{envoy, nginx, ports};
use crate::setup::{FILMS, ISSUER, NOTES, PORTAL, folder, program};

/// In the service's configuration, and not at the proxy.
const ELSEWHERE: &str = "elsewhere.home.localhost";
/// The proxy asks about it, and the service's configuration does not name it.
const UNNAMED: &str = "unnamed.home.localhost";

const SERVER: &str = r#"dialects = ["nginx", "envoy"]
# Browsers come from other addresses of this machine, which are no proxies.
trusted_proxies = ["127.0.0.1/32"]"#;

const RULES: &str = r#"
[policies]
admins = { allowed_groups = ["admins"] }
media = { allowed_groups = ["admins", "media"] }

[services.films]
host = "films.home.localhost"
policy = "media"
bypass = [
    { paths = ["/api/*"] },
    { paths = ["/lan/*"], allowed_networks = ["127.9.0.0/16"] },
]

[services.notes]
host = "notes.work.localhost"
policy = "admins"

[services.elsewhere]
host = "elsewhere.home.localhost"
policy = "bypass"
"#;

/// Which proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    Nginx,
    Envoy,
}

pub struct Proxied {
    program: Program,
    pub https_port: u16,
    pub app: Upstream,
    pub gate: Gate,
    pub proxy: Running,
    root: Vec<u8>,
    _provider: Provider,
    _caddy: Caddy,
    _folder: TempDir,
}

impl Proxied {
    pub async fn start(program: Program) -> Self {
        let folder = folder().unwrap();
        let (https_port, gate_ports) = (ports::free(), gate::Ports::free());
        let app = Upstream::start("films").unwrap();
        // The provider stands behind a Caddy, whose authority makes the proxy's certificates too.
        let caddy_port = ports::free();
        let issuer = format!("https://{ISSUER}:{caddy_port}");
        let public_url = format!("https://{PORTAL}:{https_port}");
        let settings = provider::Settings {
            issuer: &issuer,
            relying_party: &public_url,
        };
        let mut provider = Provider::start(folder.path(), &settings).unwrap();
        let hosts = [FILMS, NOTES, UNNAMED];
        let sites = format!(
            "{ISSUER} {{\n\treverse_proxy 127.0.0.1:{}\n}}\n{PORTAL}, {} {{\n\trespond 404\n}}\n",
            provider.port,
            hosts.join(", ")
        );
        let caddy = Caddy::start(folder.path(), caddy_port, &sites)
            .await
            .unwrap();
        let root = std::fs::read(caddy.root_certificate()).unwrap();
        provider.metadata(&root).await.unwrap();
        let gate = Gate::start(
            self::program(),
            folder.path(),
            &gate::Settings {
                ports: gate_ports,
                public_url: &public_url,
                issuer: &issuer,
                client_id: provider::CLIENT_ID,
                client_secret_file: &provider.client_secret_file,
                ca_file: &caddy.root_certificate(),
                log_level: "info",
                server: SERVER,
                session: "",
                rules: RULES,
            },
        )
        .await
        .unwrap();
        let certificate = |host: &str| caddy.certificate_of(host);
        let proxy = match program {
            Program::Nginx => {
                let places = nginx::Places {
                    https_port,
                    gate: gate_ports,
                    portal: PORTAL,
                    hosts: &hosts,
                    app_port: app.port,
                    certificate: &certificate,
                };
                nginx::start(folder.path(), &places).await
            }
            Program::Envoy => {
                let places = envoy::Places {
                    https_port,
                    gate: gate_ports,
                    portal: PORTAL,
                    hosts: &hosts,
                    app_port: app.port,
                    certificate: &certificate,
                };
                envoy::start(folder.path(), &places).await
            }
        };
        Self {
            program,
            https_port,
            app,
            gate,
            proxy: proxy.unwrap(),
            root,
            _provider: provider,
            _caddy: caddy,
            _folder: folder,
        }
    }

    pub fn url(&self, host: &str, path: &str) -> String {
        format!("https://{host}:{}{path}", self.https_port)
    }

    pub fn browser(&self) -> Browser {
        Browser::new(&self.root).unwrap()
    }

    pub fn raw(&self) -> RawClient {
        RawClient::new(&self.root).unwrap()
    }

    /// A browser in which `user` has signed in and stands at `host`.
    pub async fn signed_in(&self, user: &str, host: &str) -> Browser {
        let browser = self.browser();
        let page = browser.sign_in(&self.url(host, "/"), user).await.unwrap();
        assert_eq!(page.host(), host, "{}", page.way());
        browser
    }
}

pub async fn a_stranger_signs_in_and_comes_back(stack: &Proxied) {
    let browser = stack.browser();
    let url = stack.url(
        FILMS,
        "/page/a%2Fb%20c?x=1&y=%2F%3f+z&u=https://evil.example/",
    );
    let page = browser.ask(Ask::navigation(&url)).await.unwrap();
    assert_eq!(page.status, 302, "{}", page.body);
    let login = stack.url(PORTAL, "/login?");
    assert!(page.header("location").starts_with(&login));
    assert_eq!(page.header("cache-control"), "no-store");

    let page = browser.sign_in(&url, "ben").await.unwrap();
    let found = (page.status, page.url.as_str());
    assert_eq!(found, (200, url.as_str()), "{}", page.way());
    let seen = page.seen().expect("the app's own answer");
    assert_eq!(stack.url(FILMS, &seen.target), url, "byte for byte");
    for (name, value) in [
        ("remote-user", "ben"),
        ("remote-name", "Ben Okri"),
        ("remote-email", "ben@example.net"),
        ("remote-groups", "media"),
    ] {
        assert_eq!(seen.all(name), [value], "{name}");
    }
    assert_eq!(seen.all("cookie"), Vec::<&str>::new());
}

pub async fn programs_are_told_to_sign_in(stack: &Proxied) {
    let browser = stack.browser();
    let url = stack.url(FILMS, "/page");
    let asks = [
        Ask::fetch(&url),
        Ask::navigation(&url).form("a=b".to_owned()),
        Ask::navigation(&url).header("sec-purpose", "prefetch"),
    ];
    for ask in asks {
        let page = browser.ask(ask).await.unwrap();
        assert_eq!(page.status, 401, "{}", page.body);
        assert_eq!(page.header("www-authenticate"), "Bearer");
        assert!(!page.header("portcullis-decision").is_empty());
        assert_eq!(page.header("location"), "");
        assert_eq!(page.hops[0].set_cookies().count(), 0);
    }
    let page = browser.ask(Ask::fetch(&url)).await.unwrap();
    let problem = page.header("content-type");
    assert!(problem.starts_with("application/problem+json"), "{problem}");
    let problem: serde_json::Value = serde_json::from_str(&page.body).unwrap();
    assert_eq!(problem["reason"], "not_signed_in");
    assert_eq!(problem["decision"], page.header("portcullis-decision"));
}

pub async fn a_non_member_is_refused(stack: &Proxied) {
    let eve = stack.browser();
    let page = eve.sign_in(&stack.url(FILMS, "/"), "eve").await.unwrap();
    assert_eq!(page.status, 403, "{}\n{}", page.way(), page.body);
    let decision = page.header("portcullis-decision").to_owned();
    assert!(page.body.contains(&decision), "{}", page.body);
    let page = eve.ask(Ask::fetch(&stack.url(FILMS, "/"))).await.unwrap();
    assert_eq!(page.status, 403);
    assert!(page.body.contains("not_a_member"), "{}", page.body);
    // Ben is let in at one app and not at the other.
    let ben = stack.signed_in("ben", FILMS).await;
    let page = ben.navigate(&stack.url(NOTES, "/")).await.unwrap();
    assert_eq!((page.status, page.host()), (403, NOTES), "{}", page.way());
    let page = ben.navigate(&stack.url(UNNAMED, "/")).await.unwrap();
    assert_eq!((page.status, page.host()), (403, UNNAMED));
}

/// What lets a request pass by its path names nobody, whatever the client says.
pub async fn a_bypass_names_nobody(stack: &Proxied) {
    for browser in [stack.browser(), stack.signed_in("ben", FILMS).await] {
        let url = stack.url(FILMS, "/api/x?a=%2e%2e");
        let page = browser.ask(forged(Ask::fetch(&url))).await.unwrap();
        assert_eq!(page.status, 200, "{}", page.body);
        let seen = page.seen().expect("the app's own answer");
        assert_eq!(stack.url(FILMS, &seen.target), url);
        nothing_made_up(&seen.headers);
        assert_eq!(seen.all("remote-user").concat(), "");
        assert!(!page.body.contains("portcullis="), "{}", page.body);
    }
    let stranger = stack.browser();
    for path in [
        "/api/..%2fadmin",
        "/api/%2e%2e/admin",
        "/api//x",
        "/API/x",
        "/lan/x",
    ] {
        let page = stranger.ask(Ask::fetch(&stack.url(FILMS, path))).await;
        assert_eq!(page.unwrap().status, 401, "{path}");
    }
}

pub async fn nothing_forged_or_ours_reaches_the_app(stack: &Proxied) {
    let browser = stack.signed_in("ben", FILMS).await;
    let url = stack.url(FILMS, "/page");
    for line in ["theme=dark; Path=/", "last=1; Path=/"] {
        browser.store_cookie(&url, line).unwrap();
    }
    let session = browser
        .cookie(&url, "__Host-portcullis")
        .expect("the host's own cookie");
    let page = browser.ask(forged(Ask::fetch(&url))).await.unwrap();
    assert_eq!(page.status, 200, "{}", page.body);
    assert!(page.hops[0].sent_cookies.contains(&session), "it was sent");
    let seen = page.seen().expect("the app's own answer");
    assert_eq!(seen.all("remote-user"), ["ben"]);
    assert_eq!(seen.all("remote-groups"), ["media"]);
    let cookies = seen.all("cookie").join("; ");
    assert!(cookies.contains("theme=dark") && cookies.contains("last=1"));
    assert!(!cookies.contains("portcullis"), "{cookies}");
    assert!(!page.body.contains(&session), "{}", page.body);
    nothing_made_up(&seen.headers);
}

/// A request with what a client can make up about itself.
fn forged(ask: Ask) -> Ask {
    let names = [
        "Remote-User",
        "Remote-Groups",
        "Remote-Email",
        "Remote-Name",
        "Remote_User",
        "Remote_Groups",
        "Remote.User",
        "Portcullis-Key",
    ];
    let ask = names.iter().fold(ask, |ask, name| ask.header(name, "root"));
    ask.header("Remote-User", "root")
        .header("Connection", "Remote-User, Remote-Groups")
        .header("Portcullis-Copy", "nothing")
        .header("X-Envoy-Auth-Headers-To-Remove", "remote-user")
}

fn nothing_made_up(headers: &[(String, String)]) {
    let made_up = headers.iter().find(|(_, value)| value.contains("root"));
    assert_eq!(made_up, None);
}

/// What a client says about the request changes neither the decision nor where the login leads back to.
pub async fn forged_descriptions_change_nothing(stack: &Proxied) {
    let free = stack.url(FILMS, "/api/x");
    let elsewhere = format!("https://{ELSEWHERE}/");
    let lies = [
        ("X-Original-URL", free.as_str()),
        ("X-Original-URL", elsewhere.as_str()),
        ("X-Original-Method", "OPTIONS"),
        ("X-Original-URI", "/api/x"),
        ("X-Original-Host", ELSEWHERE),
        ("X-Rewrite-URL", "/api/x"),
        ("X-Forwarded-Host", ELSEWHERE),
        ("X-Forwarded-Uri", "/api/x"),
        ("X-Forwarded-Method", "OPTIONS"),
        ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-Port", "80"),
        ("X-Forwarded-Prefix", "/api"),
        ("X-Forwarded-For", "127.9.0.1"),
        ("X-Real-IP", "127.9.0.1"),
        (
            "Forwarded",
            "for=127.9.0.1;host=elsewhere.home.localhost;proto=http",
        ),
        ("X_Original_URL", free.as_str()),
        ("X.Original.URL", free.as_str()),
        ("X_Forwarded_For", "127.9.0.1"),
        ("X-HTTP-Method-Override", "OPTIONS"),
        ("X-Envoy-Original-Path", "/api/x"),
        ("X-Envoy-External-Address", "127.9.0.1"),
    ];
    for path in ["/page", "/lan/x"] {
        let url = stack.url(FILMS, path);
        let all = lies
            .iter()
            .fold(Ask::navigation(&url), |ask, (name, value)| {
                ask.header(name, value)
            });
        let asks = lies
            .iter()
            .map(|(name, value)| Ask::navigation(&url).header(name, value));
        for ask in asks.chain([all]) {
            let page = stack.browser().ask(ask).await.unwrap();
            assert_eq!(page.status, 302, "{}", page.body);
            let location = url::Url::parse(page.header("location")).unwrap();
            assert_eq!(location.host_str(), Some(PORTAL));
            let rd = location.query_pairs().find(|(name, _)| name == "rd");
            assert_eq!(rd.expect("a way back").1, url);
        }
    }
    // A request whose first line names another host than `Host` does is decided as what it is served as.
    let raw = stack.raw();
    let target = format!("https://{FILMS}:{}/page", stack.https_port);
    let lines = format!("Host: {ELSEWHERE}\r\nConnection: close\r\n");
    let answer = raw
        .send_lines(stack.https_port, FILMS, "GET", target.as_bytes(), &lines)
        .await
        .unwrap();
    assert_ne!(answer.status, Some(200), "{}", answer.text);
    let target = format!("https://{ELSEWHERE}/page");
    let lines = format!("Host: {FILMS}\r\nConnection: close\r\n");
    let answer = raw
        .send_lines(stack.https_port, FILMS, "GET", target.as_bytes(), &lines)
        .await
        .unwrap();
    assert_ne!(answer.status, Some(200), "{}", answer.text);
    // A host that the proxy has no site for is served by none.
    let lines = format!("Host: {ELSEWHERE}\r\nConnection: close\r\n");
    let answer = raw
        .send_lines(stack.https_port, FILMS, "GET", b"/", &lines)
        .await
        .unwrap();
    assert_ne!(answer.status, Some(200), "{}", answer.text);
}

/// An address that the proxy saw opens what is for its network.
pub async fn a_network_is_known_by_the_client_s_address(stack: &Proxied) {
    let url = stack.url(FILMS, "/lan/x");
    let near = Browser::from_address(&stack.root, Ipv4Addr::new(127, 9, 0, 7)).unwrap();
    for ask in [
        Ask::fetch(&url),
        Ask::fetch(&url).header("X-Forwarded-For", "203.0.113.7"),
    ] {
        let page = near.ask(ask).await.unwrap();
        assert_eq!(page.status, 200, "{}", page.body);
    }
    let page = stack.browser().ask(Ask::fetch(&url)).await.unwrap();
    assert_eq!(page.status, 401);
}

/// HTTP/2 sends each cookie in a line of its own, and so may anybody.
pub async fn cookies_in_several_lines_are_read(stack: &Proxied) {
    let ben = stack.signed_in("ben", FILMS).await;
    let cookie = ben.cookie(&stack.url(FILMS, "/"), "__Host-portcullis");
    let lines = format!(
        "Host: {FILMS}:{}\r\nConnection: close\r\nCookie: theme=dark\r\nCookie: __Host-portcullis={}\r\nCookie: \
         last=1\r\n",
        stack.https_port,
        cookie.expect("signed in")
    );
    let raw = stack.raw();
    let answer = raw
        .send_lines(stack.https_port, FILMS, "GET", b"/", &lines)
        .await
        .unwrap();
    assert_eq!(answer.status, Some(200), "{}", answer.text);
    assert!(
        !answer.text.contains("__Host-portcullis"),
        "{}",
        answer.text
    );
    for kept in ["theme=dark", "last=1"] {
        assert!(answer.text.contains(kept), "{}", answer.text);
    }
}

pub async fn odd_targets_let_nobody_in(stack: &Proxied) {
    let raw = stack.raw();
    let targets: [&[u8]; 11] = [
        b"/api/../page",
        b"/api/%2e%2e/page",
        b"/api/..;/page",
        b"/api/\\..\\page",
        b"//api/x",
        b"/page#/api/x",
        b"/api/x#",
        b"/api/x\xff",
        b"/api/%00",
        b"*",
        b"api/x",
    ];
    for target in targets {
        let answer = raw
            .send(stack.https_port, FILMS, "GET", target, "")
            .await
            .unwrap();
        let shown = String::from_utf8_lossy(target);
        let refused = answer
            .status
            .is_none_or(|status| [400, 401, 403, 404].contains(&status));
        assert!(refused, "{shown}: {}", answer.text);
    }
    for method in ["TRACE", "CONNECT", "FOO"] {
        let answer = raw
            .send(stack.https_port, FILMS, method, b"/page", "")
            .await
            .unwrap();
        assert_ne!(answer.status, Some(200), "{method}: {}", answer.text);
    }
}

pub async fn a_logout_at_the_host_ends_the_session(stack: &Proxied) {
    let browser = stack.signed_in("ada", FILMS).await;
    let page = browser.navigate(&stack.url(NOTES, "/")).await.unwrap();
    assert_eq!(page.status, 200, "{}", page.way());
    // Not by a foreign page.
    let logout = stack.url(FILMS, "/.portcullis/logout");
    let page = browser.ask(Ask::fetch(&logout)).await.unwrap();
    assert_eq!(page.header("location"), stack.url(PORTAL, "/logout"));
    let page = browser
        .ask(Ask::fetch(&stack.url(FILMS, "/")))
        .await
        .unwrap();
    assert_eq!(page.status, 200);

    let page = browser.navigate(&logout).await.unwrap();
    assert!(page.status < 400, "{}\n{}", page.way(), page.body);
    assert!(browser.cookie(&logout, "__Host-portcullis").is_none());
    for host in [FILMS, NOTES] {
        let page = browser
            .ask(Ask::fetch(&stack.url(host, "/")))
            .await
            .unwrap();
        assert_eq!(page.status, 401, "{host}");
    }
}

/// Nothing below `/.portcullis/` is 2xx or reaches the app, and a ticket is worth nothing elsewhere.
pub async fn our_own_paths_are_no_way_in(stack: &Proxied) {
    let ada = stack.signed_in("ada", FILMS).await;
    for path in [
        "/.portcullis/",
        "/.portcullis/x",
        "/.portcullis/enter",
        "/.portcullis/enter?ticket=x",
        "/.portcullis/%65nter",
        "/%2eportcullis/enter",
        "/x/../.portcullis/enter",
        "/x/%2e%2e/.portcullis/logout",
        "//.portcullis/x",
        "/.portcullis%2fenter",
    ] {
        let cookie = ada.cookie(&stack.url(FILMS, "/"), "__Host-portcullis");
        let lines = format!(
            "Host: {FILMS}:{}\r\nConnection: close\r\nCookie: __Host-portcullis={}\r\n",
            stack.https_port,
            cookie.expect("signed in")
        );
        let answer = stack
            .raw()
            .send_lines(stack.https_port, FILMS, "GET", path.as_bytes(), &lines)
            .await
            .unwrap();
        let refused = matches!(answer.status, Some(302 | 400 | 403 | 404));
        assert!(refused, "{path}: {}", answer.text);
    }
    assert!(stack.app.requests_with(".portcullis").is_empty());
    let entered = ada
        .history()
        .into_iter()
        .find(|hop| hop.url.path() == "/.portcullis/enter")
        .expect("a ticket");
    let stranger = stack.browser();
    let page = stranger
        .ask(Ask::navigation(entered.url.as_str()))
        .await
        .unwrap();
    assert_eq!(page.status, 302, "{}", page.body);
    assert!(page.header("location").starts_with(&stack.url(PORTAL, "/")));
}

/// The addresses that the proxy asks at are not to be had from outside.
pub async fn verify_is_not_reachable(stack: &Proxied) {
    let ada = stack.signed_in("ada", FILMS).await;
    let paths = [
        "/verify",
        "/verify/nginx",
        "/verify/nginx/policy/admins",
        "/verify/envoy/api/x",
        "/.portcullis-verify",
    ];
    let described = |ask: Ask| {
        ask.header("X-Original-URL", &format!("https://{ELSEWHERE}/"))
            .header("X-Original-Method", "GET")
            .header("X-Forwarded-Method", "GET")
            .header("X-Forwarded-Host", ELSEWHERE)
            .header("X-Forwarded-Uri", "/")
    };
    for path in paths {
        for browser in [&stack.browser(), &ada] {
            let ask = described(Ask::fetch(&stack.url(PORTAL, path)));
            let page = browser.ask(ask).await.unwrap();
            assert_eq!(page.status, 404, "{path}: {}", page.body);
            assert_eq!(page.header("remote-user"), "", "{path}");
        }
        let ask = described(Ask::fetch(&stack.url(FILMS, path)));
        let page = stack.browser().ask(ask).await.unwrap();
        assert!([401, 404].contains(&page.status), "{path}: {}", page.body);
        assert_eq!(page.header("remote-user"), "", "{path}");
    }
    // Nor are a protected host's own paths to be had at the portal.
    let ask = described(Ask::navigation(&stack.url(PORTAL, "/.portcullis/logout")));
    let page = ada.ask(ask).await.unwrap();
    assert!(page.status >= 400, "{}", page.status);
    let page = ada.ask(Ask::fetch(&stack.url(FILMS, "/"))).await.unwrap();
    assert_eq!(page.status, 200, "still signed in");
}

pub async fn a_handshake_reaches_the_app_for_a_member_alone(stack: &Proxied) {
    let raw = stack.raw();
    let handshake = |more: &str| {
        format!(
            "Host: {FILMS}:{}\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\nSec-WebSocket-Version: \
             13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}",
            stack.https_port
        )
    };
    let send = async |more: &str, mark: &str| {
        let target = format!("/socket-{mark}-{:?}", stack.program);
        let lines = handshake(more);
        let answer = raw
            .send_lines(stack.https_port, FILMS, "GET", target.as_bytes(), &lines)
            .await
            .unwrap();
        (answer, stack.app.requests_with(&target))
    };
    let (answer, seen) = send("", "stranger").await;
    assert_eq!(answer.status, Some(401), "{}", answer.text);
    assert!(seen.is_empty());

    let ben = stack.signed_in("ben", FILMS).await;
    let cookie = ben.cookie(&stack.url(FILMS, "/"), "__Host-portcullis");
    let cookie = format!(
        "Cookie: __Host-portcullis={}\r\n",
        cookie.expect("signed in")
    );
    let foreign = format!("{cookie}Origin: https://evil.example\r\n");
    let (answer, seen) = send(&foreign, "foreign").await;
    assert_eq!(answer.status, Some(403), "{}", answer.text);
    assert!(seen.is_empty());

    let own = format!("{cookie}Origin: {}\r\n", stack.url(FILMS, ""));
    let (_, seen) = send(&own, "member").await;
    let seen = seen.first().expect("the app is asked");
    assert_eq!(seen.all("upgrade"), ["websocket"]);
    assert_eq!(seen.all("remote-user"), ["ben"]);
}

/// A body is none of ours, and arrives whole; a long address is no obstacle.
pub async fn bodies_and_long_addresses_arrive(stack: &Proxied) {
    let ben = stack.signed_in("ben", FILMS).await;
    let body = "x".repeat(300_000);
    let url = stack.url(FILMS, "/upload");
    let ask = Ask::fetch(&url).form(body.clone());
    let page = ben.ask(ask).await.unwrap();
    assert_eq!(page.status, 200, "{}", page.body);
    let seen = page.seen().expect("the app's own answer");
    assert_eq!(seen.method, "POST");
    assert_eq!(seen.one("content-length"), Some("300000"));
    let refused = stack.browser().ask(Ask::fetch(&url).form(body)).await;
    assert_eq!(refused.unwrap().status, 401);

    let url = stack.url(FILMS, &format!("/long?q={}", "x".repeat(8_192)));
    let page = ben.ask(Ask::fetch(&url)).await.unwrap();
    assert_eq!(page.status, 200, "{}", page.body);
    let page = ben
        .ask(Ask::fetch(&url).method(Method::HEAD))
        .await
        .unwrap();
    assert_eq!(page.status, 200);
}

/// While nobody answers it, nobody gets in.
pub async fn without_us_nobody_gets_in(program: Program) {
    let mut stack = Proxied::start(program).await;
    let ben = stack.signed_in("ben", FILMS).await;
    stack.gate.running.stop();
    for path in ["/", "/api/x"] {
        let page = ben.ask(Ask::fetch(&stack.url(FILMS, path))).await.unwrap();
        assert!(page.status >= 500, "{path}: {}", page.status);
    }
}
