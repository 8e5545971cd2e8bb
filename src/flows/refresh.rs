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
use crate::domain::time::Timestamp;
use crate::flows::Gate;
use crate::oidc::RelyingParty;
use crate::store::StoreError;
use crate::store::session_cache::Known;
use crate::store::sessions::Sessions;
use crate::store::users::Users;
use crate::telemetry::metrics::Metrics;

/// How long a request waits for all of it, from when it brings its session; and how much of that for a renewal: the rest
/// is for looking at the session once more.
const PATIENCE: Duration = Duration::from_secs(3);
const WAIT: Duration = Duration::from_millis(2_700);

/// How many sessions are renewed at once, by this replica.
const MAX_FLIGHTS: usize = 256;

/// How long another holder of the lease is waited for, with one who dies. What is done under the lease has bounds of its
/// own, and is not broken off.
const LEASE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long it is until it is looked again what another holder of the lease has done: more each time.
const FIRST_POLL: Duration = Duration::from_millis(150);
const LAST_POLL: Duration = Duration::from_secs(1);

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
    /// That the store did not let a lease be taken, if that was so the last time.
    store_failed: Mutex<Option<StoreFailure>>,
}

/// The store lets nothing be renewed.
#[derive(Clone, Copy)]
struct StoreFailure {
    /// When it did not, the last time.
    tried: Instant,
    /// Since when, by the clock of the sessions; and when one of them was to be renewed in vain, the last time.
    since: Timestamp,
    met: Timestamp,
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
        let began = Instant::now();
        let Some(session) = self.sessions.load(id).await? else {
            return Ok(None);
        };
        self.refresher.vouch(id, session, began).await
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
        began: Instant,
    ) -> Result<Option<Arc<Known>>, StoreError> {
        let shared = &self.0;
        match shared.renewer.standing(&session) {
            Standing::Valid => Ok(Some(session)),
            Standing::Due => {
                self.renew(id);
                Ok(Some(session))
            }
            Standing::Lapsed => self.vouch_for_lapsed(id, session, began).await,
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
        began: Instant,
    ) -> Result<Option<Arc<Known>>, StoreError> {
        let shared = &self.0;
        let (mut is_unknown, mut was_waited_for) = (false, false);
        if shared.renewer.may_try(&session) {
            if let Some(mut flight) = self.renew(id) {
                // A provider that hangs holds up nobody who comes later.
                let left = WAIT.saturating_sub(flight.started.min(began).elapsed());
                // Nothing is ever sent: it ends.
                let _ = timeout(left, flight.under_way.changed()).await;
                was_waited_for = true;
            } else {
                is_unknown = true;
            }
        }
        // Where nothing was waited for, nothing is newer.
        if was_waited_for {
            let left = PATIENCE.saturating_sub(began.elapsed());
            // Where there is no time left: it lived a moment ago.
            if let Ok(found) = timeout(left, shared.renewer.sessions.peek(id)).await {
                match found? {
                    Some(renewed) => session = renewed,
                    None => return Ok(None),
                }
            }
        }
        match shared.renewer.standing(&session) {
            Standing::Valid | Standing::Due => return Ok(Some(session)),
            Standing::Over => return Ok(None),
            Standing::Lapsed => {}
        }
        let store = shared.store_outage();
        if store == StoreOutage::TooLong {
            return Err(cannot_be_renewed());
        }
        // A slow provider counts as one that fails.
        if shared.renewer.outlasts_failure(&session) {
            return Ok(Some(session));
        }
        // Nobody was asked, so nobody is sent to sign in: that cannot be written down either.
        if is_unknown || store != StoreOutage::None {
            return Err(cannot_be_renewed());
        }
        Ok(None)
    }

    /// Has the session of `id` renewed in the background; `None` when too much is going on.
    fn renew(&self, id: &SessionId) -> Option<Flight> {
        let shared = &self.0;
        let (under_way, flight) = {
            let mut flights = shared.flights();
            if let Some(flight) = flights.get(id.as_bytes()) {
                return Some(flight.clone());
            }
            if flights.len() >= MAX_FLIGHTS || shared.meets_failed_store() {
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
            landing.shared.fly(&id).await;
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

    fn store_failed(&self) -> MutexGuard<'_, Option<StoreFailure>> {
        // A single value: a panic elsewhere has not harmed it.
        let failed = self.store_failed.lock();
        failed.unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a session that is to be renewed meets a store that has just let none be renewed.
    fn meets_failed_store(&self) -> bool {
        let now = self.renewer.clock.now();
        let mut noted = self.store_failed();
        let recent = noted.as_mut().filter(|it| it.tried.elapsed() < STORE_PAUSE);
        recent.is_some_and(|failure| {
            failure.met = now;
            true
        })
    }

    fn note_store(&self, has_failed: bool) {
        let now = self.renewer.clock.now();
        let mut noted = self.store_failed();
        *noted = has_failed.then(|| {
            // As with failures of the provider: one before a pause says nothing about what comes after.
            let before = noted.filter(|it| now < it.met.plus(self.renewer.rules.grace));
            StoreFailure {
                tried: Instant::now(),
                since: before.map_or(now, |it| it.since.min(now)),
                met: now,
            }
        });
    }

    fn store_outage(&self) -> StoreOutage {
        match *self.store_failed() {
            None => StoreOutage::None,
            Some(failed)
                if self.renewer.clock.now() < failed.since.plus(self.renewer.rules.grace) =>
            {
                StoreOutage::Outlasted
            }
            Some(_) => StoreOutage::TooLong,
        }
    }

    /// Renews a session, or waits until another replica has.
    async fn fly(&self, id: &SessionId) {
        let began = Instant::now();
        let mut poll = FIRST_POLL;
        while began.elapsed() < LEASE_TIMEOUT {
            match self.renewer.sessions.lease_renewal(id).await {
                Ok(Some(lease)) => {
                    self.note_store(false);
                    let result = self.renewer.renew_under(lease, id).await;
                    // What another one had begun may be old by now.
                    if result != Some(RefreshResult::Completed) {
                        return;
                    }
                }
                Ok(None) => {
                    sleep(poll).await;
                    poll = next_poll(poll);
                }
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
        tracing::warn!("a session is being renewed elsewhere, and it takes too long");
    }
}

/// What the store's failures mean for sessions that have lapsed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum StoreOutage {
    /// It takes what a renewal writes, as far as is known.
    None,
    /// It does not, and they are kept for now.
    Outlasted,
    /// It has not for longer than they are kept.
    TooLong,
}

fn cannot_be_renewed() -> StoreError {
    StoreError::Unreachable("a session that has lapsed cannot be renewed".into())
}

fn next_poll(poll: Duration) -> Duration {
    (poll * 3 / 2).min(LAST_POLL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_waits_for_another_holder_asks_ever_less_often() {
        let polls = std::iter::successors(Some(FIRST_POLL), |poll| Some(next_poll(*poll)));
        let within_a_lease = polls.scan(Duration::ZERO, |waited, poll| {
            *waited += poll;
            (*waited < Duration::from_secs(25)).then_some(poll)
        });
        let polls: Vec<_> = within_a_lease.collect();
        assert!(polls.len() < 30, "{}", polls.len());
        assert!(
            polls.is_sorted() && polls.last() == Some(&LAST_POLL),
            "{polls:?}"
        );
    }
}
