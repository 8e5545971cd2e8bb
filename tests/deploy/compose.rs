//! What has to hold of every compose file that we ship.

use std::path::Path;

use serde_json::{Map, Value};

use crate::support::{root, source, texts, yaml};

const FILES: [&str; 2] = ["docker-compose.yml", "deploy/traefik/docker-compose.yml"];

/// What `setup.sh` makes, and what stands outside of us.
const MADE: [&str; 3] = ["data/", "secrets/", "/var/run/docker.sock"];

fn containers(compose: &Value) -> &Map<String, Value> {
    compose["services"]
        .as_object()
        .expect("a table of services")
}

/// Calls `see` with each file's name, each container's and what is said of it.
fn each(mut see: impl FnMut(&str, &str, &Value)) {
    for file in FILES {
        let compose = yaml(file);
        for (name, container) in containers(&compose) {
            see(&format!("{file}: {name}"), name, container);
        }
    }
}

#[test]
fn every_container_is_confined() {
    each(|place, name, container| {
        assert_eq!(container["read_only"], true, "{place}");
        assert_eq!(texts(&container["cap_drop"]), ["ALL"], "{place}");
        let options = texts(&container["security_opt"]);
        assert_eq!(options, ["no-new-privileges:true"], "{place}");
        for never in [
            "privileged",
            "network_mode",
            "pid",
            "ipc",
            "userns_mode",
            "devices",
        ] {
            assert!(container.get(never).is_none(), "{place}: {never}");
        }
        let added = texts(&container["cap_add"]);
        let expected: &[&str] = if name == "caddy" {
            &["NET_BIND_SERVICE"]
        } else {
            &[]
        };
        assert_eq!(added, expected, "{place}");
    });
}

/// The one that is root has to open Docker's socket, which is root's, and reaches nothing else.
#[test]
fn nobody_is_root_but_the_one_who_has_to() {
    each(|place, name, container| match container["user"].as_str() {
        Some(user) => {
            let plain = user
                .split(':')
                .all(|id| id.parse::<u32>().is_ok_and(|id| id > 0));
            assert!(plain, "{place}: {user}");
        }
        None => assert_eq!(name, "docker", "{place}"),
    });
}

#[test]
fn only_the_proxy_publishes_ports() {
    each(|place, name, container| {
        let proxy = matches!(name, "caddy" | "traefik");
        assert_eq!(container.get("ports").is_some(), proxy, "{place}");
    });
}

/// Portcullis shares the network on which it listens with the proxy alone, and Redis's with nobody but itself.
#[test]
fn networks_keep_apart_who_has_no_business_with_whom() {
    for file in FILES {
        let compose = yaml(file);
        let members = |network: &str| -> Vec<&str> {
            let joins = |container: &Value| match &container["networks"] {
                Value::Object(table) => table.contains_key(network),
                list => texts(list).contains(&network),
            };
            let joined = containers(&compose)
                .iter()
                .filter(|(_, container)| joins(container));
            let mut names: Vec<&str> = joined.map(|(name, _)| name.as_str()).collect();
            names.sort_unstable();
            names
        };
        let proxy = if file == FILES[0] { "caddy" } else { "traefik" };
        let mut gate = vec![proxy, "portcullis"];
        gate.sort_unstable();
        assert_eq!(members("gate"), gate, "{file}");
        assert!(!members("apps").contains(&"portcullis"), "{file}");
        for inner in ["gate", "apps", "store", "docker"] {
            let network = &compose["networks"][inner];
            assert!(
                network.is_null() || network["internal"] == true,
                "{file}: {inner}"
            );
        }
        if file == FILES[0] {
            assert_eq!(members("store"), ["portcullis", "redis"]);
        } else {
            assert_eq!(members("docker"), ["docker", "traefik"]);
        }
    }
}

#[test]
fn images_have_a_version() {
    each(|place, name, container| {
        let image = container["image"].as_str().expect("an image");
        let (_, version) = image.rsplit_once(':').expect("a version");
        assert!(version.contains('.'), "{place}: {image}");
        if name == "portcullis" {
            assert_eq!(version, env!("CARGO_PKG_VERSION"), "{place}");
        }
    });
}

/// No secret in the environment, and each that is mounted is a file that the same file declares.
#[test]
fn secrets_are_files() {
    for file in FILES {
        let compose = yaml(file);
        let declared = compose["secrets"].as_object().expect("secrets");
        for (name, secret) in declared {
            let at = secret["file"].as_str().expect("a file");
            assert!(at.ends_with(&format!("/secrets/{name}")), "{file}: {at}");
        }
        for (name, container) in containers(&compose) {
            for secret in texts(&container["secrets"]) {
                assert!(declared.contains_key(secret), "{file}: {name}: {secret}");
            }
            for (variable, value) in container["environment"].as_object().into_iter().flatten() {
                let telling = ["SECRET", "PASSWORD", "TOKEN", "KEY"];
                let secret = telling.iter().any(|word| variable.contains(word));
                let value = value.as_str().expect("a text");
                let is_file = value.starts_with("/run/secrets/");
                assert!(!secret || is_file, "{file}: {name}: {variable}");
            }
        }
    }
    // And the script makes each of the compose file's beside it.
    let script = source("deploy/compose/setup.sh");
    for name in yaml(FILES[0])["secrets"]
        .as_object()
        .expect("secrets")
        .keys()
    {
        assert!(script.contains(&format!("secret {name} \"$")), "{name}");
    }
}

