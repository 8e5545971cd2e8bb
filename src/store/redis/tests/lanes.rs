//! Reads and writes over connections of their own, which are few, named, and made anew whatever happens to them.

use super::*;

/// The names of our connections, each once for each that there is.
fn named(server: &RedisServer) -> Vec<String> {
    let clients = server.ask(&["CLIENT", "LIST", "TYPE", "normal"]);
    let words = clients.split_whitespace();
    let mut names: Vec<String> = words
        .filter_map(|word| word.strip_prefix("name=portcullis-"))
        .map(str::to_owned)
        .collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn there_is_one_for_reads_and_one_for_writes() {
    let server = RedisServer::start();
    let store = open(settings(server.port));
    for round in 0..20 {
        assert_eq!(create(&store, &round.to_string()).await, Ok(true));
        assert_eq!(has(&store, &round.to_string()).await, Ok(true));
    }
    assert_eq!(named(&server), ["reads", "writes"]);
}

/// As a planned failover does it.
#[tokio::test]
async fn writes_that_are_held_back_delay_no_read() {
    let server = RedisServer::start();
    let store = Arc::new(impatient(&server));
    assert_eq!(create(&store, "a").await, Ok(true));
    server.ask(&["CLIENT", "PAUSE", "2500", "WRITE"]);
    let begun = Instant::now();
    let writing = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            let mut refused = Vec::new();
            while begun.elapsed() < Duration::from_secs(2) {
                let asked = Instant::now();
                let failed = create(&store, "b").await;
                refused.push((failed, asked.elapsed()));
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            refused
        }
    });
    let (mut count, mut slowest) = (0, Duration::ZERO);
    while begun.elapsed() < Duration::from_secs(2) {
        let asked = Instant::now();
        assert_eq!(has(&store, "a").await, Ok(true));
        slowest = slowest.max(asked.elapsed());
        count += 1;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(
        count > 50 && slowest < Duration::from_millis(500),
        "{count}, {slowest:?}"
    );
    assert!(!writing.is_finished());
    for (failed, took) in writing.await.expect("no panic") {
        let held = matches!(failed, Err(StoreError::Unreachable(_)));
        assert!(
            held && took < Duration::from_secs(2),
            "{failed:?} after {took:?}"
        );
    }
    let start = Instant::now();
    while create(&store, "c").await != Ok(true) {
        assert!(start.elapsed() < RECOVERY, "writes do not come back");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(named(&server).len() <= 3, "{:?}", named(&server));
}

#[tokio::test]
async fn connections_that_are_ended_all_the_time() {
    let server = RedisServer::start();
    let store = open(settings(server.port));
    assert_eq!(create(&store, "a").await, Ok(true));
    let begun = Instant::now();
    let (mut asked, mut failed, mut most) = (0, 0, 0);
    while begun.elapsed() < Duration::from_secs(3) {
        server.ask(&["CLIENT", "KILL", "TYPE", "normal"]);
        let round = Instant::now();
        while round.elapsed() < Duration::from_millis(100) {
            asked += 1;
            failed += usize::from(has(&store, "a").await != Ok(true));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        most = most.max(named(&server).len());
    }
    // A read that loses two connections in a row fails.
    assert!(asked > 100 && failed * 20 < asked, "{failed} of {asked}");
    assert!(most <= 2, "{most} connections");
}

#[tokio::test]
async fn no_room_for_clients() {
    let server = RedisServer::start();
    server.ask(&["CONFIG", "SET", "maxclients", "1"]);
    let occupied = tokio::net::TcpStream::connect(("127.0.0.1", server.port)).await;
    let store = impatient(&server);
    // Redis closes with the reason; sometimes we have written by then, and hear of a closed connection alone.
    let begun = Instant::now();
    loop {
        let asked = Instant::now();
        let refused = store.ping().await.expect_err("no room");
        assert!(asked.elapsed() < Duration::from_secs(2));
        if refused.to_string().contains("maxclients") {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{refused}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(occupied);
    server.ask(&["CONFIG", "SET", "maxclients", "100"]);
    recovered(&store).await;
    assert_eq!(create(&store, "a").await, Ok(true));
}

#[derive(Debug)]
struct BreaksDown(std::sync::atomic::AtomicBool);

impl RedisCredentialSource for BreaksDown {
    fn read(&self) -> Result<RedisCredentials, String> {
        let breaks = !self.0.swap(true, std::sync::atomic::Ordering::SeqCst);
        assert!(!breaks, "the first one that asks");
        Ok(RedisCredentials::default())
    }
}

/// Whatever breaks down while a connection is made, the next attempt is made all the same.
#[tokio::test]
async fn a_panic_is_survived() {
    let server = RedisServer::start();
    let store = open(RedisSettings {
        credentials: Arc::new(BreaksDown(std::sync::atomic::AtomicBool::new(false))),
        ..settings(server.port)
    });
    recovered(&store).await;
}
