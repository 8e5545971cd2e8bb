//! A protected app that shows the request it got: as a page to people, as JSON to programs.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use actix_web::http::header::{ACCEPT, UPGRADE};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use base64::Engine as _;
use serde::{Deserialize, Serialize};

use super::{Failure, Result, html};

/// Headers whose values the app keeps to itself.
const CREDENTIALS: [&str; 2] = ["x-api-key", "authorization"];

/// What the app was asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Seen {
    pub app: String,
    pub method: String,
    /// Path and query, byte for byte.
    pub target: String,
    /// Identity first, then by name; bytes that are not UTF-8 are replaced.
    pub headers: Vec<(String, String)>,
    /// What the body came to.
    pub body: Body,
}

/// A body that was read to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Body {
    pub bytes: usize,
    /// In hexadecimal: one of 256 bits.
    pub hash: String,
}

impl Body {
    pub fn of(content: &[u8]) -> Self {
        Self {
            bytes: content.len(),
            hash: blake3::hash(content).to_hex().to_string(),
        }
    }
}

impl Seen {
    /// All values of a header.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|(have, _)| have.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// As the app shows it: what lets somebody in is not put on a page.
    fn shown(&self) -> Self {
        let mut shown = self.clone();
        for (name, value) in &mut shown.headers {
            if CREDENTIALS.contains(&name.as_str()) && !value.is_empty() {
                *value = format!("({} characters, not shown)", value.len());
            }
        }
        shown
    }

    /// The one value of a header; `None` when it did not come, or not once.
    pub fn one(&self, name: &str) -> Option<&str> {
        match self.all(name)[..] {
            [value] => Some(value),
            _ => None,
        }
    }
}

/// A key that the app itself asks for in `X-Api-Key`.
#[derive(Clone)]
pub struct OwnKey {
    /// Every path that begins like this.
    pub below: &'static str,
    pub key: String,
}

/// An app that listens on the loopback address until the process ends.
pub struct Upstream {
    pub port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Upstream {
    /// # Errors
    ///
    /// When the system gives it no port.
    pub fn start(name: &str) -> Result<Self> {
        Self::start_with_key(name, None)
    }

    /// An app that has a guard of its own, as some have.
    ///
    /// # Errors
    ///
    /// When the system gives it no port.
    pub fn start_with_key(name: &str, own_key: Option<OwnKey>) -> Result<Self> {
        // Held from here on: a port that is looked up first and taken later may be somebody else's by then.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(Failure::of("app"))?;
        // For as many connections at once as some tests open.
        rustix::net::listen(&listener, 1024).map_err(Failure::of("app"))?;
        let port = listener.local_addr().map_err(Failure::of("app"))?.port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let state = web::Data::new(State {
            name: name.to_owned(),
            seen: Arc::clone(&seen),
            own_key,
        });
        let (started, outcome) = mpsc::channel();
        // On a thread of its own, because it outlives the runtime of the test that started it.
        std::thread::spawn(move || {
            let bound = HttpServer::new(move || {
                App::new()
                    .app_data(state.clone())
                    .default_service(web::to(show))
            })
            .workers(1)
            .disable_signals()
            .listen(listener);
            match bound {
                Ok(listening) => {
                    let _ = started.send(Ok(()));
                    // Ends with the process.
                    let _ = actix_web::rt::System::new().block_on(listening.run());
                }
                Err(cause) => {
                    let _ = started.send(Err(Failure(format!("app on port {port}: {cause}"))));
                }
            }
        });
        outcome.recv().map_err(Failure::of("app"))??;
        Ok(Self { port, seen })
    }

    /// How many requests there were so far.
    pub fn count(&self) -> usize {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// The requests after the first `count`.
    pub fn requests_after(&self, count: usize) -> Vec<Seen> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen[count..].to_vec()
    }

    /// Every request so far whose target holds `mark`. Tests that share an app put a mark of
    /// their own into their URLs.
    pub fn requests_with(&self, mark: &str) -> Vec<Seen> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter()
            .filter(|request| request.target.contains(mark))
            .cloned()
            .collect()
    }
}

/// Whatever protocol a request wants to change to, the app changes to it at paths that hold this, and sends back what
/// comes; but for WebSockets of an old version.
pub const SWITCHING: &str = "/switching/";

struct State {
    name: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    own_key: Option<OwnKey>,
}

