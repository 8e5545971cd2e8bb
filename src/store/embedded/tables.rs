//! The tables, and what each operation does to them. Nothing here waits, and nothing asks what time it is.

use std::ops::Bound;

use redb::{
    Database, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata, Table,
    TableDefinition, TableError, WriteTransaction,
};

use crate::domain::time::Timestamp;
use crate::store::{Cursor, Page, Record, RecordKey, Version};

/// Which write a record comes from, when it ends, and its content.
const RECORDS: TableDefinition<'_, &str, (u64, u64, &[u8])> = TableDefinition::new("records");
/// When each record ends.
const RECORD_ENDS: TableDefinition<'_, (u64, &str), ()> = TableDefinition::new("record ends");
/// When each entry of each index ends.
const ENTRIES: TableDefinition<'_, (&str, &str), u64> = TableDefinition::new("entries");
/// The entries by their end.
const ENTRY_ENDS: TableDefinition<'_, (u64, &str, &str), ()> = TableDefinition::new("entry ends");
/// Numbers of the store as a whole. Its name tells our files from others'.
const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("portcullis");

/// The form of the tables. A later one has another number.
const FORMAT: u64 = 1;
const FORMAT_NAME: &str = "format";
const LAST_VERSION: &str = "last version";

/// One change of one record or index entry.
#[derive(Debug, Clone)]
pub(super) enum Change {
    /// A new record, unless there is one.
    Create {
        key: String,
        value: Vec<u8>,
        ends: Timestamp,
    },
    /// A record in the place of the one of that version.
    Replace {
        key: String,
        version: Version,
        value: Vec<u8>,
        ends: Timestamp,
    },
    /// The record as it is, with another end.
    Prolong { key: String, ends: Timestamp },
    /// No record.
    Delete { key: String },
    /// No record in the place of the one of that version.
    DeleteVersion { key: String, version: Version },
    /// An entry of an index, in the place of the one that may be there.
    Enlist {
        index: String,
        member: String,
        ends: Timestamp,
    },
    /// No such entry.
    Delist { index: String, member: String },
}

impl Change {
    /// The record that is another one afterwards, or gone.
    pub(super) fn record(&self) -> Option<&str> {
        match self {
            Self::Create { key, .. }
            | Self::Replace { key, .. }
            | Self::Delete { key }
            | Self::DeleteVersion { key, .. } => Some(key),
            Self::Prolong { .. } | Self::Enlist { .. } | Self::Delist { .. } => None,
        }
    }

    /// Whether it takes something away, and no more.
    pub(super) const fn only_takes_away(&self) -> bool {
        matches!(
            self,
            Self::Delete { .. } | Self::DeleteVersion { .. } | Self::Delist { .. }
        )
    }
}

/// What a change came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is made.
    Done,
    /// What it takes is not there, or what it must not meet is.
    NotDone,
    /// There are as many records or entries as there may be.
    Full,
}

/// What a file holds, by its form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Our tables, as this version writes them.
    Ours,
    /// Our tables, as another version writes them.
    OfAnotherVersion,
    /// Somebody else's tables.
    Foreign,
}

/// Makes the tables in a new database.
pub(super) fn lay_out(database: &Database) -> Result<(), redb::Error> {
    let transaction = begin(database, true)?;
    transaction.open_table(RECORDS)?;
    transaction.open_table(RECORD_ENDS)?;
    transaction.open_table(ENTRIES)?;
    transaction.open_table(ENTRY_ENDS)?;
    transaction
        .open_table(NUMBERS)?
        .insert(FORMAT_NAME, FORMAT)?;
    Ok(transaction.commit()?)
}

/// What the database holds.
pub(super) fn form(database: &Database) -> Result<Form, redb::Error> {
    let transaction = database.begin_read()?;
    let numbers = match transaction.open_table(NUMBERS) {
        Ok(numbers) => numbers,
        Err(TableError::Storage(error)) => return Err(error.into()),
        Err(_) => return Ok(Form::Foreign),
    };
    let format = numbers.get(FORMAT_NAME)?.map(|format| format.value());
    Ok(match format {
        Some(FORMAT) => Form::Ours,
        _ => Form::OfAnotherVersion,
    })
}

/// Begins a transaction that is on the disk when it is committed. `recoverable` ones are twice as slow, and
/// let the file be opened at once after a crash, however large it is.
pub(super) fn begin(
    database: &Database,
    recoverable: bool,
) -> Result<WriteTransaction, redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(recoverable);
    Ok(transaction)
}

/// The record, if it lives.
pub(super) fn get(
    transaction: &ReadTransaction,
    key: &str,
    now: Timestamp,
) -> Result<Option<Record>, redb::Error> {
    let found = transaction.open_table(RECORDS)?.get(key)?;
    Ok(found.and_then(|found| {
        let (version, ends, value) = found.value();
        (now.seconds() < ends).then(|| Record {
            value: value.to_vec(),
            version: Version(version),
        })
    }))
}

