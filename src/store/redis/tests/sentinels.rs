//! A primary, replicas and sentinels: whoever is the primary is found, and nobody else is asked.

use std::collections::BTreeSet;

use super::permissions::{documented_user_of, make_user, password_in};
use super::redis_forms::{DOWN_AFTER, NAME};
use super::*;

pub(super) fn settings_of(watched: &Watched) -> RedisSettings {
    RedisSettings {
        servers: RedisServers::Sentinel {
            sentinels: localhosts(&watched.sentinels),
            primary: NAME.into(),
            user: None,
        },
        ..settings(0)
    }
}

fn impatient_of(watched: &Watched) -> RedisStore {
    open(RedisSettings {
        timeout: Duration::from_secs(1),
        ..settings_of(watched)
    })
}

fn name(number: usize) -> String {
    format!("record-{number}")
}

/// Waits until the replicas have all that was written.
pub(super) fn replicated(primary: &RedisServer, replicas: &str) {
    primary.ask(&["SET", "somebody-elses", "x"]);
    // Counts those that have what the one who asks has written, so both go over one connection.
    let script = "redis.call('SET', 'somebody-elses', 'y') return 1";
    primary.ask(&["EVAL", script, "0"]);
    let start = Instant::now();
    while primary
        .ask(&["WAIT", replicas, "1000"])
        .parse::<usize>()
        .ok()
        < replicas.parse().ok()
    {
        assert!(start.elapsed() < PATIENT, "the replicas do not follow");
    }
}

#[tokio::test]
async fn keeps_the_contract() {
    let watched = Watched::start();
    contract::holds(&open(settings_of(&watched)), &watched).await;
}

