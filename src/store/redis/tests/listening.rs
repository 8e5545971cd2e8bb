//! What a cache is built on: which servers there are, and a connection of its own to each that tells of writes.

use ::redis::{PushInfo, PushKind, Value, cmd};

use futures_util::FutureExt;

use super::*;
use crate::store::redis::slots::SLOTS;

async fn line(primaries: &Primaries, address: &RedisAddress) -> PushLine {
    let mut line = primaries.listen(address).await.expect("a line");
    let mut command = cmd("CLIENT");
    command.arg("TRACKING").arg("ON").arg("BCAST");
    let tracks: String = line.ask(&command).await.expect("an answer");
    assert_eq!(tracks, "OK");
    line
}

async fn told(line: &mut PushLine) -> Option<PushInfo> {
    let told = tokio::time::timeout(PATIENT, line.told()).await;
    told.expect("it is told in time")
}

fn key_of(told: &PushInfo) -> String {
    assert_eq!(told.kind, PushKind::Invalidate);
    let Some(Value::Array(keys)) = told.data.first() else {
        unreachable!("{told:?} names keys");
    };
    let Value::BulkString(key) = &keys[0] else {
        unreachable!("{keys:?} are strings");
    };
    String::from_utf8_lossy(key).into_owned()
}

#[tokio::test]
async fn a_line_tells_of_writes_and_of_its_end() {
    let server = RedisServer::start();
    server.ask(&[
        "ACL", "SETUSER", "ada", "on", ">hunter2", "~*", "&*", "+@all",
    ]);
    let store = open(RedisSettings {
        user: Some("ada".into()),
        credentials: Shown::password("hunter2"),
        ..settings(server.port)
    });
    let mut primaries = store.primaries();
    assert_eq!(primaries.now(), [localhost(server.port)]);
    let mut line = line(&primaries, &localhost(server.port)).await;
    assert_eq!(create(&store, "a").await, Ok(true));
    let first = told(&mut line).await.expect("the line is there");
    assert_eq!(key_of(&first), "portcullis:test:a");
    server.ask(&["CLIENT", "KILL", "TYPE", "normal"]);
    assert!(told(&mut line).await.is_none());
    drop(store);
    assert!(!primaries.changed().await);
}

#[tokio::test]
async fn whoever_does_not_listen_misses_something_and_is_told() {
    let server = RedisServer::start();
    let store = open(settings(server.port));
    let primaries = store.primaries();
    let line = primaries.listen(&localhost(server.port)).await;
    let mut line = line.expect("a line");
    line.listen_to("news").await.expect("an answer");
    server.ask(&["PUBLISH", "news", "x"]);
    assert!(told(&mut line).await.is_some());
    let script = "for i = 1, 5000 do redis.call('PUBLISH', 'news', i) end";
    server.ask(&["EVAL", script, "0"]);
    // The answer to us comes behind what was to be told before it.
    let pong: String = line.ask(&cmd("PING")).await.expect("an answer");
    assert_eq!(pong, "PONG");
    assert!(told(&mut line).await.is_none());
}

/// Whoever listens to all of them need not know which of them has what.
#[tokio::test]
async fn other_servers_are_news_and_other_slots_are_not() {
    let server = RedisServer::start();
    let store = open(settings(server.port));
    let mut primaries = store.primaries();
    let directory = &store.servers.directory;
    let [here, there] = ["127.0.0.1", "localhost"].map(|host| RedisAddress::Tcp {
        host: host.into(),
        port: server.port,
    });
    let (half, all) = (SLOTS / 2, SLOTS - 1);
    #[rustfmt::skip] // the columns are the point
    let cases = [
        ("another server",         vec![(0, half, here.clone()), (half + 1, all, there.clone())], true),
        ("other slots",            vec![(0, 9, here.clone()), (10, all, there.clone())],          false),
        ("the other way round",    vec![(0, 9, there.clone()), (10, all, here.clone())],          false),
        ("one server less",        vec![(0, all, there)],                                         true),
        ("another one instead",    vec![(0, all, here)],                                          true),
    ];
    let _ = primaries.now();
    for (what, owners, is_news) in cases {
        let turn = directory.alarm.turn();
        assert!(directory.publish(&owners), "{what}");
        assert_ne!(
            directory.alarm.turn(),
            turn,
            "{what}: another server is asked"
        );
        let changed = primaries.changed().now_or_never();
        assert_eq!(changed, is_news.then_some(true), "{what}");
    }
}

#[tokio::test]
async fn each_primary_of_a_cluster_is_listened_to() {
    let cluster = Cluster::start();
    let store = open(clusters::settings_of(&cluster));
    store.ping().await.expect("an answer");
    let mut primaries = store.primaries();
    let addresses = primaries.now();
    let mut lines = Vec::new();
    for address in &addresses {
        lines.push(line(&primaries, address).await);
    }
    assert_eq!(lines.len(), 3);
    for name in ["a", "b", "c", "d", "e", "f"] {
        assert_eq!(create(&store, name).await, Ok(true));
        let mut telling = Vec::new();
        for line in &mut lines {
            telling.push(Box::pin(line.told()));
        }
        let telling = futures_util::future::select_all(telling);
        let (first, _, _) = tokio::time::timeout(PATIENT, telling).await.expect("one");
        assert_eq!(
            key_of(&first.expect("a line")),
            format!("portcullis:test:{name}")
        );
    }
}
