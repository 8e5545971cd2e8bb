//! Too many at once: connections, slow clients, logins, and those who hang up. Whoever is signed in goes on, and nothing is
//! left of it afterwards.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::kit::fault::{Endpoint, Fault};
use crate::kit::gate::plain_client;
use crate::kit::redis_server::RedisServer;
use crate::kit::relay::{Relay, Weather};
use crate::kit::{Failure, Result};
use crate::ledger::Route;
use crate::load::Load;
use crate::provider::Own;
use crate::scenarios::Outcome;
use crate::scenarios::redis::{MOST_CONNECTIONS, MOST_MEMORY, plan};
use crate::seen::{Expect, Seen};
use crate::service::{Plan, Service};
use crate::sockets::connections_to;
use crate::stage::{DECISION_LIMIT, LOGIN_LIMIT, MARGIN, RECOVERY_LIMIT, Stage};

/// Who asks meanwhile, and how long each waits after an answer.
const PEOPLE: usize = 4;
const PAUSE: Duration = Duration::from_millis(10);
/// In which 99 of 100 answers come for who is signed in, whoever else is there.
const PACE: Duration = Duration::from_millis(200);
const PACE_IN_FLOOD: Duration = Duration::from_millis(100);
/// In the brief form, beside other tests on the same machine, in as many times that.
const BRIEF_FACTOR: usize = 5;
/// So long a head may take, and a body.
const HEAD_LIMIT: Duration = Duration::from_secs(5);
const BODY_LIMIT: Duration = Duration::from_secs(10);
/// Open files more than before that are no leak: connections of the visitors come and go.
const FILES_SPARE: usize = 32;
/// What a connection takes, which is kept for later ones (`docs/how-it-works.md`).
const CONNECTION_KIB: usize = 20;
/// What one takes beside that whose client does not read: each of them once, however often they come.
const UNREAD_KIB: usize = 80;
/// So many files are left to a service that has too few; and more where the visitors come more often, by a proxy that opens
/// a connection for each.
const FEW_FILES: usize = 64;
const FILES_FOR_MORE: usize = 192;
/// Once there are files again, connections that were given up meanwhile are in the way: as many of them as there are files
/// are taken every half second.
const FILES_RECOVERY_LIMIT: Duration = Duration::from_secs(15);
/// Caddy gives up after five seconds and one. Traefik does not, and the visitors do.
const PROXY_LIMIT: Duration = Duration::from_secs(12);

/// Thousands of connections within a second, and then clients that send their heads or bodies byte by byte, or do not read
/// what they are sent.
pub async fn connections(stage: &mut Stage) -> Result<Outcome> {
    let plan = Plan {
        // As systemd has it: the service has to ask for more.
        launcher: ["sh", "-c", "ulimit -S -n 1024; exec \"$@\"", "sh"]
            .map(str::to_owned)
            .to_vec(),
        ..stage.plan()
    };
    let mut service = stage.start(&plan).await?;
    stage.gather().await?;
    stage.watch().await?;
    let (files, before) = (service.open_files()?, service.memory_kib()?);
    let mut remarks = Vec::new();
    let count = stage.rounds(2_000, 10_000).min(most_connections());
    let mut memory = Vec::new();
    for _ in 0..3 {
        stage.fault(Expect::CALM);
        let load = loads(stage)?;
        let held = storm(stage, count).await;
        stage.hold(stage.time(1.5, 10.0)).await;
        let many = service.open_files()?;
        if many < files + held.len() / 2 {
            return Err(Failure(format!("{many} files open beside {}", held.len())));
        }
        remarks.push(format!(
            "{} connections: {}",
            held.len(),
            pace_within(stage, PACE, load).await?
        ));
        drop(held);
        files_back(&mut service, files, RECOVERY_LIMIT).await?;
        memory.push(service.memory_kib()?);
    }
    // What one storm needed, the next one finds there.
    let most = before + count * CONNECTION_KIB + MOST_MEMORY / 4;
    if memory.iter().any(|memory| *memory > most) {
        return Err(Failure(format!(
            "memory was {before} KiB, {memory:?} after storms, and {most} is too much"
        )));
    }
    let slow = stage.rounds(200, 1_000).min(most_connections());
    for kind in [Slow::Head, Slow::Body, Slow::Reader, Slow::Reader] {
        stage.fault(Expect::CALM);
        let load = loads(stage)?;
        let took = kind.crowd(stage, slow).await?;
        remarks.push(format!(
            "{slow} {kind:?}: {took:.1?}, {}",
            pace_within(stage, PACE, load).await?
        ));
        files_back(&mut service, files, RECOVERY_LIMIT).await?;
    }
    stage.recover(Expect::CALM).await?;
    memory.push(service.memory_kib()?);
    let most = most + slow * UNREAD_KIB;
    if memory.iter().any(|memory| *memory > most) {
        return Err(Failure(format!(
            "memory was {before} KiB, then {memory:?}, and {most} is too much"
        )));
    }
    stage.conclude(DECISION_LIMIT + MARGIN)?;
    Outcome::held(format!(
        "{}; memory {before}, then {memory:?} KiB",
        remarks.join("; ")
    ))
}

