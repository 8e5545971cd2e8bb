//! A connection of its own to one server that tells what nobody asked for: that others wrote something, or that
//! sentinels have chosen another primary.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ::redis::aio::{AsyncPushSender, MultiplexedConnection, SendError};
use ::redis::{Cmd, FromRedisValue, PushInfo, PushKind, RedisResult};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::connect::{Made, Target, connect};
use super::server_id::{ServerId, Unknown};

/// So much may have been told that nobody has taken note of yet. Whoever is slower than that has missed something, and
/// the line is of no more use.
const MOST_WAITING: usize = 4096;

/// A connection that speaks RESP3. Ends when it is dropped.
pub struct PushLine {
    target: Target,
    connection: MultiplexedConnection,
    server: Result<ServerId, Unknown>,
    pushes: mpsc::Receiver<PushInfo>,
    has_missed: Arc<AtomicBool>,
    driver: AbortHandle,
}

impl Drop for PushLine {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl PushLine {
    /// Opens a line, over which has been answered.
    ///
    /// # Errors
    ///
    /// What is in the way, for people.
    pub(super) async fn open(target: &Target) -> Result<Self, String> {
        let (sender, pushes) = mpsc::channel(MOST_WAITING);
        let has_missed = Arc::new(AtomicBool::new(false));
        let sender = PushSender {
            sender,
            has_missed: Arc::clone(&has_missed),
        };
        let Made {
            connection,
            driver,
            server,
        } = connect(target, Some(sender)).await?;
        Ok(Self {
            target: target.clone(),
            connection,
            server,
            pushes,
            has_missed,
            driver: tokio::spawn(driver).abort_handle(),
        })
    }

    /// Asks over this connection. Takes no time-out: whoever calls sets one.
    ///
    /// # Errors
    ///
    /// What Redis or the connection says.
    pub async fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> RedisResult<T> {
        command.query_async(&mut self.connection).await
    }

    /// The connection and where it leads, for whoever asks over it while others listen.
    pub(super) fn connection(&self) -> (MultiplexedConnection, Target) {
        (self.connection.clone(), self.target.clone())
    }

    /// The server that tells.
    ///
    /// # Errors
    ///
    /// Why it is not known who that is.
    pub(super) fn server(&self) -> Result<&ServerId, Unknown> {
        self.server.as_ref().map_err(|unknown| *unknown)
    }

    /// Has what is published to a channel told.
    ///
    /// # Errors
    ///
    /// What Redis or the connection says.
    pub async fn listen_to(&mut self, channel: &str) -> RedisResult<()> {
        self.connection.subscribe(channel).await
    }

    /// The next thing that is told; `None` once the connection is lost, or something was missed. May be given up and
    /// called again.
    pub async fn told(&mut self) -> Option<PushInfo> {
        let push = self.pushes.recv().await;
        let is_whole = !self.has_missed();
        push.filter(|push| is_whole && push.kind != PushKind::Disconnection)
    }

    /// What has been told already and nobody has taken note of, when nobody waits for more.
    pub(super) fn left(&mut self) -> Option<PushInfo> {
        self.pushes.try_recv().ok()
    }

    /// Whether something was missed: more was told at once than is kept.
    pub(super) fn has_missed(&self) -> bool {
        self.has_missed.load(Ordering::Acquire)
    }
}

/// The other end of a [`PushLine`].
pub(super) struct PushSender {
    sender: mpsc::Sender<PushInfo>,
    has_missed: Arc<AtomicBool>,
}

impl AsyncPushSender for PushSender {
    fn send(&self, info: PushInfo) -> Result<(), SendError> {
        self.sender.try_send(info).map_err(|_| {
            self.has_missed.store(true, Ordering::Release);
            SendError
        })
    }
}
