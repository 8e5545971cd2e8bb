//! Sessions that instances keep in memory, while the address of the one Redis leads elsewhere, or to nobody: who has been
//! signed out is not let in by what a server says that knows nothing of it.

use super::relay::{Relay, Weather};
use super::*;
use crate::domain::identity::Identity;
use crate::domain::session::{SessionId, SessionLifetime};
use crate::domain::upstream_key::Tokens;
use crate::store::coherence::{Announcing, Source};
use crate::store::contract::ManualClock;
use crate::store::sealing::Keyring;
use crate::store::session_cache::SessionCache;
use crate::store::sessions::{Login, Sessions};

const HOUR: Duration = Duration::from_secs(3_600);

/// How old connections are when they may be left for another server.
const SETTLED: Duration = Duration::from_secs(5);

/// The name of the connection over which Redis tells of changes.
const LINE: &str = "portcullis-invalidations";

/// What is known after that much silence is not used any more.
const BELIEVED_FOR: Duration = Duration::from_secs(1);
/// What a busy machine adds.
const MARGIN: Duration = Duration::from_secs(1);

/// One of several instances.
pub(super) struct Instance {
    pub(super) sessions: Sessions,
    pub(super) cache: Arc<SessionCache>,
}

/// Makes instances with the same keys.
pub(super) struct Maker(Arc<Keyring>);

impl Maker {
    pub(super) fn new() -> Self {
        Self(Arc::new(Keyring::ephemeral()))
    }

    pub(super) fn instance(&self, settings: RedisSettings) -> Instance {
        let cache = Arc::new(SessionCache::new(Duration::ZERO));
        let store = open(settings);
        store.tell(cache.clone());
        let store = Announcing::new(Arc::new(store), cache.clone());
        let lifetime = SessionLifetime {
            idle: HOUR * 10,
            absolute: HOUR * 100,
        };
        let clock = Arc::new(ManualClock::default());
        let sessions = Sessions::new(Arc::new(store), self.0.clone(), clock, lifetime);
        Instance {
            sessions: sessions.cached(cache.clone()),
            cache,
        }
    }
}

impl Instance {
    pub(super) async fn sign_in(&self) -> SessionId {
        let login = Login {
            identity: Identity {
                issuer: "https://id.example.net".into(),
                subject: "1".into(),
                username: None,
                name: None,
                email: None,
                groups: Vec::new(),
            },
            tokens: Tokens {
                access: Some("access".into()),
                id: None,
                refresh: None,
            },
            expires_in: Some(HOUR),
            nonce: String::new(),
            auth_time: None,
            amr: Vec::new(),
            sid: None,
        };
        self.sessions.begin_now(login).await.expect("a session")
    }

    /// Whether it lets somebody in; an error lets nobody in.
    pub(super) async fn lets_in(&self, id: &SessionId) -> bool {
        matches!(self.sessions.load(id).await, Ok(Some(_)))
    }

    /// Waits until sessions are kept in memory.
    pub(super) async fn keeps(&self) {
        until("sessions are kept", async || self.cache.is_trusted()).await;
    }

    /// Has a session kept.
    pub(super) async fn knows(&self, id: &SessionId) {
        let before = self.cache.counts().hits;
        until("it is known", async || {
            assert!(self.lets_in(id).await);
            self.cache.counts().hits > before
        })
        .await;
    }

    /// Ends a session; whoever asks tries again when that could not be written down.
    pub(super) async fn end(&self, id: &SessionId) {
        until("it is ended", async || self.sessions.end(id).await.is_ok()).await;
    }
}

