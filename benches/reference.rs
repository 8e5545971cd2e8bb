//! What we are compared with: the least that could answer in our place. Each is an actix server with our settings, one
//! worker and the very headers of an answer of ours.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::web::{Bytes, Data, to};
use actix_web::{App, Handler, HttpResponse, HttpServer, rt};
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, AsyncConnectionConfig, Client, RedisResult};
use tokio::sync::OnceCell;

use crate::client::{self, Answer};
use crate::kit::child::Running;
use crate::kit::{Failure, Result, ports};
use crate::machine;
use crate::service::get;

/// As the service has it.
const KEEP_ALIVE: Duration = Duration::from_secs(150);

/// What actix writes itself.
const FRAMING: [&str; 4] = ["connection", "content-length", "date", "transfer-encoding"];

const START_LIMIT: Duration = Duration::from_secs(10);

/// Which one.
pub enum Kind<'a> {
    /// Answers at once.
    Bare,
    /// Answers after one `GET` of a key that is there: one of those that `keys` lists, drawn at random.
    Redis { url: &'a str, keys: &'a Path },
    /// An app: a page of so many bytes, on the load's core.
    Page(usize),
}

/// One that runs.
pub struct Reference {
    pub running: Running,
    pub port: u16,
}

impl Reference {
    /// Starts one that answers as `answer` did.
    pub async fn start(
        folder: &Path,
        name: &str,
        kind: &Kind<'_>,
        answer: &Answer,
    ) -> Result<Self> {
        let headers = folder.join(format!("{name}.headers"));
        let lines = answer
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\n"));
        std::fs::write(&headers, lines.collect::<String>())
            .map_err(Failure::of(headers.display()))?;
        let core = match kind {
            Kind::Page(_) => machine::LOAD,
            Kind::Bare | Kind::Redis { .. } => machine::MEASURED,
        };
        let this = std::env::current_exe().map_err(Failure::of("this program"))?;
        let program = machine::pinned(folder, core, &this)?;
        let (port, log) = (ports::free(), folder.join(format!("{name}.log")));
        let mut running = Running::start(name, &program, &log, |command| {
            command.args(["reference", &port.to_string()]).arg(&headers);
            match kind {
                Kind::Bare => command.arg("bare"),
                Kind::Redis { url, keys } => command.arg("redis").arg(url).arg(keys),
                Kind::Page(bytes) => command.args(["page", &bytes.to_string()]),
            };
        })?;
        let answers = || async { client::ask(port, &get("/verify")).map(drop) };
        running.wait_for(START_LIMIT, answers).await?;
        Ok(Self { running, port })
    }
}

/// The program that [`Reference::start`] starts.
pub fn serve(arguments: &[&str]) -> Result<()> {
    let [port, headers, kind @ ..] = arguments else {
        return Err(Failure::new(
            "a port, a file of headers, and which reference",
        ));
    };
    let port = port.parse().map_err(Failure::of("port"))?;
    let headers = read_headers(Path::new(headers))?;
    let bare = |bytes: usize| Bare {
        headers,
        body: Bytes::from("x".repeat(bytes)),
    };
    match kind {
        ["bare"] => run(port, bare(0), answer_at_once),
        ["page", bytes] => {
            let bytes = bytes.parse().map_err(Failure::of("bytes"))?;
            run(port, bare(bytes), answer_at_once)
        }
        ["redis", url, keys] => {
            let keys = std::fs::read_to_string(keys).map_err(Failure::of(keys))?;
            let looking = Looking {
                bare: bare(0),
                client: Client::open(*url).map_err(Failure::of("Redis"))?,
                connection: OnceCell::new(),
                keys: Keys::of(keys),
            };
            run(port, looking, answer_after_a_look)
        }
        _ => Err(Failure::new("no such reference")),
    }
}

fn run<S, F>(port: u16, state: S, handler: F) -> Result<()>
where
    S: Send + Sync + 'static,
    F: Handler<(Data<S>,), Output = HttpResponse> + Send + Sync,
{
    let state = Data::new(state);
    let app = move || {
        App::new()
            .app_data(Data::clone(&state))
            .default_service(to(handler.clone()))
    };
    rt::System::new()
        .block_on(async {
            HttpServer::new(app)
                .workers(1)
                .keep_alive(KEEP_ALIVE)
                .bind((Ipv4Addr::LOCALHOST, port))?
                .run()
                .await
        })
        .map_err(Failure::of("server"))
}

struct Bare {
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
}

impl Bare {
    fn answer(&self) -> HttpResponse {
        let mut response = HttpResponse::Ok().body(self.body.clone());
        let headers = response.headers_mut();
        for (name, value) in &self.headers {
            headers.append(name.clone(), value.clone());
        }
        response
    }
}

async fn answer_at_once(bare: Data<Bare>) -> HttpResponse {
    bare.answer()
}

struct Looking {
    bare: Bare,
    client: Client,
    /// Made by the first who asks, in the worker's own runtime.
    connection: OnceCell<MultiplexedConnection>,
    keys: Keys,
}

async fn answer_after_a_look(looking: Data<Looking>) -> HttpResponse {
    match looking.look().await {
        Ok(true) => looking.bare.answer(),
        Ok(false) | Err(_) => HttpResponse::InternalServerError().finish(),
    }
}

impl Looking {
    async fn look(&self) -> RedisResult<bool> {
        let connect = || async {
            let config = AsyncConnectionConfig::new().set_response_timeout(None);
            let client = &self.client;
            client
                .get_multiplexed_async_connection_with_config(&config)
                .await
        };
        let mut connection = self.connection.get_or_try_init(connect).await?.clone();
        let found: Option<Vec<u8>> = connection.get(self.keys.draw()).await?;
        Ok(found.is_some())
    }
}

/// Names of one length, each on a line.
struct Keys {
    text: String,
    length: usize,
    drawn: AtomicU64,
}

impl Keys {
    fn of(text: String) -> Self {
        Self {
            length: text.find('\n').unwrap_or(text.len()),
            text,
            drawn: AtomicU64::new(0),
        }
    }

    /// One of them: `splitmix64` over a count, which costs next to nothing.
    fn draw(&self) -> &str {
        let count = self.drawn.fetch_add(1, Ordering::Relaxed);
        let mut bits = count.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        let lines = self.text.len() / (self.length + 1);
        let line = usize::try_from(bits % lines.max(1) as u64).unwrap_or(0);
        let begin = line * (self.length + 1);
        &self.text[begin..begin + self.length]
    }
}

fn read_headers(file: &Path) -> Result<Vec<(HeaderName, HeaderValue)>> {
    let text = std::fs::read_to_string(file).map_err(Failure::of(file.display()))?;
    let headers = text.lines().filter_map(|line| line.split_once(": "));
    let ours = headers.filter(|(name, _)| !FRAMING.contains(&name.to_ascii_lowercase().as_str()));
    ours.map(|(name, value)| {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(Failure::of("header"))?;
        let value = HeaderValue::from_bytes(value.as_bytes()).map_err(Failure::of("header"))?;
        Ok((name, value))
    })
    .collect()
}
