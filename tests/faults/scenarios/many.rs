//! Very many sessions, and very many requests: what is decided stays right, memory stays bounded, and all of it ends by
//! itself.

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use futures_util::StreamExt;
use portcullis::clock::SystemClock;
use portcullis::config::{Config, StoreLocation};
use portcullis::domain::identity::Identity;
use portcullis::domain::redis_settings::RedisSettings;
use portcullis::domain::session::{SessionId, SessionLifetime};
use portcullis::domain::upstream_key::Tokens;
use portcullis::store::redis::RedisStore;
use portcullis::store::sealing::{Keyring, Purpose, random};
use portcullis::store::sessions::{Login, Sessions};
use portcullis::store::{Cursor, Page, Record, RecordKey, Store, StoreError, Version};

use crate::kit::gate::plain_client;
use crate::kit::redis_server::RedisServer;
use crate::kit::{Failure, Result};
use crate::load::quantile;
use crate::proc;
use crate::scenarios::Outcome;
use crate::scenarios::redis::{MOST_MEMORY, plan};
use crate::seen::Expect;
use crate::service::{Plan, Service};
use crate::stage::{DECISION_LIMIT, Extent, MARGIN, Stage};

/// Sessions that are there.
const SOME: usize = 20_000;
const A_MILLION: usize = 1_000_000;
/// One in so many is of somebody without the group.
const GROUPLESS_EVERY: usize = 50;
/// How many sessions each person has.
const EACH: usize = 50;
/// How many of them are asked for.
const ASKED: usize = 1_000;
const AT_ONCE: usize = 8;
/// How long those live that are to end soon.
const SOON: Duration = Duration::from_secs(5);
const PROGRAM: &str = env!("CARGO_BIN_EXE_portcullis");

/// Writes what [`Sessions`] would have Redis keep, as fast as that takes it in: in the words of its protocol, to
/// `redis-cli --pipe`. Nothing is read.
struct Pipe {
    cli: Mutex<Child>,
}

impl Pipe {
    fn to(redis: &RedisServer) -> Result<Self> {
        let cli = Command::new("redis-cli")
            .arg("-s")
            .arg(redis.socket())
            .arg("--pipe")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        Ok(Self {
            cli: Mutex::new(cli.map_err(Failure::of("redis-cli"))?),
        })
    }

    fn cli(&self) -> MutexGuard<'_, Child> {
        self.cli.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, words: &[&[u8]]) -> std::result::Result<(), StoreError> {
        let mut text = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            text.extend(format!("${}\r\n", word.len()).into_bytes());
            text.extend(*word);
            text.extend(b"\r\n");
        }
        let mut cli = self.cli();
        let input = cli.stdin.as_mut();
        let written = input.map(|input| input.write_all(&text));
        match written {
            Some(Ok(())) => Ok(()),
            other => Err(StoreError::Unreachable(format!("{other:?}"))),
        }
    }

    /// Waits until all is taken in.
    fn end(&self) -> Result<()> {
        let mut cli = self.cli();
        drop(cli.stdin.take());
        let mut said = String::new();
        if let Some(mut output) = cli.stdout.take() {
            use std::io::Read;
            output
                .read_to_string(&mut said)
                .map_err(Failure::of("redis-cli"))?;
        }
        let status = cli.wait().map_err(Failure::of("redis-cli"))?;
        if status.success() && said.contains("errors: 0") {
            return Ok(());
        }
        Err(Failure(format!("redis-cli: {status}: {said}")))
    }
}

fn name(key: &RecordKey) -> Vec<u8> {
    format!("portcullis:{}", key.as_str()).into_bytes()
}

#[async_trait]
impl Store for Pipe {
    async fn create(
        &self,
        key: &RecordKey,
        value: &[u8],
        lifetime: Duration,
    ) -> std::result::Result<bool, StoreError> {
        let content = [&random::<8>(), value].concat();
        let lifetime = lifetime.as_millis().to_string();
        self.send(&[b"SET", &name(key), &content, b"PX", lifetime.as_bytes()])?;
        Ok(true)
    }

