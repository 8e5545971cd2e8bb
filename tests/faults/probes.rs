//! Five kinds of visitors who ask all the time, each in several ways.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::kit::Result;
use crate::kit::browser::bare_client;
use crate::ledger::{Ledger, Route, Sample};
use crate::seen::{Answer, Seen, Who};
use crate::stage::Extent;
use crate::world::SECOND;

/// Between two requests that only measure the machine.
const CONTROL_EVERY: Duration = Duration::from_millis(100);
/// Requests of one visitor by one way that wait for their answers: further ones are left out.
const MOST_WAITING: usize = 24;
/// After which an answer counts as none.
const PATIENCE: Duration = Duration::from_secs(12);

/// Where to ask.
#[derive(Clone)]
pub struct Targets {
    pub verify_port: u16,
    pub caddy_port: u16,
    pub traefik_port: u16,
    /// The app by itself, without a gate before it.
    pub app_port: u16,
    /// The same by way of the proxies.
    pub open_host: &'static str,
    pub host: String,
    /// What the address of a login begins with.
    pub login: String,
}

impl Targets {
    /// The app by such a way, without a gate.
    pub fn control(&self, route: Route) -> String {
        let host = self.open_host;
        match route {
            Route::Direct | Route::Second => format!("http://127.0.0.1:{}/", self.app_port),
            Route::Caddy => format!("https://{host}:{}/", self.caddy_port),
            Route::Traefik => format!("https://{host}:{}/", self.traefik_port),
        }
    }
}

/// What the visitors carry.
#[derive(Clone, Default)]
pub struct Cookies {
    pub valid: String,
    pub groupless: String,
    pub logged_out: String,
}

impl Cookies {
    fn of(&self, who: Who) -> &str {
        match who {
            Who::Valid => &self.valid,
            Who::Groupless => &self.groupless,
            Who::LoggedOut => &self.logged_out,
            Who::Anonymous | Who::Bypassed => "",
        }
    }
}

/// Visitors who ask until this is dropped.
pub struct Probes {
    _tasks: JoinSet<()>,
}

impl Probes {
    /// Has them ask. `secrets` may stand on no page.
    ///
    /// # Errors
    ///
    /// When `root` is no certificate.
    pub fn start(
        root: &[u8],
        targets: &Targets,
        cookies: &Cookies,
        secrets: &[String],
        (routes, extent): (&[Route], Extent),
        ledger: &Arc<Ledger>,
    ) -> Result<Self> {
        let client = bare_client(root, PATIENCE)?;
        let mut tasks = JoinSet::new();
        for (place, (route, who)) in routes
            .iter()
            .flat_map(|route| Who::ALL.map(|who| (*route, who)))
            .enumerate()
        {
            let visitor = Arc::new(Visitor {
                who,
                route,
                client: client.clone(),
                cookie: cookies.of(who).to_owned(),
                targets: targets.clone(),
                secrets: secrets.to_vec(),
                ledger: Arc::clone(ledger),
            });
            let every = pause(extent, route);
            let offset = every * u32::try_from(place).unwrap_or(0) / 15;
            tasks.spawn(async move {
                tokio::time::sleep(offset).await;
                visitor.keep_asking(every).await;
            });
        }
        for route in routes.iter().filter(|route| **route != Route::Second) {
            let (client, ledger) = (client.clone(), Arc::clone(ledger));
            tasks.spawn(keep_measuring(
                client,
                *route,
                targets.control(*route),
                ledger,
            ));
        }
        Ok(Self { _tasks: tasks })
    }
}

/// Between two requests of one visitor by one way. Many scenarios at once are not to load the machine so much that
/// it shows.
fn pause(extent: Extent, route: Route) -> Duration {
    Duration::from_millis(match (extent, route) {
        (Extent::Whole, _) => 50,
        (Extent::Brief, Route::Direct | Route::Second) => 100,
        (Extent::Brief, _) => 200,
    })
}

