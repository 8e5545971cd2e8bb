//! Few files may be open: the service takes fewer connections, says so, and goes on.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::support::Folder;

/// As few as an operator may come upon.
const FEW: &str = "64";

/// More connections than that.
const MANY: usize = 200;

/// How long a start, an answer or a recovery may take on a machine that has much to do.
const PATIENCE: Duration = Duration::from_secs(20);

/// Killed when the test ends, however it does.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The status of `/health/live`; nothing where nobody answers in time.
fn live(socket: &Path) -> Option<String> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    let request = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer.split(' ').nth(1)?.to_owned())
}

fn until_live(socket: &Path) {
    let begun = Instant::now();
    while live(socket).as_deref() != Some("200") {
        assert!(begun.elapsed() < PATIENCE, "{}", socket.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The processor time that a process has taken, in hundredths of a second.
fn processor_time(process: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("it runs");
    let (_, fields) = stat.rsplit_once(')').expect("its name");
    let time = fields.split_whitespace().skip(11).take(2);
    time.map(|ticks| ticks.parse::<u64>().expect("a number"))
        .sum()
}

/// A service with listeners at sockets of its own, where at most `files` may be open.
struct Scene {
    service: Service,
    folder: Folder,
}

impl Scene {
    fn start(files: &str) -> Self {
        let folder = Folder::new();
        let socket = |name: &str| folder.path().join(name);
        let [verify, portal, admin] = ["verify", "portal", "admin"].map(socket);
        let text = format!(
            "[server]
listen = \"unix:{}\"
portal_listen = \"unix:{}\"
admin_listen = \"unix:{}\"
control_socket = \"off\"
public_url = \"https://auth.example.net\"
[oidc]
issuer = \"https://id.example.net\"
client_id = \"portcullis\"
[session]
store = \"memory:\"
",
            verify.display(),
            portal.display(),
            admin.display(),
        );
        let file = folder.write("portcullis.toml", &text);
        let log = std::fs::File::create(socket("log")).expect("a file");
        let service = Command::new("sh")
            .args(["-c", "ulimit -n \"$0\" && exec \"$@\"", files])
            .arg(env!("CARGO_BIN_EXE_portcullis"))
            .args(["serve", "--config"])
            .arg(&file)
            .stdout(log)
            .stderr(Stdio::null())
            .spawn();
        let service = Service(service.expect("a shell"));
        until_live(&admin);
        Self { service, folder }
    }

    fn socket(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// More connections come than there may be. Meanwhile whoever looks after it gets through where `is_open`; afterwards
    /// everybody does.
    fn meets_a_crowd(&self, is_open: bool) {
        let [verify, portal, admin] = ["verify", "portal", "admin"].map(|name| self.socket(name));
        let crowd: Vec<UnixStream> = [&verify, &portal]
            .into_iter()
            .flat_map(|door| (0..MANY).map(move |_| UnixStream::connect(door).expect("it listens")))
            .collect();
        let (before, since) = (processor_time(self.service.0.id()), Instant::now());
        while since.elapsed() < Duration::from_secs(2) {
            if is_open {
                until_live(&admin);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let spent = Duration::from_millis(10 * (processor_time(self.service.0.id()) - before));
        if !is_open {
            // One that was open before may have a number beyond the limit.
            let open = open_files(self.service.0.id());
            assert!(
                open >= FEW.parse::<usize>().expect("a number"),
                "there are {open}"
            );
        }
        assert!(spent < since.elapsed() / 10, "{spent:?}");
        drop(crowd);
        for door in [&verify, &portal] {
            let begun = Instant::now();
            // There is nothing of that name there, which is an answer.
            while live(door).as_deref() != Some("404") {
                assert!(begun.elapsed() < PATIENCE, "{}", door.display());
            }
        }
        until_live(&admin);
    }
}

fn open_files(process: u32) -> usize {
    let files = std::fs::read_dir(format!("/proc/{process}/fd")).expect("it runs");
    files.count()
}

#[test]
fn more_connections_than_files_neither_stop_it_nor_keep_it_busy() {
    let scene = Scene::start(FEW);
    let said = std::fs::read_to_string(scene.socket("log")).expect("the log");
    assert!(said.contains("RLIMIT_NOFILE"), "{said}");
    scene.meets_a_crowd(true);
}

/// The limit falls while it runs, so that it takes more connections than there may be files.
#[test]
fn no_file_left_neither_stops_it_nor_keeps_it_busy() {
    let scene = Scene::start("4096");
    let process = scene.service.0.id();
    let set = Command::new("prlimit")
        .arg(format!("--pid={process}"))
        .arg(format!("--nofile={FEW}:{FEW}"))
        .status();
    assert!(set.expect("prlimit, of util-linux").success());
    scene.meets_a_crowd(false);
}
