//! One call: to whoever has the key, over again where that helps, and within the time-out.

use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{Cmd, FromRedisValue, RedisResult, Value};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep, timeout};

use super::connect::probing;
use super::fault::{Access, Fault, IN_A_CLUSTER, fault};
use super::link::Up;
use super::node::Node;
use super::servers::Directory;
use crate::domain::redis_settings::RedisServers;
use crate::store::StoreError;

/// How often one call is sent on, or put off, before it is given up: more than any change of a cluster needs.
const MOST_DETOURS: usize = 8;
const MOMENT: Duration = Duration::from_millis(20);

/// Over what a call was made last.
struct Asked {
    node: Arc<Node>,
    up: Up,
    since: Instant,
}

impl Directory {
    /// Asks whoever has `key`, within the time-out. A read whose connection is lost is asked once more over a new
    /// one. A write is not: nobody knows whether it was carried out.
    pub(super) async fn ask<T: FromRedisValue>(
        &self,
        key: &str,
        command: &Cmd,
        access: Access,
    ) -> Result<T, StoreError> {
        self.ask_over(key, command, access, &mut None).await
    }

    /// The same for a deletion, which no failover is to undo: it is waited for a moment that a replica has it too, and
    /// noted, so that it can be done again.
    pub(super) async fn delete<T: FromRedisValue>(
        &self,
        key: &str,
        command: &Cmd,
    ) -> Result<T, StoreError> {
        if let RedisServers::One(_) = self.settings.servers {
            return self.ask(key, command, Access::Writes).await;
        }
        // Before it is known who is asked: whoever becomes the primary meanwhile hears of it as well.
        self.redo.note(key);
        self.delete_once(key, command).await
    }

    /// The same without a note.
    pub(super) async fn delete_once<T: FromRedisValue>(
        &self,
        key: &str,
        command: &Cmd,
    ) -> Result<T, StoreError> {
        let deadline = Instant::now() + self.settings.timeout;
        let mut asked = None;
        let answer = self.ask_over(key, command, Access::Writes, &mut asked);
        let answer = answer.await?;
        if let Some(Asked { node, up, .. }) = asked {
            node.replication.confirm(up.connection, deadline).await;
        }
        Ok(answer)
    }

    async fn ask_over<T: FromRedisValue>(
        &self,
        key: &str,
        command: &Cmd,
        access: Access,
        asked: &mut Option<Asked>,
    ) -> Result<T, StoreError> {
        let limit = self.settings.timeout;
        let answer = timeout(limit, self.ask_in_time(key, command, access, asked)).await;
        answer.unwrap_or_else(|_| Err(too_late(limit, access, asked.as_ref())))
    }

