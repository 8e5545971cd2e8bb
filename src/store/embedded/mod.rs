//! `file:` and `memory:`: records in an embedded database (redb), in a file or in this process.
//!
//! Reads are done where they are asked for: they take a microsecond, less than it takes to hand them to another
//! thread. Writes wait for the disk, so they go to a thread of their own ([`writer`]), and whoever asked waits
//! for the answer, for a second at most.

mod file;
mod overlay;
mod tables;
mod writer;

use std::path::Path;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use redb::backends::InMemoryBackend;
use redb::{Database, ReadTransaction, ReadableDatabase};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

pub use self::file::OpenError;
use self::tables::{Change, Outcome};
use self::writer::{Current, Opened, Order, Reopen, Writer, guarded};
use crate::clock::Clock;
use crate::domain::time::Timestamp;
use crate::store::coherence::{Event, Listener, Source};
use crate::store::{Cursor, Page, Record, RecordKey, Store, StoreError, Version};

/// How many records are kept at most, two a session; and as many entries of indexes.
const MAX_RECORDS: u64 = 1_000_000;

/// How many writes may wait for the disk. More are refused at once.
const MAX_WAITING: usize = 1_024;

/// How long a read or a write may take, unless it is said otherwise.
const TIMEOUT: Duration = Duration::from_secs(1);

/// How long what was ordered before may take at the end.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Records in an embedded database, bounded in number, each gone when its time is over.
pub struct EmbeddedStore {
    clock: Arc<dyn Clock>,
    orders: SyncSender<Order>,
    current: watch::Receiver<Current>,
    timeout: Duration,
    listener: Arc<OnceLock<Arc<dyn Listener>>>,
}

impl EmbeddedStore {
    /// The store in the file `path`, which is made where there is none. Nobody else has it while this lives.
    ///
    /// # Errors
    ///
    /// [`OpenError`], with what has to be mended.
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let database = file::open_or_make(path)?;
        let path = path.to_owned();
        let reopen: Reopen = Box::new(move |access| file::reopen(&path, access));
        Self::start(database, Some(reopen), clock, MAX_RECORDS)
    }

    /// An empty store in this process, which ends with it.
    ///
    /// # Errors
    ///
    /// [`OpenError`], when the system refuses a thread.
    pub fn in_memory(clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        Self::in_memory_for(clock, MAX_RECORDS)
    }

    /// The same, for at most `capacity` records.
    fn in_memory_for(clock: Arc<dyn Clock>, capacity: u64) -> Result<Self, OpenError> {
        let database = file::build(InMemoryBackend::new()).expect("memory takes a new database");
        tables::lay_out(&database).expect("memory takes new tables");
        Self::start(database, None, clock, capacity)
    }

    fn start(
        database: Database,
        reopen: Option<Reopen>,
        clock: Arc<dyn Clock>,
        capacity: u64,
    ) -> Result<Self, OpenError> {
        let (orders, inbox) = sync_channel(MAX_WAITING);
        let opened = Opened {
            database,
            generation: 0,
            is_writable: true,
        };
        let (sender, current) = watch::channel(Some(Arc::new(opened)));
        let listener = Arc::<OnceLock<_>>::default();
        let writer = Writer {
            orders: inbox,
            current: sender,
            reopen,
            clock: clock.clone(),
            capacity,
            listener: Arc::clone(&listener),
        };
        thread::Builder::new()
            .name("session-store".into())
            .spawn(|| writer.run())
            .map_err(OpenError::Thread)?;
        Ok(Self {
            clock,
            orders,
            current,
            timeout: TIMEOUT,
            listener,
        })
    }

    /// Gives each read and write so much time, instead of a second; then it has failed.
    #[must_use]
    pub fn within(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    async fn change(&self, change: Change) -> Result<Outcome, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.order(Order::Make(change, answer))?;
        match timeout(self.timeout, answered).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(closed()),
            Err(_) => Err(StoreError::Unreachable(format!(
                "the disk took longer than {:?}",
                self.timeout
            ))),
        }
    }

    fn order(&self, order: Order) -> Result<(), StoreError> {
        self.orders.try_send(order).map_err(|error| match error {
            TrySendError::Full(_) => {
                StoreError::Unreachable("too much waits for the disk already".into())
            }
            TrySendError::Disconnected(_) => closed(),
        })
    }

    /// Looks into the database; once more, where it had to be opened anew.
    async fn look<T>(
        &self,
        look: impl Fn(&ReadTransaction, Timestamp) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let now = self.clock.now();
        let looked = |opened: Arc<Opened>| {
            let found = guarded(|| look(&opened.database.begin_read()?, now));
            found.map_err(|error| (error, opened.generation))
        };
        let found = async {
            let (error, generation) = match looked(self.opened(0).await?) {
                Ok(found) => return Ok(found),
                Err(failed) => failed,
            };
            if !is_lost(&error) {
                return Err(unreadable(&error));
            }
            self.order(Order::Renew(generation))?;
            let opened = self.opened(generation + 1).await?;
            looked(opened).map_err(|(error, _)| unreadable(&error))
        };
        timeout(self.timeout, found).await.unwrap_or_else(|_| {
            Err(StoreError::Unreachable(
                "the file cannot be opened again".into(),
            ))
        })
    }

    /// The database, as it was opened at that generation or later; as soon as it is.
    async fn opened(&self, generation: u64) -> Result<Arc<Opened>, StoreError> {
        let is_it = |current: &Current| {
            let opened = current.as_ref();
            opened.is_some_and(|opened| opened.generation >= generation)
        };
        // Without waiting, nearly always.
        if let Some(opened) = self.current.borrow().clone()
            && opened.generation >= generation
        {
            return Ok(opened);
        }
        let mut current = self.current.clone();
        let opened = current.wait_for(is_it).await.map_err(|_| closed())?;
        opened.clone().ok_or_else(closed)
    }
}

