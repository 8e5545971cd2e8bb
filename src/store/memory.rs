//! `memory:`: records in this process. They end with it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::clock::Clock;
use crate::domain::time::Timestamp;
use crate::store::{Record, RecordKey, Store, StoreError, Version};

/// How many records are kept at most; two a session.
const MAX_RECORDS: usize = 1_000_000;

/// Records in memory, bounded in number, each gone when its time is over.
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    capacity: usize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    records: HashMap<RecordKey, Entry>,
    by_expiry: BTreeSet<(Timestamp, RecordKey)>,
    indexes: HashMap<RecordKey, BTreeMap<String, Timestamp>>,
    /// Every entry of every index: an owner who never comes back leaves nothing behind.
    listed_by_expiry: BTreeSet<(Timestamp, RecordKey, String)>,
    last_version: u64,
}

struct Entry {
    record: Record,
    expires: Timestamp,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::with_capacity(clock, MAX_RECORDS)
    }

    /// An empty store for at most `capacity` records.
    #[must_use]
    pub fn with_capacity(clock: Arc<dyn Clock>, capacity: usize) -> Self {
        Self {
            clock,
            capacity,
            inner: Mutex::default(),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing below leaves the maps half changed, so a panic elsewhere has not harmed them.
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.expire(self.clock.now());
        inner
    }
}

impl Inner {
    fn expire(&mut self, now: Timestamp) {
        let has_ended = |expires: &Timestamp| *expires <= now;
        while self
            .by_expiry
            .first()
            .is_some_and(|(expires, _)| has_ended(expires))
        {
            if let Some((_, key)) = self.by_expiry.pop_first() {
                self.records.remove(&key);
            }
        }
        while self
            .listed_by_expiry
            .first()
            .is_some_and(|(expires, ..)| has_ended(expires))
        {
            if let Some((_, index, member)) = self.listed_by_expiry.pop_first() {
                self.delist(&index, &member);
            }
        }
    }

    fn delist(&mut self, index: &RecordKey, member: &str) {
        let Some(members) = self.indexes.get_mut(index) else {
            return;
        };
        let listed = members.remove(member);
        if members.is_empty() {
            self.indexes.remove(index);
        }
        if let Some(expires) = listed {
            let entry = (expires, index.clone(), member.to_owned());
            self.listed_by_expiry.remove(&entry);
        }
    }

    fn put(&mut self, key: &RecordKey, value: &[u8], expires: Timestamp) {
        self.remove(key);
        self.last_version += 1;
        let record = Record {
            value: value.to_vec(),
            version: Version(self.last_version),
        };
        self.records.insert(key.clone(), Entry { record, expires });
        self.by_expiry.insert((expires, key.clone()));
    }

    fn remove(&mut self, key: &RecordKey) -> bool {
        match self.records.remove(key) {
            Some(entry) => self.by_expiry.remove(&(entry.expires, key.clone())),
            None => false,
        }
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, key: &RecordKey) -> Result<Option<Record>, StoreError> {
        let inner = self.inner();
        Ok(inner.records.get(key).map(|entry| entry.record.clone()))
    }

    async fn create(
        &self,
        key: &RecordKey,
        value: &[u8],
        lifetime: Duration,
    ) -> Result<bool, StoreError> {
        let expires = self.clock.now().plus(lifetime);
        let mut inner = self.inner();
        if inner.records.contains_key(key) {
            return Ok(false);
        }
        if inner.records.len() >= self.capacity {
            return Err(StoreError::Full);
        }
        inner.put(key, value, expires);
        Ok(true)
    }

    async fn replace(
        &self,
        key: &RecordKey,
        version: Version,
        value: &[u8],
        lifetime: Duration,
    ) -> Result<bool, StoreError> {
        let expires = self.clock.now().plus(lifetime);
        let mut inner = self.inner();
        match inner.records.get(key) {
            Some(entry) if entry.record.version == version => {
                inner.put(key, value, expires);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    async fn delete(&self, key: &RecordKey) -> Result<bool, StoreError> {
        Ok(self.inner().remove(key))
    }

    async fn enlist(
        &self,
        index: &RecordKey,
        member: &str,
        lifetime: Duration,
    ) -> Result<(), StoreError> {
        let expires = self.clock.now().plus(lifetime);
        let mut inner = self.inner();
        inner.delist(index, member);
        let members = inner.indexes.entry(index.clone()).or_default();
        members.insert(member.to_owned(), expires);
        let entry = (expires, index.clone(), member.to_owned());
        inner.listed_by_expiry.insert(entry);
        Ok(())
    }

    async fn delist(&self, index: &RecordKey, member: &str) -> Result<(), StoreError> {
        self.inner().delist(index, member);
        Ok(())
    }

    async fn members(&self, index: &RecordKey) -> Result<Vec<String>, StoreError> {
        let inner = self.inner();
        let Some(members) = inner.indexes.get(index) else {
            return Ok(Vec::new());
        };
        let mut members: Vec<_> = members.iter().collect();
        members.sort_by_key(|(_, expires)| **expires);
        Ok(members.into_iter().map(|(name, _)| name.clone()).collect())
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract::{self, ManualClock};

    #[tokio::test]
    async fn keeps_the_contract() {
        let clock = Arc::new(ManualClock::default());
        contract::holds(&MemoryStore::new(clock.clone()), &*clock).await;
    }

    #[tokio::test]
    async fn is_bounded_and_makes_room_for_new_records() {
        let clock = Arc::new(ManualClock::default());
        let store = MemoryStore::with_capacity(clock.clone(), 2);
        let minute = Duration::from_secs(60);
        let key = |name| RecordKey::new("test", name);
        assert_eq!(store.create(&key("a"), b"1", minute).await, Ok(true));
        assert_eq!(store.create(&key("b"), b"2", minute).await, Ok(true));
        let full = store.create(&key("c"), b"3", minute).await;
        assert_eq!(full, Err(StoreError::Full));
        clock.advance(minute);
        assert_eq!(store.create(&key("c"), b"3", minute).await, Ok(true));
        let inner = store.inner();
        assert_eq!((inner.records.len(), inner.by_expiry.len()), (1, 1));
    }

    #[tokio::test]
    async fn the_list_of_somebody_who_never_comes_back_goes_by_itself() {
        let clock = Arc::new(ManualClock::default());
        let store = MemoryStore::new(clock.clone());
        let minute = Duration::from_secs(60);
        let index = |name| RecordKey::new("sessions-of", name);
        for lifetime in [minute, minute * 2] {
            store.enlist(&index("ada"), "1", lifetime).await.unwrap();
        }
        store.enlist(&index("ben"), "2", minute).await.unwrap();
        clock.advance(minute);
        let sizes = |inner: &Inner| (inner.indexes.len(), inner.listed_by_expiry.len());
        assert_eq!(sizes(&store.inner()), (1, 1), "ada's was renewed");
        clock.advance(minute);
        assert_eq!(sizes(&store.inner()), (0, 0));
    }
}
