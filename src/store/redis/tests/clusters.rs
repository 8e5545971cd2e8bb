//! A Redis Cluster: each key at its node, wherever that is by now.

use super::permissions::{documented_user_of, make_user, password_in};
use super::redis_forms::NODE_TIMEOUT;
use super::*;
use crate::store::redis::slots::slot_of;

pub(super) fn settings_of(cluster: &Cluster) -> RedisSettings {
    RedisSettings {
        servers: RedisServers::Cluster {
            seeds: localhosts(&cluster.nodes),
        },
        ..settings(0)
    }
}

fn name(number: usize) -> String {
    format!("record-{number}")
}

/// Which of three primaries has a record at the start.
fn owner(name: &str) -> usize {
    let slot = usize::from(slot_of(name_of(&key(name)).as_bytes()));
    (0..3)
        .rfind(|place| slot >= 16_384 * place / 3)
        .expect("one of three")
}

#[tokio::test]
async fn keeps_the_contract() {
    let cluster = Cluster::start();
    let store = open(settings_of(&cluster));
    contract::holds(&store, &cluster).await;
    for number in 0..60 {
        assert_eq!(create(&store, &name(number)).await, Ok(true));
    }
    for (place, node) in cluster.nodes.iter().enumerate() {
        let expected = (0..60)
            .filter(|number| owner(&name(*number)) == place)
            .count();
        let kept = node.ask(&["KEYS", "portcullis:test:record-*"]);
        assert_eq!(kept.lines().count(), expected, "{place}");
        let clients = node.ask(&["CLIENT", "LIST", "TYPE", "normal"]);
        assert_eq!(clients.matches("name=portcullis-").count(), 2, "{clients}");
        // Nobody is asked for what another has: that was known before.
        let stats = node.ask(&["INFO", "commandstats"]);
        assert!(!stats.contains("cmdstat_asking"), "{stats}");
    }
}

