//! Renewing the tokens of sessions, and through that knowing who somebody still is: groups that were taken away, people
//! who were disabled.
//!
//! It is done for sessions that are in use, before their access token lapses, in the background. One task a session does
//! it here, and one holder of the lease among all replicas; the others look at the session until it is done. Nobody waits
//! for that unless nothing valid is left, and then for three seconds at most.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::clock::Clock;
use crate::domain::renewal::{Renewal, RenewalRules, Standing};
use crate::domain::session::{Session, SessionId};
use crate::domain::upstream_key::Tokens;
use crate::flows::Gate;
use crate::oidc::{RefreshError, RelyingParty};
use crate::store::StoreError;
use crate::store::lease::Lease;
use crate::store::renewals::{Found, Renewing};
use crate::store::session_cache::Known;
use crate::store::sessions::Sessions;
use crate::store::users::Users;
use crate::telemetry::audit;

/// How long a request waits for a renewal; what is left of three seconds is for looking at the session.
const WAIT: Duration = Duration::from_millis(2_700);

/// How many sessions are renewed at once, by this replica.
const MAX_FLIGHTS: usize = 256;

/// The longest that one renewal may take, with waiting for another holder of the lease who dies.
const FLIGHT_TIMEOUT: Duration = Duration::from_secs(90);

/// How often it is looked what another holder of the lease has done.
const POLL: Duration = Duration::from_millis(150);

/// How old a lease may be when the provider is asked under it: what is left is longer than the answer may take.
const SPENT: Duration = Duration::from_secs(1);

/// Once the store did not let a lease be taken, how long until that is tried again, for anybody's session.
const STORE_PAUSE: Duration = Duration::from_secs(5);

/// What came of renewing one session. There is one for each attempt, and for each session that is found to be over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshResult {
    /// The tokens are new.
    Renewed,
    /// Another attempt had renewed the tokens, and could not have the session say so. Now it does.
    Completed,
    /// The provider was not there, or its answer is not believed. The session is kept for now.
    Unavailable,
    /// The provider refuses, for a reason that is not the person's. The session is kept for now.
    Misconfigured,
    /// The store did not take what was to be written.
    NotStored,
    /// Somebody else has the lease by now, or has written other tokens.
    Overtaken,
    /// The session had ended meanwhile, and stays so.
    SessionGone,
    /// Ended: the provider has ended the grant.
    GrantEnded,
    /// Ended: the answer was about another person, or from another issuer.
    AnotherSubject,
    /// Ended: renewing has failed for as long as it may.
    GraceOver,
    /// Ended: its tokens are gone from the store.
    TokensGone,
    /// Ended: the access token has lapsed, there is no refresh token, and `session.without_refresh` is `"token"`.
    TokenLapsed,
}

impl RefreshResult {
    /// A stable name for logs and metrics.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Renewed => "renewed",
            Self::Completed => "completed",
            Self::Unavailable => "provider_unavailable",
            Self::Misconfigured => "misconfigured",
            Self::NotStored => "not_stored",
            Self::Overtaken => "overtaken",
            Self::SessionGone => "session_gone",
            Self::GrantEnded => "grant_ended",
            Self::AnotherSubject => "another_subject",
            Self::GraceOver => "grace_over",
            Self::TokensGone => "tokens_gone",
            Self::TokenLapsed => "token_lapsed",
        }
    }

    /// Whether the session ended by it.
    #[must_use]
    pub const fn is_end(self) -> bool {
        matches!(
            self,
            Self::GrantEnded
                | Self::AnotherSubject
                | Self::GraceOver
                | Self::TokensGone
                | Self::TokenLapsed
        )
    }
}

/// Renews sessions. Clones are the same one.
#[derive(Clone)]
pub struct Refresher(Arc<Shared>);

