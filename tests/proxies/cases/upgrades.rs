//! What leaves HTTP on a connection: WebSockets, and nothing else. What goes through afterwards is asked about no more.

use hyper::Request;
use hyper::ext::Protocol as Extended;

use super::Bound;
use crate::kit::raw::{RawClient, Turn};
use crate::kit::wire::{Protocol, nothing};
use crate::rules::{FILMS, FRIEND, FRIENDLY};
use crate::stack::Stack;

const HANDSHAKE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: \
                         13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
/// That key's answer, RFC 6455 §1.3.
const ACCEPTED: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const SAID: &str = "from one end to the other";

/// Sends a handshake with these lines beside; `words` go through what is opened.
async fn handshake(stack: &Stack, host: &str, mark: &str, lines: &str, words: bool) -> String {
    let head = format!(
        "GET /switching/{mark} HTTP/1.1\r\nHost: {}\r\n{HANDSHAKE}{lines}\r\n",
        stack.authority(host)
    );
    let mut turns = vec![turn(head, "\r\n\r\n")];
    if words {
        turns.push(turn(SAID.to_owned(), SAID));
    }
    let client = RawClient::new(stack.root()).unwrap();
    let talked = client.talk(stack.https_port, host, turns).await;
    talked.unwrap().concat()
}

fn turn(send: String, until: &'static str) -> Turn {
    Turn {
        send: send.into_bytes(),
        until: Some(until),
    }
}

pub async fn web_socket_of_a_member(stack: &Stack) {
    for (host, origin) in [(FILMS, stack.url(FILMS, "")), (FRIENDLY, FRIEND.to_owned())] {
        let ben = stack.as_user("ben", host).await;
        let lines = format!(
            "Cookie: {}\r\nOrigin: {origin}\r\n",
            stack.cookie(&ben, host)
        );
        let mark = format!("member-{host}");
        let answer = handshake(stack, host, &mark, &lines, true).await;
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        assert!(answer.contains(ACCEPTED), "{answer}");
        assert!(answer.ends_with(SAID), "{answer}");
        let seen = &stack.reached(&mark)[0];
        assert_eq!(seen.all("upgrade"), ["websocket"]);
        assert_eq!(seen.all("remote-user"), ["ben"]);
        assert_eq!(seen.all("cookie").concat(), "");
    }
}

pub async fn web_socket_of_a_stranger(stack: &Stack) {
    let answer = handshake(stack, FILMS, "stranger", "", false).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    let forged = "Remote-User: ben\r\nSec-Fetch-Mode: navigate\r\nAccept: text/html\r\n";
    let answer = handshake(stack, FILMS, "stranger", forged, false).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    let eve = stack.as_user("eve", FILMS).await;
    let cookie = format!("Cookie: {}\r\n", stack.cookie(&eve, FILMS));
    let answer = handshake(stack, FILMS, "stranger", &cookie, false).await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert!(stack.reached("/switching/stranger").is_empty());
}

/// A handshake that the app refuses opens nothing: what comes right behind it is a request like any other.
pub async fn web_socket_that_the_app_refuses(stack: &Stack) {
    let own = stack.authority(FILMS);
    let old = HANDSHAKE.replace("13\r\n", "12\r\n");
    let client = RawClient::new(stack.root()).unwrap();
    for behind in ["/?tunnelled", "/admin/?tunnelled"] {
        let head = format!("GET /api/switching/old HTTP/1.1\r\nHost: {own}\r\n{old}\r\n");
        let next = format!(
            "GET {behind} HTTP/1.1\r\nHost: {own}\r\nRemote-User: root\r\nConnection: close\r\n\r\n"
        );
        let turns = vec![Turn {
            send: format!("{head}{next}").into_bytes(),
            until: None,
        }];
        let talked = client.talk(stack.https_port, FILMS, turns).await.unwrap();
        let answer = talked.concat();
        // A proxy may look at the version itself.
        let refused = ["HTTP/1.1 426 ", "HTTP/1.1 400 "];
        let refused = refused.iter().any(|begin| answer.starts_with(begin));
        assert!(refused, "{answer}");
        assert!(!answer.contains("HTTP/1.1 2"), "{answer}");
        assert!(!answer.contains("HTTP/1.1 101"), "{answer}");
    }
    assert!(stack.reached("?tunnelled").is_empty());
}

