//! One column: a proxy with what `portcullis snippet` prints for it, the service, and an app behind all hosts.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use hyper::Request;
use hyper::header::HOST;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::RwLock;

use crate::column::{COLUMNS, Column, Program, Reach};
use crate::configured;
use crate::kit::browser::Browser;
use crate::kit::child::Running;
use crate::kit::gate::{self, Gate};
use crate::kit::page::Page;
use crate::kit::provider::{self, write_secret};
use crate::kit::raw::{RawAnswer, RawClient};
use crate::kit::upstream::{Seen, Upstream};
use crate::kit::wire::{Content, Protocol, Wire, nothing};
use crate::kit::{Failure, Result};
use crate::rules::{KEY, PORTAL, PROXY_SECRET, before, rules};
use crate::world::World;

pub struct Stack {
    pub column: &'static Column,
    pub program: Program,
    pub https_port: u16,
    pub app: Upstream,
    /// The service. Whoever stops it has it alone, and starts it again.
    pub gate: RwLock<Gate>,
    /// Where its files are, and the proxy's.
    pub folder: PathBuf,
    world: &'static World,
    ports: gate::Ports,
    proxy: Running,
    sessions: Mutex<Sessions>,
}

/// The cookies of users at hosts.
type Sessions = HashMap<(&'static str, &'static str), String>;

/// The program under test.
pub fn program() -> &'static std::path::Path {
    std::path::Path::new(env!("CARGO_BIN_EXE_portcullis"))
}

