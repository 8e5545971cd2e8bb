//! Requests that want another protocol: an answer in this one, and then the end of the connection, so that nothing that
//! came behind them is read as anything.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::StreamExt;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::support::app::{TestApp, every_dialect, spawn_app_with};

/// A connection that is kept is kept for far longer.
const LIMIT: Duration = Duration::from_secs(20);

const WEBSOCKET: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                         Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";

#[rustfmt::skip] // the columns are the point
const UPGRADES: [(&str, &str); 9] = [
    ("a WebSocket",             WEBSOCKET),
    ("a kept WebSocket",        "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"),
    ("one among several",       "Connection: Upgrade\r\nUpgrade: foo/2, websocket\r\n"),
    ("HTTP/2",                  "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"),
    ("TLS",                     "Connection: Upgrade\r\nUpgrade: TLS/1.2\r\n"),
    ("nobody knows what",       "Connection: Upgrade\r\nUpgrade: foo/2\r\n"),
    ("nothing",                 "Connection: Upgrade\r\nUpgrade: \r\n"),
    ("without Connection",      "Upgrade: foo\r\n"),
    ("twice",                   "Connection: Upgrade\r\nUpgrade: h2c\r\nUpgrade: websocket\r\n"),
];

/// Where the service is asked.
#[derive(Clone)]
enum Place {
    Address(SocketAddr),
    Socket(PathBuf),
}

trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

impl Place {
    async fn connect(&self) -> Box<dyn Stream> {
        match self {
            Self::Address(address) => {
                Box::new(TcpStream::connect(address).await.expect("a connection"))
            }
            Self::Socket(path) => Box::new(UnixStream::connect(path).await.expect("a connection")),
        }
    }
}

/// A service, and how its listeners are asked.
struct Asked {
    _app: TestApp,
    _folder: Option<TempDir>,
    doors: Vec<(Place, &'static str, &'static str, u16)>,
}

/// One at addresses, and one at sockets.
async fn services() -> [Asked; 2] {
    let app = spawn_app_with(every_dialect).await;
    let places = [&app.verify, &app.portal, &app.admin].map(|door| Place::Address(door.address()));
    let at_addresses = Asked {
        _app: app,
        _folder: None,
        doors: doors(&places),
    };
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let listen = |name: &str| Some(format!("unix:{}", at(name).display()));
    let control = at("control.sock");
    let app = spawn_app_with(|raw| {
        every_dialect(raw);
        raw.server.listen = listen("verify.sock");
        raw.server.portal_listen = listen("portal.sock");
        raw.server.admin_listen = listen("admin.sock");
        raw.server.control_socket = Some(control.display().to_string());
    })
    .await;
    let places = ["verify.sock", "portal.sock", "admin.sock"].map(|name| Place::Socket(at(name)));
    let mut doors = doors(&places);
    doors.push((
        Place::Socket(control),
        "GET /v1/sessions",
        "Host: x\r\n",
        200,
    ));
    let at_sockets = Asked {
        _app: app,
        _folder: Some(folder),
        doors,
    };
    [at_addresses, at_sockets]
}

/// What asks for `/ping`, which anybody may have, in each dialect, and what is answered without asking anybody.
fn doors(places: &[Place; 3]) -> Vec<(Place, &'static str, &'static str, u16)> {
    let [verify, portal, admin] = places.each_ref().map(|place| move || place.clone());
    let caddy = "Host: x\r\nX-Forwarded-Method: GET\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: \
                 films.example.net\r\nX-Forwarded-Uri: /ping\r\nX-Forwarded-For: 203.0.113.7\r\n";
    let nginx = "Host: x\r\nX-Original-Method: GET\r\nX-Original-URL: https://films.example.net/ping\r\n\
                 X-Forwarded-For: 203.0.113.7\r\n";
    let envoy =
        "Host: films.example.net\r\nX-Forwarded-Proto: https\r\nX-Forwarded-For: 203.0.113.7\r\n";
    let own = "Host: films.example.net\r\nX-Original-Method: GET\r\nX-Original-URL: \
               https://films.example.net/.portcullis/logout\r\nX-Forwarded-For: 203.0.113.7\r\n";
    vec![
        (verify(), "GET /verify", caddy, 200),
        (verify(), "GET /verify/nginx", nginx, 200),
        (verify(), "GET /verify/envoy/ping", envoy, 200),
        (verify(), "GET /nothing", "Host: x\r\n", 404),
        (portal(), "GET /", "Host: auth.example.net\r\n", 200),
        (portal(), "GET /.portcullis/logout", own, 302),
        (admin(), "GET /health/live", "Host: x\r\n", 200),
        (admin(), "GET /nothing", "Host: x\r\n", 404),
    ]
}

