//! The examples for each proxy: what `portcullis snippet` prints for the example of a configuration, which the proxies
//! themselves take.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::spelling;
use crate::support::{Configuration, SECRETS, output, portcullis, source, tool};

const CONFIGURATION: &str = "deploy/examples/portcullis.toml";

/// With everything that a snippet may have to say something about.
const FULL: &str = r#"
[server]
public_url = "https://id.example.net:8443/auth"
dialects = ["forward-auth", "nginx", "envoy"]
proxy_secret_file = "/run/secrets/proxy_secret"
[oidc]
issuer = "https://id.example.net:8443"
client_id = "portcullis"
[session]
store = "memory:"
cookie_domains = ["home.example.net"]
[policies]
admins = { allowed_groups = ["admins"] }
[services.any]
host = "*.apps.example.net"
policy = "from_proxy"
[services.films]
host = ["films.example.net", "movies.example.net:9443"]
policy = "authenticated"
headers = ["Remote-User", "X-Forwarded-Preferred-Username"]
[services.mealie]
host = "mealie.example.net"
posture = "native_oidc"
[services.plex]
host = "plex.home.example.net"
posture = "passthrough"
"#;

/// What is printed for `configuration`, with an app and a certificate filled in.
pub fn filled_in(proxy: &str, text: &str, folder: &Path) -> String {
    let configuration = Configuration::new("portcullis.toml", text);
    let printed = portcullis(["snippet", proxy, "--config"])
        .arg(configuration.file())
        .output()
        .expect("the binary runs");
    assert!(printed.status.success(), "{printed:?}");
    let printed = String::from_utf8(printed.stdout).expect("text");
    let mut filled = printed
        .replace(":PORT", ":3000")
        .replace(" PORT ", " 3000 ");
    let (chain, key) = certificate(folder);
    for tls in ["/etc/nginx/tls", "/etc/envoy/tls"] {
        filled = filled
            .replace(
                &format!("{tls}/fullchain.pem"),
                &chain.display().to_string(),
            )
            .replace(&format!("{tls}/privkey.pem"), &key.display().to_string());
    }
    filled
}

fn certificate(folder: &Path) -> (PathBuf, PathBuf) {
    let made = rcgen::generate_simple_self_signed(["example.net".to_owned()]);
    let made = made.expect("a certificate");
    let (chain, key) = (folder.join("chain.pem"), folder.join("key.pem"));
    fs::write(&chain, made.cert.pem()).expect("a written file");
    fs::write(&key, made.signing_key.serialize_pem()).expect("a written file");
    (chain, key)
}

/// Calls `see` with each configuration.
fn each(see: impl Fn(&str)) {
    see(&source(CONFIGURATION));
    see(FULL);
    see(&spelling::configuration());
}

#[test]
fn the_examples_are_what_is_printed() {
    for (proxy, file) in [
        ("caddy", "Caddyfile.example"),
        ("traefik", "deploy/traefik/dynamic.yml"),
        ("nginx", "deploy/nginx/portcullis.conf"),
        ("envoy", "deploy/envoy/envoy.yaml"),
    ] {
        let configuration = Configuration::new("portcullis.toml", &source(CONFIGURATION));
        let printed = portcullis(["snippet", proxy, "--config"])
            .arg(configuration.file())
            .output()
            .expect("the binary runs");
        let printed = String::from_utf8(printed.stdout).expect("text");
        assert!(!printed.contains(SECRETS), "{proxy}");
        assert_eq!(printed, source(file), "{file}");
    }
}

#[test]
fn caddy_takes_what_is_printed() {
    let Some(caddy) = tool("caddy") else {
        return;
    };
    each(|text| {
        let folder = TempDir::new().expect("a folder");
        let file = folder.path().join("Caddyfile");
        fs::write(&file, filled_in("caddy", text, folder.path())).expect("a written file");
        let mut validate = Command::new(&caddy);
        validate
            .args(["validate", "--adapter", "caddyfile", "--config"])
            .arg(&file)
            .env("HOME", folder.path())
            .env("XDG_DATA_HOME", folder.path())
            .env("XDG_CONFIG_HOME", folder.path());
        output(&mut validate);
    });
}

/// A whole file for nginx, which writes below `folder` alone.
pub fn nginx_file(folder: &Path, printed: &str) -> PathBuf {
    let here = folder.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "scgi", "uwsgi"]
        .map(|what| format!("{what}_temp_path {here}/{what};\n"))
        .concat();
    let file = folder.join("nginx.conf");
    let whole =
        format!("pid {here}/pid;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}{printed}}}\n");
    fs::write(&file, whole).expect("a written file");
    file
}

