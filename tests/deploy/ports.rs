//! Hosts with a port of their own beside whole domains: at each port the proxies serve what a decision there means, and
//! nothing else. A real nginx and a real Caddy say which app they would ask, and whether they ask Portcullis first.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::snippets::{filled_in, nginx_file};
use crate::support::{output, tool};

/// The port of the portal, and a further one that one of the two services names.
#[derive(Clone, Copy)]
struct Ports {
    portal: u16,
    further: u16,
}

impl Ports {
    fn free() -> Self {
        // Both are held until both are known.
        let held = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
        let [portal, further] = held.map(|held| held.local_addr().expect("an address").port());
        Self { portal, further }
    }
}

/// An app beside a whole domain. One of them names the further port.
#[derive(Clone, Copy)]
struct Case {
    films_named: bool,
    films: &'static str,
    rest: &'static str,
    /// Whether nobody asks about the domain.
    open: bool,
}

const CASES: [Case; 4] = [
    Case {
        films_named: true,
        films: "policy = \"admins\"",
        rest: "posture = \"passthrough\"",
        open: true,
    },
    Case {
        films_named: false,
        films: "policy = \"admins\"",
        rest: "posture = \"passthrough\"",
        open: true,
    },
    Case {
        films_named: true,
        films: "policy = \"bypass\"",
        rest: "policy = \"admins\"",
        open: false,
    },
    Case {
        films_named: false,
        films: "policy = \"bypass\"",
        rest: "policy = \"admins\"",
        open: false,
    },
];

impl Case {
    fn configuration(self, ports: Ports) -> String {
        let further = format!(":{}", ports.further);
        let (films, rest) = if self.films_named {
            (further.as_str(), "")
        } else {
            ("", further.as_str())
        };
        format!(
            r#"
[server]
public_url = "http://auth.example.test:{}"
danger_allow_http = true
dialects = ["forward-auth", "nginx"]
[oidc]
issuer = "https://id.example.test"
client_id = "portcullis"
[session]
store = "memory:"
[policies]
admins = {{ allowed_groups = ["admins"] }}
[services.films]
host = "films.example.test{films}"
{}
[services.rest]
host = "*.example.test{rest}"
{}
"#,
            ports.portal, self.films, self.rest
        )
    }

    /// What has to serve `host` there: nothing, or an app.
    fn expected(self, host: &str, further: bool) -> &'static str {
        let rest = if self.open {
            "app-rest"
        } else {
            "asked app-rest"
        };
        match host {
            "auth.example.test" if further => "",
            "auth.example.test" => "portal",
            "films.example.test" if further && !self.films_named => "",
            "films.example.test" => "asked app-films",
            _ if further && self.films_named => "",
            // Nobody would refuse it; where Portcullis is asked, it does.
            "id.example.test" if self.open => "",
            _ => rest,
        }
    }

    fn check(self, proxy: &str, ports: Ports) {
        for host in ["films", "auth", "id", "other"].map(|name| format!("{name}.example.test")) {
            for further in [false, true] {
                let port = if further { ports.further } else { ports.portal };
                // What a client writes behind the name is its own choice.
                let written = [
                    "",
                    &format!(":{}", ports.portal),
                    &format!(":{}", ports.further),
                ]
                .map(|port| format!("{host}{port}"));
                for written in written {
                    assert_eq!(
                        served(port, &written),
                        self.expected(&host, further),
                        "{proxy}: {written} at {}, {}",
                        if further {
                            "the further port"
                        } else {
                            "the portal's port"
                        },
                        self.configuration(ports)
                    );
                }
            }
        }
    }
}

/// What answers `host` at `port`; empty where nothing does.
fn served(port: u16, host: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = Vec::new();
    // One that is refused may be cut off.
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    body.to_owned()
}

/// A program that has to be stopped by a command.
struct Running(Command);

impl Drop for Running {
    fn drop(&mut self) {
        // A test that fails has said what matters.
        let _ = self.0.stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

#[test]
fn nginx_serves_at_each_port_what_is_decided_there() {
    let Some(program) = tool("nginx") else {
        return;
    };
    for case in CASES {
        let (ports, folder) = (Ports::free(), TempDir::new().expect("a folder"));
        let printed = filled_in("nginx", &case.configuration(ports), folder.path());
        let answering = |line: &str| match line.trim().strip_prefix("proxy_pass http://") {
            Some(app) if app.starts_with('$') => {
                format!("return 200 \"$asked{}\";\n", app.trim_end_matches(';'))
            }
            Some("portcullis_portal;") => "return 200 portal;\n".to_owned(),
            _ if line.trim() == "satisfy all;" => "set $asked \"asked \";\n".to_owned(),
            _ => format!("{line}\n"),
        };
        let printed: String = printed.lines().map(answering).collect();
        let file = nginx_file(folder.path(), &printed);
        let command = || nginx_command(&program, folder.path(), &file);
        // Whoever started it is told once it listens.
        output(&mut command());
        let mut stop = command();
        stop.args(["-s", "stop"]);
        let _running = Running(stop);
        case.check("nginx", ports);
    }
}

fn nginx_command(program: &PathBuf, folder: &Path, file: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg("-p").arg(folder).arg("-c").arg(file);
    command.arg("-e").arg(folder.join("error.log"));
    command
}

#[test]
fn caddy_serves_at_each_port_what_is_decided_there() {
    let Some(program) = tool("caddy") else {
        return;
    };
    for case in CASES {
        let (ports, folder) = (Ports::free(), TempDir::new().expect("a folder"));
        let printed = filled_in("caddy", &case.configuration(ports), folder.path());
        let admin = format!("unix/{}/admin.sock", folder.path().display());
        let file = folder.path().join("Caddyfile");
        let whole = format!("{{\n\tadmin {admin}\n}}\n{}", answering(&printed));
        fs::write(&file, whole).expect("a written file");
        let command = |word: &str| {
            let mut command = Command::new(&program);
            command.arg(word).env("HOME", folder.path());
            command
                .env("XDG_DATA_HOME", folder.path())
                .env("XDG_CONFIG_HOME", folder.path())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            command
        };
        let mut start = command("start");
        start
            .args(["--adapter", "caddyfile", "--config"])
            .arg(&file);
        // Whoever started it is told once it listens.
        let started = start.status().expect("the program runs");
        assert!(started.success(), "{}", answering(&printed));
        let mut stop = command("stop");
        stop.args(["--address", &admin]);
        let _running = Running(stop);
        case.check("Caddy", ports);
    }
}

/// The Caddyfile with sites that say what they are.
fn answering(printed: &str) -> String {
    let mut site = "";
    let mut text = String::new();
    for line in printed.lines() {
        if line.ends_with(" {") && !line.starts_with(['\t', '#']) {
            site = line;
        }
        let app = if site.contains("films") {
            "films"
        } else {
            "rest"
        };
        let answers = match line.trim() {
            "import portcullis" => "\tvars asked \"asked \"".to_owned(),
            said if said.starts_with("# reverse_proxy ") => {
                format!("\trespond \"{{vars.asked}}app-{app}\"")
            }
            said if said.starts_with("reverse_proxy ") => "\trespond portal".to_owned(),
            _ => line.to_owned(),
        };
        text.push_str(&answers);
        text.push('\n');
    }
    text
}
