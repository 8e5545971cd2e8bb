//! Traefik's side of its compose file.

use serde_json::Value;

use crate::configuration::traefik_configuration;
use crate::support::{texts, yaml};

const COMPOSE: &str = "deploy/traefik/docker-compose.yml";

fn middlewares() -> Value {
    yaml("deploy/traefik/dynamic/portcullis.yml")["http"]["middlewares"].clone()
}

/// The label of a router that is named like its container.
fn label(container: &str, name: &str) -> String {
    let compose = yaml(COMPOSE);
    let name = format!("traefik.http.routers.{container}.{name}");
    let label = &compose["services"][container]["labels"][&name];
    label.as_str().expect(&name).to_owned()
}

/// For this configuration, at the address that the compose file gives the container.
#[test]
fn the_middlewares_are_those_that_are_printed() {
    let (configuration, variables) = traefik_configuration();
    let printed = configuration.run("snippet traefik", &variables);
    let printed: Value = serde_saphyr::from_str(&printed).expect("YAML");
    assert_eq!(middlewares(), printed["http"]["middlewares"]);
    let copied = &middlewares()["portcullis-ask"]["forwardAuth"]["authResponseHeaders"];
    assert!(texts(copied).contains(&"Cookie"), "{copied}");
}

/// An app that the configuration names has the gate; one that it does not, a gate that names its policy as well.
#[test]
fn each_app_has_one_middleware_that_there_is() {
    for (app, expected) in [
        ("whoami", "portcullis"),
        ("notes", "portcullis-admins-policy"),
    ] {
        let middleware = label(app, "middlewares");
        assert_eq!(middleware, format!("{expected}@file"));
        let chain = &middlewares()[expected]["chain"]["middlewares"];
        let steps = texts(chain);
        assert_eq!(steps.first(), Some(&"portcullis-clean"), "{app}");
        for step in steps {
            assert!(middlewares().get(step).is_some(), "{app}: {step}");
        }
    }
}

/// So a new app needs a label and nothing else.
#[test]
fn a_policy_is_named_by_the_proxy_alone() {
    let (configuration, variables) = traefik_configuration();
    let summary = configuration.check(&variables);
    assert!(summary.contains("*.example.net"), "{summary}");
    let compose = yaml(COMPOSE);
    let gate = compose["services"]["portcullis"]["environment"].to_string();
    assert!(!gate.contains("notes"), "{gate}");
    let named = &middlewares()["portcullis-admins-ask"]["forwardAuth"];
    let address = named["address"].as_str().expect("an address");
    assert!(address.ends_with("/verify/policy/admins"), "{address}");
    let plain = &middlewares()["portcullis-ask"]["forwardAuth"];
    assert_eq!(named["authResponseHeaders"], plain["authResponseHeaders"]);
}
