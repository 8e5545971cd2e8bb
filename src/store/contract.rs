//! What every store must do, as one test that each implementation calls.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use crate::clock::Clock;
use crate::domain::time::Timestamp;
use crate::store::{Cursor, RecordKey, Store, Version};

/// A clock that stands still until it is told.
pub(crate) struct ManualClock(AtomicU64);

impl Default for ManualClock {
    fn default() -> Self {
        Self(AtomicU64::new(1_800_000_000))
    }
}

impl ManualClock {
    pub(crate) fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_secs(), Ordering::SeqCst);
    }
}

/// How time passes for a store: by our clock, or by its own.
#[async_trait]
pub(crate) trait Passage: Sync {
    /// Lets `by` go by.
    async fn pass(&self, by: Duration);
}

#[async_trait]
impl Passage for ManualClock {
    async fn pass(&self, by: Duration) {
        self.advance(by);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(self.0.load(Ordering::SeqCst))
    }
}

const MINUTE: Duration = Duration::from_secs(60);

fn key(name: &str) -> RecordKey {
    RecordKey::new("contract", name)
}

async fn value_of(store: &dyn Store, name: &str) -> Option<Vec<u8>> {
    let record = store.get(&key(name)).await.expect("an answer");
    record.map(|record| record.value)
}

async fn version_of(store: &dyn Store, name: &str) -> Version {
    let record = store.get(&key(name)).await.expect("an answer");
    record.expect("a record").version
}

/// Holds `store`, which is empty and for which time passes as `time` says, to the contract.
pub(crate) async fn holds(store: &dyn Store, time: &dyn Passage) {
    answers_what_was_written(store).await;
    creates_only_what_is_not_there(store).await;
    replaces_only_what_was_read(store).await;
    no_write_brings_a_deleted_record_back(store).await;
    deletes_only_what_was_read(store, time).await;
    records_end_with_their_time(store, time).await;
    a_replaced_record_lives_anew(store, time).await;
    a_prolonged_record_is_the_same(store, time).await;
    an_index_lists_what_was_put_there(store, time).await;
    a_walk_comes_to_every_record(store, time).await;
    store.ping().await.expect("an answer");
}

async fn answers_what_was_written(store: &dyn Store) {
    assert_eq!(value_of(store, "never").await, None);
    let bytes: Vec<u8> = (0..=255).collect();
    assert_eq!(store.create(&key("bytes"), &bytes, MINUTE).await, Ok(true));
    assert_eq!(value_of(store, "bytes").await, Some(bytes));
    assert_eq!(store.create(&key("empty"), b"", MINUTE).await, Ok(true));
    assert_eq!(value_of(store, "empty").await, Some(Vec::new()));
    assert_eq!(store.delete(&key("bytes")).await, Ok(true));
    assert_eq!(store.delete(&key("bytes")).await, Ok(false));
    assert_eq!(value_of(store, "bytes").await, None);
    assert_eq!(value_of(store, "empty").await, Some(Vec::new()));
}

async fn creates_only_what_is_not_there(store: &dyn Store) {
    assert_eq!(store.create(&key("once"), b"first", MINUTE).await, Ok(true));
    assert_eq!(
        store.create(&key("once"), b"second", MINUTE).await,
        Ok(false)
    );
    assert_eq!(value_of(store, "once").await, Some(b"first".to_vec()));
}

async fn replaces_only_what_was_read(store: &dyn Store) {
    store
        .create(&key("race"), b"0", MINUTE)
        .await
        .expect("a record");
    let read = version_of(store, "race").await;
    assert_eq!(
        store.replace(&key("race"), read, b"1", MINUTE).await,
        Ok(true)
    );
    // A second writer that had read the same is too late.
    assert_eq!(
        store.replace(&key("race"), read, b"2", MINUTE).await,
        Ok(false)
    );
    assert_eq!(value_of(store, "race").await, Some(b"1".to_vec()));
    let read = version_of(store, "race").await;
    assert_eq!(
        store.replace(&key("race"), read, b"3", MINUTE).await,
        Ok(true)
    );
}

async fn no_write_brings_a_deleted_record_back(store: &dyn Store) {
    store
        .create(&key("gone"), b"0", MINUTE)
        .await
        .expect("a record");
    let read = version_of(store, "gone").await;
    assert_eq!(store.delete(&key("gone")).await, Ok(true));
    assert_eq!(
        store.replace(&key("gone"), read, b"1", MINUTE).await,
        Ok(false)
    );
    assert_eq!(value_of(store, "gone").await, None);
    // Nor does it touch another record that got the same key since.
    store
        .create(&key("gone"), b"new", MINUTE)
        .await
        .expect("a record");
    assert_eq!(
        store.replace(&key("gone"), read, b"1", MINUTE).await,
        Ok(false)
    );
    assert_eq!(value_of(store, "gone").await, Some(b"new".to_vec()));
}

