//! Presets: what they fill in, what they never open, and what is said about them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::presets::{Answer, Answers, Preset};
use super::tests::{Edit, films, good, said_about, texts};
use super::*;
use crate::domain::authentication::Caller;
use crate::domain::decision::decide;
use crate::domain::forwarded::ForwardedRequest;
use crate::domain::identity::Identity;
use crate::domain::identity_headers::Attribute;
use crate::domain::navigation::Initiator;
use crate::domain::proxies::ClientAddress;
use crate::domain::service::{Posture, Service};

/// What each edit leads to: what is wrong, else what is questionable.
fn said(edit: Edit) -> Vec<String> {
    let (errors, warnings) = said_about(edit);
    if errors.is_empty() { warnings } else { errors }
}

fn app(raw: &mut RawConfig, app: &str) {
    films(raw).app = Some(app.into());
}

/// The configuration that `good` and `edit` come to.
fn config(edit: impl FnOnce(&mut RawConfig)) -> Config {
    let mut raw = good();
    edit(&mut raw);
    let config = Config::from_raw(&raw, Path::new("/nowhere"));
    config.expect("a valid configuration")
}

fn service(config: &Config) -> &Service {
    let [service] = config.services.services() else {
        unreachable!("`good` has one service");
    };
    service
}

fn outcome(config: &Config, path: &str, identity: Option<&Identity>) -> (String, &'static str) {
    let client = ClientAddress::Known([203, 0, 113, 7].into());
    let initiator = Initiator::default();
    let host = "films.example.net";
    let request = ForwardedRequest::parse("GET", "https", host, path, client, initiator, false);
    let request = request.expect("a request");
    let decision = decide(&request, identity.map(Caller::from), service(config), None);
    (decision.outcome().to_owned(), decision.reason().code())
}

fn person(username: &str) -> Identity {
    Identity {
        issuer: "https://id.example.net".into(),
        subject: "0a11ce00".into(),
        username: Some(username.into()),
        name: None,
        email: None,
        groups: vec!["media".into()],
    }
}

/// A path that a pattern matches.
fn below(pattern: &str) -> String {
    pattern.replace('*', "some/thing")
}

/// Paths of every bypass of the catalogue, and some of no bypass.
fn paths() -> BTreeSet<String> {
    let bypasses = Preset::all().flat_map(|preset| preset.bypasses);
    let patterns = bypasses.flat_map(|bypass| bypass.paths);
    let others = [
        "/",
        "/login",
        "/admin",
        "/api",
        "/API/some/thing",
        "/static/app.js",
    ];
    let others = others.map(str::to_owned);
    patterns.map(|path| below(path)).chain(others).collect()
}

#[test]
fn entries_of_the_catalogue_are_whole() {
    let mut names = BTreeSet::new();
    for name in Preset::names() {
        assert!(names.insert(name), "{name} is there twice");
    }
    assert!(names.len() > 20, "{names:?}");
    for preset in Preset::all() {
        let id = preset.id;
        let texts = [preset.name, preset.what, preset.because];
        assert!(texts.iter().all(|text| !text.is_empty()), "{id}");
        assert!(!preset.at_the_app.is_empty(), "{id}");
        assert!(!preset.sources.is_empty(), "{id}: where is this from?");
        let is_url = |source: &&str| source.starts_with("https://");
        assert!(preset.sources.iter().all(is_url), "{id}");
        let is_hybrid = preset.posture == Posture::Hybrid;
        assert_eq!(is_hybrid, preset.upstream_header.is_some(), "{id}");
        let lower = |name: &&str| name.to_lowercase() == **name;
        assert!(preset.reserved_users.iter().all(lower), "{id}");
        for bypass in preset.bypasses {
            assert!(!bypass.paths.is_empty(), "{id} {}", bypass.name);
            assert!(!bypass.meaning.is_empty(), "{id} {}", bypass.name);
        }
        // The pattern is one that the answers lead to.
        let Answers {
            native_oidc,
            trusted_header,
            login_off,
            api_key,
            ..
        } = preset.answers;
        let decisive = match preset.posture {
            Posture::NativeOidc => native_oidc,
            Posture::TrustedHeader => trusted_header,
            Posture::Protect => login_off,
            Posture::Hybrid => api_key,
            Posture::Passthrough => preset.answers.several_users,
            Posture::Internal => continue,
        };
        assert!(matches!(decisive, Answer::Yes(_)), "{id}: {decisive:?}");
    }
}

