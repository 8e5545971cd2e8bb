//! Two instances with one Redis: who signs out at one is out at the other, whatever becomes of the connection that tells
//! it.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::kit::browser::Browser;
use crate::kit::gate::{Ports, plain_client};
use crate::kit::redis_forms::{DOWN_AFTER, NAME, Watched};
use crate::kit::redis_server::RedisServer;
use crate::kit::{Failure, Result, folder};
use crate::scenarios::Outcome;
use crate::scenarios::redis::plan;
use crate::seen::Expect;
use crate::service::Service;
use crate::stage::{DECISION_LIMIT, MARGIN, RECOVERY_LIMIT, Stage};
use crate::world::Slot;

/// What is promised; a busy machine adds [`MARGIN`].
const OBEYED_WITHIN: Duration = Duration::from_millis(100);

/// So many ask the other instance all the time, with the cookie that is being signed out of.
const VISITORS: usize = 8;

/// From the end of a primary until all is well.
const FAILOVER_LIMIT: Duration = DOWN_AFTER.saturating_add(RECOVERY_LIMIT);

/// How long an instance may be without the store at once. Longer than that, 503 is no answer to a sign-out.
const AWAY_LIMIT: Duration = FAILOVER_LIMIT.saturating_add(MARGIN);

/// What is done to the connections of the instances meanwhile.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    None,
    /// Nobody may be told of changes, for every other half of a second.
    Deaf,
    /// All connections are closed, every second.
    Closed,
    /// Sentinels have another server take over, again and again.
    FailsOver,
}

/// Signs people out at one instance, while others come to the other with the very same cookie, and measures how long it lets
/// them in.
pub async fn revoked(stage: &mut Stage, trouble: Trouble) -> Result<Outcome> {
    let store = Store::start(trouble);
    let plan = plan(stage, &store.url());
    let mut service = stage.start(&plan).await?;
    let other_folder = folder::temporary(stage.folder.path(), "other-")?;
    let key = |folder: &Path| folder.join("session_secret");
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
    stage.fault(match trouble {
        Trouble::None => Expect::CALM,
        Trouble::Deaf | Trouble::Closed | Trouble::FailsOver => Expect::STORE_SHAKY,
    });
    let client = plain_client()?;
    let mut harm = Harm::new(store, trouble);
    let mut seen = Seen::default();
    for _ in 0..stage.rounds(12, 100) {
        let (browser, cookie) = signed_in(stage, &client, &slot).await?;
        harm.go_on();
        let load = Load::start(&client, &slot, &cookie);
        sign_out(stage, &browser, trouble).await?;
        let acknowledged = Instant::now();
        load.until_obeyed(acknowledged).await?;
        seen.judge(&load.end(), acknowledged)?;
    }
    let troubles = harm.end();
    let least = match trouble {
        Trouble::None => 0,
        Trouble::FailsOver => 1,
        Trouble::Deaf | Trouble::Closed => 2,
    };
    if troubles < least {
        return Err(Failure::new("there was no trouble to speak of"));
    }
    stage.changing();
    stage.until_calm(Expect::CALM, FAILOVER_LIMIT).await?;
    service.running()?;
    other.running()?;
    stage.conclude(DECISION_LIMIT + MARGIN)?;
    Outcome::held(seen.remark(troubles))
}