/// The living ones among the `most` records, one at least, that follow `after` and whose keys begin with `begin`. A
/// place in the walk is the key of the record that was looked at last.
pub(super) fn page(
    transaction: &ReadTransaction,
    begin: &str,
    after: Option<&str>,
    most: usize,
    now: Timestamp,
) -> Result<Page, redb::Error> {
    let records = transaction.open_table(RECORDS)?;
    let from = match after {
        Some(after) if after >= begin => Bound::Excluded(after),
        _ => Bound::Included(begin),
    };
    let mut page = Page::default();
    let mut last = String::new();
    let range = records.range::<&str>((from, Bound::Unbounded))?;
    for (looked_at, entry) in range.enumerate() {
        let (key, record) = entry?;
        let key = key.value();
        if !key.starts_with(begin) {
            break;
        }
        if looked_at >= most.max(1) {
            page.next = Some(Cursor::new(last));
            break;
        }
        last.clear();
        last.push_str(key);
        let (version, ends, value) = record.value();
        if now.seconds() < ends {
            let record = Record {
                value: value.to_vec(),
                version: Version(version),
            };
            page.records.push((RecordKey(key.to_owned()), record));
        }
    }
    Ok(page)
}

/// The living entries of an index; what ends first stands first.
pub(super) fn members(
    transaction: &ReadTransaction,
    index: &str,
    now: Timestamp,
) -> Result<Vec<String>, redb::Error> {
    let entries = transaction.open_table(ENTRIES)?;
    let mut members = Vec::new();
    for entry in entries.range((index, "")..)? {
        let (key, ends) = entry?;
        let (of, member) = key.value();
        if of != index {
            break;
        }
        if now.seconds() < ends.value() {
            members.push((ends.value(), member.to_owned()));
        }
    }
    members.sort();
    Ok(members.into_iter().map(|(_, member)| member).collect())
}

/// Whether anything has ended and is still there.
pub(super) fn has_ended(
    transaction: &ReadTransaction,
    now: Timestamp,
) -> Result<bool, redb::Error> {
    let records = transaction.open_table(RECORD_ENDS)?;
    let record = records.first()?.map(|(key, _)| key.value().0);
    let entries = transaction.open_table(ENTRY_ENDS)?;
    let entry = entries.first()?.map(|(key, _)| key.value().0);
    let first = record.into_iter().chain(entry).min();
    Ok(first.is_some_and(|ends| ends <= now.seconds()))
}

/// The tables, open for changes.
pub(super) struct Tables<'t> {
    records: Table<'t, &'static str, (u64, u64, &'static [u8])>,
    record_ends: Table<'t, (u64, &'static str), ()>,
    entries: Table<'t, (&'static str, &'static str), u64>,
    entry_ends: Table<'t, (u64, &'static str, &'static str), ()>,
    numbers: Table<'t, &'static str, u64>,
    last_version: u64,
    has_changed: bool,
    now: Timestamp,
    capacity: u64,
}

impl<'t> Tables<'t> {
    /// Opens them. At most `capacity` records are kept, and as many entries of indexes.
    pub(super) fn open(
        transaction: &'t WriteTransaction,
        now: Timestamp,
        capacity: u64,
    ) -> Result<Self, redb::Error> {
        let numbers = transaction.open_table(NUMBERS)?;
        let last_version = numbers.get(LAST_VERSION)?.map_or(0, |last| last.value());
        Ok(Self {
            records: transaction.open_table(RECORDS)?,
            record_ends: transaction.open_table(RECORD_ENDS)?,
            entries: transaction.open_table(ENTRIES)?,
            entry_ends: transaction.open_table(ENTRY_ENDS)?,
            numbers,
            last_version,
            has_changed: false,
            now,
            capacity,
        })
    }

    /// Makes one change.
    pub(super) fn apply(&mut self, change: &Change) -> Result<Outcome, redb::Error> {
        match change {
            Change::Create { key, value, ends } => {
                if self.living(key)?.is_some() {
                    return Ok(Outcome::NotDone);
                }
                self.remove(key)?;
                if self.records.len()? >= self.capacity {
                    return Ok(Outcome::Full);
                }
                self.put(key, value, *ends)
            }
            Change::Replace {
                key,
                version,
                value,
                ends,
            } => {
                if self.living(key)? != Some(*version) {
                    return Ok(Outcome::NotDone);
                }
                self.remove(key)?;
                self.put(key, value, *ends)
            }
            Change::Prolong { key, ends } => self.prolong(key, *ends),
            Change::Delete { key } => {
                let lived = self.living(key)?.is_some();
                self.remove(key)?;
                Ok(if lived {
                    Outcome::Done
                } else {
                    Outcome::NotDone
                })
            }
            Change::DeleteVersion { key, version } => {
                if self.living(key)? != Some(*version) {
                    return Ok(Outcome::NotDone);
                }
                self.remove(key)?;
                Ok(Outcome::Done)
            }
            Change::Enlist {
                index,
                member,
                ends,
            } => self.enlist(index, member, *ends),
            Change::Delist { index, member } => {
                self.delist(index, member)?;
                Ok(Outcome::Done)
            }
        }
    }

