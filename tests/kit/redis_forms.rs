//! Redis in its other forms, of real servers: a primary with replicas and sentinels, and a cluster.
//!
//! Needs `redis_server` beside it and nothing else, since the tests within the crate use it too.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::redis_server::{Plan, RedisServer, free_port, program};

/// How long servers may take to find one another, on a machine that has much to do.
const LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

/// The name under which the sentinels know the primary.
pub const NAME: &str = "mymaster";

/// After so much silence a sentinel takes a server for down.
pub const DOWN_AFTER: Duration = Duration::from_secs(1);
/// The same, among the nodes of a cluster.
pub const NODE_TIMEOUT: Duration = Duration::from_secs(2);

const LOCALHOST: &str = "127.0.0.1";

/// What all servers of a form have in common.
#[derive(Clone)]
pub struct Kind {
    pub program: PathBuf,
    pub tls: Option<Tls>,
    pub password: Option<&'static str>,
    /// That of the sentinels.
    pub sentinel_password: Option<&'static str>,
}

/// Files in PEM form, for servers at 127.0.0.1.
#[derive(Clone)]
pub struct Tls {
    pub authority: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Default for Kind {
    fn default() -> Self {
        Self {
            program: program(),
            tls: None,
            password: None,
            sentinel_password: None,
        }
    }
}

impl Kind {
    /// Where to listen, and how to talk to one another.
    fn arguments(&self, port: u16) -> Vec<String> {
        let mut words = match &self.tls {
            None => vec!["--port".to_owned(), port.to_string()],
            Some(tls) => {
                let file = |path: &Path| path.display().to_string();
                let words = [
                    ("--port", "0".to_owned()),
                    ("--tls-port", port.to_string()),
                    ("--tls-ca-cert-file", file(&tls.authority)),
                    ("--tls-cert-file", file(&tls.certificate)),
                    ("--tls-key-file", file(&tls.key)),
                    ("--tls-replication", "yes".to_owned()),
                ];
                let words = words.map(|(name, value)| [name.to_owned(), value]);
                words.concat()
            }
        };
        for name in ["--requirepass", "--masterauth"] {
            words.extend(
                self.password
                    .map(|password| [name, password].map(str::to_owned))
                    .into_iter()
                    .flatten(),
            );
        }
        words
    }

    fn server(&self, further: &dyn Fn(&Path) -> Vec<String>) -> RedisServer {
        RedisServer::start_as(&Plan {
            program: self.program.clone(),
            arguments: &|folder, port| [self.arguments(port), further(folder)].concat(),
            password: self.password,
            sentinel: None,
        })
    }

    fn scheme(&self, form: &str) -> String {
        let secure = if self.tls.is_some() { "s" } else { "" };
        format!("redis{secure}+{form}://")
    }
}

/// A primary, two replicas and three sentinels.
pub struct Watched {
    /// The first is the primary at the start.
    pub servers: Vec<RedisServer>,
    pub sentinels: Vec<RedisServer>,
    kind: Kind,
}

impl Watched {
    pub fn start() -> Self {
        Self::start_as(&Kind::default())
    }

    pub fn start_as(kind: &Kind) -> Self {
        let at_once = [
            "--repl-diskless-sync-delay",
            "0",
            "--repl-ping-replica-period",
            "1",
        ];
        let at_once = || at_once.map(str::to_owned).to_vec();
        let primary = kind.server(&|_| at_once());
        let port = primary.port;
        let mut servers = vec![primary];
        for _ in 0..2 {
            let replica = ["--replicaof".to_owned(), format!("{LOCALHOST} {port}")];
            servers.push(kind.server(&|_| [at_once(), replica.to_vec()].concat()));
        }
        until("the replicas are there", || {
            servers[1..].iter().all(|replica| {
                replica
                    .ask(&["INFO", "replication"])
                    .contains("master_link_status:up")
            })
        });
        let sentinels = (0..3).map(|_| sentinel(kind, port)).collect();
        let watched = Self {
            servers,
            sentinels,
            kind: kind.clone(),
        };
        watched.until_known();
        watched
    }

    /// What to write into `session.store`.
    pub fn url(&self) -> String {
        let hosts = hosts(&self.sentinels);
        format!("{}{hosts}/{NAME}/0", self.kind.scheme("sentinel"))
    }

