//! Names that a proxy's configuration could read as something else: as a word or a pattern of its own, or not at all.
//! What is printed for them means them, as the proxies themselves say.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::Value;
use tempfile::TempDir;

use crate::snippets::{filled_in, nginx_file};
use crate::support::{Configuration, output, portcullis, texts, tool};

/// How many hosts are made up beside the ones below.
const RANDOM: usize = 60;

/// Words and values of nginx, Caddy, YAML and Traefik, and what is longer than nginx's tables.
fn hosts() -> Vec<String> {
    let words = "default include hostnames volatile import respond handle tls localhost server if on off true null yes \
                 no y n set return break map geo portcullis portcullis_portal _x.example.net -x.example.net \
                 x-.example.net 127.0.0.9 [2001:db8::1] xn--bcher-kva.example.net *.wild.example.net *.default.x";
    let mut hosts: Vec<String> = words.split(' ').map(str::to_owned).collect();
    let long = ["a", "b", "c"].map(|letter| letter.repeat(60)).join(".");
    hosts.push(format!("{long}.example.net"));
    let label = "[a-z_][a-z0-9_-]{0,11}";
    let made_up = format!(r"(\*\.)?{label}(\.{label}){{1,3}}");
    let made_up = proptest::string::string_regex(&made_up).expect("an expression");
    let mut runner = TestRunner::deterministic();
    hosts.extend((0..RANDOM).map(|number| {
        let host = made_up.new_tree(&mut runner).expect("a host").current();
        // Each is another, and none is taken for an encoded one.
        format!("{host}.x{number}.example.org").replace("xn--", "xn-")
    }));
    hosts
}

/// A service for each host, whose name is the host's number after whatever names may hold.
pub fn configuration() -> String {
    let mut text = r#"
[server]
public_url = "http://auth.example.net"
danger_allow_http = true
dialects = ["forward-auth", "nginx", "envoy"]
[oidc]
issuer = "https://id.example.net"
client_id = "portcullis"
[session]
store = "memory:"
[policies]
ask-a = { allowed_groups = ["a"] }
a-policy = { allowed_groups = ["a"] }
".-_" = { allowed_groups = ["a"] }
"#
    .to_owned();
    let headers = format!(
        "headers = [\"X-Auth-Request-Preferred-Username\", {{ name = \"X-{}\", claim = \"sub\" }}]",
        "long".repeat(18) + "-name"
    );
    let mut runner = TestRunner::deterministic();
    let begun = proptest::string::string_regex("[A-Za-z0-9_.-]{0,20}").expect("an expression");
    for (number, host) in hosts().iter().enumerate() {
        let name = begun.new_tree(&mut runner).expect("a name").current();
        let policy = if number % 7 == 0 {
            "from_proxy"
        } else {
            "a-policy"
        };
        writeln!(
            text,
            "[services.\"{name}{number}\"]\nhost = \"{host}\"\npolicy = \"{policy}\"\n{headers}"
        )
        .expect("a text takes all");
    }
    // As the second router of the first is called, in an older spelling.
    text + "[services.twin]\nhost = [\"twin.example.com\", \"*.twin.example.com\"]\npolicy = \"a-policy\"\n\
            [services.twin--2]\nhost = \"other.example.com\"\npolicy = \"a-policy\"\n"
}

/// Every host of the configuration, and the portal's.
fn expected() -> BTreeSet<String> {
    let more = [
        "auth.example.net",
        "twin.example.com",
        "*.twin.example.com",
        "other.example.com",
    ];
    hosts().into_iter().chain(more.map(str::to_owned)).collect()
}

#[test]
fn caddy_serves_each_host() {
    let Some(caddy) = tool("caddy") else {
        return;
    };
    let http = configuration();
    let https = http.replace("http://auth", "https://auth");
    let https = https.replace("danger_allow_http = true\n", "");
    for text in [http, https] {
        let adapted = adapted(&caddy, &text);
        let servers = &adapted["apps"]["http"]["servers"];
        let servers = servers.as_object().expect("servers").values();
        let routes = servers.flat_map(|server| server["routes"].as_array().expect("routes"));
        let found: BTreeSet<String> = routes
            .flat_map(|route| texts(&route["match"][0]["host"]))
            .map(str::to_owned)
            .collect();
        // Caddy takes the brackets off.
        let expected = expected().into_iter();
        let expected = expected.map(|host| host.replace(['[', ']'], ""));
        assert_eq!(found, expected.collect());
    }
}