    /// Takes away at most `most` records, and as many entries, whose time is over.
    pub(super) fn sweep(&mut self, most: usize) -> Result<(), redb::Error> {
        for _ in 0..most {
            let Some((ends, key)) = first(&self.record_ends, |(ends, key)| (ends, key.to_owned()))?
            else {
                break;
            };
            if self.now.seconds() < ends {
                break;
            }
            self.remove(&key)?;
        }
        for _ in 0..most {
            let owned = |(ends, index, member): (u64, &str, &str)| {
                (ends, index.to_owned(), member.to_owned())
            };
            let Some((ends, index, member)) = first(&self.entry_ends, owned)? else {
                break;
            };
            if self.now.seconds() < ends {
                break;
            }
            self.delist(&index, &member)?;
        }
        Ok(())
    }

    /// Ends the changes. Tells whether there is anything to commit.
    pub(super) fn finish(mut self) -> Result<bool, redb::Error> {
        if self.has_changed {
            // In the same transaction as the records: so none is given twice, not even after a crash.
            self.numbers.insert(LAST_VERSION, self.last_version)?;
        }
        Ok(self.has_changed)
    }

    /// The version of the record, if it lives.
    fn living(&self, key: &str) -> Result<Option<Version>, redb::Error> {
        let found = self.records.get(key)?;
        Ok(found.and_then(|found| {
            let (version, ends, _) = found.value();
            (self.now.seconds() < ends).then_some(Version(version))
        }))
    }

    fn put(&mut self, key: &str, value: &[u8], ends: Timestamp) -> Result<Outcome, redb::Error> {
        self.has_changed = true;
        self.last_version += 1;
        let record = (self.last_version, ends.seconds(), value);
        self.records.insert(key, record)?;
        self.record_ends.insert((ends.seconds(), key), ())?;
        Ok(Outcome::Done)
    }

    fn prolong(&mut self, key: &str, ends: Timestamp) -> Result<Outcome, redb::Error> {
        let found = self.records.get(key)?.map(|found| {
            let (version, ended, value) = found.value();
            (version, ended, value.to_vec())
        });
        let Some((version, ended, value)) =
            found.filter(|(_, ended, _)| self.now.seconds() < *ended)
        else {
            return Ok(Outcome::NotDone);
        };
        self.has_changed = true;
        self.record_ends.remove((ended, key))?;
        self.records
            .insert(key, (version, ends.seconds(), value.as_slice()))?;
        self.record_ends.insert((ends.seconds(), key), ())?;
        Ok(Outcome::Done)
    }

    fn remove(&mut self, key: &str) -> Result<(), redb::Error> {
        let ends = self.records.remove(key)?.map(|record| record.value().1);
        if let Some(ends) = ends {
            self.has_changed = true;
            self.record_ends.remove((ends, key))?;
        }
        Ok(())
    }

    fn enlist(
        &mut self,
        index: &str,
        member: &str,
        ends: Timestamp,
    ) -> Result<Outcome, redb::Error> {
        self.delist(index, member)?;
        if self.entries.len()? >= self.capacity {
            return Ok(Outcome::Full);
        }
        self.has_changed = true;
        self.entries.insert((index, member), ends.seconds())?;
        self.entry_ends
            .insert((ends.seconds(), index, member), ())?;
        Ok(Outcome::Done)
    }

    fn delist(&mut self, index: &str, member: &str) -> Result<(), redb::Error> {
        let ends = self
            .entries
            .remove((index, member))?
            .map(|ends| ends.value());
        if let Some(ends) = ends {
            self.has_changed = true;
            self.entry_ends.remove((ends, index, member))?;
        }
        Ok(())
    }
}

/// The first key of a table, which has to be let go before the table can be changed.
fn first<K: redb::Key + 'static, T>(
    table: &Table<'_, K, ()>,
    owned: impl FnOnce(K::SelfType<'_>) -> T,
) -> Result<Option<T>, redb::Error> {
    let found = table.first()?;
    Ok(found.map(|(key, _)| owned(key.value())))
}

/// How many records there are, ended ones included.
#[cfg(test)]
pub(super) fn count(transaction: &ReadTransaction) -> Result<u64, redb::Error> {
    Ok(transaction.open_table(RECORDS)?.len()?)
}
