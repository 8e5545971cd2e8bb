//! A primary with replicas and sentinels, or a cluster, loses some of its servers. Whoever is signed in stays so as
//! soon as another server has taken over, and whoever has signed out stays out.

use std::time::{Duration, Instant};

use crate::kit::browser::{Browser, bare_client};
use crate::kit::redis_forms::{Cluster, DOWN_AFTER, Kind, NAME, NODE_TIMEOUT, Watched};
use crate::kit::redis_server::RedisServer;
use crate::kit::{Failure, Result};
use crate::scenarios::Outcome;
use crate::scenarios::redis::plan;
use crate::seen::Expect;
use crate::service::Service;
use crate::stage::{DECISION_LIMIT, LOGIN_LIMIT, MARGIN, RECOVERY_LIMIT, Stage};

/// From the loss of a primary until all is well.
const FAILOVER_LIMIT: Duration = DOWN_AFTER.saturating_add(RECOVERY_LIMIT);

/// What the log says of a change.
const FOLLOWED: &str = "the session store has another primary";
const UNCONFIRMED: &str = "no replica of the session store confirms";
const CONFIRMED_AGAIN: &str = "a replica of the session store confirms";
/// Longer than nobody is waited for once none has answered.
const CONFIRMATION_PAUSE: Duration = Duration::from_secs(6);

async fn with_sentinels(stage: &mut Stage) -> Result<(Watched, Service)> {
    let watched = Watched::start();
    let service = stage.start(&plan(stage, &watched.url())).await?;
    stage.gather().await?;
    Ok((watched, service))
}

/// Lets the replicas have what was written until now.
async fn replicate() {
    tokio::time::sleep(Duration::from_millis(300)).await;
}

/// The primary is killed and comes back as a replica.
pub async fn primary_killed(stage: &mut Stage) -> Result<Outcome> {
    let (mut watched, mut service) = with_sentinels(stage).await?;
    stage.watch().await?;
    replicate().await;
    let (mut windows, mut followed) = (Vec::new(), 0);
    for _ in 0..stage.rounds(1, 5) {
        let old = watched.primary();
        stage.changing();
        watched.servers[old].kill();
        windows.push(stage.until_calm(Expect::CALM, FAILOVER_LIMIT).await?);
        service.logs(FOLLOWED, followed + 1).await?;
        followed = times_followed(&service);
        // It takes itself for a primary until a sentinel tells it otherwise. Nobody is led to it.
        stage.fault(Expect::CALM);
        watched.servers[old].restart();
        let browser = stage.signed_in("ben", 200).await?;
        watched.until_known();
        let (page, _) = stage.step(&browser, &stage.app_url("/page")).await?;
        // Two sentinels may each have begun a failover, and the second one loses what the first one's choice was told
        // meanwhile.
        let is_second = times_followed(&service) > followed;
        followed = times_followed(&service);
        if page.status != 200 && !is_second {
            return Err(Failure(format!("{} for who signed in since", page.status)));
        }
        let refusals = watched.servers[old].ask(&["INFO", "errorstats"]);
        if refusals.contains("READONLY") {
            return Err(Failure::new("the old primary was asked to write"));
        }
        replicate().await;
    }
    service.running()?;
    stage.conclude(DECISION_LIMIT + MARGIN)?;
    Outcome::held(format!(
        "down-after {DOWN_AFTER:?}; all well after {windows:.1?}; the same sessions go on"
    ))
}

/// How often another primary was followed.
fn times_followed(service: &Service) -> usize {
    let log = service.log();
    log.lines().filter(|line| line.contains(FOLLOWED)).count()
}

