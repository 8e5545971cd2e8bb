//! Two instances with one Redis: who signs out at one is out at the other, whatever becomes of the connection that tells
//! it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::kit::gate::{Ports, plain_client};
use crate::kit::redis_server::RedisServer;
use crate::kit::{Failure, Result, folder};
use crate::scenarios::Outcome;
use crate::scenarios::redis::plan;
use crate::seen::Expect;
use crate::service::Service;
use crate::stage::{DECISION_LIMIT, MARGIN, Stage};
use crate::world::Slot;

/// What is promised, and what a busy machine adds.
const OBEYED_WITHIN: Duration = Duration::from_millis(100);

/// So many ask the other instance all the time.
const VISITORS: usize = 8;

/// What is done to the connections of the instances meanwhile.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    None,
    /// Nobody may be told of changes, for every other half of a second.
    Deaf,
    /// All connections are closed, every second.
    Closed,
}

/// Signs people out at one instance, while others ask both, and measures how long the other lets them in.
pub async fn revoked(stage: &mut Stage, trouble: Trouble) -> Result<Outcome> {
    let redis = RedisServer::start();
    let plan = plan(stage, &redis.url());
    let mut service = stage.start(&plan).await?;
    let other_folder = folder::temporary(stage.folder.path(), "other-")?;
    let key = |folder: &std::path::Path| folder.join("session_secret");
    std::fs::copy(key(stage.folder.path()), key(other_folder.path()))
        .map_err(Failure::of("key"))?;
    let slot = Slot {
        ports: Ports::free(),
        ..stage.slot.clone()
    };
    let mut other = Service::prepare(other_folder.path(), &slot, &stage.public_url(), &plan)?;
    other.start(&plan).await?;
    stage.gather().await?;
    stage.watch().await?;
    let load = Load::start(stage, &slot)?;
    stage.fault(match trouble {
        Trouble::None => Expect::CALM,
        Trouble::Deaf | Trouble::Closed => Expect::STORE_SHAKY,
    });
    let mut times = Vec::new();
    let mut harmed = Instant::now();
    for round in 0..stage.rounds(12, 100) {
        let browser = stage.signed_in("ada", 200).await?;
        let cookie = stage.cookie_of(&browser)?;
        let verify = || status(&load.client, &slot, &cookie);
        for _ in 0..3 {
            if !matches!(verify().await?, 200 | 503) {
                return Err(Failure::new("who signed in is not known at the other"));
            }
        }
        if harmed.elapsed() >= Duration::from_secs(1) || round == 0 {
            harm(&redis, trouble, round);
            harmed = Instant::now();
        }
        stage.sign_out(&browser).await?;
        let begun = Instant::now();
        while verify().await? == 200 {
            if begun.elapsed() > OBEYED_WITHIN + MARGIN {
                return Err(Failure::new(
                    "who signed out is let in by the other instance",
                ));
            }
        }
        times.push(begun.elapsed());
    }
    redis.ask(&["ACL", "SETUSER", "default", "+client|tracking"]);
    stage.recover(Expect::CALM).await?;
    let asked = load.end()?;
    service.running()?;
    other.running()?;
    stage.conclude(DECISION_LIMIT + MARGIN)?;
    times.sort();
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
    Outcome::held(format!(
        "{} sign-outs, none lost; obeyed by the other within {:.1?} (p50), {:.1?} (p99), while it was asked {asked} times",
        times.len(),
        at(50),
        at(99)
    ))
}

fn harm(redis: &RedisServer, trouble: Trouble, round: usize) {
    match trouble {
        Trouble::None => {}
        Trouble::Deaf => {
            let word = ["-client|tracking", "+client|tracking"][round % 2];
            redis.ask(&["ACL", "SETUSER", "default", word]);
            let clients = redis.ask(&["CLIENT", "LIST"]);
            let listening = clients
                .lines()
                .filter(|line| line.contains("portcullis-invalidations"));
            let ids = listening.filter_map(|line| line.split(' ').next()?.strip_prefix("id="));
            for id in ids {
                redis.ask(&["CLIENT", "KILL", "ID", id]);
            }
        }
        Trouble::Closed => {
            redis.ask(&["CLIENT", "KILL", "TYPE", "normal"]);
        }
    }
}

/// What the other instance says of a cookie.
async fn status(client: &reqwest::Client, slot: &Slot, cookie: &str) -> Result<u16> {
    let url = format!("http://127.0.0.1:{}/verify", slot.ports.verify);
    let request = client
        .get(url)
        .header("x-forwarded-method", "GET")
        .header("x-forwarded-proto", "https")
        .header("x-forwarded-host", &slot.app_host)
        .header("x-forwarded-uri", "/page")
        .header("x-forwarded-for", "203.0.113.7")
        .header("sec-fetch-mode", "cors")
        .header("sec-fetch-dest", "empty")
        .header("cookie", cookie);
    let answer = request.send().await.map_err(Failure::of("verify"))?;
    Ok(answer.status().as_u16())
}

/// Visitors of the other instance: one who is signed in, and one who has signed out, by turns.
struct Load {
    client: reqwest::Client,
    asked: Arc<AtomicUsize>,
    was_let_in: Arc<AtomicBool>,
    _tasks: JoinSet<()>,
}

impl Load {
    fn start(stage: &Stage, slot: &Slot) -> Result<Self> {
        let (client, mut tasks) = (plain_client()?, JoinSet::new());
        let asked = Arc::<AtomicUsize>::default();
        let was_let_in = Arc::<AtomicBool>::default();
        for _ in 0..VISITORS {
            let (client, slot) = (client.clone(), slot.clone());
            let (valid, out) = (
                stage.cookies.valid.clone(),
                stage.cookies.logged_out.clone(),
            );
            let (asked, was_let_in) = (Arc::clone(&asked), Arc::clone(&was_let_in));
            tasks.spawn(async move {
                loop {
                    // Whether the one who is signed in is let in is seen at the first instance.
                    let _ = status(&client, &slot, &valid).await;
                    if matches!(status(&client, &slot, &out).await, Ok(200..=299)) {
                        was_let_in.store(true, Ordering::SeqCst);
                    }
                    asked.fetch_add(2, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            });
        }
        Ok(Self {
            client,
            asked,
            was_let_in,
            _tasks: tasks,
        })
    }

    /// How often the other instance was asked.
    fn end(self) -> Result<usize> {
        if self.was_let_in.load(Ordering::SeqCst) {
            return Err(Failure::new(
                "who had signed out was let in by the other instance",
            ));
        }
        Ok(self.asked.load(Ordering::Relaxed))
    }
}
