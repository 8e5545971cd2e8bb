//! `redis://` and `rediss://`: records in a Redis that several instances share. The only folder that names the
//! crate `redis`.
//!
//! A record is a string, `version (8) ‖ value`, that Redis itself ends when its time is over. What compares and
//! writes is one script, so it happens in one step. An index is a sorted set of names by the time when they end,
//! in milliseconds. That is told by the clock of Redis alone: those of the instances need not agree. Whatever
//! has ended goes with each write, and the whole with its last entry. No command touches two keys.
//!
//! What is there is found out in `servers`, with `sentinel` or `cluster`; each server is a `node` with two `link`s;
//! `ask` leads a call to the right one.

mod alarm;
mod ask;
mod cluster;
mod connect;
mod fault;
mod invalidations;
mod link;
mod node;
mod push;
mod race;
mod redo;
mod replication;
mod sentinel;
mod server_id;
mod servers;
mod slots;
mod supervise;
mod tls;
mod walk;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use ::redis::{Cmd, FromRedisValue, cmd};
use async_trait::async_trait;

use self::fault::Access;
pub use self::push::PushLine;
pub use self::servers::Primaries;
use self::servers::Servers;
use self::supervise::Kept;
use crate::domain::redis_settings::RedisSettings;
use crate::store::coherence::{Listener, Source};
use crate::store::sealing::random;
use crate::store::{Cursor, Page, Record, RecordKey, Store, StoreError, Version};

/// Before every key of ours.
const PREFIX: &str = "portcullis:";

const VERSION_BYTES: usize = 8;

/// Key; version that was read, new content, lifetime in milliseconds.
const REPLACE: &str = "
if redis.call('GETRANGE', KEYS[1], 0, 7) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1";

/// Key; version that was read.
const DELETE_VERSION: &str = "
if redis.call('GETRANGE', KEYS[1], 0, 7) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
return 1";

/// The time in milliseconds.
const NOW: &str = "
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)";

/// Takes away what has ended.
const TRIM: &str = "
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))";

/// Index; member, lifetime in milliseconds. Adding comes first: Redis refuses that when it is full only before
/// anything else was written.
const ENLIST: &str = "
redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[2]), ARGV[1])";

/// The whole ends with its last entry.
const END: &str = "
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', last[2]))";

/// Index; member.
const DELIST: &str = "
redis.call('ZREM', KEYS[1], ARGV[1])";

/// Index.
const MEMBERS: &str = "
return redis.call('ZRANGEBYSCORE', KEYS[1], string.format('(%.0f', now), '+inf')";

/// Records in Redis.
pub struct RedisStore {
    servers: Servers,
    scripts: Scripts,
    /// Why the last write was refused, if it was.
    refused: Mutex<Option<StoreError>>,
    /// Tells of what all instances write, once somebody is to be told.
    telling: OnceLock<Kept>,
}

/// Those that tell the time.
struct Scripts {
    enlist: String,
    delist: String,
    members: String,
}

impl RedisStore {
    /// A store in the Redis of `settings`. Connecting goes on in the background, in the Tokio runtime that this
    /// is called in, for as long as there is the store: Redis may be down.
    ///
    /// # Errors
    ///
    /// What is wrong with the certificates, for people.
    pub fn open(settings: RedisSettings) -> Result<Self, String> {
        if settings.tls {
            tls::client_config(&settings.credentials.read()?)?;
        }
        Ok(Self {
            servers: Servers::start(settings),
            scripts: Scripts {
                enlist: [NOW, ENLIST, TRIM, END].concat(),
                delist: [NOW, DELIST, TRIM].concat(),
                members: [NOW, MEMBERS].concat(),
            },
            refused: Mutex::default(),
            telling: OnceLock::new(),
        })
    }

    /// The servers that records are written to, which may change.
    #[must_use]
    pub fn primaries(&self) -> Primaries {
        Primaries::of(&self.servers.directory)
    }

    async fn read<T: FromRedisValue>(&self, name: &str, command: &Cmd) -> Result<T, StoreError> {
        self.servers
            .directory
            .ask(name, command, Access::Reads)
            .await
    }

    async fn write<T: FromRedisValue>(&self, name: &str, command: &Cmd) -> Result<T, StoreError> {
        let answer = self
            .servers
            .directory
            .ask(name, command, Access::Writes)
            .await;
        self.note_refusal(answer.as_ref().err());
        answer
    }

    /// The same for what needs no room. It goes well while Redis is full, so that it does tells nothing of other
    /// writes.
    async fn write_in_place<T: FromRedisValue>(
        &self,
        name: &str,
        command: &Cmd,
    ) -> Result<T, StoreError> {
        let answer = self
            .servers
            .directory
            .ask(name, command, Access::Writes)
            .await;
        self.note_failure(answer)
    }

    fn note_failure<T>(&self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &answer {
            self.note_refusal(Some(error));
        }
        answer
    }