/// An operator asks for a failover.
pub async fn failover_asked_for(stage: &mut Stage) -> Result<Outcome> {
    let (watched, mut service) = with_sentinels(stage).await?;
    stage.watch().await?;
    replicate().await;
    let (mut followed, mut signed_out) = (Vec::new(), 0);
    for round in 1..=stage.rounds(1, 5) {
        stage.fault(Expect::STORE_SHAKY);
        let (before, begun) = (watched.primary(), Instant::now());
        let answer = watched.sentinels[0].ask(&["SENTINEL", "FAILOVER", NAME]);
        if answer != "OK" {
            return Err(Failure(format!("no failover: {answer}")));
        }
        // Whoever signs out before another server is known does so at the old one, which nobody asks any more.
        let mut cookies = Vec::new();
        while service.log().matches(FOLLOWED).count() < round {
            if begun.elapsed() > FAILOVER_LIMIT {
                return Err(Failure::new("it is not followed"));
            }
            cookies.extend(stage.logged_out().await);
            tokio::time::sleep(BETWEEN_VISITS).await;
        }
        followed.push(begun.elapsed());
        stays_out(stage, &cookies, Duration::from_secs(1)).await?;
        signed_out += cookies.len();
        stage.until_calm(Expect::CALM, FAILOVER_LIMIT).await?;
        watched.until_known();
        if watched.primary() == before {
            return Err(Failure::new("the primary is the same"));
        }
        replicate().await;
    }
    service.running()?;
    stage.conclude(DECISION_LIMIT + MARGIN)?;
    Outcome::held(format!(
        "followed after {followed:.1?}; {signed_out} who signed out meanwhile stay out"
    ))
}

/// A sentinel and a replica are gone.
pub async fn others_down(stage: &mut Stage) -> Result<Outcome> {
    let (mut watched, mut service) = with_sentinels(stage).await?;
    stage.watch().await?;
    stage.fault(Expect::CALM);
    let primary = watched.primary();
    watched.servers[(primary + 1) % 3].kill();
    watched.sentinels[0].kill();
    stage.signed_in("ben", 200).await?;
    stage.logged_out().await?;
    stage.hold(stage.time(2.0, 20.0)).await;
    if service.log().contains(UNCONFIRMED) {
        // A busy machine kept the one replica from answering in time. It is asked again once the pause is over.
        tokio::time::sleep(CONFIRMATION_PAUSE).await;
        stage.logged_out().await?;
        service.logs(CONFIRMED_AGAIN, 1).await?;
    }
    service.running()?;
    stage.conclude(DECISION_LIMIT + MARGIN)?;
    Outcome::held("nobody notices")
}

/// Somebody signs out while a replica hangs, or both, and the primary is lost at once.
pub async fn sign_out_before(stage: &mut Stage) -> Result<Outcome> {
    let (mut watched, mut service) = with_sentinels(stage).await?;
    stage.watch().await?;
    for frozen in 1..=stage.rounds(1, 2) {
        sign_out_and_fail_over(stage, &mut watched, frozen).await?;
        if frozen == 2 {
            // One that is merely slow may be missed, too; but two that are frozen have to be.
            service.logs(UNCONFIRMED, 1).await?;
        }
        watched.until_known();
    }
    service.running()?;
    stage.conclude(DECISION_LIMIT + MARGIN)?;
    Outcome::held("the sign-out stays")
}

/// Signs somebody out while `frozen` replicas are, and sees to it that nobody gets in with that cookie while another
/// server becomes the primary. All servers run again afterwards.
async fn sign_out_and_fail_over(
    stage: &mut Stage,
    watched: &mut Watched,
    frozen: usize,
) -> Result<()> {
    let browser = stage.signed_in("ada", 200).await?;
    replicate().await;
    let primary = watched.primary();
    let replicas = [(primary + 1) % 3, (primary + 2) % 3];
    for place in &replicas[..frozen] {
        watched.servers[*place].freeze();
    }
    let cookie = stage.sign_out(&browser).await?;
    stage.changing();
    watched.servers[primary].kill();
    for place in &replicas[..frozen] {
        watched.servers[*place].thaw();
    }
    stays_out(stage, &[cookie], FAILOVER_LIMIT).await?;
    stage.until_calm(Expect::CALM, FAILOVER_LIMIT).await?;
    watched.servers[primary].restart();
    Ok(())
}

/// Asks with each of these cookies all the time: nobody may get in, at no moment.
async fn stays_out(stage: &Stage, cookies: &[String], time: Duration) -> Result<()> {
    let client = bare_client(&stage.world.root, LOGIN_LIMIT)?;
    let begun = Instant::now();
    while begun.elapsed() < time {
        for cookie in cookies {
            let asked = client.get(stage.app_url("/page")).header("cookie", cookie);
            let answer = asked.send().await.map_err(Failure::of("a visit"))?;
            if answer.status().is_success() {
                let after = begun.elapsed();
                return Err(Failure(format!("let in {after:?} after a sign-out")));
            }
        }
        tokio::time::sleep(BETWEEN_VISITS).await;
    }
    Ok(())
}