/// A page of another site has the visitor's cookie, and no business here.
pub async fn web_socket_across_sites(stack: &Stack) {
    let ben = stack.as_user("ben", FILMS).await;
    let cookie = stack.cookie(&ben, FILMS);
    for origin in [
        "https://evil.example",
        "null",
        FRIEND,
        "https://films.home.localhost.evil.example",
    ] {
        let lines = format!("Cookie: {cookie}\r\nOrigin: {origin}\r\n");
        let answer = handshake(stack, FILMS, "foreign", &lines, false).await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{origin}: {answer}");
    }
    assert!(stack.reached("/switching/foreign").is_empty());
}

/// Where a stranger may ask for something, nothing but a WebSocket is opened: an app that knew cleartext HTTP/2 would
/// be asked within it for everything else.
pub async fn other_upgrades(stack: &Stack, bound: Option<&Bound>) {
    let settings = "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n";
    let key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let listed = "Connection: Upgrade, HTTP2-Settings\r\n";
    let lines = [
        format!("Upgrade: h2c\r\n{listed}{settings}"),
        format!("Upgrade: h2c\r\nConnection: Upgrade\r\n{settings}"),
        format!("Upgrade: H2C\r\n{listed}{settings}"),
        format!("Upgrade: h2c\r\n{listed}{settings}{key}"),
        format!("Upgrade: h2c, websocket\r\n{listed}{settings}{key}"),
        format!("Upgrade: websocket, h2c\r\n{listed}{settings}{key}"),
        format!("Upgrade: h2c\r\nUpgrade: websocket\r\n{listed}{settings}{key}"),
        format!("Upgrade: websocket\r\nUpgrade: h2c\r\n{listed}{settings}{key}"),
        "Upgrade: TLS/1.0\r\nConnection: Upgrade\r\n".to_owned(),
        "Upgrade: anything\r\nConnection: Upgrade\r\n".to_owned(),
        "Upgrade: websocket/2\r\nConnection: Upgrade\r\n".to_owned(),
        "Upgrade: xwebsocket\r\nConnection: Upgrade\r\n".to_owned(),
    ];
    let client = RawClient::new(stack.root()).unwrap();
    // Traefik hands on what it does not know, and takes HTTP/2 away itself.
    let is_known = |word: &str| match bound {
        Some(_) => !word.to_ascii_lowercase().contains("h2c"),
        None => word.eq_ignore_ascii_case("websocket"),
    };
    let (mut opened, mut unknown) = (Vec::new(), false);
    for (number, lines) in lines.iter().enumerate() {
        let mark = format!("/api/switching/other-{number}?");
        let head = format!(
            "GET {mark} HTTP/1.1\r\nHost: {}\r\n{lines}\r\n",
            stack.authority(FILMS)
        );
        let talked = client.talk(stack.https_port, FILMS, vec![turn(head, "\r\n\r\n")]);
        let answer = talked.await.unwrap().concat();
        let seen = stack.reached(&mark);
        let wanted: Vec<&str> = seen.iter().flat_map(|seen| seen.all("upgrade")).collect();
        unknown |= wanted.contains(&"anything");
        let switched = answer.starts_with("HTTP/1.1 101 ") && wanted.is_empty();
        if switched || wanted.iter().any(|word| !is_known(word)) {
            opened.push(format!(
                "{lines:?}: the app is asked for {wanted:?}: {answer:?}"
            ));
        }
    }
    let opened = opened.join("\n");
    assert!(opened.is_empty(), "something else was opened:\n{opened}");
    assert_eq!(unknown, bound.is_some(), "a protocol that nobody knows");
}

/// HTTP/2 opens WebSockets by an extended CONNECT (RFC 8441), where a proxy knows it. Else the method is CONNECT, which
/// no app of ours is asked for.
pub async fn extended_connect(stack: &Stack) {
    for protocol in ["websocket", "connect-udp"] {
        let mut wire = stack.wire(FILMS, Protocol::Http2).await;
        let request = Request::connect(stack.url(FILMS, "/switching/extended"))
            .extension(Extended::from_static(protocol))
            .header("origin", stack.url(FILMS, ""))
            .header("sec-websocket-version", "13")
            .body(nothing())
            .unwrap();
        // Whoever does not know it breaks the stream off.
        if let Ok(answer) = wire.send(request).await {
            assert!(answer.status >= 400, "{protocol}: {answer:?}");
        }
    }
    assert!(stack.reached("/switching/extended").is_empty());
}