    async fn enlist(
        &self,
        index: &RecordKey,
        member: &str,
        lifetime: Duration,
    ) -> std::result::Result<(), StoreError> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let end = now.unwrap_or_default() + lifetime;
        let end = end.as_millis().to_string();
        self.send(&[b"ZADD", &name(index), end.as_bytes(), member.as_bytes()])?;
        self.send(&[b"PEXPIREAT", &name(index), end.as_bytes()])
    }

    async fn get(&self, _: &RecordKey) -> std::result::Result<Option<Record>, StoreError> {
        Ok(None)
    }

    async fn replace(
        &self,
        _: &RecordKey,
        _: Version,
        _: &[u8],
        _: Duration,
    ) -> std::result::Result<bool, StoreError> {
        Ok(false)
    }

    async fn prolong(&self, _: &RecordKey, _: Duration) -> std::result::Result<bool, StoreError> {
        Ok(false)
    }

    async fn delete(&self, _: &RecordKey) -> std::result::Result<bool, StoreError> {
        Ok(false)
    }

    async fn delete_version(
        &self,
        _: &RecordKey,
        _: Version,
    ) -> std::result::Result<bool, StoreError> {
        Ok(false)
    }

    async fn delist(&self, _: &RecordKey, _: &str) -> std::result::Result<(), StoreError> {
        Ok(())
    }

    async fn members(&self, _: &RecordKey) -> std::result::Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }

    async fn page(
        &self,
        _: &RecordKey,
        _: Option<&Cursor>,
        _: usize,
    ) -> std::result::Result<Page, StoreError> {
        Ok(Page::default())
    }

    async fn ping(&self) -> std::result::Result<(), StoreError> {
        Ok(())
    }
}

/// What sessions are made of, as another instance of the service knows it.
struct Maker {
    keyring: Arc<Keyring>,
    lifetime: SessionLifetime,
    settings: RedisSettings,
    issuer: String,
}

impl Maker {
    fn of(service: &Service, issuer: &str) -> Result<Self> {
        let config = Config::load(Some(service.config()));
        let config = config.map_err(|_| Failure::new("no configuration"))?;
        let keys = config.session.secret.into_keys().map_err(Failure::new)?;
        let (first, others) = keys.split_first().ok_or_else(|| Failure::new("no key"))?;
        let StoreLocation::Redis(settings) = config.session.store else {
            return Err(Failure::new("not in Redis"));
        };
        Ok(Self {
            keyring: Arc::new(Keyring::new(first, others)),
            lifetime: config.session.lifetime,
            settings,
            issuer: issuer.to_owned(),
        })
    }

    fn sessions(&self, store: Arc<dyn Store>, lifetime: SessionLifetime) -> Sessions {
        let keyring = Arc::clone(&self.keyring);
        Sessions::new(store, keyring, Arc::new(SystemClock), lifetime)
    }

    /// Begins so many sessions of so many people, from the number `first` on.
    fn begin(
        &self,
        redis: &RedisServer,
        (first, count): (usize, usize),
        lifetime: SessionLifetime,
    ) -> Result<Vec<SessionId>> {
        let pipe = Arc::new(Pipe::to(redis)?);
        let sessions = self.sessions(Arc::<Pipe>::clone(&pipe), lifetime);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .map_err(Failure::of("runtime"))?;
        let ids = runtime.block_on(async {
            let before = sessions.endings_so_far().await.map_err(Failure::new)?;
            let mut ids = Vec::with_capacity(count);
            for number in first..first + count {
                let login = self.login(number);
                let begun = sessions.begin(login, before).await;
                ids.push(begun.map_err(Failure::new)?);
            }
            Ok::<_, Failure>(ids)
        })?;
        pipe.end()?;
        Ok(ids)
    }

    fn login(&self, number: usize) -> Login {
        let person = number / EACH;
        let group = if is_member(number) { "media" } else { "guests" };
        Login {
            identity: Identity {
                issuer: self.issuer.clone(),
                subject: format!("person {person}"),
                username: Some(format!("user-{person}")),
                name: Some(format!("Person {person}")),
                email: Some(format!("user-{person}@example.net")),
                groups: vec!["everybody".to_owned(), group.to_owned()],
            },
            tokens: Tokens::default(),
            auth_time: None,
            amr: Vec::new(),
            sid: None,
            expires_in: None,
            nonce: String::new(),
        }
    }