const BETWEEN_VISITS: Duration = Duration::from_millis(50);

/// A node of a cluster is killed, and its replica takes over.
pub async fn node_killed(stage: &mut Stage) -> Result<Outcome> {
    let mut cluster = Cluster::start_as(&Kind::default(), 3, true);
    let mut service = stage.start(&plan(stage, &cluster.url())).await?;
    stage.gather().await?;
    // Some of them at the node that is to go, and some elsewhere.
    let mut browsers = Vec::new();
    for _ in 0..MOST_BROWSERS {
        browsers.push(stage.signed_in("ben", 200).await?);
        let (gone, left) = (sessions_at(&cluster, 0), sessions_at(&cluster, 1));
        if browsers.len() >= 4 && gone > 2 && left > 0 {
            break;
        }
    }
    stage.watch().await?;
    replicate().await;
    stage.fault(Expect::STORE_SHAKY);
    cluster.nodes[0].kill();
    let killed = Instant::now();
    stage.hold(Duration::from_millis(300)).await;
    let missed = refused(stage, &browsers).await?;
    // Whose records lie elsewhere goes on, so the service stays in the proxy.
    service.expect_health(200, 200).await?;
    let limit = NODE_TIMEOUT * 2 + RECOVERY_LIMIT;
    while refused(stage, &browsers).await? > 0 {
        if killed.elapsed() > limit {
            return Err(Failure(format!("nobody takes over within {limit:?}")));
        }
        tokio::time::sleep(BETWEEN_VISITS).await;
    }
    let window = killed.elapsed();
    stage.until_calm(Expect::CALM, RECOVERY_LIMIT).await?;
    stage.fault(Expect::CALM);
    cluster.nodes[0].restart();
    for _ in 0..4 {
        stage.signed_in("ben", 200).await?;
    }
    stage.hold(stage.time(1.0, 10.0)).await;
    service.running()?;
    stage.conclude(DECISION_LIMIT + MARGIN)?;
    let all = browsers.len();
    Outcome::held(format!(
        "node-timeout {NODE_TIMEOUT:?}; {missed} of {all} sessions missed for {window:.1?}, and none lost"
    ))
}

const MOST_BROWSERS: usize = 30;

fn sessions_at(cluster: &Cluster, place: usize) -> usize {
    let keys = cluster.nodes[place].ask(&["KEYS", "portcullis:session:*"]);
    keys.lines().count()
}

/// How many of them are told to wait. The others are let in.
async fn refused(stage: &Stage, browsers: &[Browser]) -> Result<usize> {
    let mut count = 0;
    for browser in browsers {
        let (page, _) = stage.step(browser, &stage.app_url("/page")).await?;
        match page.status {
            200 => {}
            503 => count += 1,
            other => return Err(Failure(format!("{other} for who is signed in"))),
        }
    }
    Ok(count)
}

/// Redis holds every write back, as it does before an orderly change.
pub async fn writes_held(stage: &mut Stage) -> Result<Outcome> {
    let redis = RedisServer::start();
    let mut service = stage.start(&plan(stage, &redis.url())).await?;
    stage.gather().await?;
    stage.watch().await?;
    let time = stage.time(2.0, 10.0);
    stage.fault(Expect::CALM);
    let milliseconds = time.as_millis().to_string();
    redis.ask(&["CLIENT", "PAUSE", &milliseconds, "WRITE"]);
    let browser = stage.browser()?;
    let (page, _) = stage.sign_in_with(&browser, "ada").await?;
    if page.status != 503 {
        return Err(Failure(format!("{} for a sign-in", page.status)));
    }
    stage.hold(time).await;
    stage.recover(Expect::CALM).await?;
    stage.signed_in("ada", 200).await?;
    service.running()?;
    stage.conclude(DECISION_LIMIT + MARGIN)?;
    Outcome::held("whoever is signed in goes on meanwhile")
}
