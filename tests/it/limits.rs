//! What one connection may cost: requests written byte by byte, which no client library would send.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::app::{TestApp, spawn_app};

/// A head has five seconds; a machine with much to do may take longer to say so.
const HEAD_LIMIT: Duration = Duration::from_secs(15);

/// Sends `bytes`, keeps the connection open, and reads until the service ends it or the first answer is whole. `None`
/// when it was closed without an answer.
async fn status(address: SocketAddr, bytes: &[u8]) -> Option<u16> {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    // It may be closed before all is written.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let read = async {
        while !answer.windows(4).any(|four| four == b"\r\n\r\n") {
            if !matches!(stream.read_buf(&mut answer).await, Ok(1..)) {
                break;
            }
        }
    };
    timeout(HEAD_LIMIT, read)
        .await
        .expect("an answer, or an end");
    let text = String::from_utf8_lossy(&answer).into_owned();
    text.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}

async fn still_answers(app: &TestApp, after: &str) {
    let ping = app.ask("https://films.example.net/ping").send().await;
    assert_eq!(ping.status, 200, "{after}");
}

/// The one address that reads a body reads a small one, and not for long.
#[actix_web::test]
async fn the_one_body_that_is_read_is_bounded() {
    let app = spawn_app().await;
    let head = "POST /backchannel-logout HTTP/1.1\r\nHost: auth.example.net\r\n\
                Content-Type: application/x-www-form-urlencoded\r\n";
    let at_once = Duration::from_secs(4);
    let chunk = "3e8\r\n".to_owned() + &"x".repeat(1_000) + "\r\n";
    let cases = [
        (
            "a length too large",
            "Content-Length: 65537\r\n\r\n".to_owned(),
            at_once,
        ),
        (
            "too much",
            format!("Transfer-Encoding: chunked\r\n\r\n{}", chunk.repeat(70)),
            at_once,
        ),
        (
            "none of it",
            "Content-Length: 100\r\n\r\n".to_owned(),
            HEAD_LIMIT,
        ),
        (
            "some of it",
            "Content-Length: 100\r\n\r\nlogout_token=x".to_owned(),
            HEAD_LIMIT,
        ),
    ];
    let asked = cases.map(|(what, rest, limit)| {
        let (address, request) = (app.portal.address(), format!("{head}{rest}"));
        async move {
            let begun = Instant::now();
            let found = status(address, request.as_bytes()).await;
            assert_eq!(found, Some(400), "{what}");
            assert!(begun.elapsed() < limit, "{what}: {:?}", begun.elapsed());
        }
    });
    futures_util::future::join_all(asked).await;
    still_answers(&app, "bodies that do not come").await;
}

/// Nobody waits for a body, however long it says it is, and whether it comes or not.
#[actix_web::test]
async fn a_body_is_never_waited_for() {
    let app = spawn_app().await;
    let asked = "X-Forwarded-Method: POST\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: films.example.net\r\n\
                 X-Forwarded-Uri: /ping\r\nX-Forwarded-For: 203.0.113.7\r\n";
    let lengths = [
        (
            "none of it",
            "Content-Length: 100000000000\r\n\r\n".to_owned(),
        ),
        (
            "some of it",
            format!(
                "Content-Length: 100000000000\r\n\r\n{}",
                "x".repeat(200_000)
            ),
        ),
        (
            "no end",
            format!(
                "Transfer-Encoding: chunked\r\n\r\n{}",
                "3e8\r\n".to_owned() + &"x".repeat(1_000)
            ),
        ),
    ];
    for (what, rest) in lengths {
        for (address, line, headers, expected) in [
            (app.portal.address(), "POST /logout", "", 303),
            (app.portal.address(), "POST /login", "", 405),
            (app.portal.address(), "POST /nothing", "", 404),
            (app.verify.address(), "POST /verify", asked, 200),
            (app.admin.address(), "POST /health/live", "", 404),
        ] {
            let begun = Instant::now();
            let request = format!("{line} HTTP/1.1\r\nHost: auth.example.net\r\n{headers}{rest}");
            let found = status(address, request.as_bytes()).await;
            assert_eq!(found, Some(expected), "{line}, {what}");
            assert!(begun.elapsed() < Duration::from_secs(4), "{line}, {what}");
        }
    }
    still_answers(&app, "bodies").await;
}