async fn deletes_only_what_was_read(store: &dyn Store, time: &dyn Passage) {
    let read_anew = async |name: &str, value: &[u8]| {
        store.create(&key(name), value, MINUTE).await.expect("done");
        version_of(store, name).await
    };
    let read = read_anew("held", b"0").await;
    let renewed = store.replace(&key("held"), read, b"1", MINUTE).await;
    assert_eq!(renewed, Ok(true));
    // What somebody else wrote since stays.
    assert_eq!(store.delete_version(&key("held"), read).await, Ok(false));
    assert_eq!(value_of(store, "held").await, Some(b"1".to_vec()));
    let read = version_of(store, "held").await;
    // Living longer does not make it another one.
    assert_eq!(store.prolong(&key("held"), MINUTE).await, Ok(true));
    assert_eq!(store.delete_version(&key("held"), read).await, Ok(true));
    assert_eq!(store.delete_version(&key("held"), read).await, Ok(false));
    assert_eq!(value_of(store, "held").await, None);
    // Nor does another record go that got the same key, also when the first has only come to its end.
    let read = read_anew("held", b"2").await;
    time.pass(MINUTE).await;
    assert_eq!(store.delete_version(&key("held"), read).await, Ok(false));
    let other = read_anew("held", b"3").await;
    assert_eq!(store.delete_version(&key("held"), read).await, Ok(false));
    assert_eq!(value_of(store, "held").await, Some(b"3".to_vec()));
    assert_eq!(store.delete_version(&key("held"), other).await, Ok(true));
}

async fn records_end_with_their_time(store: &dyn Store, time: &dyn Passage) {
    store
        .create(&key("brief"), b"0", MINUTE)
        .await
        .expect("a record");
    let read = version_of(store, "brief").await;
    time.pass(Duration::from_secs(59)).await;
    assert_eq!(value_of(store, "brief").await, Some(b"0".to_vec()));
    time.pass(Duration::from_secs(1)).await;
    assert_eq!(value_of(store, "brief").await, None);
    assert_eq!(
        store.replace(&key("brief"), read, b"1", MINUTE).await,
        Ok(false)
    );
    assert_eq!(store.delete(&key("brief")).await, Ok(false));
    assert_eq!(store.create(&key("brief"), b"2", MINUTE).await, Ok(true));
}

async fn a_replaced_record_lives_anew(store: &dyn Store, time: &dyn Passage) {
    store
        .create(&key("renewed"), b"0", MINUTE)
        .await
        .expect("a record");
    time.pass(MINUTE / 2).await;
    let read = version_of(store, "renewed").await;
    assert_eq!(
        store.replace(&key("renewed"), read, b"1", MINUTE).await,
        Ok(true)
    );
    time.pass(MINUTE / 2).await;
    assert_eq!(value_of(store, "renewed").await, Some(b"1".to_vec()));
    time.pass(MINUTE / 2).await;
    assert_eq!(value_of(store, "renewed").await, None);
}

async fn a_prolonged_record_is_the_same(store: &dyn Store, time: &dyn Passage) {
    store
        .create(&key("prolonged"), b"0", MINUTE)
        .await
        .expect("a record");
    let read = version_of(store, "prolonged").await;
    time.pass(MINUTE / 2).await;
    assert_eq!(store.prolong(&key("prolonged"), MINUTE).await, Ok(true));
    time.pass(MINUTE / 2).await;
    assert_eq!(value_of(store, "prolonged").await, Some(b"0".to_vec()));
    assert_eq!(version_of(store, "prolonged").await, read);
    time.pass(MINUTE / 2).await;
    assert_eq!(value_of(store, "prolonged").await, None);
    // None that has ended or was deleted comes back.
    assert_eq!(store.prolong(&key("prolonged"), MINUTE).await, Ok(false));
    store
        .create(&key("prolonged"), b"1", MINUTE)
        .await
        .expect("a record");
    assert_eq!(store.delete(&key("prolonged")).await, Ok(true));
    assert_eq!(store.prolong(&key("prolonged"), MINUTE).await, Ok(false));
    assert_eq!(value_of(store, "prolonged").await, None);
}

