//! Much of everything for long: memory stays as it is, and once all sessions have ended nothing is left of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::kit::gate::plain_client;
use crate::kit::redis_server::RedisServer;
use crate::kit::{Failure, Result};
use crate::ledger::Route;
use crate::load::Load;
use crate::scenarios::Outcome;
use crate::scenarios::redis::plan;
use crate::seen::Expect;
use crate::service::Plan;
use crate::stage::{DECISION_LIMIT, Extent, MARGIN, Stage};

/// Who is signed in and asks, and for how long each waits after an answer.
const PEOPLE: usize = 6;
const PAUSE: Duration = Duration::from_millis(2);
/// In which 99 of 100 answers come; in a debug build in as many times that.
const PACE: Duration = Duration::from_millis(50);
const DEBUG_FACTOR: u32 = if cfg!(debug_assertions) { 4 } else { 1 };
/// What memory may grow by in ten minutes, in KiB, and what its figures differ by anyway.
const MOST_IN_TEN_MINUTES: f64 = 1_024.0;
const NOISE: f64 = 512.0;
/// In a brief run, in all.
const MOST_IN_BRIEF: f64 = 8.0 * 1_024.0;
const TEN_MINUTES: Duration = Duration::from_secs(600);
/// Sessions may live a little longer than people ask, so that who is signed in stays so. Those that nobody uses end much
/// sooner.
const LONGER: Duration = Duration::from_secs(8);
/// Redis looks for what has ended ten times a second, some at a time.
const SWEPT_LIMIT: Duration = Duration::from_secs(20);

/// People ask, strangers come, each from an address of their own, and others sign in and out, all the time.
pub async fn soak(stage: &mut Stage) -> Result<Outcome> {
    let redis = RedisServer::start();
    let time = stage.time(9.0, 300.0);
    let (lives, unused) = (time + LONGER, stage.time(8.0, 20.0));
    let plan = Plan {
        session: format!(
            "lifetime = \"{}s\"\nidle_timeout = \"{}s\"",
            lives.as_secs(),
            unused.as_secs()
        ),
        ..plan(stage, &redis.url())
    };
    let mut service = stage.start(&plan).await?;
    stage.gather().await?;
    let began = Instant::now();
    stage.watch().await?;
    stage.fault(Expect::CALM);
    let load = Load::start(stage, Route::Direct, PEOPLE, PAUSE)?;
    let strangers = Strangers::start(stage)?;
    let (mut sign_ins, mut sign_outs) = (0, 0);
    let mut memory = Vec::new();
    while began.elapsed() < time {
        // Not who asks: of two hundred sessions of one person, the oldest ends.
        let browser = stage.signed_in("ada", 200).await?;
        sign_ins += 1;
        if sign_ins % 3 == 0 {
            stage.sign_out(&browser).await?;
            sign_outs += 1;
        }
        memory.push((began.elapsed(), service.memory_kib()?));
    }
    let came = strangers.end()?;
    let tally = load.end().await?;
    stage.recover(Expect::CALM).await?;
    stage.conclude(DECISION_LIMIT + MARGIN)?;
    tally.must_pass(1.0)?;
    tally.must_take(PACE * DEBUG_FACTOR * u32::try_from(stage.rounds(3, 1)).unwrap_or(1))?;
    let grown = flat(&memory, stage)?;
    let swept = until_swept(&redis, Instant::now() + unused).await?;
    service.running()?;
    Outcome::held(format!(
        "{:.0?}: {} requests of who is signed in, {came} strangers, {sign_ins} sign-ins, {sign_outs} sign-outs; {}; \
         memory {} KiB, {grown}; no session left in Redis {swept:.1?} after the last one ended",
        time,
        tally.valid,
        tally.pace(),
        memory.last().map_or(0, |(_, memory)| *memory),
    ))
}

