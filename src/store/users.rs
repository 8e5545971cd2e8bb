//! What is known of a person beyond their sessions: who they were when the issuer last said so.
//!
//! Written at each login and each renewal, and gone when neither has happened for a while. It lets nobody in.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::zeroize::Zeroizing;
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::domain::identity::Identity;
use crate::domain::session::CLOCK_SKEW;
use crate::domain::time::Timestamp;
use crate::store::sealing::{Keyring, Purpose};
use crate::store::session_records::{decode, encode};
use crate::store::{RecordKey, Store, StoreError, Version};

/// How long a person is known who is not seen.
pub const USER_LIFETIME: Duration = Duration::from_secs(90 * 24 * 3_600);

/// How often a write is tried that others are in the way of.
const ATTEMPTS: usize = 5;

/// A person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Who it is, as the issuer said last.
    pub identity: Identity,
    /// When it said so.
    pub seen: Timestamp,
}

/// The people who have signed in.
pub struct Users {
    store: Arc<dyn Store>,
    keyring: Arc<Keyring>,
    clock: Arc<dyn Clock>,
}

impl Users {
    /// Keeps people in `store`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, keyring: Arc<Keyring>, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            keyring,
            clock,
        }
    }

    /// The person, if they were seen within [`USER_LIFETIME`]. What does not open is nobody.
    ///
    /// # Errors
    ///
    /// [`StoreError`], when the store cannot tell.
    pub async fn get(&self, issuer: &str, subject: &str) -> Result<Option<User>, StoreError> {
        let found = self.read(&user_key(issuer, subject)).await?;
        Ok(found.and_then(|(user, _)| user))
    }

    /// Writes down what the issuer said about somebody at `said_at`; not over what it said later.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: then what was known before still is.
    pub async fn note(&self, identity: &Identity, said_at: Timestamp) -> Result<(), StoreError> {
        let key = user_key(&identity.issuer, &identity.subject);
        let user = User {
            identity: identity.clone(),
            seen: said_at,
        };
        // What lies further ahead was written by a clock that was wrong, and would be known for ever.
        let latest = self.clock.now().plus(CLOCK_SKEW);
        let is_newer = |known: &User| known.seen > said_at && known.seen <= latest;
        let record = self
            .keyring
            .seal(Purpose::User, key.as_str().as_bytes(), &encode(&user));
        for _ in 0..ATTEMPTS {
            let is_written = match self.read(&key).await? {
                Some((Some(known), _)) if is_newer(&known) => return Ok(()),
                Some((_, version)) => {
                    let replaced = self.store.replace(&key, version, &record, USER_LIFETIME);
                    replaced.await?
                }
                None => self.store.create(&key, &record, USER_LIFETIME).await?,
            };
            if is_written {
                return Ok(());
            }
        }
        // Others have written the same person at this very moment, again and again: it is known.
        Ok(())
    }

    /// The record, which may be nobody's.
    async fn read(&self, key: &RecordKey) -> Result<Option<(Option<User>, Version)>, StoreError> {
        let Some(record) = self.store.get(key).await? else {
            return Ok(None);
        };
        let plain = self
            .keyring
            .open(Purpose::User, key.as_str().as_bytes(), &record.value)
            .map(Zeroizing::new);
        let user = plain.ok().and_then(|plain| decode(&plain));
        Ok(Some((user, record.version)))
    }
}

