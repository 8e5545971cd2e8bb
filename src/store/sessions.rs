//! Sessions, written once on top of any [`Store`].
//!
//! A session is two records under a hash of its id, each sealed whole with its own key as context: what
//! every request reads, and the tokens, which only a logout needs. What does not open (torn, foreign, or
//! sealed with a retired key) is nobody's session, and is left to its lifetime.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::domain::identity::Identity;
use crate::domain::session::{Session, SessionId, SessionLifetime};
use crate::domain::time::Timestamp;
use crate::domain::upstream_key::Tokens;
use crate::store::sealing::{Keyring, Purpose, random};
use crate::store::{RecordKey, Store, StoreError, Version};

/// What a completed login brings.
#[derive(Debug)]
pub struct Login {
    /// Who signed in.
    pub identity: Identity,
    /// The tokens: the provider wants the ID token back at logout (`id_token_hint`), and apps may be shown either.
    pub tokens: Tokens,
    /// When the person proved who they are.
    pub auth_time: Option<Timestamp>,
    /// How.
    pub amr: Vec<String>,
    /// The provider's own name for its session.
    pub sid: Option<String>,
}

/// The sessions of everybody.
pub struct Sessions {
    store: Arc<dyn Store>,
    keyring: Arc<Keyring>,
    clock: Arc<dyn Clock>,
    lifetime: SessionLifetime,
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
        }
    }

    /// How long sessions live.
    #[must_use]
    pub const fn lifetime(&self) -> SessionLifetime {
        self.lifetime
    }

    /// Begins a session, always under a new id.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: then there is no session.
    pub async fn begin(&self, login: Login) -> Result<SessionId, StoreError> {
        let id = SessionId::from_bytes(random());
        let now = self.clock.now();
        let session = Session {
            identity: login.identity,
            created: now,
            seen: now,
            auth_time: login.auth_time,
            amr: login.amr,
            sid: login.sid,
        };
        // Tokens first: a session that can be seen can also be ended at the provider.
        let (session_key, tokens_key) = (session_key(&id), tokens_key(&id));
        let tokens = TokenRecord::of(&login.tokens).encode();
        let tokens = self.seal(Purpose::Tokens, &tokens_key, &tokens);
        self.create(&tokens_key, &tokens, self.lifetime.absolute)
            .await?;
        let record = self.seal(Purpose::Session, &session_key, &encode(&session));
        let lives = self.lifetime.end_of(&session).since(now);
        if let Err(error) = self.create(&session_key, &record, lives).await {
            // Whatever cannot be taken away either is left to its lifetime.
            let _ = self.store.delete(&tokens_key).await;
            return Err(error);
        }
        Ok(id)
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
    pub async fn load(&self, id: &SessionId) -> Result<Option<Session>, StoreError> {
        let key = session_key(id);
        let Some((session, version)) = self.read(&key).await? else {
            return Ok(None);
        };
        if !self.lifetime.is_touch_due(&session, self.clock.now()) {
            return Ok(Some(session));
        }
        self.touch(&key, session, version).await
    }

    async fn read(&self, key: &RecordKey) -> Result<Option<(Session, Version)>, StoreError> {
        let Some(record) = self.store.get(key).await? else {
            return Ok(None);
        };
        let session = self
            .keyring
            .open(Purpose::Session, key.as_str().as_bytes(), &record.value)
            .ok()
            .and_then(|plain| serde_json::from_slice::<Session>(&plain).ok())
            .filter(|session| self.lifetime.is_live(session, self.clock.now()));
        Ok(session.map(|session| (session, record.version)))
    }

    async fn touch(
        &self,
        key: &RecordKey,
        mut session: Session,
        version: Version,
    ) -> Result<Option<Session>, StoreError> {
        session.seen = self.clock.now();
        let record = self.seal(Purpose::Session, key, &encode(&session));
        let lives = self.lifetime.end_of(&session).since(session.seen);
        match self.store.replace(key, version, &record, lives).await {
            Ok(true) => Ok(Some(session)),
            // Somebody else wrote meanwhile, or ended it: what stands there now counts.
            Ok(false) => Ok(self.read(key).await?.map(|(session, _)| session)),
            // The session was read, and it lives; that its use cannot be noted is no reason to refuse it.
            Err(error) => {
                tracing::warn!(%error, "the use of a session could not be noted");
                Ok(Some(session))
            }
        }
    }

    /// Ends a session: when this returns, nobody is let in by it any more. Gives its ID token back, if
    /// there was one.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: then the session may still live, and nobody may be told that it ended.
    pub async fn end(&self, id: &SessionId) -> Result<Option<SecretString>, StoreError> {
        self.store.delete(&session_key(id)).await?;
        // From here on it has ended, whatever becomes of the tokens.
        Ok(self.take_id_token(id).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the tokens of an ended session are left to their lifetime");
            None
        }))
    }

    async fn take_id_token(&self, id: &SessionId) -> Result<Option<SecretString>, StoreError> {
        let tokens = self.tokens(id).await?;
        self.store.delete(&tokens_key(id)).await?;
        Ok(tokens.id)
    }

    /// The tokens of a session; none where there are none, or where they do not open.
    ///
    /// # Errors
    ///
    /// [`StoreError`], when the store cannot tell.
    pub async fn tokens(&self, id: &SessionId) -> Result<Tokens, StoreError> {
        let key = tokens_key(id);
        let Some(record) = self.store.get(&key).await? else {
            return Ok(Tokens::default());
        };
        let plain = self
            .keyring
            .open(Purpose::Tokens, key.as_str().as_bytes(), &record.value)
            .map(Zeroizing::new);
        let tokens = plain
            .ok()
            .and_then(|plain| serde_json::from_slice::<TokenRecord>(&plain).ok());
        Ok(tokens.map(TokenRecord::into_tokens).unwrap_or_default())
    }

    /// Whether the store answers.
    ///
    /// # Errors
    ///
    /// [`StoreError`], when it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.store.ping().await
    }

    fn seal(&self, purpose: Purpose, key: &RecordKey, plain: &[u8]) -> Vec<u8> {
        self.keyring.seal(purpose, key.as_str().as_bytes(), plain)
    }
}

