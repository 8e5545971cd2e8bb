//! The store against a real `redis-server`: the contract, and each way in which Redis can fail.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use secrecy::SecretString;

use super::*;
use crate::domain::redis_settings::{
    RedisAddress, RedisCredentialSource, RedisCredentials, RedisServers,
};
use crate::store::contract::{self, Passage};
use crate::store::sessions::ending_races::endings_win;

mod certificates;
mod clusters;
mod kept;
mod kept_forms;
mod lanes;
mod listening;
mod outages;
mod permissions;
mod sentinels;
mod telling;
mod valkey;

#[path = "../../../tests/kit/redis_forms.rs"]
#[allow(
    dead_code,
    reason = "these tests and those of the service each use a part of it"
)]
mod redis_forms;

#[path = "../../../tests/kit/relay.rs"]
#[allow(
    dead_code,
    reason = "these tests and those of the service each use a part of it"
)]
mod relay;

#[path = "../../../tests/kit/redis_server.rs"]
#[allow(
    dead_code,
    reason = "these tests and those of the service each use a part of it"
)]
mod redis_server;

use redis_forms::{Cluster, Kind, Watched};
use redis_server::RedisServer;

const MINUTE: Duration = Duration::from_secs(60);

/// For tests in which Redis answers, on a machine that has much to do.
const PATIENT: Duration = Duration::from_secs(10);

/// How long after the end of an outage there may still be errors.
const RECOVERY: Duration = Duration::from_secs(5);

/// Credentials that a test can change.
#[derive(Debug, Default)]
struct Shown(Mutex<RedisCredentials>);

impl Shown {
    fn new(credentials: RedisCredentials) -> Arc<Self> {
        Arc::new(Self(Mutex::new(credentials)))
    }

    fn password(password: &str) -> Arc<Self> {
        let shown = Arc::new(Self::default());
        shown.change(password);
        shown
    }

    fn change(&self, password: &str) {
        let mut credentials = self.0.lock().expect("nobody panics with it");
        credentials.password = Some(SecretString::from(password));
    }

    fn change_sentinels(&self, password: &str) {
        let mut credentials = self.0.lock().expect("nobody panics with it");
        credentials.sentinel_password = Some(SecretString::from(password));
    }
}

impl RedisCredentialSource for Shown {
    fn read(&self) -> Result<RedisCredentials, String> {
        Ok(self.0.lock().expect("nobody panics with it").clone())
    }
}

fn localhost(port: u16) -> RedisAddress {
    RedisAddress::Tcp {
        host: "127.0.0.1".into(),
        port,
    }
}

fn localhosts(servers: &[RedisServer]) -> Vec<RedisAddress> {
    let ports = servers.iter().map(|server| server.port);
    ports.map(localhost).collect()
}

fn settings(port: u16) -> RedisSettings {
    RedisSettings {
        servers: RedisServers::One(localhost(port)),
        tls: false,
        database: 0,
        user: None,
        credentials: Arc::new(Shown::default()),
        timeout: PATIENT,
    }
}

fn open(settings: RedisSettings) -> RedisStore {
    RedisStore::open(settings).expect("a store")
}

/// A store that takes a second for an outage.
fn impatient(server: &RedisServer) -> RedisStore {
    open(RedisSettings {
        timeout: Duration::from_secs(1),
        ..settings(server.port)
    })
}

fn key(name: &str) -> RecordKey {
    RecordKey::new("test", name)
}

async fn create(store: &RedisStore, name: &str) -> Result<bool, StoreError> {
    store.create(&key(name), b"value", MINUTE).await
}

async fn remove(store: &RedisStore, name: &str) -> Result<bool, StoreError> {
    store.delete(&key(name)).await
}

async fn has(store: &RedisStore, name: &str) -> Result<bool, StoreError> {
    Ok(store.get(&key(name)).await?.is_some())
}