    async fn ask_in_time<T: FromRedisValue>(
        &self,
        key: &str,
        command: &Cmd,
        access: Access,
        asked: &mut Option<Asked>,
    ) -> Result<T, StoreError> {
        let mut attempts = match access {
            Access::Reads => 2,
            Access::Writes => 1,
        };
        let (mut sent_to, mut is_for_once) = (None, false);
        let mut detours = 0;
        loop {
            let node = match sent_to.take() {
                Some(node) => node,
                None => self.owner_of(key).await?,
            };
            let up = node.link(access).connection().await?;
            let number = up.number;
            let is_left = up.is_settled() || self.is_found_out();
            let mut connection = up.connection.clone();
            *asked = Some(Asked {
                node: Arc::clone(&node),
                up,
                since: Instant::now(),
            });
            let answer = if std::mem::take(&mut is_for_once) {
                // The node is still getting the slot, and serves it to whoever says this at once before.
                exceptionally(command, &mut connection).await
            } else {
                command.query_async(&mut connection).await
            };
            let error = match answer {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            detours += 1;
            match fault(&error, access) {
                Fault::Answered(error) => return Err(error),
                Fault::Demoted(error) => {
                    // What is written to its successor is not to be looked for there, however young that connection is.
                    if is_left && node.link(access).leave(number) {
                        node.link(Access::Reads).leave_any();
                    }
                    return Err(error);
                }
                Fault::Lost(reason) => {
                    node.link(access).leave(number);
                    attempts -= 1;
                    if attempts == 0 {
                        return Err(StoreError::Unreachable(reason));
                    }
                }
                Fault::Again(error) if detours > MOST_DETOURS => return Err(error),
                Fault::Again(_) => sleep(MOMENT).await,
                Fault::Elsewhere(to) if self.is_cluster() && detours <= MOST_DETOURS => {
                    if !to.is_for_once {
                        self.alarm.ring();
                    }
                    is_for_once = to.is_for_once;
                    sent_to = Some(self.guest(&to.address(&node.address), key));
                }
                Fault::Elsewhere(_) => return Err(self.astray()),
            }
        }
    }

    async fn owner_of(&self, key: &str) -> Result<Arc<Node>, StoreError> {
        let map = self.map().await?;
        let node = map.node_for(key.as_bytes()).cloned();
        node.ok_or_else(|| {
            StoreError::Unreachable("no node of the cluster has the slot of this key".to_owned())
        })
    }

    /// Whether others tell who takes writes, so that a new connection shows at once whether the server is the primary at
    /// all.
    fn is_found_out(&self) -> bool {
        match self.settings.servers {
            RedisServers::One(_) => false,
            RedisServers::Sentinel { .. } | RedisServers::Cluster { .. } => true,
        }
    }

    fn is_cluster(&self) -> bool {
        matches!(self.settings.servers, RedisServers::Cluster { .. })
    }

    fn astray(&self) -> StoreError {
        StoreError::Unreachable(if self.is_cluster() {
            "the nodes of the cluster send us round in circles".to_owned()
        } else {
            IN_A_CLUSTER.to_owned()
        })
    }

    /// Whether any server answers. One that does not is missed by those whose keys it has, and the others go on.
    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        let limit = self.settings.timeout;
        let begun = Instant::now();
        let map = timeout(limit, self.map()).await;
        let map = map.unwrap_or_else(|_| Err(too_late(limit, Access::Reads, None)))?;
        let left = limit.saturating_sub(begun.elapsed());
        let probe = probing();
        let mut asked: FuturesUnordered<_> = map
            .nodes
            .iter()
            .map(|node| self.ask_node(node, &probe, left))
            .collect();
        let mut failure = StoreError::Unreachable("there is no server".to_owned());
        while let Some(answer) = asked.next().await {
            let answer: Result<Option<Value>, StoreError> = answer;
            match answer {
                // One that names another is there as well.
                Ok(_) => return Ok(()),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Asks this one server for something that changes nothing; `None` when, in a cluster, it names another one.
    pub(super) async fn ask_node<T: FromRedisValue>(
        &self,
        node: &Arc<Node>,
        command: &Cmd,
        limit: Duration,
    ) -> Result<Option<T>, StoreError> {
        let mut asked = None;
        let answer = timeout(limit, self.ask_node_in_time(node, command, &mut asked)).await;
        answer.unwrap_or_else(|_| Err(too_late(limit, Access::Reads, asked.as_ref())))
    }

    async fn ask_node_in_time<T: FromRedisValue>(
        &self,
        node: &Arc<Node>,
        command: &Cmd,
        asked: &mut Option<Asked>,
    ) -> Result<Option<T>, StoreError> {
        let link = node.link(Access::Reads);
        let mut is_last = false;
        loop {
            let up = link.connection().await?;
            let (number, mut connection) = (up.number, up.connection.clone());
            *asked = Some(Asked {
                node: Arc::clone(node),
                up,
                since: Instant::now(),
            });
            let error = match command.query_async(&mut connection).await {
                Ok(answer) => return Ok(Some(answer)),
                Err(error) => error,
            };
            match fault(&error, Access::Reads) {
                Fault::Elsewhere(_) if self.is_cluster() => return Ok(None),
                Fault::Elsewhere(_) => return Err(self.astray()),
                Fault::Answered(error) | Fault::Demoted(error) | Fault::Again(error) => {
                    return Err(error);
                }
                Fault::Lost(reason) => {
                    link.leave(number);
                    if is_last {
                        return Err(StoreError::Unreachable(reason));
                    }
                    is_last = true;
                }
            }
        }
    }
}

/// Gives up a connection that has had its time. Of a call that had to wait for it, little may have been left.
fn too_late(limit: Duration, access: Access, asked: Option<&Asked>) -> StoreError {
    let reason = format!("no answer within {limit:?}");
    if let Some(asked) = asked
        && asked.since.elapsed() >= limit / 2
    {
        let link = asked.node.link(access);
        link.leave_silent(asked.up.number, &reason);
    }
    StoreError::Unreachable(reason)
}

/// Both go out in one piece, so that nobody else's call comes between them.
async fn exceptionally<T: FromRedisValue>(
    command: &Cmd,
    connection: &mut MultiplexedConnection,
) -> RedisResult<T> {
    let mut both = ::redis::pipe();
    both.cmd("ASKING").ignore().add_command(command.clone());
    let (answer,): (T,) = both.query_async(connection).await?;
    Ok(answer)
}
