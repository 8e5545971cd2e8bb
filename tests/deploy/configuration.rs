//! The configurations of the compose files pass `portcullis check`, with the environment that they are given there.

use serde_json::Value;

use crate::support::{Configuration, source, yaml};

/// `${NAME}`, `${NAME:-default}` and `${NAME:?message}` as somebody with this domain has them.
fn filled_in(text: &str) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after.split_once('}').expect("the end of a variable");
        filled.push_str(before);
        filled.push_str(match name.split(':').next() {
            Some("DOMAIN") => "example.net",
            Some("ISSUER") => "https://id.example.net",
            _ => "the-id-that-the-provider-shows",
        });
        rest = after;
    }
    filled + rest
}

/// What the compose file tells the container `portcullis` by environment.
fn variables(compose: &Value) -> Vec<(String, String)> {
    let table = &compose["services"]["portcullis"]["environment"];
    let told = table.as_object().expect("variables").iter();
    let told = told.map(|(name, value)| {
        let value = value.as_str().expect("a text");
        (name.clone(), filled_in(value))
    });
    told.collect()
}

fn of(compose: &str, configuration: &str) -> (Configuration, Vec<(String, String)>) {
    let configuration = Configuration::new("portcullis.toml", &source(configuration));
    (configuration, variables(&yaml(compose)))
}

/// The configuration that `docker-compose.yml` runs with.
pub fn compose_configuration() -> (Configuration, Vec<(String, String)>) {
    of(
        "docker-compose.yml",
        "deploy/compose/portcullis/portcullis.toml",
    )
}

/// The configuration that `deploy/traefik/docker-compose.yml` runs with.
pub fn traefik_configuration() -> (Configuration, Vec<(String, String)>) {
    of(
        "deploy/traefik/docker-compose.yml",
        "deploy/traefik/portcullis/portcullis.toml",
    )
}

#[test]
fn the_compose_file_s_passes() {
    let (configuration, variables) = compose_configuration();
    let summary = configuration.check(&variables);
    for part in ["https://auth.example.net/callback", "whoami.example.net"] {
        assert!(summary.contains(part), "{part}: {summary}");
    }
}

#[test]
fn traefik_s_passes() {
    let (configuration, variables) = traefik_configuration();
    configuration.check(&variables);
}

/// Where the container listens and whom it trusts are the addresses that the compose file gives out.
#[test]
fn addresses_are_those_of_the_network() {
    for (file, configuration, proxy) in [
        (
            "docker-compose.yml",
            "deploy/compose/portcullis/portcullis.toml",
            "caddy",
        ),
        (
            "deploy/traefik/docker-compose.yml",
            "deploy/traefik/portcullis/portcullis.toml",
            "traefik",
        ),
    ] {
        let compose = yaml(file);
        let address = |name: &str| {
            let address = &compose["services"][name]["networks"]["gate"]["ipv4_address"];
            address.as_str().expect("an address").to_owned()
        };
        let (own, proxy) = (address("portcullis"), address(proxy));
        let text = source(configuration);
        for line in [
            format!("listen = \"{own}:9191\""),
            format!("portal_listen = \"{own}:9192\""),
            format!("trusted_proxies = [\"{proxy}\"]"),
        ] {
            assert!(
                text.lines().any(|written| written == line),
                "{file}: {line}"
            );
        }
    }
}
