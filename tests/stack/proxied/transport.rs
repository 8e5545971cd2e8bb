//! What a proxy does to requests on their way: cookies in several lines, handshakes, bodies, long addresses.

use reqwest::Method;

use super::Proxied;
use crate::kit::ask::Ask;
use crate::setup::FILMS;

/// Several lines are joined with commas here, and a cookie behind a comma is within another one's value: a neighbour
/// on the same domain could set it there, in spite of its prefix.
pub async fn cookies_joined_by_commas_are_nobodys_and_kept_from_the_app(stack: &Proxied) {
    let ben = stack.signed_in("ben", FILMS).await;
    let cookie = ben.cookie(&stack.url(FILMS, "/"), "__Host-portcullis");
    let cookie = cookie.expect("signed in");
    let raw = stack.raw();
    let cases = [
        (
            "Cookie: theme=dark\r\nCookie: __Host-portcullis={}\r\n",
            401,
        ),
        (
            "Cookie: __Host-portcullis={}; theme=a,__Host-portcullis={}\r\n",
            200,
        ),
    ];
    for (lines, status) in cases {
        let lines = format!(
            "Host: {FILMS}:{}\r\nConnection: close\r\n{}",
            stack.https_port,
            lines.replace("{}", &cookie)
        );
        let answer = raw
            .send_lines(stack.https_port, FILMS, "GET", b"/", &lines)
            .await
            .unwrap();
        assert_eq!(answer.status, Some(status), "{lines}: {}", answer.text);
        assert!(!answer.text.contains(&cookie), "{}", answer.text);
    }
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
