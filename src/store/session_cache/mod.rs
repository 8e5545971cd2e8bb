//! The sessions that are in use, decoded, in this process: a request of somebody who was here a moment ago asks no
//! store.
//!
//! What is kept is never used beyond the moment at which the store may have come to say something else. It tells
//! ([`Listener`]) when a session changes, and what it tells goes before what was read: a reading is kept only if nothing
//! was told of its session since it began. Where it may go untold what happens, all is read from the store; and before that
//! counts as over, all that was kept goes. Only while the store does not answer, and for as long as
//! `session.store_grace` says, does what was known go on counting.
//!
//! Nothing is kept for those who are nobody, so strangers cost no room.

mod known;
mod shard;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use self::known::Known;
use self::shard::{Bounds, Shard};
use crate::clock::Instant;
use crate::domain::telling::Prepared;
use crate::store::coherence::{Event, Listener};
use crate::store::session_records::SessionName;
use crate::telemetry::metrics::CacheCounts;

/// How many parts there are, each with a lock of its own.
const SHARDS: usize = 32;

/// How many sessions are kept at most, and how many bytes they take: an ordinary session about 1.1 KiB.
const MOST_SESSIONS: usize = 32 * 1024;
const MOST_BYTES: usize = 32 * 1024 * 1024;

/// What is kept is used for so long after all that had happened was told. Sources that could fall silent tell it more
/// often than that.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

const HOUR: Duration = Duration::from_secs(3_600);

/// Stands for a source that cannot fall silent.
const ALWAYS: u64 = u64::MAX;

/// Sessions in use. Shared by all threads.
pub struct SessionCache {
    shards: Box<[Mutex<Shard>]>,
    /// How long what was known counts while the store does not answer.
    grace: Duration,
    begin: Instant,
    /// Whether it is told what happens.
    is_told: AtomicBool,
    /// When all that had happened was told, in milliseconds since the beginning; [`ALWAYS`] for a source that cannot
    /// fall silent.
    heard: AtomicU64,
}

/// What is found of a session.
#[derive(Debug)]
pub(super) enum Look {
    /// It is known.
    Known(Arc<Known>),
    /// It has to be read.
    Unknown(Reading),
}

/// A reading that is about to begin.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    pub(super) begun: Instant,
    changes: u64,
}

impl SessionCache {
    /// An empty cache, which is not used before it is told what happens. `grace` is how long what was known counts while
    /// the store does not answer.
    #[must_use]
    pub fn new(grace: Duration) -> Self {
        Self::bounded(grace, MOST_SESSIONS, MOST_BYTES)
    }

    /// The same with other bounds.
    fn bounded(grace: Duration, sessions: usize, bytes: usize) -> Self {
        let bounds = Bounds {
            sessions: sessions / SHARDS,
            bytes: bytes / SHARDS,
        };
        let shards = (0..SHARDS).map(|_| Mutex::new(Shard::new(bounds)));
        Self {
            shards: shards.collect(),
            grace,
            // Before anything that may be told of.
            begin: Instant::now().checked_sub(HOUR).unwrap_or(Instant::BOOT),
            is_told: AtomicBool::new(false),
            heard: AtomicU64::new(0),
        }
    }

    /// Looks for a session.
    pub(super) fn look(&self, name: &SessionName) -> Look {
        // Before the lock, where nobody waits for the clock: a request that came before the silence was too long is answered
        // by what was known then.
        let begun = Instant::now();
        let was_heard = self.was_heard_at(begun);
        let mut shard = self.shard(name);
        // Behind the lock: what counts as told after a loss finds nothing here that is older.
        if was_heard
            && self.is_told.load(Ordering::SeqCst)
            && let Some(known) = shard.get(name).cloned()
        {
            shard.counts.hits += 1;
            return Look::Known(known);
        }
        shard.counts.misses += 1;
        let changes = shard.changes(name);
        Look::Unknown(Reading { begun, changes })
    }

    /// Begins to read a session whatever is known of it.
    pub(super) fn begin(&self, name: &SessionName) -> Reading {
        let begun = Instant::now();
        let changes = self.shard(name).changes(name);
        Reading { begun, changes }
    }

    /// Keeps what was read, unless something was told since that may be about it.
    pub(super) fn fill(&self, reading: Reading, known: &Arc<Known>) {
        let mut shard = self.shard(&known.name);
        let has_grace = !self.grace.is_zero();
        let may_serve = self.is_told.load(Ordering::SeqCst) || has_grace;
        let is_current = shard.changes(&known.name) == reading.changes;
        if has_grace {
            // What is told of a change takes away what is older, unless it is lost, and then a grace goes by what is kept.
            // So of readings that go on at once, the one that is answered first counts.
            shard.note_change(&known.name);
        }
        if is_current && may_serve {
            shard.put(Arc::clone(known));
        } else if let Some(kept) = shard.get(&known.name)
            && kept.version != known.version
        {
            // One of the two is over.
            shard.remove(&known.name);
        }
    }

