//! Two instances behind Caddy, as `docs/replicas.md` has it: one stops, is killed, or cannot reach Redis. The other one is
//! there.

use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::kit::redis_server::RedisServer;
use crate::kit::relay::{Relay, Weather};
use crate::kit::{Failure, Result, folder};
use crate::ledger::Route;
use crate::load::Load;
use crate::scenarios::Outcome;
use crate::seen::{Expect, Seen};
use crate::service::{Plan, Service};
use crate::stage::{DECISION_LIMIT, MARGIN, NOTICE_LIMIT, RECOVERY_LIMIT, Stage};
use crate::world::SECOND;

/// So long a stop takes at most (`docs/how-it-works.md`).
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// So long an instance takes to come back.
const BACK_LIMIT: Duration = Duration::from_secs(1);
/// In which Caddy finds out that an instance is not ready, as the document has it.
const LEFT_OUT_LIMIT: Duration = Duration::from_millis(1_500);
/// Who asks by way of Caddy, one request after the other.
const PEOPLE: usize = 8;
const POLL: Duration = Duration::from_millis(5);

/// One instance and its way.
struct Instance {
    route: Route,
    plan: Plan,
    service: Service,
    _folder: Option<TempDir>,
}

/// Both, running, with the same key. The second one talks to the store at `second_store`.
async fn both(stage: &Stage, store: &str, second_store: &str) -> Result<[Instance; 2]> {
    let plan = Plan {
        store: store.to_owned(),
        ..stage.plan()
    };
    let service = stage.start(&plan).await?;
    let first = Instance {
        route: Route::Direct,
        plan,
        service,
        _folder: None,
    };
    let plan = Plan {
        store: second_store.to_owned(),
        address: SECOND,
        ..stage.plan()
    };
    let other = folder::temporary(stage.folder.path(), "second-")?;
    let key = |folder: &std::path::Path| folder.join("session_secret");
    std::fs::copy(key(stage.folder.path()), key(other.path())).map_err(Failure::of("key"))?;
    let mut service = Service::prepare(other.path(), &stage.slot, &stage.public_url(), &plan)?;
    service.start(&plan).await?;
    let second = Instance {
        route: Route::Second,
        plan,
        service,
        _folder: Some(other),
    };
    Ok([first, second])
}

/// Each in turn is asked to stop and started again, while people ask all the time.
pub async fn stopped(stage: &mut Stage) -> Result<Outcome> {
    let redis = RedisServer::start();
    let mut instances = both(stage, &redis.url(), &redis.url()).await?;
    stage.gather().await?;
    stage.watch().await?;
    let load = Load::start(stage, Route::Caddy, PEOPLE, Duration::ZERO)?;
    let mut slowest = Duration::ZERO;
    for _ in 0..stage.rounds(1, 5) {
        for instance in &mut instances {
            stage.fault_but(Expect::CALM, (instance.route, None));
            slowest = slowest.max(stops(&mut instance.service).await?);
            // Whoever signs in does so at the other one.
            stage.signed_in("ben", 200).await?;
            stage.hold(stage.time(0.5, 5.0)).await;
            stage.fault_but(Expect::CALM, (instance.route, None));
            instance.service.start(&instance.plan).await?;
            stage.until_calm(Expect::CALM, RECOVERY_LIMIT).await?;
        }
    }
    let tally = load.end().await?;
    tally.must_pass(1.0)?;
    stage.conclude(DECISION_LIMIT + MARGIN)?;
    Outcome::held(format!(
        "{} requests of who is signed in, and not one failed; {}; stopped in {slowest:.1?} with 0",
        tally.valid,
        tally.pace()
    ))
}