    /// The place of the primary among the servers, as a sentinel says: one that runs.
    pub fn primary(&self) -> usize {
        let named = self.sentinels.iter().find_map(|sentinel| {
            let answer = sentinel.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME]);
            answer.lines().nth(1)?.parse::<u16>().ok()
        });
        let port = named.expect("a sentinel answers");
        let place = self.servers.iter().position(|server| server.port == port);
        place.expect("one of the servers")
    }

    /// Waits until every sentinel knows the others and all replicas: before that, none can be chosen.
    pub fn until_known(&self) {
        let knows_all = |sentinel: &RedisServer| {
            let said = sentinel.ask(&["SENTINEL", "MASTER", NAME]);
            let lines: Vec<&str> = said.lines().collect();
            let fact = |name: &str| {
                let place = lines.iter().position(|line| *line == name)?;
                lines.get(place + 1).copied()
            };
            let count = |name| fact(name).and_then(|count| count.parse::<usize>().ok());
            fact("flags") == Some("master")
                && count("num-other-sentinels") == Some(self.sentinels.len() - 1)
                && count("num-slaves") >= Some(self.servers.len() - 1)
        };
        until("the sentinels know one another", || {
            self.sentinels.iter().all(knows_all)
        });
    }
}

fn sentinel(kind: &Kind, primary: u16) -> RedisServer {
    let down_after = DOWN_AFTER.as_millis();
    let auth = kind.password.map_or_else(String::new, |password| {
        format!("sentinel auth-pass {NAME} {password}\n")
    });
    let own = kind.sentinel_password.map_or_else(String::new, |password| {
        format!("requirepass {password}\nsentinel sentinel-pass {password}\n")
    });
    let text = format!(
        "sentinel monitor {NAME} {LOCALHOST} {primary} 2
sentinel down-after-milliseconds {NAME} {down_after}
sentinel failover-timeout {NAME} 6000
{auth}{own}"
    );
    let without = Kind {
        password: None,
        ..kind.clone()
    };
    RedisServer::start_as(&Plan {
        program: kind.program.clone(),
        arguments: &|_, port| without.arguments(port),
        password: kind.sentinel_password,
        sentinel: Some(text),
    })
}

/// A Redis Cluster.
pub struct Cluster {
    /// Its primaries at the start, then one replica of the first of them, if there is one.
    pub nodes: Vec<RedisServer>,
    kind: Kind,
}

const SLOTS: usize = 16_384;

impl Cluster {
    /// Three primaries.
    pub fn start() -> Self {
        Self::start_as(&Kind::default(), 3, false)
    }

    /// Primaries with a third each of the slots, and perhaps a replica of the first.
    pub fn start_as(kind: &Kind, primaries: usize, has_replica: bool) -> Self {
        let count = primaries + usize::from(has_replica);
        let cluster = Self {
            nodes: (0..count).map(|_| member(kind)).collect(),
            kind: kind.clone(),
        };
        cluster.form(primaries);
        cluster
    }

