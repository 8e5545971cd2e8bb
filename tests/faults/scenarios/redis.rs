//! Redis is not there, does not answer, refuses, or has forgotten. Whoever is signed in is told so, and never sent to
//! sign in again for that.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufStream};
use tokio::net::TcpStream;

use crate::kit::page::Page;
use crate::kit::provider::write_secret;
use crate::kit::redis_server::RedisServer;
use crate::kit::relay::{Relay, Weather};
use crate::kit::{Failure, Result};
use crate::ledger::Route;
use crate::load::Load;
use crate::provider::{Login, expect_page};
use crate::scenarios::Outcome;
use crate::scenarios::crowds::files_back;
use crate::seen::Expect;
use crate::service::{Plan, Service};
use crate::sockets::connections_to;
use crate::stage::{DECISION_LIMIT, MARGIN, NOTICE_LIMIT, RECOVERY_LIMIT, START_LIMIT, Stage};

/// What somebody is told whose session could not be stored.
pub(super) const NOT_STORED: &str = "You are not signed in";
const NOT_NOW: &str = "Not available right now";
/// What an outage may leave behind in memory, in KiB.
pub(super) const MOST_MEMORY: usize = 50 * 1024;
/// Three are kept, and others may just be tried.
pub(super) const MOST_CONNECTIONS: usize = 6;

/// A Redis that loses nothing by being killed.
fn durable() -> RedisServer {
    RedisServer::start_with(|_, port| {
        let words = ["--appendonly", "yes", "--appendfsync", "always", "--port"];
        let mut words = words.map(str::to_owned).to_vec();
        words.push(port.to_string());
        words
    })
}

pub(super) fn plan(stage: &Stage, url: &str) -> Plan {
    Plan {
        store: url.to_owned(),
        ..stage.plan()
    }
}

/// A Lua script over all keys of a kind, run within Redis.
pub(super) fn each_key(redis: &RedisServer, pattern: &str, body: &str) -> Result<()> {
    let script = format!(
        "local n = 0; for _, key in ipairs(redis.call('KEYS', '{pattern}')) do {body}; n = n + 1 end; return n"
    );
    let answer = redis.ask(&["EVAL", &script, "0"]);
    match answer.parse::<usize>() {
        Ok(1..) => Ok(()),
        _ => Err(Failure(format!("nothing was changed in Redis: {answer}"))),
    }
}

/// It is not there when the service starts.
pub async fn down_at_start(stage: &mut Stage) -> Result<Outcome> {
    let mut redis = durable();
    let plan = plan(stage, &redis.url());
    let mut service = stage.start(&plan).await?;
    stage.gather().await?;
    service.stop();
    redis.kill();
    let up = service.start(&plan).await?;
    if up > START_LIMIT + MARGIN {
        return Err(Failure(format!("it took {up:?} to come up")));
    }
    stage.watch_expecting(Expect::STORE_DOWN)?;
    stage.fault(Expect::STORE_DOWN);
    service.expect_health(200, 503).await?;
    stage.hold(stage.time(1.5, 20.0)).await;
    service.expect_health(200, 503).await?;
    stage.changing();
    redis.restart();
    let ready = service.ready_within(RECOVERY_LIMIT).await?;
    stage.until_calm(Expect::CALM, RECOVERY_LIMIT).await?;
    service.running()?;
    stage.conclude(DECISION_LIMIT + MARGIN)?;
    Outcome::held(format!("up after {up:.1?}; ready {ready:.1?} after Redis"))
}

