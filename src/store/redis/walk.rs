//! A walk over records with `SCAN`, a step at a time: no step holds Redis up, however many keys it has.

use std::sync::Arc;

use ::redis::cmd;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::node::Node;
use super::{PREFIX, RedisStore, name_of};
use crate::domain::redis_settings::RedisServers;
use crate::store::{Cursor, Page, RecordKey, Store, StoreError};

/// How many records of a page are asked for at once.
const AT_ONCE: usize = 64;

impl RedisStore {
    /// See [`Store::page`]. A place is the cursor of Redis, which is a number; in a cluster, which is walked over one
    /// primary after the other, with the address before it.
    pub(super) async fn step(
        &self,
        begin: &RecordKey,
        after: Option<&Cursor>,
        most: usize,
    ) -> Result<Page, StoreError> {
        let directory = &self.servers.directory;
        let map = directory.map().await?;
        let mut nodes: Vec<&Arc<Node>> = map.nodes.iter().collect();
        nodes.sort_by_key(|node| node.address.to_string());
        let is_cluster = matches!(directory.settings.servers, RedisServers::Cluster { .. });
        let (place, number) = match after {
            None => (0, 0),
            Some(cursor) => found(cursor, &nodes, is_cluster).ok_or(StoreError::UnknownCursor)?,
        };
        let Some(node) = nodes.get(place) else {
            return Err(StoreError::Unreachable("it has no servers".to_owned()));
        };
        let cursor = |place: usize, number: u64| match nodes.get(place) {
            Some(node) if is_cluster => Cursor::new(format!("{} {number}", node.address)),
            _ => Cursor::new(number.to_string()),
        };
        let mut command = cmd("SCAN");
        command.arg(number).arg("MATCH").arg(pattern(begin));
        command.arg("COUNT").arg(most.max(1));
        // Indexes, and whatever else is no record.
        command.arg("TYPE").arg("string");
        let asked = directory.ask_node(node, &command, directory.settings.timeout);
        let answer: Option<(u64, Vec<Vec<u8>>)> = asked.await?;
        let (next, mut names) = answer.unwrap_or_default();
        let next = match next {
            0 if place + 1 < nodes.len() => Some(cursor(place + 1, 0)),
            0 => None,
            number => Some(cursor(place, number)),
        };
        // Redis may name one twice, in one step too.
        names.sort_unstable();
        names.dedup();
        let keys = names.iter().filter_map(|name| {
            let name = std::str::from_utf8(name).ok()?;
            Some(RecordKey(name.strip_prefix(PREFIX)?.to_owned()))
        });
        let keys: Vec<RecordKey> = keys.collect();
        let reads = stream::iter(keys).map(async |key| {
            let record = self.get(&key).await?;
            Ok::<_, StoreError>(record.map(|record| (key, record)))
        });
        let records: Vec<Option<_>> = reads.buffered(AT_ONCE).try_collect().await?;
        Ok(Page {
            records: records.into_iter().flatten().collect(),
            next,
        })
    }
}

/// The place of a node and the number of Redis that a cursor names. None where that node is no primary any more: what
/// it had may be at one that was walked over already.
fn found(cursor: &Cursor, nodes: &[&Arc<Node>], is_cluster: bool) -> Option<(usize, u64)> {
    if !is_cluster {
        return Some((0, cursor.as_str().parse().ok()?));
    }
    let (address, number) = cursor.as_str().rsplit_once(' ')?;
    let place = nodes
        .iter()
        .position(|node| node.address.to_string() == address)?;
    Some((place, number.parse().ok()?))
}

/// The names that begin with this key's, as `MATCH` wants it (redis.io, KEYS): what means something in a pattern is
/// escaped.
fn pattern(begin: &RecordKey) -> String {
    let mut pattern = String::new();
    for character in name_of(begin).chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '^' | '-' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('*');
    pattern
}