/// Tokens as they are stored.
#[derive(Serialize, Deserialize)]
struct TokenRecord {
    access: Option<String>,
    id: Option<String>,
}

impl TokenRecord {
    fn of(tokens: &Tokens) -> Self {
        let exposed = |token: &Option<SecretString>| {
            token.as_ref().map(|token| token.expose_secret().to_owned())
        };
        Self {
            access: exposed(&tokens.access),
            id: exposed(&tokens.id),
        }
    }

    fn encode(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(serde_json::to_vec(self).expect("tokens are text"))
    }

    fn into_tokens(self) -> Tokens {
        Tokens {
            access: self.access.map(SecretString::from),
            id: self.id.map(SecretString::from),
        }
    }
}

fn encode(session: &Session) -> Vec<u8> {
    serde_json::to_vec(session).expect("a session has string keys and no odd values")
}

fn session_key(id: &SessionId) -> RecordKey {
    RecordKey::new("session", &hash(id))
}

fn tokens_key(id: &SessionId) -> RecordKey {
    RecordKey::new("tokens", &hash(id))
}

/// Whoever reads the store learns no id. The id is random, so no secret is needed; and a rotated key
/// changes no record's name.
fn hash(id: &SessionId) -> String {
    let hash = blake3::derive_key("portcullis v1 session id", id.as_bytes());
    URL_SAFE_NO_PAD.encode(hash)
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;
    use crate::store::Record;
    use crate::store::contract::ManualClock;
    use crate::store::memory::MemoryStore;

    fn login() -> Login {
        Login {
            identity: Identity {
                issuer: "https://id.example.net".into(),
                subject: "1".into(),
                username: Some("ada".into()),
                name: None,
                email: None,
                groups: vec!["admins".into()],
            },
            tokens: Tokens {
                access: None,
                id: Some(SecretString::from("header.claims.signature")),
            },
            auth_time: None,
            amr: vec!["phr".into()],
            sid: None,
        }
    }

    fn sessions(store: Arc<dyn Store>, clock: &Arc<ManualClock>) -> Sessions {
        let lifetime = SessionLifetime {
            idle: Duration::from_secs(100),
            absolute: Duration::from_secs(1_000),
        };
        Sessions::new(
            store,
            Arc::new(Keyring::ephemeral()),
            clock.clone(),
            lifetime,
        )
    }

    #[tokio::test]
    async fn a_session_lives_while_it_is_used_and_no_longer_than_it_may() {
        let clock = Arc::new(ManualClock::default());
        let sessions = sessions(Arc::new(MemoryStore::new(clock.clone())), &clock);
        let id = sessions.begin(login()).await.expect("a session");
        for _ in 0..11 {
            clock.advance(Duration::from_secs(90));
            assert!(sessions.load(&id).await.expect("an answer").is_some());
        }
        clock.advance(Duration::from_secs(10));
        assert!(sessions.load(&id).await.expect("an answer").is_none());
        let idle = sessions.begin(login()).await.expect("a session");
        clock.advance(Duration::from_secs(100));
        assert!(sessions.load(&idle).await.expect("an answer").is_none());
    }

    #[tokio::test]
    async fn an_ended_session_is_gone_and_gives_its_token_back_once() {
        let clock = Arc::new(ManualClock::default());
        let sessions = sessions(Arc::new(MemoryStore::new(clock.clone())), &clock);
        let id = sessions.begin(login()).await.expect("a session");
        let token = sessions
            .end(&id)
            .await
            .expect("an answer")
            .expect("a token");
        assert_eq!(token.expose_secret(), "header.claims.signature");
        assert!(sessions.load(&id).await.expect("an answer").is_none());
        assert!(sessions.end(&id).await.expect("an answer").is_none());
    }

    #[tokio::test]
    async fn a_record_moved_to_another_key_is_nobodys() {
        let clock = Arc::new(ManualClock::default());
        let store = Arc::new(MemoryStore::new(clock.clone()));
        let sessions = sessions(store.clone(), &clock);
        let ada = sessions.begin(login()).await.expect("a session");
        let other = SessionId::from_bytes([7; 32]);
        let record = store
            .get(&session_key(&ada))
            .await
            .expect("an answer")
            .expect("a record");
        let hour = Duration::from_secs(3_600);
        store
            .create(&session_key(&other), &record.value, hour)
            .await
            .expect("a record");
        assert!(sessions.load(&other).await.expect("an answer").is_none());
        let torn = SessionId::from_bytes([8; 32]);
        let cut = &record.value[..record.value.len() / 2];
        store
            .create(&session_key(&torn), cut, hour)
            .await
            .expect("a record");
        assert!(sessions.load(&torn).await.expect("an answer").is_none());
    }

    /// Deletes a session's record whenever it has been read.
    struct EndedMeanwhile(MemoryStore);

    #[async_trait]
    impl Store for EndedMeanwhile {
        async fn get(&self, key: &RecordKey) -> Result<Option<Record>, StoreError> {
            let record = self.0.get(key).await;
            self.0.delete(key).await?;
            record
        }
        async fn create(
            &self,
            key: &RecordKey,
            value: &[u8],
            lifetime: Duration,
        ) -> Result<bool, StoreError> {
            self.0.create(key, value, lifetime).await
        }
        async fn replace(
            &self,
            key: &RecordKey,
            version: Version,
            value: &[u8],
            lifetime: Duration,
        ) -> Result<bool, StoreError> {
            self.0.replace(key, version, value, lifetime).await
        }
        async fn delete(&self, key: &RecordKey) -> Result<bool, StoreError> {
            self.0.delete(key).await
        }
        async fn ping(&self) -> Result<(), StoreError> {
            self.0.ping().await
        }
    }

    #[tokio::test]
    async fn noting_the_use_of_a_session_does_not_bring_it_back() {
        let clock = Arc::new(ManualClock::default());
        let store = Arc::new(EndedMeanwhile(MemoryStore::new(clock.clone())));
        let sessions = sessions(store, &clock);
        let id = sessions.begin(login()).await.expect("a session");
        clock.advance(Duration::from_secs(50));
        assert!(sessions.load(&id).await.expect("an answer").is_none());
        assert!(sessions.load(&id).await.expect("an answer").is_none());
    }
}
