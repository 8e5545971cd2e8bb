//! A lease: the right to do something alone, among all tasks of all replicas, for a limited time.
//!
//! It is a record that nobody makes twice. Whoever made it writes it anew while the work goes on, and deletes it
//! afterwards; when they die, it ends by itself. A lease alone keeps nobody from going on who was overtaken without
//! noticing: what is written under it is written over what was read under it, and nothing else
//! ([`Store::replace`]).

use std::time::{Duration, Instant};

use crate::store::sealing::random;
use crate::store::{RecordKey, Store, StoreError, Version};

/// A lease that we have, or had.
pub struct Lease<'s> {
    store: &'s dyn Store,
    key: RecordKey,
    /// Tells us from others.
    owner: [u8; 16],
    version: Version,
    lasts: Duration,
    /// When it was written last, or before that.
    written: Instant,
}

impl<'s> Lease<'s> {
    /// Takes the lease `key` for `lasts`; `None` while somebody else has it.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: then nobody may have it until its time is over.
    pub async fn take(
        store: &'s dyn Store,
        key: RecordKey,
        lasts: Duration,
    ) -> Result<Option<Self>, StoreError> {
        let owner = random();
        let written = Instant::now();
        if !store.create(&key, &owner, lasts).await? {
            return Ok(None);
        }
        let lease = Self {
            store,
            key,
            owner,
            version: Version(0),
            lasts,
            written,
        };
        lease.look().await
    }

    /// Learns the version that was written; `None` when another one stands there by now.
    async fn look(mut self) -> Result<Option<Self>, StoreError> {
        let is_ours = self.see().await?;
        Ok(is_ours.then_some(self))
    }