#[test]
fn no_preset_opens_anything_by_itself() {
    for preset in Preset::all() {
        let config = config(|raw| app(raw, preset.id));
        let expected = if preset.opens() {
            Posture::Protect
        } else {
            preset.posture
        };
        assert_eq!(service(&config).posture, expected, "{}", preset.id);
        for path in paths() {
            let (outcome, reason) = outcome(&config, &path, None);
            assert_eq!(outcome, "challenge", "{} {path} {reason}", preset.id);
        }
        let member = outcome(&config, "/", Some(&person("ben")));
        assert_eq!(member.0, "allow", "{}: {}", preset.id, member.1);
    }
}

#[test]
fn a_bypass_opens_its_paths_and_no_other() {
    let mut count = 0;
    for preset in Preset::all() {
        for bypass in preset.bypasses {
            let config = config(|raw| {
                app(raw, preset.id);
                films(raw).preset_bypass = texts(&[bypass.name]);
            });
            let opened: BTreeSet<String> = bypass.paths.iter().map(|path| below(path)).collect();
            for path in paths() {
                let (outcome, _) = outcome(&config, &path, None);
                let expected = if opened.contains(&path) {
                    "allow"
                } else {
                    "challenge"
                };
                assert_eq!(outcome, expected, "{} {} {path}", preset.id, bypass.name);
            }
            let [rule] = service(&config).rules.as_slice() else {
                unreachable!("one bypass is one rule");
            };
            assert_eq!(rule.label, format!("preset_bypass[{}]", bypass.name));
            count += 1;
        }
    }
    assert!(count > 10, "{count}");
}

#[test]
fn reserved_names_are_nobodys_until_a_subject_is_listed() {
    let mut count = 0;
    for preset in Preset::all() {
        for name in preset.reserved_users {
            let closed = config(|raw| app(raw, preset.id));
            for spelling in [(*name).to_owned(), name.to_uppercase()] {
                let (outcome, reason) = outcome(&closed, "/", Some(&person(&spelling)));
                assert_eq!((outcome.as_str(), reason), ("deny", "reserved_user"));
            }
            let listed = config(|raw| {
                app(raw, preset.id);
                let subjects = Texts(vec!["0a11ce00".into()]);
                films(raw)
                    .reserved_users
                    .get_or_insert_default()
                    .insert(name.to_uppercase(), subjects);
            });
            assert_eq!(outcome(&listed, "/", Some(&person(name))).0, "allow");
            count += 1;
        }
    }
    assert!(count > 3, "{count}");
}

/// A name locks nobody out of an app that is told none.
#[test]
fn names_are_reserved_where_the_app_is_told_some() {
    let edits: [(&str, Edit, usize); 5] = [
        ("as advised", |raw| app(raw, "grafana"), 1),
        (
            "without headers",
            |raw| {
                app(raw, "grafana");
                films(raw).posture = Some("protect".into());
                films(raw).headers = Some(Vec::new());
            },
            0,
        ),
        (
            "its own login, and a folder behind ours",
            |raw| {
                app(raw, "paperless-ngx");
                films(raw).posture = Some("native_oidc".into());
                films(raw).policy = None;
                films(raw).rules = vec![RawRule {
                    paths: texts(&["/admin/*"]),
                    policy: Some("authenticated".into()),
                    ..RawRule::default()
                }];
            },
            0,
        ),
        (
            "its own login, and headers all the same",
            |raw| {
                app(raw, "paperless-ngx");
                films(raw).posture = Some("native_oidc".into());
                films(raw).headers = Some(vec![RawHeader::from("Remote-User".to_owned())]);
            },
            1,
        ),
        (
            "a token that says who it is",
            |raw| {
                app(raw, "grafana");
                films(raw).posture = Some("hybrid".into());
                films(raw).headers = Some(Vec::new());
                films(raw).upstream_headers = vec![RawUpstreamHeader {
                    name: Some("X-Id".into()),
                    token: Some("id_token".into()),
                    ..RawUpstreamHeader::default()
                }];
            },
            1,
        ),
    ];
    for (case, edit, expected) in edits {
        let config = config(edit);
        assert_eq!(service(&config).reserved_users.len(), expected, "{case}");
    }
}

