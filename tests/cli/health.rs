//! `portcullis health`: who answers, what it says, and how it ends.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Done, Folder, Run};

/// Longer than the command waits, shorter than orchestrators do.
const PATIENCE: Duration = Duration::from_secs(5);

/// Somebody who answers one request with `answer`, and tells what was asked.
fn answering(answer: &'static str) -> (String, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    let asked = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut asked = vec![0; 1024];
        let length = stream.read(&mut asked).expect("a request");
        // The other side may have read enough.
        let _ = stream.write_all(answer.as_bytes());
        let _ = stream.shutdown(Shutdown::Both);
        String::from_utf8_lossy(&asked[..length]).into_owned()
    });
    (address, asked)
}

/// A configuration in which nothing stands but where to ask.
fn ask(admin_listen: &str, arguments: &[&str]) -> Done {
    let folder = Folder::new();
    let text = format!("[server]\nadmin_listen = \"{admin_listen}\"\n");
    let file = folder.write("portcullis.toml", &text);
    let asked = Run::new(["health"]).arg("--config").arg(file);
    arguments.iter().fold(asked, Run::arg).done()
}

#[test]
fn the_answer_decides() {
    #[rustfmt::skip] // the columns are the point
    let cases = [
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",  0, "answers 200"),
        ("HTTP/1.1 503 Service Unavailable\r\n\r\n",      1, "answers 503"),
        ("HTTP/1.1 204 No Content\r\n\r\n",               1, "answers 204"),
        ("HTTP/1.1 404 Not Found\r\n\r\n",                1, "answers 404"),
        ("SSH-2.0-OpenSSH_9.2\r\n",                       1, "something else listens there"),
        ("",                                              1, "something else listens there"),
    ];
    for (answer, code, told) in cases {
        let (address, asked) = answering(answer);
        let done = ask(&address, &[]);
        assert_eq!(done.code, code, "{answer:?}: {}", done.stderr);
        let said = if code == 0 {
            &done.stdout
        } else {
            &done.stderr
        };
        assert!(said.contains(told), "{answer:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        let asked = asked.join().expect("a request");
        assert!(
            asked.starts_with("GET /health/live HTTP/1.0\r\n"),
            "{asked}"
        );
    }
}

#[test]
fn readiness_is_asked_for_by_name() {
    let (address, asked) = answering("HTTP/1.1 200 OK\r\n\r\n");
    assert_eq!(ask(&address, &["--ready"]).code, 0);
    let asked = asked.join().expect("a request");
    assert!(asked.starts_with("GET /health/ready "), "{asked}");
}

#[test]
fn nobody_there_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    drop(listener);
    let folder = Folder::new();
    let socket = format!("unix:{}", folder.path().join("admin.sock").display());
    for listen in [address, socket] {
        let done = ask(&listen, &[]);
        assert_eq!(done.code, 1);
        let told = format!("error: {listen} does not answer: ");
        assert!(done.stderr.starts_with(&told), "{}", done.stderr);
    }
    let done = ask("127.0.0.1:0", &[]);
    assert_eq!(done.code, 1);
    assert!(done.stderr.contains("port 0"), "{}", done.stderr);
}

/// One that takes the connection and says nothing, and one that drips.
#[test]
fn who_keeps_silent_is_not_waited_for() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let dripping = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addresses = [&silent, &dripping].map(|of| of.local_addr().expect("an address"));
    thread::spawn(move || {
        let (mut stream, _) = dripping.accept().expect("a connection");
        while stream.write_all(b"H").is_ok() {
            thread::sleep(Duration::from_millis(100));
        }
    });
    let waiting = addresses.map(|address| thread::spawn(move || ask(&address.to_string(), &[])));
    let start = Instant::now();
    for done in waiting {
        let done = done.join().expect("an answer");
        assert_eq!(done.code, 1);
        assert!(done.stderr.contains("does not answer"), "{}", done.stderr);
    }
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
}

#[test]
fn a_unix_socket_is_asked_too() {
    let folder = Folder::new();
    let socket = folder.path().join("admin.sock");
    let listener = UnixListener::bind(&socket).expect("a socket");
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut asked = [0; 1024];
        let _ = stream.read(&mut asked);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
    });
    let done = ask(&format!("unix:{}", socket.display()), &[]);
    assert_eq!(done.code, 0, "{}", done.stderr);
}

/// A mistake in the configuration, and a secret that cannot be read, do not make a running service unhealthy.
#[test]
fn other_mistakes_do_not_matter() {
    let (address, _) = answering("HTTP/1.1 200 OK\r\n\r\n");
    let folder = Folder::new();
    let text = format!(
        "[server]\nadmin_listen = \"{address}\"\nlisten = \"here\"\n[oidc]\nclient_secret_file = \"/nowhere\"\nscoops = 1\n"
    );
    let file = folder.write("portcullis.toml", &text);
    let done = Run::new(["health"]).arg("--config").arg(file).done();
    assert_eq!((done.code, &*done.stderr), (0, ""));
}

/// Where the file says nothing, the environment does, as for the service itself.
#[test]
fn what_cannot_be_read_leaves_the_environment() {
    let folder = Folder::new();
    let broken = folder.write("portcullis.toml", "[server\n");
    let missing = folder.path().join("nothing.toml");
    for file in [broken, missing] {
        let (address, _) = answering("HTTP/1.1 200 OK\r\n\r\n");
        let done = Run::new(["health"])
            .arg("--config")
            .arg(&file)
            .env("PORTCULLIS__SERVER__ADMIN_LISTEN", &address)
            .done();
        assert_eq!(done.code, 0, "{}", done.stderr);
        let told = format!("warning: {}: ", file.display());
        assert!(done.stderr.starts_with(&told), "{}", done.stderr);
    }
}

struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The service itself, whose provider is down.
#[test]
fn the_service_is_healthy() {
    let folder = Folder::new();
    folder.write("secret", "hunter2\n");
    let socket = |name: &str| format!("unix:{}", folder.path().join(name).display());
    let text = format!(
        r#"
[server]
listen = "{}"
portal_listen = "{}"
admin_listen = "{}"
public_url = "https://auth.example.net"
[oidc]
issuer = "https://127.0.0.1:9"
client_id = "portcullis"
client_secret_file = "secret"
[session]
store = "memory:"
[services.app]
host = "app.example.net"
policy = "authenticated"
"#,
        socket("verify.sock"),
        socket("portal.sock"),
        socket("admin.sock")
    );
    let file = folder.write("portcullis.toml", &text);
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command
        .env_clear()
        .args(["serve", "--config"])
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let _service = Service(command.spawn().expect("the binary runs"));
    for arguments in [["health"].as_slice(), &["health", "--ready"]] {
        let start = Instant::now();
        loop {
            let done = Run::new(arguments).arg("--config").arg(&file).done();
            if done.code == 0 {
                break;
            }
            assert!(start.elapsed() < PATIENCE * 2, "{}", done.stderr);
            thread::sleep(Duration::from_millis(20));
        }
    }
}