    fn form(&self, primaries: usize) {
        for (place, node) in self.nodes[..primaries].iter().enumerate() {
            let (first, next) = (SLOTS * place / primaries, SLOTS * (place + 1) / primaries);
            let (first, last) = (first.to_string(), (next - 1).to_string());
            assert_eq!(node.ask(&["CLUSTER", "ADDSLOTSRANGE", &first, &last]), "OK");
            let epoch = (place + 1).to_string();
            assert_eq!(node.ask(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]), "OK");
        }
        for node in &self.nodes[1..] {
            self.meet(node);
        }
        self.until_known();
        for replica in &self.nodes[primaries..] {
            let id = self.nodes[0].ask(&["CLUSTER", "MYID"]);
            assert_eq!(replica.ask(&["CLUSTER", "REPLICATE", &id]), "OK");
            until("the replica is there", || {
                replica
                    .ask(&["INFO", "replication"])
                    .contains("master_link_status:up")
            });
        }
        if self.nodes.len() == primaries {
            // Nobody is to be succeeded, so nobody on a busy machine need be taken for dead either.
            for node in &self.nodes {
                assert_eq!(
                    node.ask(&["CONFIG", "SET", "cluster-node-timeout", "30000"]),
                    "OK"
                );
            }
        }
        self.until_whole();
    }

    fn meet(&self, node: &RedisServer) {
        let met = &self.nodes[0];
        let bus = met.ask(&["CONFIG", "GET", "cluster-port"]);
        let bus = bus.lines().nth(1).expect("a port");
        let port = met.port.to_string();
        assert_eq!(node.ask(&["CLUSTER", "MEET", LOCALHOST, &port, bus]), "OK");
    }

    /// Has another node join, which has no slots.
    pub fn grow(&mut self) {
        let node = member(&self.kind);
        self.meet(&node);
        self.nodes.push(node);
        self.until_known();
        self.until_whole();
    }

    fn until_known(&self) {
        let known = |node: &RedisServer| {
            let said = node.ask(&["CLUSTER", "NODES"]);
            let others = said.lines().filter(|line| !line.contains("handshake"));
            others.count() == self.nodes.len()
        };
        until("the nodes know one another", || {
            self.nodes.iter().all(known)
        });
    }

    /// Waits until all nodes that run find the cluster in order, and agree on who has which slots: one that finds it in
    /// order may not have heard of all slots yet, and refuses what it is asked for in those.
    pub fn until_whole(&self) {
        let whole = [
            "cluster_state:ok",
            &format!("cluster_slots_assigned:{SLOTS}"),
        ];
        until("the cluster is whole", || {
            let said = self.nodes.iter().map(|node| node.ask(&["CLUSTER", "INFO"]));
            let mut said = said.filter(|said| !said.is_empty());
            said.all(|said| whole.iter().all(|fact| said.contains(fact)))
        });
        until("the nodes agree", || {
            let mut views = self.nodes.iter().filter_map(owners);
            let first = views.next();
            views.all(|view| Some(view) == first)
        });
    }

    /// What to write into `session.store`.
    pub fn url(&self) -> String {
        format!("{}{}", self.kind.scheme("cluster"), hosts(&self.nodes))
    }

    /// Moves a slot with all that is in it from one node to another, in the steps in which `redis-cli` does it; `between`
    /// is called when half of the keys are there.
    pub fn migrate(&self, slot: u16, from: usize, to: usize, between: impl FnOnce()) {
        self.open_slot(slot, from, to);
        let keys = self.keys_in(slot, from);
        let (first, second) = keys.split_at(keys.len() / 2);
        self.carry(first, from, to);
        between();
        self.carry(second, from, to);
        let target = self.id(to);
        for place in [to, from] {
            self.set_slot(place, slot, &["NODE", &target]);
        }
    }

    /// The first half of that: all that is in the slot is at the other node, and the slot is not yet.
    pub fn begin_to_migrate(&self, slot: u16, from: usize, to: usize) {
        self.open_slot(slot, from, to);
        self.carry(&self.keys_in(slot, from), from, to);
    }

    fn open_slot(&self, slot: u16, from: usize, to: usize) {
        self.set_slot(to, slot, &["IMPORTING", &self.id(from)]);
        self.set_slot(from, slot, &["MIGRATING", &self.id(to)]);
    }

    fn id(&self, place: usize) -> String {
        self.nodes[place].ask(&["CLUSTER", "MYID"])
    }

    fn set_slot(&self, place: usize, slot: u16, words: &[&str]) {
        let slot = slot.to_string();
        let words = [&["CLUSTER", "SETSLOT", &slot], words].concat();
        assert_eq!(self.nodes[place].ask(&words), "OK");
    }

    fn keys_in(&self, slot: u16, place: usize) -> Vec<String> {
        let slot = slot.to_string();
        let keys = self.nodes[place].ask(&["CLUSTER", "GETKEYSINSLOT", &slot, "1000"]);
        keys.lines().map(str::to_owned).collect()
    }

    fn carry(&self, keys: &[String], from: usize, to: usize) {
        if keys.is_empty() {
            return;
        }
        let port = self.nodes[to].port.to_string();
        let mut words = vec!["MIGRATE", LOCALHOST, &port, "", "0", "5000", "KEYS"];
        words.extend(keys.iter().map(String::as_str));
        let said = self.nodes[from].ask(&words);
        // Somebody may have deleted it meanwhile.
        assert!(matches!(said.as_str(), "OK" | "NOKEY"), "{said}");
    }
}

/// Which slots each primary has, as a node says; `None` from one that does not run.
fn owners(node: &RedisServer) -> Option<BTreeSet<String>> {
    let said = node.ask(&["CLUSTER", "NODES"]);
    let owner = |line: &str| {
        // Id, address, flags, primary, two times, epoch, link, and then the slots, those on their way in brackets.
        let words: Vec<&str> = line.split(' ').collect();
        let slots = words.get(8..)?.iter().filter(|word| !word.starts_with('['));
        let slots: Vec<&str> = slots.copied().collect();
        (!slots.is_empty()).then(|| format!("{} {}", words[0], slots.join(" ")))
    };
    (!said.is_empty()).then(|| said.lines().filter_map(owner).collect())
}

/// A node that may be one of a cluster.
fn member(kind: &Kind) -> RedisServer {
    kind.server(&|_| {
        let words = [
            ("--cluster-enabled", "yes".to_owned()),
            ("--cluster-port", free_port().to_string()),
            (
                "--cluster-node-timeout",
                NODE_TIMEOUT.as_millis().to_string(),
            ),
            ("--cluster-require-full-coverage", "no".to_owned()),
            ("--repl-diskless-sync-delay", "0".to_owned()),
        ];
        let mut words = words.map(|(name, value)| [name.to_owned(), value]).concat();
        if kind.tls.is_some() {
            words.extend(["--tls-cluster", "yes"].map(str::to_owned));
        }
        words
    })
}

fn hosts(servers: &[RedisServer]) -> String {
    let hosts = servers
        .iter()
        .map(|server| format!("{LOCALHOST}:{}", server.port));
    hosts.collect::<Vec<_>>().join(",")
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < LIMIT, "{what}: not within {LIMIT:?}");
        std::thread::sleep(POLL);
    }
}
