//! Addresses that are ours: those that the proxy asks at, and those below `/.portcullis/`.

use crate::kit::ask::Ask;
use crate::rules::{FILMS, KEY, OPEN, PAPERS, PORTAL};
use crate::stack::Stack;

/// What every kind of proxy says of a request, made up by a client: a way to a key, if somebody listened.
fn described(stack: &Stack, host: &str) -> String {
    let at = stack.authority(host);
    format!(
        "X-Original-URL: https://{at}/\r\nX-Original-Method: GET\r\nX-Forwarded-Method: GET\r\nX-Forwarded-Proto: \
         https\r\nX-Forwarded-Host: {at}\r\nX-Forwarded-Uri: /\r\nX-Forwarded-For: 127.0.0.1\r\nPortcullis-Copy: \
         Remote-User X-Api-Key\r\nPortcullis-Proxy: SECRET\r\n"
    )
}

/// The addresses that the proxy asks at are not to be had from outside: not at the portal's own host, and not at an
/// app's.
pub async fn verify_from_outside(stack: &Stack) {
    let ben = stack.signed_in("ben", PAPERS).await;
    let portal = ben.cookie(&stack.url(PORTAL, "/"), "__Host-portcullis-sso");
    let cookies = format!(
        "Cookie: {}; __Host-portcullis-sso={}\r\n",
        stack.cookie(&ben, PAPERS),
        portal.expect("signed in")
    );
    let paths = [
        "/verify",
        "/verify?",
        "/verify/",
        "/verify/policy/media",
        "/verify/policy/bypass",
        "/verify/nginx",
        "/verify/nginx/policy/admins",
        "/verify/envoy",
        "/verify/envoy/",
        "/verify/envoy/api/x",
        "//verify",
        "/./verify",
        "/x/../verify",
        "/x/%2e%2e/verify",
        "/%76erify",
        "/verify%2fnginx",
        "/VERIFY",
        "/verify;x",
        "/.portcullis-verify",
        "/.portcullis-verify/x",
        "/metrics",
        "/health/ready",
    ];
    for host in [PAPERS, OPEN] {
        let told = described(stack, host);
        for path in paths {
            for method in ["GET", "HEAD", "POST"] {
                let lines = format!("{told}{cookies}Content-Length: 0\r\n");
                let answer = stack.raw_at(PORTAL, method, path, &lines).await;
                let refused = matches!(answer.status, Some(301 | 308 | 400..500));
                assert!(refused, "{method} {path}: {}", answer.text);
                for secret in [KEY, "Remote-User", "remote-user", "ben@example.net"] {
                    let text = &answer.text;
                    assert!(!text.contains(secret), "{method} {path}: {text}");
                }
            }
        }
    }
    let told = described(stack, OPEN);
    for path in paths {
        let answer = stack.raw_at(FILMS, "GET", path, &told).await;
        let refused = matches!(answer.status, Some(301 | 308 | 400..500));
        assert!(refused, "{path}: {}", answer.text);
        assert!(
            !answer.text.to_lowercase().contains("remote-user"),
            "{path}"
        );
    }
}

/// Nothing below `/.portcullis/` is 2xx or reaches the app, and a ticket is worth nothing elsewhere.
pub async fn our_own_paths(stack: &Stack) {
    let ada = stack.signed_in("ada", FILMS).await;
    let cookie = format!("Cookie: {}\r\n", stack.cookie(&ada, FILMS));
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
        // As a page does that may not sign anybody out.
        let lines = format!("{cookie}Sec-Fetch-Site: cross-site\r\n");
        let answer = stack.raw_at(FILMS, "GET", path, &lines).await;
        let refused = matches!(answer.status, Some(302 | 400 | 403 | 404));
        assert!(refused, "{path}: {}", answer.text);
    }
    let reached = stack.reached(".portcullis");
    assert!(reached.is_empty(), "{reached:?}");
    let hops = ada.history();
    let mut entered = hops
        .iter()
        .filter(|hop| hop.url.path() == "/.portcullis/enter");
    let entered = entered.next().expect("a ticket").url.as_str();
    let page = stack.browser().ask(Ask::navigation(entered)).await.unwrap();
    assert_eq!(page.status, 302, "{}", page.body);
    assert!(page.header("location").starts_with(&stack.url(PORTAL, "/")));
    // Nor are a protected host's own paths to be had at the portal.
    let told = described(stack, FILMS);
    for path in ["/.portcullis/logout", "/.portcullis/enter"] {
        let answer = stack
            .raw_at(PORTAL, "GET", path, &format!("{told}{cookie}"))
            .await;
        let refused = answer.status.is_some_and(|status| status >= 400);
        assert!(refused, "{path}: {}", answer.text);
    }
    let page = ada.ask(Ask::fetch(&stack.url(FILMS, "/"))).await.unwrap();
    assert_eq!(page.status, 200, "still signed in");
}

/// What is no request of a browser lets nobody in.
pub async fn odd_requests(stack: &Stack) {
    let targets: [&[u8]; 10] = [
        b"/api/../page",
        b"/api/%2e%2e/page",
        b"/api/..;/page",
        b"/api/\\..\\page",
        b"/page#/api/x",
        b"/api/x#",
        b"/api/x\xff",
        b"/api/%00",
        b"*",
        b"api/x",
    ];
    let lines = format!("Host: {}\r\nConnection: close\r\n", stack.authority(FILMS));
    for target in targets {
        let answer = stack.raw(FILMS, "GET", target, &lines).await;
        let refused = matches!(answer.status, None | Some(400 | 401 | 403 | 404));
        assert!(refused, "{}: {}", target.escape_ascii(), answer.text);
    }
    for method in ["TRACE", "CONNECT", "FOO", "get", "PUT"] {
        let answer = stack.raw(FILMS, method, b"/odd", &lines).await;
        assert_ne!(answer.status, Some(200), "{method}: {}", answer.text);
    }
    assert!(stack.reached("/odd").is_empty());
}
