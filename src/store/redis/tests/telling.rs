//! What the store tells of what others write, and of its own deafness.

use tokio::sync::mpsc;

use super::*;
use crate::store::coherence::{Event, Listener, Source};

/// Writes down what it is told.
struct Recorder(mpsc::UnboundedSender<String>);

impl Listener for Recorder {
    fn told(&self, event: Event<'_>) {
        let word = match event {
            Event::Changed(key) => key.to_owned(),
            other => format!("{other:?}"),
        };
        // The test may have ended.
        let _ = self.0.send(word);
    }

    fn heard(&self, _when: Option<crate::clock::Instant>) {}
}

fn listen(store: &RedisStore) -> mpsc::UnboundedReceiver<String> {
    let (sender, told) = mpsc::unbounded_channel();
    store.tell(Arc::new(Recorder(sender)));
    told
}

/// The next thing that is told, and what comes before it has to be one of these.
async fn until(told: &mut mpsc::UnboundedReceiver<String>, wanted: &str, before: &[&str]) {
    loop {
        let word = tokio::time::timeout(PATIENT, told.recv()).await;
        let word = word.expect("it is told in time").expect("it is told");
        if word == wanted {
            return;
        }
        assert!(before.contains(&word.as_str()), "{word} before {wanted}");
    }
}

async fn write(store: &RedisStore, kind: &str, name: &str) {
    let created = store
        .create(&RecordKey::new(kind, name), b"x", MINUTE)
        .await;
    assert_eq!(created, Ok(true));
}

#[tokio::test]
async fn sessions_and_tokens_are_told_of_and_nothing_else() {
    let server = RedisServer::start();
    let (store, writer) = (open(settings(server.port)), open(settings(server.port)));
    let mut told = listen(&store);
    until(&mut told, "Back", &["Lost"]).await;
    // Connections that come up meanwhile have it begin anew.
    store.ping().await.expect("an answer");
    writer.ping().await.expect("an answer");
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    for (kind, name) in [
        ("user", "a"),
        ("session", "b"),
        ("lease", "c"),
        ("tokens", "d"),
    ] {
        write(&writer, kind, name).await;
    }
    until(&mut told, "session:b", &["Lost", "Back"]).await;
    until(&mut told, "tokens:d", &[]).await;
    let key = RecordKey::new("session", "b");
    assert_eq!(writer.delete(&key).await, Ok(true));
    until(&mut told, "session:b", &[]).await;
    server.ask(&["FLUSHALL"]);
    until(&mut told, "Flushed", &["tokens:d"]).await;
    server.ask(&["CLIENT", "KILL", "TYPE", "normal"]);
    until(&mut told, "Lost", &[]).await;
    until(&mut told, "Back", &["Lost"]).await;
}

#[tokio::test]
async fn every_primary_of_a_cluster_is_heard() {
    let cluster = Cluster::start();
    let store = open(clusters::settings_of(&cluster));
    store.ping().await.expect("an answer");
    let mut told = listen(&store);
    until(&mut told, "Back", &["Lost"]).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        write(&store, "session", name).await;
        until(&mut told, &format!("session:{name}"), &["Lost", "Back"]).await;
    }
}