#[test]
fn what_is_mounted_exists() {
    for file in FILES {
        let folder = root().join(file);
        let folder = folder.parent().expect("a folder");
        for (name, container) in containers(&yaml(file)) {
            for mount in texts(&container["volumes"]) {
                let from = mount.split(':').next().expect("a source");
                let made = MADE.iter().any(|made| from.contains(made));
                assert!(made || folder.join(from).exists(), "{file}: {name}: {from}");
                let read_only = mount.ends_with(":ro");
                assert!(
                    read_only || from.contains("/data/"),
                    "{file}: {name}: {mount}"
                );
            }
            if let Some(build) = container.get("build") {
                let context = folder.join(build["context"].as_str().expect("a folder"));
                let dockerfile = build["dockerfile"].as_str().expect("a file");
                assert!(context.join(dockerfile).is_file(), "{file}: {name}");
            }
        }
    }
}

/// The control socket is the only file that the program makes outside of its data.
#[test]
fn the_control_socket_has_a_place() {
    for file in FILES {
        let compose = yaml(file);
        let container = &containers(&compose)["portcullis"];
        let user = container["user"].as_str().expect("a user");
        let (id, _) = user.split_once(':').expect("a group");
        let place = format!("/run/portcullis:uid={id},gid={id},mode=0700");
        assert_eq!(texts(&container["tmpfs"]), [&*place], "{file}");
    }
    // For those who mount nothing there.
    assert!(source("deploy/Dockerfile").contains("-m 0700 /var/lib/portcullis /run/portcullis\n"));
}

/// A second container of a service with a fixed address does not start while the first one runs.
#[test]
fn nobody_is_told_to_run_a_container_that_has_no_address_left() {
    for guide in [
        "deploy/compose/README.md",
        "deploy/traefik/README.md",
        "README.md",
    ] {
        assert!(!source(guide).contains("compose run"), "{guide}");
    }
}

/// Whoever cloned this for themselves alone: the containers' users read what they are shown all the same.
#[test]
fn the_script_opens_what_is_mounted_read_only() {
    let script = source("deploy/compose/setup.sh");
    for line in [
        "chmod a+rx caddy portcullis",
        "chmod a+r caddy/Caddyfile portcullis/portcullis.toml",
    ] {
        assert!(script.lines().any(|written| written == line), "{line}");
    }
}

/// The users of the containers are those that the script gives the folders to.
#[test]
fn the_script_knows_the_users() {
    let script = source("deploy/compose/setup.sh");
    for name in ["portcullis", "caddy", "pocket-id", "redis"] {
        let compose = yaml(FILES[0]);
        let user = compose["services"][name]["user"].as_str().expect("a user");
        let (id, group) = user.split_once(':').expect("a group");
        assert_eq!(id, group, "{name}");
        let known = format!("{}={id}", name.replace('-', "_"));
        assert!(script.contains(&known), "{known}");
    }
}

/// Redis's user may do what the documents say that it needs, and nothing else.
#[test]
fn the_user_of_redis_is_the_documented_one() {
    let commands = |text: &str| -> Vec<String> {
        let line = text.lines().find(|line| line.contains("~portcullis:*"));
        let words = line.expect("an ACL line").split_whitespace();
        words
            .filter(|word| word.starts_with(['~', '&', '+', '-']))
            .map(str::to_owned)
            .collect()
    };
    let documented = commands(&source("docs/redis.md"));
    assert!(documented.len() > 5, "{documented:?}");
    assert_eq!(commands(&source("deploy/compose/setup.sh")), documented);
}

/// Every variable that has to be given is in the example of `.env`, and nothing else is.
#[test]
fn the_example_of_the_environment_is_complete() {
    for (file, example) in [
        (FILES[0], ".env.example"),
        (FILES[1], "deploy/traefik/.env.example"),
    ] {
        let text = source(file);
        let mut used: Vec<&str> = text
            .split("${")
            .skip(1)
            .filter_map(|rest| rest.split(['}', ':']).next())
            .collect();
        used.sort_unstable();
        used.dedup();
        let example = source(example);
        let mut given: Vec<&str> = example
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| Some(line.split_once('=')?.0))
            .collect();
        given.sort_unstable();
        assert_eq!(given, used, "{file}");
    }
}

/// The folders that hold secrets and data never get into the repository or into an image.
#[test]
fn secrets_and_data_stay_where_they_are() {
    let ignored = source(".gitignore");
    for line in [
        "/.env",
        "/deploy/*/secrets/",
        "/deploy/*/data/",
        "/deploy/traefik/.env",
    ] {
        assert!(ignored.lines().any(|ignored| ignored == line), "{line}");
    }
    let sent = source(".dockerignore");
    let mut rules = sent.lines().filter(|line| !line.starts_with('#'));
    assert_eq!(rules.next(), Some("*"), "nothing is sent but what is named");
    for rule in rules {
        let name = rule.trim_start_matches('!').trim_end_matches('*');
        assert!(!Path::new("deploy").starts_with(name), "{rule}");
    }
}
