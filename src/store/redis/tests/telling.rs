//! What the store tells of what others write, and of its own deafness.

use tokio::sync::mpsc;

use ::redis::cmd;

use super::permissions::{FOR_TELLING, documented_user, make_user, password_in};
use super::*;
use crate::clock;
use crate::store::coherence::{Event, Listener, Source};
use crate::store::redis::connect::stands;

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

    fn heard(&self, _when: Option<clock::Instant>) {}
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

/// What is logged by this thread.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("nobody panics").extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Logged {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("nobody panics").clone()).expect("text")
    }

    /// Writes down what is logged until what is given back is dropped.
    fn begin(&self) -> tracing::subscriber::DefaultGuard {
        let writer = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    /// Waits until it is said that nothing is told, and why. Gives the reason.
    async fn until_untold(&self) -> String {
        let start = Instant::now();
        loop {
            let text = self.text();
            let mut lines = text.lines();
            if let Some(line) = lines.find(|line| line.contains("does not tell of changes")) {
                return line.to_owned();
            }
            assert!(start.elapsed() < PATIENT, "{text}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// A store whose user may do what the page says, but for this.
fn as_user(server: &RedisServer, left_out: Option<&str>) -> RedisStore {
    let mut words = documented_user();
    words.retain(|word| Some(word.as_str()) != left_out);
    make_user(server, &[words[0].clone(), "reset".into()]);
    make_user(server, &words);
    open(RedisSettings {
        user: Some("portcullis".into()),
        credentials: Shown::password(password_in(&words)),
        ..settings(server.port)
    })
}

/// Without one of them nothing is told, and the log says which it is. What else is not there then, the page says.
#[tokio::test]
async fn what_the_user_has_to_be_allowed_to_be_told() {
    let server = RedisServer::start();
    {
        let store = as_user(&server, None);
        until(&mut listen(&store), "Back", &["Lost"]).await;
    }
    for left_out in FOR_TELLING {
        let logged = Logged::default();
        let _logging = logged.begin();
        let store = as_user(&server, Some(left_out));
        let mut told = listen(&store);
        let reason = logged.until_untold().await;
        assert!(reason.contains(left_out), "{left_out}: {reason}");
        assert_eq!(has(&store, "any").await, Ok(false), "{left_out}");
        while let Ok(word) = told.try_recv() {
            assert_eq!(word, "Lost", "{left_out}");
        }
    }
}

/// What was not allowed when the connections were made, and is now, needs no restart.
#[tokio::test]
async fn what_the_user_is_allowed_later() {
    for left_out in FOR_TELLING {
        let logged = Logged::default();
        let _logging = logged.begin();
        let server = RedisServer::start();
        let store = as_user(&server, Some(left_out));
        let mut told = listen(&store);
        logged.until_untold().await;
        make_user(&server, &["portcullis".into(), left_out.into()]);
        until(&mut told, "Back", &["Lost"]).await;
        assert!(!logged.text().contains("another server"), "{left_out}");
    }
}

/// One that is no primary, or has not all its data, answers well and tells nothing of what another is told to write.
#[tokio::test]
async fn a_server_that_is_no_primary_any_more_counts_as_lost() {
    let server = RedisServer::start();
    let store = open(settings(server.port));
    let mut told = listen(&store);
    until(&mut told, "Back", &["Lost"]).await;
    store.ping().await.expect("an answer");
    for _ in 0..2 {
        server.ask(&["REPLICAOF", "127.0.0.1", "1"]);
        let demoted = Instant::now();
        until(&mut told, "Lost", &["Lost", "Back"]).await;
        assert!(demoted.elapsed() < Duration::from_secs(2), "{demoted:?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
        while let Ok(word) = told.try_recv() {
            assert_ne!(word, "Back", "it is a replica");
        }
        server.ask(&["REPLICAOF", "NO", "ONE"]);
        until(&mut told, "Back", &["Lost"]).await;
    }
}

/// A node that finds its cluster out of order answers, and is not to be gone by.
#[tokio::test]
async fn a_node_whose_cluster_is_down_does_not_stand() {
    let cluster = Cluster::start();
    let store = open(clusters::settings_of(&cluster));
    store.ping().await.expect("an answer");
    let mut lines = Vec::new();
    for node in &cluster.nodes {
        let line = store.primaries().listen(&localhost(node.port)).await;
        lines.push(line.expect("a line"));
    }
    for line in &lines {
        let (mut connection, target) = line.connection();
        assert_eq!(stands(&mut connection, &target).await, Ok(()));
    }
    for node in &cluster.nodes {
        node.ask(&["CONFIG", "SET", "cluster-require-full-coverage", "yes"]);
        assert_eq!(node.ask(&["CLUSTER", "DELSLOTS", "16383"]), "OK");
    }
    for line in &lines {
        let (mut connection, target) = line.connection();
        let start = Instant::now();
        let reason = loop {
            match stands(&mut connection, &target).await {
                Err(reason) => break reason,
                Ok(()) => assert!(start.elapsed() < PATIENT, "it stands"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert!(reason.contains("CLUSTERDOWN"), "{reason}");
        connection
            .send_packed_command(&cmd("PING"))
            .await
            .expect("it answers");
    }
}

/// Breaks down when it is told of one record, once.
struct Fragile {
    told: mpsc::UnboundedSender<&'static str>,
    has_broken: std::sync::atomic::AtomicBool,
}

impl Listener for Fragile {
    fn told(&self, event: Event<'_>) {
        let word = match event {
            Event::Lost if std::thread::panicking() => "Lost in breaking down",
            Event::Back => "Back",
            Event::Changed("session:fragile") => {
                let has_broken = self
                    .has_broken
                    .swap(true, std::sync::atomic::Ordering::SeqCst);
                assert!(has_broken, "it breaks down");
                "Changed"
            }
            _ => return,
        };
        // The test may have ended.
        let _ = self.told.send(word);
    }

    fn heard(&self, _when: Option<clock::Instant>) {}
}

#[tokio::test]
async fn what_breaks_down_tells_so_before_it_begins_anew() {
    let server = RedisServer::start();
    let (store, writer) = (open(settings(server.port)), open(settings(server.port)));
    store.ping().await.expect("an answer");
    writer.ping().await.expect("an answer");
    let (sender, mut told) = mpsc::unbounded_channel();
    store.tell(Arc::new(Fragile {
        told: sender,
        has_broken: false.into(),
    }));
    let mut next = async || {
        let word = tokio::time::timeout(PATIENT, told.recv()).await;
        word.expect("it is told in time").expect("it is told")
    };
    assert_eq!(next().await, "Back");
    write(&writer, "session", "fragile").await;
    assert_eq!(next().await, "Lost in breaking down");
    assert_eq!(next().await, "Back");
    let fragile = RecordKey::new("session", "fragile");
    assert_eq!(writer.delete(&fragile).await, Ok(true));
    assert_eq!(next().await, "Changed");
}

/// What has come before the line was lost is told before that: what was known may outlast it.
#[tokio::test]
async fn what_has_come_already_is_told_before_the_end() {
    let server = RedisServer::start();
    let store = open(settings(server.port));
    store.ping().await.expect("an answer");
    let directory = &store.servers.directory;
    let mut line = store.primaries().listen(&localhost(server.port)).await;
    let line = line.as_mut().expect("a line");
    let mut command = cmd("CLIENT");
    command.arg("TRACKING").arg("ON").arg("BCAST");
    line.ask::<()>(&command).await.expect("an answer");
    write(&store, "session", "a").await;
    write(&store, "session", "b").await;
    // Comes behind what is told.
    line.ask::<()>(&cmd("PING")).await.expect("an answer");
    let turn = directory.alarm.turn();
    directory.alarm.elsewhere(|| ());
    let (sender, mut told) = mpsc::unbounded_channel();
    let lines = std::slice::from_mut(line);
    let reason = invalidations::attend(lines, directory, turn, &Recorder(sender)).await;
    assert!(reason.contains("anew"), "{reason}");
    assert_eq!(told.recv().await.as_deref(), Some("session:a"));
    assert_eq!(told.recv().await.as_deref(), Some("session:b"));
    assert_eq!(told.recv().await, None);
}