    async fn see(&mut self) -> Result<bool, StoreError> {
        let record = self.store.get(&self.key).await?;
        match record.filter(|record| record.value == self.owner) {
            Some(record) => {
                self.version = record.version;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// Has it for its whole time from now on. `false` when it is lost.
    ///
    /// # Errors
    ///
    /// [`StoreError`], when the store cannot tell.
    async fn renew(&mut self) -> Result<bool, StoreError> {
        // Twice: a write before may have been carried out without an answer, and then ours stands at another version.
        for _ in 0..2 {
            let written = Instant::now();
            let replaced = self
                .store
                .replace(&self.key, self.version, &self.owner, self.lasts)
                .await?;
            if !self.see().await? {
                return Ok(false);
            }
            if replaced {
                self.written = written;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Makes sure that it lasts for its whole time, less `spent` at most, from now on. `false` when it is lost.
    ///
    /// # Errors
    ///
    /// [`StoreError`], when the store cannot tell.
    pub async fn confirm(&mut self, spent: Duration) -> Result<bool, StoreError> {
        if self.written.elapsed() <= spent {
            return Ok(true);
        }
        self.renew().await
    }

    /// Does `work`, and keeps the lease meanwhile. `None` when it is lost: then the work is given up where it is. For what
    /// has changed nothing anywhere yet.
    pub async fn keep_while<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let keeping = async {
            loop {
                tokio::time::sleep(self.lasts / 3).await;
                // What the store cannot tell now it may tell the next time; others cannot take it from such a store
                // either.
                if let Ok(false) = self.renew().await {
                    return;
                }
            }
        };
        tokio::select! {
            done = work => Some(done),
            () = keeping => None,
        }
    }

    /// Does `work` to its end, and keeps the lease meanwhile as well as it can. A lease that the store has lost is made
    /// again; one that somebody else has by now is left to them. For what would be lost if it were given up: whoever has
    /// the lease meanwhile is held back by what is written, not by the lease.
    pub async fn keep_through<T>(&mut self, work: impl Future<Output = T>) -> T {
        let keeping = async {
            loop {
                tokio::time::sleep(self.lasts / 3).await;
                if let Ok(false) = self.renew().await
                    && let Err(error) = self.make_again().await
                {
                    tracing::debug!(%error, "a lease that was lost cannot be made again for now");
                }
            }
        };
        tokio::select! {
            done = work => done,
            never = keeping => never,
        }
    }

    /// Makes it again where there is none.
    async fn make_again(&mut self) -> Result<(), StoreError> {
        let written = Instant::now();
        if self
            .store
            .create(&self.key, &self.owner, self.lasts)
            .await?
            && self.see().await?
        {
            self.written = written;
        }
        Ok(())
    }

    /// Gives it up, if it is still ours.
    pub async fn release(mut self) {
        let released = async {
            let is_gone = self.store.delete_version(&self.key, self.version).await?;
            // The work may have ended while it was being renewed: then ours stands at another version.
            if !is_gone && self.see().await? {
                self.store.delete_version(&self.key, self.version).await?;
            }
            Ok::<_, StoreError>(())
        };
        if let Err(error) = released.await {
            tracing::debug!(%error, "a lease is left to its time");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::contract::ManualClock;
    use crate::store::embedded::EmbeddedStore;

    const LASTS: Duration = Duration::from_secs(10);

    fn key() -> RecordKey {
        RecordKey::new("lease", "a")
    }

    async fn take(store: &EmbeddedStore) -> Option<Lease<'_>> {
        Lease::take(store, key(), LASTS).await.expect("an answer")
    }

    fn store() -> (EmbeddedStore, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::default());
        let store = EmbeddedStore::in_memory(clock.clone()).expect("a store");
        (store, clock)
    }

    #[tokio::test]
    async fn one_has_it_at_a_time() {
        let (store, _clock) = store();
        let lease = take(&store).await.expect("it is free");
        assert!(take(&store).await.is_none());
        lease.release().await;
        assert!(take(&store).await.is_some());
    }

    #[tokio::test]
    async fn it_ends_by_itself_and_whoever_was_overtaken_takes_nothing_away() {
        let (store, clock) = store();
        let mut late = take(&store).await.expect("it is free");
        clock.advance(LASTS);
        let next = take(&store).await.expect("its holder is gone");
        assert_eq!(late.renew().await, Ok(false));
        assert_eq!(late.confirm(Duration::ZERO).await, Ok(false));
        late.release().await;
        assert!(take(&store).await.is_none(), "the next one still has it");
        next.release().await;
    }

    #[tokio::test]
    async fn it_is_renewed_while_the_work_goes_on() {
        let (store, clock) = store();
        let mut lease = take(&store).await.expect("it is free");
        for _ in 0..5 {
            clock.advance(LASTS / 2);
            assert_eq!(lease.renew().await, Ok(true));
            assert!(take(&store).await.is_none());
        }
        lease.release().await;
        assert!(take(&store).await.is_some());
    }

    #[tokio::test]
    async fn work_that_has_changed_nothing_is_given_up_when_the_lease_is_lost() {
        let (store, clock) = store();
        let lease = Lease::take(&store, key(), Duration::from_secs(1)).await;
        let mut lease = lease.expect("an answer").expect("it is free");
        clock.advance(Duration::from_secs(1));
        let done = lease.keep_while(std::future::pending::<()>()).await;
        assert_eq!(done, None);
        assert_eq!(lease.keep_while(async { 7 }).await, Some(7));
    }

    /// Until somebody sees it, at a third of a second, and for some time more.
    const WORK: Duration = Duration::from_millis(800);

    #[tokio::test]
    async fn work_that_must_not_be_lost_is_done_to_its_end_and_the_lease_made_again() {
        let (store, clock) = store();
        let lease = Lease::take(&store, key(), Duration::from_secs(1)).await;
        let mut lease = lease.expect("an answer").expect("it is free");
        clock.advance(Duration::from_secs(1));
        let work = async {
            tokio::time::sleep(WORK).await;
            assert!(take(&store).await.is_none(), "it is there again");
            7
        };
        assert_eq!(lease.keep_through(work).await, 7);
        lease.release().await;
        assert!(take(&store).await.is_some());
    }

    #[tokio::test]
    async fn a_lease_that_somebody_else_has_by_now_is_left_to_them() {
        let (store, clock) = store();
        let lease = Lease::take(&store, key(), Duration::from_secs(1)).await;
        let mut late = lease.expect("an answer").expect("it is free");
        clock.advance(Duration::from_secs(1));
        let mut next = take(&store).await.expect("its holder is gone");
        let work = tokio::time::sleep(WORK);
        late.keep_through(work).await;
        assert_eq!(next.renew().await, Ok(true));
        late.release().await;
        assert_eq!(next.renew().await, Ok(true));
    }
}