struct Shared {
    sessions: Arc<Sessions>,
    users: Arc<Users>,
    relying_party: Arc<RelyingParty>,
    clock: Arc<dyn Clock>,
    rules: RenewalRules,
    /// Where it is done: not where requests are answered, and for as long as the service runs.
    runtime: Handle,
    flights: Mutex<HashMap<[u8; 32], Flight>>,
    /// When the store did not let a lease be taken, if that was so the last time.
    store_failed: Mutex<Option<Instant>>,
    /// Whether the last attempt failed, whosever session it was for.
    is_failing: AtomicBool,
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
    ) -> Self {
        Self(Arc::new(Shared {
            sessions,
            users,
            relying_party,
            clock,
            rules,
            runtime: Handle::current(),
            flights: Mutex::default(),
            store_failed: Mutex::default(),
            is_failing: AtomicBool::new(false),
        }))
    }

    /// `session`, if it counts; as it is after a renewal, where it has to be waited for.
    async fn vouch(
        &self,
        id: &SessionId,
        session: Arc<Known>,
    ) -> Result<Option<Arc<Known>>, StoreError> {
        let shared = &self.0;
        match shared.rules.standing(&session, shared.clock.now()) {
            Standing::Valid => Ok(Some(session)),
            Standing::Due => {
                self.renew(id);
                Ok(Some(session))
            }
            Standing::Lapsed => self.vouch_for_lapsed(id, session).await,
            Standing::Over => {
                shared.end_lapsed(id, &session).await;
                Ok(None)
            }
        }
    }

    async fn vouch_for_lapsed(
        &self,
        id: &SessionId,
        session: Arc<Known>,
    ) -> Result<Option<Arc<Known>>, StoreError> {
        let shared = &self.0;
        let may_try = shared.rules.may_try(&session, shared.clock.now());
        if may_try && let Some(mut flight) = self.renew(id) {
            // A provider that hangs holds up nobody who comes later.
            let left = WAIT.saturating_sub(flight.started.elapsed());
            // Nothing is ever sent: it ends.
            let _ = timeout(left, flight.under_way.changed()).await;
        }
        let Some(session) = shared.sessions.peek(id).await? else {
            return Ok(None);
        };
        let now = shared.clock.now();
        Ok(match shared.rules.standing(&session, now) {
            Standing::Valid | Standing::Due => Some(session),
            // A slow provider counts as one that fails.
            Standing::Lapsed if shared.rules.outlasts_failure(&session, now) => Some(session),
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
            match self.sessions.lease_renewal(id).await {
                Ok(Some(lease)) => {
                    self.note_store(false);
                    return self.renew_under(lease, id).await;
                }
                Ok(None) => {}
                Err(error) => {
                    self.note_store(true);
                    tracing::debug!(%error, "no session can be renewed");
                    return;
                }
            }
            sleep(POLL).await;
            match self.sessions.peek(id).await {
                Ok(Some(session)) if self.rules.may_try(&session, self.clock.now()) => {}
                // It is renewed, or was tried, or has ended; or it cannot be told.
                _ => return,
            }
        }
    }

    async fn renew_under(&self, mut lease: Lease<'_>, id: &SessionId) {
        let attempted = self.attempt(&mut lease, id).await;
        // Whatever was to be written is: whoever has the lease next reads it.
        lease.release().await;
        if let Some((result, session)) = attempted {
            self.note(result, &session);
        }
    }

    /// Renews a session under the lease. `None` when there is nothing to do.
    async fn attempt(
        &self,
        lease: &mut Lease<'_>,
        id: &SessionId,
    ) -> Option<(RefreshResult, Session)> {
        let found = match self.sessions.open_renewal(id).await {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!(%error, "a session that is to be renewed cannot be looked up");
                return None;
            }
        };
        let renewing = match found {
            Found::Nothing => return None,
            // Others may have renewed it before we had the lease.
            Found::Whole(renewing) if !self.may_try(&renewing.session) => return None,
            Found::Whole(renewing) => renewing,
            Found::WithoutTokens(session) if !self.may_try(&session) => return None,
            Found::WithoutTokens(session) => {
                let ended = self.sessions.end(id).await;
                let result = ended.map_or(RefreshResult::NotStored, |_| RefreshResult::TokensGone);
                return Some((result, *session));
            }
        };
        let session = renewing.session.clone();
        if renewing.is_ahead() {
            return Some((self.complete(&renewing).await, session));
        }
        // The process may have stood still since it took the lease.
        let is_held = lease.confirm(SPENT).await;
        let result = match is_held {
            Ok(true) => lease.keep_while(self.ask(*renewing)).await,
            Ok(false) => None,
            Err(_) => Some(RefreshResult::NotStored),
        };
        Some((result.unwrap_or(RefreshResult::Overtaken), session))
    }

    fn may_try(&self, session: &Session) -> bool {
        self.rules.may_try(session, self.clock.now())
    }

    /// Asks the provider, and writes down what it says.
    async fn ask(&self, mut renewing: Renewing) -> RefreshResult {
        let mut tokens = renewing.tokens();
        let Some(refresh_token) = tokens.refresh.take() else {
            return self.end(&renewing, RefreshResult::TokensGone).await;
        };
        let issuer = &renewing.session.identity.issuer;
        let refreshed = match self.relying_party.refresh(&refresh_token, issuer).await {
            Ok(refreshed) => refreshed,
            Err(error) => return self.failed(&renewing, &error).await,
        };
        let answered = self.clock.now();
        // Most providers know the old one no more. So the new one is kept before anything can go wrong with the rest.
        let replaced = refreshed.refresh_token().cloned();
        let is_replaced = replaced.is_some();
        tokens.refresh = replaced.or(Some(refresh_token));
        if is_replaced
            && let Err(result) = kept(self.sessions.keep_tokens(&mut renewing, &tokens).await)
        {
            return result;
        }
        let identity = &renewing.session.identity;
        let confirmed = self
            .relying_party
            .confirm(&refreshed, identity, renewing.nonce())
            .await;
        let confirmed = match confirmed {
            Ok(confirmed) => confirmed,
            Err(error) => return self.failed(&renewing, &error).await,
        };
        let serial = renewing.serial() + 1;
        let renewal = Renewal::of(serial, true, refreshed.expires_in(), answered);
        let tokens = Tokens {
            access: Some(confirmed.access_token),
            // The provider wants the newest one back at logout.
            id: confirmed.id_token.or(tokens.id),
            refresh: tokens.refresh,
        };
        let person = (confirmed.identity, confirmed.sid, renewal);
        let written = self.sessions.keep_renewed(&mut renewing, &tokens, person);
        match kept(written.await) {
            Ok(()) => match self.complete(&renewing).await {
                RefreshResult::Completed => RefreshResult::Renewed,
                other => other,
            },
            Err(result) => result,
        }
    }

    /// Has the session and the person's record say what came with its tokens.
    async fn complete(&self, renewing: &Renewing) -> RefreshResult {
        let session = match self.sessions.finish_renewal(renewing).await {
            Ok(Some(session)) => session,
            Ok(None) => return RefreshResult::SessionGone,
            Err(error) => {
                tracing::warn!(%error, "a renewed session could not be written; the next request does it");
                return RefreshResult::NotStored;
            }
        };
        if let Err(error) = self.users.note(&session.identity).await {
            tracing::warn!(%error, "what the provider says of somebody could not be written down");
        }
        RefreshResult::Completed
    }

    async fn failed(&self, renewing: &Renewing, error: &RefreshError) -> RefreshResult {
        match error {
            RefreshError::Ended { .. } => {
                return self.end(renewing, RefreshResult::GrantEnded).await;
            }
            RefreshError::SomebodyElse => {
                return self.end(renewing, RefreshResult::AnotherSubject).await;
            }
            RefreshError::Refused { .. } | RefreshError::Answer(_) => {}
        }
        let result = if error.is_misconfiguration() {
            RefreshResult::Misconfigured
        } else {
            RefreshResult::Unavailable
        };
        self.log_failure(error);
        let now = self.clock.now();
        match self.sessions.note_failed_renewal(renewing, now).await {
            Ok(Some(session)) if self.is_given_up(&session) => {
                self.end(renewing, RefreshResult::GraceOver).await
            }
            Ok(Some(_)) => result,
            Ok(None) => RefreshResult::SessionGone,
            Err(error) => {
                tracing::debug!(%error, "that a session could not be renewed is not written down");
                result
            }
        }
    }

    /// Whether nothing is left of a session that could not be renewed.
    fn is_given_up(&self, session: &Session) -> bool {
        let now = self.clock.now();
        self.rules.standing(session, now) == Standing::Lapsed
            && !self.rules.outlasts_failure(session, now)
    }

    async fn end(&self, renewing: &Renewing, because: RefreshResult) -> RefreshResult {
        match self.sessions.end_renewing(renewing).await {
            Ok(true) => because,
            Ok(false) => RefreshResult::Overtaken,
            Err(error) => {
                tracing::error!(%error, reason = because.code(), "a session that is over could not be ended");
                RefreshResult::NotStored
            }
        }
    }

    /// Ends a session that has no refresh token, and whose access token has lapsed.
    async fn end_lapsed(&self, id: &SessionId, session: &Session) {
        match self.sessions.end(id).await {
            Ok(ended) => {
                if ended.identity.is_some() {
                    self.note(RefreshResult::TokenLapsed, session);
                }
            }
            // It counts no more, whether that is written down or not.
            Err(error) => tracing::debug!(%error, "a session that is over could not be ended"),
        }
    }

    /// One line when renewing begins to fail; the rest is for whoever looks closer. There may be thousands of sessions.
    fn log_failure(&self, error: &RefreshError) {
        let code = error.code();
        let was_failing = self.is_failing.swap(true, Ordering::Relaxed);
        match (was_failing, error.is_misconfiguration()) {
            (true, _) => tracing::debug!(%error, code, "a session could not be renewed"),
            (false, true) => tracing::error!(
                %error,
                code,
                "sessions cannot be renewed: the provider refuses us. They are kept for oidc.refresh_grace"
            ),
            (false, false) => tracing::warn!(
                %error,
                code,
                "sessions cannot be renewed: they are kept for oidc.refresh_grace"
            ),
        }
    }

    /// The one place where it is known what came of a renewal.
    fn note(&self, result: RefreshResult, session: &Session) {
        let identity = &session.identity;
        match result {
            RefreshResult::Renewed | RefreshResult::Completed => {
                if self.is_failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("sessions can be renewed again");
                }
                audit::refreshed(identity);
            }
            ended if ended.is_end() => audit::refresh_ended(identity, ended.code()),
            other => tracing::debug!(
                subject = identity.subject,
                result = other.code(),
                "a session was not renewed"
            ),
        }
    }
}

/// What it means whether tokens could be written.
fn kept(written: Result<bool, StoreError>) -> Result<(), RefreshResult> {
    match written {
        Ok(true) => Ok(()),
        Ok(false) => Err(RefreshResult::Overtaken),
        Err(error) => {
            tracing::error!(%error, "new tokens could not be written: their owner may have to sign in again");
            Err(RefreshResult::NotStored)
        }
    }
}
