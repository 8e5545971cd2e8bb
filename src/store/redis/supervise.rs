//! Tasks that go on in the background, and begin anew when one of them breaks down.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::task::AbortHandle;
use tokio::time::sleep;

/// Before a task that broke down begins anew: what breaks it down at once is not to keep a core busy.
const PAUSE: Duration = Duration::from_millis(200);

/// A task that ends with whoever holds this.
pub(super) struct Kept(AbortHandle);

impl Drop for Kept {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Has what `begin` gives done in the background until it ends by itself, and once more from the start whenever it
/// panics. To be called within a Tokio runtime, which keeps it.
pub(super) fn keep<F>(what: &'static str, begin: impl Fn() -> F + Send + 'static) -> Kept
where
    F: Future<Output = ()> + Send + 'static,
{
    let task = async move {
        // Nothing is left in between by a panic but what lies behind locks and channels, which `begin` sets anew.
        while AssertUnwindSafe(begin()).catch_unwind().await.is_err() {
            tracing::error!(
                task = what,
                "a task of the session store broke down, and begins anew"
            );
            sleep(PAUSE).await;
        }
    };
    Kept(tokio::spawn(task).abort_handle())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn what_panics_begins_anew_until_it_is_dropped() {
        let (begun, is_done) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let (counter, done) = (Arc::clone(&begun), Arc::clone(&is_done));
        let kept = keep("a test", move || {
            let (counter, done) = (Arc::clone(&counter), Arc::clone(&done));
            async move {
                let before = counter.fetch_add(1, Ordering::SeqCst);
                assert!(before >= 2, "it breaks down twice");
                done.notify_one();
                std::future::pending::<()>().await;
            }
        });
        is_done.notified().await;
        assert_eq!(begun.load(Ordering::SeqCst), 3);
        let task = kept.0.clone();
        drop(kept);
        while !task.is_finished() {
            tokio::task::yield_now().await;
        }
    }
}
