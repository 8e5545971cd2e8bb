//! Traefik's side of its compose file.

use serde_json::Value;

use crate::support::{source, yaml};

const COMPOSE: &str = "deploy/traefik/docker-compose.yml";

/// The middlewares that the README shows.
fn shown() -> Value {
    let readme = source("README.md");
    let block = readme
        .split("```yaml traefik\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    let read: Value = serde_saphyr::from_str(block.expect("a block")).expect("YAML");
    read["http"]["middlewares"].clone()
}

fn label(container: &str, name: &str) -> String {
    let compose = yaml(COMPOSE);
    let label = &compose["services"][container]["labels"][name];
    label.as_str().expect(name).to_owned()
}

#[test]
fn lookalikes_go_as_the_readme_says() {
    let file = yaml("deploy/traefik/dynamic/portcullis.yml");
    let own = &file["http"]["middlewares"]["no-lookalikes"];
    assert_eq!(*own, shown()["no-lookalikes"]);
}

#[test]
fn the_copy_list_is_the_readme_s() {
    let shown = shown();
    let expected =
        crate::support::texts(&shown["portcullis"]["forwardAuth"]["authResponseHeaders"]);
    let names = "traefik.http.middlewares.portcullis.forwardauth.authResponseHeaders";
    assert_eq!(label("portcullis", names), expected.join(","));
    assert_eq!(expected.last(), Some(&"Cookie"));
}

#[test]
fn the_app_has_both_middlewares_in_order() {
    let both = label("whoami", "traefik.http.routers.whoami.middlewares");
    assert_eq!(both, "no-lookalikes@file,portcullis@docker");
}