/// Asks for the app where there is no gate, to learn how busy the machine and the proxies are.
async fn keep_measuring(client: reqwest::Client, route: Route, url: String, ledger: Arc<Ledger>) {
    let mut ticks = tokio::time::interval(CONTROL_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut waiting = JoinSet::new();
    loop {
        ticks.tick().await;
        while waiting.try_join_next().is_some() {}
        let (request, ledger) = (client.get(&url), Arc::clone(&ledger));
        waiting.spawn(async move {
            let begun = Instant::now();
            // Whatever comes of it, it took its time.
            let _ = request.send().await;
            ledger.note_control(route, begun);
        });
    }
}

struct Visitor {
    who: Who,
    route: Route,
    client: reqwest::Client,
    cookie: String,
    targets: Targets,
    secrets: Vec<String>,
    ledger: Arc<Ledger>,
}

impl Visitor {
    async fn keep_asking(self: Arc<Self>, every: Duration) {
        let places = Arc::new(Semaphore::new(MOST_WAITING));
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut waiting = JoinSet::new();
        let mut navigates = false;
        loop {
            ticks.tick().await;
            while waiting.try_join_next().is_some() {}
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                continue;
            };
            navigates = !navigates;
            let visitor = Arc::clone(&self);
            waiting.spawn(async move {
                visitor.ask(navigates).await;
                drop(place);
            });
        }
    }

    async fn ask(&self, navigates: bool) {
        let begun = Instant::now();
        let (seen, complaint) = match self.request(navigates).send().await {
            Ok(answer) => {
                let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
                match answer.text().await {
                    Ok(body) => self.judge(&Answer {
                        status,
                        headers: &headers,
                        body: &body,
                    }),
                    Err(_) => (Seen::NoAnswer, None),
                }
            }
            Err(_) => (Seen::NoAnswer, None),
        };
        self.ledger.note(Sample {
            who: self.who,
            route: self.route,
            begun,
            took: begun.elapsed(),
            seen,
            complaint,
        });
    }

    fn judge(&self, answer: &Answer<'_>) -> (Seen, Option<String>) {
        let seen = answer.seen(&self.targets.login);
        let is_by_proxy = matches!(self.route, Route::Caddy | Route::Traefik);
        let is_the_apps = seen == Seen::Pass && is_by_proxy;
        let complaint = match seen {
            Seen::NoGate => None,
            _ if is_the_apps => self.told_apart(answer),
            _ => answer.complaint(&self.secrets),
        };
        (seen, complaint)
    }

    /// The app shows whom it was told of.
    fn told_apart(&self, answer: &Answer<'_>) -> Option<String> {
        let expected = if self.who == Who::Valid {
            "app:ben"
        } else {
            "app:"
        };
        (answer.body != expected).then(|| format!("the app was told of `{}`", answer.body))
    }

    fn request(&self, navigates: bool) -> reqwest::RequestBuilder {
        let Targets { host, .. } = &self.targets;
        let path = if self.who == Who::Bypassed {
            "/open/feed"
        } else {
            "/page"
        };
        let mut request = match self.route {
            Route::Direct | Route::Second => {
                let address = if self.route == Route::Second {
                    SECOND
                } else {
                    "127.0.0.1"
                };
                let url = format!("http://{address}:{}/verify", self.targets.verify_port);
                self.client
                    .get(url)
                    .header("x-forwarded-method", "GET")
                    .header("x-forwarded-proto", "https")
                    .header(
                        "x-forwarded-host",
                        format!("{host}:{}", self.targets.caddy_port),
                    )
                    .header("x-forwarded-uri", path)
                    .header("x-forwarded-for", "203.0.113.7")
            }
            Route::Caddy => self
                .client
                .get(format!("https://{host}:{}{path}", self.targets.caddy_port)),
            Route::Traefik => self.client.get(format!(
                "https://{host}:{}{path}",
                self.targets.traefik_port
            )),
        };
        let (mode, destination, accept) = if navigates {
            ("navigate", "document", "text/html")
        } else {
            ("cors", "empty", "*/*")
        };
        for (name, value) in [
            (
                "sec-fetch-site",
                if navigates { "none" } else { "same-origin" },
            ),
            ("sec-fetch-mode", mode),
            ("sec-fetch-dest", destination),
            ("accept", accept),
        ] {
            request = request.header(name, value);
        }
        if !self.cookie.is_empty() {
            request = request.header("cookie", &self.cookie);
        }
        request
    }
}
