//! What a client makes up about itself: none of it reaches the app.

use super::Bound;
use super::lies::{self, nothing_made_up};
use crate::kit::ask::Ask;
use crate::kit::browser::Browser;
use crate::kit::upstream::Seen;
use crate::rules::{FILMS, KEY, MIXED, NOTES, OPEN, PAPERS, PROXY_SECRET, WIKI};
use crate::stack::Stack;

const NAMES: [(&str, &str); 11] = [
    ("Remote-User", "root"),
    ("Remote-User", "root"),
    ("remote-user", "root"),
    ("Remote-Groups", "admins,root"),
    ("Remote-Name", "root"),
    ("Remote-Email", "root@example.net"),
    ("Portcullis-Key", "pcl_root"),
    ("Portcullis-Copy", "Remote-User"),
    ("Portcullis-Proxy", "root"),
    ("Portcullis-Proxy", PROXY_SECRET),
    ("X-Envoy-Auth-Headers-To-Remove", "remote-user"),
];

/// Many apps read these as the names above.
const SPELLINGS: [(&str, &str); 11] = [
    ("Remote_User", "root"),
    ("REMOTE_USER", "root"),
    ("Remote.User", "root"),
    ("remote.user", "root"),
    ("Remote_Groups", "root"),
    ("Remote.Groups", "root"),
    ("Remote_Email", "root"),
    ("Remote.Name", "root"),
    ("X_Api_Key", "root"),
    ("X-Api_Key", "root"),
    ("X.Api-Key", "root"),
];

/// Sends `forged` wherever somebody gets in, as somebody and as nobody, and where nobody does.
async fn forged_everywhere(stack: &Stack, what: &str, forged: &[(&str, &str)]) {
    let ben = stack.as_user("ben", FILMS).await;
    let mixed = stack.as_user("ben", MIXED).await;
    let papers = stack.as_user("ben", PAPERS).await;
    let stranger = stack.browser();
    let cases: [(&Browser, &str, &str, &str); 7] = [
        (&ben, FILMS, "/", "ben"),
        (&mixed, MIXED, "/", "ben"),
        (&papers, PAPERS, "/", "ben"),
        (&ben, FILMS, "/api/", ""),
        (&stranger, FILMS, "/api/", ""),
        (&stranger, WIKI, "/", ""),
        (&stranger, OPEN, "/", ""),
    ];
    for (number, (browser, host, path, user)) in cases.into_iter().enumerate() {
        let mark = format!("{what}-{number}");
        let url = stack.url(host, &format!("{path}?{mark}"));
        let ask = lies::told(Ask::fetch(&url), forged);
        let page = browser.ask(ask).await.unwrap();
        assert_eq!(page.status, 200, "{mark}: {}", page.body);
        let seen = &stack.reached(&mark)[0];
        identity(seen, user, &mark);
        nothing_made_up(seen, &mark);
        let key = if host == PAPERS { KEY } else { "" };
        assert_eq!(seen.all("x-api-key").concat(), key, "{mark}");
    }
    let mark = format!("{what}-refused");
    for host in [FILMS, NOTES, MIXED] {
        let url = stack.url(host, &format!("/?{mark}"));
        let page = stranger.ask(lies::told(Ask::fetch(&url), forged)).await;
        let page = page.unwrap();
        assert_eq!(page.status, 401, "{host}: {}", page.body);
    }
    assert!(stack.reached(&mark).is_empty());
}

/// What identifies somebody to the app: the values that are not empty, which an app takes for none.
fn identity(seen: &Seen, user: &str, mark: &str) {
    let groups = if user.is_empty() { "" } else { "media" };
    let email = if user.is_empty() {
        ""
    } else {
        "ben@example.net"
    };
    for (name, expected) in [
        ("remote-user", user),
        ("remote-groups", groups),
        ("remote-email", email),
    ] {
        let values = seen.all(name);
        let filled: Vec<&str> = values
            .into_iter()
            .filter(|value| !value.is_empty())
            .collect();
        let expected: &[&str] = if expected.is_empty() {
            &[]
        } else {
            &[expected]
        };
        assert_eq!(filled, expected, "{mark}: {name}");
    }
}

pub async fn forged_identity(stack: &Stack) {
    forged_everywhere(stack, "forged-identity", &NAMES).await;
}

pub async fn forged_spellings(stack: &Stack) {
    forged_everywhere(stack, "forged-spelling", &SPELLINGS).await;
    let ben = stack.as_user("ben", FILMS).await;
    let page = lies::told(Ask::fetch(&stack.url(FILMS, "/")), &SPELLINGS);
    let seen = Stack::seen(&ben.ask(page).await.unwrap());
    let odd = |(name, _): &&(String, String)| name.contains(['_', '.']);
    assert_eq!(seen.headers.iter().find(odd), None);
}