/// A body that is not read is not taken for the next request either.
#[actix_web::test]
async fn what_stands_in_a_body_is_no_request() {
    let app = spawn_app().await;
    let host = "Host: auth.example.net\r\n";
    let hidden = format!("GET / HTTP/1.1\r\n{host}\r\n");
    let length = hidden.len();
    let last = format!("GET /whoami HTTP/1.1\r\n{host}Connection: close\r\n\r\n");
    for body in [
        format!("Content-Length: {length}\r\n\r\n{hidden}"),
        format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{hidden}\r\n0\r\n\r\n"),
    ] {
        let mut stream = TcpStream::connect(app.portal.address())
            .await
            .expect("a connection");
        let request = format!("POST /nothing HTTP/1.1\r\n{host}{body}{last}");
        let written = stream.write_all(request.as_bytes()).await;
        written.expect("it fits what the system buffers");
        let mut answers = Vec::new();
        // How the connection ends does not matter.
        let _ = timeout(HEAD_LIMIT, stream.read_to_end(&mut answers)).await;
        let answers = String::from_utf8_lossy(&answers).into_owned();
        let statuses: Vec<&str> = answers
            .split("HTTP/1.1 ")
            .skip(1)
            .map(|answer| &answer[..3])
            .collect();
        let expected = ["404", "401"];
        assert!(
            !statuses.is_empty() && expected.starts_with(&statuses),
            "{statuses:?}"
        );
    }
}

/// What is no request, or one of which two readers would make two, is refused or hung up on.
#[actix_web::test]
async fn what_is_no_plain_request_is_refused() {
    let app = spawn_app().await;
    let head = "GET / HTTP/1.1\r\nHost: auth.example.net\r\n";
    let post = "POST /logout HTTP/1.1\r\nHost: auth.example.net\r\n";
    for (what, expected) in [(format!("{head}\r\n"), 200), (format!("{post}\r\n"), 303)] {
        let found = status(app.portal.address(), what.as_bytes()).await;
        assert_eq!(found, Some(expected), "a plain one: {what}");
    }
    let cases = [
        (
            "300 headers",
            format!("{head}{}\r\n", "X-Many: 1\r\n".repeat(300)),
        ),
        (
            "a head of 300 KB",
            format!("{head}X-Long: {}\r\n\r\n", "x".repeat(300_000)),
        ),
        (
            "a target of 300 KB",
            format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(300_000)),
        ),
        (
            "two lengths",
            format!("{post}Content-Length: 1\r\nContent-Length: 2\r\n\r\nx"),
        ),
        (
            "length and chunks",
            format!("{post}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ),
        ("a folded line", format!("{head}X-A: 1\r\n 2\r\n\r\n")),
        ("NUL in a value", format!("{head}X-A: 1\02\r\n\r\n")),
        ("a blank before the colon", format!("{head}X-A : 1\r\n\r\n")),
        (
            "HTTP/2",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".into(),
        ),
        (
            "no HTTP",
            "\x16\x03\x01\x02\0\x01\0\x01\x7c\x03\x03\r\n\r\n".into(),
        ),
    ];
    for (what, request) in cases {
        for address in [
            app.verify.address(),
            app.portal.address(),
            app.admin.address(),
        ] {
            let found = status(address, request.as_bytes()).await;
            // Not 404 or the like, which would be the answer to a request.
            let refused = matches!(found, None | Some(400 | 414 | 431));
            assert!(refused, "{what}: {found:?}");
        }
        still_answers(&app, what).await;
    }
}

/// Whoever does not get on with it loses the connection, and meanwhile others are served.
#[actix_web::test]
async fn a_head_that_does_not_come_is_not_waited_for() {
    const SLOW: usize = 50;
    let app = spawn_app().await;
    let mut slow = Vec::new();
    for address in [
        app.verify.address(),
        app.portal.address(),
        app.admin.address(),
    ]
    .into_iter()
    .cycle()
    .take(SLOW)
    {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        let begun = stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").await;
        begun.expect("a part of a head");
        slow.push(stream);
    }
    still_answers(&app, "slow heads").await;
    let ends = slow.into_iter().map(|mut stream| async move {
        let mut answer = Vec::new();
        let dripping = async {
            loop {
                tokio::select! {
                    read = stream.read_buf(&mut answer) => if !matches!(read, Ok(1..)) { break },
                    // A line now and then does not buy more time.
                    () = tokio::time::sleep(Duration::from_secs(1)) => {
                        let _ = stream.write_all(b"X-A: 1\r\n").await;
                    }
                }
            }
        };
        timeout(HEAD_LIMIT, dripping).await.expect("an end");
        let text = String::from_utf8_lossy(&answer).into_owned();
        assert!(
            text.is_empty() || text.starts_with("HTTP/1.1 408 "),
            "{text}"
        );
    });
    futures_util::future::join_all(ends).await;
    still_answers(&app, "their end").await;
}
