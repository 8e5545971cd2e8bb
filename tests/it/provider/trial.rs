//! One login of one browser at a provider that is not what it should be, from the app's page to the end, and all that
//! has to be true then.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use portcullis::config::RawConfig;
use reqwest::Method;

use crate::support::app::{Answer, TestApp, answer, spawn_app_at};
use crate::support::browser::Browser;
use crate::support::clock::TestClock;
use crate::support::front::{Fault, Front};
use crate::support::issuer::{Behaviour, CLIENT_SECRET, FakeIssuer};
use crate::support::log;

pub const FILMS: &str = "https://films.example.net/page?x=1";
const PORTAL: &str = "auth.example.net";

/// In every body and message that is made up here. None of them is ever shown or logged.
pub const MARK: &str = "mark-of-the-provider";

/// The longest page, in bytes.
const MAX_PAGE: usize = 16 * 1024;

/// How long a step of a login may take.
const MAX_STEP: Duration = Duration::from_secs(10);

/// How long it may take until logins work again.
const MAX_RECOVERY: Duration = Duration::from_secs(5);

/// What an issuer is told before a login.
pub type Lie = Box<dyn Fn(&mut Behaviour)>;

/// How a login ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// At the app.
    SignedIn,
    /// At a page with status 403, for this reason.
    Refused(&'static str),
    /// At a page with status 503, for this reason.
    Unavailable(&'static str),
}

/// A name, a lie, and what it leads to.
pub type Row = (&'static str, Lie, Ends);

/// The service, and an issuer behind a front of its own.
pub struct Trial {
    pub app: TestApp,
    pub front: Front,
}

impl Trial {
    pub fn start() -> Self {
        Self::start_with(|_| {})
    }

    pub fn start_with(adjust: impl FnOnce(&mut RawConfig)) -> Self {
        Self::start_behind(Front::start(), adjust)
    }

    pub fn start_behind(front: Front, adjust: impl FnOnce(&mut RawConfig)) -> Self {
        static BROWSERS: AtomicU32 = AtomicU32::new(1);
        log::capture();
        let clock = TestClock::new();
        let issuer = FakeIssuer::start_behind(&front, &clock);
        let mut app = spawn_app_at(issuer, clock, adjust);
        // Of its own, so that its lines are found in the log.
        let [_, a, b, c] = BROWSERS.fetch_add(1, Ordering::SeqCst).to_be_bytes();
        app.from = format!("100.{}.{b}.{c}", 64 + a);
        Self { app, front }
    }

    /// Logs in, and holds the end against what is expected, in full.
    pub async fn expect(&self, name: &str, ends: Ends) {
        self.expect_with(name, ends, str::to_owned).await;
    }

    /// The same, with the response of the provider edited on its way through the browser.
    pub async fn expect_with(&self, name: &str, ends: Ends, edit: impl Fn(&str) -> String) {
        let mut browser = Browser::new(&self.app);
        let end = self.log_in(name, &mut browser, edit).await;
        match ends {
            Ends::SignedIn => {
                assert_eq!(end.status, 200, "{name}: {}", end.body);
                return;
            }
            Ends::Refused(code) => {
                assert_eq!(end.status, 403, "{name}: {}", end.body);
                self.is_told(name, code, &end);
            }
            Ends::Unavailable(code) => {
                assert_eq!(end.status, 503, "{name}: {}", end.body);
                assert_eq!(end.header("retry-after"), "5", "{name}");
                self.is_told(name, code, &end);
            }
        }
        is_nobody(name, &self.app, &browser).await;
    }

    /// What somebody sees who begins a login.
    pub async fn first_page(&self) -> Answer {
        let mut browser = Browser::new(&self.app);
        self.log_in("first page", &mut browser, str::to_owned).await
    }

    /// From the app's page to wherever it ends; no step takes longer than it may.
    async fn log_in(
        &self,
        name: &str,
        browser: &mut Browser<'_>,
        edit: impl Fn(&str) -> String,
    ) -> Answer {
        let mut url = FILMS.to_owned();
        let mut redirects = 0;
        loop {
            let started = Instant::now();
            let end = browser.open(&url).await;
            let taken = started.elapsed();
            assert!(taken < MAX_STEP, "{name}: {url} took {taken:?}");
            if !end.headers.contains_key("location") {
                return end;
            }
            redirects += 1;
            assert!(redirects < 10, "{name}: no end of redirects");
            end.location().clone_into(&mut url);
            if url.contains("/callback?") {
                url = edit(&url);
            }
        }
    }

    /// A page in plain words, and one line of the log that says why.
    fn is_told(&self, name: &str, code: &str, end: &Answer) {
        assert_eq!(end.header("cache-control"), "no-store", "{name}");
        assert!(
            end.header("content-type").starts_with("text/html"),
            "{name}"
        );
        assert!(
            end.body.len() < MAX_PAGE,
            "{name}: {} bytes",
            end.body.len()
        );
        assert!(end.body.contains("Try again"), "{name}: {}", end.body);
        let lines = log::with("client", &self.app.from);
        let found = lines.iter().any(|line| line["code"] == code);
        assert!(found, "{name}: no line with {code} in {lines:#?}");
        self.keeps_secrets(name, &end.body);
        self.keeps_secrets(name, &log::text());
    }

    /// Nothing that the provider gave away, or made up, is in `text`.
    fn keeps_secrets(&self, name: &str, text: &str) {
        let issued = self.app.issuer.issued();
        let secrets = issued.iter().map(String::as_str);
        let secrets = secrets.filter(|secret| !secret.is_empty());
        for secret in secrets.chain([MARK, CLIENT_SECRET]) {
            let place = text.lines().find(|line| line.contains(secret));
            assert_eq!(place, None, "{name}: {secret} is told");
        }
    }

    /// Logins work again within seconds, without a restart: the first one that is refused wakes whoever looks for the
    /// provider.
    async fn recovers(&self, name: &str) {
        let healed = Instant::now();
        loop {
            let mut browser = Browser::new(&self.app);
            let end = self.log_in(name, &mut browser, str::to_owned).await;
            if end.status == 200 {
                return;
            }
            let passed = healed.elapsed();
            assert!(passed < MAX_RECOVERY, "after {name}: {}", end.body);
        }
    }

    /// What the log says of this login, apart from its code.
    pub fn log_lines(&self) -> String {
        let lines = log::with("client", &self.app.from);
        lines.iter().map(ToString::to_string).collect()
    }
}

/// Nobody is signed in, neither at the app nor at the portal.
async fn is_nobody(name: &str, app: &TestApp, browser: &Browser<'_>) {
    let session = browser.cookie(PORTAL, "__Host-portcullis-sso");
    assert_eq!(session, None, "{name}");
    let asked = browser.ask(FILMS).fetch().send().await;
    assert_eq!(asked.status, 401, "{name}");
    let whoami = app.portal(Method::GET, "/whoami");
    let whoami = answer(whoami.header("cookie", browser.cookie_header(PORTAL))).await;
    assert_eq!(whoami.status, 401, "{name}");
}

/// Each row beside a service and an issuer of its own, several at once; and once the lie is over, the next login works.
pub async fn run(rows: Vec<Row>, adjust: fn(&mut RawConfig)) {
    let trials = rows.into_iter().map(|(name, lie, ends)| async move {
        let trial = Trial::start_with(adjust);
        trial.app.issuer.behave(|behaviour| lie(behaviour));
        trial.expect(name, ends).await;
        trial.app.issuer.behave(|now| *now = Behaviour::default());
        trial.recovers(name).await;
    });
    all(trials).await;
}

/// Runs futures, a few at a time.
pub async fn all(trials: impl Iterator<Item = impl Future<Output = ()>>) {
    futures_util::stream::iter(trials)
        .buffer_unordered(8)
        .collect::<()>()
        .await;
}

/// A fault of one endpoint, and what it leads to.
pub type Outage = (&'static str, Fault, Ends);

/// The same for faults.
pub async fn run_outage(
    path: &'static str,
    (name, fault, ends): Outage,
    adjust: fn(&mut RawConfig),
) {
    let trial = Trial::start_with(adjust);
    trial.front.spoil(path, fault);
    trial.expect(&format!("{path}: {name}"), ends).await;
    trial.front.heal();
    trial.recovers(&format!("{path}: {name}")).await;
}
