//! One scenario's place: its service, its visitors, and the way from one phase to the next.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::kit::ask::Ask;
use crate::kit::browser::Browser;
use crate::kit::page::Page;
use crate::kit::{Failure, Result};
use crate::ledger::{Figures, Kind, Ledger};
use crate::probes::{Cookies, Probes, Targets};
use crate::seen::{Answer, Expect, Seen, Who};
use crate::service::{Plan, Service};
use crate::world::{Slot, World, folder};

const SESSION_COOKIE: &str = "__Host-portcullis";

/// After the cause is gone, all is well again within this, without a restart.
pub const RECOVERY_LIMIT: Duration = Duration::from_secs(5);
/// So long the service takes to come up at most, whatever is down.
pub const START_LIMIT: Duration = Duration::from_secs(2);
/// So long a step of a login takes at most, whatever the provider does.
pub const LOGIN_LIMIT: Duration = Duration::from_secs(10);
/// What a busy machine adds to what is measured.
pub const MARGIN: Duration = Duration::from_millis(1_000);
/// So long a decision takes at most.
pub const DECISION_LIMIT: Duration = Duration::from_secs(1);

/// How much a run asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Faults of a second or two, for every run of the tests.
    Brief,
    /// Faults that last, many rounds.
    Whole,
}

pub struct Stage {
    pub world: &'static World,
    pub slot: Slot,
    pub folder: TempDir,
    pub extent: Extent,
    ledger: Arc<Ledger>,
    pub cookies: Cookies,
    /// What may stand on no page.
    pub secrets: Vec<String>,
    probes: Option<Probes>,
    phase_since: Instant,
}

impl Stage {
    /// # Errors
    ///
    /// When there is no room for its files.
    pub fn new(
        world: &'static World,
        number: usize,
        extent: Extent,
        ledger: Arc<Ledger>,
    ) -> Result<Self> {
        let secret = std::fs::read_to_string(&world.provider.client_secret_file);
        Ok(Self {
            world,
            slot: world.slot(number),
            folder: folder()?,
            extent,
            ledger,
            cookies: Cookies::default(),
            secrets: secret.into_iter().collect(),
            probes: None,
            phase_since: Instant::now(),
        })
    }

    pub fn public_url(&self) -> String {
        format!(
            "https://{}:{}",
            self.slot.portal_host, self.world.caddy.https_port
        )
    }

    /// `https://…` of a path at the app, by way of Caddy.
    pub fn app_url(&self, path: &str) -> String {
        format!(
            "https://{}:{}{path}",
            self.slot.app_host, self.world.caddy.https_port
        )
    }

    /// A plan for a service with the provider that all share.
    pub fn plan(&self) -> Plan {
        Plan::new(&self.world.issuer, &self.world.provider.client_secret_file)
    }

