//! `deny.toml` and `Cargo.lock`: what is built in keeps to the rules, and each exception says why. `cargo deny` knows the
//! advisories of the day; this holds without a network.

use config::{Config, File, FileFormat};
use serde_json::Value;

use crate::markdown::source;

/// The least versions of what reads bytes from outside: in older ones a fault was found that can be reached here.
const LEAST: [(&str, [u64; 3]); 9] = [
    // RUSTSEC-2021-0081: two requests of one.
    ("actix-http", [3, 0, 0]),
    // RUSTSEC-2024-0332: frames without end.
    ("h2", [0, 4, 4]),
    // RUSTSEC-2021-0078, RUSTSEC-2021-0079: lengths that two readers take differently.
    ("hyper", [1, 0, 0]),
    // RUSTSEC-2024-0421: a second spelling of a host name.
    ("idna", [1, 0, 0]),
    // CVE-2026-25537: times of the wrong type counted as absent.
    ("jsonwebtoken", [10, 3, 0]),
    // CVE-2022-24713: an expression that takes for ever.
    ("regex", [1, 5, 5]),
    // RUSTSEC-2024-0336, RUSTSEC-2024-0399: endless loop, panic.
    ("rustls", [0, 23, 18]),
    // RUSTSEC-2025-0055: escape sequences in a log.
    ("tracing-subscriber", [0, 3, 20]),
    // The first to come with that `idna`.
    ("url", [2, 5, 4]),
];

fn table(file: &str) -> Value {
    let file = File::from_str(&source(file), FileFormat::Toml);
    let read = Config::builder().add_source(file).build();
    read.expect("TOML").try_deserialize().expect("values")
}

fn text<'a>(table: &'a Value, key: &str) -> &'a str {
    table.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(table: &'a Value, pointer: &str) -> &'a [Value] {
    let value = table.pointer(pointer).and_then(Value::as_array);
    value.expect("a list")
}

/// The packages of `Cargo.lock`.
fn locked() -> Vec<Value> {
    list(&table("Cargo.lock"), "/package").to_vec()
}

#[test]
fn what_is_built_in_keeps_to_the_rules() {
    let (deny, packages) = (table("deny.toml"), locked());
    assert!(packages.len() > 100);
    for banned in list(&deny, "/bans/deny") {
        let banned = text(banned, "crate");
        let found = packages
            .iter()
            .any(|package| text(package, "name") == banned);
        assert!(!found && !banned.is_empty(), "{banned} is built in");
    }
    for package in &packages {
        let (name, version) = (text(package, "name"), text(package, "version"));
        let registry = "registry+https://github.com/rust-lang/crates.io-index";
        let from = text(package, "source");
        assert!(
            from == registry || name == "portcullis",
            "{name} comes from {from:?}"
        );
        let parts: Vec<u64> = version
            .split(['.', '-', '+'])
            .map_while(|part| part.parse().ok())
            .collect();
        for (_, least) in LEAST.iter().filter(|(known, _)| *known == name) {
            assert!(parts.as_slice() >= &least[..], "{name} {version}");
        }
    }
}

#[test]
fn every_exception_says_why_and_is_needed() {
    let deny = table("deny.toml");
    let ignored = list(&deny, "/advisories/ignore");
    let ids: Vec<&str> = ignored.iter().map(|entry| text(entry, "id")).collect();
    assert_eq!(ids, ["RUSTSEC-2023-0071"]);
    assert!(ignored.iter().all(|entry| text(entry, "reason").len() > 10));
    // The one exception: `rsa` is here for the public keys of the provider, and for nothing of ours.
    let names_rsa = |package: &Value| {
        let needs = package.get("dependencies").and_then(Value::as_array);
        let mut needs = needs.into_iter().flatten().filter_map(Value::as_str);
        needs.any(|need| need.split(' ').next() == Some("rsa"))
    };
    let packages = locked();
    let users: Vec<&str> = packages
        .iter()
        .filter(|package| names_rsa(package))
        .map(|package| text(package, "name"))
        .collect();
    assert_eq!(users, ["jsonwebtoken", "openidconnect"]);
    for rule in [
        "/advisories/yanked",
        "/bans/wildcards",
        "/sources/unknown-registry",
        "/sources/unknown-git",
    ] {
        let found = deny.pointer(rule).and_then(Value::as_str);
        assert_eq!(found, Some("deny"), "{rule}");
    }
}