/// Asks it to stop: it is not ready before anything else, and ends well, in time. Tells how long that took.
async fn stops(service: &mut Service) -> Result<Duration> {
    let asked = Instant::now();
    service.ask_to_stop()?;
    let mut was_unready = None;
    loop {
        if let Some(status) = service.has_ended() {
            let took = asked.elapsed();
            if !status.success() || took > STOP_LIMIT + MARGIN {
                return Err(Failure(format!("it ended after {took:?}: {status}")));
            }
            return match was_unready {
                // It goes on answering for a second then.
                Some(unready) if took > unready + Duration::from_millis(500) => Ok(took),
                _ => Err(Failure(format!(
                    "it ended after {took:?}, and was not ready after {was_unready:?}"
                ))),
            };
        }
        if service.is_ready().await == Some(false) {
            was_unready.get_or_insert_with(|| asked.elapsed());
        }
        if asked.elapsed() > STOP_LIMIT * 2 {
            return Err(Failure::new("it does not stop"));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Each in turn is killed and started again, while people ask all the time.
pub async fn killed(stage: &mut Stage) -> Result<Outcome> {
    let redis = RedisServer::start();
    let mut instances = both(stage, &redis.url(), &redis.url()).await?;
    stage.gather().await?;
    stage.watch().await?;
    let load = Load::start(stage, Route::Caddy, PEOPLE, Duration::ZERO)?;
    let mut slowest = Duration::ZERO;
    for _ in 0..stage.rounds(1, 10) {
        for instance in &mut instances {
            // At this very moment an answer may be cut off.
            let expect = Expect {
                valid: &[Seen::Pass, Seen::NoGate],
                ..Expect::CALM
            };
            stage.fault_but(expect, (instance.route, None));
            instance.service.kill();
            stage.hold(stage.time(1.0, 5.0)).await;
            stage.signed_in("ben", 200).await?;
            stage.fault_but(expect, (instance.route, None));
            slowest = slowest.max(instance.service.start(&instance.plan).await?);
            stage.until_calm(Expect::CALM, RECOVERY_LIMIT).await?;
        }
    }
    let tally = load.end().await?;
    tally.must_pass(0.999)?;
    if slowest > BACK_LIMIT + MARGIN {
        return Err(Failure(format!("it took {slowest:?} to come back")));
    }
    stage.conclude(DECISION_LIMIT + MARGIN)?;
    Outcome::held(format!(
        "{} of {} requests of who is signed in passed; {}; back in {slowest:.1?}",
        tally.passed,
        tally.valid,
        tally.pace()
    ))
}

/// One of them cannot reach Redis, in silence or because connections break.
pub async fn cut_off(stage: &mut Stage) -> Result<Outcome> {
    let redis = RedisServer::start();
    let relay = Relay::start(redis.port)
        .await
        .map_err(Failure::of("relay"))?;
    let through = format!("redis://{}/0", relay.address);
    let [mut first, mut second] = both(stage, &redis.url(), &through).await?;
    stage.gather().await?;
    stage.watch().await?;
    let mut tallies = Vec::new();
    for weather in [Weather::Silent, Weather::Cut] {
        stage.changing();
        relay.set(weather);
        stage.hold(NOTICE_LIMIT + LEFT_OUT_LIMIT).await;
        second.service.expect_health(200, 503).await?;
        first.service.expect_health(200, 200).await?;
        stage.fault_but(Expect::CALM, (Route::Second, Some(Expect::STORE_DOWN)));
        let load = Load::start(stage, Route::Caddy, PEOPLE, Duration::ZERO)?;
        // Who signs out is out by that other one too, as soon as it hears of it: it lets nobody in meanwhile.
        stage.logged_out().await?;
        stage.hold(stage.time(1.0, 20.0)).await;
        second.service.expect_health(200, 503).await?;
        let tally = load.end().await?;
        tally.must_pass(1.0)?;
        tallies.push(tally);
        stage.changing();
        relay.set(Weather::Fine);
        second.service.ready_within(RECOVERY_LIMIT).await?;
        stage.until_calm(Expect::CALM, RECOVERY_LIMIT).await?;
    }
    first.service.running()?;
    second.service.running()?;
    stage.conclude(DECISION_LIMIT + MARGIN)?;
    let asked: usize = tallies.iter().map(|tally| tally.valid).sum();
    Outcome::held(format!(
        "by a relay; once Caddy has left it out, {asked} requests, and not one failed"
    ))
}