/// Somebody who is signed in and known at both instances, however often that has to be tried.
async fn signed_in(
    stage: &Stage,
    client: &reqwest::Client,
    slot: &Slot,
) -> Result<(Browser, String)> {
    let begun = Instant::now();
    loop {
        let browser = stage.signed_in("ada", 200).await;
        if let Ok(browser) = browser {
            let cookie = stage.cookie_of(&browser)?;
            match status(client, slot, &cookie).await? {
                200 => return Ok((browser, cookie)),
                // A primary that was overtaken may have taken the session with it.
                401 | 503 => {}
                other => return Err(Failure(format!("{other} for who signed in"))),
            }
        }
        if begun.elapsed() > AWAY_LIMIT {
            return Err(Failure::new("nobody can sign in"));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Signs out; where the store does not answer as often as it takes until that is said to be done.
async fn sign_out(stage: &Stage, browser: &Browser, trouble: Trouble) -> Result<()> {
    let begun = Instant::now();
    loop {
        match stage.sign_out(browser).await {
            Ok(_) => return Ok(()),
            Err(failure) if trouble == Trouble::None || begun.elapsed() > AWAY_LIMIT => {
                return Err(failure);
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

enum Store {
    Alone(RedisServer),
    Watched(Watched),
}

impl Store {
    fn start(trouble: Trouble) -> Self {
        if trouble == Trouble::FailsOver {
            Self::Watched(Watched::start())
        } else {
            Self::Alone(RedisServer::start())
        }
    }

    fn url(&self) -> String {
        match self {
            Self::Alone(redis) => redis.url(),
            Self::Watched(watched) => watched.url(),
        }
    }
}

/// Does harm, each time that it is due.
struct Harm {
    store: Store,
    trouble: Trouble,
    last: Option<Instant>,
    count: usize,
    is_deaf: bool,
}

impl Harm {
    fn new(store: Store, trouble: Trouble) -> Self {
        Self {
            store,
            trouble,
            last: None,
            count: 0,
            is_deaf: false,
        }
    }

    fn go_on(&mut self) {
        let pause = match self.trouble {
            Trouble::None => return,
            Trouble::Deaf => Duration::from_millis(500),
            Trouble::Closed => Duration::from_secs(1),
            // The sentinels take no other order before the last is carried out.
            Trouble::FailsOver => FAILOVER_LIMIT,
        };
        if self.last.is_some_and(|last| last.elapsed() < pause) {
            return;
        }
        self.last = Some(Instant::now());
        self.count += 1;
        match &self.store {
            Store::Watched(watched) => {
                watched.sentinels[0].ask(&["SENTINEL", "FAILOVER", NAME]);
            }
            Store::Alone(redis) if self.trouble == Trouble::Deaf => {
                self.is_deaf = !self.is_deaf;
                deafen(redis, self.is_deaf);
            }
            Store::Alone(redis) => {
                redis.ask(&["CLIENT", "KILL", "TYPE", "normal"]);
            }
        }
    }

    /// Leaves all as it was, and tells how often there was trouble.
    fn end(&self) -> usize {
        if let Store::Alone(redis) = &self.store {
            redis.ask(&["ACL", "SETUSER", "default", "+client|tracking"]);
        }
        self.count
    }
}

/// Closes the connections that tell, and has new ones refused or taken from now on.
fn deafen(redis: &RedisServer, is_deaf: bool) {
    let word = if is_deaf {
        "-client|tracking"
    } else {
        "+client|tracking"
    };
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

/// One answer of the other instance.
struct Answered {
    sent: Instant,
    came: Instant,
    status: u16,
}

/// Visitors of the other instance, all with one cookie.
struct Load {
    answers: Arc<Mutex<Vec<Answered>>>,
    _tasks: JoinSet<()>,
}

impl Load {
    fn start(client: &reqwest::Client, slot: &Slot, cookie: &str) -> Self {
        let answers = Arc::<Mutex<Vec<Answered>>>::default();
        let mut tasks = JoinSet::new();
        for _ in 0..VISITORS {
            let (client, slot, cookie) = (client.clone(), slot.clone(), cookie.to_owned());
            let answers = Arc::clone(&answers);
            tasks.spawn(async move {
                loop {
                    let sent = Instant::now();
                    if let Ok(status) = status(&client, &slot, &cookie).await {
                        let came = Instant::now();
                        lock(&answers).push(Answered { sent, came, status });
                    }
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            });
        }
        Self {
            answers,
            _tasks: tasks,
        }
    }

    /// Waits until somebody has been told that the session is over, and a moment longer.
    async fn until_obeyed(&self, acknowledged: Instant) -> Result<()> {
        while lock(&self.answers).iter().all(|seen| seen.status != 401) {
            if acknowledged.elapsed() > AWAY_LIMIT {
                return Err(Failure::new("a sign-out is lost"));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        Ok(())
    }

    fn end(self) -> Vec<Answered> {
        std::mem::take(&mut *lock(&self.answers))
    }
}

fn lock(answers: &Mutex<Vec<Answered>>) -> MutexGuard<'_, Vec<Answered>> {
    answers.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What was seen of all sign-outs.
#[derive(Default)]
struct Seen {
    /// From each acknowledgement until the last request that was let in all the same.
    let_in: Vec<Duration>,
    answers: usize,
    /// 503 lets nobody in, and obeys nothing.
    unavailable: usize,
}

impl Seen {
    fn judge(&mut self, answers: &[Answered], acknowledged: Instant) -> Result<()> {
        let obeying = answers.iter().filter(|seen| seen.status == 401);
        let obeyed = obeying.map(|seen| seen.came).min();
        let obeyed = obeyed.ok_or_else(|| Failure::new("a sign-out is lost"))?;
        let mut let_in = Duration::ZERO;
        for seen in answers.iter().filter(|seen| seen.status == 200) {
            if seen.sent > obeyed {
                return Err(Failure::new("let in after it was known who signed out"));
            }
            let_in = let_in.max(seen.sent.saturating_duration_since(acknowledged));
        }
        if let_in > OBEYED_WITHIN + MARGIN {
            return Err(Failure(format!(
                "who signed out is let in by the other instance for {let_in:?}"
            )));
        }
        self.let_in.push(let_in);
        self.answers += answers.len();
        self.unavailable += answers.iter().filter(|seen| seen.status == 503).count();
        Ok(())
    }

    fn remark(mut self, troubles: usize) -> String {
        self.let_in.sort();
        let at = |share: usize| {
            self.let_in[(self.let_in.len() * share / 100).min(self.let_in.len() - 1)]
        };
        format!(
            "{} sign-outs, {troubles} troubles, none lost; let in by the other for {:.1?} (p50), {:.1?} (p99); of its {} answers {} were 503",
            self.let_in.len(),
            at(50),
            at(99),
            self.answers,
            self.unavailable
        )
    }
}
