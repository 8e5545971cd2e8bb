//! The NixOS module, evaluated with Debian's Nix and a stand-in for nixpkgs' lib (`nix/lib.nix`).

use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Configuration, output, root, texts, tool};

/// What NixOS makes of the example with these definitions beside it. `None` without Nix.
pub fn evaluated(extra: &str) -> Option<Value> {
    let output = output(&mut evaluate(extra)?);
    Some(serde_json::from_slice(&output.stdout).expect("JSON"))
}

fn evaluate(extra: &str) -> Option<Command> {
    let mut command = Command::new(tool("nix-instantiate")?);
    command
        // Nothing is built, so nobody needs /nix.
        .env("NIX_REMOTE", "dummy://")
        .args(["--eval", "--strict", "--json", "--arg", "extra", extra])
        .arg(root().join("tests/deploy/nix/evaluate.nix"));
    Some(command)
}

/// The configuration that `explain` and `check` get, as the service would. A store that needs nothing is named
/// where none is.
fn configuration(evaluated: &Value) -> Configuration {
    let mut text = evaluated["configuration"].clone();
    let session = text["session"].as_object_mut().expect("a table");
    session.entry("store").or_insert_with(|| json!("memory:"));
    session.insert("secret_file".to_owned(), json!("session_secret"));
    let configuration = Configuration::new("portcullis.json", &text.to_string());
    configuration.secret("session_secret");
    // systemd puts them where `$CREDENTIALS_DIRECTORY` says: here, beside the configuration.
    for credential in texts(&evaluated["serviceConfig"]["LoadCredential"]) {
        let (name, file) = credential.split_once(':').expect("a name and a file");
        assert!(file.starts_with("/run/secrets/"), "{file}");
        configuration.secret(name);
    }
    configuration
}

#[test]
fn the_example_becomes_a_configuration_that_passes() {
    let Some(evaluated) = evaluated("{ }") else {
        return;
    };
    assert_eq!(evaluated["enabled"], true);
    assert_eq!(evaluated["failed"], json!([]));
    let summary = configuration(&evaluated).check(&[]);
    for app in [
        "mealie",
        "grafana",
        "sonarr",
        "paperless-ai",
        "plex",
        "hooks",
    ] {
        assert!(
            summary.contains(&format!("{app}.example.net")),
            "{app}: {summary}"
        );
    }
}

#[test]
fn the_household_s_rules_hold() {
    let Some(evaluated) = evaluated("{ }") else {
        return;
    };
    let configuration = configuration(&evaluated);
    #[rustfmt::skip] // the columns are the point
    let cases = [
        ("https://grafana.example.net/",            "--user ada --group admins", "allow"),
        ("https://sonarr.example.net/api/v3/queue", "--ip 10.20.0.9",            "allow"),
        ("https://paperless-ai.example.net/admin/", "--user ada --group admins", "allow"),
        ("https://paperless-ai.example.net/",       "--user cy --group home",    "allow"),
        ("https://hooks.example.net/",              "--ip 10.20.0.9",            "allow"),
        ("https://plex.example.net/",               "--ip 192.0.2.9",            "allow"),
    ];
    for (url, who, outcome) in cases {
        let said = configuration.run(&format!("explain --json --url {url} {who}"), &[]);
        let said: Value = serde_json::from_str(&said).expect("JSON");
        assert_eq!(said["outcome"], outcome, "{url} {who}: {said}");
    }
}

#[test]
fn secrets_are_named_by_credentials_alone() {
    let Some(evaluated) = evaluated("{ }") else {
        return;
    };
    let text = evaluated["configuration"].to_string();
    assert!(!text.contains("/run/secrets"), "{text}");
    let header = &evaluated["configuration"]["services"]["paperless-ai"]["upstream_headers"][0];
    assert_eq!(
        *header,
        json!({ "name": "x-api-key", "value_file": "paperless-ai.x-api-key" })
    );
    let loaded = texts(&evaluated["serviceConfig"]["LoadCredential"]);
    assert!(loaded.contains(&"paperless-ai.x-api-key:/run/secrets/paperless-ai/api_key"));
}

#[test]
fn the_unit_is_hardened() {
    let Some(evaluated) = evaluated("{ }") else {
        return;
    };
    assert_eq!(
        evaluated["command"],
        "/nix/store/portcullis/bin/portcullis serve"
    );
    let unit = &evaluated["serviceConfig"];
    for (key, value) in [
        ("DynamicUser", json!(true)),
        ("ProtectSystem", json!("strict")),
        ("NoNewPrivileges", json!(true)),
        ("CapabilityBoundingSet", json!("")),
        ("MemoryDenyWriteExecute", json!(true)),
        ("StateDirectory", json!("portcullis")),
        (
            "SystemCallFilter",
            json!(["@system-service", "~@privileged"]),
        ),
    ] {
        assert_eq!(unit[key], value, "{key}");
    }
}

#[test]
fn mistakes_are_told_before_anything_is_built() {
    #[rustfmt::skip] // the columns are the point
    let cases = [
        (r#"services.grafana.policy = "admin";"#,                     "grafana: no such policy: admin."),
        (r#"services.films.host = "sonarr.example.net";"#,            "two services have one host"),
        (r#"services.films.policy = "media";"#,                       "films.host must be given"),
        (r#"services.films = { host = "f.net"; posture = "hybrid"; };"#, "needs upstreamHeaders"),
        (r#"settings.oidc.client_secret = "x";"#,                     "oidc.client_secret would lie in the Nix store"),
        (r#"clientSecretFile = "/nix/store/x";"#,                     "the file lies in the Nix store"),
    ];
    for (extra, expected) in cases {
        let Some(evaluated) = evaluated(&format!("{{ {extra} }}")) else {
            return;
        };
        let failed = texts(&evaluated["failed"]);
        assert!(
            failed.iter().any(|told| told.contains(expected)),
            "{extra}: {failed:?}"
        );
        assert_eq!(failed.len(), 1, "{extra}: {failed:?}");
    }
}

/// Options that do not exist, and values of the wrong type: NixOS itself refuses them, as the stand-in does.
#[test]
fn misspelt_options_are_refused() {
    for extra in [
        r#"services.grafana.polcy = "admins";"#,
        r#"services.grafana.posture = "protected";"#,
        r#"policies.admins.allowedGroups = "admins";"#,
    ] {
        let Some(mut command) = evaluate(&format!("{{ {extra} }}")) else {
            return;
        };
        let refused = command.output().expect("the program runs");
        assert!(!refused.status.success(), "{extra}");
    }
}

#[test]
fn free_settings_reach_the_configuration() {
    let extra = r#"{ settings.log.level = "debug"; services.grafana.headers = [ ]; services.grafana.settings.isolated = true; }"#;
    let Some(evaluated) = evaluated(extra) else {
        return;
    };
    let configuration = &evaluated["configuration"];
    assert_eq!(configuration["log"]["level"], "debug");
    assert_eq!(configuration["session"]["lifetime"], "30d");
    assert_eq!(configuration["services"]["grafana"]["headers"], json!([]));
    assert_eq!(configuration["services"]["grafana"]["isolated"], true);
}