/// Holds the growth of memory against what it may be. The first half is for warming up; of the rest, the first half is
/// compared with the second.
fn flat(memory: &[(Duration, usize)], stage: &Stage) -> Result<String> {
    let warm = &memory[memory.len() / 2..];
    let (earlier, later) = warm.split_at(warm.len() / 2);
    let (Some(first), Some(last)) = (earlier.first(), later.last()) else {
        return Err(Failure::new("memory was hardly looked at"));
    };
    let grown = mean(later) - mean(earlier);
    let apart = last.0.saturating_sub(first.0).as_secs_f64() / 2.0;
    let in_ten_minutes = grown * TEN_MINUTES.as_secs_f64() / apart;
    let is_flat = if stage.extent == Extent::Brief {
        grown < MOST_IN_BRIEF
    } else {
        grown < NOISE + MOST_IN_TEN_MINUTES * apart / TEN_MINUTES.as_secs_f64()
    };
    let told = format!(
        "grown by {grown:.0} KiB in {apart:.0} s, which is {in_ten_minutes:.0} in ten minutes"
    );
    if is_flat {
        Ok(told)
    } else {
        Err(Failure(told))
    }
}

/// Far below what a float counts exactly.
#[allow(clippy::cast_precision_loss)]
fn mean(memory: &[(Duration, usize)]) -> f64 {
    let sum: usize = memory.iter().map(|(_, memory)| memory).sum();
    sum as f64 / memory.len().max(1) as f64
}

/// Waits for the sessions to end. What is left is what is known of people, and each of these ends by itself too.
async fn until_swept(redis: &RedisServer, end: Instant) -> Result<Duration> {
    tokio::time::sleep_until(end.into()).await;
    loop {
        let keys = redis.ask(&["KEYS", "*"]);
        let left: Vec<&str> = keys.lines().filter(|key| !key.is_empty()).collect();
        let of_people = |key: &&&str| key.starts_with("portcullis:user:");
        let people = left.iter().filter(of_people).count();
        // Ada, Ben and Eve.
        if people == left.len() && people == 3 {
            break;
        }
        if end.elapsed() > SWEPT_LIMIT {
            let shown = left[..left.len().min(8)].join("\n");
            return Err(Failure(format!("{} keys are left:\n{shown}", left.len())));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let endless = "local n = 0
        for _, key in ipairs(redis.call('KEYS', '*')) do if redis.call('TTL', key) < 0 then n = n + 1 end end
        return n";
    match redis.ask(&["EVAL", endless, "0"]).as_str() {
        "0" => Ok(end.elapsed()),
        other => Err(Failure(format!("{other} keys live for ever"))),
    }
}

/// People whom nobody knows, each at an address of their own, for a page of their own, with a cookie that says nothing.
struct Strangers {
    asked: Arc<AtomicUsize>,
    let_in: Arc<AtomicUsize>,
    _task: JoinSet<()>,
}

impl Strangers {
    fn start(stage: &Stage) -> Result<Self> {
        let (asked, let_in) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (client, mut task) = (plain_client()?, JoinSet::new());
        let url = format!("http://127.0.0.1:{}/verify", stage.slot.ports.verify);
        let host = stage.slot.app_host.clone();
        for _ in 0..2 {
            let (asked, let_in) = (Arc::clone(&asked), Arc::clone(&let_in));
            let (client, url, host) = (client.clone(), url.clone(), host.clone());
            task.spawn(async move {
                loop {
                    let number = asked.fetch_add(1, Ordering::Relaxed);
                    let [_, a, b, c] = u32::try_from(number).unwrap_or(0).to_be_bytes();
                    let request = client
                        .get(&url)
                        .header("x-forwarded-method", "GET")
                        .header("x-forwarded-proto", "https")
                        .header("x-forwarded-host", &host)
                        .header("x-forwarded-uri", format!("/page/{number}?q={number}"))
                        .header("x-forwarded-for", format!("10.{a}.{b}.{c}"))
                        .header("sec-fetch-mode", "navigate")
                        .header("sec-fetch-dest", "document")
                        .header("cookie", format!("__Host-portcullis={number:086}"));
                    let answer = request.send().await;
                    if answer.is_ok_and(|answer| answer.status().is_success()) {
                        let_in.fetch_add(1, Ordering::Relaxed);
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            });
        }
        Ok(Self {
            asked,
            let_in,
            _task: task,
        })
    }

    /// How many came.
    ///
    /// # Errors
    ///
    /// When one was let in.
    fn end(self) -> Result<usize> {
        match self.let_in.load(Ordering::Relaxed) {
            0 => Ok(self.asked.load(Ordering::Relaxed)),
            count => Err(Failure(format!("LET IN {count} strangers"))),
        }
    }
}