/// Whoever calls a header one of the connection alone does not keep it from the app, nor from us.
pub async fn connection_names(stack: &Stack) {
    let papers = stack.as_user("ben", PAPERS).await;
    for (number, named) in [
        "Remote-User",
        "remote-user, Remote-Groups",
        "keep-alive, REMOTE-EMAIL",
        "X-Api-Key, close",
    ]
    .into_iter()
    .enumerate()
    {
        let mark = format!("connection-{number}");
        let ask = Ask::fetch(&stack.url(PAPERS, &format!("/?{mark}")));
        let ask = ask.header("Connection", named).header("x-api-key", "other");
        let page = papers.ask(ask).await.unwrap();
        assert_eq!(page.status, 200, "{named}: {}", page.body);
        let seen = &stack.reached(&mark)[0];
        identity(seen, "ben", named);
        assert_eq!(seen.all("x-api-key"), [KEY], "{named}");
    }
    // What the proxy tells us about the request, and what tells who asks.
    let cookie = stack.cookie(&papers, PAPERS);
    for named in [
        "X-Forwarded-Host",
        "X-Forwarded-Uri, X-Forwarded-Method",
        "X-Forwarded-For, X-Forwarded-Proto",
        "X-Original-URL, X-Original-Method",
        "Portcullis-Copy",
        "Cookie",
    ] {
        let lines = format!("Connection: {named}, close\r\n");
        let at = stack.authority(NOTES);
        let lines = format!("Host: {at}\r\n{lines}Cookie: {cookie}\r\n");
        let answer = stack.raw(NOTES, "GET", b"/?named", &lines).await;
        let refused = matches!(answer.status, Some(400 | 401 | 403));
        assert!(refused, "{named}: {}", answer.text);
    }
    assert!(stack.reached("?named").is_empty());
    // Whoever comes from nowhere is in no network, whatever else is said.
    for named in ["X-Forwarded-For", "close, x-forwarded-for"] {
        let ask = Ask::fetch(&stack.url(FILMS, "/lan/?from-nowhere"));
        let ask = ask.header("Connection", named);
        let ask = ask.header("X-Forwarded-For", "127.9.0.1");
        let page = stack.browser().ask(ask).await.unwrap();
        let refused = matches!(page.status, 400 | 401 | 403);
        assert!(refused, "{named}: {} {}", page.status, page.body);
    }
    assert!(stack.reached("?from-nowhere").is_empty());
}

/// The same header twice or more, where one is what is expected.
pub async fn duplicates(stack: &Stack, bound: Option<&Bound>) {
    let ben = stack.as_user("ben", FILMS).await;
    let cookie = stack.cookie(&ben, FILMS);
    // Of hosts and lengths there is one.
    let own = stack.authority(FILMS);
    for lines in [
        format!("Host: {own}\r\nHost: {}\r\n", stack.authority(OPEN)),
        format!("Host: {}\r\nHost: {own}\r\n", stack.authority(OPEN)),
        format!("Host: {own}\r\nContent-Length: 0\r\nContent-Length: 5\r\n"),
    ] {
        let lines = format!("{lines}Connection: close\r\nCookie: {cookie}\r\n");
        let answer = stack.raw(FILMS, "GET", b"/?twice", &lines).await;
        assert_ne!(answer.status, Some(200), "{lines}: {}", answer.text);
    }
    // One that is right does not make up for another.
    let evil = "https://evil.example";
    for lines in [
        format!("Origin: https://{own}\r\nOrigin: {evil}\r\n"),
        format!("Origin: {evil}\r\nOrigin: https://{own}\r\n"),
        "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Site: cross-site\r\n".to_owned(),
    ] {
        let lines = format!("{lines}Content-Length: 0\r\nCookie: {cookie}\r\n");
        let answer = stack.raw_at(FILMS, "POST", "/?twice", &lines).await;
        assert_eq!(answer.status, Some(403), "{lines}: {}", answer.text);
    }
    assert!(stack.reached("?twice").is_empty());
    cookies_in_several_lines(stack, &cookie, bound).await;
}

/// HTTP/2 sends each cookie in a line of its own, and so may anybody.
async fn cookies_in_several_lines(stack: &Stack, cookie: &str, bound: Option<&Bound>) {
    let value = cookie.split_once('=').expect("a cookie").1;
    // Envoy joins lines with commas, and a cookie behind a comma is within another one's value: a neighbour on the
    // same domain could set it there, in spite of its prefix.
    let joins = bound.is_some();
    let read = if joins { 401 } else { 200 };
    let joined = format!("Cookie: {cookie}; theme=a,__Host-portcullis={value}\r\n");
    let lines = format!("Cookie: theme=dark\r\nCookie: {cookie}\r\nCookie: last=1\r\n");
    let cases = [(lines, read), (joined, 200)];
    for (lines, status) in cases.into_iter().take(if joins { 2 } else { 1 }) {
        let answer = stack.raw_at(FILMS, "GET", "/", &lines).await;
        assert_eq!(answer.status, Some(status), "{lines}: {}", answer.text);
        assert!(!answer.text.contains("__Host-portcullis"), "{lines}");
        assert!(!answer.text.contains(value), "{}", answer.text);
    }
}

/// What lets somebody in here is not for the app; all else that a client sends is.
pub async fn our_credentials(stack: &Stack) {
    for (host, path) in [(FILMS, "/"), (FILMS, "/api/"), (MIXED, "/")] {
        let ben = stack.as_user("ben", host).await;
        let url = stack.url(host, path);
        for line in ["theme=dark; Path=/", "last=1; Path=/"] {
            ben.store_cookie(&url, line).unwrap();
        }
        let ask = Ask::fetch(&url)
            .header("Portcullis-Key", "pcl_x")
            .header("X-Own", "1");
        let page = ben.ask(ask).await.unwrap();
        let sent = &page.hops[0].sent_cookies;
        let ours = stack.cookie(&ben, host);
        assert!(sent.contains(&ours), "it was sent");
        let seen = Stack::seen(&page);
        let cookies = seen.all("cookie").join("; ");
        assert!(cookies.contains("theme=dark") && cookies.contains("last=1"));
        assert!(!page.body.contains("portcullis"), "{}", page.body);
        assert_eq!(seen.all("x-own"), ["1"]);
    }
}
