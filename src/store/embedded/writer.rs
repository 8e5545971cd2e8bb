//! The one thread that writes. It takes all that waits, makes the changes in one transaction, and answers when
//! that is on the disk: so a change that was answered outlives a crash, and many cost little more than one.
//! It also takes away what has ended, a bounded number at a time, and opens the database anew when something
//! has failed.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use redb::{Database, ReadableDatabase};
use tokio::sync::{oneshot, watch};

use super::describe;
use super::file::Access;
use super::tables::{self, Change, Outcome, Tables};
use crate::clock::Clock;
use crate::store::StoreError;
use crate::store::coherence::{Event, Listener};

/// How many changes one transaction takes.
const MAX_BATCH: usize = 256;

/// How many records that have ended one transaction takes away, and how many entries of indexes. No fewer than
/// it may bring, so that a full store has room as soon as something in it ends.
const SWEEP: usize = 256;

/// How often it is looked for what has ended.
const SWEEP_PERIOD: Duration = Duration::from_secs(5);

/// After a failure, how long until the next write is tried; until then they are refused at once.
const REST: Duration = Duration::from_millis(500);

/// How long it is at least from one opening to the next.
const BETWEEN_OPENINGS: Duration = Duration::from_millis(100);

/// How often it is looked whether the last reader has let go.
const RELEASE_POLL: Duration = Duration::from_millis(1);

/// What the thread is told.
pub(super) enum Order {
    /// Make this change, and tell what it came to.
    Make(Change, oneshot::Sender<Result<Outcome, StoreError>>),
    /// Reading failed in the database of this generation: open it anew.
    Renew(u64),
    /// Write all that was ordered before, let go of the file, and tell when that is done.
    Close(oneshot::Sender<()>),
}

type Waiting = (Change, oneshot::Sender<Result<Outcome, StoreError>>);

/// A database as it was opened.
pub(super) struct Opened {
    pub(super) database: Database,
    /// How many times it was opened anew before.
    pub(super) generation: u64,
    pub(super) is_writable: bool,
}

/// What readers look into; nothing while it is being opened anew, and after the end.
pub(super) type Current = Option<Arc<Opened>>;

/// Opens the database anew.
pub(super) type Reopen = Box<dyn Fn(Access) -> Result<Database, redb::Error> + Send>;

/// What the thread needs.
pub(super) struct Writer {
    pub(super) orders: Receiver<Order>,
    pub(super) current: watch::Sender<Current>,
    /// `None` for what would be lost by it.
    pub(super) reopen: Option<Reopen>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) capacity: u64,
    /// Who is told what was changed, before whoever asked for it is. Here, since a change that nobody waits for any more
    /// is made all the same.
    pub(super) listener: Arc<OnceLock<Arc<dyn Listener>>>,
}

/// The state of the thread.
struct Thread {
    writer: Writer,
    generation: u64,
    /// Whether there may be more that has ended than one transaction took away.
    backlog: bool,
    /// Why writes are refused, and until when without being tried.
    failure: Option<(StoreError, Instant)>,
    renewed: Option<Instant>,
}

impl Writer {
    /// Works until it is told to close, or nobody is left to give orders.
    pub(super) fn run(self) {
        let mut thread = Thread {
            writer: self,
            generation: 0,
            backlog: false,
            failure: None,
            renewed: None,
        };
        loop {
            match thread.writer.orders.recv_timeout(thread.pause()) {
                Ok(order) => {
                    if thread.take(order).is_break() {
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout) => thread.tend(),
                Err(RecvTimeoutError::Disconnected) => return thread.release(),
            }
        }
    }
}

impl Thread {
    fn pause(&self) -> Duration {
        if self.failure.is_some() {
            REST
        } else if self.backlog {
            Duration::ZERO
        } else {
            SWEEP_PERIOD
        }
    }

    /// Does what it is told, with all that waits behind it.
    fn take(&mut self, order: Order) -> ControlFlow<()> {
        let mut batch = Vec::new();
        let mut closing = None;
        let mut next = Some(order);
        while let Some(order) = next {
            match order {
                // Whoever has given up would not know what to do with a new record.
                Order::Make(change, answer) if answer.is_closed() && !change.only_takes_away() => {}
                Order::Make(change, answer) => batch.push((change, answer)),
                Order::Renew(generation) if generation == self.generation => self.renew(),
                Order::Renew(_) => {}
                Order::Close(done) => {
                    closing = Some(done);
                    break;
                }
            }
            next = (batch.len() < MAX_BATCH)
                .then(|| self.writer.orders.try_recv().ok())
                .flatten();
        }
        if !batch.is_empty() {
            self.write(batch);
        }
        let Some(done) = closing else {
            return ControlFlow::Continue(());
        };
        self.release();
        // Whoever asked may have stopped waiting.
        let _ = done.send(());
        ControlFlow::Break(())
    }

    fn write(&mut self, batch: Vec<Waiting>) {
        let (changes, waiting): (Vec<Change>, Vec<_>) = batch.into_iter().unzip();
        let outcomes = if let Some(refusal) = self.refusal() {
            Err(refusal)
        } else {
            let outcomes = self.commit(&changes);
            for key in changes.iter().filter_map(Change::record) {
                self.tell(Event::Changed(key));
            }
            outcomes
        };
        match outcomes {
            Ok(outcomes) => {
                for (answer, outcome) in waiting.into_iter().zip(outcomes) {
                    // Whoever asked may have stopped waiting.
                    let _ = answer.send(Ok(outcome));
                }
            }
            Err(refusal) => {
                for answer in waiting {
                    let _ = answer.send(Err(refusal.clone()));
                }
            }
        }
    }

