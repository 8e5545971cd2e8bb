//! Redis down, killed, frozen, full, read-only, and back again.

use std::sync::atomic::{AtomicU16, Ordering};

use super::*;

/// So many calls fail within this, once it is known that Redis does not answer.
const MANY: usize = 200;
const AT_ONCE: Duration = Duration::from_millis(500);

async fn all_fail_at_once(store: &RedisStore) {
    let start = Instant::now();
    for _ in 0..MANY {
        let failed = store.get(&key("any")).await;
        assert!(
            matches!(failed, Err(StoreError::Unreachable(_))),
            "{failed:?}"
        );
    }
    assert!(start.elapsed() < AT_ONCE, "{:?}", start.elapsed());
}

#[tokio::test]
async fn down_at_the_start_and_there_later() {
    let mut server = RedisServer::start();
    server.kill();
    let store = impatient(&server);
    let error = store.ping().await.expect_err("nobody listens");
    assert!(error.to_string().contains("connection refused"), "{error}");
    all_fail_at_once(&store).await;
    server.restart();
    recovered(&store).await;
    assert_eq!(create(&store, "a").await, Ok(true));
}

#[tokio::test]
async fn killed_and_restarted_empty() {
    let mut server = RedisServer::start();
    let store = impatient(&server);
    assert_eq!(create(&store, "a").await, Ok(true));
    server.kill();
    let (_, took) = lost(&store).await;
    assert!(took < Duration::from_secs(2), "{took:?}");
    all_fail_at_once(&store).await;
    server.restart();
    recovered(&store).await;
    assert_eq!(has(&store, "a").await, Ok(false));
}

#[tokio::test]
async fn frozen_and_thawed() {
    let server = RedisServer::start();
    let store = Arc::new(impatient(&server));
    assert_eq!(create(&store, "a").await, Ok(true));
    server.freeze();
    // All of those that ask at the same time wait no longer than one does.
    let start = Instant::now();
    let asked: Vec<_> = (0..MANY)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { has(&store, "a").await })
        })
        .collect();
    for asked in asked {
        asked.await.expect("no panic").expect_err("it is frozen");
    }
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
    all_fail_at_once(&store).await;
    server.thaw();
    recovered(&store).await;
    assert_eq!(has(&store, "a").await, Ok(true));
}

/// The heartbeat tells, so that the first request after a quiet time need not find it out.
#[tokio::test]
async fn frozen_while_nobody_asks() {
    let server = RedisServer::start();
    let store = impatient(&server);
    store.ping().await.expect("an answer");
    server.freeze();
    let map = store.servers.directory.map().await.expect("one server");
    let mut state = map.nodes[0].link(Access::Reads).watch();
    let waited = tokio::time::timeout(RECOVERY, state.changed()).await;
    waited.expect("it is noticed").expect("the link lives");
    all_fail_at_once(&store).await;
    server.thaw();
    recovered(&store).await;
}

/// A line to a server that holds everything back for a while, or for ever.
struct Line {
    port: u16,
    /// Where new connections lead.
    server: Arc<AtomicU16>,
    delay: tokio::sync::watch::Sender<Option<Duration>>,
}

impl Line {
    async fn to(server: u16) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (delay, watched) = tokio::sync::watch::channel(Some(Duration::ZERO));
        let server = Arc::new(AtomicU16::new(server));
        let leads_to = server.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let server = leads_to.load(Ordering::SeqCst);
                let far = tokio::net::TcpStream::connect(("127.0.0.1", server)).await;
                let far = Arc::new(far.expect("the server"));
                let near = Arc::new(near);
                tokio::spawn(carry(near.clone(), far.clone(), watched.clone()));
                tokio::spawn(carry(far, near, watched.clone()));
            }
        });
        Self {
            port,
            server,
            delay,
        }
    }
}