/// It is killed and comes back with what it had.
pub async fn killed(stage: &mut Stage) -> Result<Outcome> {
    let mut redis = durable();
    let mut service = stage.start(&plan(stage, &redis.url())).await?;
    stage.gather().await?;
    let browser = stage.signed_in("ben", 200).await?;
    stage.watch().await?;
    stage.changing();
    redis.kill();
    stage.hold(NOTICE_LIMIT).await;
    stage.fault(Expect::STORE_DOWN);
    let (page, _) = stage.step(&browser, &stage.app_url("/page")).await?;
    expect_page(&page, 503, NOT_NOW)?;
    service.expect_health(200, 503).await?;
    stage.hold(stage.time(1.5, 20.0)).await;
    stage.changing();
    redis.restart();
    stage.recover(Expect::CALM).await?;
    let (page, _) = stage.step(&browser, &stage.app_url("/page")).await?;
    expect_page(&page, 200, "app:ben")?;
    service.running()?;
    stage.conclude(DECISION_LIMIT + MARGIN)?;
    Outcome::held("the same session goes on")
}

/// It comes back empty.
pub async fn empty(stage: &mut Stage) -> Result<Outcome> {
    let mut redis = RedisServer::start();
    let mut service = stage.start(&plan(stage, &redis.url())).await?;
    stage.gather().await?;
    let browser = stage.signed_in("ben", 200).await?;
    stage.watch().await?;
    stage.changing();
    redis.kill();
    redis.restart();
    stage.recover(Expect::SIGNED_OUT).await?;
    stage.fault(Expect::SIGNED_OUT);
    // The provider still knows the person: nothing is to be done but to be sent there and back, once.
    let page = browser.navigate(&stage.app_url("/page")).await?;
    expect_page(&page, 200, "app:ben")?;
    let logins = page
        .hops
        .iter()
        .filter(|hop| hop.url.path() == "/login")
        .count();
    let (page, _) = stage.step(&browser, &stage.app_url("/page")).await?;
    expect_page(&page, 200, "app:ben")?;
    if logins != 1 {
        return Err(Failure(format!("{logins} logins instead of one")));
    }
    stage.hold(stage.time(0.5, 5.0)).await;
    service.running()?;
    stage.conclude(DECISION_LIMIT + MARGIN)?;
    Outcome::held("one login, without a question; the old cookies are replaced")
}

/// It halts, with its connections open.
pub async fn frozen(stage: &mut Stage) -> Result<Outcome> {
    let redis = RedisServer::start();
    let mut service = stage.start(&plan(stage, &redis.url())).await?;
    stage.gather().await?;
    stage.watch().await?;
    let (before, files) = (service.memory_kib()?, service.open_files()?);
    stage.changing();
    redis.freeze();
    stage.hold(NOTICE_LIMIT).await;
    stage.fault(Expect::STORE_DOWN);
    stage.hold(stage.time(2.5, 60.0)).await;
    service.expect_health(200, 503).await?;
    // Nothing waits for it: neither requests nor connections add up.
    let open = connections_to(redis.port);
    if open > MOST_CONNECTIONS {
        return Err(Failure(format!("{open} connections to Redis")));
    }
    stage.changing();
    redis.thaw();
    stage.recover(Expect::CALM).await?;
    let grown = memory_grown(&mut service, before)?;
    files_back(&mut service, files, RECOVERY_LIMIT).await?;
    stage.conclude(DECISION_LIMIT + MARGIN)?;
    Outcome::held(format!(
        "{open} connections to Redis at its end; memory grew by {grown} KiB"
    ))
}

fn memory_grown(service: &mut Service, before: usize) -> Result<usize> {
    let grown = service.memory_kib()?.saturating_sub(before);
    if grown > MOST_MEMORY {
        return Err(Failure(format!("memory grew by {grown} KiB")));
    }
    Ok(grown)
}