    /// One line when writes begin to be refused, and one when they are no more.
    fn note_refusal(&self, error: Option<&StoreError>) {
        let refused = match error {
            Some(StoreError::Unreachable(_)) => return,
            refused_or_none => refused_or_none,
        };
        let mut before = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if before.as_ref() == refused {
            return;
        }
        if let Some(error) = refused {
            tracing::error!(%error, "the session store takes no writes");
        } else {
            tracing::info!("the session store takes writes again");
        }
        *before = refused.cloned();
    }
}

fn name_of(key: &RecordKey) -> String {
    format!("{PREFIX}{}", key.as_str())
}

/// A version that no other write has: 64 random bits are not drawn twice for one key.
fn content(value: &[u8]) -> Vec<u8> {
    let mut content = Vec::with_capacity(VERSION_BYTES + value.len());
    content.extend(random::<VERSION_BYTES>());
    content.extend(value);
    content
}

/// What is too short to be a record of ours is none.
fn record(content: &[u8]) -> Option<Record> {
    let (version, value) = content.split_first_chunk::<VERSION_BYTES>()?;
    Some(Record {
        value: value.to_vec(),
        version: Version(u64::from_be_bytes(*version)),
    })
}

/// Redis knows no lifetime of nothing.
fn milliseconds(lifetime: Duration) -> u64 {
    u64::try_from(lifetime.as_millis())
        .unwrap_or(u64::MAX)
        .max(1)
}

fn script(text: &str, name: &str) -> Cmd {
    let mut command = cmd("EVAL");
    command.arg(text).arg(1).arg(name);
    command
}

impl Source for RedisStore {
    /// The first who comes is told, in the background, in the Tokio runtime that this is called in.
    fn tell(&self, listener: Arc<dyn Listener>) {
        let directory = Arc::clone(&self.servers.directory);
        self.telling.get_or_init(|| {
            supervise::keep("invalidations", move || {
                invalidations::follow(Arc::clone(&directory), Arc::clone(&listener))
            })
        });
    }
}

#[async_trait]
impl Store for RedisStore {
    async fn get(&self, key: &RecordKey) -> Result<Option<Record>, StoreError> {
        let (name, redo) = (name_of(key), &self.servers.directory.redo);
        let was_due = redo.is_due();
        let content: Option<Vec<u8>> = self.read(&name, cmd("GET").arg(&name)).await?;
        let content = content.filter(|_| !redo.hides(&name, was_due));
        Ok(content.and_then(|content| record(&content)))
    }

    async fn create(
        &self,
        key: &RecordKey,
        value: &[u8],
        lifetime: Duration,
    ) -> Result<bool, StoreError> {
        let (name, mut command) = (name_of(key), cmd("SET"));
        command.arg(&name).arg(content(value)).arg("NX");
        command.arg("PX").arg(milliseconds(lifetime));
        let done: Option<String> = self.write(&name, &command).await?;
        Ok(done.is_some())
    }

    async fn replace(
        &self,
        key: &RecordKey,
        version: Version,
        value: &[u8],
        lifetime: Duration,
    ) -> Result<bool, StoreError> {
        let name = name_of(key);
        let mut command = script(REPLACE, &name);
        command.arg(&version.0.to_be_bytes()).arg(content(value));
        command.arg(milliseconds(lifetime));
        self.write(&name, &command).await
    }

    async fn prolong(&self, key: &RecordKey, lifetime: Duration) -> Result<bool, StoreError> {
        let (name, mut command) = (name_of(key), cmd("PEXPIRE"));
        command.arg(&name).arg(milliseconds(lifetime));
        self.write_in_place(&name, &command).await
    }

    async fn delete(&self, key: &RecordKey) -> Result<bool, StoreError> {
        let name = name_of(key);
        let answer = self
            .servers
            .directory
            .delete(&name, cmd("DEL").arg(&name))
            .await;
        self.note_failure(answer)
    }

    async fn delete_version(&self, key: &RecordKey, version: Version) -> Result<bool, StoreError> {
        let name = name_of(key);
        let mut command = script(DELETE_VERSION, &name);
        // Not noted to be done again at a new primary: there, it may be another version's.
        self.write_in_place(&name, command.arg(&version.0.to_be_bytes()))
            .await
    }

    async fn enlist(
        &self,
        index: &RecordKey,
        member: &str,
        lifetime: Duration,
    ) -> Result<(), StoreError> {
        let name = name_of(index);
        let mut command = script(&self.scripts.enlist, &name);
        command.arg(member).arg(milliseconds(lifetime));
        self.write(&name, &command).await
    }

    async fn delist(&self, index: &RecordKey, member: &str) -> Result<(), StoreError> {
        let name = name_of(index);
        let mut command = script(&self.scripts.delist, &name);
        self.write_in_place(&name, command.arg(member)).await
    }

    async fn members(&self, index: &RecordKey) -> Result<Vec<String>, StoreError> {
        let name = name_of(index);
        self.read(&name, &script(&self.scripts.members, &name))
            .await
    }

    async fn page(
        &self,
        begin: &RecordKey,
        after: Option<&Cursor>,
        most: usize,
    ) -> Result<Page, StoreError> {
        self.step(begin, after, most).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.servers.directory.ping().await
    }
}

#[cfg(test)]
mod tests;