/// One primary is killed: its records are missed until its replica takes over, and nothing else.
#[tokio::test]
#[allow(clippy::print_stdout, reason = "the time is what was asked for")]
async fn a_killed_primary_is_succeeded() {
    let mut cluster = Cluster::start_as(&Kind::default(), 3, true);
    let store = open(RedisSettings {
        timeout: Duration::from_secs(1),
        ..settings_of(&cluster)
    });
    for number in 0..60 {
        assert_eq!(create(&store, &name(number)).await, Ok(true));
    }
    let is_lost = |number: usize| owner(&name(number)) == 0;
    let lost = (0..60)
        .find(|number| is_lost(*number))
        .expect("one of them");
    let gone = (0..60).rfind(|number| is_lost(*number)).expect("another");
    // A deletion is there too, since it waits for the replica.
    assert_eq!(remove(&store, &name(gone)).await, Ok(true));
    cluster.nodes[0].kill();
    let killed = Instant::now();
    let mut failed = 0;
    loop {
        for number in (0..60).filter(|number| !is_lost(*number)) {
            assert_eq!(has(&store, &name(number)).await, Ok(true), "{number}");
        }
        assert_eq!(store.ping().await, Ok(()), "the others answer");
        let asked = Instant::now();
        let found = has(&store, &name(lost)).await;
        assert!(
            asked.elapsed() < Duration::from_secs(2),
            "{:?}",
            asked.elapsed()
        );
        match found {
            Ok(found) => {
                assert!(found, "it was replicated");
                break;
            }
            Err(error) => {
                failed += 1;
                // The election takes its time too.
                let limit = NODE_TIMEOUT * 2 + RECOVERY;
                assert!(
                    killed.elapsed() < limit,
                    "{error} after {:?}",
                    killed.elapsed()
                );
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!(
        "Cluster: a replica took over after {:?}, node-timeout {NODE_TIMEOUT:?}",
        killed.elapsed()
    );
    assert!(failed > 0, "it was gone for a while");
    for number in 0..60 {
        assert_eq!(
            has(&store, &name(number)).await,
            Ok(number != gone),
            "{number}"
        );
    }
    cluster.nodes[0].restart();
    cluster.until_whole();
    for number in 60..120 {
        assert_eq!(create(&store, &name(number)).await, Ok(true));
    }
}

/// A slot moves while its records are read and written.
pub(super) async fn a_slot_moves(cluster: &Cluster, store: &RedisStore) {
    // What stands in braces alone tells the slot.
    let name = |number: usize| format!("{{moving}}-{number}");
    for number in 0..40 {
        assert_eq!(create(store, &name(number)).await, Ok(true));
    }
    let slot = slot_of(b"moving");
    let from = owner("{moving}");
    let check = async |prefix: &str| {
        for number in 0..40 {
            let key = key(&name(number));
            let stored = store.get(&key).await.expect("an answer");
            let version = stored.expect("a record").version;
            let written = store.replace(&key, version, b"value", MINUTE).await;
            assert_eq!(written, Ok(true), "{number}");
        }
        let made = format!("{{moving}}-{prefix}");
        assert_eq!(create(store, &made).await, Ok(true));
        assert_eq!(store.prolong(&key(&made), MINUTE).await, Ok(true));
        assert_eq!(remove(store, &made).await, Ok(true));
        assert_eq!(has(store, &made).await, Ok(false));
    };
    let handle = tokio::runtime::Handle::current();
    cluster.migrate(slot, from, (from + 1) % 3, || {
        let halfway = check("halfway");
        tokio::task::block_in_place(|| handle.block_on(halfway));
    });
    check("after").await;
    let node = &cluster.nodes[(from + 1) % 3];
    assert_eq!(
        node.ask(&["CLUSTER", "COUNTKEYSINSLOT", &slot.to_string()]),
        "40"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_moves_is_followed() {
    let cluster = Cluster::start();
    let store = open(settings_of(&cluster));
    a_slot_moves(&cluster, &store).await;
    for node in &cluster.nodes {
        let clients = node.ask(&["CLIENT", "LIST", "TYPE", "normal"]);
        assert!(
            clients.matches("name=portcullis-").count() <= 2,
            "{clients}"
        );
    }
}

/// A slot moves to a node that has none yet, so that nobody has heard of it but by being sent there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_joins_is_found() {
    let mut cluster = Cluster::start();
    cluster.grow();
    let store = open(settings_of(&cluster));
    let from = owner("{moving}");
    cluster.nodes.swap(3, (from + 1) % 3);
    a_slot_moves(&cluster, &store).await;
    let mut primaries = store.primaries();
    let all = tokio::time::timeout(PATIENT, async {
        while primaries.now().len() < 4 && primaries.changed().await {}
    });
    all.await.expect("all of them, soon");
}

#[tokio::test]
async fn what_is_in_the_way_is_told() {
    let (cluster, plain) = (Cluster::start(), RedisServer::start());
    let error = open(settings(cluster.nodes[0].port)).ping().await;
    let said = error.expect_err("a cluster").to_string();
    assert!(said.contains("redis+cluster://"), "{said}");
    let of = |seeds: Vec<RedisAddress>| {
        open(RedisSettings {
            servers: RedisServers::Cluster { seeds },
            ..settings(0)
        })
    };
    let error = of(vec![localhost(plain.port)]).ping().await;
    let said = error.expect_err("no cluster").to_string();
    assert!(said.contains("is in no cluster"), "{said}");
    // One that cannot be reached is passed over.
    let store = of(vec![localhost(1), localhost(cluster.nodes[2].port)]);
    assert_eq!(store.ping().await, Ok(()));
}

#[tokio::test]
async fn the_documented_user_is_enough_and_a_password_is_shown_over_tls() {
    let words = documented_user_of("## Cluster", 0);
    let (kind, shown, _folder) = certificates::kind();
    let cluster = Cluster::start_as(&kind, 3, false);
    let secured = |credentials: Arc<Shown>, user: Option<&str>| {
        open(RedisSettings {
            tls: true,
            user: user.map(str::to_owned),
            credentials,
            ..settings_of(&cluster)
        })
    };
    contract::holds(&secured(shown.clone(), None), &cluster).await;
    for node in &cluster.nodes {
        make_user(node, &words);
    }
    let credentials = shown.read().expect("credentials");
    let shown = Shown::new(credentials);
    shown.change(password_in(&words));
    for node in &cluster.nodes {
        node.ask(&["FLUSHALL"]);
    }
    contract::holds(&secured(shown, Some("portcullis")), &cluster).await;
}
