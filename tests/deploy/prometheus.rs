//! The sample for Prometheus: what it asks for is there.

use std::collections::BTreeSet;

use portcullis::domain::reason::ReasonKind;
use portcullis::flows::callback::{ERROR_CODES, SESSION_NOT_STORED};
use portcullis::oidc::{HttpError, IdTokenError, ProviderError, RedeemError};
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

/// Whether the alert about logins looks at those that ended so. Its pattern has words and beginnings of words alone.
fn is_looked_at(expression: &str, result: &str) -> bool {
    let pattern = expression.split("result=~\"").nth(1);
    let pattern = pattern.and_then(|rest| rest.split('"').next());
    let mut alternatives = pattern.expect("a pattern").split('|');
    alternatives.any(|alternative| match alternative.strip_suffix(".+") {
        Some(start) => result.len() > start.len() && result.starts_with(start),
        None => result == alternative,
    })
}

#[test]
fn failing_logins_are_an_alert_where_something_is_broken_and_not_where_somebody_plays() {
    let alerts = yaml(ALERTS);
    let mut rules = rules(&alerts);
    let rule = rules.find(|rule| rule["alert"] == "PortcullisLoginsFail");
    let expression = rule.expect("the alert")["expr"].as_str().expect("a text");
    let words = expression.split("result=~\"").nth(1).expect("a pattern");
    let words = words.split('"').next().expect("its end");
    let plain = |c: char| c.is_ascii_lowercase() || matches!(c, '_' | '|' | '.' | '+');
    assert!(words.chars().all(plain), "{words}");

    let reason = String::new;
    let http = [
        HttpError::Insecure,
        HttpError::Unreachable { reason: reason() },
        HttpError::TimedOut,
        HttpError::Redirect,
        HttpError::ServerError { status: 500 },
        HttpError::TooLarge,
        HttpError::Encoded,
    ];
    let provider = [
        ProviderError::NotYetKnown,
        ProviderError::Status { status: 404 },
        ProviderError::Malformed { at: reason() },
        ProviderError::IssuerMismatch { detail: reason() },
        ProviderError::InsecureEndpoint { endpoint: "" },
        ProviderError::MissingEndpoint { endpoint: "" },
        ProviderError::NoCommonAlgorithm,
        ProviderError::NoCommonClientAuth,
    ];
    let id_token = [
        IdTokenError::TooLarge,
        IdTokenError::Malformed,
        IdTokenError::Encrypted,
        IdTokenError::Critical,
        IdTokenError::WrongType,
        IdTokenError::Algorithm,
        IdTokenError::UnknownKey,
        IdTokenError::WeakKey,
        IdTokenError::Signature,
        IdTokenError::MissingClaim { claim: "" },
        IdTokenError::ClaimType { claim: "" },
        IdTokenError::Issuer,
        IdTokenError::Audience,
        IdTokenError::ForeignAudience,
        IdTokenError::AuthorizedParty,
        IdTokenError::Expired { seconds: 1 },
        IdTokenError::NotYetValid { seconds: 1 },
        IdTokenError::Stale { seconds: 1 },
        IdTokenError::Nonce,
        IdTokenError::AccessTokenHash,
        IdTokenError::Subject,
    ];
    let others = [
        RedeemError::Client,
        RedeemError::TokenAnswer,
        RedeemError::AccessToken,
        RedeemError::TokenType,
        RedeemError::NoIdToken,
        RedeemError::Userinfo,
        RedeemError::UserinfoJwt,
        RedeemError::UserinfoSubject,
        RedeemError::GroupsElsewhere,
        RedeemError::TooManyGroups { limit: 1 },
    ];
    let mut broken = vec![SESSION_NOT_STORED];
    broken.extend(http.iter().map(HttpError::code));
    broken.extend(provider.iter().map(ProviderError::code));
    broken.extend(id_token.iter().map(|error| error.code()));
    broken.extend(others.iter().map(RedeemError::code));
    for code in &broken {
        assert!(is_looked_at(expression, code), "{code}");
    }
    // And nothing in the pattern is for nothing.
    for word in words.split('|') {
        let start = word.trim_end_matches(".+");
        assert!(broken.iter().any(|code| code.starts_with(start)), "{word}");
    }

    // What comes with the address that a browser opens, and what the visitor is to blame for.
    let made_up = [
        RedeemError::ResponseIssuerMissing,
        RedeemError::ResponseIssuer,
        RedeemError::ResponseRepeats,
        RedeemError::Code,
        RedeemError::Refused { error: reason() },
    ];
    let words = [
        "success",
        "unknown_attempt",
        "ended_meanwhile",
        "unknown_error",
    ];
    let by_others = made_up.iter().map(RedeemError::code);
    let step_ups = ReasonKind::ALL.iter().map(|kind| kind.code());
    for code in by_others.chain(ERROR_CODES).chain(words).chain(step_ups) {
        assert!(!is_looked_at(expression, code), "{code}");
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
