//! `portcullis schema`: strict, and it knows what the program reads.

use serde_json::{Value, json};

use super::support::Run;

/// Everything that an example holds is in the schema, at its place.
#[test]
fn the_schema_has_the_keys_of_a_configuration() {
    let printed = Run::new(["schema"]).done();
    let schema: Value = serde_json::from_str(&printed.stdout).expect("JSON");
    let example = json!({
        "danger_allow_inline_secrets": false,
        "server": { "public_url": "https://auth.example.net", "trusted_proxies": ["10.0.0.1"] },
        "oidc": { "issuer": "https://id.example.net", "client_secret_file": "secret" },
        "session": { "store": "memory:", "idle_timeout": "1h", "cookie_domains": ["example.net"] },
        "policies": { "ada": { "allowed_users": ["1"], "allowed_email_domains": ["example.net"] } },
        "services": { "films": {
            "host": "films.example.net", "name": "Films", "posture": "hybrid", "policy": "ada",
            "app": "sonarr", "preset_bypass": ["api"], "service_worker": false,
            "headers": ["Remote-User", { "name": "X-Me", "claim": "sub" }],
            "header_encoding": "percent", "group_separator": "|",
            "upstream_headers": [{ "name": "X-Key", "value_file": "key", "only_groups": ["media"] }],
            "same_origin_guard": true, "allowed_origins": ["https://a.example.net"],
            "cors_preflight": true, "reserved_users": { "admin": ["1"] }, "isolated": true,
            "rules": [{ "paths": ["/a"], "requires_header": { "name": "X-Hook", "value_file": "hook" },
                "policy": "bypass" }],
            "bypass": [{ "paths": ["/b"], "methods": ["GET"], "allowed_networks": ["10.0.0.0/8"] }],
        } },
        "log": { "level": "info" },
    });
    let missing = not_in(&schema, &schema, &example, "");
    assert_eq!(missing, [""; 0]);
    let misspelt = json!({ "services": { "films": { "headers": [{ "clam": "x" }] } } });
    let missing = not_in(&schema, &schema, &misspelt, "");
    assert_eq!(missing, [".services.films.headers[0].clam"]);
}

/// The keys of `value` that the schema at `here` does not know.
fn not_in(root: &Value, here: &Value, value: &Value, path: &str) -> Vec<String> {
    if let Some(name) = here["$ref"].as_str() {
        let name = name.strip_prefix('#').expect("a reference within");
        return not_in(
            root,
            root.pointer(name).expect("it leads somewhere"),
            value,
            path,
        );
    }
    if let Some(choices) = here["anyOf"].as_array() {
        let tried = choices
            .iter()
            .map(|choice| not_in(root, choice, value, path));
        // The choice that fits best: the last one is that of the table, which tells the key.
        return tried.min_by_key(Vec::len).unwrap_or_default();
    }
    match value {
        Value::Object(table) => {
            let unknown = |(key, value): (&String, &Value)| {
                let path = format!("{path}.{key}");
                match (here["properties"].get(key), &here["additionalProperties"]) {
                    (Some(property), _) => not_in(root, property, value, &path),
                    (None, others @ Value::Object(_)) => not_in(root, others, value, &path),
                    (None, _) => vec![path],
                }
            };
            table.iter().flat_map(unknown).collect()
        }
        Value::Array(items) => {
            let items = items.iter().enumerate();
            let unknown = |(index, item): (usize, &Value)| {
                not_in(root, &here["items"], item, &format!("{path}[{index}]"))
            };
            items.flat_map(unknown).collect()
        }
        _ => Vec::new(),
    }
}

#[test]
fn the_schema_is_strict_and_knows_every_table() {
    let printed = Run::new(["schema"]).done();
    let schema: Value = serde_json::from_str(&printed.stdout).expect("JSON");
    assert_eq!(schema["additionalProperties"], false);
    for section in ["server", "oidc", "session", "policies", "services", "log"] {
        assert!(schema["properties"].get(section).is_some(), "{section}");
    }
    let tables = schema["$defs"].as_object().expect("definitions");
    let structs = tables
        .iter()
        .filter(|(_, table)| table.get("properties").is_some());
    let mut count = 0;
    for (name, table) in structs {
        assert_eq!(table["additionalProperties"], false, "{name}");
        count += 1;
    }
    assert!(count >= 10, "{count}: {:?}", tables.keys());
    let service = &tables["RawService"]["properties"];
    for key in [
        "host",
        "posture",
        "policy",
        "headers",
        "upstream_headers",
        "rules",
        "bypass",
    ] {
        assert!(
            service[key].get("description").is_some(),
            "{key}: {service}"
        );
    }
}