/// What Caddy makes of what is printed, with an app behind each site, since one without anything is left out.
fn adapted(caddy: &Path, text: &str) -> Value {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("Caddyfile");
    let printed = filled_in("caddy", text, folder.path());
    fs::write(&file, printed.replace("# reverse_proxy", "reverse_proxy")).expect("a written file");
    let mut adapt = Command::new(caddy);
    adapt
        .args(["adapt", "--adapter", "caddyfile", "--config"])
        .arg(&file);
    let adapted = output(adapt.env("HOME", folder.path()));
    serde_json::from_slice(&adapted.stdout).expect("JSON")
}

#[test]
fn envoy_serves_each_host() {
    let folder = TempDir::new().expect("a folder");
    let printed = filled_in("envoy", &configuration(), folder.path());
    let read: Value = serde_saphyr::from_str(&printed).expect("YAML");
    let listener = &read["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0];
    let hosts = listener["typed_config"]["route_config"]["virtual_hosts"].as_array();
    let found: BTreeSet<String> = hosts
        .expect("virtual hosts")
        .iter()
        .flat_map(|host| texts(&host["domains"]))
        .map(str::to_owned)
        .collect();
    assert_eq!(found, expected());
}

/// No router or middleware has another's name.
#[test]
fn traefik_serves_each_host() {
    let folder = TempDir::new().expect("a folder");
    let printed = filled_in("traefik", &configuration(), folder.path());
    let read: Value = serde_saphyr::from_str(&printed).expect("YAML, with each key once");
    let routers = read["http"]["routers"].as_object().expect("routers");
    assert_eq!(routers.len(), expected().len(), "a router for each host");
    let hosts = routers.values().map(|router| {
        let rule = router["rule"].as_str().expect("a rule");
        let host = rule.split('`').nth(1).expect("a host");
        let host = host.replace(r"^.+\.", "*.").replace(r"\.", ".");
        host.trim_end_matches('$').to_owned()
    });
    assert_eq!(hosts.collect::<BTreeSet<_>>(), expected());
}

/// The nginx of one test.
struct Nginx {
    program: PathBuf,
    folder: TempDir,
    file: PathBuf,
}

impl Nginx {
    /// Starts it with what is printed, on a socket. It answers with the name of the app that it would ask.
    fn start(program: PathBuf) -> Self {
        let folder = TempDir::new().expect("a folder");
        let printed = filled_in("nginx", &configuration(), folder.path());
        let listen = format!("listen unix:{}/web.sock", folder.path().display());
        let printed = printed
            .replace("listen 80", &listen)
            .replace("satisfy all;", "return 200 $portcullis_app;");
        let file = nginx_file(folder.path(), &printed);
        let nginx = Self {
            program,
            folder,
            file,
        };
        // Whoever started it is told once it listens.
        output(&mut nginx.command());
        nginx
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg("-p")
            .arg(self.folder.path())
            .arg("-c")
            .arg(&self.file);
        command.arg("-e").arg(self.folder.path().join("error.log"));
        command
    }

    fn app_of(&self, host: &str) -> String {
        let socket = self.folder.path().join("web.sock");
        let mut stream = UnixStream::connect(socket).expect("it listens");
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream
            .read_to_string(&mut answer)
            .expect("an answer in text");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        body.to_owned()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // A test that fails has said what matters.
        let _ = self.command().args(["-s", "stop"]).status();
    }
}

#[test]
fn nginx_sends_each_host_to_its_app() {
    let Some(program) = tool("nginx") else {
        return;
    };
    let nginx = Nginx::start(program);
    for (number, host) in hosts().iter().enumerate() {
        let app = nginx.app_of(&host.replace('*', "below"));
        let own = app.strip_prefix("app-").expect(host);
        assert!(own.ends_with(&number.to_string()), "{host}: {app}");
    }
    for nobody in ["nobody.example.net", "x", "films.example.org", "xdefault"] {
        assert_eq!(nginx.app_of(nobody), "", "{nobody}");
    }
}

/// Every character that the path of a socket may have there.
#[test]
fn sockets_are_where_the_proxies_look() {
    const SOCKET: &str = "/run/a-b_c.d,e+f@g=h/X.sock";
    let text = configuration().replacen(
        "[server]",
        &format!("[server]\nlisten = \"unix:{SOCKET}\""),
        1,
    );
    let folder = TempDir::new().expect("a folder");
    if let Some(caddy) = tool("caddy") {
        let dialled = format!("\"dial\":\"unix/{SOCKET}\"");
        assert!(adapted(&caddy, &text).to_string().contains(&dialled));
    }
    let read: Value =
        serde_saphyr::from_str(&filled_in("envoy", &text, folder.path())).expect("YAML");
    let endpoint = &read["static_resources"]["clusters"][0]["load_assignment"]["endpoints"][0];
    let address = &endpoint["lb_endpoints"][0]["endpoint"]["address"];
    assert_eq!(address["pipe"]["path"], SOCKET);
    if let Some(nginx) = tool("nginx") {
        let printed = filled_in("nginx", &text, folder.path());
        assert!(printed.contains(&format!("    server unix:{SOCKET};\n")));
        let file = nginx_file(folder.path(), &printed);
        let mut trial = Command::new(nginx);
        trial
            .args(["-t", "-e", "stderr", "-p"])
            .arg(folder.path())
            .arg("-c")
            .arg(file);
        output(&mut trial);
    }
}

/// What would be read as something else is not printed, and said why.
#[test]
fn what_cannot_be_written_is_refused() {
    let listen =
        |listen: &str| configuration().replacen("[server]", &format!("[server]\n{listen}"), 1);
    let host = |host: &str| configuration().replacen("other.example.com", host, 1);
    let header = |name: &str| configuration().replace("X-long", &format!("X{name}long"));
    let cases = [
        (
            listen("listen = \"unix:/run/a b.sock\""),
            "server.listen: the path of this socket cannot be written",
        ),
        (
            listen("listen = \"unix:/run/{$HOME}\""),
            "server.listen: the path of this socket cannot be written",
        ),
        (
            listen("portal_listen = \"unix:/run/a;b\""),
            "server.portal_listen: the path of this socket",
        ),
        (
            listen("portal_listen = 'unix:/run/\"'"),
            "server.portal_listen: the path of this socket",
        ),
        (
            listen("portal_listen = 'unix:/run/\\n'"),
            "server.portal_listen: the path of this socket",
        ),
        (
            listen("portal_listen = \"unix:/run/ü\""),
            "server.portal_listen: the path of this socket",
        ),
        (
            listen("listen = \"[fe80::1%3]:9191\""),
            "server.listen: an address with a zone",
        ),
        (
            host("~.example.com"),
            "services.twin--2.host: \"~.example.com\" cannot be written",
        ),
        (
            host("*.~x.example.com"),
            "services.twin--2.host: \"~x.example.com\" cannot be written",
        ),
        (host("_"), "services.twin--2.host: \"_\" cannot be written"),
        (header("`"), "the header \"X`long"),
        (header("$"), "the header \"X$long"),
        (header("*"), "the header \"X*long"),
    ];
    for (text, reason) in cases {
        for proxy in ["caddy", "traefik", "nginx", "envoy"] {
            let file = Configuration::new("portcullis.toml", &text);
            let done = portcullis(["snippet", proxy, "--config"])
                .arg(file.file())
                .output();
            let done = done.expect("the binary runs");
            let said = String::from_utf8_lossy(&done.stderr);
            assert_eq!(done.status.code(), Some(1), "{proxy}, {reason}: {said}");
            assert!(done.stdout.is_empty(), "{proxy}, {reason}");
            assert!(said.contains(reason), "{proxy}, {reason}: {said}");
        }
    }
}