    /// Keeps what the app at `place` is told of a session, as long as the session is kept.
    pub(super) fn keep(&self, known: &Arc<Known>, place: usize, telling: Arc<Prepared>) {
        let mut shard = self.shard(&known.name);
        known.keep(place, telling);
        shard.weigh(known);
    }

    /// Forgets a session that the store does not have, or that counts no more. Readings that are still under way count no more: what they found
    /// may be from before.
    pub(super) fn forget(&self, name: &SessionName) {
        let mut shard = self.shard(name);
        shard.note_change(name);
        shard.remove(name);
    }

    /// What was known of a session, now that the store does not answer; `None` once that is too long ago.
    pub(super) fn outlasting(&self, name: &SessionName) -> Option<Arc<Known>> {
        if self.grace.is_zero() {
            return None;
        }
        let known = self.shard(name).get(name).cloned()?;
        // What was kept while it was told what happens was true until that ended.
        let heard = self.last_heard();
        let certain = heard.map_or_else(Instant::now, |heard| heard.max(known.read));
        (certain.elapsed() < self.grace).then_some(known)
    }

    /// Forgets everything, also what is just being read: for when what was worked out counts no more. Whoever puts another
    /// table of services in the place of one has to call this, once no request goes by the old one any more: what an app is
    /// told is kept by the place of its service in the table.
    pub fn clear(&self) {
        for shard in &self.shards {
            lock(shard).clear();
        }
    }

    /// What has been counted.
    #[must_use]
    pub fn counts(&self) -> CacheCounts {
        self.shards
            .iter()
            .fold(CacheCounts::default(), |sum, shard| {
                let CacheCounts {
                    hits,
                    misses,
                    invalidations,
                } = lock(shard).counts;
                CacheCounts {
                    hits: sum.hits + hits,
                    misses: sum.misses + misses,
                    invalidations: sum.invalidations + invalidations,
                }
            })
    }

    /// How many sessions are kept, and about how many bytes they take.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        self.shards.iter().fold((0, 0), |(sessions, bytes), shard| {
            let shard = lock(shard);
            (sessions + shard.len(), bytes + shard.bytes())
        })
    }

    /// Whether what is kept is used now.
    #[cfg(test)]
    pub(in crate::store) fn is_trusted(&self) -> bool {
        self.is_told.load(Ordering::SeqCst) && self.was_heard_at(Instant::now())
    }

    /// Whether, at `now`, it is not too long ago that all that had happened was told.
    fn was_heard_at(&self, now: Instant) -> bool {
        self.last_heard()
            .is_none_or(|heard| now.saturating_duration_since(heard) < TRUSTED_FOR)
    }

    fn last_heard(&self) -> Option<Instant> {
        match self.heard.load(Ordering::SeqCst) {
            ALWAYS => None,
            heard => Some(self.begin + Duration::from_millis(heard)),
        }
    }

    fn shard(&self, name: &SessionName) -> MutexGuard<'_, Shard> {
        let place = name.bits() % SHARDS as u64;
        let place = usize::try_from(place).expect("there are few of them");
        lock(&self.shards[place])
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    // Nothing in there panics between two steps that belong together.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Listener for SessionCache {
    fn told(&self, event: Event<'_>) {
        match event {
            Event::Changed(key) => {
                // Records of other kinds are not kept.
                let Some(name) = SessionName::of_record(key) else {
                    return;
                };
                let mut shard = self.shard(&name);
                shard.note_change(&name);
                shard.counts.invalidations += 1;
                shard.remove(&name);
            }
            Event::Flushed => {
                self.clear();
                lock(&self.shards[0]).counts.invalidations += 1;
            }
            Event::Lost => {
                self.is_told.store(false, Ordering::SeqCst);
                if self.grace.is_zero() {
                    self.clear();
                }
            }
            Event::Back => {
                // It may not have been told that it was lost.
                self.is_told.store(false, Ordering::SeqCst);
                self.clear();
                self.is_told.store(true, Ordering::SeqCst);
            }
        }
    }

    fn heard(&self, when: Option<Instant>) {
        let heard = when.map_or(ALWAYS, |when| {
            let since = when.saturating_duration_since(self.begin).as_millis();
            u64::try_from(since).unwrap_or(ALWAYS - 1)
        });
        self.heard.store(heard, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;