pub(super) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !holds().await {
        assert!(start.elapsed() < PATIENT * 3, "it did not happen: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    start.elapsed()
}

/// Waits until a replica has all that was written.
fn replicated(primary: &RedisServer) {
    primary.ask(&["SET", "somebody-elses", "x"]);
    let script = "redis.call('SET', 'somebody-elses', 'y') return 1";
    primary.ask(&["EVAL", script, "0"]);
    let start = Instant::now();
    while primary.ask(&["INFO", "replication"]).contains("lag=-1")
        || primary.ask(&["WAIT", "1", "1000"]) != "1"
    {
        assert!(start.elapsed() < PATIENT, "the replica does not follow");
    }
}

/// A primary with a replica behind an address that leads to the primary.
struct Pair {
    old: RedisServer,
    new: RedisServer,
    address: Relay,
}

impl Pair {
    async fn start() -> Self {
        let (old, new) = (RedisServer::start(), RedisServer::start());
        old.ask(&["CONFIG", "SET", "repl-diskless-sync-delay", "0"]);
        new.ask(&["REPLICAOF", "127.0.0.1", &old.port.to_string()]);
        until("the replica is there", async || {
            let said = new.ask(&["INFO", "replication"]);
            said.contains("master_link_status:up")
        })
        .await;
        let address = Relay::start(old.port).await.expect("a port");
        Self { old, new, address }
    }

    fn settings(&self) -> RedisSettings {
        settings(self.address.address.port())
    }

    /// From now on the other one is the primary. The old one is a replica that lags behind for ever, or does not know of
    /// it; and no connection to it is closed.
    fn fail_over(&self, is_demoted: bool) {
        replicated(&self.old);
        self.new.ask(&["REPLICAOF", "NO", "ONE"]);
        self.address.lead_to(self.new.port);
        if is_demoted {
            self.old.ask(&["REPLICAOF", "127.0.0.1", "1"]);
        }
    }

    /// Closes the connections of this name to the old one, and no others.
    fn close(&self, name: &str) {
        for client in self.old.ask(&["CLIENT", "LIST"]).lines() {
            if client.contains(name) {
                let id = client.split([' ', '=']).nth(1).expect("an id");
                self.old.ask(&["CLIENT", "KILL", "ID", id]);
            }
        }
    }
}

/// Once an instance is told of changes by the new server, nothing that the old one says is let in.
#[tokio::test]
async fn an_address_that_leads_elsewhere() {
    for is_demoted in [true, false] {
        let pair = Pair::start().await;
        let maker = Maker::new();
        let (one, other) = (
            maker.instance(pair.settings()),
            maker.instance(pair.settings()),
        );
        let id = one.sign_in().await;
        let stays = one.sign_in().await;
        for instance in [&one, &other] {
            instance.keeps().await;
            instance.knows(&id).await;
        }
        tokio::time::sleep(SETTLED).await;
        pair.fail_over(is_demoted);
        pair.close(LINE);
        let there = maker.instance(settings(pair.new.port));
        for instance in [&one, &other] {
            until("it is told by the new server", async || {
                let lines = pair.new.ask(&["CLIENT", "LIST"]);
                instance.cache.is_trusted() && lines.matches(LINE).count() == 3
            })
            .await;
        }
        for instance in [&one, &other] {
            instance.knows(&id).await;
        }
        there.end(&id).await;
        let obeyed = until("it is obeyed", async || {
            !one.lets_in(&id).await && !other.lets_in(&id).await
        });
        let obeyed = obeyed.await;
        assert!(obeyed < BELIEVED_FOR, "{obeyed:?}");
        for _ in 0..100 {
            for instance in [&one, &other] {
                assert!(!instance.lets_in(&id).await, "demoted: {is_demoted}");
                assert!(instance.lets_in(&stays).await);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Whoever is told by the old server that it takes no writes any more reads nothing there either; and who has nothing to
/// write learns it soon.
#[tokio::test]
async fn an_old_primary_that_was_demoted_is_left_by_reads_as_well() {
    let pair = Pair::start().await;
    let maker = Maker::new();
    let (one, other) = (
        maker.instance(pair.settings()),
        maker.instance(pair.settings()),
    );
    let id = one.sign_in().await;
    for instance in [&one, &other] {
        instance.keeps().await;
        instance.knows(&id).await;
    }
    tokio::time::sleep(SETTLED).await;
    pair.fail_over(true);
    one.end(&id).await;
    let ended = Instant::now();
    while ended.elapsed() < Duration::from_secs(3) {
        assert!(!one.lets_in(&id).await, "it has ended here");
        let is_in_time = ended.elapsed() < BELIEVED_FOR + MARGIN;
        assert!(!other.lets_in(&id).await || is_in_time);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for instance in [&one, &other] {
        instance.keeps().await;
        assert!(!instance.lets_in(&id).await);
    }
}

/// Whoever has signed out where the address leads by now is not let in by what is read where it led before, however young
/// the connections are.
#[tokio::test]
async fn what_is_written_elsewhere_is_read_there() {
    let pair = Pair::start().await;
    let one = Maker::new().instance(pair.settings());
    let id = one.sign_in().await;
    let stays = one.sign_in().await;
    one.keeps().await;
    one.knows(&id).await;
    pair.fail_over(false);
    pair.close("portcullis-writes");
    one.end(&id).await;
    for _ in 0..100 {
        assert!(!one.lets_in(&id).await, "it has ended here");
        assert!(one.lets_in(&stays).await);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let clients = pair.old.ask(&["CLIENT", "LIST"]);
    assert!(!clients.contains("portcullis-reads"), "{clients}");
    one.keeps().await;
}

/// A connection that is made anew leads where the address leads by now: what is read over it is not kept before the line
/// that tells of changes leads there too.
#[tokio::test]
async fn a_connection_that_is_made_anew() {
    let pair = Pair::start().await;
    let maker = Maker::new();
    let one = maker.instance(pair.settings());
    let id = one.sign_in().await;
    one.keeps().await;
    one.knows(&id).await;
    tokio::time::sleep(SETTLED).await;
    pair.fail_over(false);
    let there = maker.instance(settings(pair.new.port));
    pair.close("portcullis-reads");
    until("it is read from the new server", async || {
        one.lets_in(&id).await;
        pair.new
            .ask(&["CLIENT", "LIST"])
            .matches("portcullis-reads")
            .count()
            == 2
    })
    .await;
    // The line may lead to the old one yet, and the new connection may not be in use yet.
    there.end(&id).await;
    let obeyed = until("it is obeyed", async || !one.lets_in(&id).await).await;
    assert!(obeyed < BELIEVED_FOR, "{obeyed:?}");
    for _ in 0..200 {
        assert!(!one.lets_in(&id).await);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    one.keeps().await;
    let clients = pair.old.ask(&["CLIENT", "LIST"]);
    assert!(!clients.contains("name=portcullis-"), "{clients}");
}

/// The network swallows what is told, and nothing else: neither end of the connection is told that it is of no use.
#[tokio::test]
async fn a_line_that_is_half_open() {
    let server = RedisServer::start();
    let relay = Relay::start(server.port).await.expect("a port");
    let maker = Maker::new();
    let behind = maker.instance(settings(relay.address.port()));
    let there = maker.instance(settings(server.port));
    for _ in 0..3 {
        let id = there.sign_in().await;
        behind.keeps().await;
        behind.knows(&id).await;
        relay.set(Weather::SilentFor(LINE));
        there.end(&id).await;
        let obeyed = until("it is obeyed", async || !behind.lets_in(&id).await).await;
        assert!(obeyed < BELIEVED_FOR + MARGIN, "{obeyed:?}");
        let stays = there.sign_in().await;
        for _ in 0..50 {
            assert!(!behind.lets_in(&id).await);
            assert!(behind.lets_in(&stays).await, "it is looked up");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(!behind.cache.is_trusted());
        relay.set(Weather::Fine);
    }
}
