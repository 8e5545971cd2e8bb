//! The unit for systemd: that it is one, how much it is confined, and that it is told what it waits for.

use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use portcullis::startup::{OPEN_FILES, WHOLE_DRAIN};
use serde_json::Value;

use crate::nixos::evaluated;
use crate::support::{Configuration, output, portcullis, root, source, texts, yaml};

const UNIT: &str = "deploy/systemd/portcullis.service";

/// What differs: where the program and its secrets are.
const OWN: [&str; 2] = ["ExecStart", "LoadCredential"];

/// How much `systemd-analyze security` finds still open, in tenths: it counts from 0 to 100.
const EXPOSURE: u32 = 15;

/// The settings of `[Service]`; those that come twice are one list.
fn settings() -> Vec<(String, String)> {
    let text = source(UNIT);
    let lines = text.lines().skip_while(|line| *line != "[Service]");
    let lines = lines.take_while(|line| *line != "[Install]");
    let mut settings: Vec<(String, String)> = Vec::new();
    for (name, value) in lines.filter_map(|line| line.split_once('=')) {
        if name.starts_with('#') {
            continue;
        }
        match settings.iter_mut().find(|(known, _)| known == name) {
            Some((_, list)) => *list = format!("{list} {value}"),
            None => settings.push((name.to_owned(), value.to_owned())),
        }
    }
    settings
}

/// As the unit of NixOS has it, so that neither falls behind.
#[test]
fn it_is_confined_as_the_module_s_is() {
    let Some(evaluated) = evaluated("{ }") else {
        return;
    };
    let module = evaluated["serviceConfig"].as_object().expect("settings");
    let written = |value: &Value| match value {
        Value::Array(_) => texts(value).join(" "),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut expected: Vec<(String, String)> = module
        .iter()
        .map(|(name, value)| (name.clone(), written(value)))
        .collect();
    let mut own = settings();
    for list in [&mut expected, &mut own] {
        list.retain(|(name, _)| !OWN.contains(&name.as_str()));
        list.sort();
    }
    assert!(own.len() > 20, "{own:?}");
    assert_eq!(own, expected);
}

/// As many files may be open as there may be connections, and stopping may take as long as it does: everywhere.
#[test]
fn it_has_room_for_its_connections_and_time_to_end() {
    let unit = settings();
    let setting = |name: &str| {
        let found = unit.iter().find(|(known, _)| known == name);
        let value = found.and_then(|(_, value)| value.parse::<u64>().ok());
        value.expect(name)
    };
    assert!(setting("LimitNOFILE") >= OPEN_FILES);
    assert!(setting("TimeoutStopSec") > WHOLE_DRAIN.as_secs());
    for file in ["docker-compose.yml", "deploy/traefik/docker-compose.yml"] {
        let container = &yaml(file)["services"]["portcullis"];
        let files = container["ulimits"]["nofile"].as_u64();
        assert!(files.is_some_and(|files| files >= OPEN_FILES), "{file}");
        let grace = container["stop_grace_period"].as_str().unwrap_or_default();
        let grace: u64 = grace.trim_end_matches('s').parse().expect(file);
        assert!(grace > WHOLE_DRAIN.as_secs(), "{file}");
    }
}

/// It comes with systemd, which not every machine has.
fn analyze() -> Option<Command> {
    let found = tool_if_there("systemd-analyze");
    if found.is_none() {
        let word = "no systemd-analyze on this machine: the unit is not looked at";
        let _ = writeln!(std::io::stderr(), "{word}");
    }
    found.map(Command::new)
}

fn tool_if_there(name: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut places = std::env::split_paths(&path).map(|folder| folder.join(name));
    places.find(|file| file.is_file())
}

#[test]
fn systemd_takes_it() {
    let Some(mut analyze) = analyze() else {
        return;
    };
    // The program need not be installed here.
    let folder = tempfile::TempDir::new().expect("a folder");
    let file = folder.path().join("portcullis.service");
    let text = source(UNIT).replace("/usr/local/bin/portcullis", "/bin/true");
    std::fs::write(&file, text).expect("a written file");
    let verified = output(analyze.args(["verify", "--man=no"]).arg(&file));
    let said = String::from_utf8_lossy(&verified.stderr);
    let about_it: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("portcullis.service"))
        .collect();
    assert_eq!(about_it, [""; 0]);
}

#[test]
fn little_is_left_open() {
    let Some(mut analyze) = analyze() else {
        return;
    };
    let threshold = EXPOSURE.to_string();
    let asked = analyze.args(["security", "--offline=true", "--no-pager", "--threshold"]);
    let security = output(asked.arg(threshold).arg(root().join(UNIT)));
    let said = String::from_utf8_lossy(&security.stdout);
    let overall = said.lines().find(|line| line.contains("exposure level"));
    let _ = writeln!(std::io::stderr(), "{}", overall.expect("a sum"));
}

/// `Type=notify`: whatever is ordered after the unit starts when it takes connections, and not before.
#[test]
fn the_manager_is_told() {
    let configuration = Configuration::new(
        "portcullis.toml",
        r#"
        [server]
        listen = "127.0.0.1:0"
        portal_listen = "127.0.0.1:0"
        admin_listen = "127.0.0.1:0"
        public_url = "https://auth.example.net"
        [oidc]
        issuer = "https://id.invalid"
        client_id = "portcullis"
        [session]
        store = "memory:"
        [services.films]
        host = "films.example.net"
        policy = "authenticated"
        "#,
    );
    let folder = tempfile::TempDir::new().expect("a folder");
    let socket = folder.path().join("notify");
    let manager = UnixDatagram::bind(&socket).expect("a socket");
    let patience = Some(Duration::from_secs(30));
    manager.set_read_timeout(patience).expect("a time-out");
    let told = || {
        let mut message = [0; 256];
        let length = manager.recv(&mut message).expect("a message in time");
        String::from_utf8_lossy(&message[..length])
            .trim()
            .to_owned()
    };
    let mut running = portcullis(["serve", "--config"])
        .arg(configuration.file())
        .env("NOTIFY_SOCKET", &socket)
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("the binary runs");
    assert_eq!(told(), "READY=1");
    output(Command::new("kill").args(["-s", "TERM", &running.id().to_string()]));
    assert_eq!(told(), "STOPPING=1");
    assert!(running.wait().expect("its end").success());
}