#[test]
fn nginx_takes_what_is_printed() {
    let Some(nginx) = tool("nginx") else {
        return;
    };
    each(|text| {
        let folder = TempDir::new().expect("a folder");
        let printed = filled_in("nginx", text, folder.path());
        let file = nginx_file(folder.path(), &printed);
        let mut test = Command::new(&nginx);
        test.args(["-t", "-e", "stderr", "-p"]).arg(folder.path());
        let said = output(test.arg("-c").arg(&file));
        let said = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(!said.contains("[warn]"), "{said}");
    });
}

#[test]
fn envoy_takes_what_is_printed() {
    let Some(envoy) = tool("envoy") else {
        return;
    };
    each(|text| {
        let folder = TempDir::new().expect("a folder");
        let file = folder.path().join("envoy.yaml");
        fs::write(&file, filled_in("envoy", text, folder.path())).expect("a written file");
        let mut validate = Command::new(&envoy);
        validate.args(["--mode", "validate", "--log-level", "warning", "-c"]);
        let said = output(validate.arg(&file));
        let said = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(
            !said.contains("Deprecated") && !said.contains("deprecated"),
            "{said}"
        );
    });
}

/// It has no command that only looks: one that runs says what it has made of each router and middleware.
#[test]
fn traefik_takes_what_is_printed() {
    let Some(program) = tool("traefik") else {
        return;
    };
    each(|text| {
        let folder = TempDir::new().expect("a folder");
        let printed = filled_in("traefik", text, folder.path());
        let read: Value = serde_saphyr::from_str(&printed).expect("YAML");
        let traefik = Traefik::start(&program, folder.path(), &printed);
        for kind in ["routers", "middlewares", "services"] {
            let wanted = read["http"][kind].as_object().expect("some");
            let wanted: BTreeSet<String> = wanted.keys().map(|key| format!("{key}@file")).collect();
            let found = traefik.list(kind);
            let own = found.iter().filter(|item| item["provider"] == "file");
            for item in own.clone() {
                assert_eq!(item["status"], "enabled", "{item}");
            }
            let names = own.filter_map(|item| item["name"].as_str());
            let names: BTreeSet<String> = names.map(str::to_owned).collect();
            assert_eq!(names, wanted, "{kind}");
        }
    });
}

/// The Traefik of one test, which tells about itself at a port.
struct Traefik {
    child: Child,
    port: u16,
}

impl Traefik {
    fn start(program: &Path, folder: &Path, printed: &str) -> Self {
        let file = folder.join("dynamic.yml");
        fs::write(&file, printed).expect("a written file");
        let free = || {
            let held = TcpListener::bind("127.0.0.1:0").expect("a free port");
            held.local_addr().expect("an address").port()
        };
        let port = free();
        let child = Command::new(program)
            .arg(format!("--providers.file.filename={}", file.display()))
            .arg(format!("--entryPoints.web.address=127.0.0.1:{}", free()))
            .arg(format!("--entryPoints.traefik.address=127.0.0.1:{port}"))
            .args(["--api.insecure=true", "--global.checkNewVersion=false"])
            .arg("--global.sendAnonymousUsage=false")
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program runs");
        let traefik = Self { child, port };
        // It does not tell when it has read the file.
        for _ in 0..400 {
            let own = |item: &Value| item["provider"] == "file";
            if traefik.list("routers").iter().any(own) {
                return traefik;
            }
            thread::sleep(Duration::from_millis(25));
        }
        traefik
    }

    /// Everything of this `kind`; nothing where it does not answer.
    fn list(&self, kind: &str) -> Vec<Value> {
        let mut answer = String::new();
        let asked = TcpStream::connect(("127.0.0.1", self.port)).and_then(|mut stream| {
            let path = format!("/api/http/{kind}?per_page=1000");
            // An answer of this version comes in one piece.
            stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes())?;
            stream.read_to_string(&mut answer)
        });
        let body = answer.split_once("\r\n\r\n").filter(|_| asked.is_ok());
        body.and_then(|(_, body)| serde_json::from_str(body).ok())
            .unwrap_or_default()
    }
}

impl Drop for Traefik {
    fn drop(&mut self) {
        // A test that fails has said what matters.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