/// What the operator opens or closes stands where it would without a preset.
#[test]
fn bypasses_stand_before_rules_and_the_operators_come_first() {
    let config = config(|raw| {
        app(raw, "sonarr");
        let films = films(raw);
        films.preset_bypass = texts(&["feed", "api"]);
        films.bypass = vec![RawBypass {
            paths: texts(&["/open/*"]),
            ..RawBypass::default()
        }];
        films.rules = vec![RawRule {
            paths: texts(&["/api/*", "/secret/*"]),
            policy: Some("deny".into()),
            ..RawRule::default()
        }];
    });
    let rules = service(&config).rules.iter();
    let labels: Vec<&str> = rules.map(|rule| rule.label.as_str()).collect();
    let expected = [
        "bypass[0]",
        "preset_bypass[feed]",
        "preset_bypass[api]",
        "rules[0]",
    ];
    assert_eq!(labels, expected);
    assert_eq!(outcome(&config, "/api/v3", None).0, "allow");
    assert_eq!(outcome(&config, "/secret/x", None).0, "deny");
}

#[test]
fn what_the_preset_knows_is_filled_in() {
    let netbox = config(|raw| app(raw, "netbox"));
    let netbox = service(&netbox);
    let headers: Vec<(&str, Attribute)> = netbox
        .headers
        .iter()
        .map(|header| (header.name.as_str(), header.attribute))
        .collect();
    let expected = [
        ("Remote-User", Attribute::Username),
        ("Remote-User-Email", Attribute::Email),
        ("Remote-User-Group", Attribute::Groups),
    ];
    assert_eq!(headers, expected);
    assert_eq!(netbox.style.group_separator, '|');
    let used = config(|raw| app(raw, "jellyseerr")).presets;
    assert_eq!(used["films"].id, "seerr", "an alias means the app");
}

#[test]
fn what_the_operator_writes_wins() {
    let config = config(|raw| {
        app(raw, "netbox");
        let films = films(raw);
        films.posture = Some("protect".into());
        films.headers = Some(vec![RawHeader::from("X-Email".to_owned())]);
        films.group_separator = Some(";".into());
    });
    let service = service(&config);
    assert_eq!(service.posture, Posture::Protect);
    assert_eq!(service.headers.len(), 1);
    assert_eq!(service.style.group_separator, ';');
}

/// Headers that an app would read are of no use where it signs people in itself.
#[test]
fn an_app_that_is_told_nothing_stays_so() {
    let config = config(|raw| {
        app(raw, "paperless-ngx");
        films(raw).posture = Some("native_oidc".into());
        films(raw).policy = None;
    });
    assert_eq!(service(&config).headers, []);
}

#[test]
#[rustfmt::skip] // one case a line
fn what_is_wrong_with_a_preset_is_said_once() {
    let cases: &[(Edit, &str)] = &[
        (|raw| app(raw, "sonar"),    "services.films.app: no preset is called \"sonar\" (did you mean \"sonarr\"?); `portcullis presets list` names them all"),
        (|raw| app(raw, "Grafana"),  "services.films.app: no preset is called \"Grafana\" (did you mean \"grafana\"?)"),
        (|raw| app(raw, "home_assistant"), "services.films.app: no preset is called \"home_assistant\" (did you mean \"home-assistant\"?)"),
        (|raw| app(raw, "doom"),     "services.films.app: no preset is called \"doom\"; "),
        (|raw| { app(raw, "sonar"); films(raw).policy = None; films(raw).preset_bypass = texts(&["api"]); }, "services.films.app: no preset is called \"sonar\""),
        (|raw| films(raw).preset_bypass = texts(&["api"]), "services.films.preset_bypass: needs app"),
        (|raw| { app(raw, "sonarr"); films(raw).preset_bypass = texts(&["apis"]); }, "services.films.preset_bypass: the preset sonarr has no bypass \"apis\" (did you mean \"api\"?); it has api, feed, ping"),
        (|raw| { app(raw, "grafana"); films(raw).preset_bypass = texts(&["api"]); }, "services.films.preset_bypass: the preset grafana has no bypass \"api\"; it has none"),
        (|raw| { app(raw, "sonarr"); films(raw).preset_bypass = texts(&["api", "api"]); }, "services.films.preset_bypass: \"api\" is listed twice"),
        (|raw| { app(raw, "plex"); films(raw).policy = None; }, "services.films.posture: must be given: \"passthrough\" is advised for Plex, because "),
        (|raw| { app(raw, "immich"); films(raw).policy = None; }, "services.films.posture: must be given: \"native_oidc\" is advised for Immich, because "),
        (|raw| { app(raw, "sonarr"); films(raw).policy = None; }, "services.films.policy: must be given"),
        (|raw| app(raw, "immich"),   "services.films.posture: is \"protect\", as long as nothing else is written, and for Immich that means two sign-ins: \"native_oidc\" is advised, because "),
        (|raw| { app(raw, "plex"); films(raw).policy = Some("optional".into()); }, "services.films.posture: is \"protect\", as long as nothing else is written: \"passthrough\" is advised, because "),
        (|raw| { app(raw, "grafana"); films(raw).reserved_users = Some(BTreeMap::new()); }, "services.films.reserved_users: is empty, and the preset reserves \"admin\" all the same: list the subject "),
        (|raw| app(raw, "paperless-ai"), "services.films.upstream_headers: posture = \"hybrid\" is for apps that want a credential as well"),
    ];
    for (edit, expected) in cases {
        let said = said(*edit);
        assert!(said.len() == 1 && said[0].starts_with(expected), "{expected}\n{said:?}");
    }
}

