//! What a proxy does to requests on their way: other versions of HTTP, bodies, long addresses, shared connections.

use futures_util::future::join_all;
use hyper::Request;
use hyper::header::HOST;
use tokio::sync::Mutex;

use super::lies::nothing_made_up;
use crate::column::Program;
use crate::kit::ask::Ask;
use crate::kit::raw::{RawClient, Turn};
use crate::kit::upstream::{Body, Seen};
use crate::kit::wire::{Answer, Content, Protocol, Wire, in_pieces, sized};
use crate::rules::{FILMS, NOTES, OPEN, PORTAL};
use crate::stack::Stack;

const MEBIBYTE: usize = 1024 * 1024;
/// Several users' requests share what they can.
const AT_ONCE: usize = 200;
const ROUNDS: usize = 3;
/// How often a busy proxy is asked.
const TRIES: usize = 5;

/// Whom the app was told of: nobody where it was not asked.
fn told(answer: &Answer) -> Option<String> {
    let seen: Option<Seen> = serde_json::from_str(&answer.body).ok();
    seen.and_then(|seen| seen.one("remote-user").map(str::to_owned))
}

pub async fn http2(stack: &Stack) {
    // Fails where the proxy chooses another.
    let mut wire = stack.wire(FILMS, Protocol::Http2).await;
    let ben = stack.as_user("ben", FILMS).await;
    let cookie = stack.cookie(&ben, FILMS);
    let ask =
        |path: &str, headers: &[(&str, &str)]| stack.request(Protocol::Http2, FILMS, path, headers);
    // Each cookie in a field of its own, as browsers send them.
    let headers = [
        ("cookie", "theme=dark"),
        ("cookie", &*cookie),
        ("cookie", "last=1"),
        ("remote-user", "root"),
        ("remote_user", "root"),
        ("x-original-url", "https://root/"),
        ("portcullis-key", "root"),
    ];
    let answer = wire
        .send(ask("/second?http2-member", &headers))
        .await
        .unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(told(&answer).as_deref(), Some("ben"));
    let seen = &stack.reached("http2-member")[0];
    nothing_made_up(seen, "http2");
    assert_eq!(seen.all("host"), [stack.authority(FILMS)]);
    let cookies = seen.all("cookie").join("; ");
    assert!(cookies.contains("theme=dark") && cookies.contains("last=1"));
    assert!(!cookies.contains("portcullis"), "{cookies}");

    let answer = wire.send(ask("/?http2-stranger", &[])).await.unwrap();
    assert_eq!(answer.status, 401, "{}", answer.body);
    let mut page = ask("/?http2-stranger", &[]);
    let headers = page.headers_mut();
    headers.insert("sec-fetch-mode", "navigate".parse().unwrap());
    headers.insert("sec-fetch-dest", "document".parse().unwrap());
    let answer = wire.send(page).await.unwrap();
    assert_eq!(answer.status, 302, "{}", answer.body);
    let location = answer.headers["location"].to_str().unwrap();
    assert!(location.starts_with(&stack.url(PORTAL, "/login?")));
    // The host is the authority's, whatever else is said.
    for told_host in [OPEN, &stack.authority(OPEN)] {
        let answer = wire
            .send(ask("/?http2-stranger", &[("host", told_host)]))
            .await;
        let status = answer.map_or(0, |answer| answer.status);
        assert!(matches!(status, 0 | 400 | 401 | 403 | 421), "{status}");
        wire = stack.wire(FILMS, Protocol::Http2).await;
    }
    assert!(stack.reached("?http2-stranger").is_empty());
    streams_at_once(stack).await;
}

/// On one connection, for two users and nobody.
async fn streams_at_once(stack: &Stack) {
    let wire = stack.wire(FILMS, Protocol::Http2).await;
    let users = users(stack).await;
    let asked = (0..60).map(|number| {
        let (user, cookie) = users[number % users.len()].clone();
        let mut wire = wire.another().expect("HTTP/2");
        async move {
            let headers: &[_] = &[("cookie", &*cookie)];
            let request = stack.request(Protocol::Http2, FILMS, "/", headers);
            (user, wire.send(request).await.unwrap())
        }
    });
    for (user, answer) in join_all(asked).await {
        each_its_own(user, &answer);
    }
}