impl State {
    /// Whether the app takes this request, or asks for its key.
    fn accepts(&self, seen: &Seen) -> bool {
        let guard = self.own_key.as_ref();
        guard.is_none_or(|own| {
            !seen.target.starts_with(own.below) || seen.one("x-api-key") == Some(&own.key)
        })
    }
}

async fn show(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<State>,
) -> HttpResponse {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let lines = request.headers().iter();
    let mut headers: Vec<(String, String)> = lines
        .map(|(name, value)| (name.to_string(), text(value.as_bytes())))
        .collect();
    // A stable sort: lines of one name stay in their order.
    headers.sort_by_key(|(name, _)| (!name.starts_with("remote-"), name.clone()));
    let protocol = request.headers().get(UPGRADE);
    let (content, payload) = match protocol {
        // What comes after a handshake has no end.
        Some(_) => (web::Bytes::new(), Some(payload)),
        // What breaks off is seen as far as it came.
        None => (payload.to_bytes().await.unwrap_or_default(), None),
    };
    let seen = Seen {
        app: state.name.clone(),
        method: request.method().to_string(),
        target: request.uri().to_string(),
        headers,
        body: Body::of(&content),
    };
    state
        .seen
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(seen.clone());
    if !state.accepts(&seen) {
        return HttpResponse::Unauthorized().body(format!("{} wants its own key", seen.app));
    }
    let switches = request.path().contains(SWITCHING);
    // As RFC 6455 §4.4 has it.
    let version = seen.one("sec-websocket-version");
    if switches && version.is_some_and(|version| version != "13") {
        return HttpResponse::UpgradeRequired()
            .insert_header(("sec-websocket-version", "13"))
            .finish();
    }
    if let Some((protocol, payload)) = protocol.zip(payload).filter(|_| switches) {
        let mut answer = HttpResponse::SwitchingProtocols();
        answer.upgrade(protocol.clone());
        if let Some(key) = request.headers().get("sec-websocket-key") {
            answer.insert_header(("sec-websocket-accept", accepted(key.as_bytes())));
        }
        return answer.streaming(payload);
    }
    let seen = seen.shown();
    let accept = request
        .headers()
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    if accept.contains("text/html") {
        HttpResponse::Ok()
            .content_type("text/html; charset=utf-8")
            .body(page(&seen))
    } else {
        HttpResponse::Ok().json(seen)
    }
}

/// What a WebSocket's handshake is answered with (RFC 6455 §4.2.2).
fn accepted(key: &[u8]) -> String {
    let mut context = ring::digest::Context::new(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(key);
    context.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    base64::engine::general_purpose::STANDARD.encode(context.finish())
}

/// The page; what programs want of it stands in it as JSON, see [`html::embedded_json`].
fn page(seen: &Seen) -> String {
    let row = |(name, value): &(String, String)| {
        let mark = if name.starts_with("remote-") {
            " class=identity"
        } else {
            ""
        };
        format!(
            "<tr{mark}><th>{}<td>{}\n",
            html::escape(name),
            html::escape(value)
        )
    };
    let rows = seen.headers.iter().map(row).collect::<Vec<_>>().concat();
    let user = seen
        .one("remote-user")
        .filter(|user| !user.is_empty())
        .unwrap_or("nobody");
    let json = serde_json::to_string(seen).expect("strings alone");
    format!(
        r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{app}</title>
<style>
  body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 50rem; margin: 3rem auto; padding: 0 1rem;
         color-scheme: light dark; }}
  table {{ border-collapse: collapse; width: 100%; }}
  th, td {{ text-align: left; vertical-align: top; padding: .25rem .5rem; overflow-wrap: anywhere;
           border-top: 1px solid #8884; font-weight: normal; }}
  th {{ white-space: nowrap; width: 1%; padding-right: 2rem; }}
  .identity {{ background: #4a83; }}
  .identity th {{ font-weight: bold; }}
</style>
<h1>{app}</h1>
<p>Hello, <b id="user">{user}</b>. This app knows you by these headers.
<p><a href="/.portcullis/logout">Sign out</a>
<table>
<tr><th>{method}<td>{target}
{rows}</table>
<script type="application/json" id="request">{json}</script>
</html>
"#,
        app = html::escape(&seen.app),
        user = html::escape(user),
        method = html::escape(&seen.method),
        target = html::escape(&seen.target),
        json = json.replace('<', "\\u003c"),
    )
}
