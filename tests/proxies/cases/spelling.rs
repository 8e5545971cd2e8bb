//! No spelling of a protected path is ever bypassed.
//!
//! The targets are sent as they stand, byte for byte: a proxy hands on what it gets, and an app may decode it,
//! merge slashes, resolve dots or cut parameters as it likes. Whatever could mean something protected must not
//! reach the app of a stranger.

use crate::rules::{CLOSED, OPENED};
use crate::stack::Stack;

/// What is plainly open, so that the refusals of the rest mean something.
const OPEN_TARGETS: [(&str, &str); 6] = [
    (OPENED, "/public/"),
    (OPENED, "/public/page.html"),
    (OPENED, "/public/a/b.c?x=/../secret&y=%2e%2e%2fsecret"),
    (OPENED, "/public/...three"),
    (CLOSED, "/"),
    (CLOSED, "/web/administrator?next=/admin/x"),
];

/// Spellings at [`OPENED`] that some app takes for something outside `/public/`.
#[rustfmt::skip] // one subject a line
const OUTSIDE_PUBLIC: [&[u8]; 66] = [
    // Not below it at all, or only nearly.
    b"/", b"/secret", b"/public", b"/publicsecret", b"/public.", b"/public?/x", b"/xpublic/a", b"?/public/a",
    // Letter case, which some file systems and routers overlook: the pattern opens what it says.
    b"/PUBLIC/secret", b"/Public/x", b"/publi%43/x",
    // Dots.
    b"/public/..", b"/public/.", b"/public/../", b"/public/../secret", b"/public/./../secret", b"/public/x/../../secret",
    b"/public/a/b/../../../secret", b"/public/../public/../secret", b"/./public/../secret", b"/public/x/..",
    b"/public/../../../../etc/passwd", b"/secret/../public/x", b"/secret/%2e%2e/public/x", b"/public/..?x=1",
    // Slashes.
    b"//public/x", b"/public//x", b"/public//../secret", b"//public//..//secret", b"///secret", b"/public/x//",
    // Backslashes.
    b"/public\\..\\secret", b"/public/..\\secret", b"/public/x\\..\\..\\secret", b"\\secret", b"/public\\x",
    // Parameters: some containers cut each segment at its semicolon.
    b"/public;/../secret", b"/public/..;/secret", b"/public/..;a=b/secret", b"/public/;/../secret", b"/;/public/x",
    b"/public/x;/..", b"/public/.;/secret", b"/secret;/public/x", b"/public/x;jsessionid=1",
    // Fragments and queries that are none.
    b"/public/#/../secret", b"/public/..#", b"/secret#/public/", b"/public/%23/../secret", b"/public/..%23",
    b"/public/%3f/../../secret", b"/secret%3f/public/", b"/public/..%3fx",
    // Bytes that end a string for some.
    b"/public/..%00/secret", b"/public/%00", b"/public/..%0d%0a/secret", b"/public/\t../secret", b"/public/..%09",
    // Encodings of a dot that decoders have fallen for.
    b"/public/%c0%ae%c0%ae/secret", b"/public/%e0%80%ae%e0%80%ae/secret", b"/public/%u002e%u002e/secret",
    b"/public/\xc0\xae\xc0\xae/secret", b"/public/%ff", b"/public/\xff/../secret", b"/public/%%32%65%%32%65/secret",
    b"/public/%2%65%2%65/secret",
];

/// How dots and slashes can be written; every mixture of them is tried at [`OPENED`].
const DOTS: [&str; 8] = [
    "..",
    "%2e%2e",
    ".%2E",
    "%2e.",
    "%252e%252e",
    "%25252e%25252e",
    "..;",
    "..;v=1",
];
const SLASHES: [&str; 7] = ["/", "//", "%2f", "%2F", "%5c", "\\", "%252f"];

/// Spellings at [`CLOSED`] that some app takes for something below `/admin/`.
#[rustfmt::skip] // one subject a line
const INSIDE_ADMIN: [&[u8]; 54] = [
    b"/admin/", b"/admin/x", b"/admin/x?y", b"/admin",  b"/admin?x", b"/admin/public/x",
    // Letter case.
    b"/ADMIN/x", b"/Admin/", b"/aDmIn", b"/%41dmin/x",
    // Encoded letters, once and twice.
    b"/%61dmin/x", b"/a%64min/x", b"/%61%64%6d%69%6e/x", b"/%2561dmin/x", b"/admi%6E", b"/%61%64%6D%69%6E%2f",
    // Slashes and backslashes.
    b"//admin/x", b"///admin//x", b"/admin//x", b"//admin", b"/admin%2fx", b"/admin%2Fx", b"/admin%252fx", b"/%2fadmin/x",
    b"\\admin\\x", b"/admin\\x", b"/admin%5cx", b"/%5cadmin/x", b"/\\admin/x",
    // Dots.
    b"/./admin/x", b"/x/../admin/y", b"/admin/.", b"/admin/./x", b"/x/%2e%2e/admin/y", b"/x/..%2fadmin/y",
    b"/x%2f..%2fadmin/y", b"/%2e/admin/x", b"/x/%252e%252e/admin/y", b"/../admin/x", b"/x/./../admin/y",
    b"/admin/x/../y", b"/admin/../admin/x",
    // Parameters.
    b"/admin;v=1/x", b"/admin;/x", b"/;v=1/admin/x", b"/x/..;/admin/y", b"/admin/;x", b"/.;/admin/x", b"/admin;",
    // Fragments, queries and ends of strings.
    b"/admin%23/x", b"/admin%3fx", b"/admin%00", b"/admin/#/x", b"/admin#",
];