async fn carry(
    from: Arc<tokio::net::TcpStream>,
    to: Arc<tokio::net::TcpStream>,
    mut delay: tokio::sync::watch::Receiver<Option<Duration>>,
) {
    let mut bytes = [0; 4096];
    loop {
        from.readable().await.expect("a socket");
        let count = match from.try_read(&mut bytes) {
            Ok(count @ 1..) => count,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Ok(_) | Err(_) => return,
        };
        let held = *delay.wait_for(Option::is_some).await.expect("a line");
        tokio::time::sleep(held.unwrap_or_default()).await;
        to.writable().await.expect("a socket");
        if to.try_write(&bytes[..count]).is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn slow_is_not_lost_and_silent_is() {
    let server = RedisServer::start();
    let line = Line::to(server.port).await;
    let store = open(RedisSettings {
        timeout: Duration::from_secs(1),
        ..settings(line.port)
    });
    assert_eq!(create(&store, "a").await, Ok(true));
    line.delay.send_replace(Some(Duration::from_millis(100)));
    for _ in 0..5 {
        assert_eq!(has(&store, "a").await, Ok(true));
    }
    line.delay.send_replace(None);
    let (_, took) = lost(&store).await;
    assert!(took < Duration::from_secs(2), "{took:?}");
    all_fail_at_once(&store).await;
    line.delay.send_replace(Some(Duration::ZERO));
    recovered(&store).await;
    assert_eq!(has(&store, "a").await, Ok(true));
}

#[tokio::test]
async fn reads_survive_that_connections_are_closed() {
    let server = RedisServer::start();
    let store = impatient(&server);
    assert_eq!(create(&store, "a").await, Ok(true));
    for _ in 0..20 {
        server.ask(&["CLIENT", "KILL", "TYPE", "normal"]);
        for _ in 0..20 {
            assert_eq!(has(&store, "a").await, Ok(true));
        }
    }
    let clients = server.ask(&["CLIENT", "LIST", "TYPE", "normal"]);
    // Our two and the administrator's.
    assert!(clients.lines().count() <= 3, "{clients}");
}

#[tokio::test]
async fn full_it_is_read_and_takes_what_frees_room() {
    let server = RedisServer::start();
    let store = impatient(&server);
    assert_eq!(create(&store, "a").await, Ok(true));
    let read = store
        .get(&key("a"))
        .await
        .expect("an answer")
        .expect("a record");
    store
        .enlist(&key("index"), "a", MINUTE)
        .await
        .expect("an answer");
    server.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_eq!(create(&store, "b").await, Err(StoreError::Full));
    let replaced = store.replace(&key("a"), read.version, b"", MINUTE).await;
    assert_eq!(replaced, Err(StoreError::Full));
    let listed = store.enlist(&key("index"), "b", MINUTE).await;
    assert_eq!(listed, Err(StoreError::Full));
    assert_eq!(has(&store, "a").await, Ok(true));
    assert_eq!(store.members(&key("index")).await, Ok(vec!["a".to_owned()]));
    assert_eq!(store.ping().await, Ok(()));
    // A logout goes through.
    assert_eq!(store.delete(&key("a")).await, Ok(true));
    assert_eq!(store.delist(&key("index"), "a").await, Ok(()));
    // Which is not taken for the end of it.
    let refused = || store.refused.lock().expect("nobody panics").clone();
    assert_eq!(refused(), Some(StoreError::Full));
    server.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(create(&store, "b").await, Ok(true));
    assert_eq!(refused(), None);
}

#[tokio::test]
async fn a_read_only_replica_is_read() {
    let (primary, replica) = (RedisServer::start(), RedisServer::start());
    let store = impatient(&primary);
    assert_eq!(create(&store, "a").await, Ok(true));
    store
        .enlist(&key("index"), "a", MINUTE)
        .await
        .expect("an answer");
    let port = primary.port.to_string();
    primary.ask(&["CONFIG", "SET", "repl-diskless-sync-delay", "0"]);
    replica.ask(&["REPLICAOF", "127.0.0.1", &port]);
    // Tells how many replicas have what was written until now.
    assert_eq!(primary.ask(&["WAIT", "1", "20000"]), "1");
    let store = impatient(&replica);
    assert_eq!(has(&store, "a").await, Ok(true));
    assert_eq!(store.members(&key("index")).await, Ok(vec!["a".to_owned()]));
    assert_eq!(store.ping().await, Ok(()));
    let read = store
        .get(&key("a"))
        .await
        .expect("an answer")
        .expect("a record");
    let refusals = [
        create(&store, "b").await.map(drop),
        store
            .replace(&key("a"), read.version, b"", MINUTE)
            .await
            .map(drop),
        store.prolong(&key("a"), MINUTE).await.map(drop),
        store.delete(&key("a")).await.map(drop),
        store.enlist(&key("index"), "b", MINUTE).await,
        store.delist(&key("index"), "a").await,
    ];
    for refusal in refusals {
        let refused = matches!(&refusal, Err(StoreError::Refused(why)) if why.contains("READONLY"));
        assert!(refused, "{refusal:?}");
    }
    replica.ask(&["REPLICAOF", "NO", "ONE"]);
    assert_eq!(create(&store, "b").await, Ok(true));
}

/// The address leads to another server by now, and the old one, which has become a replica, closes no connection.
#[tokio::test]
async fn the_successor_of_a_primary_is_found() {
    let (old, new) = (RedisServer::start(), RedisServer::start());
    let line = Line::to(old.port).await;
    let store = open(settings(line.port));
    assert_eq!(create(&store, "a").await, Ok(true));
    old.ask(&["REPLICAOF", "127.0.0.1", "1"]);
    line.server.store(new.port, Ordering::SeqCst);
    let start = Instant::now();
    while let Err(error) = create(&store, "b").await {
        assert!(start.elapsed() < RECOVERY * 3, "{error}");
        assert!(store.ping().await.is_ok(), "it is read all the while");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(new.ask(&["DBSIZE"]), "1");
}

#[tokio::test]
async fn one_that_cannot_save_is_read() {
    let server = RedisServer::start_with(|folder, port| {
        let data = folder.join("data");
        std::fs::create_dir(&data).expect("a folder");
        let port = port.to_string();
        let words = ["--port", &port, "--dir", &data.display().to_string()];
        words.map(str::to_owned).to_vec()
    });
    let store = impatient(&server);
    assert_eq!(create(&store, "a").await, Ok(true));
    std::fs::remove_dir(server.folder.path().join("data")).expect("an empty folder");
    server.ask(&["CONFIG", "SET", "save", "3600 1"]);
    server.ask(&["BGSAVE"]);
    let start = Instant::now();
    let refused = loop {
        match create(&store, "b").await {
            Err(error) => break error,
            Ok(_) => assert!(start.elapsed() < PATIENT, "it saves"),
        }
    };
    assert!(refused.to_string().contains("MISCONF"), "{refused}");
    assert_eq!(has(&store, "a").await, Ok(true));
    assert_eq!(store.ping().await, Ok(()));
    server.ask(&["CONFIG", "SET", "save", ""]);
    assert_eq!(create(&store, "c").await, Ok(true));
}

#[tokio::test]
async fn what_was_evicted_is_not_there() {
    let server = RedisServer::start();
    let store = impatient(&server);
    assert_eq!(create(&store, "a").await, Ok(true));
    let read = store
        .get(&key("a"))
        .await
        .expect("an answer")
        .expect("a record");
    store
        .enlist(&key("index"), "a", MINUTE)
        .await
        .expect("an answer");
    server.ask(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    server.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    // It evicts when somebody writes.
    let _ = create(&store, "b").await;
    server.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(has(&store, "a").await, Ok(false));
    assert_eq!(store.members(&key("index")).await, Ok(Vec::new()));
    let replaced = store.replace(&key("a"), read.version, b"", MINUTE).await;
    assert_eq!(replaced, Ok(false));
    assert_eq!(store.delist(&key("index"), "a").await, Ok(()));
    assert_eq!(store.delete(&key("a")).await, Ok(false));
}

/// A name that has two addresses here, one of which nobody listens on.
#[tokio::test]
async fn names_are_resolved() {
    let server = RedisServer::start();
    let named = |host: &str| {
        let host = host.to_owned();
        let address = RedisAddress::Tcp {
            host,
            port: server.port,
        };
        open(RedisSettings {
            servers: RedisServers::One(address),
            ..settings(server.port)
        })
    };
    assert_eq!(named("localhost").ping().await, Ok(()));
    let error = named("redis.invalid")
        .ping()
        .await
        .expect_err("no such name");
    assert!(error.to_string().contains("redis.invalid"), "{error}");
}

#[tokio::test]
async fn something_that_is_no_redis() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.try_write(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let store = open(settings(port));
    let error = store.ping().await.expect_err("no Redis");
    assert!(matches!(error, StoreError::Unreachable(_)), "{error}");
}