/// Both ways of somebody who is signed in.
fn loads(stage: &Stage) -> Result<[Load; 2]> {
    Ok([
        Load::start(stage, Route::Direct, PEOPLE, PAUSE)?,
        Load::start(stage, Route::Caddy, PEOPLE, PAUSE)?,
    ])
}

/// Holds what both saw against what must be: everybody passed who may, and 99 of 100 within `bound`.
async fn pace_within(
    stage: &Stage,
    bound: Duration,
    [direct, by_caddy]: [Load; 2],
) -> Result<String> {
    let (direct, by_caddy) = (direct.end().await?, by_caddy.end().await?);
    let factor = u32::try_from(stage.rounds(BRIEF_FACTOR, 1)).map_err(Failure::new)?;
    for tally in [&direct, &by_caddy] {
        tally.must_pass(1.0)?;
        tally.must_take(bound * factor)?;
    }
    Ok(format!("{}; by Caddy {}", direct.pace(), by_caddy.pace()))
}

/// What this process may have open, less what it needs.
fn most_connections() -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(limit).map_or(usize::MAX, |limit| limit.saturating_sub(1_000))
}

fn listener(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// So many connections within a second, to the proxies' listener and the portal's by turns. Every other one asks for
/// something, and all are kept.
async fn storm(stage: &Stage, count: usize) -> Vec<TcpStream> {
    let ports = [stage.slot.ports.verify, stage.slot.ports.portal];
    let began = tokio::time::Instant::now();
    let mut connecting = JoinSet::new();
    for number in 0..count {
        let address = listener(ports[number % 2]);
        let due = began
            + Duration::from_secs(1) * u32::try_from(number).unwrap_or(0)
                / u32::try_from(count).unwrap_or(1);
        connecting.spawn(async move {
            tokio::time::sleep_until(due).await;
            let mut stream = TcpStream::connect(address).await.ok()?;
            if number % 4 < 2 {
                let asked = stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
                asked.ok()?;
            }
            Some(stream)
        });
    }
    let streams = connecting.join_all().await;
    streams.into_iter().flatten().collect()
}

/// Waits until what was opened is closed again.
pub(super) async fn files_back(
    service: &mut Service,
    before: usize,
    limit: Duration,
) -> Result<()> {
    let begun = Instant::now();
    loop {
        let open = service.open_files()?;
        if open <= before + FILES_SPARE {
            return Ok(());
        }
        if begun.elapsed() > limit + MARGIN {
            return Err(Failure(format!("{open} files open, and {before} before")));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What a client is slow with.
#[derive(Clone, Copy, Debug)]
enum Slow {
    Head,
    Body,
    Reader,
}

impl Slow {
    /// So many such clients at once. Tells how long the last one of them was put up with.
    async fn crowd(self, stage: &Stage, count: usize) -> Result<Duration> {
        let ports = stage.slot.ports;
        let mut clients = JoinSet::new();
        for number in 0..count {
            let port = match self {
                Self::Head if number % 2 == 0 => ports.verify,
                _ => ports.portal,
            };
            clients.spawn(self.one(listener(port)));
        }
        let mut slowest = Duration::ZERO;
        while let Some(client) = clients.join_next().await {
            slowest = slowest.max(client.map_err(Failure::new)??);
        }
        let limit = match self {
            Self::Head => HEAD_LIMIT,
            Self::Body => BODY_LIMIT,
            // As long as it likes: it leaves by itself.
            Self::Reader => Duration::MAX,
        };
        if slowest > limit.saturating_add(2 * MARGIN) {
            return Err(Failure(format!("{self:?} was put up with for {slowest:?}")));
        }
        Ok(slowest)
    }

    async fn one(self, address: SocketAddr) -> Result<Duration> {
        let socket = TcpSocket::new_v4().map_err(Failure::of("socket"))?;
        if let Self::Reader = self {
            let small = socket.set_recv_buffer_size(1_024);
            small.map_err(Failure::of("socket"))?;
        }
        let connected = socket.connect(address).await;
        let mut stream = connected.map_err(Failure::of("connection"))?;
        let begun = Instant::now();
        let beginning: Vec<u8> = match self {
            Self::Head => b"GET / HTTP/1.1\r\nHost: x\r\n".to_vec(),
            Self::Body => b"POST /backchannel-logout HTTP/1.1\r\nHost: x\r\n\
                Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 4000\r\n\r\nlogout_token="
                .to_vec(),
            Self::Reader => b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100),
        };
        // It may be closed before all is written, or not be taken.
        let writing = stream.write_all(&beginning);
        let _ = tokio::time::timeout(Duration::from_secs(1), writing).await;
        let drip: &[u8] = match self {
            Self::Head => b"X-A: 1\r\n",
            Self::Body => b"x",
            Self::Reader => {
                tokio::time::sleep(Duration::from_secs(3)).await;
                return Ok(begun.elapsed());
            }
        };
        let mut answer = Vec::new();
        while begun.elapsed() < 2 * BODY_LIMIT {
            tokio::select! {
                read = stream.read_buf(&mut answer) => match read {
                    Ok(1..) => {}
                    _ => break,
                },
                () = tokio::time::sleep(Duration::from_millis(500)) => {
                    let _ = stream.write_all(drip).await;
                }
            }
        }
        let begins = String::from_utf8_lossy(&answer[..answer.len().min(12)]).into_owned();
        if begins.is_empty() || begins.starts_with("HTTP/1.1 4") {
            return Ok(begun.elapsed());
        }
        Err(Failure(format!("{self:?} was answered `{begins}`")))
    }
}

/// It may not open more files than it has, nearly, and more clients come than that.
pub async fn few_files(stage: &mut Stage) -> Result<Outcome> {
    let redis = RedisServer::start();
    let mut service = stage.start(&plan(stage, &redis.url())).await?;
    stage.gather().await?;
    stage.watch().await?;
    let open = service.open_files()?;
    let limit = open + stage.rounds(FEW_FILES, FILES_FOR_MORE);
    stage.changing();
    let process = i32::try_from(service.running()?.id()).map_err(Failure::new)?;
    let few = u64::try_from(limit).map_err(Failure::new)?;
    let rlimit = Rlimit {
        current: Some(few),
        maximum: Some(few),
    };
    prlimit(Pid::from_raw(process), Resource::Nofile, rlimit).map_err(Failure::of("prlimit"))?;
    let held = storm(stage, 600).await;
    stage.fault(Expect {
        valid: &[Seen::Pass, Seen::Unavailable, Seen::NoGate, Seen::NoAnswer],
        groupless: &[
            Seen::Forbidden,
            Seen::Unavailable,
            Seen::NoGate,
            Seen::NoAnswer,
        ],
        logged_out: &[
            Seen::SignIn,
            Seen::Unavailable,
            Seen::NoGate,
            Seen::NoAnswer,
        ],
        anonymous: &[Seen::SignIn, Seen::NoGate, Seen::NoAnswer],
        bypassed: &[Seen::Pass, Seen::NoGate, Seen::NoAnswer],
    });
    // What the storm itself took is over then.
    stage.hold(Duration::from_millis(500)).await;
    let (before, begun) = (service.processor_time()?, Instant::now());
    stage.hold(stage.time(2.5, 20.0)).await;
    let took = service.processor_time()?.saturating_sub(before);
    let share = took.as_secs_f64() / begun.elapsed().as_secs_f64();
    let most = service.open_files()?;
    if share > 0.5 {
        return Err(Failure(format!("it took {share:.2} of a processor")));
    }
    if most + FILES_SPARE < limit {
        return Err(Failure(format!("{most} of {limit} files are open")));
    }
    stage.changing();
    let connections = held.len();
    drop(held);
    let back = stage.until_calm(Expect::CALM, FILES_RECOVERY_LIMIT).await?;
    service.expect_health(200, 200).await?;
    stage.signed_in("ben", 200).await?;
    service.running()?;
    stage.conclude(PROXY_LIMIT + MARGIN)?;
    Outcome::held(format!(
        "{most} of {limit} files open beside {connections} connections, {:.0} % of a processor; back after {back:.1?}",
        share * 100.0
    ))
}

/// Hundreds begin a login each second and come back with codes that are none.
pub async fn logins(stage: &mut Stage) -> Result<Outcome> {
    let own = Own::start(stage).await?;
    let mut service = stage.start(&own.plan(stage)).await?;
    stage.gather().await?;
    stage.watch().await?;
    let before = service.memory_kib()?;
    let refused = Fault::Instead {
        status: "400 Bad Request",
        headers: "Content-Type: application/json\r\n",
        body: br#"{"error":"invalid_grant"}"#.to_vec(),
    };
    own.proxy.set(Endpoint::Token, refused);
    stage.fault(Expect::CALM);
    let load = loads(stage)?;
    let rate = stage.rounds(50, 200);
    let count = rate * stage.rounds(3, 20);
    let (client, port) = (plain_client()?, stage.slot.ports.portal);
    let began = tokio::time::Instant::now();
    let logins = (0..count).map(|number| {
        let nanoseconds = 1_000_000_000 * number as u64 / rate as u64;
        let due = began + Duration::from_nanos(nanoseconds);
        let client = client.clone();
        async move {
            tokio::time::sleep_until(due).await;
            login_in_vain(&client, port, number).await
        }
    });
    let mut ended = futures_util::stream::iter(logins).buffer_unordered(rate);
    let mut statuses = std::collections::BTreeMap::<u16, usize>::new();
    while let Some(status) = ended.next().await {
        *statuses.entry(status?).or_default() += 1;
    }
    let took = began.elapsed();
    let pace = pace_within(stage, PACE_IN_FLOOD, load).await?;
    own.proxy.clear();
    stage.recover(Expect::CALM).await?;
    stage.signed_in("ben", 200).await?;
    let grown = service.memory_kib()?.saturating_sub(before);
    if grown > MOST_MEMORY {
        return Err(Failure(format!("memory grew by {grown} KiB")));
    }
    service.running()?;
    stage.conclude(DECISION_LIMIT + MARGIN)?;
    Outcome::held(format!(
        "{count} logins in {took:.1?}, ended with {statuses:?}; {pace}; memory grew by {grown} KiB"
    ))
}

/// Begins a login from an address of its own and comes back. Nobody is signed in by that; tells the status.
async fn login_in_vain(client: &reqwest::Client, port: u16, number: usize) -> Result<u16> {
    let back = Back::of(client, port, number).await?;
    let answer = client
        .get(format!("http://127.0.0.1:{port}{}", back.path))
        .header("x-forwarded-for", back.from)
        .header(COOKIE, back.cookie)
        .send()
        .await;
    let status = answer.map_err(Failure::of("callback"))?.status().as_u16();
    match status {
        400..=499 | 503 => Ok(status),
        _ => Err(Failure(format!("a login in vain ended with {status}"))),
    }
}

/// A login that is begun, from an address of its own, and comes back with a code that is none.
struct Back {
    from: String,
    cookie: String,
    path: String,
}

impl Back {
    async fn of(client: &reqwest::Client, port: u16, number: usize) -> Result<Self> {
        let [_, a, b, c] = u32::try_from(number).unwrap_or(0).to_be_bytes();
        let from = format!("10.{a}.{b}.{c}");
        let request = client
            .get(format!("http://127.0.0.1:{port}/login"))
            .header("x-forwarded-for", &from);
        let begun = request.send().await.map_err(Failure::of("login"))?;
        let text = |name| {
            let value = begun.headers().get(name);
            value
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
        };
        let url = url::Url::parse(text(LOCATION)).map_err(Failure::of(begun.status()))?;
        let parameter = url.query_pairs().find(|(name, _)| name == "state");
        let (_, state) = parameter.ok_or_else(|| Failure::new("a login without a state"))?;
        let cookie = text(SET_COOKIE).split(';').next().unwrap_or_default();
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query
            .append_pair("code", "some-code")
            .append_pair("state", &state)
            .append_pair("iss", &url.origin().ascii_serialization());
        Ok(Self {
            from,
            cookie: cookie.to_owned(),
            path: format!("/callback?{}", query.finish()),
        })
    }
}

/// Clients hang up while they wait for an answer: at the store, at the provider, or with a request half sent.
pub async fn hanging_up(stage: &mut Stage) -> Result<Outcome> {
    let redis = RedisServer::start();
    let relay = Relay::start(redis.port)
        .await
        .map_err(Failure::of("relay"))?;
    // So that each request of who is signed in waits for the store.
    redis.ask(&["ACL", "SETUSER", "default", "-client|tracking"]);
    let own = Own::start(stage).await?;
    let plan = Plan {
        store: format!("redis://{}/0", relay.address),
        ..own.plan(stage)
    };
    let mut service = stage.start(&plan).await?;
    stage.gather().await?;
    stage.watch().await?;
    let (files, before) = (service.open_files()?, service.memory_kib()?);
    let keys = redis.ask(&["DBSIZE"]);
    own.proxy.set(Endpoint::Token, Fault::Hang);
    relay.set(Weather::Slow {
        late: Duration::from_millis(50),
        lost_percent: 0,
    });
    stage.fault(Expect::CALM);
    let count = stage.rounds(300, 1_000);
    for round in 0..stage.rounds(1, 5) {
        let requests = requests_to_leave(stage, count / 10, round).await?;
        let leaving = (0..count).map(|number| {
            let (port, text) = requests[number % requests.len()].clone();
            leave(port, text, number)
        });
        let mut left = futures_util::stream::iter(leaving).buffer_unordered(64);
        while let Some(left) = left.next().await {
            left?;
        }
    }
    own.proxy.clear();
    relay.set(Weather::Fine);
    stage.recover(Expect::CALM).await?;
    // What was asked of the provider is waited for, whoever has left.
    files_back(&mut service, files, LOGIN_LIMIT).await?;
    let connections = connections_to(relay.address.port());
    if connections > MOST_CONNECTIONS {
        return Err(Failure(format!("{connections} connections to Redis")));
    }
    let left = redis.ask(&["DBSIZE"]);
    if left != keys {
        return Err(Failure(format!("{left} keys in Redis, and {keys} before")));
    }
    let grown = service.memory_kib()?.saturating_sub(before);
    if grown > MOST_MEMORY {
        return Err(Failure(format!("memory grew by {grown} KiB")));
    }
    stage.signed_in("ben", 200).await?;
    service.running()?;
    stage.conclude(DECISION_LIMIT + MARGIN)?;
    Outcome::held(format!(
        "{count} at a time; no file, connection or record is left; memory grew by {grown} KiB"
    ))
}

/// Where to send what, and leave: questions of who is signed in, logins that come back, and requests that are not whole.
async fn requests_to_leave(
    stage: &Stage,
    logins: usize,
    round: usize,
) -> Result<Vec<(u16, String)>> {
    let (client, ports) = (plain_client()?, stage.slot.ports);
    let valid = &stage.cookies.valid;
    let verify = format!(
        "GET /verify HTTP/1.1\r\nHost: x\r\nX-Forwarded-Method: GET\r\nX-Forwarded-Proto: https\r\n\
         X-Forwarded-Host: {}\r\nX-Forwarded-Uri: /page\r\nX-Forwarded-For: 203.0.113.7\r\nCookie: {valid}\r\n\r\n",
        stage.slot.app_host
    );
    let half = verify[..verify.len() / 2].to_owned();
    let body = "POST /backchannel-logout HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\
        Content-Type: application/x-www-form-urlencoded\r\n\r\nlogout_token="
        .to_owned();
    let mut requests = Vec::new();
    for number in 0..logins {
        let back = Back::of(&client, ports.portal, round * logins + number).await?;
        let back = format!(
            "GET {} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {}\r\nCookie: {}\r\n\r\n",
            back.path, back.from, back.cookie
        );
        for _ in 0..6 {
            requests.push((ports.verify, verify.clone()));
        }
        requests.push((ports.verify, half.clone()));
        requests.push((ports.portal, body.clone()));
        requests.push((ports.portal, back.clone()));
        requests.push((ports.portal, back));
    }
    Ok(requests)
}

/// Sends this, and is gone a moment later without a word.
async fn leave(port: u16, text: String, number: usize) -> Result<()> {
    let connected = TcpStream::connect(listener(port)).await;
    let mut stream = connected.map_err(Failure::of("connection"))?;
    let sent = stream.write_all(text.as_bytes()).await;
    sent.map_err(Failure::of("request"))?;
    let moment = Duration::from_millis((number * 7 % 90) as u64);
    tokio::time::sleep(moment).await;
    // Every other one says goodbye.
    if number.is_multiple_of(2) {
        let _ = stream.set_zero_linger();
    }
    Ok(())
}
