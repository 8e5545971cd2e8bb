//! Sessions, written once on top of any [`Store`].
//!
//! A session is two records under a hash of its id, each sealed whole with its own key as context: what
//! every request reads, and the tokens, which only a logout needs. What does not open (torn, foreign, or
//! sealed with a retired key) is nobody's session, and is left to its lifetime.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use secrecy::{SecretString, zeroize::Zeroizing};
use thiserror::Error;

use crate::clock::{Clock, Instant};
use crate::domain::identity::Identity;
use crate::domain::renewal::Renewal;
use crate::domain::session::{Session, SessionId, SessionLifetime};
use crate::domain::telling::Prepared;
use crate::domain::time::Timestamp;
use crate::domain::upstream_key::Tokens;
use crate::store::sealing::{Keyring, Purpose, random};
use crate::store::session_cache::{Known, Look, Reading, SessionCache};
use crate::store::session_records::{
    SessionName, TokenRecord, decode, encode, hash, session_key, tokens_key, user_index,
};
use crate::store::{Record, RecordKey, Store, StoreError, Version};

mod endings;
mod lists;
mod logout_tokens;
mod walk;

pub use self::endings::{EndedEverywhere, EndingsSoFar, Partly};
pub use self::walk::{NameMatch, NameStart, Named, SessionPage};

/// How many sessions a person has at most; one more ends the one that would end first.
const MAX_SESSIONS_PER_USER: usize = 200;

/// Once the use of a session could not be noted, how long until that is tried again, for anybody's: a store
/// that takes nothing must not hold up every request of those whose use is worth noting.
const TOUCH_PAUSE: Duration = Duration::from_secs(5);

/// What a completed login brings.
pub struct Login {
    /// Who signed in.
    pub identity: Identity,
    /// The tokens: the provider wants the ID token back at logout (`id_token_hint`), and apps may be shown the others.
    pub tokens: Tokens,
    /// How long the access token lives, where the provider says so.
    pub expires_in: Option<Duration>,
    /// The nonce of the login.
    pub nonce: String,
    /// When the person proved who they are.
    pub auth_time: Option<Timestamp>,
    /// How.
    pub amr: Vec<String>,
    /// The provider's own name for its session.
    pub sid: Option<String>,
}

/// Says whose it is. Neither the tokens nor the nonce that their renewals are checked by.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("identity", &self.identity)
            .field("expires_in", &self.expires_in)
            .field("auth_time", &self.auth_time)
            .field("amr", &self.amr)
            .field("sid", &self.sid)
            .finish_non_exhaustive()
    }
}

/// What is known of a session that has been ended.
#[derive(Debug, Default)]
pub struct Ended {
    /// Whose it was, if it lived.
    pub identity: Option<Identity>,
    /// Its ID token, if there was one.
    pub id_token: Option<SecretString>,
}

/// Why a login began no session.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BeginError {
    /// The store does not say that it was written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It was ended while it was on its way: everywhere, or at the provider.
    #[error("the session was ended before it began")]
    Ended,
}

/// The sessions of everybody.
pub struct Sessions {
    pub(super) store: Arc<dyn Store>,
    keyring: Arc<Keyring>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) lifetime: SessionLifetime,
    /// Those in use; `None` where all are read from the store.
    cache: Option<Arc<SessionCache>>,
    /// Whether the store could not tell, the last time that it was asked for a record.
    is_unreadable: AtomicBool,
    /// When the use of a session could not be noted, if that was so the last time that it was tried.
    touch_failed: Mutex<Option<Timestamp>>,
}