impl Stack {
    /// That of this column; started by whoever asks first.
    ///
    /// # Errors
    ///
    /// When a part does not start, with what it said.
    pub fn of(number: usize) -> Result<&'static Self> {
        type Started = OnceLock<std::result::Result<Stack, String>>;
        static STACKS: [Started; COLUMNS.len()] = [const { OnceLock::new() }; COLUMNS.len()];
        let stack = STACKS[number].get_or_init(|| {
            let world = World::get().map_err(|cause| cause.to_string())?;
            let runtime = tokio::runtime::Runtime::new().map_err(|cause| cause.to_string())?;
            runtime
                .block_on(Self::start(number, world))
                .map_err(|cause| cause.to_string())
        });
        stack.as_ref().map_err(Failure::new)
    }

    async fn start(number: usize, world: &'static World) -> Result<Self> {
        let column = &COLUMNS[number];
        let folder = world.folder(&format!("column-{number}"))?;
        for (name, secret) in [("key", KEY), ("proxy_secret", PROXY_SECRET)] {
            write_secret(&folder.join(name), secret).map_err(Failure::of(name))?;
        }
        let ports = gate::Ports::free();
        let https_port = world.https_ports[number];
        let app = Upstream::start("app")?;
        let gate = start_gate(world, column, &folder, ports, https_port).await?;
        // The proxy's was printed at another time.
        let text = std::fs::read_to_string(&gate.configuration).map_err(Failure::of("rules"))?;
        let printed_for = folder.join("before.toml");
        std::fs::write(&printed_for, before(&text)).map_err(Failure::of("rules"))?;
        let places = configured::Places {
            folder: &folder,
            configuration: &printed_for,
            https_port,
            app_port: app.port,
            world,
        };
        let proxy = configured::start(column.program, &places).await?;
        Ok(Self {
            column,
            program: column.program,
            https_port,
            app,
            gate: RwLock::new(gate),
            folder,
            world,
            ports,
            proxy,
            sessions: Mutex::default(),
        })
    }

    /// Starts the service anew, with what it knew.
    ///
    /// # Errors
    ///
    /// When it does not start, with what it said.
    pub async fn start_gate(&self) -> Result<Gate> {
        start_gate(
            self.world,
            self.column,
            &self.folder,
            self.ports,
            self.https_port,
        )
        .await
    }

    /// Waits until a line of the service's log is the one: it is written a little later.
    pub async fn wait_for_log(&self, is_it: impl Fn(&str) -> bool) {
        let file = self.folder.join("portcullis.log");
        let looking = async {
            loop {
                let log = std::fs::read_to_string(&file).unwrap_or_default();
                if log.lines().any(&is_it) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let found = tokio::time::timeout(Duration::from_secs(10), looking).await;
        found.expect("such a line");
    }

    pub fn proxy_output(&self) -> String {
        self.proxy.output()
    }

    /// `https://host:port/path`, the way a browser asks for it.
    pub fn url(&self, host: &str, path: &str) -> String {
        format!("https://{host}:{}{path}", self.https_port)
    }

    /// Host and port, as a browser sends them.
    pub fn authority(&self, host: &str) -> String {
        format!("{host}:{}", self.https_port)
    }

    pub fn root(&self) -> &[u8] {
        &self.world.root
    }

    /// A browser with an empty cookie jar.
    pub fn browser(&self) -> Browser {
        Browser::new(self.root()).unwrap()
    }

    /// A browser in which `user` has signed in and stands at `host`.
    pub async fn signed_in(&self, user: &str, host: &str) -> Browser {
        let browser = self.browser();
        let page = self.sign_in(&browser, &self.url(host, "/"), user).await;
        assert_eq!(page.host(), host, "{}", page.way());
        browser
    }

    /// Goes to `url` and signs in on the way.
    ///
    /// A provider that a busy machine kept from answering in time is said by 503, and no case is about that: whoever
    /// sees it tries again, as the page asks for. What it said is printed.
    #[expect(clippy::print_stderr, reason = "whoever runs the tests shall see it")]
    pub async fn sign_in(&self, browser: &Browser, url: &str, user: &str) -> Page {
        let page = browser.sign_in(url, user).await.unwrap();
        if page.status != 503 {
            return page;
        }
        eprintln!("{}: tried again after\n{}", self.column.name, page.way());
        browser.sign_in(url, user).await.unwrap()
    }

    /// A browser with a session of `user` at `host`, which cases share: none of them ends it.
    pub async fn as_user(&self, user: &'static str, host: &'static str) -> Browser {
        let name = "__Host-portcullis";
        let url = self.url(host, "/");
        let known = |sessions: &Sessions| sessions.get(&(user, host)).cloned();
        let value = known(&self.sessions.lock().unwrap());
        let value = if let Some(value) = value {
            value
        } else {
            let browser = self.signed_in(user, host).await;
            let value = browser.cookie(&url, name).expect("signed in");
            let mut sessions = self.sessions.lock().unwrap();
            sessions.insert((user, host), value.clone());
            value
        };
        let browser = self.browser();
        let line = format!("{name}={value}; Secure; Path=/");
        browser.store_cookie(&url, &line).unwrap();
        browser
    }

    /// The cookie of `host`, as a header's value.
    pub fn cookie(&self, browser: &Browser, host: &str) -> String {
        let name = "__Host-portcullis";
        let value = browser.cookie(&self.url(host, "/"), name);
        format!("{name}={}", value.expect("signed in"))
    }

    /// Sends a head of exactly these lines, and what follows it, on a connection of its own.
    pub async fn raw(&self, server: &str, method: &str, target: &[u8], lines: &str) -> RawAnswer {
        let client = RawClient::new(self.root()).unwrap();
        let sent = client.send_lines(self.https_port, server, method, target, lines);
        sent.await.unwrap()
    }

    /// The same for `host` with `lines` more, and without a further request on the connection.
    pub async fn raw_at(&self, host: &str, method: &str, target: &str, lines: &str) -> RawAnswer {
        let host_line = self.authority(host);
        let lines = format!("Host: {host_line}\r\nConnection: close\r\n{lines}");
        self.raw(host, method, target.as_bytes(), &lines).await
    }

    /// Asks the service itself, as the proxy would, and reads to the end: at the listener for questions, or the portal's.
    pub async fn ask_service(&self, portal: bool, head: &str) -> String {
        let (socket, port) = if portal {
            ("portal.sock", self.ports.portal)
        } else {
            ("verify.sock", self.ports.verify)
        };
        match self.column.reach {
            Reach::Address => {
                let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                exchanged(stream, head).await
            }
            Reach::Socket => {
                let stream = UnixStream::connect(self.folder.join(socket)).await.unwrap();
                exchanged(stream, head).await
            }
        }
    }

    pub async fn wire(&self, host: &str, protocol: Protocol) -> Wire {
        let connecting = Wire::connect(self.root(), self.https_port, host, protocol);
        connecting.await.unwrap()
    }

    /// A script's GET of `path` for a [`Wire`], with these headers beside.
    pub fn request(
        &self,
        protocol: Protocol,
        host: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Request<Content> {
        let mut request = Request::get(match protocol {
            Protocol::Http1 => path.to_owned(),
            Protocol::Http2 => self.url(host, path),
        });
        if protocol == Protocol::Http1 {
            request = request.header(HOST, self.authority(host));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request
            .header("sec-fetch-mode", "cors")
            .header("sec-fetch-site", "same-origin")
            .header("sec-fetch-dest", "empty")
            .body(nothing())
            .unwrap()
    }

    /// What the app was asked for `mark`, which stands in one URL and nowhere else.
    pub fn reached(&self, mark: &str) -> Vec<Seen> {
        self.app.requests_with(mark)
    }

    /// What the app was asked when it gave this answer.
    pub fn seen(page: &Page) -> Seen {
        assert_eq!(page.status, 200, "{}", page.body);
        page.seen().expect("the app's own answer")
    }
}

async fn exchanged(mut stream: impl AsyncRead + AsyncWrite + Unpin, head: &str) -> String {
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

async fn start_gate(
    world: &World,
    column: &Column,
    folder: &std::path::Path,
    ports: gate::Ports,
    https_port: u16,
) -> Result<Gate> {
    let listeners = match column.reach {
        Reach::Address => String::new(),
        Reach::Socket => format!(
            "listen = \"unix:{folder}/verify.sock\"\nportal_listen = \"unix:{folder}/portal.sock\"",
            folder = folder.display()
        ),
    };
    // Browsers come from other addresses of this machine, which are no proxies.
    let server = format!(
        "{listeners}\ndialects = [\"forward-auth\", \"nginx\", \"envoy\"]\ntrusted_proxies = [\"127.0.0.1/32\"]\n\
         proxy_secret_file = \"{}/proxy_secret\"",
        folder.display()
    );
    let settings = gate::Settings {
        ports,
        public_url: &format!("https://{PORTAL}:{https_port}"),
        issuer: &world.issuer,
        client_id: provider::CLIENT_ID,
        client_secret_file: &world.provider.client_secret_file,
        ca_file: &world.root_file,
        log_level: "info",
        server: &server,
        session: "",
        rules: &rules(folder),
    };
    Gate::start(program(), folder, &settings).await
}