/// Nothing gets through to it, and nobody is told.
pub async fn silent(stage: &mut Stage) -> Result<Outcome> {
    let redis = RedisServer::start();
    let relay = Relay::start(redis.port)
        .await
        .map_err(Failure::of("relay"))?;
    let mut service = stage.start(&plan(stage, &through(&relay))).await?;
    stage.gather().await?;
    stage.watch().await?;
    let (before, files) = (service.memory_kib()?, service.open_files()?);
    stage.changing();
    relay.set(Weather::Silent);
    stage.hold(NOTICE_LIMIT).await;
    stage.fault(Expect::STORE_DOWN);
    stage.hold(stage.time(2.5, 60.0)).await;
    service.expect_health(200, 503).await?;
    let open = connections_to(relay.address.port());
    if open > MOST_CONNECTIONS {
        return Err(Failure(format!("{open} connections to Redis")));
    }
    stage.changing();
    relay.set(Weather::Fine);
    stage.recover(Expect::CALM).await?;
    let grown = memory_grown(&mut service, before)?;
    files_back(&mut service, files, RECOVERY_LIMIT).await?;
    stage.conclude(DECISION_LIMIT + MARGIN)?;
    Outcome::held(format!(
        "by a relay that hands nothing on; {open} connections to Redis at its end; memory grew by {grown} KiB"
    ))
}

fn through(relay: &Relay) -> String {
    format!("redis://{}/0", relay.address)
}

/// It is far away, over a line that loses something now and then.
pub async fn slow(stage: &mut Stage) -> Result<Outcome> {
    let redis = RedisServer::start();
    // So that nothing is kept, and each request has a session looked up.
    redis.ask(&["ACL", "SETUSER", "default", "-client|tracking"]);
    let relay = Relay::start(redis.port)
        .await
        .map_err(Failure::of("relay"))?;
    let mut service = stage.start(&plan(stage, &through(&relay))).await?;
    stage.gather().await?;
    stage.watch().await?;
    let late = Duration::from_millis(100);
    relay.set(Weather::Slow {
        late,
        lost_percent: 1,
    });
    stage.fault(Expect::CALM);
    let load = Load::start(stage, Route::Direct, 2, Duration::from_millis(20))?;
    let browser = stage.browser()?;
    let (page, took) = stage.sign_in_with(&browser, "ben").await?;
    expect_page(&page, 200, "app:ben")?;
    stage.hold(stage.time(2.5, 60.0)).await;
    let tally = load.end().await?;
    tally.must_pass(1.0)?;
    tally.must_take(DECISION_LIMIT)?;
    relay.set(Weather::Fine);
    stage.recover(Expect::CALM).await?;
    service.running()?;
    stage.conclude(DECISION_LIMIT + MARGIN)?;
    Outcome::held(format!(
        "by a relay: 100 ms each way, one chunk in a hundred 200 ms later; {}; a login took {took:.1?}",
        tally.pace()
    ))
}

/// It has no room and gives nothing up.
pub async fn full(stage: &mut Stage) -> Result<Outcome> {
    let redis = RedisServer::start();
    let mut service = stage.start(&plan(stage, &redis.url())).await?;
    stage.gather().await?;
    stage.watch().await?;
    redis.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    let (login, page) = refuses_logins(stage).await?;
    redis.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    stage.recover(Expect::CALM).await?;
    login.try_again(stage, &page).await?;
    service.running()?;
    stage.conclude(DECISION_LIMIT + MARGIN)?;
    Outcome::held("nobody can sign in, and whoever is signed in goes on")
}

/// What a store that reads and does not write comes to: whoever is signed in goes on, and nobody else gets in.
/// Gives that login and its page back.
pub async fn refuses_logins(stage: &mut Stage) -> Result<(Login, Page)> {
    let login = Login::at_the_provider(stage, "ben").await?;
    stage.fault(Expect::CALM);
    let (page, _) = login.must_fail(stage).await?;
    expect_page(&page, 503, NOT_STORED)?;
    stage.hold(stage.time(1.0, 10.0)).await;
    Ok((login, page))
}

