//! The Caddyfile of the compose file.

use std::process::Command;

use tempfile::TempDir;

use crate::configuration::compose_configuration;
use crate::support::{output, root, source, tool};

const CADDYFILE: &str = "deploy/compose/caddy/Caddyfile";

/// The lines of the snippet `(portcullis)` without comments and indentation.
fn snippet(caddyfile: &str) -> Vec<String> {
    let lines = caddyfile
        .lines()
        .skip_while(|line| *line != "(portcullis) {")
        .take_while(|line| *line != "}")
        .map(|line| line.trim().to_owned());
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect()
}

/// What the command prints for that configuration, but for the address: Caddy knows the container's name.
#[test]
fn the_snippet_is_the_one_that_is_printed() {
    let (configuration, variables) = compose_configuration();
    let printed = configuration.run("snippet caddy", &variables);
    let printed = snippet(&printed.replace("172.30.91.3:9191", "portcullis:9191"));
    assert!(printed.len() > 5, "{printed:?}");
    assert_eq!(snippet(&source(CADDYFILE)), printed);
}

#[test]
fn caddy_takes_it() {
    let Some(caddy) = tool("caddy") else {
        return;
    };
    let folder = TempDir::new().expect("a folder");
    let mut validate = Command::new(caddy);
    validate
        .args(["validate", "--adapter", "caddyfile", "--config"])
        .arg(root().join(CADDYFILE))
        .env("DOMAIN", "example.net")
        .env("HOME", folder.path())
        .env("XDG_DATA_HOME", folder.path())
        .env("XDG_CONFIG_HOME", folder.path());
    output(&mut validate);
}