    /// The cookie of a session at an app.
    fn cookie(&self, id: &SessionId, host: &str) -> String {
        let parts: [&[u8]; 2] = [id.as_bytes(), host.as_bytes()];
        let mac = self.keyring.mac(Purpose::HostCookie, &parts);
        let value = BASE64_URL_SAFE_NO_PAD.encode([&id.as_bytes()[..], &mac].concat());
        format!("__Host-portcullis={value}")
    }
}

fn is_member(number: usize) -> bool {
    !number.is_multiple_of(GROUPLESS_EVERY)
}

/// A million sessions live in Redis.
pub async fn sessions(stage: &mut Stage) -> Result<Outcome> {
    let redis = RedisServer::start();
    let socket = stage.folder.path().join("control.sock");
    let plan = Plan {
        server: format!("control_socket = \"{}\"", socket.display()),
        ..plan(stage, &redis.url())
    };
    let mut service = stage.start(&plan).await?;
    stage.gather().await?;
    let keys_before = keys(&redis)?;
    let count = stage.rounds(SOME, A_MILLION);
    let maker = Maker::of(&service, &stage.world.issuer)?;
    let (begun, ids) = (
        Instant::now(),
        begin_all(&maker, &redis, (0, count), maker.lifetime)?,
    );
    let filled = begun.elapsed();
    let people = count / EACH;
    let expected = keys_before + 2 * count + people;
    if keys(&redis)? != expected {
        let found = keys(&redis)?;
        return Err(Failure(format!("{found} keys instead of {expected}")));
    }
    stage.watch().await?;
    let before = service.memory_kib()?;
    stage.fault(Expect::CALM);
    // More than it keeps in memory, spread over all.
    let numbers: Vec<usize> = (0..ASKED).map(|step| (step * 7_919 * 13) % count).collect();
    let some: Vec<(SessionId, u16)> = numbers
        .iter()
        .map(|number| {
            let status = if is_member(*number) { 200 } else { 403 };
            (ids[*number].clone(), status)
        })
        .collect();
    let times = decided(stage, &maker, &some).await?;
    // Some of them end, of which nobody is let in from then on.
    let store = RedisStore::open(maker.settings.clone()).map_err(Failure::new)?;
    let at_redis = maker.sessions(Arc::new(store), maker.lifetime);
    let mut ended = Vec::new();
    for (id, _) in some.iter().take(ASKED / 20) {
        at_redis.end(id).await.map_err(Failure::new)?;
        ended.push((id.clone(), 401));
    }
    decided(stage, &maker, &ended).await?;
    let strangers: Vec<(SessionId, u16)> = (0..ASKED / 10)
        .map(|_| (SessionId::from_bytes(random()), 401))
        .collect();
    decided(stage, &maker, &strangers).await?;
    let listed = list(&socket, stage, count - ended.len()).await?;
    let soon = ends_soon(stage, &maker, &redis).await?;
    let grown = service.memory_kib()?.saturating_sub(before);
    if grown > MOST_MEMORY {
        return Err(Failure(format!("memory grew by {grown} KiB")));
    }
    stage.recover(Expect::CALM).await?;
    service.running()?;
    stage.conclude(DECISION_LIMIT + MARGIN)?;
    Outcome::held(format!(
        "{count} sessions of {people} people, filled in {filled:.0?}; {ASKED} of them decided right, p50 {:.1?}, p99 \
         {:.1?}; listed in {:.1?} with {} KiB; {soon} ended by themselves; memory grew by {grown} KiB",
        quantile(&times, 50),
        quantile(&times, 99),
        listed.0,
        listed.1,
    ))
}

fn keys(redis: &RedisServer) -> Result<usize> {
    redis
        .ask(&["DBSIZE"])
        .parse()
        .map_err(Failure::of("DBSIZE"))
}

/// On two threads: sealing is most of the work.
fn begin_all(
    maker: &Maker,
    redis: &RedisServer,
    (first, count): (usize, usize),
    lifetime: SessionLifetime,
) -> Result<Vec<SessionId>> {
    let half = count / 2;
    std::thread::scope(|scope| {
        let parts = [(first, half), (first + half, count - half)];
        let threads = parts.map(|part| scope.spawn(move || maker.begin(redis, part, lifetime)));
        let mut ids = Vec::with_capacity(count);
        for thread in threads {
            let begun = thread
                .join()
                .map_err(|_| Failure::new("a thread broke down"))?;
            ids.extend(begun?);
        }
        Ok(ids)
    })
}

