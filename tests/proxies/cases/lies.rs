//! What a client says about the request: it changes neither the decision nor where the login leads back to.

use crate::column::Program;
use crate::kit::ask::Ask;
use crate::kit::upstream::Seen;
use crate::rules::{CLOSED, FILMS, OPEN, PORTAL, PROXY_SECRET};
use crate::stack::Stack;

/// Adds these header lines.
pub fn told(ask: Ask, lies: &[(&str, &str)]) -> Ask {
    lies.iter()
        .fold(ask, |ask, (name, value)| ask.header(name, value))
}

/// What all made-up values hold, and what no client is to know.
const MADE_UP: [&str; 3] = ["root", "{http.", PROXY_SECRET];

/// No header that the app got holds any of these.
pub fn nothing_made_up(seen: &Seen, what: &str) {
    let is_told = |(_, value): &&(String, String)| MADE_UP.iter().any(|word| value.contains(word));
    assert_eq!(seen.headers.iter().find(is_told), None, "{what}");
}

/// Tells each of the lies alone, and all at once.
async fn nobody_believes(stack: &Stack, lies: &[(&str, &str)]) {
    for path in ["/page?lie", "/lan/x?lie"] {
        let url = stack.url(FILMS, path);
        let each = lies.iter().map(std::slice::from_ref);
        for told_now in each.chain([lies]) {
            let ask = told(Ask::navigation(&url), told_now);
            let page = stack.browser().ask(ask).await.unwrap();
            assert_eq!(page.status, 302, "{told_now:?}: {}", page.body);
            let location = url::Url::parse(page.header("location")).unwrap();
            assert_eq!(location.host_str(), Some(PORTAL), "{told_now:?}");
            let rd = location.query_pairs().find(|(name, _)| name == "rd");
            assert_eq!(rd.expect("a way back").1, url, "{told_now:?}");
        }
        let page = told(Ask::fetch(&url), lies);
        let page = stack.browser().ask(page).await.unwrap();
        assert_eq!(page.status, 401, "{}", page.body);
    }
    assert!(stack.reached("?lie").is_empty());
    // Somebody who may is not kept out, or sent elsewhere, by what stands there.
    let ben = stack.as_user("ben", FILMS).await;
    let page = ben.ask(told(Ask::fetch(&stack.url(FILMS, "/told")), lies));
    let seen = Stack::seen(&page.await.unwrap());
    assert_eq!(
        (&*seen.target, seen.one("remote-user")),
        ("/told", Some("ben"))
    );
}

pub async fn x_original(stack: &Stack) {
    let (free, open) = (stack.url(FILMS, "/api/x"), stack.url(OPEN, "/"));
    let lies = [
        ("X-Original-URL", free.as_str()),
        ("X-Original-URL", &open),
        ("X-Original-Method", "OPTIONS"),
        ("X-Original-URI", "/api/x"),
        ("X-Original-Host", OPEN),
        ("X_Original_URL", &free),
        ("X.Original.URL", &open),
    ];
    nobody_believes(stack, &lies).await;
}

pub async fn x_forwarded(stack: &Stack) {
    let lies = [
        ("X-Forwarded-Host", OPEN),
        ("X-Forwarded-Uri", "/api/x"),
        ("X-Forwarded-Uri", "/.portcullis/enter"),
        ("X-Forwarded-Method", "OPTIONS"),
        ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-Port", "80"),
        ("X-Forwarded-Prefix", "/api"),
        ("X-Forwarded-Server", OPEN),
        ("X-Forwarded-For", "127.9.0.1"),
        ("X-Forwarded-For", "127.9.0.1, 127.0.0.1"),
        ("X_Forwarded_For", "127.9.0.1"),
        ("X_Forwarded_Uri", "/api/x"),
        ("X.Forwarded.Host", OPEN),
    ];
    nobody_believes(stack, &lies).await;
}

pub async fn forwarded(stack: &Stack) {
    let all = format!("for=127.9.0.1;host={OPEN};proto=http");
    let lies = [
        ("Forwarded", "for=127.9.0.1"),
        ("Forwarded", all.as_str()),
        ("Via", "1.1 127.9.0.1"),
    ];
    nobody_believes(stack, &lies).await;
}

pub async fn x_real_ip(stack: &Stack) {
    let lies = [
        ("X-Real-IP", "127.9.0.1"),
        ("X_Real_IP", "127.9.0.1"),
        ("X-Client-IP", "127.9.0.1"),
        ("True-Client-IP", "127.9.0.1"),
        ("CF-Connecting-IP", "127.9.0.1"),
        ("X-Envoy-External-Address", "127.9.0.1"),
    ];
    nobody_believes(stack, &lies).await;
    what_the_app_is_told(stack).await;
}

/// Of where somebody comes from. A proxy may hand on what a client says, but then the document says so.
async fn what_the_app_is_told(stack: &Stack) {
    let lies = [
        ("X-Real-IP", "127.9.0.1"),
        ("X-Forwarded-Port", "81"),
        ("Forwarded", "for=127.9.0.1"),
    ];
    let handed_on: &[&str] = match stack.program {
        Program::Caddy | Program::DebianCaddy | Program::Envoy => {
            &["X-Real-IP", "X-Forwarded-Port", "Forwarded"]
        }
        Program::Traefik => &["Forwarded"],
        Program::Nginx => &[],
    };
    let ben = stack.as_user("ben", FILMS).await;
    let page = ben.ask(told(Ask::fetch(&stack.url(FILMS, "/told-from")), &lies));
    let seen = Stack::seen(&page.await.unwrap());
    for (name, lie) in lies {
        let values = seen.all(name);
        assert_eq!(
            values.contains(&lie),
            handed_on.contains(&name),
            "{name}: {values:?}"
        );
    }
    if stack.program == Program::Nginx {
        let port = stack.https_port.to_string();
        assert_eq!(seen.all("x-forwarded-port"), [port]);
        assert!(
            seen.one("x-real-ip")
                .is_some_and(|ip| ip.starts_with("127."))
        );
    }
}