/// Names and cookies of those who ask: of nobody too.
async fn users(stack: &Stack) -> [(Option<&'static str>, String); 3] {
    let ada = stack.as_user("ada", FILMS).await;
    let ben = stack.as_user("ben", FILMS).await;
    [
        (Some("ada"), stack.cookie(&ada, FILMS)),
        (Some("ben"), stack.cookie(&ben, FILMS)),
        (None, "theme=dark".to_owned()),
    ]
}

fn each_its_own(user: Option<&str>, answer: &Answer) {
    let status = if user.is_some() { 200 } else { 401 };
    assert_eq!(answer.status, status, "{user:?}: {}", answer.body);
    assert_eq!(told(answer).as_deref(), user, "{}", answer.body);
}

pub async fn keep_alive(stack: &Stack) {
    let users = users(stack).await;
    let mut wire = stack.wire(FILMS, Protocol::Http1).await;
    for round in 0..12 {
        let (user, cookie) = &users[round % users.len()];
        let mut headers = vec![("cookie", cookie.as_str())];
        if round % 2 == 0 {
            headers.push(("remote-user", "root"));
        }
        let request = stack.request(Protocol::Http1, FILMS, "/", &headers);
        let answer = wire.send(request).await.unwrap();
        each_its_own(*user, &answer);
        // Nor is what a host was decided about good for another one.
        let request = stack.request(Protocol::Http1, NOTES, "/?kept", &headers);
        let answer = wire.send(request).await;
        let refused = answer.as_ref().map_or(0, |answer| answer.status);
        assert!(matches!(refused, 401 | 421), "{refused}");
    }
    assert!(stack.reached("?kept").is_empty());
}

/// Two users and a stranger on many connections, who all ask at the same moment, and again. One proxy after the other:
/// it is theirs to show, and not how many files this program may have open.
///
/// A proxy that opens connections while others become free again must not mix up what they lead to: Caddy did, and
/// took the app's answers for ours.
pub async fn many_at_once(stack: &Stack) {
    static ONE_PROXY: Mutex<()> = Mutex::const_new(());
    let _alone = ONE_PROXY.lock().await;
    let users = users(stack).await;
    let opened = (0..AT_ONCE).map(|_| stack.wire(FILMS, Protocol::Http1));
    let mut wires = join_all(opened).await;
    for round in 0..ROUNDS {
        let asked = wires.iter_mut().enumerate().map(|(number, wire)| {
            let (user, cookie) = users[(number + round) % users.len()].clone();
            async move {
                let path = format!("/?at-once-{round}-{number}-");
                let answer = ask_again(stack, wire, &path, &cookie).await;
                (user, path, answer)
            }
        });
        for (user, path, answer) in join_all(asked).await {
            each_its_own(user, &answer);
            let reached = stack.reached(&path).len();
            assert_eq!(reached > 0, user.is_some(), "{path}");
        }
    }
}

/// Asks until the answer is none of a proxy that is too busy, which gives up on the service or the app after a second.
async fn ask_again(stack: &Stack, wire: &mut Wire, path: &str, cookie: &str) -> Answer {
    let mut last = None;
    for _ in 0..TRIES {
        let headers = [("cookie", cookie)];
        let request = stack.request(Protocol::Http1, FILMS, path, &headers);
        match wire.send(request).await {
            Ok(answer) if answer.status < 500 => return answer,
            // It may have hung up as well.
            busy => last = Some(busy),
        }
        *wire = stack.wire(FILMS, Protocol::Http1).await;
    }
    panic!("{path}: {last:?}");
}

pub async fn a_long_address(stack: &Stack) {
    let ben = stack.as_user("ben", FILMS).await;
    let long = "x".repeat(8_192);
    for (mark, path) in [
        ("q", format!("/long?q={long}")),
        ("p", format!("/{long}/p")),
    ] {
        let url = stack.url(FILMS, &path);
        let seen = Stack::seen(&ben.ask(Ask::fetch(&url)).await.unwrap());
        assert_eq!(seen.target, path, "{mark}");
        let head = Ask::fetch(&url).method(reqwest::Method::HEAD);
        assert_eq!(ben.ask(head).await.unwrap().status, 200, "{mark}");
        let stranger = stack.browser();
        let page = stranger.ask(Ask::fetch(&url)).await.unwrap();
        assert_eq!(page.status, 401, "{mark}");
        let page = stranger.ask(Ask::navigation(&url)).await.unwrap();
        assert_eq!(page.status, 302, "{mark}: {}", page.body);
    }
}

/// A head that is larger than we take is a refusal, which the proxy understands; and so is one that is larger than the
/// proxy takes.
pub async fn a_large_head(stack: &Stack) {
    let cookie = format!("Cookie: a={}\r\n", "x".repeat(15_000));
    let ben = stack.as_user("ben", FILMS).await;
    let own = format!("Cookie: {}\r\n", stack.cookie(&ben, FILMS));
    let told = match stack.program {
        Program::Nginx => 403,
        _ => 431,
    };
    let answer = stack
        .raw_at(FILMS, "GET", "/large", &(cookie.repeat(3) + &own))
        .await;
    assert_eq!(answer.status, Some(told), "{}", answer.text);
    let answer = stack
        .raw_at(FILMS, "GET", "/large", &(cookie.repeat(9) + &own))
        .await;
    let refused = answer
        .status
        .is_none_or(|status| (400..500).contains(&status));
    assert!(refused, "{}", answer.text);
    assert!(stack.reached("/large").is_empty());
    let log = stack.proxy_output();
    assert!(!log.contains("unexpected status: 4"), "{log}");
}

/// The same bytes each time, and no two megabytes alike.
fn content() -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..3 * MEBIBYTE / 8).flat_map(|_| next()).collect()
}

