//! Who has to know when connections come and go: whoever finds the servers, and whoever listens to them.

use tokio::sync::{Notify, watch};

/// Two bells.
#[derive(Default)]
pub(super) struct Alarm {
    lost: Notify,
    reads: watch::Sender<()>,
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

    /// From now on there may be reading from a server that was not read from before. A name may lead to another one by
    /// now, which nobody listens to.
    pub(super) fn reads_elsewhere(&self) {
        self.reads.send_replace(());
    }

    /// Tells of that.
    pub(super) fn reads(&self) -> watch::Receiver<()> {
        self.reads.subscribe()
    }
}
