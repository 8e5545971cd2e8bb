//! Any store, watched: how long it takes, and what it does not do.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use crate::store::{Cursor, Page, Record, RecordKey, Store, StoreError, Version};
use crate::telemetry::metrics::{Fault, Op, StoreMetrics};

/// A store that another one does the work of.
pub struct Measured {
    store: Arc<dyn Store>,
    metrics: Arc<StoreMetrics>,
}

impl Measured {
    /// Watches `store`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, metrics: Arc<StoreMetrics>) -> Self {
        Self { store, metrics }
    }

    /// Waits for an answer. One that nobody waits for to the end is not counted.
    async fn time<T>(
        &self,
        op: Op,
        answer: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let asked = Instant::now();
        let answer = answer.await;
        let fault = answer.as_ref().err().and_then(|error| match error {
            StoreError::Full => Some(Fault::Full),
            StoreError::Refused(_) => Some(Fault::Refused),
            StoreError::Unreachable(_) => Some(Fault::Unreachable),
            // A mistake of whoever asks.
            StoreError::UnknownCursor => None,
        });
        self.metrics.count(op, asked.elapsed(), fault);
        answer
    }
}

#[async_trait]
impl Store for Measured {
    async fn get(&self, key: &RecordKey) -> Result<Option<Record>, StoreError> {
        self.time(Op::Get, self.store.get(key)).await
    }

    async fn create(
        &self,
        key: &RecordKey,
        value: &[u8],
        lifetime: Duration,
    ) -> Result<bool, StoreError> {
        self.time(Op::Create, self.store.create(key, value, lifetime))
            .await
    }

    async fn replace(
        &self,
        key: &RecordKey,
        version: Version,
        value: &[u8],
        lifetime: Duration,
    ) -> Result<bool, StoreError> {
        let answer = self.store.replace(key, version, value, lifetime);
        self.time(Op::Replace, answer).await
    }

    async fn prolong(&self, key: &RecordKey, lifetime: Duration) -> Result<bool, StoreError> {
        self.time(Op::Prolong, self.store.prolong(key, lifetime))
            .await
    }

    async fn delete(&self, key: &RecordKey) -> Result<bool, StoreError> {
        self.time(Op::Delete, self.store.delete(key)).await
    }

    async fn delete_version(&self, key: &RecordKey, version: Version) -> Result<bool, StoreError> {
        let answer = self.store.delete_version(key, version);
        self.time(Op::DeleteVersion, answer).await
    }

    async fn enlist(
        &self,
        index: &RecordKey,
        member: &str,
        lifetime: Duration,
    ) -> Result<(), StoreError> {
        self.time(Op::Enlist, self.store.enlist(index, member, lifetime))
            .await
    }

    async fn delist(&self, index: &RecordKey, member: &str) -> Result<(), StoreError> {
        self.time(Op::Delist, self.store.delist(index, member))
            .await
    }

    async fn members(&self, index: &RecordKey) -> Result<Vec<String>, StoreError> {
        self.time(Op::Members, self.store.members(index)).await
    }

    async fn page(
        &self,
        begin: &RecordKey,
        after: Option<&Cursor>,
        most: usize,
    ) -> Result<Page, StoreError> {
        self.time(Op::Page, self.store.page(begin, after, most))
            .await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.time(Op::Ping, self.store.ping()).await
    }

    async fn close(&self) {
        self.store.close().await;
    }
}
