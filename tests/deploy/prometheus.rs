//! The sample for Prometheus: what it asks for is there.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::{source, texts, yaml};

const ALERTS: &str = "deploy/prometheus/alerts.yml";

/// The metrics of docs/metrics.md, which its own test holds against the program.
fn metrics() -> BTreeSet<String> {
    let document = source("docs/metrics.md");
    let rows = document.lines().filter_map(|line| line.strip_prefix("| `"));
    let names = rows.filter_map(|row| row.split('`').next());
    names
        .filter(|name| name.contains('_'))
        .map(str::to_owned)
        .collect()
}

/// The metrics that an expression asks for.
fn asked(expression: &str) -> Vec<&str> {
    let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words
        .filter(|word| word.starts_with("portcullis_") || word.starts_with("process_"))
        .collect()
}

fn rules(alerts: &Value) -> impl Iterator<Item = &Value> {
    let groups = alerts["groups"].as_array().expect("groups");
    groups
        .iter()
        .flat_map(|group| group["rules"].as_array().expect("rules"))
}

#[test]
fn alerts_ask_for_metrics_that_exist_and_say_what_is_wrong() {
    let metrics = metrics();
    assert!(metrics.len() > 15, "{metrics:?}");
    let alerts = yaml(ALERTS);
    let mut names = BTreeSet::new();
    for rule in rules(&alerts) {
        let name = rule["alert"].as_str().expect("a name");
        assert!(names.insert(name), "{name} stands twice");
        let expression = rule["expr"].as_str().expect("an expression");
        let asked = asked(expression);
        assert!(!asked.is_empty() || expression.starts_with("up{"), "{name}");
        for metric in asked {
            let family = metric
                .trim_end_matches("_bucket")
                .trim_end_matches("_count");
            assert!(metrics.contains(family), "{name}: {metric}");
        }
        assert!(
            matches!(
                rule["labels"]["severity"].as_str(),
                Some("critical" | "warning")
            ),
            "{name}"
        );
        for note in ["summary", "description"] {
            let text = rule["annotations"][note].as_str();
            assert!(text.is_some_and(|text| text.len() > 20), "{name}: {note}");
        }
    }
    for name in [
        "PortcullisStoreDown",
        "PortcullisProviderDown",
        "PortcullisRefusesPeer",
    ] {
        assert!(names.contains(name), "{name}");
    }
}

#[test]
fn the_scrape_configuration_finds_the_default_listener_and_the_alerts() {
    let sample = yaml("deploy/prometheus/prometheus.yml");
    let scrape = &sample["scrape_configs"][0];
    let targets = texts(&scrape["static_configs"][0]["targets"]);
    assert_eq!(targets, ["127.0.0.1:9193"]);
    assert!(source("docs/configuration.md").contains("`127.0.0.1:9193`"));
    // `/metrics` is where Prometheus asks by itself.
    assert!(scrape.get("metrics_path").is_none());
    let rule_files = texts(&sample["rule_files"]);
    assert_eq!(rule_files, ["alerts.yml"]);
    let alerts = source(ALERTS);
    let job = format!("up{{job={}}}", scrape["job_name"]);
    assert!(alerts.contains(&job), "{job}");
}