/// A POST of `body` to `path`, with these headers.
fn post(
    stack: &Stack,
    protocol: Protocol,
    path: &str,
    cookie: &str,
    body: Content,
) -> Request<Content> {
    let request = match protocol {
        Protocol::Http1 => Request::post(path).header(HOST, stack.authority(FILMS)),
        Protocol::Http2 => Request::post(stack.url(FILMS, path)),
    };
    request
        .header("cookie", cookie)
        .header("sec-fetch-site", "same-origin")
        .header("content-type", "application/octet-stream")
        .body(body)
        .unwrap()
}

/// The whole of a body of some megabytes: it is none of our business, and arrives as it was.
async fn arrives(stack: &Stack, mark: &str, body: impl Fn(&[u8]) -> Content) {
    let content = content();
    let ben = stack.as_user("ben", FILMS).await;
    let cookie = stack.cookie(&ben, FILMS);
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let path = format!("/upload-{mark}-{protocol:?}");
        let mut wire = stack.wire(FILMS, protocol).await;
        let request = post(stack, protocol, &path, &cookie, body(&content));
        let answer = wire.send(request).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
        let seen = &stack.reached(&path)[0];
        assert_eq!(seen.body, Body::of(&content), "{path}");
        assert_eq!(seen.method, "POST");
        assert_eq!(seen.all("remote-user"), ["ben"]);
        // A stranger's ends here: the proxy may hang up before it was sent.
        let path = format!("/refused-{mark}-{protocol:?}");
        let mut wire = stack.wire(FILMS, protocol).await;
        let request = post(stack, protocol, &path, "a=b", body(&content));
        let status = wire.send(request).await.map_or(401, |answer| answer.status);
        assert_eq!(status, 401);
        assert!(stack.reached(&path).is_empty());
    }
}

pub async fn a_body_with_a_length(stack: &Stack) {
    arrives(stack, "sized", |content| sized(content.to_vec())).await;
}

pub async fn a_body_in_pieces(stack: &Stack) {
    arrives(stack, "pieces", |content| in_pieces(content, 61_007)).await;
}

/// A client may wait to be told to go on before it sends a body.
pub async fn expect_continue(stack: &Stack) {
    let ben = stack.as_user("ben", FILMS).await;
    let content = vec![b'x'; 100_000];
    let head = |mark: &str, cookie: &str| {
        format!(
            "POST /{mark} HTTP/1.1\r\nHost: {}\r\nCookie: {cookie}\r\nContent-Length: {}\r\nExpect: \
             100-continue\r\nSec-Fetch-Site: same-origin\r\nConnection: close\r\n\r\n",
            stack.authority(FILMS),
            content.len()
        )
    };
    let client = RawClient::new(stack.root()).unwrap();
    let turns = vec![
        Turn {
            send: head("expecting-member", &stack.cookie(&ben, FILMS)).into_bytes(),
            until: Some("\r\n\r\n"),
        },
        Turn {
            send: content.clone(),
            until: None,
        },
    ];
    let talked = client.talk(stack.https_port, FILMS, turns).await.unwrap();
    assert!(talked[0].starts_with("HTTP/1.1 100 "), "{talked:?}");
    assert!(talked[1].contains("HTTP/1.1 200 "), "{talked:?}");
    assert_eq!(
        stack.reached("/expecting-member")[0].body,
        Body::of(&content)
    );

    let turns = vec![
        Turn {
            send: head("expecting-stranger", "a=b").into_bytes(),
            until: Some("\r\n\r\n"),
        },
        Turn {
            send: content,
            until: None,
        },
    ];
    let talked = client.talk(stack.https_port, FILMS, turns).await.unwrap();
    // Some proxies ask for the body first, and may hang up on it before it was sent.
    let begins = ["HTTP/1.1 100 ", "HTTP/1.1 401 "];
    let begun = begins.iter().any(|begin| talked[0].starts_with(begin));
    assert!(begun, "{talked:?}");
    assert!(!talked.concat().contains("HTTP/1.1 2"), "{talked:?}");
    assert!(stack.reached("/expecting-stranger").is_empty());
}