/// The primary is killed, comes back, and is a replica then.
#[tokio::test]
#[allow(clippy::print_stdout, reason = "the time is what was asked for")]
async fn a_killed_primary_is_succeeded() {
    let mut watched = Watched::start();
    let store = impatient_of(&watched);
    for number in 0..100 {
        assert_eq!(create(&store, &name(number)).await, Ok(true));
    }
    assert_eq!(remove(&store, &name(0)).await, Ok(true));
    let old = watched.primary();
    replicated(&watched.servers[old], "2");
    let mut primaries = store.primaries();
    assert_eq!(primaries.now(), [localhost(watched.servers[old].port)]);
    watched.servers[old].kill();
    let killed = Instant::now();
    let mut slowest = Duration::ZERO;
    loop {
        let asked = Instant::now();
        let found = create(&store, "after").await;
        slowest = slowest.max(asked.elapsed());
        match found {
            Ok(created) => {
                assert!(created);
                break;
            }
            Err(error) => assert!(
                killed.elapsed() < DOWN_AFTER + RECOVERY,
                "{error} after {:?}",
                killed.elapsed()
            ),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!(
        "Sentinel: another primary after {:?}, down-after {DOWN_AFTER:?}",
        killed.elapsed()
    );
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    for number in 0..100 {
        assert_eq!(
            has(&store, &name(number)).await,
            Ok(number != 0),
            "{number}"
        );
    }
    let new = watched.primary();
    assert_ne!(new, old);
    assert_eq!(primaries.now(), [localhost(watched.servers[new].port)]);

    watched.servers[old].restart();
    let start = Instant::now();
    let role = |place: usize| watched.servers[place].ask(&["INFO", "replication"]);
    while !role(old).contains("role:slave") {
        assert!(
            start.elapsed() < PATIENT * 3,
            "the sentinels leave it alone"
        );
        // For a moment it takes itself for a primary. Nobody else does.
        let made = format!("while-{}", start.elapsed().as_millis());
        assert_eq!(create(&store, &made).await, Ok(true));
        assert_eq!(has(&store, &made).await, Ok(true));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let refused = |place: usize| {
        let stats = watched.servers[place].ask(&["INFO", "errorstats"]);
        stats.contains("READONLY")
    };
    for number in 100..150 {
        assert_eq!(create(&store, &name(number)).await, Ok(true));
    }
    assert!(!refused(old), "it was asked to write");
    let clients = watched.servers[old].ask(&["CLIENT", "LIST", "TYPE", "normal"]);
    assert!(!clients.contains("portcullis-"), "{clients}");
}

/// Those that are ended one after the other during a failover.
const SESSIONS: usize = 100;

/// `SENTINEL FAILOVER`, while everybody reads and writes.
#[tokio::test]
#[allow(clippy::print_stdout, reason = "the time is what was asked for")]
async fn a_planned_failover_under_load() {
    let watched = Watched::start();
    let store = Arc::new(impatient_of(&watched));
    for number in 0..100 {
        assert_eq!(create(&store, &name(number)).await, Ok(true));
    }
    for number in 0..SESSIONS {
        let session = RecordKey::new("session", &number.to_string());
        assert_eq!(store.create(&session, b"", MINUTE).await, Ok(true));
    }
    let old = watched.primary();
    replicated(&watched.servers[old], "2");
    let is_over = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let load = {
        let (store, is_over) = (Arc::clone(&store), Arc::clone(&is_over));
        async move {
            let (mut asked, mut failed, mut made) = (0_usize, Vec::new(), Vec::new());
            let mut ended = Vec::new();
            let mut missing = BTreeSet::new();
            while !is_over.load(std::sync::atomic::Ordering::SeqCst) {
                let number = asked % 100;
                match has(&store, &name(number)).await {
                    Ok(true) => {}
                    Ok(false) => {
                        missing.insert(number);
                    }
                    Err(_) => failed.push(Instant::now()),
                }
                if create(&store, &format!("load-{asked}")).await == Ok(true) {
                    made.push((asked, Instant::now()));
                }
                let session = RecordKey::new("session", &asked.to_string());
                if asked < SESSIONS && store.delete(&session).await == Ok(true) {
                    ended.push(session);
                }
                for session in &ended {
                    // Never, at no moment.
                    assert_ne!(store.get(session).await.ok().flatten().map(drop), Some(()));
                }
                asked += 1;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            (asked, failed, missing, made, ended)
        }
    };
    let load = tokio::spawn(load);
    assert_eq!(
        watched.sentinels[1].ask(&["SENTINEL", "FAILOVER", NAME]),
        "OK"
    );
    let mut primaries = store.primaries();
    let start = Instant::now();
    while primaries.now() == [localhost(watched.servers[old].port)] {
        assert!(start.elapsed() < PATIENT * 2, "no failover");
        let _ = tokio::time::timeout(Duration::from_secs(1), primaries.changed()).await;
    }
    println!(
        "Sentinel: planned failover followed after {:?}",
        start.elapsed()
    );
    tokio::time::sleep(Duration::from_secs(1)).await;
    is_over.store(true, std::sync::atomic::Ordering::SeqCst);
    let (asked, failed, missing, made, ended) = load.await.expect("no panic");
    let window = match (failed.first(), failed.last()) {
        (Some(first), Some(last)) => last.duration_since(*first),
        _ => Duration::ZERO,
    };
    println!(
        "Sentinel: planned failover: {} of {asked} reads failed, within {window:?}",
        failed.len()
    );
    let mut undone = Vec::new();
    for (number, when) in &made {
        if has(&store, &format!("load-{number}")).await == Ok(false) {
            undone.push(*when);
        }
    }
    let lost_for = match (undone.first(), undone.last()) {
        (Some(first), Some(last)) => last.duration_since(*first),
        _ => Duration::ZERO,
    };
    println!(
        "Sentinel: planned failover: {} of {} writes undone, within {lost_for:?}",
        undone.len(),
        made.len()
    );
    assert!(lost_for < Duration::from_secs(3), "{lost_for:?}");
    // What was ended stays ended, also for whoever knows nothing of it.
    let other = impatient_of(&watched);
    for session in &ended {
        assert_eq!(other.get(session).await, Ok(None), "{session:?}");
    }
    assert!(ended.len() > 20, "{}", ended.len());
    assert!(asked > 50, "{asked}");
    assert_eq!(missing, BTreeSet::new(), "replicated records are kept");
    assert!(window < RECOVERY, "{window:?}");
}

#[tokio::test]
async fn sentinels_and_replicas_that_are_gone_are_not_missed() {
    let mut watched = Watched::start();
    let store = impatient_of(&watched);
    assert_eq!(create(&store, "a").await, Ok(true));
    let primary = watched.primary();
    watched.servers[(primary + 1) % 3].kill();
    watched.sentinels[0].kill();
    for _ in 0..100 {
        assert_eq!(has(&store, "a").await, Ok(true));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // One that begins now asks the next.
    let other = impatient_of(&watched);
    assert_eq!(remove(&other, "a").await, Ok(true));
    for sentinel in &mut watched.sentinels {
        sentinel.kill();
    }
    for number in 0..100 {
        assert_eq!(create(&store, &name(number)).await, Ok(true));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A logout is confirmed by a replica; where none does, it is as good as it can be, and nobody waits long.
#[tokio::test]
async fn deletions_wait_for_a_replica_but_not_for_long() {
    let watched = Watched::start();
    let store = impatient_of(&watched);
    for number in 0..60 {
        assert_eq!(create(&store, &name(number)).await, Ok(true));
    }
    let node = store
        .servers
        .directory
        .map()
        .await
        .expect("a primary")
        .nodes[0]
        .clone();
    for number in 0..20 {
        assert_eq!(remove(&store, &name(number)).await, Ok(true));
    }
    assert!(!node.replication.is_missed(), "both replicas are there");
    let primary = watched.primary();
    let replicas = [(primary + 1) % 3, (primary + 2) % 3].map(|place| &watched.servers[place]);
    replicas[0].freeze();
    for number in 20..40 {
        assert_eq!(remove(&store, &name(number)).await, Ok(true));
    }
    assert!(!node.replication.is_missed(), "one replica is enough");
    replicas[1].freeze();
    let start = Instant::now();
    for number in 40..60 {
        assert_eq!(remove(&store, &name(number)).await, Ok(true));
    }
    assert!(node.replication.is_missed(), "none is there");
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
    for replica in replicas {
        replica.thaw();
    }
}

/// A sentinel that is behind names somebody who is no primary any more.
#[tokio::test]
async fn a_replica_is_never_used() {
    let watched = Watched::start();
    let replica = watched.servers[(watched.primary() + 1) % 3].port;
    let liar = RedisServer::start_as(&redis_server::Plan {
        sentinel: Some(format!("sentinel monitor {NAME} 127.0.0.1 {replica} 3\n")),
        ..redis_server::Plan::plain()
    });
    let store = open(RedisSettings {
        servers: RedisServers::Sentinel {
            sentinels: vec![localhost(liar.port)],
            primary: NAME.into(),
            user: None,
        },
        timeout: Duration::from_secs(1),
        ..settings(0)
    });
    // A sentinel finds out by itself that it watches a replica; that takes it seconds.
    let error = store.ping().await.expect_err("no primary");
    assert!(error.to_string().contains("is a replica"), "{error}");
}

#[tokio::test]
async fn what_is_in_the_way_is_told() {
    let (mut watched, plain) = (Watched::start(), RedisServer::start());
    let said = async |sentinels: Vec<RedisAddress>, primary: &str| {
        let servers = RedisServers::Sentinel {
            sentinels,
            primary: primary.into(),
            user: None,
        };
        let store = open(RedisSettings {
            servers,
            ..settings(0)
        });
        store.ping().await.expect_err("no primary").to_string()
    };
    let unknown = said(localhosts(&watched.sentinels), "another").await;
    assert!(
        unknown.contains("knows no primary \"another\""),
        "{unknown}"
    );
    let no_sentinel = said(vec![localhost(plain.port)], NAME).await;
    assert!(no_sentinel.contains("is no sentinel"), "{no_sentinel}");
    let a_sentinel = open(settings(watched.sentinels[0].port)).ping().await;
    let a_sentinel = a_sentinel.expect_err("no records").to_string();
    assert!(a_sentinel.contains("a sentinel, perhaps?"), "{a_sentinel}");
    for sentinel in &mut watched.sentinels {
        sentinel.kill();
    }
    let gone = said(localhosts(&watched.sentinels), NAME).await;
    assert!(gone.contains("connection refused"), "{gone}");
}

/// With the lines of docs/redis.md, word by word: to the servers, and to the sentinels.
#[tokio::test]
async fn the_documented_users_are_enough() {
    let watched = Watched::start();
    let (ours, theirs) = (
        documented_user_of("## Sentinel", 0),
        documented_user_of("## Sentinel", 1),
    );
    for server in &watched.servers {
        make_user(server, &ours);
    }
    for sentinel in &watched.sentinels {
        make_user(sentinel, &theirs);
    }
    let credentials = Shown::password(password_in(&ours));
    credentials.change_sentinels(password_in(&theirs));
    let RedisServers::Sentinel {
        sentinels, primary, ..
    } = settings_of(&watched).servers
    else {
        unreachable!("it has sentinels");
    };
    let store = open(RedisSettings {
        servers: RedisServers::Sentinel {
            sentinels,
            primary,
            user: Some("portcullis".into()),
        },
        user: Some("portcullis".into()),
        credentials,
        ..settings(0)
    });
    contract::holds(&store, &watched).await;
    let node = store
        .servers
        .directory
        .map()
        .await
        .expect("a primary")
        .nodes[0]
        .clone();
    assert!(!node.replication.is_missed(), "it may wait");
    for sentinel in &watched.sentinels {
        let log = sentinel.ask(&["ACL", "LOG"]);
        assert!(!log.contains("subscribe"), "{log}");
    }
    // Without this one nobody is known to be the primary.
    for server in &watched.servers {
        make_user(server, &["portcullis".into(), "-role".into()]);
        server.ask(&["CLIENT", "KILL", "TYPE", "normal"]);
    }
    let (error, _) = lost(&store).await;
    assert!(error.to_string().contains("+role"), "{error}");
}

#[tokio::test]
async fn over_tls_and_with_passwords() {
    let (kind, shown, _folder) = certificates::kind();
    let watched = Watched::start_as(&kind);
    let secured = |credentials: &Arc<Shown>| RedisSettings {
        tls: true,
        credentials: credentials.clone(),
        ..settings_of(&watched)
    };
    contract::holds(&open(secured(&shown)), &watched).await;
    let refused = async |credentials| {
        let error = open(secured(&credentials)).ping().await;
        error.expect_err("a refusal").to_string()
    };
    let mut credentials = shown.read().expect("credentials");
    credentials.sentinel_password = Some("wrong-one".into());
    let said = refused(Shown::new(credentials.clone())).await;
    assert!(
        said.contains("session.store_sentinel_password_file"),
        "{said}"
    );
    credentials.sentinel_password = None;
    let said = refused(Shown::new(credentials.clone())).await;
    assert!(said.contains("asks for a password"), "{said}");
    credentials.roots = None;
    let said = refused(Shown::new(credentials)).await;
    assert!(said.contains("TLS"), "{said}");
}
