//! People who ask one request after the other, beside the visitors, and how long that takes them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::RequestBuilder;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::kit::browser::bare_client;
use crate::kit::{Failure, Result};
use crate::ledger::Route;
use crate::seen::Who;
use crate::stage::Stage;

/// After which an answer counts as none.
const PATIENCE: Duration = Duration::from_secs(10);
/// Who asks, in turn: mostly somebody who may.
const TURNS: [Who; 8] = [
    Who::Valid,
    Who::Valid,
    Who::Anonymous,
    Who::Valid,
    Who::Groupless,
    Who::Valid,
    Who::LoggedOut,
    Who::Valid,
];

/// They ask until they are told to stop.
pub struct Load {
    done: watch::Sender<bool>,
    people: JoinSet<Tally>,
    control: JoinSet<Vec<Duration>>,
}

/// What became of them.
#[derive(Default)]
pub struct Tally {
    /// Requests of somebody who may pass.
    pub valid: usize,
    /// How many of these did.
    pub passed: usize,
    /// What the others of these were answered.
    pub else_seen: BTreeMap<String, usize>,
    /// Of those who may not pass, who did.
    let_in: usize,
    times: Vec<Duration>,
    /// Of requests that Portcullis has no part in, by the same way.
    controls: Vec<Duration>,
}

/// What a request is made of.
struct Asking {
    client: reqwest::Client,
    route: Route,
    verify: String,
    page: String,
    host: String,
    cookies: [(Who, String); 4],
}

impl Load {
    /// So many ask by this way, with such a pause after each answer.
    ///
    /// # Errors
    ///
    /// When the world's certificate is none.
    pub fn start(stage: &Stage, route: Route, people: usize, pause: Duration) -> Result<Self> {
        let (done, until) = watch::channel(false);
        let cookies = &stage.cookies;
        let asking = Arc::new(Asking {
            client: bare_client(&stage.world.root, PATIENCE)?,
            route,
            verify: format!("http://127.0.0.1:{}/verify", stage.slot.ports.verify),
            page: stage.app_url("/page"),
            host: stage.slot.app_host.clone(),
            cookies: [
                (Who::Valid, cookies.valid.clone()),
                (Who::Groupless, cookies.groupless.clone()),
                (Who::LoggedOut, cookies.logged_out.clone()),
                (Who::Anonymous, String::new()),
            ],
        });
        let mut all = JoinSet::new();
        for _ in 0..people {
            all.spawn(ask_on(Arc::clone(&asking), pause, until.clone()));
        }
        let mut control = JoinSet::new();
        let app = stage.without_gate(route);
        let client = bare_client(&stage.world.root, PATIENCE)?;
        control.spawn(async move {
            let mut times = Vec::new();
            while !*until.borrow() {
                let begun = Instant::now();
                // Whatever comes of it, it took its time.
                let _ = client.get(&app).send().await;
                times.push(begun.elapsed());
                tokio::time::sleep(pause.max(Duration::from_millis(5))).await;
            }
            times
        });
        Ok(Self {
            done,
            people: all,
            control,
        })
    }

    /// Tells them to stop, and what they have seen.
    ///
    /// # Errors
    ///
    /// When somebody was let in who may not be.
    pub async fn end(self) -> Result<Tally> {
        let _ = self.done.send(true);
        let mut sum = Tally::default();
        for tally in self.people.join_all().await {
            sum.valid += tally.valid;
            sum.passed += tally.passed;
            sum.let_in += tally.let_in;
            sum.times.extend(tally.times);
            for (seen, count) in tally.else_seen {
                *sum.else_seen.entry(seen).or_default() += count;
            }
        }
        sum.controls = self.control.join_all().await.concat();
        sum.times.sort_unstable();
        sum.controls.sort_unstable();
        if sum.let_in > 0 {
            let count = sum.let_in;
            return Err(Failure(format!(
                "LET IN {count} times who may not be let in"
            )));
        }
        Ok(sum)
    }
}

impl Tally {
    /// The time within which so many of a hundred answers came.
    pub fn within(&self, percent: usize) -> Duration {
        quantile(&self.times, percent)
    }

    /// The same for the app where there is no gate.
    pub fn control_within(&self, percent: usize) -> Duration {
        quantile(&self.controls, percent)
    }

    /// Holds the share of those who passed against what it must be, of 1.
    ///
    /// # Errors
    ///
    /// When it is less.
    pub fn must_pass(&self, share: f64) -> Result<()> {
        // Far below what a float counts exactly.
        #[allow(clippy::cast_precision_loss)]
        let passed = self.passed as f64 / self.valid.max(1) as f64;
        if self.valid > 0 && passed >= share {
            return Ok(());
        }
        Err(Failure(format!(
            "{} of {} who may pass did; the others: {:?}",
            self.passed, self.valid, self.else_seen
        )))
    }

    /// Holds the time of 99 of 100 answers against `bound`, which is longer by what the app by itself took, for each of the
    /// three who have to get a turn: proxy, service and app.
    ///
    /// # Errors
    ///
    /// When it is longer.
    pub fn must_take(&self, bound: Duration) -> Result<()> {
        let (p99, control) = (self.within(99), self.control_within(99));
        if p99 < bound + 3 * control {
            return Ok(());
        }
        Err(Failure(format!(
            "the p99 of {} answers was {p99:.1?}, and {bound:?} is too long beside {control:.1?} of the app by itself",
            self.times.len()
        )))
    }

    /// The figures, for the table.
    pub fn pace(&self) -> String {
        format!(
            "p50 {:.1?}, p99 {:.1?} (app by itself {:.1?})",
            self.within(50),
            self.within(99),
            self.control_within(99)
        )
    }
}

/// Of times in their order, the one within which so many of a hundred are.
pub fn quantile(sorted: &[Duration], percent: usize) -> Duration {
    let place = sorted.len() * percent / 100;
    let found = sorted.get(place.min(sorted.len().saturating_sub(1)));
    found.copied().unwrap_or_default()
}

async fn ask_on(asking: Arc<Asking>, pause: Duration, until: watch::Receiver<bool>) -> Tally {
    let mut tally = Tally::default();
    for who in TURNS.into_iter().cycle() {
        if *until.borrow() {
            break;
        }
        let begun = Instant::now();
        let answer = match asking.request(who).send().await {
            Ok(answer) => answer.status().as_u16().to_string(),
            Err(error) => format!("none ({error:?})"),
        };
        let passed = answer.starts_with('2');
        if who == Who::Valid {
            tally.times.push(begun.elapsed());
            tally.valid += 1;
            tally.passed += usize::from(passed);
            if !passed {
                *tally.else_seen.entry(answer).or_default() += 1;
            }
        } else if passed {
            tally.let_in += 1;
        }
        tokio::time::sleep(pause).await;
    }
    tally
}

impl Asking {
    fn request(&self, who: Who) -> RequestBuilder {
        let request = match self.route {
            Route::Caddy | Route::Traefik => self.client.get(&self.page),
            Route::Direct | Route::Second => self
                .client
                .get(&self.verify)
                .header("x-forwarded-method", "GET")
                .header("x-forwarded-proto", "https")
                .header("x-forwarded-host", &self.host)
                .header("x-forwarded-uri", "/page")
                .header("x-forwarded-for", "203.0.113.7"),
        };
        let request = request
            .header("sec-fetch-mode", "cors")
            .header("sec-fetch-dest", "empty");
        let cookie = self.cookies.iter().find(|(other, _)| *other == who);
        match cookie {
            Some((_, cookie)) if !cookie.is_empty() => request.header("cookie", cookie),
            _ => request,
        }
    }
}
