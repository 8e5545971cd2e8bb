//! Who has to know when connections come and go: whoever finds the servers, and whoever keeps what is read from them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use crate::store::coherence::{Event, Listener};

/// Two bells.
#[derive(Default)]
pub(super) struct Alarm {
    lost: Notify,
    watched: Mutex<Watched>,
    /// The last of the turns.
    turns: watch::Sender<Turn>,
}

/// How often it has changed who is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Turn(u64);

#[derive(Default)]
struct Watched {
    turn: Turn,
    listener: Option<Arc<dyn Listener>>,
}

impl Watched {
    fn turn(&mut self, turns: &watch::Sender<Turn>, change: impl FnOnce()) {
        self.turn.0 += 1;
        if let Some(listener) = &self.listener {
            listener.told(Event::Lost);
        }
        change();
        turns.send_replace(self.turn);
    }
}

impl Alarm {
    /// A connection is lost, or a call was sent elsewhere: what is known of the servers may be wrong.
    pub(super) fn ring(&self) {
        self.lost.notify_one();
    }

    /// Waits for that.
    pub(super) async fn rung(&self) {
        self.lost.notified().await;
    }

    /// Has `change` done, after which a server may be asked that was not asked before. A name may lead to another one by
    /// now, which nobody listens to. Whoever keeps what is read is told so before.
    pub(super) fn elsewhere(&self, change: impl FnOnce()) {
        self.elsewhere_if(|| true, change);
    }

    /// Has `change` done in the same way if `is_watched` says so, and else without a word to anybody. Nothing comes between.
    pub(super) fn elsewhere_if(&self, is_watched: impl FnOnce() -> bool, change: impl FnOnce()) {
        let mut watched = self.watched();
        if is_watched() {
            watched.turn(&self.turns, change);
        } else {
            change();
        }
    }

    /// The record of this key is about to be looked for where nobody listens: what is known of it is not to be gone by, nor
    /// what is read there to be kept.
    pub(super) fn unheard(&self, key: &str) {
        if let Some(listener) = &self.watched().listener {
            listener.told(Event::Changed(key));
        }
    }

    /// Has `listener` told of all that from now on.
    pub(super) fn watch(&self, listener: &Arc<dyn Listener>) {
        self.watched().listener = Some(Arc::clone(listener));
    }

    /// What holds now.
    pub(super) fn turn(&self) -> Turn {
        self.watched().turn
    }

    /// Has `change` done if nothing has changed since `turn`, and nothing can meanwhile; tells whether it was.
    pub(super) fn if_still(&self, turn: Turn, change: impl FnOnce()) -> bool {
        let watched = self.watched();
        let is_still = watched.turn == turn;
        if is_still {
            change();
        }
        is_still
    }

    /// Waits until something has changed since `turn`.
    pub(super) async fn turned(&self, turn: Turn) {
        // It lives as long as this does.
        let _ = self.turns.subscribe().wait_for(|now| *now != turn).await;
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        // A count and a listener, neither of which is ever half written.
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::FutureExt;

    use super::*;
    use crate::clock::Instant;

    /// Counts what it is told.
    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl Listener for Counter {
        fn told(&self, event: Event<'_>) {
            assert_eq!(event, Event::Lost);
            self.0.fetch_add(1, Ordering::SeqCst);
        }

        fn heard(&self, _when: Option<Instant>) {}
    }

    #[tokio::test]
    async fn whoever_keeps_what_is_read_knows_before_another_server_is_asked() {
        let (alarm, counter) = (Alarm::default(), Arc::new(Counter::default()));
        let told = || counter.0.load(Ordering::SeqCst);
        alarm.elsewhere(|| assert_eq!(told(), 0, "nobody listens yet"));
        let listener: Arc<dyn Listener> = counter.clone();
        alarm.watch(&listener);
        let turn = alarm.turn();
        assert!(alarm.if_still(turn, || ()), "nothing has changed");
        assert!(alarm.turned(turn).now_or_never().is_none());
        alarm.elsewhere(|| assert_eq!(told(), 1));
        assert!(!alarm.if_still(turn, || unreachable!("something has")));
        alarm.turned(turn).await;
        assert!(alarm.if_still(alarm.turn(), || ()));
    }
}