async fn an_index_lists_what_was_put_there(store: &dyn Store, time: &dyn Passage) {
    let (ada, ben) = (key("of ada"), key("of ben"));
    let listed = async |index| store.members(index).await.expect("an answer");
    let enlist = async |index, member, lifetime| {
        let done = store.enlist(index, member, lifetime).await;
        done.expect("an answer");
    };
    let delist = async |index, member| store.delist(index, member).await.expect("an answer");
    assert!(listed(&ada).await.is_empty());
    delist(&ada, "never").await;
    enlist(&ada, "long", MINUTE * 3).await;
    enlist(&ada, "short", MINUTE).await;
    enlist(&ada, "middle", MINUTE * 2).await;
    enlist(&ben, "other", MINUTE).await;
    assert_eq!(listed(&ada).await, ["short", "middle", "long"]);
    assert_eq!(listed(&ben).await, ["other"]);
    delist(&ada, "middle").await;
    assert_eq!(listed(&ada).await, ["short", "long"]);
    // Listed anew, it stays for longer, and is there once.
    enlist(&ada, "short", MINUTE * 4).await;
    assert_eq!(listed(&ada).await, ["long", "short"]);
    time.pass(MINUTE * 3).await;
    assert_eq!(listed(&ada).await, ["short"]);
    assert!(listed(&ben).await.is_empty());
    time.pass(MINUTE).await;
    assert!(listed(&ada).await.is_empty());
}

/// The names and values of all records whose keys begin with `begin`, in steps of `most`.
pub(crate) async fn walk(
    store: &dyn Store,
    begin: &RecordKey,
    most: usize,
) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut after: Option<Cursor> = None;
    loop {
        let page = store.page(begin, after.as_ref(), most).await;
        let page = page.expect("an answer");
        // The steps of Redis are of about that size; those of Valkey are of whole buckets.
        assert!(page.records.len() <= most * 2 + 40);
        for (key, record) in page.records {
            found.insert(key.as_str().to_owned(), record.value);
        }
        after = match page.next {
            None => return found,
            next => next,
        };
    }
}

async fn a_walk_comes_to_every_record(store: &dyn Store, time: &dyn Passage) {
    let kind = |name: &str| RecordKey::new("walked", name);
    let names = async |begin: &str, most| {
        let found = walk(store, &kind(begin), most).await;
        found.into_keys().collect::<Vec<_>>()
    };
    assert!(names("", 10).await.is_empty());
    let mut expected = BTreeMap::new();
    for number in 0..40_u8 {
        let key = kind(&format!(
            "{}-{number}",
            if number < 3 { "few" } else { "many" }
        ));
        let done = store.create(&key, &[number], MINUTE * 2).await;
        assert_eq!(done, Ok(true));
        expected.insert(key.as_str().to_owned(), vec![number]);
    }
    // Of other kinds, and next to ours in order.
    for other in ["walk", "walked", "walked-too", "walkee"] {
        let key = RecordKey::new(other, "few-0");
        if other != "walked" {
            assert_eq!(store.create(&key, b"", MINUTE * 2).await, Ok(true));
        }
    }
    store
        .enlist(&RecordKey::new("listed", "few-0"), "few-0", MINUTE)
        .await
        .expect("an answer");
    for most in [0, 1, 7, 40, 1_000] {
        assert_eq!(walk(store, &kind(""), most).await, expected, "{most}");
    }
    let few = ["walked:few-0", "walked:few-1", "walked:few-2"];
    assert_eq!(names("few", 1).await, few);
    assert_eq!(names("few-1", 10).await, few[1..2]);
    // What means something in a pattern means itself.
    for pattern in ["*", "few?", "few[-]1", "f*", "^", "\\"] {
        assert!(names(pattern, 10).await.is_empty(), "{pattern}");
    }
    for odd in ["a*b", "a[b", "a\\b", "a-b"] {
        let done = store.create(&kind(odd), b"", MINUTE).await;
        assert_eq!(done, Ok(true));
        assert_eq!(names(odd, 10).await, [format!("walked:{odd}")]);
    }
    // Neither what has ended nor what was deleted.
    assert_eq!(store.create(&kind("few-9"), b"", MINUTE).await, Ok(true));
    time.pass(MINUTE).await;
    assert_eq!(store.delete(&kind("few-1")).await, Ok(true));
    assert_eq!(names("few", 10).await, ["walked:few-0", "walked:few-2"]);
    // From the last place on there is nothing more, even when its record is gone by now.
    let first = store.page(&kind("many"), None, 5).await.expect("a page");
    for (key, _) in &first.records {
        assert_eq!(store.delete(key).await, Ok(true));
    }
    if let Some(next) = first.next {
        let rest = store.page(&kind("many"), Some(&next), 1_000).await;
        let rest = rest.expect("a page").records;
        assert!(rest.iter().all(|one| !first.records.contains(one)));
    }
    let left = names("many", 1_000).await.len();
    assert_eq!(left, 37 - first.records.len());
}