pub async fn other_descriptions(stack: &Stack) {
    let lies = [
        ("X-Rewrite-URL", "/api/x"),
        ("X-HTTP-Method-Override", "OPTIONS"),
        ("X-Method-Override", "OPTIONS"),
        ("X-Envoy-Original-Path", "/api/x"),
        ("X-Envoy-Internal", "true"),
        ("User-Agent", "kube-probe/1.30"),
        ("X-Health-Check", "1"),
    ];
    nobody_believes(stack, &lies).await;
}

/// Some apps take their path from such a header, whatever was asked for. Where one is, no rule lets a path by, and what
/// closes one closes all; and no app gets it.
pub async fn another_path(stack: &Stack) {
    let names = [
        "X-Rewrite-URL",
        "X-Original-URL",
        "X_Rewrite_URL",
        "X.Rewrite.URL",
        "X-Rewrite_URL",
        "X_Original-URL",
        "X-Original.URL",
    ];
    let ben = stack.as_user("ben", FILMS).await;
    let stranger = stack.browser();
    for (number, name) in names.into_iter().enumerate() {
        // nginx describes the request by the second, in the place of the client's.
        let own = stack.program == Program::Nginx && name == "X-Original-URL";
        let is_told = !own && !name.contains(['_', '.']);
        for (browser, host, path, closed) in [
            (&stranger, FILMS, "/api/x", is_told),
            (&stranger, CLOSED, "/x", is_told),
            (&stranger, OPEN, "/", false),
            (&ben, FILMS, "/", false),
        ] {
            let mark = format!("override-{number}-{host}{path}-");
            let ask = Ask::fetch(&stack.url(host, &format!("{path}?{mark}")));
            let page = browser.ask(ask.header(name, "/admin/root")).await.unwrap();
            let reached = stack.reached(&mark);
            if closed {
                assert_eq!(page.status, 401, "{name}, {host}{path}: {}", page.body);
            }
            // Names with other marks may have ended at the proxy, before it asked.
            assert!(matches!(page.status, 200 | 401), "{name}, {host}{path}");
            assert_eq!(reached.len(), usize::from(page.status == 200), "{name}");
            for seen in &reached {
                nothing_made_up(seen, name);
            }
        }
    }
}

/// The query is the client's, and names no policy.
pub async fn the_query(stack: &Stack) {
    let (stranger, eve) = (stack.browser(), stack.as_user("eve", FILMS).await);
    for query in [
        "?policy=bypass",
        "?policy=optional&posture=passthrough",
        "?rd=x&policy=deny",
    ] {
        let url = stack.url(FILMS, &format!("/query{query}"));
        let page = stranger.ask(Ask::fetch(&url)).await.unwrap();
        assert_eq!(page.status, 401, "{url}: {}", page.body);
        let page = stranger.ask(Ask::navigation(&url)).await.unwrap();
        assert_eq!(page.status, 302, "{url}: {}", page.body);
        let page = eve.ask(Ask::fetch(&url)).await.unwrap();
        assert_eq!(page.status, 403, "{url}: {}", page.body);
    }
    assert!(stack.reached("/query").is_empty());
}

/// A request may name one host in its first line and another in `Host`, and a host that the proxy has no site for.
/// What is served is what was decided about.
pub async fn two_hosts(stack: &Stack) {
    let own = stack.authority(FILMS);
    let open = stack.authority(OPEN);
    let cases = [
        (format!("https://{own}/two-hosts"), open.as_str()),
        (format!("https://{own}/two-hosts"), "nobody.example"),
        ("/two-hosts".to_owned(), "nobody.example"),
        ("/two-hosts".to_owned(), ""),
        (
            "/two-hosts".to_owned(),
            "films.home.localhost,open.home.localhost",
        ),
        (
            "/two-hosts".to_owned(),
            "open.home.localhost@films.home.localhost",
        ),
    ];
    for (target, host) in cases {
        let lines = format!("Host: {host}\r\nConnection: close\r\n");
        let answer = stack.raw(FILMS, "GET", target.as_bytes(), &lines).await;
        // Caddy answers for hosts that it has no site for, with nothing.
        let (_, body) = answer.text.split_once("\r\n\r\n").unwrap_or_default();
        let served = answer.status == Some(200) && !body.is_empty();
        assert!(!served, "{target}, {host}: {}", answer.text);
    }
    assert!(stack.reached("/two-hosts").is_empty());
    // Here one of the two is open: then the app is asked for that one alone.
    let target = format!("https://{open}/two-hosts");
    let lines = format!("Host: {own}\r\nConnection: close\r\n");
    stack.raw(OPEN, "GET", target.as_bytes(), &lines).await;
    for seen in stack.reached("/two-hosts") {
        assert_eq!(seen.all("host"), [open.as_str()]);
    }
}
