//! The `Caddyfile.example` that we ship, as it runs in the tests.

use crate::kit::gate::Ports;
use crate::kit::tools;
use crate::setup::{FILMS, NOTES, PORTAL};

/// The example with the names and ports of this run, and nothing else changed.
///
/// # Panics
///
/// When the example no longer holds one of the things that are replaced.
pub fn for_this_machine(gate: Ports, films: u16, notes: u16) -> String {
    let address = |port: u16| format!("127.0.0.1:{port}");
    // 3000 comes first: what is put in may begin with it.
    let replacements = [
        ("127.0.0.1:3000", address(films)),
        ("127.0.0.1:9191", address(gate.verify)),
        ("127.0.0.1:9192", address(gate.portal)),
        ("127.0.0.1:8989", address(notes)),
        ("auth.example.net", PORTAL.to_owned()),
        ("grafana.example.net", FILMS.to_owned()),
        ("sonarr.example.net", NOTES.to_owned()),
    ];
    replacements.iter().fold(shipped(), |text, (from, to)| {
        assert_eq!(text.matches(from).count(), 1, "`{from}` stands once in Caddyfile.example");
        text.replace(from, to)
    })
}

fn shipped() -> String {
    let file = tools::source_root().join("Caddyfile.example");
    std::fs::read_to_string(file).expect("Caddyfile.example stands in the source tree")
}

/// The snippet `(portcullis)` of a Caddyfile, from its name to its closing brace.
fn snippet(caddyfile: &str) -> &str {
    let start = caddyfile.find("(portcullis) {").expect("a snippet of that name");
    let length = caddyfile[start..].find("\n}\n").expect("its closing brace");
    &caddyfile[start..start + length]
}

#[test]
fn the_tests_run_the_shipped_snippet() {
    let ports = Ports { verify: 1, portal: 2, admin: 3 };
    let used = for_this_machine(ports, 4, 5);
    let expected = snippet(&shipped()).replace("127.0.0.1:9191", "127.0.0.1:1");
    assert_eq!(snippet(&used), expected);
}

#[test]
fn the_snippet_is_the_documented_one() {
    let text = shipped();
    let directives: Vec<&str> = snippet(&text)
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    let names = "Remote-User Remote-Name Remote-Email Remote-Groups";
    let (told, copied) =
        (format!("header_up Portcullis-Copy \"{names}\""), format!("copy_headers {names}"));
    let documented = [
        "(portcullis) {",
        "forward_auth 127.0.0.1:9191 {",
        "uri /verify?",
        &told,
        &copied,
        "transport http {",
        "dial_timeout 1s",
        "response_header_timeout 5s",
        "}",
        "}",
        r#"request_header Connection "(?i)remote-(user|name|email|groups)" "x""#,
        r#"request_header Cookie "(^|[;\s])(?:__Host-|__Secure-)?portcullis[A-Za-z0-9_-]*=[^;]*(?:;|$)" "$1""#,
        "request_header -Portcullis-Key",
    ];
    assert_eq!(directives, documented);
}