impl Source for EmbeddedStore {
    /// The first who comes is told.
    fn tell(&self, listener: Arc<dyn Listener>) {
        let listener = self.listener.get_or_init(|| listener);
        // Nobody else writes here, so nothing can go untold.
        listener.heard(None);
        listener.told(Event::Back);
    }
}

#[async_trait]
impl Store for EmbeddedStore {
    async fn get(&self, key: &RecordKey) -> Result<Option<Record>, StoreError> {
        self.look(|transaction, now| tables::get(transaction, key.as_str(), now))
            .await
    }

    async fn create(
        &self,
        key: &RecordKey,
        value: &[u8],
        lifetime: Duration,
    ) -> Result<bool, StoreError> {
        let change = Change::Create {
            key: key.as_str().to_owned(),
            value: value.to_vec(),
            ends: self.clock.now().plus(lifetime),
        };
        self.change(change).await.and_then(is_done)
    }

    async fn replace(
        &self,
        key: &RecordKey,
        version: Version,
        value: &[u8],
        lifetime: Duration,
    ) -> Result<bool, StoreError> {
        let change = Change::Replace {
            key: key.as_str().to_owned(),
            version,
            value: value.to_vec(),
            ends: self.clock.now().plus(lifetime),
        };
        self.change(change).await.and_then(is_done)
    }

    async fn prolong(&self, key: &RecordKey, lifetime: Duration) -> Result<bool, StoreError> {
        let change = Change::Prolong {
            key: key.as_str().to_owned(),
            ends: self.clock.now().plus(lifetime),
        };
        self.change(change).await.and_then(is_done)
    }

    async fn delete(&self, key: &RecordKey) -> Result<bool, StoreError> {
        let change = Change::Delete {
            key: key.as_str().to_owned(),
        };
        self.change(change).await.and_then(is_done)
    }

    async fn delete_version(&self, key: &RecordKey, version: Version) -> Result<bool, StoreError> {
        let change = Change::DeleteVersion {
            key: key.as_str().to_owned(),
            version,
        };
        self.change(change).await.and_then(is_done)
    }

    async fn enlist(
        &self,
        index: &RecordKey,
        member: &str,
        lifetime: Duration,
    ) -> Result<(), StoreError> {
        let change = Change::Enlist {
            index: index.as_str().to_owned(),
            member: member.to_owned(),
            ends: self.clock.now().plus(lifetime),
        };
        self.change(change).await.and_then(is_done).map(drop)
    }

    async fn delist(&self, index: &RecordKey, member: &str) -> Result<(), StoreError> {
        let change = Change::Delist {
            index: index.as_str().to_owned(),
            member: member.to_owned(),
        };
        self.change(change).await.and_then(is_done).map(drop)
    }

    async fn members(&self, index: &RecordKey) -> Result<Vec<String>, StoreError> {
        self.look(|transaction, now| tables::members(transaction, index.as_str(), now))
            .await
    }

    async fn page(
        &self,
        begin: &RecordKey,
        after: Option<&Cursor>,
        most: usize,
    ) -> Result<Page, StoreError> {
        let after = after.map(Cursor::as_str);
        self.look(|transaction, now| tables::page(transaction, begin.as_str(), after, most, now))
            .await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.look(|transaction, now| tables::get(transaction, "", now))
            .await
            .map(drop)
    }

    async fn close(&self) {
        let (done, is_done) = oneshot::channel();
        // Where the queue is full the disk takes nothing, and would not take this either.
        let has_closed = match self.order(Order::Close(done)) {
            Ok(()) => timeout(CLOSE_TIMEOUT, is_done).await.is_ok(),
            Err(_) => false,
        };
        if !has_closed {
            tracing::warn!("not all that waited for the session store's disk may be written");
        }
    }
}

fn is_done(outcome: Outcome) -> Result<bool, StoreError> {
    match outcome {
        Outcome::Done => Ok(true),
        Outcome::NotDone => Ok(false),
        Outcome::Full => Err(StoreError::Full),
    }
}

/// Whether the database says no more from now on, until it is opened anew.
fn is_lost(error: &redb::Error) -> bool {
    matches!(
        error,
        redb::Error::Io(_)
            | redb::Error::PreviousIo
            | redb::Error::DatabaseClosed
            | redb::Error::LockPoisoned(_)
    )
}

fn unreadable(error: &redb::Error) -> StoreError {
    StoreError::Unreachable(describe(error))
}

fn closed() -> StoreError {
    StoreError::Unreachable("it is closed".into())
}

/// What went wrong, in the system's own words where it was the system.
fn describe(error: &redb::Error) -> String {
    match error {
        redb::Error::Io(error) => error.to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
