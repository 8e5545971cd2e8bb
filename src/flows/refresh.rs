//! Renewing the tokens of sessions, and through that knowing who somebody still is: groups that were taken away, people
//! who were disabled.
//!
//! It is done for sessions that are in use, before their access token lapses, in the background. One task a session does
//! it here, and one holder of the lease among all replicas; the others look at the session until it is done. Nobody waits
//! for that unless nothing valid is left, and then for three seconds at most.

mod renewer;
mod result;

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use self::renewer::Renewer;
pub use self::result::RefreshResult;
use crate::clock::Clock;
use crate::domain::renewal::{RenewalRules, Standing};
use crate::domain::session::SessionId;
use crate::flows::Gate;
use crate::oidc::RelyingParty;
use crate::store::StoreError;
use crate::store::session_cache::Known;
use crate::store::sessions::Sessions;
use crate::store::users::Users;
use crate::telemetry::metrics::Metrics;

/// How long a request waits for a renewal; what is left of three seconds is for looking at the session.
const WAIT: Duration = Duration::from_millis(2_700);

/// How many sessions are renewed at once, by this replica.
const MAX_FLIGHTS: usize = 256;

/// The longest that one renewal may take, with waiting for another holder of the lease who dies.
const FLIGHT_TIMEOUT: Duration = Duration::from_secs(90);

/// How often it is looked what another holder of the lease has done.
const POLL: Duration = Duration::from_millis(150);

/// Once the store did not let a lease be taken, how long until that is tried again, for anybody's session.
const STORE_PAUSE: Duration = Duration::from_secs(5);

/// Renews sessions. Clones are the same one.
#[derive(Clone)]
pub struct Refresher(Arc<Shared>);

struct Shared {
    renewer: Renewer,
    /// Where it is done: not where requests are answered, and for as long as the service runs.
    runtime: Handle,
    flights: Mutex<HashMap<[u8; 32], Flight>>,
    /// When the store did not let a lease be taken, if that was so the last time.
    store_failed: Mutex<Option<Instant>>,
}

/// A renewal on its way here.
#[derive(Clone)]
struct Flight {
    started: Instant,
    /// Ends with it.
    under_way: watch::Receiver<()>,
}

/// Takes a flight off the list, however it ends.
struct Landing {
    shared: Arc<Shared>,
    id: [u8; 32],
    _under_way: watch::Sender<()>,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.shared.flights().remove(&self.id);
    }
}

impl Gate {
    /// The live session of `id`, with its tokens renewed where they have to be. Every use of a session comes through
    /// here.
    ///
    /// # Errors
    ///
    /// [`StoreError`], when the store cannot tell.
    pub async fn session(&self, id: &SessionId) -> Result<Option<Arc<Known>>, StoreError> {
        let Some(session) = self.sessions.load(id).await? else {
            return Ok(None);
        };
        self.refresher.vouch(id, session).await
    }
}

impl Refresher {
    /// Renews by `rules`, in the Tokio runtime that this is called in.
    #[must_use]
    pub fn new(
        sessions: Arc<Sessions>,
        users: Arc<Users>,
        relying_party: Arc<RelyingParty>,
        clock: Arc<dyn Clock>,
        rules: RenewalRules,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self(Arc::new(Shared {
            renewer: Renewer {
                sessions,
                users,
                relying_party,
                clock,
                rules,
                metrics,
                is_failing: AtomicBool::new(false),
            },
            runtime: Handle::current(),
            flights: Mutex::default(),
            store_failed: Mutex::default(),
        }))
    }

    /// `session`, if it counts; as it is after a renewal, where it has to be waited for.
    async fn vouch(
        &self,
        id: &SessionId,
        session: Arc<Known>,
    ) -> Result<Option<Arc<Known>>, StoreError> {
        let shared = &self.0;
        match shared.renewer.standing(&session) {
            Standing::Valid => Ok(Some(session)),
            Standing::Due => {
                self.renew(id);
                Ok(Some(session))
            }
            Standing::Lapsed => self.vouch_for_lapsed(id, session).await,
            Standing::Over => {
                shared.renewer.end_lapsed(id, &session).await;
                Ok(None)
            }
        }
    }

