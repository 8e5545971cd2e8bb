//! What a client can make up behind a proxy, and that it is of no use.

use super::{ELSEWHERE, Proxied};
use crate::kit::ask::Ask;
use crate::setup::{FILMS, PORTAL};

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
}

/// A request may name one host in its first line and another in `Host`, and a host that the proxy has no site for.
/// What is served is what was decided about.
pub async fn what_is_served_is_what_was_decided_about(stack: &Proxied) {
    let own = format!("{FILMS}:{}", stack.https_port);
    let cases = [
        (format!("https://{own}/page"), ELSEWHERE),
        (format!("https://{ELSEWHERE}/page"), &own),
        ("/page".to_owned(), ELSEWHERE),
    ];
    for (target, host) in cases {
        let lines = format!("Host: {host}\r\nConnection: close\r\n");
        let answer = stack
            .raw()
            .send_lines(stack.https_port, FILMS, "GET", target.as_bytes(), &lines)
            .await
            .unwrap();
        assert_ne!(answer.status, Some(200), "{target}: {}", answer.text);
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
