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
        while let Some((expires, _)) = self.by_expiry.first() {
            if now < *expires {
                return;
            }
            if let Some((_, key)) = self.by_expiry.pop_first() {
                self.records.remove(&key);
            }
        }
    }

    /// Takes off `index` whatever has ended.
    fn trim(&mut self, index: &RecordKey, now: Timestamp) {
        if let Some(members) = self.indexes.get_mut(index) {
            members.retain(|_, expires| now < *expires);
            if members.is_empty() {
                self.indexes.remove(index);
            }
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
        let now = self.clock.now();
        let mut inner = self.inner();
        inner.trim(index, now);
        let members = inner.indexes.entry(index.clone()).or_default();
        members.insert(member.to_owned(), now.plus(lifetime));
        Ok(())
    }

    async fn delist(&self, index: &RecordKey, member: &str) -> Result<(), StoreError> {
        let now = self.clock.now();
        let mut inner = self.inner();
        if let Some(members) = inner.indexes.get_mut(index) {
            members.remove(member);
        }
        inner.trim(index, now);
        Ok(())
    }

    async fn members(&self, index: &RecordKey) -> Result<Vec<String>, StoreError> {
        let now = self.clock.now();
        let mut inner = self.inner();
        inner.trim(index, now);
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
}
