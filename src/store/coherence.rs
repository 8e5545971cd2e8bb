//! What a store tells about what it keeps, so that whatever is kept of its answers elsewhere never says what the store
//! would say no more.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::clock::Instant;
use crate::store::{Cursor, Page, Record, RecordKey, Store, StoreError, Version};

/// One thing that is told. What is told by one source comes in the order in which it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// The record of this key is another one now, or gone.
    Changed(&'a str),
    /// Any of them may be.
    Flushed,
    /// From now on it may go untold what happens.
    Lost,
    /// From now on it is told again. What was read before may have changed meanwhile.
    Back,
}

/// Who is told. Called wherever it happens, so it must neither block nor take long.
pub trait Listener: Send + Sync {
    /// Takes note of what happened.
    fn told(&self, event: Event<'_>);

    /// All that had happened at `when` has been told. `None` where it is told before anybody learns otherwise that it
    /// happened, for as long as there is the store.
    fn heard(&self, when: Option<Instant>);
}

/// A store that tells what happens to its records.
pub trait Source {
    /// Tells `listener`, from now on and for as long as there is the store: [`Event::Back`] first, as soon as it can.
    fn tell(&self, listener: Arc<dyn Listener>);
}

/// A store whose writers tell what they do here once it is done, and of deletions before as well: whoever ends a session
/// does not wait for word of it from elsewhere.
pub struct Announcing {
    store: Arc<dyn Store>,
    listener: Arc<dyn Listener>,
}

/// Tells when the write is over, even if whoever waited for it has gone.
struct Announced<'a> {
    listener: &'a dyn Listener,
    key: &'a RecordKey,
}

impl Drop for Announced<'_> {
    fn drop(&mut self) {
        self.listener.told(Event::Changed(self.key.as_str()));
    }
}

impl Announcing {
    /// Tells `listener` of each write to `store`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, listener: Arc<dyn Listener>) -> Self {
        Self { store, listener }
    }

    /// Once this is dropped, nobody is answered from what was read before.
    fn announce<'a>(&'a self, key: &'a RecordKey) -> Announced<'a> {
        let listener = &*self.listener;
        Announced { listener, key }
    }

    /// The same, and from now on too: what is read meanwhile may still be the old.
    fn announce_deletion<'a>(&'a self, key: &'a RecordKey) -> Announced<'a> {
        self.listener.told(Event::Changed(key.as_str()));
        self.announce(key)
    }
}

#[async_trait]
impl Store for Announcing {
    async fn get(&self, key: &RecordKey) -> Result<Option<Record>, StoreError> {
        self.store.get(key).await
    }

    async fn create(
        &self,
        key: &RecordKey,
        value: &[u8],
        lifetime: Duration,
    ) -> Result<bool, StoreError> {
        let _announced = self.announce(key);
        self.store.create(key, value, lifetime).await
    }

    async fn replace(
        &self,
        key: &RecordKey,
        version: Version,
        value: &[u8],
        lifetime: Duration,
    ) -> Result<bool, StoreError> {
        let _announced = self.announce(key);
        self.store.replace(key, version, value, lifetime).await
    }

    async fn prolong(&self, key: &RecordKey, lifetime: Duration) -> Result<bool, StoreError> {
        self.store.prolong(key, lifetime).await
    }

    async fn delete(&self, key: &RecordKey) -> Result<bool, StoreError> {
        let _announced = self.announce_deletion(key);
        self.store.delete(key).await
    }

    async fn delete_version(&self, key: &RecordKey, version: Version) -> Result<bool, StoreError> {
        let _announced = self.announce_deletion(key);
        self.store.delete_version(key, version).await
    }

    async fn enlist(
        &self,
        index: &RecordKey,
        member: &str,
        lifetime: Duration,
    ) -> Result<(), StoreError> {
        self.store.enlist(index, member, lifetime).await
    }

    async fn delist(&self, index: &RecordKey, member: &str) -> Result<(), StoreError> {
        self.store.delist(index, member).await
    }

    async fn members(&self, index: &RecordKey) -> Result<Vec<String>, StoreError> {
        self.store.members(index).await
    }

    async fn page(
        &self,
        begin: &RecordKey,
        after: Option<&Cursor>,
        most: usize,
    ) -> Result<Page, StoreError> {
        self.store.page(begin, after, most).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.store.ping().await
    }

    async fn close(&self) {
        self.store.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract::ManualClock;
    use crate::store::embedded::EmbeddedStore;
    use crate::store::measured::Measured;
    use crate::telemetry::metrics::Metrics;

    struct Deaf;

    impl Listener for Deaf {
        fn told(&self, _event: Event<'_>) {}

        fn heard(&self, _when: Option<Instant>) {}
    }

    /// The one method that a store need not have: whoever stands before a store hands it on all the same.
    #[tokio::test]
    async fn a_store_is_closed_through_all_that_stands_before_it() {
        let store = EmbeddedStore::in_memory(Arc::new(ManualClock::default())).expect("a store");
        let measured = Measured::new(Arc::new(store), Metrics::default().store());
        let store = Announcing::new(Arc::new(measured), Arc::new(Deaf));
        let key = RecordKey::new("session", "x");
        let life = Duration::from_secs(60);
        assert_eq!(store.create(&key, b"x", life).await, Ok(true));
        store.close().await;
        assert!(store.delete(&key).await.is_err());
    }
}