    async fn vouch_for_lapsed(
        &self,
        id: &SessionId,
        mut session: Arc<Known>,
    ) -> Result<Option<Arc<Known>>, StoreError> {
        let shared = &self.0;
        if shared.renewer.may_try(&session)
            && let Some(mut flight) = self.renew(id)
        {
            // A provider that hangs holds up nobody who comes later.
            let left = WAIT.saturating_sub(flight.started.elapsed());
            // Nothing is ever sent: it ends.
            let _ = timeout(left, flight.under_way.changed()).await;
            let Some(renewed) = shared.renewer.sessions.peek(id).await? else {
                return Ok(None);
            };
            session = renewed;
        }
        Ok(match shared.renewer.standing(&session) {
            Standing::Valid | Standing::Due => Some(session),
            // A slow provider counts as one that fails.
            Standing::Lapsed if shared.renewer.outlasts_failure(&session) => Some(session),
            Standing::Lapsed | Standing::Over => None,
        })
    }

    /// Has the session of `id` renewed in the background; `None` when too much is going on.
    fn renew(&self, id: &SessionId) -> Option<Flight> {
        let shared = &self.0;
        let (under_way, flight) = {
            let mut flights = shared.flights();
            if let Some(flight) = flights.get(id.as_bytes()) {
                return Some(flight.clone());
            }
            if flights.len() >= MAX_FLIGHTS || shared.is_store_paused() {
                return None;
            }
            let (sender, under_way) = watch::channel(());
            let flight = Flight {
                started: Instant::now(),
                under_way,
            };
            flights.insert(*id.as_bytes(), flight.clone());
            (sender, flight)
        };
        let landing = Landing {
            shared: Arc::clone(shared),
            id: *id.as_bytes(),
            _under_way: under_way,
        };
        let id = id.clone();
        shared.runtime.spawn(async move {
            if timeout(FLIGHT_TIMEOUT, landing.shared.fly(&id))
                .await
                .is_err()
            {
                tracing::warn!("renewing a session took too long, and was given up");
            }
        });
        Some(flight)
    }

    /// Waits until nothing is under way, for `limit` at most: a provider may have replaced a token that is not written
    /// down yet.
    pub async fn drain(&self, limit: Duration) {
        let flights: Vec<Flight> = self.0.flights().values().cloned().collect();
        let landed = async {
            for mut flight in flights {
                // It ends.
                let _ = flight.under_way.changed().await;
            }
        };
        if timeout(limit, landed).await.is_err() {
            tracing::warn!(
                "stopped while sessions were being renewed: some may have to sign in again"
            );
        }
    }
}

impl Shared {
    fn flights(&self) -> MutexGuard<'_, HashMap<[u8; 32], Flight>> {
        // Each change is a single step, so a panic elsewhere has not harmed it.
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_store_paused(&self) -> bool {
        let failed = self.store_failed.lock();
        let failed = *failed.unwrap_or_else(PoisonError::into_inner);
        failed.is_some_and(|failed| failed.elapsed() < STORE_PAUSE)
    }

    fn note_store(&self, has_failed: bool) {
        let failed = self.store_failed.lock();
        *failed.unwrap_or_else(PoisonError::into_inner) = has_failed.then(Instant::now);
    }

    /// Renews a session, or waits until another replica has.
    async fn fly(&self, id: &SessionId) {
        loop {
            match self.renewer.sessions.lease_renewal(id).await {
                Ok(Some(lease)) => {
                    self.note_store(false);
                    let result = self.renewer.renew_under(lease, id).await;
                    // What another one had begun may be old by now.
                    if result != Some(RefreshResult::Completed) {
                        return;
                    }
                }
                Ok(None) => sleep(POLL).await,
                Err(error) => {
                    self.note_store(true);
                    tracing::debug!(%error, "no session can be renewed");
                    return;
                }
            }
            match self.renewer.sessions.peek(id).await {
                Ok(Some(session)) if self.renewer.may_try(&session) => {}
                // It is renewed, or was tried, or has ended; or it cannot be told.
                _ => return,
            }
        }
    }
}
