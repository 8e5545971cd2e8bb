//! Four policies, five sorts of people, six postures: who may open what, as one table.

use std::path::Path;

use portcullis::config::{Config, RawConfig, RawPolicy, RawService};
use portcullis::domain::authentication::Caller;
use portcullis::domain::decision::decide;
use portcullis::domain::forwarded::ForwardedRequest;
use portcullis::domain::identity::Identity;
use portcullis::domain::navigation::Initiator;
use portcullis::domain::proxies::ClientAddress;
use secrecy::SecretString;

use crate::support::app::owned;

const POLICIES: [(&str, &[&str]); 4] = [
    ("admins", &["admins"]),
    ("users", &["admins", "users"]),
    ("media", &["admins", "users", "media"]),
    ("home", &["admins", "users", "home"]),
];

const POSTURES: [&str; 6] = [
    "protect",
    "trusted_header",
    "hybrid",
    "native_oidc",
    "passthrough",
    "internal",
];

/// The service of each policy and posture.
fn config() -> Config {
    let mut raw = RawConfig {
        danger_allow_inline_secrets: true,
        ..RawConfig::default()
    };
    raw.server.public_url = Some("https://auth.example.net".into());
    raw.oidc.issuer = Some("https://id.example.net".into());
    raw.oidc.client_id = Some("portcullis".into());
    raw.session.store = Some(SecretString::from("memory:"));
    for (policy, groups) in POLICIES {
        let allowed = RawPolicy {
            allowed_groups: Some(owned(groups)),
            ..RawPolicy::default()
        };
        raw.policies.insert(policy.into(), allowed);
        for posture in POSTURES {
            let name = format!("{policy}-{}", posture.replace('_', "-"));
            let internal = posture == "internal";
            let service = RawService {
                host: Some(vec![format!("{name}.example.net")]),
                posture: Some(posture.into()),
                policy: (!internal).then(|| policy.into()),
                allowed_networks: internal.then(|| owned(&["10.0.0.0/8"])),
                ..RawService::default()
            };
            raw.services.insert(name, service);
        }
    }
    Config::from_raw(&raw, Path::new("/nowhere")).expect("a valid configuration")
}

fn verdict(config: &Config, service: &str, groups: Option<&[&str]>, from: &str) -> String {
    let client = ClientAddress::Known(from.parse().expect("an address"));
    let host = format!("{service}.example.net");
    let request = ForwardedRequest::parse(
        "GET",
        "https",
        &host,
        "/",
        client,
        Initiator::default(),
        false,
    )
    .expect("a request");
    let identity = groups.map(|groups| Identity {
        issuer: "https://id.example.net".into(),
        subject: "1".into(),
        username: Some("somebody".into()),
        name: None,
        email: None,
        groups: owned(groups),
    });
    let service = config.services.find(&request.authority).expect("a service");
    decide(&request, identity.as_ref().map(Caller::from), service, None)
        .outcome()
        .to_owned()
}

#[test]
#[rustfmt::skip] // the columns are the point
fn who_may_open_what() {
    let config = config();
    let people: [(&str, Option<&[&str]>); 6] = [
        ("nobody",      None),
        ("no group",    Some(&[])),
        ("an admin",    Some(&["admins"])),
        ("a user",      Some(&["users"])),
        ("media alone", Some(&["media"])),
        ("home alone",  Some(&["home"])),
    ];
    // In the order of `people`, for the postures that ask.
    let table = [
        ("admins", ["challenge", "deny", "allow", "deny",  "deny",  "deny"]),
        ("users",  ["challenge", "deny", "allow", "allow", "deny",  "deny"]),
        ("media",  ["challenge", "deny", "allow", "allow", "allow", "deny"]),
        ("home",   ["challenge", "deny", "allow", "allow", "deny",  "allow"]),
    ];
    for (policy, expected) in table {
        for ((who, groups), expected) in people.into_iter().zip(expected) {
            for posture in POSTURES {
                let service = format!("{policy}-{}", posture.replace('_', "-"));
                let found = verdict(&config, &service, groups, "203.0.113.7");
                let expected = match posture {
                    "internal" => "deny",
                    // With a policy of their own they ask like the others.
                    _ => expected,
                };
                assert_eq!(found, expected, "{who} at {service}");
            }
            let internal = format!("{policy}-internal");
            assert_eq!(verdict(&config, &internal, groups, "10.1.2.3"), "allow", "{who} at {internal}");
        }
    }
}
