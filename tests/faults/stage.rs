//! One scenario's place: its service, its visitors, and the way from one phase to the next.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::kit::{Failure, Result};
use crate::ledger::{Kind, Ledger, Route};
use crate::probes::{Cookies, Probes, Targets};
use crate::seen::{Expect, Who};
use crate::service::{Plan, Service};
use crate::world::{OPEN_HOST, Slot, World, folder};

/// After the cause is gone, all is well again within this, without a restart.
pub const RECOVERY_LIMIT: Duration = Duration::from_secs(5);
/// So long the service takes to come up at most, whatever is down.
pub const START_LIMIT: Duration = Duration::from_secs(2);
/// So long a step of a login takes at most, whatever the provider does.
pub const LOGIN_LIMIT: Duration = Duration::from_secs(10);
/// So long those who are signed in may go on by what is kept of them in memory, until it is noticed that the store is not
/// there.
pub const NOTICE_LIMIT: Duration = Duration::from_millis(1_300);
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
    /// By which the visitors ask.
    routes: &'static [Route],
    ledger: Arc<Ledger>,
    pub cookies: Cookies,
    /// What may stand on no page.
    pub secrets: Vec<String>,
    probes: Option<Probes>,
    phase_since: Instant,
    /// Whether something has been broken yet.
    failed: bool,
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
        let slot = world.slot(number);
        Ok(Self {
            world,
            routes: if slot.instances == 1 {
                Route::USUAL
            } else {
                Route::TO_TWO
            },
            slot,
            folder: folder()?,
            extent,
            ledger,
            cookies: Cookies::default(),
            secrets: secret.into_iter().collect(),
            probes: None,
            phase_since: Instant::now(),
            failed: false,
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

    /// Where a provider of the scenario's own has the secret that it shares with the service.
    pub fn client_secret_file(&self) -> PathBuf {
        self.folder.path().join("client_secret")
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
        let targets = self.targets();
        let probes = Probes::start(
            &self.world.root,
            &targets,
            &self.cookies,
            &self.secrets,
            (self.routes, self.extent),
            &self.ledger,
        )?;
        self.probes = Some(probes);
        Ok(())
    }

    /// Where the app is by such a way, without a gate.
    pub fn without_gate(&self, route: Route) -> String {
        self.targets().control(route)
    }

    fn targets(&self) -> Targets {
        Targets {
            verify_port: self.slot.ports.verify,
            caddy_port: self.world.caddy.https_port,
            traefik_port: self.world.traefik_port,
            app_port: self.world.app_port,
            open_host: OPEN_HOST,
            host: self.slot.app_host.clone(),
            login: format!("{}/login", self.public_url()),
        }
    }

    fn begin(&mut self, kind: Kind, expect: Option<Expect>) {
        self.phase_since = Instant::now();
        self.ledger.begin(kind, expect);
    }

    /// From now on the fault comes, and nobody can say what is seen.
    pub fn changing(&mut self) {
        self.failed = true;
        self.begin(Kind::Other, None);
    }

    /// The fault is there: this is what is seen from now on.
    pub fn fault(&mut self, expect: Expect) {
        self.begin(Kind::Fault, Some(expect));
    }

    /// The same, but by one way something else is seen, or nobody can say what.
    pub fn fault_but(&mut self, expect: Expect, but: (Route, Option<Expect>)) {
        self.failed = true;
        self.phase_since = Instant::now();
        self.ledger.begin_but(Kind::Fault, Some(expect), Some(but));
    }

    /// Waits until the phase is as old as that.
    pub async fn hold(&self, time: Duration) {
        tokio::time::sleep_until((self.phase_since + time).into()).await;
    }

    /// The cause is gone: waits until what is seen is `expect`, which it must be for good from then on. Where
    /// that is something else than during the fault, [`changing`](Self::changing) comes before the mending:
    /// the service may be quicker than whoever says that it is mended.
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
            let good = self
                .ledger
                .good_since(since, &expect, Who::Valid, self.routes);
            let took = good.map(|(first, _)| first.duration_since(since));
            if let Some((first, count)) = good
                && count >= wanted
            {
                let took = first.duration_since(since);
                if self.failed {
                    self.ledger.set_recovery(took);
                }
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
        self.ledger.verdict(bound, self.routes)
    }
}
