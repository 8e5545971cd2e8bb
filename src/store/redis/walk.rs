//! A walk over records with `SCAN`, a step at a time: no step holds Redis up, however many keys it has.

use ::redis::cmd;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{PREFIX, RedisStore, name_of};
use crate::store::{Cursor, Page, RecordKey, Store, StoreError};

/// How many records of a page are asked for at once.
const AT_ONCE: usize = 64;

impl RedisStore {
    /// See [`Store::page`]. A place is the cursor of Redis, which is a number.
    pub(super) async fn step(
        &self,
        begin: &RecordKey,
        after: Option<&Cursor>,
        most: usize,
    ) -> Result<Page, StoreError> {
        let after = match after {
            None => 0,
            Some(cursor) => cursor
                .as_str()
                .parse::<u64>()
                .map_err(|_not_a_number| StoreError::UnknownCursor)?,
        };
        let mut command = cmd("SCAN");
        command.arg(after).arg("MATCH").arg(pattern(begin));
        command.arg("COUNT").arg(most.max(1));
        // Indexes, and whatever else is no record.
        command.arg("TYPE").arg("string");
        let (next, mut names): (u64, Vec<Vec<u8>>) = self.read(&command).await?;
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
            next: (next != 0).then(|| Cursor::new(next.to_string())),
        })
    }
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
