//! What outlives a request. A [`Store`] keeps opaque records under keys, each for a limited time; what
//! the records mean is written once, above it ([`sessions`]).

use std::time::Duration;

use async_trait::async_trait;
use thiserror::Error;

pub mod coherence;
#[cfg(test)]
pub(crate) mod contract;
pub mod embedded;
pub mod lease;
pub mod measured;
pub mod redis;
pub mod renewals;
pub mod sealing;
pub mod session_cache;
mod session_records;
pub mod sessions;
mod step_ups;
pub mod users;

/// Names a record. Keys hold hashes, never a secret that opens something.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordKey(String);

impl RecordKey {
    /// A key in the name space `kind`.
    #[must_use]
    pub fn new(kind: &str, name: &str) -> Self {
        Self(format!("{kind}:{name}"))
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Tells one write of a record from another. Never given twice, not even to a record of the same key
/// that was deleted in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version(pub u64);

/// A record as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The content.
    pub value: Vec<u8>,
    /// Which write it comes from.
    pub version: Version,
}

/// A place in a walk over records, in the words of the store that has named it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(String);

impl Cursor {
    /// The place that is called `name`, which came from [`as_str`](Self::as_str).
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The place as text, for whoever asks for the next step.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One step of a walk over records.
#[derive(Debug, Default)]
pub struct Page {
    /// What was found. No record is there twice.
    pub records: Vec<(RecordKey, Record)>,
    /// Where to go on; `None` at the end.
    pub next: Option<Cursor>,
}

/// Why a store did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StoreError {
    /// It is full. Nothing was written.
    #[error("the session store is full")]
    Full,
    /// It answers, but takes nothing: its disk is full or broken, or it is a copy that is only for reading. Nothing
    /// that it was asked counts as done.
    #[error("the session store refuses to write: {0}")]
    Refused(String),
    /// It does not answer.
    #[error("the session store does not answer: {0}")]
    Unreachable(String),
    /// A walk was to go on from a place that this store has not named.
    #[error("the session store knows no such place to go on from")]
    UnknownCursor,
}

/// A place for records. `contract.rs` holds every implementation to what is said here.
#[async_trait]
pub trait Store: Send + Sync {
    /// The record; `None` if it never was, has expired or was deleted.
    async fn get(&self, key: &RecordKey) -> Result<Option<Record>, StoreError>;

    /// Writes a record that lives for `lifetime`, unless there is one already. Tells whether it was written.
    async fn create(
        &self,
        key: &RecordKey,
        value: &[u8],
        lifetime: Duration,
    ) -> Result<bool, StoreError>;

    /// Writes over a record, provided that it still is the one that was read as `version`; in one step, so
    /// that no write brings a deleted record back. Tells whether it was written.
    async fn replace(
        &self,
        key: &RecordKey,
        version: Version,
        value: &[u8],
        lifetime: Duration,
    ) -> Result<bool, StoreError>;

    /// Lets a record live for `lifetime` from now on, unchanged and at the same version. Makes none: tells whether
    /// there was one.
    async fn prolong(&self, key: &RecordKey, lifetime: Duration) -> Result<bool, StoreError>;

    /// Deletes a record. Tells whether there was one. When this returns, no reader gets it any more.
    async fn delete(&self, key: &RecordKey) -> Result<bool, StoreError>;

    /// Deletes a record, provided that it still is the one that was read as `version`; in one step, so that
    /// nothing goes that somebody else wrote since. Tells whether it was deleted.
    async fn delete_version(&self, key: &RecordKey, version: Version) -> Result<bool, StoreError>;

    /// Lists `member` under `index` for `lifetime`, anew where it is listed already. Nothing checks that
    /// there is a record of that name; the entry goes when its time is over, whatever becomes of the record.
    async fn enlist(
        &self,
        index: &RecordKey,
        member: &str,
        lifetime: Duration,
    ) -> Result<(), StoreError>;

    /// Takes `member` off `index`, if it is there.
    async fn delist(&self, index: &RecordKey, member: &str) -> Result<(), StoreError>;

    /// What is listed under `index`; what ends first stands first.
    async fn members(&self, index: &RecordKey) -> Result<Vec<String>, StoreError>;

    /// One step of a walk over all records whose keys begin with `begin`: from the first one, or from where the
    /// step before ended. It looks at about `most` records, those that have ended included, so that it is soon
    /// done: a page may hold fewer, or none, and not be the last one.
    ///
    /// A record that is there all the while is on one page at least, and where the store rearranges itself
    /// meanwhile, on several. What is written or ends meanwhile may be there or not.
    async fn page(
        &self,
        begin: &RecordKey,
        after: Option<&Cursor>,
        most: usize,
    ) -> Result<Page, StoreError>;

    /// Whether the store answers.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Ends its work in good order: all that was asked before is written, or a few seconds have gone by.
    async fn close(&self) {}
}