/// It gives up what is in its way.
pub async fn evicting(stage: &mut Stage) -> Result<Outcome> {
    let redis = RedisServer::start();
    let mut service = stage.start(&plan(stage, &redis.url())).await?;
    stage.gather().await?;
    let browser = stage.signed_in("ben", 200).await?;
    stage.watch().await?;
    // The lists of sessions first, which nothing depends on that a person does.
    each_key(&redis, "portcullis:sessions-of:*", "redis.call('DEL', key)")?;
    stage.fault(Expect::CALM);
    let (page, _) = stage
        .step(&browser, &stage.app_url("/.portcullis/logout"))
        .await?;
    if page.status != 302 {
        return Err(Failure(format!(
            "a logout ended with {}:\n{}",
            page.status, page.body
        )));
    }
    stage.hold(stage.time(0.5, 5.0)).await;
    stage.changing();
    redis.ask(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    redis.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    // A write has to ask for room.
    redis.ask(&["SET", "somebody-elses", "x"]);
    let left = redis.ask(&["DBSIZE"]);
    redis.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    stage.hold(NOTICE_LIMIT).await;
    stage.fault(Expect::SIGNED_OUT);
    stage.signed_in("ben", 200).await?;
    stage.hold(stage.time(0.5, 5.0)).await;
    service.running()?;
    stage.conclude(DECISION_LIMIT + MARGIN)?;
    Outcome::held(format!(
        "{left} records left; whose session went signs in again"
    ))
}

/// It cannot save what it has, and takes nothing more therefore.
pub async fn cannot_save(stage: &mut Stage) -> Result<Outcome> {
    let redis = RedisServer::start();
    let mut service = stage.start(&plan(stage, &redis.url())).await?;
    stage.gather().await?;
    stage.watch().await?;
    // A folder stands where the file is to be.
    let file = redis.folder.path().join("dump.rdb");
    fs::create_dir_all(file.join("in-the-way")).map_err(Failure::of("dump.rdb"))?;
    redis.ask(&["CONFIG", "SET", "save", "3600 1"]);
    save(&redis, "err").await?;
    let (login, page) = refuses_logins(stage).await?;
    fs::remove_dir_all(&file).map_err(Failure::of("dump.rdb"))?;
    save(&redis, "ok").await?;
    stage.recover(Expect::CALM).await?;
    login.try_again(stage, &page).await?;
    service.running()?;
    stage.conclude(DECISION_LIMIT + MARGIN)?;
    Outcome::held("as when it is full")
}

/// Has Redis save, and waits for it to end as it must.
async fn save(redis: &RedisServer, outcome: &str) -> Result<()> {
    redis.ask(&["BGSAVE"]);
    let wanted = format!("rdb_last_bgsave_status:{outcome}");
    for _ in 0..200 {
        if redis.ask(&["INFO", "persistence"]).contains(&wanted) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    Err(Failure(format!("never {wanted}")))
}

/// Its password is another one, and after a while the file with it too.
pub async fn password_changed(stage: &mut Stage) -> Result<Outcome> {
    let redis = RedisServer::start();
    let file = stage.folder.path().join("redis_password");
    write_password(&file, "the-first-one")?;
    redis.ask(&["CONFIG", "SET", "requirepass", "the-first-one"]);
    let plan = Plan {
        session: format!("store_password_file = \"{}\"", file.display()),
        ..plan(stage, &redis.url())
    };
    let mut service = stage.start(&plan).await?;
    stage.gather().await?;
    stage
        .secrets
        .extend(["the-first-one", "the-second-one"].map(str::to_owned));
    stage.watch().await?;
    stage.changing();
    redis.ask(&[
        "-a",
        "the-first-one",
        "CONFIG",
        "SET",
        "requirepass",
        "the-second-one",
    ]);
    redis.ask(&["-a", "the-second-one", "CLIENT", "KILL", "TYPE", "normal"]);
    stage.hold(NOTICE_LIMIT).await;
    stage.fault(Expect::STORE_DOWN);
    stage.hold(stage.time(1.5, 10.0)).await;
    stage.changing();
    write_password(&file, "the-second-one")?;
    stage.until_calm(Expect::CALM, RECOVERY_LIMIT).await?;
    service.running()?;
    if service.log().contains("the-second-one") || service.log().contains("the-first-one") {
        return Err(Failure::new("the password is in the log"));
    }
    stage.conclude(DECISION_LIMIT + MARGIN)?;
    Outcome::held("the new password is taken from its file, without a restart")
}

fn write_password(file: &Path, password: &str) -> Result<()> {
    write_secret(file, password).map_err(Failure::of(file.display()))
}

/// Its connections are ended again and again.
pub async fn disconnecting(stage: &mut Stage) -> Result<Outcome> {
    let redis = RedisServer::start();
    let mut service = stage.start(&plan(stage, &redis.url())).await?;
    stage.gather().await?;
    stage.watch().await?;
    stage.fault(Expect::STORE_SHAKY);
    let load = Load::start(stage, Route::Direct, 4, Duration::from_millis(5))?;
    let mut most = 0;
    for _ in 0..stage.rounds(3, 60) {
        redis.ask(&["CLIENT", "KILL", "TYPE", "normal"]);
        let until = Instant::now() + Duration::from_secs(1);
        while Instant::now() < until {
            most = most.max(clients(&redis));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    let tally = load.end().await?;
    stage.recover(Expect::CALM).await?;
    service.running()?;
    tally.must_pass(0.999)?;
    if most == 0 || most > MOST_CONNECTIONS {
        return Err(Failure(format!("{most} connections to Redis")));
    }
    stage.conclude(DECISION_LIMIT + MARGIN)?;
    Outcome::held(format!(
        "all connections ended every second; {} of {} requests of who is signed in passed; {most} connections at most",
        tally.passed, tally.valid
    ))
}

/// How many connections of services it has.
fn clients(redis: &RedisServer) -> usize {
    let clients = redis.ask(&["CLIENT", "LIST"]);
    let ours = clients
        .lines()
        .filter(|line| line.contains("name=portcullis"));
    ours.count()
}

/// It takes hardly any connections, and then none.
pub async fn crowded(stage: &mut Stage) -> Result<Outcome> {
    let redis = RedisServer::start();
    let mut service = stage.start(&plan(stage, &redis.url())).await?;
    stage.gather().await?;
    stage.watch().await?;
    let mut administrator = Administrator::of(&redis).await?;
    // Three for the service and one for the administrator, who counts too.
    administrator.say("CONFIG SET maxclients 5").await?;
    stage.fault(Expect::CALM);
    stage.signed_in("ben", 200).await?;
    stage.hold(stage.time(1.0, 10.0)).await;
    stage.changing();
    administrator.say("CONFIG SET maxclients 1").await?;
    administrator.say("CLIENT KILL TYPE normal").await?;
    stage.hold(NOTICE_LIMIT).await;
    stage.fault(Expect::STORE_DOWN);
    stage.hold(stage.time(1.5, 30.0)).await;
    service.expect_health(200, 503).await?;
    // Attempts are made one after the other.
    let open = connections_to(redis.port);
    if open > MOST_CONNECTIONS {
        return Err(Failure(format!("{open} connections to Redis")));
    }
    stage.changing();
    administrator.say("CONFIG SET maxclients 5").await?;
    stage.until_calm(Expect::CALM, RECOVERY_LIMIT).await?;
    let most = clients(&redis);
    service.running()?;
    stage.conclude(DECISION_LIMIT + MARGIN)?;
    Outcome::held(format!(
        "five connections are enough; without one 503, and {open} attempts at once; then {most} again"
    ))
}

/// Holds on to a connection, where others get none.
struct Administrator(BufStream<TcpStream>);

impl Administrator {
    async fn of(redis: &RedisServer) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", redis.port)).await;
        Ok(Self(BufStream::new(stream.map_err(Failure::of("Redis"))?)))
    }

    /// Says something that is answered with a line, and no error.
    async fn say(&mut self, words: &str) -> Result<()> {
        let (mut line, talk) = (String::new(), format!("{words}\r\n"));
        let said = async {
            self.0.write_all(talk.as_bytes()).await?;
            self.0.flush().await?;
            self.0.read_line(&mut line).await
        };
        said.await.map_err(Failure::of(words))?;
        if line.starts_with(['+', ':']) {
            Ok(())
        } else {
            Err(Failure(format!("{words}: {line}")))
        }
    }
}
