//! The process is gone within the time that is promised, whatever hangs.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use portcullis::startup::WHOLE_DRAIN;
use rustix::process::{Pid, Signal, kill_process};

use super::support::Folder;

/// How long a start and a look at the secret files may take on a machine that has much to do.
const PATIENCE: Duration = Duration::from_secs(30);

/// Takes a lease on a file (fcntl(2), `F_SETLEASE`, `F_WRLCK`) with another time of change, and says when somebody
/// else is waiting for it.
const HOLDER: &str = "
import fcntl, os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGIO])
with open(sys.argv[1], 'r+') as file:
    os.utime(sys.argv[1], (1, 1))
    fcntl.fcntl(file, 1024, 1)
    signal.sigwait([signal.SIGIO])
    sys.stdout.write('x')
    sys.stdout.flush()
    sys.stdin.read()
";

/// Killed when the test ends, however it does.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Service {
    /// How it ended, and how long after SIGTERM.
    fn stopped(&mut self) -> (ExitStatus, Duration) {
        let process = Pid::from_child(&self.0);
        kill_process(process, Signal::TERM).expect("it runs");
        let told = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().expect("a child") {
                return (status, told.elapsed());
            }
            let limit = WHOLE_DRAIN + Duration::from_secs(5);
            assert!(told.elapsed() < limit, "it does not stop");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn is_live(socket: &Path) -> Option<()> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    let request = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.starts_with("HTTP/1.1 200").then_some(())
}

/// A secret file that does not open holds a thread.
#[test]
fn a_secret_file_that_does_not_open_does_not_keep_it() {
    let folder = Folder::new();
    let at = |name: &str| folder.path().join(name);
    let key = folder.write("key", "hunter2\n");
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
[policies.media]
allowed_groups = [\"media\"]
[services.films]
host = \"films.example.net\"
posture = \"trusted_header\"
policy = \"media\"
[[services.films.upstream_headers]]
name = \"X-Api-Key\"
value_file = \"{}\"
",
        at("verify").display(),
        at("portal").display(),
        at("admin").display(),
        key.display(),
    );
    let file = folder.write("portcullis.toml", &text);
    let log = std::fs::File::create(at("log")).expect("a file");
    let errors = log.try_clone().expect("the same file");
    let service = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(["serve", "--config"])
        .arg(&file)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .spawn();
    let mut service = Service(service.expect("the binary runs"));
    let said = || std::fs::read_to_string(at("log")).expect("the log");
    until("it starts", || {
        let ended = service.0.try_wait().expect("a child");
        assert!(ended.is_none(), "{}", said());
        is_live(&at("admin"))
    });
    // Whoever opens it waits until the lease is given up, as with a file system that went away.
    let holder = Command::new("python3")
        .args(["-c", HOLDER])
        .arg(&key)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut holder = Service(holder.expect("Python"));
    let mut word = [0; 1];
    let told = holder.0.stdout.as_mut().expect("a pipe");
    told.read_exact(&mut word).expect("somebody opens the file");
    let (status, took) = service.stopped();
    assert_eq!(status.code(), Some(0), "{}", said());
    assert!(took < WHOLE_DRAIN, "{took:?}");
}
