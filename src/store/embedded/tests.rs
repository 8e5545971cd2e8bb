//! The store on a file and in memory: the contract, what outlives a restart, and what is refused.

mod crash;
mod failure;
mod size;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::store::contract::{self, ManualClock};
use crate::store::sessions::ending_races::endings_win;

const HOUR: Duration = Duration::from_secs(3_600);

/// For what has to succeed, on a disk that others keep busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// A folder with a store in it.
struct Place {
    folder: TempDir,
    clock: Arc<ManualClock>,
}

impl Place {
    fn new() -> Self {
        Self {
            folder: TempDir::new().expect("a folder"),
            clock: Arc::default(),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("portcullis.redb")
    }

    fn open(&self) -> EmbeddedStore {
        self.try_open().expect("a store")
    }

    fn try_open(&self) -> Result<EmbeddedStore, OpenError> {
        let store = EmbeddedStore::open(&self.path(), self.clock.clone())?;
        Ok(store.within(PATIENCE))
    }

    /// What is said when the store is opened, with the path taken out; the file is as before.
    fn refusal(&self) -> String {
        let before = fs::read(self.path()).ok();
        let refused = self.try_open().err().expect("a refusal").to_string();
        assert_eq!(fs::read(self.path()).ok(), before, "{refused}");
        refused.replace(&self.path().display().to_string(), "FILE")
    }
}

fn key(name: &str) -> RecordKey {
    RecordKey::new("test", name)
}

async fn value_of(store: &EmbeddedStore, name: &str) -> Option<Vec<u8>> {
    let record = store.get(&key(name)).await.expect("an answer");
    record.map(|record| record.value)
}

async fn put(store: &EmbeddedStore, name: &str) {
    let made = store.create(&key(name), name.as_bytes(), HOUR).await;
    assert_eq!(made, Ok(true), "{name}");
}

#[tokio::test]
async fn a_file_keeps_the_contract() {
    let place = Place::new();
    contract::holds(&place.open(), &*place.clock).await;
}

#[tokio::test]
async fn memory_keeps_the_contract() {
    let clock = Arc::new(ManualClock::default());
    let store = EmbeddedStore::in_memory(clock.clone()).expect("a store");
    contract::holds(&store, &*clock).await;
}

#[tokio::test]
async fn an_ending_wins_in_a_file() {
    let place = Place::new();
    endings_win(Arc::new(place.open())).await;
}

#[tokio::test]
async fn the_number_of_records_and_entries_is_bounded() {
    let clock = Arc::new(ManualClock::default());
    let store = EmbeddedStore::in_memory_for(clock.clone(), 2).expect("a store");
    put(&store, "a").await;
    put(&store, "b").await;
    let full = store.create(&key("c"), b"c", HOUR).await;
    assert_eq!(full, Err(StoreError::Full));
    let index = key("of ada");
    for member in ["a", "b", "a"] {
        assert_eq!(store.enlist(&index, member, HOUR).await, Ok(()));
    }
    let full = store.enlist(&index, "c", HOUR).await;
    assert_eq!(full, Err(StoreError::Full));
    // What has ended makes room.
    clock.advance(HOUR);
    put(&store, "c").await;
    assert_eq!(store.enlist(&index, "c", HOUR).await, Ok(()));
}

#[tokio::test]
async fn a_restart_loses_nothing_and_gives_no_version_twice() {
    let place = Place::new();
    let store = place.open();
    for name in ["kept", "gone", "rewritten"] {
        put(&store, name).await;
    }
    let first = store.get(&key("gone")).await.expect("an answer");
    let first = first.expect("a record").version;
    let read = store.get(&key("rewritten")).await.expect("an answer");
    let read = read.expect("a record").version;
    let replaced = store.replace(&key("rewritten"), read, b"anew", HOUR).await;
    assert_eq!(replaced, Ok(true));
    assert_eq!(store.delete(&key("gone")).await, Ok(true));
    store
        .enlist(&key("index"), "kept", HOUR)
        .await
        .expect("listed");
    store.close().await;
    let closed = store.get(&key("kept")).await;
    assert_eq!(closed, Err(StoreError::Unreachable("it is closed".into())));

    let store = place.open();
    assert_eq!(value_of(&store, "kept").await, Some(b"kept".to_vec()));
    assert_eq!(value_of(&store, "rewritten").await, Some(b"anew".to_vec()));
    assert_eq!(value_of(&store, "gone").await, None);
    let listed = store.members(&key("index")).await;
    assert_eq!(listed, Ok(vec!["kept".to_owned()]));
    // The same key again is another record.
    put(&store, "gone").await;
    let stale = store.replace(&key("gone"), first, b"stale", HOUR).await;
    assert_eq!(stale, Ok(false));
    let stale = store.replace(&key("rewritten"), read, b"stale", HOUR).await;
    assert_eq!(stale, Ok(false));
}

/// Nobody waits for these any more when the store is closed.
#[tokio::test]
async fn what_was_ordered_before_the_end_is_written() {
    let place = Place::new();
    let store = place.open();
    let mut waiting = Vec::new();
    for number in 0..500 {
        let (answer, answered) = oneshot::channel();
        let change = Change::Create {
            key: key(&number.to_string()).as_str().to_owned(),
            value: vec![7; 100],
            ends: place.clock.now().plus(HOUR),
        };
        store
            .order(Order::Make(change, answer))
            .expect("a queue with room");
        waiting.push(answered);
    }
    store.close().await;
    drop(waiting);
    let store = place.open();
    for number in 0..500 {
        assert!(value_of(&store, &number.to_string()).await.is_some());
    }
}

#[tokio::test]
async fn the_file_is_for_its_owner_alone_and_made_whole() {
    let place = Place::new();
    // Left over from a process that was killed while it made the file.
    let left = place.folder.path().join("portcullis.redb.new");
    fs::write(&left, vec![0; 100_000]).expect("a written file");
    // Somebody had it in mind.
    fs::write(place.path(), "").expect("a written file");
    let store = place.open();
    put(&store, "a").await;
    let mode = fs::metadata(place.path()).expect("a file").permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    assert!(!left.exists());
}

#[tokio::test]
async fn a_link_is_followed_and_never_replaced() {
    let place = Place::new();
    let disk = place.folder.path().join("disk");
    std::os::unix::fs::symlink(disk.join("store"), place.path()).expect("a link");
    // The disk is not mounted.
    assert!(
        place
            .refusal()
            .starts_with("the session store FILE cannot be opened: ")
    );
    fs::create_dir(&disk).expect("a folder");
    fs::write(disk.join("store"), "").expect("a written file");
    let store = place.open();
    put(&store, "a").await;
    store.close().await;
    assert!(place.path().is_symlink());
    assert!(fs::metadata(disk.join("store")).expect("a file").len() > 0);
    assert!(value_of(&place.open(), "a").await.is_some());
}

#[tokio::test]
async fn a_file_in_use_is_refused() {
    let place = Place::new();
    let store = place.open();
    put(&store, "a").await;
    assert_eq!(
        place.refusal(),
        "the session store FILE is in use by another process: a file serves one instance at a time"
    );
    put(&store, "b").await;
    store.close().await;
    assert!(value_of(&place.open(), "b").await.is_some());
}

#[tokio::test]
async fn what_is_not_ours_is_refused_and_left_alone() {
    const FOREIGN: &str = "FILE is not a session store of this program: name another file in \
                           session.store; this one is left as it is";
    let place = Place::new();
    for foreign in [b"[server]\n".as_slice(), &[0; 10_000], b"SQLite format 3"] {
        fs::write(place.path(), foreign).expect("a written file");
        assert_eq!(place.refusal(), FOREIGN);
    }
    fs::remove_file(place.path()).expect("it is there");
    let theirs = Database::create(place.path()).expect("a database");
    drop(theirs);
    let said = place.try_open().err().expect("a refusal").to_string();
    assert!(said.contains("is not a session store"), "{said}");

    fs::remove_file(place.path()).expect("it is there");
    fs::create_dir(place.path()).expect("a folder");
    let said = place.try_open().err().expect("a refusal").to_string();
    assert!(said.ends_with("Is a directory (os error 21)"), "{said}");

    let nowhere = place.folder.path().join("nowhere/portcullis.redb");
    let said = EmbeddedStore::open(&nowhere, place.clock.clone());
    let said = said.err().expect("a refusal").to_string();
    assert!(
        said.ends_with(
            "nowhere/portcullis.redb.new cannot be opened: No such file or directory (os error 2)"
        ),
        "{said}"
    );
}

#[tokio::test]
async fn a_damaged_file_is_refused_and_left_alone() {
    let place = Place::new();
    let store = place.open();
    for number in 0..200 {
        put(&store, &number.to_string()).await;
    }
    store.close().await;
    let whole = fs::read(place.path()).expect("a file");
    // Cut off, and the head of another time.
    let cut = whole[..whole.len() / 2].to_vec();
    let mut torn = whole.clone();
    torn[64..320].fill(0xa5);
    for damaged in [cut, torn] {
        fs::write(place.path(), damaged).expect("a written file");
        let said = place.refusal();
        assert!(
            said.starts_with("the session store FILE is damaged (")
                && said.ends_with(
                    "): move it away, and a new one is made; everybody has to sign in again"
                ),
            "{said}"
        );
    }
}
