//! A real `redis-server` that ends with the test: on a port and a socket of its own, empty, keeping nothing.
//!
//! Needs nothing of the other files here, since the tests within the crate use it too.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long it may take to start or to answer, on a machine that has much to do.
const LIMIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(10);

const SOCKET: &str = "redis.sock";

/// What all of them are told.
const COMMON: [&str; 10] = [
    "--save",
    "",
    "--appendonly",
    "no",
    "--daemonize",
    "no",
    "--bind",
    "127.0.0.1",
    "--unixsocketperm",
    "700",
];

/// How to start one. It always listens on its socket too, for [`RedisServer::ask`].
pub struct Plan<'a> {
    pub program: PathBuf,
    /// Given a folder and a port, its arguments.
    pub arguments: &'a dyn Fn(&Path, u16) -> Vec<String>,
    /// What it asks its administrator for.
    pub password: Option<&'a str>,
    /// The configuration of a sentinel, if it is to be one.
    pub sentinel: Option<String>,
}

impl Plan<'_> {
    /// One that listens on its port, without a password.
    pub fn plain() -> Self {
        Self {
            program: program(),
            arguments: &|_, port| vec!["--port".into(), port.to_string()],
            password: None,
            sentinel: None,
        }
    }
}

/// A server that is killed when this is dropped.
pub struct RedisServer {
    /// Where it keeps what it is given; goes with it.
    pub folder: TempDir,
    /// Where it is asked for over TCP; over TLS, where it speaks that.
    pub port: u16,
    program: PathBuf,
    arguments: Vec<String>,
    password: Option<String>,
    child: Option<Child>,
}

impl RedisServer {
    /// One that only listens on its socket and on a port, both without a password.
    pub fn start() -> Self {
        Self::start_as(&Plan::plain())
    }

    /// One with arguments of the caller's choice, made for a folder and a port.
    pub fn start_with(arguments: impl Fn(&Path, u16) -> Vec<String>) -> Self {
        Self::start_as(&Plan {
            arguments: &arguments,
            ..Plan::plain()
        })
    }

    /// One that follows a plan.
    pub fn start_as(plan: &Plan<'_>) -> Self {
        // Somebody else may take a free port before it is listened on; then another one is tried.
        let start = || {
            let (folder, port) = (tempfile::tempdir().expect("a folder"), free_port());
            let mut arguments = Vec::new();
            if let Some(text) = &plan.sentinel {
                let file = folder.path().join("sentinel.conf");
                std::fs::write(&file, text).expect("a file");
                arguments.extend([file.display().to_string(), "--sentinel".to_owned()]);
            }
            arguments.extend(COMMON.map(str::to_owned));
            let at = |name: &str| folder.path().join(name).display().to_string();
            arguments.extend(["--unixsocket".to_owned(), at(SOCKET)]);
            arguments.extend(["--dir".to_owned(), at("")]);
            arguments.extend((plan.arguments)(folder.path(), port));
            let mut server = Self {
                program: plan.program.clone(),
                arguments,
                folder,
                port,
                password: plan.password.map(str::to_owned),
                child: None,
            };
            server.try_run().then_some(server)
        };
        let started = (0..5).find_map(|_| start());
        started.expect("redis-server starts")
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join(SOCKET)
    }

    /// Where it listens, for `session.store`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Starts it again where it was, empty.
    pub fn restart(&mut self) {
        self.kill();
        assert!(self.try_run(), "redis-server does not start again");
    }

    /// Ends it at once, as `kill -9` does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself; that is as good.
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = std::fs::remove_file(self.socket());
    }

    /// Stops it in the middle of whatever it does; connections to it stay open.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// What it says to a command of its administrator, in the words of `redis-cli`.
    pub fn ask(&self, words: &[&str]) -> String {
        self.try_ask(words).expect("redis-cli")
    }

    fn try_ask(&self, words: &[&str]) -> io::Result<String> {
        let output = Command::new("redis-cli")
            .arg("-s")
            .arg(self.socket())
            .args(words)
            .envs(
                self.password
                    .iter()
                    .map(|password| ("REDISCLI_AUTH", password)),
            )
            .stdin(Stdio::null())
            .output()?;
        Ok(String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned())
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it runs");
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a process"), signal).expect("it runs");
    }

    /// Whether it runs, and answers.
    fn try_run(&mut self) -> bool {
        let log = std::fs::File::create(self.folder.path().join("log")).expect("a file");
        // The kernel ends it when the test's thread goes, even if nothing of ours gets to run again.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server and setpriv: `make tools` installs what is not here");
        self.child = Some(child);
        let start = Instant::now();
        while start.elapsed() < LIMIT {
            let ended = self.child.as_mut().map(Child::try_wait);
            if !matches!(ended, Some(Ok(None))) {
                return false;
            }
            if self.try_ask(&["PING"]).is_ok_and(|answer| answer == "PONG") {
                return true;
            }
            std::thread::sleep(POLL);
        }
        false
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The one that `make tools` installs, else one on the search path.
pub fn program() -> PathBuf {
    installed("redis-server").unwrap_or_else(|| PathBuf::from("redis-server"))
}

/// A Valkey, where `make tools` has installed one.
pub fn valkey() -> Option<PathBuf> {
    installed("valkey-server")
}

fn installed(name: &str) -> Option<PathBuf> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/bin");
    Some(file.join(name)).filter(|file| file.is_file())
}

/// A port that nobody listens on now: below those that the system takes for outgoing connections, one of which might
/// take it while its server is down.
pub fn free_port() -> u16 {
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 8_000;
    // Whatever runs at once begins elsewhere.
    let random = RandomState::new().hash_one(std::process::id()) % u64::from(COUNT);
    let random = u16::try_from(random).expect("below the count");
    let mut ports = (0..COUNT).map(|step| FIRST + (random + step) % COUNT);
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    ports.find(is_free).expect("one is free")
}
