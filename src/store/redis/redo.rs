//! Deletions that a failover may undo, and that are done again at the new primary.
//!
//! A server that is about to be replaced still takes writes that its successor never hears of: until another is chosen,
//! which takes Sentinel more than a second even where nothing has failed. Whoever signs out then has to stay signed out.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::time::Instant;

use super::servers::Directory;
use crate::store::StoreError;

/// What is never made anew under the same name. Other records are: what deletes them again might be somebody else's.
const KINDS: [&str; 2] = ["portcullis:session:", "portcullis:tokens:"];

/// How long after a deletion it may turn out to have been at the wrong server: longer than sentinels or nodes take to
/// find out that a primary is gone.
const KEPT_FOR: Duration = Duration::from_secs(300);

/// More than are signed out in that time; the oldest go first. About 100 bytes each.
const MOST: usize = 16_384;

/// How many are done again at once.
const AT_ONCE: usize = 64;

/// The deletions of late.
#[derive(Default)]
pub(super) struct Redo {
    deleted: Mutex<Deleted>,
    /// Whether there is another server that may not know of them.
    is_due: AtomicBool,
}

#[derive(Default)]
struct Deleted {
    /// In the order of their times.
    names: VecDeque<(Instant, String)>,
    /// How often each of them stands there.
    counts: HashMap<String, usize>,
}

impl Redo {
    /// A record is deleted.
    pub(super) fn note(&self, name: &str) {
        if KINDS.iter().any(|kind| name.starts_with(kind)) {
            self.deleted().push(name, Instant::now());
        }
    }

    /// Another server is asked from now on.
    pub(super) fn is_due_now(&self) {
        self.is_due.store(true, Ordering::SeqCst);
    }

    /// Whether deletions have not been done again yet.
    pub(super) fn is_due(&self) -> bool {
        self.is_due.load(Ordering::SeqCst)
    }

    /// Whether what was read under `name` was deleted, and might be there again. `was_due` is what
    /// [`is_due`](Self::is_due) was before the reading.
    pub(super) fn hides(&self, name: &str, was_due: bool) -> bool {
        (was_due || self.is_due()) && self.deleted().counts.contains_key(name)
    }

    fn deleted(&self) -> MutexGuard<'_, Deleted> {
        self.deleted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deleted {
    fn push(&mut self, name: &str, now: Instant) {
        self.forget(now);
        if self.names.len() == MOST {
            self.forget_first();
        }
        self.names.push_back((now, name.to_owned()));
        *self.counts.entry(name.to_owned()).or_default() += 1;
    }

    /// Gives up what was long ago.
    fn forget(&mut self, now: Instant) {
        while let Some((when, _)) = self.names.front()
            && *when + KEPT_FOR < now
        {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        let Some((_, name)) = self.names.pop_front() else {
            return;
        };
        if let Some(count) = self.counts.get_mut(&name) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&name);
            }
        }
    }
}

impl Directory {
    /// Deletes at the servers of now what was deleted at those before, if there are others. What fails is tried again
    /// when this is called the next time.
    pub(super) async fn redo(&self) {
        if !self.redo.is_due() {
            return;
        }
        let names: Vec<String> = {
            let mut deleted = self.redo.deleted();
            deleted.forget(Instant::now());
            deleted.counts.keys().cloned().collect()
        };
        let count = names.len();
        let done = stream::iter(names).map(|name| async move {
            let mut command = ::redis::cmd("DEL");
            command.arg(&name);
            self.delete_once::<u64>(&name, &command).await
        });
        let done: Vec<Result<u64, StoreError>> = done.buffer_unordered(AT_ONCE).collect().await;
        let again: u64 = done.iter().flatten().sum();
        let failed = done.iter().filter(|done| done.is_err()).count();
        if failed == 0 {
            self.redo.is_due.store(false, Ordering::SeqCst);
        }
        if again > 0 || failed > 0 {
            tracing::info!(
                count,
                again,
                failed,
                "what was deleted of late was deleted at the session store's new primary too"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_deleted_is_hidden_while_it_may_be_back() {
        let redo = Redo::default();
        for name in ["portcullis:session:a", "portcullis:lease:a"] {
            redo.note(name);
            assert!(!redo.hides(name, false), "nothing has failed");
        }
        redo.is_due_now();
        assert!(redo.hides("portcullis:session:a", false));
        assert!(!redo.hides("portcullis:session:b", true));
        assert!(
            !redo.hides("portcullis:lease:a", true),
            "it may be another's by now"
        );
    }

    #[test]
    fn it_is_bounded_in_time_and_number() {
        let (mut deleted, begin) = (Deleted::default(), Instant::now());
        for number in 0..MOST + 10 {
            deleted.push(&format!("{}", number % (MOST + 5)), begin);
        }
        assert_eq!(deleted.names.len(), MOST);
        assert!(deleted.counts.len() <= MOST);
        assert!(!deleted.counts.contains_key("7") && deleted.counts.contains_key("10"));
        // The first few were deleted a second time.
        assert!(deleted.counts.contains_key("2"));
        deleted.push("late", begin + KEPT_FOR + Duration::from_secs(1));
        assert_eq!((deleted.names.len(), deleted.counts.len()), (1, 1));
    }
}