/// Asks until it goes well, for as long as a recovery may take.
async fn recovered(store: &RedisStore) {
    let start = Instant::now();
    while let Err(error) = store.ping().await {
        assert!(start.elapsed() < RECOVERY, "{error}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Asks until it fails, and gives that back with how long the last call took.
async fn lost(store: &RedisStore) -> (StoreError, Duration) {
    let start = Instant::now();
    loop {
        let asked = Instant::now();
        if let Err(error) = store.get(&key("any")).await {
            return (error, asked.elapsed());
        }
        assert!(start.elapsed() < RECOVERY, "it is still there");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Redis has a clock of its own. Instead of it, the ends of all that it keeps move.
#[async_trait]
impl Passage for RedisServer {
    async fn pass(&self, by: Duration) {
        const MOVE: &str = "
            for _, key in ipairs(redis.call('KEYS', '*')) do
                local left = redis.call('PTTL', key) - ARGV[1]
                if redis.call('TYPE', key).ok == 'zset' then
                    for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do
                        redis.call('ZINCRBY', key, -ARGV[1], member)
                    end
                end
                if left > 0 then redis.call('PEXPIRE', key, left) else redis.call('DEL', key) end
            end";
        self.ask(&["EVAL", MOVE, "0", &by.as_millis().to_string()]);
    }
}

#[async_trait]
impl Passage for Watched {
    async fn pass(&self, by: Duration) {
        self.servers[self.primary()].pass(by).await;
    }
}

#[async_trait]
impl Passage for Cluster {
    async fn pass(&self, by: Duration) {
        for node in &self.nodes {
            node.pass(by).await;
        }
    }
}

#[tokio::test]
async fn keeps_the_contract() {
    let server = RedisServer::start();
    contract::holds(&open(settings(server.port)), &server).await;
}

#[tokio::test]
async fn an_ending_wins() {
    let server = RedisServer::start();
    endings_win(Arc::new(open(settings(server.port)))).await;
}

#[tokio::test]
async fn keeps_the_contract_over_a_socket_of_the_file_system() {
    let server = RedisServer::start();
    let store = open(RedisSettings {
        servers: RedisServers::One(RedisAddress::Unix(server.socket())),
        ..settings(server.port)
    });
    contract::holds(&store, &server).await;
}

#[tokio::test]
async fn keeps_to_its_database() {
    let server = RedisServer::start();
    let store = open(RedisSettings {
        database: 3,
        ..settings(server.port)
    });
    assert_eq!(create(&store, "a").await, Ok(true));
    assert_eq!(server.ask(&["-n", "3", "KEYS", "*"]), "portcullis:test:a");
    assert_eq!(server.ask(&["KEYS", "*"]), "");
}

#[tokio::test]
async fn every_key_has_the_prefix_and_ends_by_itself() {
    let server = RedisServer::start();
    let store = open(settings(server.port));
    assert_eq!(create(&store, "record").await, Ok(true));
    let read = store.get(&key("record")).await.expect("an answer");
    let version = read.expect("a record").version;
    let replaced = store.replace(&key("record"), version, b"new", MINUTE).await;
    assert_eq!(replaced, Ok(true));
    let index = RecordKey::new("index", "of ada");
    for (member, minutes) in [("a", 1), ("b", 3), ("c", 2)] {
        let listed = store.enlist(&index, member, MINUTE * minutes).await;
        listed.expect("an answer");
    }
    let keys = server.ask(&["KEYS", "*"]);
    let mut keys: Vec<&str> = keys.lines().collect();
    keys.sort_unstable();
    assert_eq!(keys, ["portcullis:index:of ada", "portcullis:test:record"]);
    let minutes_left = |key: &str| -> u64 {
        let left: u64 = server.ask(&["PTTL", key]).parse().expect("a time");
        left.div_ceil(60_000)
    };
    assert_eq!([keys[0], keys[1]].map(minutes_left), [3, 1]);
    // What has ended goes with the next write, be it one that takes something off.
    server.pass(MINUTE + MINUTE / 2).await;
    store.delist(&index, "never").await.expect("an answer");
    assert_eq!(server.ask(&["ZCARD", keys[0]]), "2");
}

/// A record of somebody else is none of ours, and stays.
#[tokio::test]
async fn what_is_too_short_for_a_record_is_none() {
    let server = RedisServer::start();
    let store = open(settings(server.port));
    server.ask(&["SET", "portcullis:test:short", "1234567"]);
    assert_eq!(has(&store, "short").await, Ok(false));
    assert_eq!(server.ask(&["GET", "portcullis:test:short"]), "1234567");
}

#[tokio::test]
async fn no_lifetime_is_too_short() {
    let server = RedisServer::start();
    let store = open(settings(server.port));
    let created = store.create(&key("brief"), b"", Duration::ZERO).await;
    assert_eq!(created, Ok(true));
    let listed = store.enlist(&key("index"), "brief", Duration::ZERO).await;
    assert_eq!(listed, Ok(()));
}

#[tokio::test]
async fn a_walk_goes_on_from_a_place_of_redis_alone() {
    let server = RedisServer::start();
    let store = open(settings(server.port));
    for place in ["", "test:a", "-1", "18446744073709551616"] {
        let page = store.page(&key(""), Some(&Cursor::new(place)), 10).await;
        assert_eq!(page.err(), Some(StoreError::UnknownCursor), "{place:?}");
    }
}

/// Redis scans all of its keys, others' too, a step at a time.
#[tokio::test]
async fn a_walk_passes_what_is_not_ours() {
    let server = RedisServer::start();
    let store = open(settings(server.port));
    let fill = "for i = 1, 5000 do redis.call('SET', 'others:' .. i, i) end";
    server.ask(&["EVAL", fill, "0"]);
    assert_eq!(create(&store, "a").await, Ok(true));
    server.ask(&["SET", "portcullis:test:short", "1234567"]);
    let found = contract::walk(&store, &key(""), 100).await;
    assert_eq!(found.into_keys().collect::<Vec<_>>(), ["test:a"]);
}