/// Asks for each of these, and holds the answer against what it must be. Tells how long each took.
async fn decided(
    stage: &Stage,
    maker: &Maker,
    sessions: &[(SessionId, u16)],
) -> Result<Vec<Duration>> {
    let (client, host) = (plain_client()?, &stage.slot.app_host);
    let url = format!("http://127.0.0.1:{}/verify", stage.slot.ports.verify);
    let asked = sessions.iter().map(|(id, status)| {
        let request = client
            .get(&url)
            .header("x-forwarded-method", "GET")
            .header("x-forwarded-proto", "https")
            .header("x-forwarded-host", host)
            .header("x-forwarded-uri", "/page")
            .header("x-forwarded-for", "203.0.113.7")
            .header("sec-fetch-mode", "cors")
            .header("sec-fetch-dest", "empty")
            .header("cookie", maker.cookie(id, host));
        async move {
            let begun = Instant::now();
            let answer = request.send().await.map_err(Failure::of("verify"))?;
            let (took, seen) = (begun.elapsed(), answer.status().as_u16());
            if seen == *status {
                Ok(took)
            } else {
                Err(Failure(format!("{seen} instead of {status}")))
            }
        }
    });
    let mut answers = futures_util::stream::iter(asked).buffer_unordered(AT_ONCE);
    let mut times = Vec::new();
    while let Some(answer) = answers.next().await {
        times.push(answer?);
    }
    times.sort_unstable();
    Ok(times)
}

/// Lists them all. Tells how long that took, and the most memory that the program needed, in KiB.
async fn list(socket: &std::path::Path, stage: &Stage, count: usize) -> Result<(Duration, usize)> {
    let file = stage.folder.path().join("listed");
    let output = std::fs::File::create(&file).map_err(Failure::of("listed"))?;
    let begun = Instant::now();
    let mut listing = Command::new(PROGRAM)
        .args(["sessions", "list", "--json", "--socket"])
        .arg(socket)
        .stdout(output)
        .spawn()
        .map_err(Failure::of("sessions list"))?;
    let mut most = 0;
    let status = loop {
        if let Some(status) = listing.try_wait().map_err(Failure::of("sessions list"))? {
            break status;
        }
        most = most.max(proc::memory_kib(listing.id()).unwrap_or(0));
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let took = begun.elapsed();
    let text = std::fs::read_to_string(&file).map_err(Failure::of("listed"))?;
    let lines = text
        .lines()
        .filter(|line| line.contains("\"subject\""))
        .count();
    if !status.success() || lines < count {
        return Err(Failure(format!("{status}, and {lines} lines of {count}")));
    }
    // What is shown once must not be shown twice, so ids are remembered.
    let bound = MOST_MEMORY + count * 160 / 1_024;
    if most > bound {
        return Err(Failure(format!("a list took {most} KiB")));
    }
    Ok((took, most))
}

/// Sessions that do not live long: Redis is without them soon. Tells how many.
async fn ends_soon(stage: &Stage, maker: &Maker, redis: &RedisServer) -> Result<usize> {
    let before = keys(redis)?;
    let lifetime = SessionLifetime {
        idle: SOON,
        absolute: SOON,
    };
    let count = stage.rounds(1_000, 2_000);
    let first = A_MILLION;
    let ids = begin_all(maker, redis, (first, count), lifetime)?;
    let begun = Instant::now();
    if stage.extent == Extent::Brief && keys(redis)? < before + count {
        return Err(Failure::new("they are not there"));
    }
    tokio::time::sleep_until((begun + SOON).into()).await;
    // Of few among many it keeps what has ended until somebody comes across it.
    let walk = format!("redis-cli -s '{}' --scan | wc -l", redis.socket().display());
    let walked =
        tokio::task::spawn_blocking(move || Command::new("sh").args(["-c", &walk]).output());
    let walked = walked.await.map_err(Failure::of("walk"))?;
    let walked = walked.map_err(Failure::of("walk"))?;
    let left = keys(redis)?;
    if left > before {
        let walked = String::from_utf8_lossy(&walked.stdout).into_owned();
        return Err(Failure(format!(
            "{left} keys, and {before} before; {walked} come across"
        )));
    }
    let some: Vec<(SessionId, u16)> = ids.into_iter().take(100).map(|id| (id, 401)).collect();
    decided(stage, maker, &some).await?;
    Ok(count)
}