/// Everything that comes back until the service closes the connection.
async fn exchanged(place: &Place, bytes: &[u8]) -> String {
    let mut stream = place.connect().await;
    let written = stream.write_all(bytes).await;
    written.expect("it fits what the system buffers");
    let mut answers = Vec::new();
    let read = timeout(LIMIT, stream.read_to_end(&mut answers));
    // A reset is an end, too: it says that something was not read.
    let ended = read.await;
    let asked = String::from_utf8_lossy(bytes);
    assert!(ended.is_ok(), "the connection is kept: {asked}");
    String::from_utf8_lossy(&answers).into_owned()
}

fn statuses(answers: &str) -> Vec<u16> {
    let answers = answers.split("HTTP/1.1 ").skip(1);
    let statuses = answers.map(|answer| answer.get(..3)?.parse().ok());
    statuses.map(Option::unwrap_or_default).collect()
}

/// What came behind is no request to anybody: it gets no answer, or one that refuses it as such.
fn assert_answered_once(answers: &str, status: u16, what: &str) {
    let found = statuses(answers);
    let (first, behind) = found.split_first().expect(what);
    assert_eq!(*first, status, "{what}: {answers}");
    assert!(
        behind.iter().all(|status| *status == 400),
        "{what}: {answers}"
    );
}

#[actix_web::test]
async fn another_protocol_is_answered_plainly_and_nothing_behind_it_is_read() {
    let services = services().await;
    let mut cases = Vec::new();
    for (place, line, headers, status) in services.iter().flat_map(|asked| &asked.doors) {
        let request = format!("{line} HTTP/1.1\r\n{headers}");
        let behind = [
            String::new(),
            format!("{request}\r\n"),
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_owned(),
            "\u{1}\u{5}hello".to_owned(),
        ];
        for (what, upgrade) in UPGRADES {
            for behind in &behind {
                let what = format!("{line}, {what}, {behind:?}");
                let bytes = format!("{request}{upgrade}\r\n{behind}");
                cases.push(async move {
                    let answers = exchanged(place, bytes.as_bytes()).await;
                    assert_answered_once(&answers, *status, &what);
                    let (head, _) = answers.split_once("\r\n\r\n").expect("a head");
                    let head = head.to_ascii_lowercase();
                    assert!(head.contains("\r\nconnection: close"), "{what}: {head}");
                    assert!(!head.contains("\r\nupgrade:"), "{what}: {head}");
                });
            }
        }
    }
    all(cases).await;
}

/// Several at once: some answers are followed by a second in which the service waits for the client to go.
async fn all(cases: Vec<impl Future<Output = ()>>) {
    let cases = futures_util::stream::iter(cases);
    cases.buffer_unordered(64).collect::<()>().await;
}

/// Two requests in a row are answered, where none wants another protocol: so the tests above can fail.
#[actix_web::test]
async fn a_connection_is_kept_otherwise() {
    let services = services().await;
    for (place, line, headers, status) in services.iter().flat_map(|asked| &asked.doors) {
        let request = format!("{line} HTTP/1.1\r\n{headers}");
        let bytes = format!("{request}\r\n{request}Connection: close\r\n\r\n");
        let answers = exchanged(place, bytes.as_bytes()).await;
        assert_eq!(statuses(&answers), [*status, *status], "{line}: {answers}");
    }
}

/// Neither does a body hide one, nor a head that is refused, nor a tunnel.
#[actix_web::test]
async fn nothing_is_read_behind_a_refusal_either() {
    let services = services().await;
    let (mut cases, mut tunnels) = (Vec::new(), Vec::new());
    for (place, line, headers, status) in services.iter().flat_map(|asked| &asked.doors) {
        let hidden = format!("{line} HTTP/1.1\r\n{headers}\r\n");
        let length = hidden.len();
        let long = format!("Cookie: {}\r\n", "x".repeat(40_000));
        let large = if line.contains("nginx") { 403 } else { 431 };
        let rests = [
            (
                *status,
                format!("Content-Length: {length}\r\n\r\n{hidden}{hidden}"),
            ),
            (
                *status,
                format!("Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"),
            ),
            (large, format!("{long}\r\n{hidden}")),
        ];
        for (what, upgrade) in UPGRADES {
            for (expected, rest) in &rests {
                let bytes = format!("{line} HTTP/1.1\r\n{headers}{upgrade}{rest}");
                let (expected, what) = (*expected, format!("{line}, {what}, {rest}"));
                cases.push(async move {
                    let answers = exchanged(place, bytes.as_bytes()).await;
                    assert_answered_once(&answers, expected, &what);
                });
            }
        }
        tunnels.push(async move {
            // What a tunnel is answered depends on who is asked; whatever it is, it is the last.
            let tunnel = hidden.replacen("GET", "CONNECT", 1) + &hidden;
            let answers = exchanged(place, tunnel.as_bytes()).await;
            assert!(!answers.starts_with("HTTP/1.1 101"), "{line}: {answers}");
            let mut rest = statuses(&answers).into_iter().skip(1);
            assert!(rest.all(|status| status == 400), "{line}: {answers}");
        });
    }
    all(cases).await;
    all(tunnels).await;
}