/// A user is issuer and subject together (OIDC Core §5.7). The length keeps the two apart.
fn user_key(issuer: &str, subject: &str) -> RecordKey {
    let mut hash = blake3::Hasher::new_derive_key("portcullis v1 user");
    hash.update(&(issuer.len() as u64).to_le_bytes());
    hash.update(issuer.as_bytes());
    hash.update(subject.as_bytes());
    let name = URL_SAFE_NO_PAD.encode(hash.finalize().as_bytes());
    RecordKey::new("user", &name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract::ManualClock;
    use crate::store::embedded::EmbeddedStore;

    fn ada(groups: &[&str]) -> Identity {
        Identity {
            issuer: "https://id.example.net".into(),
            subject: "1".into(),
            username: Some("ada".into()),
            name: None,
            email: None,
            groups: groups.iter().map(ToString::to_string).collect(),
        }
    }

    fn users() -> (Users, Arc<ManualClock>, Arc<EmbeddedStore>) {
        let clock = Arc::new(ManualClock::default());
        let store = Arc::new(EmbeddedStore::in_memory(clock.clone()).expect("a store"));
        let keyring = Arc::new(Keyring::ephemeral());
        (
            Users::new(store.clone(), keyring, clock.clone()),
            clock,
            store,
        )
    }

    async fn note(users: &Users, groups: &[&str]) {
        note_at(users, groups, users.clock.now()).await;
    }

    async fn note_at(users: &Users, groups: &[&str], said_at: Timestamp) {
        users.note(&ada(groups), said_at).await.expect("noted");
    }

    async fn known(users: &Users, issuer: &str, subject: &str) -> Option<User> {
        users.get(issuer, subject).await.expect("an answer")
    }

    #[tokio::test]
    async fn a_person_is_who_the_issuer_said_last() {
        let (users, clock, _store) = users();
        let issuer = "https://id.example.net";
        assert_eq!(known(&users, issuer, "1").await, None);
        note(&users, &["admins"]).await;
        let first = known(&users, issuer, "1").await.expect("somebody");
        assert_eq!(first.identity, ada(&["admins"]));
        clock.advance(Duration::from_secs(60));
        note(&users, &[]).await;
        let then = known(&users, issuer, "1").await.expect("somebody");
        assert_eq!(then.identity, ada(&[]));
        assert_eq!(then.seen, first.seen.plus(Duration::from_secs(60)));
        // Issuer and subject name a person together, whatever the two look like in a row.
        assert_eq!(known(&users, "https://id.example.net1", "").await, None);
        assert_eq!(known(&users, issuer, "2").await, None);
    }

    /// Who writes it down last need not be who was told last.
    #[tokio::test]
    async fn what_was_said_earlier_does_not_replace_what_was_said_later() {
        let (users, clock, _store) = users();
        let issuer = "https://id.example.net";
        let earlier = clock.now();
        clock.advance(Duration::from_secs(10));
        let later = clock.now();
        note_at(&users, &[], later).await;
        note_at(&users, &["admins"], earlier).await;
        let user = known(&users, issuer, "1").await.expect("somebody");
        assert_eq!((user.identity, user.seen), (ada(&[]), later));
        // A clock that was a day ahead keeps nobody from being known better.
        note_at(&users, &["old"], later.plus(Duration::from_secs(86_400))).await;
        note_at(&users, &["new"], later).await;
        let user = known(&users, issuer, "1").await.expect("somebody");
        assert_eq!((user.identity, user.seen), (ada(&["new"]), later));
    }

    #[tokio::test]
    async fn who_is_not_seen_is_forgotten() {
        let (users, clock, _store) = users();
        note(&users, &[]).await;
        clock.advance(USER_LIFETIME.saturating_sub(Duration::from_secs(1)));
        note(&users, &[]).await;
        clock.advance(USER_LIFETIME.saturating_sub(Duration::from_secs(1)));
        assert!(known(&users, "https://id.example.net", "1").await.is_some());
        clock.advance(Duration::from_secs(1));
        assert!(known(&users, "https://id.example.net", "1").await.is_none());
    }

    #[tokio::test]
    async fn what_does_not_open_is_nobody_and_is_written_over() {
        let (users, _clock, store) = users();
        let key = user_key("https://id.example.net", "1");
        let hour = Duration::from_secs(3_600);
        store.create(&key, b"torn", hour).await.expect("written");
        assert_eq!(known(&users, "https://id.example.net", "1").await, None);
        note(&users, &["a"]).await;
        let user = known(&users, "https://id.example.net", "1").await;
        assert_eq!(user.expect("somebody").identity, ada(&["a"]));
    }
}