#[test]
fn whoever_chooses_a_posture_hears_no_advice() {
    let fine: &[Edit] = &[
        |raw| app(raw, "sonarr"),
        |raw| {
            app(raw, "immich");
            films(raw).posture = Some("protect".into());
        },
        |raw| {
            app(raw, "immich");
            films(raw).posture = Some("native_oidc".into());
            films(raw).policy = None;
        },
        |raw| {
            app(raw, "grafana");
            films(raw).posture = Some("native_oidc".into());
            films(raw).policy = None;
        },
    ];
    for (index, edit) in fine.iter().enumerate() {
        assert_eq!(said(*edit), [""; 0], "case {index}");
    }
}

/// Lets the service have a service worker, and these domains share a cookie.
fn worker(raw: &mut RawConfig, domains: &[&str]) {
    films(raw).service_worker = Some(true);
    raw.session.cookie_domains = texts(domains);
}

#[test]
#[rustfmt::skip] // one case a line
fn a_service_worker_wants_the_cookie_of_a_domain() {
    let cases: &[(&str, Edit, Option<&str>)] = &[
        ("a cookie of its own",   |raw| worker(raw, &[]), Some("list \"example.net\", which holds the portal too, in session.cookie_domains")),
        ("one of the domain",     |raw| worker(raw, &["example.net"]), None),
        ("without the portal",    |raw| { worker(raw, &["films.example.net"]); }, Some("list \"example.net\"")),
        ("isolated",              |raw| { worker(raw, &["example.net"]); films(raw).isolated = true; }, Some("leave isolated out, and list \"example.net\"")),
        ("elsewhere",             |raw| { worker(raw, &[]); films(raw).host = texts(&["films.example.org"]); }, Some("share no domain whose cookie could help")),
        ("below a public suffix", |raw| { worker(raw, &[]); films(raw).host = texts(&["films.co.uk"]); raw.server.public_url = Some("https://auth.co.uk".into()); }, Some("share no domain")),
        ("an address",            |raw| { worker(raw, &[]); films(raw).host = texts(&["192.0.2.1"]); }, Some("share no domain")),
        ("a wildcard",            |raw| { worker(raw, &[]); films(raw).host = texts(&["*.lab.example.net"]); }, Some("list \"example.net\"")),
        ("nobody is asked",       |raw| { worker(raw, &[]); films(raw).posture = Some("passthrough".into()); films(raw).policy = None; }, None),
        ("by the preset",         |raw| app(raw, "seerr"), Some("list \"example.net\"")),
        ("not by its word",       |raw| { app(raw, "seerr"); films(raw).service_worker = Some(false); }, None),
    ];
    for (case, edit, expected) in cases {
        let warnings = config(*edit).warnings;
        let lines: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        match expected {
            None => assert_eq!(lines, [""; 0], "{case}"),
            Some(expected) => {
                assert_eq!(lines.len(), 1, "{case}: {lines:?}");
                assert!(lines[0].starts_with("services.films.service_worker: "), "{case}: {lines:?}");
                assert!(lines[0].contains(expected), "{case}: {lines:?}");
            }
        }
    }
}

#[test]
fn the_schema_has_every_name() {
    let schema = schema();
    let choices = &schema["$defs"]["RawService"]["properties"]["app"]["enum"];
    let names: Vec<&str> = Preset::names().collect();
    assert_eq!(*choices, serde_json::json!(names));
}
