//! Whether a replica has what must not be undone by a failover.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use tokio::time::{Instant, timeout_at};

/// So long a replica is waited for. It takes about as long as one call where all is well.
const PATIENCE_MS: u64 = 100;
const PATIENCE: Duration = Duration::from_millis(PATIENCE_MS);

/// So long nobody is waited for once none has answered: it holds up the connection.
const REST: Duration = Duration::from_secs(5);

/// What is known of the replicas of one server.
#[derive(Default)]
pub(super) struct Replication {
    /// When they were missed last; `None` while they confirm.
    missed: Mutex<Option<Instant>>,
}

impl Replication {
    /// Waits until one replica has all that was written over `connection`, or for a moment: not beyond `deadline`.
    /// Whether one has changes nothing of what was done, so that is only told in the log.
    pub(super) async fn confirm(&self, mut connection: MultiplexedConnection, deadline: Instant) {
        let now = Instant::now();
        let is_resting = self.missed().is_some_and(|missed| missed + REST > now);
        // The answer takes its way, too.
        if is_resting || now + PATIENCE * 2 > deadline {
            return;
        }
        let mut wait = ::redis::cmd("WAIT");
        wait.arg(1).arg(PATIENCE_MS);
        let asked = wait.query_async::<u64>(&mut connection);
        let reason = match timeout_at(now + PATIENCE * 2, asked).await {
            Ok(Ok(1..)) => return self.confirmed(),
            Ok(Ok(0)) => "none in time".to_owned(),
            Ok(Err(error)) => error
                .code()
                .unwrap_or("the connection was closed")
                .to_owned(),
            Err(_) => "no answer".to_owned(),
        };
        if self.missed().replace(Instant::now()).is_none() {
            tracing::warn!(
                reason,
                "no replica of the session store confirms what is deleted: a failover now might undo a sign-out"
            );
        }
    }

    #[cfg(test)]
    pub(super) fn is_missed(&self) -> bool {
        self.missed().is_some()
    }

    fn confirmed(&self) {
        if self.missed().take().is_some() {
            tracing::info!("a replica of the session store confirms what is deleted again");
        }
    }

    fn missed(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.missed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
