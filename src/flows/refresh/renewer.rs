//! One renewal, under the lease: the provider asked, what it says written down, and what it means for the session.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::RefreshResult;
use crate::clock::Clock;
use crate::domain::renewal::{Renewal, RenewalRules, Standing};
use crate::domain::session::{Session, SessionId};
use crate::domain::upstream_key::Tokens;
use crate::oidc::{RefreshError, RelyingParty};
use crate::store::StoreError;
use crate::store::lease::Lease;
use crate::store::renewals::{Found, Renewing, serial_of};
use crate::store::sessions::Sessions;
use crate::store::users::Users;
use crate::telemetry::audit;
use crate::telemetry::metrics::Metrics;

/// How old a lease may be when the provider is asked under it: what is left is longer than the answer may take.
const SPENT: Duration = Duration::from_secs(1);

/// What a renewal needs.
pub(super) struct Renewer {
    pub(super) sessions: Arc<Sessions>,
    pub(super) users: Arc<Users>,
    pub(super) relying_party: Arc<RelyingParty>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) rules: RenewalRules,
    pub(super) metrics: Arc<Metrics>,
    /// Whether the last attempt failed, whosever session it was for.
    pub(super) is_failing: AtomicBool,
}

impl Renewer {
    /// What `session` is worth now.
    pub(super) fn standing(&self, session: &Session) -> Standing {
        self.rules.standing(session, self.clock.now())
    }

    /// Whether it counts although it could not be renewed.
    pub(super) fn outlasts_failure(&self, session: &Session) -> bool {
        self.rules.outlasts_failure(session, self.clock.now())
    }

    pub(super) fn may_try(&self, session: &Session) -> bool {
        self.rules.may_try(session, self.clock.now())
    }

    /// Renews a session, and gives the lease up. `None` when there was nothing to do.
    pub(super) async fn renew_under(
        &self,
        mut lease: Lease<'_>,
        id: &SessionId,
    ) -> Option<RefreshResult> {
        let attempted = self.attempt(&mut lease, id).await;
        // Whatever was to be written is: whoever has the lease next reads it.
        lease.release().await;
        let (result, session) = attempted?;
        self.note(result, &session);
        Some(result)
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
            Found::WithoutTokens(session) | Found::Unreadable(session)
                if !self.may_try(&session) =>
            {
                return None;
            }
            Found::Unreadable(session) => {
                return Some((self.unreadable(id, &session).await, *session));
            }
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
        Some((self.ask_under(lease, *renewing).await, session))
    }

    /// Asks the provider while the lease is held. Before anything is sent, a lost lease ends it: others may be using the
    /// same refresh token. Afterwards nothing does: what comes may be the only token that the provider still knows, and
    /// it is written over the one that was read and no other.
    async fn ask_under(&self, lease: &mut Lease<'_>, renewing: Renewing) -> RefreshResult {
        let issuer = &renewing.session.identity.issuer;
        match lease
            .keep_while(self.relying_party.await_provider(issuer))
            .await
        {
            Some(Ok(())) => {}
            Some(Err(error)) => return self.failed(&renewing, &error).await,
            None => return RefreshResult::Overtaken,
        }
        // The process may have stood still since it took the lease.
        match lease.confirm(SPENT).await {
            Ok(true) => lease.keep_through(self.ask(renewing)).await,
            Ok(false) => RefreshResult::Overtaken,
            Err(_) => RefreshResult::NotStored,
        }
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
        let renewal = session.renewal.as_ref();
        let said_at = renewal.map_or_else(|| self.clock.now(), |renewal| renewal.issued);
        if let Err(error) = self.users.note(&session.identity, said_at).await {
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
        let (id, serial) = (renewing.id(), renewing.serial());
        let failed = |renewal: &Renewal| self.rules.failed(renewal, now);
        let noted = self.sessions.note_failed_renewal(id, serial, failed);
        match noted.await {
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

    /// Tokens that do not open may do so elsewhere, or once the key is back: the session is kept while it may be, and
    /// then counts no more. Its records are left to their lifetime.
    async fn unreadable(&self, id: &SessionId, session: &Session) -> RefreshResult {
        let now = self.clock.now();
        let failed = |renewal: &Renewal| RenewalRules::unusable(renewal, now);
        let noted = self
            .sessions
            .note_failed_renewal(id, serial_of(session), failed);
        match noted.await {
            Ok(Some(_)) => RefreshResult::TokensUnreadable,
            Ok(None) => RefreshResult::SessionGone,
            Err(error) => {
                tracing::debug!(%error, "that a session could not be renewed is not written down");
                RefreshResult::TokensUnreadable
            }
        }
    }

    /// Whether nothing is left of a session that could not be renewed.
    fn is_given_up(&self, session: &Session) -> bool {
        self.standing(session) == Standing::Lapsed && !self.outlasts_failure(session)
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
    pub(super) async fn end_lapsed(&self, id: &SessionId, session: &Session) {
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
        self.metrics.refreshed(result.code());
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
