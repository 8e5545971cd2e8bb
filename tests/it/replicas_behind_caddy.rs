//! Two instances behind a real Caddy that is set up as docs/replicas.md says: nobody notices that one of them stops.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::Client;
use tokio::net::{TcpListener, TcpStream};

use crate::redis::Shared;
use crate::replicas::until;
use crate::support::app::TestApp;
use crate::support::browser::Browser;
use crate::support::redis_server::free_port;

const HOST: &str = "films.example.net";
const HOSTS: [Ipv4Addr; 2] = [Ipv4Addr::new(127, 0, 0, 11), Ipv4Addr::new(127, 0, 0, 12)];

/// How long it is asked while one of them stops: longer than that takes.
const WATCHED_FOR: Duration = Duration::from_secs(6);

/// The Caddy that `make tools` installs. Where it is not there, this is passed over, unless `PORTCULLIS_TOOLS=required`.
fn caddy() -> Option<PathBuf> {
    let caddy = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/bin/caddy");
    let required = std::env::var_os("PORTCULLIS_TOOLS").is_some_and(|value| value == "required");
    assert!(
        caddy.is_file() || !required,
        "no Caddy: `make tools` installs it"
    );
    caddy.is_file().then_some(caddy)
}

/// The snippet `(replicas)` of the page.
fn documented() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/replicas.md");
    let page = fs::read_to_string(page).expect("the page");
    let lines = page.lines().skip_while(|line| *line != "(replicas) {");
    let mut snippet: Vec<&str> = lines.take_while(|line| *line != "}").collect();
    snippet.push("}");
    assert!(snippet.len() > 5, "{snippet:?}");
    snippet.join("\n")
}

/// Ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; that is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Has an address of this machine stand for one of an instance: all of them have the same ports, as on machines of their
/// own.
async fn lead(from: (Ipv4Addr, u16), to: SocketAddr) {
    let listener = TcpListener::bind(from).await.expect("a free port");
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            tokio::spawn(async move {
                if let Ok(mut far) = TcpStream::connect(to).await {
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                }
            });
        }
    });
}

/// Runs Caddy in front of both, and gives back the port where it is asked.
async fn start(caddy: &Path, folder: &Path, apps: [&TestApp; 2]) -> (Running, u16) {
    let (port, verify, admin) = (free_port(), free_port(), free_port());
    for (host, app) in HOSTS.into_iter().zip(apps) {
        lead((host, verify), app.verify.address()).await;
        lead((host, admin), app.admin.address()).await;
    }
    let snippet = documented();
    assert!(snippet.contains("health_port 9193"));
    let snippet = snippet.replace("health_port 9193", &format!("health_port {admin}"));
    let [one, other] = HOSTS;
    let text = format!(
        "{{
            admin off
            auto_https off
        }}
        {snippet}
        http://{HOST}:{port} {{
            forward_auth {one}:{verify} {other}:{verify} {{
                import replicas
                uri /verify?
                header_up X-Forwarded-Proto https
                header_up Portcullis-Copy \"Remote-User Remote-Name Remote-Email Remote-Groups\"
                copy_headers Remote-User Remote-Name Remote-Email Remote-Groups
            }}
            respond \"for {{http.request.header.Remote-User}}\"
        }}"
    );
    let file = folder.join("Caddyfile");
    fs::write(&file, text).expect("a file");
    let log = fs::File::create(folder.join("log")).expect("a file");
    // The kernel ends it when the test's thread goes, even if nothing of ours gets to run again.
    let running = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--"])
        .arg(caddy)
        .args(["run", "--adapter", "caddyfile", "--config"])
        .arg(&file)
        .env("XDG_CONFIG_HOME", folder)
        .env("XDG_DATA_HOME", folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("Caddy runs");
    until("Caddy listens", async || {
        TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .await
            .is_ok()
    })
    .await;
    (Running(running), port)
}

#[actix_web::test]
async fn nobody_notices_that_one_stops() {
    let Some(caddy) = caddy() else {
        return;
    };
    let shared = Shared::start();
    let mut one = shared.spawn().await;
    let other = one.beside(|raw| shared.configure_patiently(raw));
    let cookie = {
        let mut browser = Browser::new(&one);
        browser.navigate(&format!("https://{HOST}/")).await;
        browser.cookie_header(HOST)
    };
    let folder = tempfile::tempdir().expect("a folder");
    let (_running, port) = start(&caddy, folder.path(), [&one, &other]).await;
    let client = Client::builder()
        .no_proxy()
        .resolve(HOST, SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
        .build()
        .expect("a client");
    let ask = async || {
        let asked = client
            .get(format!("http://{HOST}:{port}/"))
            // Without the port, which stands for none of the services.
            .header("host", HOST)
            .header("cookie", &cookie);
        let answer = asked.send().await.expect("an answer");
        let status = answer.status().as_u16();
        (status, answer.text().await.expect("a body"))
    };
    let expected = (200, "for ada".to_owned());
    until("both are ready", async || ask().await.0 != 503).await;
    assert_eq!(ask().await, expected);
    one.tell_to_stop();
    let told = Instant::now();
    let mut asked = 0;
    while told.elapsed() < WATCHED_FOR {
        assert_eq!(ask().await, expected, "after {:?}", told.elapsed());
        asked += 1;
    }
    assert!(asked > 100, "{asked}");
    one.has_stopped().await;
    assert_eq!(ask().await, expected);
}