impl Sessions {
    /// Keeps sessions in `store`.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        keyring: Arc<Keyring>,
        clock: Arc<dyn Clock>,
        lifetime: SessionLifetime,
    ) -> Self {
        Self {
            store,
            keyring,
            clock,
            lifetime,
            cache: None,
            is_unreadable: AtomicBool::new(false),
            touch_failed: Mutex::default(),
        }
    }

    /// Keeps those in use in `cache`, which is told of all that happens in the store.
    #[must_use]
    pub fn cached(self, cache: Arc<SessionCache>) -> Self {
        Self {
            cache: Some(cache),
            ..self
        }
    }

    /// How long sessions live.
    #[must_use]
    pub const fn lifetime(&self) -> SessionLifetime {
        self.lifetime
    }

    /// Begins a session, always under a new id. `before` is from before the login's code was sent to the provider.
    ///
    /// # Errors
    ///
    /// [`BeginError`]: then there is no session.
    pub async fn begin(&self, login: Login, before: EndingsSoFar) -> Result<SessionId, BeginError> {
        let id = SessionId::from_bytes(random());
        let now = self.clock.now();
        let is_renewable = login.tokens.refresh.is_some();
        let session = Session {
            renewal: Some(Renewal::of(0, is_renewable, login.expires_in, now)),
            identity: login.identity,
            created: now,
            seen: now,
            auth_time: login.auth_time,
            amr: login.amr,
            in_vain: None,
            sid: login.sid,
        };
        let member = hash(&id);
        let lives = self.lifetime.end_of(&session).since(now);
        // The lists first, then the tokens: a session that can be seen can be found by its owner's name, and
        // be ended at the provider.
        self.enlist(&member, &session, lives).await?;
        let tokens = TokenRecord::of(&login.tokens, &login.nonce);
        if let Err(error) = self.write(&member, &session, &tokens, lives).await {
            // What cannot be taken off is left to its lifetime.
            let _ = self.leave_lists(&member, &session, None).await;
            return Err(error.into());
        }
        let ended = self.ended_since(before, &session).await;
        if ended != Ok(false) {
            // If this fails, it is left to its lifetime: nobody has learnt its id.
            let _ = self.end(&id).await;
            ended?;
            return Err(BeginError::Ended);
        }
        self.end_surplus(&user_index(&session.identity)).await;
        Ok(id)
    }

    async fn write(
        &self,
        member: &str,
        session: &Session,
        tokens: &TokenRecord,
        lives: Duration,
    ) -> Result<(), StoreError> {
        let (session_key, tokens_key) = (session_key(member), tokens_key(member));
        let tokens = self.seal(Purpose::Tokens, &tokens_key, &encode(tokens));
        self.create(&tokens_key, &tokens, lives).await?;
        let record = self.seal(Purpose::Session, &session_key, &encode(session));
        if let Err(error) = self.create(&session_key, &record, lives).await {
            // Whatever cannot be taken away either is left to its lifetime.
            let _ = self.store.delete(&tokens_key).await;
            return Err(error);
        }
        Ok(())
    }

    /// Keeps the number of one person's sessions bounded: those that would end first go.
    async fn end_surplus(&self, index: &RecordKey) {
        let ended = async {
            let members = self.store.members(index).await?;
            let surplus = members.len().saturating_sub(MAX_SESSIONS_PER_USER);
            for member in members.iter().take(surplus) {
                self.end_listed(index, member).await?;
            }
            Ok::<_, StoreError>(())
        };
        if let Err(error) = ended.await {
            tracing::warn!(%error, "a person's oldest sessions are left to their lifetime");
        }
    }

    async fn create(
        &self,
        key: &RecordKey,
        value: &[u8],
        lifetime: Duration,
    ) -> Result<(), StoreError> {
        if self.store.create(key, value, lifetime).await? {
            return Ok(());
        }
        // Two equal ids of 256 random bits: the random numbers are broken, and nobody gets in by that.
        Err(StoreError::Unreachable(
            "a new session id exists already".into(),
        ))
    }

    /// The live session; `None` if it never was, has expired or was ended. Notes the use, at most once per
    /// tenth of the idle time-out.
    ///
    /// # Errors
    ///
    /// [`StoreError`], when the store cannot tell.
    pub async fn load(&self, id: &SessionId) -> Result<Option<Arc<Known>>, StoreError> {
        let name = SessionName::of(id);
        let Some(cache) = &self.cache else {
            let found = self.look_up(name, Instant::now()).await?;
            return self.noted(found).await;
        };
        let reading = match cache.look(&name) {
            Look::Known(known) => {
                let lives = self.lifetime.is_live(&known, self.clock.now());
                return self.noted(lives.then_some(known)).await;
            }
            Look::Unknown(reading) => reading,
        };
        match self.look_up_to_keep(cache, name, reading).await {
            Ok(found) => self.noted(found).await,
            // Nothing can be noted now.
            Err(error) => self.outlasting(cache, &name, error).map(Some),
        }
    }

    /// The live session, as the store has it, without noting a use of it. While that does not answer, and for as long as a
    /// grace goes on, the session as it was known.
    ///
    /// # Errors
    ///
    /// [`StoreError`], when the store cannot tell.
    pub async fn peek(&self, id: &SessionId) -> Result<Option<Arc<Known>>, StoreError> {
        let name = SessionName::of(id);
        let Some(cache) = &self.cache else {
            return self.look_up(name, Instant::now()).await;
        };
        let reading = cache.begin(&name);
        match self.look_up_to_keep(cache, name, reading).await {
            Ok(found) => Ok(found),
            Err(error) => self.outlasting(cache, &name, error).map(Some),
        }
    }

    /// The session, from the store, and kept where it may be.
    async fn look_up_to_keep(
        &self,
        cache: &SessionCache,
        name: SessionName,
        reading: Reading,
    ) -> Result<Option<Arc<Known>>, StoreError> {
        let found = self.look_up(name, reading.begun).await?;
        if let Some(known) = &found {
            cache.fill(reading, known);
        }
        Ok(found)
    }

    /// The session as it was known, where `error` says that the store does not answer and a grace goes on.
    fn outlasting(
        &self,
        cache: &SessionCache,
        name: &SessionName,
        error: StoreError,
    ) -> Result<Arc<Known>, StoreError> {
        if !matches!(error, StoreError::Unreachable(_)) {
            return Err(error);
        }
        let lives = |known: &Arc<Known>| self.lifetime.is_live(known, self.clock.now());
        cache.outlasting(name).filter(lives).ok_or(error)
    }

    /// The session, from the store.
    pub(super) async fn look_up(
        &self,
        name: SessionName,
        begun: Instant,
    ) -> Result<Option<Arc<Known>>, StoreError> {
        let found = self.read(&session_key(&name.member())).await?;
        Ok(found.map(|(session, version)| Arc::new(Known::new(name, session, version, begun))))
    }

    /// `found`, with its use noted where that is due.
    async fn noted(&self, found: Option<Arc<Known>>) -> Result<Option<Arc<Known>>, StoreError> {
        let Some(known) = found else {
            return Ok(None);
        };
        let now = self.clock.now();
        if !self.lifetime.is_touch_due(&known, now) || self.is_touch_paused(now) {
            return Ok(Some(known));
        }
        // One of all that come at the same moment will do.
        let Some(_touching) = known.touching() else {
            return Ok(Some(known));
        };
        self.touch(&known).await
    }

    /// Keeps what the app at `place` is told of a session, for as long as the session is known.
    pub fn keep_prepared(&self, known: &Arc<Known>, place: usize, telling: Arc<Prepared>) {
        if let Some(cache) = &self.cache {
            cache.keep(known, place, telling);
        }
    }

    /// Reads a session's record. Whoever asks, and for whatever: what is found to be over counts as over here from now on.
    pub(super) async fn read(
        &self,
        key: &RecordKey,
    ) -> Result<Option<(Session, Version)>, StoreError> {
        let record = self.fetch(key).await?;
        let session = record.and_then(|record| {
            let plain = self
                .keyring
                .open(Purpose::Session, key.as_str().as_bytes(), &record.value)
                .ok()?;
            let session = decode::<Session>(&plain)?;
            Some((session, record.version))
        });
        let session =
            session.filter(|(session, _)| self.lifetime.is_live(session, self.clock.now()));
        if session.is_none()
            && let Some(name) = SessionName::of_record(key.as_str())
        {
            self.forget(&name);
        }
        Ok(session)
    }

    /// Has nobody here be answered by what is known of a session.
    pub(super) fn forget(&self, name: &SessionName) {
        if let Some(cache) = &self.cache {
            cache.forget(name);
        }
    }

    /// Reads a record. One line when the store begins to be unable to tell, and one when it can again: there may be
    /// hundreds of requests a second.
    async fn fetch(&self, key: &RecordKey) -> Result<Option<Record>, StoreError> {
        let record = self.store.get(key).await;
        let failed = record.is_err();
        if failed != self.is_unreadable.load(Ordering::Relaxed)
            && failed != self.is_unreadable.swap(failed, Ordering::Relaxed)
        {
            if let Err(error) = &record {
                tracing::error!(%error, "sessions cannot be looked up: whoever brings one gets 503");
            } else {
                tracing::info!("sessions can be looked up again");
            }
        }
        record
    }

    async fn touch(&self, known: &Arc<Known>) -> Result<Option<Arc<Known>>, StoreError> {
        let begun = Instant::now();
        let written = self
            .write_touch(&known.name.member(), known, known.version)
            .await;
        self.note_touch(written.as_ref().err());
        match written {
            // Which version was written is not known: the next reading tells.
            Ok(Some(touched)) => Ok(Some(Arc::new(Known::new(
                known.name,
                touched,
                known.version,
                begun,
            )))),
            // Somebody else wrote meanwhile, or ended it: what stands there now counts.
            Ok(None) => {
                let now_there = self.look_up(known.name, begun).await?;
                if now_there.is_none() {
                    // It was put on its lists for the touch. What cannot be taken off is left to its lifetime.
                    let _ = self.leave_lists(&known.name.member(), known, None).await;
                }
                Ok(now_there)
            }
            // The session was read, and it lives; that its use cannot be noted is no reason to refuse it.
            Err(_) => Ok(Some(Arc::clone(known))),
        }
    }

    /// Whether the last attempt to note a use failed a moment ago. A clock that was set back does not prolong that.
    fn is_touch_paused(&self, now: Timestamp) -> bool {
        let failed = *self.touch_failed();
        failed.is_some_and(|failed| failed <= now && now.since(failed) < TOUCH_PAUSE)
    }

    /// One line when noting the use of sessions begins to fail, and one when it goes well again.
    fn note_touch(&self, error: Option<&StoreError>) {
        let before = match error {
            Some(_) => self.touch_failed().replace(self.clock.now()),
            None => self.touch_failed().take(),
        };
        match (error, before) {
            (Some(error), None) => tracing::warn!(
                %error,
                "the use of sessions cannot be noted: those who are signed in stay so for the rest of \
                 session.idle_timeout"
            ),
            (None, Some(_)) => tracing::info!("the use of sessions is noted again"),
            _ => {}
        }
    }

    fn touch_failed(&self) -> MutexGuard<'_, Option<Timestamp>> {
        // A single value: a panic elsewhere has not harmed it.
        self.touch_failed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes `session` over its record, as used just now; `None` when that is another one by now, or has ended.
    pub(super) async fn write_touch(
        &self,
        member: &str,
        session: &Session,
        version: Version,
    ) -> Result<Option<Session>, StoreError> {
        let touched = Session {
            seen: self.clock.now(),
            ..session.clone()
        };
        let lives = self.lifetime.end_of(&touched).since(touched.seen);
        let key = session_key(member);
        let record = self.seal(Purpose::Session, &key, &encode(&touched));
        // What goes with the record before the record, so that it never ends sooner.
        let tokens = tokens_key(member);
        tokio::try_join!(
            self.enlist(member, &touched, lives),
            self.store.prolong(&tokens, lives)
        )?;
        let written = self.store.replace(&key, version, &record, lives).await?;
        Ok(written.then_some(touched))
    }

    /// The tokens of a session; none where there are none, or where they do not open.
    ///
    /// # Errors
    ///
    /// [`StoreError`], when the store cannot tell.
    pub async fn tokens(&self, id: &SessionId) -> Result<Tokens, StoreError> {
        let found = self.read_tokens(&tokens_key(&hash(id))).await?;
        Ok(found.map(|(record, _)| record.tokens()).unwrap_or_default())
    }

    pub(super) async fn read_tokens(
        &self,
        key: &RecordKey,
    ) -> Result<Option<(TokenRecord, Version)>, StoreError> {
        let found = self.read_sealed_tokens(key).await?;
        Ok(found.and_then(|(tokens, version)| Some((tokens?, version))))
    }

    /// The record of the tokens, without what is in it where it does not open.
    pub(super) async fn read_sealed_tokens(
        &self,
        key: &RecordKey,
    ) -> Result<Option<(Option<TokenRecord>, Version)>, StoreError> {
        let Some(record) = self.fetch(key).await? else {
            return Ok(None);
        };
        let plain = self
            .keyring
            .open(Purpose::Tokens, key.as_str().as_bytes(), &record.value)
            .map(Zeroizing::new);
        let tokens = plain.ok().and_then(|plain| decode::<TokenRecord>(&plain));
        Ok(Some((tokens, record.version)))
    }

    /// Whether the store answers.
    ///
    /// # Errors
    ///
    /// [`StoreError`], when it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.store.ping().await
    }

    pub(super) fn seal(&self, purpose: Purpose, key: &RecordKey, plain: &[u8]) -> Vec<u8> {
        self.keyring.seal(purpose, key.as_str().as_bytes(), plain)
    }
}

#[cfg(test)]
pub(crate) mod ending_races;
#[cfg(test)]
mod ending_tests;

#[cfg(test)]
#[path = "sessions_tests.rs"]
mod tests;