    /// The service of a plan, running.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub async fn start(&self, plan: &Plan) -> Result<Service> {
        let mut service = self.prepare(plan)?;
        service.start(plan).await?;
        Ok(service)
    }

    /// The same, not started yet.
    ///
    /// # Errors
    ///
    /// When its configuration cannot be written.
    pub fn prepare(&self, plan: &Plan) -> Result<Service> {
        Service::prepare(self.folder.path(), &self.slot, &self.public_url(), plan)
    }

    /// How long a fault is to last.
    pub fn time(&self, brief: f64, whole: f64) -> Duration {
        Duration::from_secs_f64(match self.extent {
            Extent::Brief => brief,
            Extent::Whole => whole,
        })
    }

    /// How often something is to be done.
    pub fn rounds(&self, brief: usize, whole: usize) -> usize {
        match self.extent {
            Extent::Brief => brief,
            Extent::Whole => whole,
        }
    }

    pub fn browser(&self) -> Result<Browser> {
        Browser::new(&self.world.root)
    }

    /// Signs `user` in with a new browser, which must end at the app with `status`.
    ///
    /// # Errors
    ///
    /// When it ends elsewhere or takes too long.
    pub async fn signed_in(&self, user: &str, status: u16) -> Result<Browser> {
        let browser = self.browser()?;
        let (page, _) = self.sign_in_with(&browser, user).await?;
        if (page.host(), page.status) == (&*self.slot.app_host, status) {
            return Ok(browser);
        }
        Err(Failure(format!(
            "{user} is not signed in:\n{}\n{}",
            page.way(),
            page.body
        )))
    }

    /// Has `user` sign in with `browser` and tells where that ends and how long it took.
    ///
    /// # Errors
    ///
    /// When an answer does not come, or is not fit to be shown.
    pub async fn sign_in_with(&self, browser: &Browser, user: &str) -> Result<(Page, Duration)> {
        let begun = Instant::now();
        let page = browser.sign_in(&self.app_url("/page"), user).await?;
        let took = begun.elapsed();
        self.check_page(&page)?;
        if took > LOGIN_LIMIT + MARGIN {
            return Err(Failure(format!("a login took {took:?}:\n{}", page.way())));
        }
        Ok((page, took))
    }

    /// One request of a navigation, no redirect followed, timed.
    ///
    /// # Errors
    ///
    /// As [`sign_in_with`](Self::sign_in_with).
    pub async fn step(&self, browser: &Browser, url: &str) -> Result<(Page, Duration)> {
        let begun = Instant::now();
        let page = browser.ask(Ask::navigation(url)).await?;
        let took = begun.elapsed();
        self.check_page(&page)?;
        if took > LOGIN_LIMIT + MARGIN {
            return Err(Failure(format!("{} took {took:?}", page.way())));
        }
        Ok((page, took))
    }

    fn check_page(&self, page: &Page) -> Result<()> {
        let ours = [&self.slot.portal_host, &self.slot.app_host];
        for hop in &page.hops {
            let is_ours = ours
                .iter()
                .any(|host| hop.url.host_str() == Some(host.as_str()));
            // The app's own pages say nothing about caches.
            if !is_ours || hop.body.starts_with("app:") {
                continue;
            }
            let answer = Answer {
                status: hop.status,
                headers: &hop.headers,
                body: &hop.body,
            };
            if let Some(complaint) = answer.complaint(&self.secrets) {
                return Err(Failure(format!("{complaint}:\n{}", page.way())));
            }
        }
        Ok(())
    }

    /// Signs the visitors in, and one of them out again.
    ///
    /// # Errors
    ///
    /// When that does not work.
    pub async fn gather(&mut self) -> Result<()> {
        self.cookies = Cookies {
            valid: self.cookie_of(&self.signed_in("ben", 200).await?)?,
            groupless: self.cookie_of(&self.signed_in("eve", 403).await?)?,
            logged_out: self.logged_out().await?,
        };
        let values = [
            &self.cookies.valid,
            &self.cookies.groupless,
            &self.cookies.logged_out,
        ];
        let values = values.map(|cookie| cookie.rsplit('=').next().unwrap_or_default().to_owned());
        self.secrets.extend(values);
        Ok(())
    }

    /// Waits for a login to work, as people do who press "try again". Tells how long that took.
    ///
    /// # Errors
    ///
    /// When none does for long.
    pub async fn until_login_works(&self) -> Result<Duration> {
        let begun = Instant::now();
        loop {
            match self.signed_in("ben", 200).await {
                Ok(_) => return Ok(begun.elapsed()),
                // A request that was begun before may have to be given up first.
                Err(failure) if begun.elapsed() > LOGIN_LIMIT + RECOVERY_LIMIT => {
                    return Err(failure);
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    }

    /// What a request to the app by way of Caddy sees that carries this cookie and no other.
    ///
    /// # Errors
    ///
    /// When no answer comes.
    pub async fn seen_with(&self, cookie: &str) -> Result<Seen> {
        let ask = Ask::navigation(&self.app_url("/page")).header("cookie", cookie);
        let page = self.browser()?.ask(ask).await?;
        let answer = Answer {
            status: page.status,
            headers: &page.headers,
            body: &page.body,
        };
        Ok(answer.seen(&format!("{}/login", self.public_url())))
    }

    /// Signs somebody in and out again: the cookie that is of no use any more.
    ///
    /// # Errors
    ///
    /// When that does not work.
    pub async fn logged_out(&self) -> Result<String> {
        let browser = self.signed_in("ada", 200).await?;
        let cookie = self.cookie_of(&browser)?;
        let (page, _) = self
            .step(&browser, &self.app_url("/.portcullis/logout"))
            .await?;
        if page.status == 302 && browser.cookie(&self.app_url("/"), SESSION_COOKIE).is_none() {
            return Ok(cookie);
        }
        Err(Failure(format!(
            "ada is not signed out:\n{}\n{}",
            page.way(),
            page.body
        )))
    }

    fn cookie_of(&self, browser: &Browser) -> Result<String> {
        let value = browser.cookie(&self.app_url("/"), SESSION_COOKIE);
        let value = value.ok_or_else(|| Failure::new("no cookie at the app"))?;
        Ok(format!("{SESSION_COOKIE}={value}"))
    }

    /// Has the visitors ask, and waits until it is plain that all is well.
    ///
    /// # Errors
    ///
    /// When it is not.
    pub async fn watch(&mut self) -> Result<()> {
        self.watch_expecting(Expect::CALM)?;
        self.until_calm(Expect::CALM, RECOVERY_LIMIT).await?;
        Ok(())
    }

    /// Has the visitors ask, and see what `expect` says.
    ///
    /// # Errors
    ///
    /// When they cannot be set up.
    pub fn watch_expecting(&mut self, expect: Expect) -> Result<()> {
        self.begin(Kind::Other, Some(expect));
        let targets = Targets {
            verify_port: self.slot.ports.verify,
            caddy_port: self.world.caddy.https_port,
            traefik_port: self.world.traefik_port,
            app_port: self.world.app_port,
            host: self.slot.app_host.clone(),
            login: format!("{}/login", self.public_url()),
        };
        let probes = Probes::start(
            &self.world.root,
            &targets,
            &self.cookies,
            &self.secrets,
            self.extent,
            &self.ledger,
        )?;
        self.probes = Some(probes);
        Ok(())
    }

    fn begin(&mut self, kind: Kind, expect: Option<Expect>) {
        self.phase_since = Instant::now();
        self.ledger.begin(kind, expect);
    }

    /// From now on the fault comes, and nobody can say what is seen.
    pub fn changing(&mut self) {
        self.begin(Kind::Other, None);
    }

    /// The fault is there: this is what is seen from now on.
    pub fn fault(&mut self, expect: Expect) {
        self.begin(Kind::Fault, Some(expect));
    }

    /// Waits until the phase is as old as that.
    pub async fn hold(&self, time: Duration) {
        tokio::time::sleep_until((self.phase_since + time).into()).await;
    }

    /// The cause is gone: waits until what is seen is `expect`, which it must be for good from then on.
    ///
    /// # Errors
    ///
    /// When that takes longer than it may.
    pub async fn recover(&mut self, expect: Expect) -> Result<Duration> {
        self.changing();
        self.until_calm(expect, RECOVERY_LIMIT).await
    }

    /// The same after the phase of change was begun, with a limit of one's own.
    ///
    /// # Errors
    ///
    /// When that takes longer than `limit`.
    pub async fn until_calm(&mut self, expect: Expect, limit: Duration) -> Result<Duration> {
        let wanted = self.rounds(12, 100);
        let since = self.phase_since;
        loop {
            let good = self.ledger.good_since(since, &expect, Who::Valid);
            let took = good.map(|(first, _)| first.duration_since(since));
            if let Some((first, count)) = good
                && count >= wanted
            {
                let took = first.duration_since(since);
                self.ledger.set_recovery(took);
                self.begin(Kind::Other, Some(expect));
                return Ok(took);
            }
            // The time to count up to what is wanted is not part of the recovery.
            let late = took.is_none_or(|took| took > limit);
            if late && since.elapsed() > limit + MARGIN {
                return Err(Failure(format!(
                    "not as it must be within {limit:?}: {}",
                    self.news()
                )));
            }
            if since.elapsed() > limit + Duration::from_secs(10) {
                return Err(Failure(format!(
                    "never {wanted} good answers in a row: {}",
                    self.news()
                )));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What was measured so far.
    pub fn figures(&self) -> Figures {
        self.ledger.figures()
    }

    /// What was seen last, for a message.
    fn news(&self) -> String {
        self.ledger.latest()
    }

    /// Ends the watch and holds what was seen against what must hold: each answer within `bound`.
    ///
    /// # Errors
    ///
    /// With what must not be.
    pub fn conclude(&mut self, bound: Duration) -> Result<()> {
        self.probes = None;
        self.ledger.verdict(bound)
    }
}