    fn tell(&self, event: Event<'_>) {
        if let Some(listener) = self.writer.listener.get() {
            listener.told(event);
        }
    }

    /// Why a write is refused without being tried, if it is.
    fn refusal(&mut self) -> Option<StoreError> {
        let (refusal, until) = self.failure.clone()?;
        if Instant::now() < until {
            return Some(refusal);
        }
        let is_writable = |opened: Arc<Opened>| opened.is_writable;
        if !self.database().is_some_and(is_writable) {
            self.renew();
        }
        if self.database().is_some_and(is_writable) {
            None
        } else {
            self.failure.clone().map(|(refusal, _)| refusal)
        }
    }

    /// What is to be done while there are no orders.
    fn tend(&mut self) {
        if self.refusal().is_some() {
            return;
        }
        self.backlog = self.has_ended();
        if self.backlog {
            // What fails is logged, and tried again.
            let _ = self.commit(&[]);
        }
    }

    fn has_ended(&self) -> bool {
        let Some(opened) = self.database() else {
            return false;
        };
        let now = self.writer.clock.now();
        let ended = guarded(|| tables::has_ended(&opened.database.begin_read()?, now));
        // What cannot be read now will be by the next write, or fail there.
        ended.unwrap_or(false)
    }

    fn database(&self) -> Current {
        self.writer.current.borrow().clone()
    }

    /// Makes the changes, all of them or none, and takes away some of what has ended.
    fn commit(&mut self, changes: &[Change]) -> Result<Vec<Outcome>, StoreError> {
        let Some(opened) = self.database() else {
            return Err(StoreError::Unreachable("it is closed".into()));
        };
        let made = guarded(|| self.transact(&opened.database, changes));
        drop(opened);
        match made {
            Ok((outcomes, is_written)) => {
                if is_written && self.failure.take().is_some() {
                    tracing::info!("the session store can be written again");
                }
                Ok(outcomes)
            }
            Err(error) => Err(self.fail(&error)),
        }
    }

    /// Tells what the changes came to, and whether there was anything to write.
    fn transact(
        &self,
        database: &Database,
        changes: &[Change],
    ) -> Result<(Vec<Outcome>, bool), redb::Error> {
        // What cannot be opened anew has no crash to recover from.
        let transaction = tables::begin(database, self.writer.reopen.is_some())?;
        let now = self.writer.clock.now();
        let mut tables = Tables::open(&transaction, now, self.writer.capacity)?;
        tables.sweep(SWEEP)?;
        let outcomes: Result<Vec<Outcome>, redb::Error> =
            changes.iter().map(|change| tables.apply(change)).collect();
        let outcomes = outcomes?;
        let is_written = tables.finish()?;
        if is_written {
            transaction.commit()?;
        } else {
            transaction.abort()?;
        }
        Ok((outcomes, is_written))
    }

    fn fail(&mut self, error: &redb::Error) -> StoreError {
        let refusal = self.note_failure(error);
        // It refuses every write from now on, and what is not in its cache cannot be read either.
        self.renew();
        refusal
    }

    /// Has writes refused for a while.
    fn note_failure(&mut self, error: &redb::Error) -> StoreError {
        let refusal = StoreError::Refused(describe(error));
        if self.failure.is_none() {
            tracing::error!(
                %error,
                "the session store cannot be written: nobody can sign in or out until it can"
            );
        }
        self.failure = Some((refusal.clone(), Instant::now() + REST));
        refusal
    }

    /// Opens the database anew, for reading alone where it cannot be written. Readers wait meanwhile.
    fn renew(&mut self) {
        if self.writer.reopen.is_none() {
            return;
        }
        if let Some(renewed) = self.renewed {
            thread::sleep(BETWEEN_OPENINGS.saturating_sub(renewed.elapsed()));
        }
        self.release();
        let opened = match self.reopen(Access::Write) {
            Ok(database) => Ok((database, true)),
            Err(error) => {
                self.note_failure(&error);
                self.reopen(Access::Read).map(|database| (database, false))
            }
        };
        self.renewed = Some(Instant::now());
        self.tell(Event::Flushed);
        match opened {
            Ok((database, is_writable)) => {
                self.generation += 1;
                self.writer.current.send_replace(Some(Arc::new(Opened {
                    database,
                    generation: self.generation,
                    is_writable,
                })));
            }
            // The next write, or the next look at what has ended, tries again.
            Err(error) => tracing::error!(%error, "the session store cannot be read either"),
        }
    }

    fn reopen(&self, access: Access) -> Result<Database, redb::Error> {
        let reopen = self.writer.reopen.as_ref();
        let reopen = reopen.expect("what cannot be opened anew is never let go of");
        guarded(|| reopen(access))
    }

    /// Lets go of the database. Readers have it for microseconds; where one hangs in a disk that does not
    /// answer, so does this, and nothing else could be done with the file anyway.
    fn release(&self) {
        let mut current = self.writer.current.send_replace(None);
        while let Some(shared) = current.take() {
            if let Err(shared) = Arc::try_unwrap(shared) {
                current = Some(shared);
                thread::sleep(RELEASE_POLL);
            }
        }
    }
}

/// A damaged file may lead anywhere in what reads it; nobody else is to suffer from that.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, redb::Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(redb::Error::Corrupted(
            "its parts contradict each other".into(),
        ))
    })
}