/// Other shapes of a request line, and lines that say something else than it does.
#[rustfmt::skip] // the columns are the point
const SHAPES: [(&str, &str, &[u8], &str); 20] = [
    (OPENED, "GET",     b"https://opened.home.localhost/secret",            ""),
    (OPENED, "GET",     b"https://opened.home.localhost/public/../secret",  ""),
    (OPENED, "GET",     b"https://closed.home.localhost@opened.home.localhost/secret", ""),
    (CLOSED, "GET",     b"https://opened.home.localhost/secret",            ""),
    (OPENED, "GET",     b"https://closed.home.localhost/admin/x",           ""),
    (OPENED, "GET",     b"/secret",  "Connection: X-Forwarded-Uri, X-Forwarded-Host, close\r\nX-Forwarded-Uri: /public/x\r\n"),
    (OPENED, "GET",     b"/secret",  "X_Forwarded_Uri: /public/x\r\nX.Forwarded.Uri: /public/x\r\n"),
    (OPENED, "GET",     b"/secret",  "User-Agent: kube-probe/1.30\r\nX-Health-Check: 1\r\n"),
    (OPENED, "GET",     b"/secret",  "X-Original-URL: /public/x\r\n"),
    (OPENED, "GET",     b"/secret",  "X-Rewrite-URL: /public/x\r\n"),
    (OPENED, "GET",     b"/secret",  "X-Forwarded-Uri: /public/x\r\n"),
    (OPENED, "GET",     b"/secret",  "X-Forwarded-Prefix: /public\r\n"),
    (OPENED, "GET",     b"/secret",  "X-Forwarded-Host: closed.home.localhost\r\n"),
    (OPENED, "POST",    b"/secret",  "X-HTTP-Method-Override: OPTIONS\r\nContent-Length: 0\r\n"),
    (OPENED, "OPTIONS", b"/secret",  "Origin: https://elsewhere.example\r\nAccess-Control-Request-Method: GET\r\n"),
    (OPENED, "OPTIONS", b"*",        ""),
    (OPENED, "HEAD",    b"/secret",  ""),
    (CLOSED, "HEAD",    b"/admin/x", ""),
    (CLOSED, "TRACE",   b"/admin/x", ""),
    (CLOSED, "GET",     b"/admin/x", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"),
];

fn mixtures() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for dots in DOTS {
        for first in SLASHES {
            for second in SLASHES {
                all.push(format!("/public{first}{dots}{second}secret").into_bytes());
            }
        }
    }
    // Within a name a backslash or an encoded slash may part it.
    all.extend(
        SLASHES
            .iter()
            .skip(1)
            .map(|slash| format!("/public{slash}x").into_bytes()),
    );
    all
}

/// Whether there is one reading only, and it lies below `/public/`.
fn is_plainly_public(target: &str) -> bool {
    let path = target.split('?').next().unwrap_or_default();
    let Some(rest) = path.strip_prefix("/public/") else {
        return false;
    };
    // `.` and `..` are the only names without a letter that mean something else.
    let is_name = |name: &str| {
        let mut bytes = name.bytes();
        bytes.any(|byte| byte.is_ascii_alphanumeric())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    rest.is_empty()
        || rest
            .strip_suffix('/')
            .unwrap_or(rest)
            .split('/')
            .all(is_name)
}

pub async fn no_spelling_gets_past(stack: &Stack) {
    for (host, target) in OPEN_TARGETS {
        let answer = stack.raw_at(host, "GET", target, "").await;
        let text = &answer.text;
        assert_eq!(answer.status, Some(200), "{host} {target} is open: {text}");
    }
    let mixtures = mixtures();
    let plain = OUTSIDE_PUBLIC
        .iter()
        .copied()
        .chain(mixtures.iter().map(Vec::as_slice))
        .map(|target| (OPENED, "GET", target, ""))
        .chain(
            INSIDE_ADMIN
                .iter()
                .map(|target| (CLOSED, "GET", *target, "")),
        );
    let mut let_in = Vec::new();
    for (host, method, target, lines) in plain.chain(SHAPES) {
        let before = stack.app.count();
        // For the default port: the proxy's own is another, and makes no difference.
        let lines = format!("Host: {host}\r\n{lines}Connection: close\r\n");
        let answer = stack.raw(host, method, target, &lines).await;
        // Traefik tidies targets up before it asks us: what counts is what the app was asked for. Others have asked
        // it meanwhile, at other hosts.
        let asked = stack.app.requests_after(before);
        let got_in = asked.iter().filter(|seen| {
            let at = seen.one("host").unwrap_or(host);
            let ours = [OPENED, CLOSED].iter().any(|host| at.contains(host));
            ours && (host != OPENED || !is_plainly_public(&seen.target))
        });
        let_in.extend(got_in.map(|seen| {
            let (spelling, got) = (target.escape_ascii(), &seen.target);
            let status = answer.status;
            format!("{host} {method} {spelling} {lines:?}: as {got}, {status:?}")
        }));
    }
    let let_in = let_in.join("\n");
    assert!(let_in.is_empty(), "a stranger got in:\n{let_in}");
}
