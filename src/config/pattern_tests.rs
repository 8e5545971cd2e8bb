//! The keys of the patterns, good and bad, as tables: one edit each, and how what is said about it begins.

use std::path::Path;

use super::*;

type Edit = fn(&mut RawConfig);

#[expect(
    clippy::unnecessary_wraps,
    reason = "what a key holds is optional everywhere"
)]
fn texts(texts: &[&str]) -> Option<Vec<String>> {
    Some(texts.iter().map(ToString::to_string).collect())
}

fn good() -> RawConfig {
    let mut raw = RawConfig::default();
    raw.server.public_url = Some("https://auth.example.net".into());
    raw.oidc.issuer = Some("https://id.example.net".into());
    raw.oidc.client_id = Some("portcullis".into());
    raw.session.store = Some("memory:".into());
    let media = RawPolicy {
        allowed_groups: texts(&["media"]),
        ..RawPolicy::default()
    };
    raw.policies.insert("media".into(), media);
    let films = RawService {
        host: texts(&["films.example.net"]),
        policy: Some("media".into()),
        ..RawService::default()
    };
    raw.services.insert("films".into(), films);
    raw
}

fn films(raw: &mut RawConfig) -> &mut RawService {
    raw.services.get_mut("films").expect("it is there")
}

fn media(raw: &mut RawConfig) -> &mut RawPolicy {
    raw.policies.get_mut("media").expect("it is there")
}

fn rule(raw: &mut RawConfig) -> &mut RawRule {
    let rules = &mut films(raw).rules;
    rules.push(RawRule {
        paths: texts(&["/a"]),
        policy: Some("deny".into()),
        ..RawRule::default()
    });
    rules.last_mut().expect("it was just added")
}

fn said_about(edit: Edit) -> (Vec<String>, Vec<String>) {
    let mut raw = good();
    edit(&mut raw);
    let lines = |problems: &[Problem]| problems.iter().map(ToString::to_string).collect();
    match Config::from_raw(&raw, Path::new("/nowhere")) {
        Ok(config) => (Vec::new(), lines(&config.warnings)),
        Err(problems) => (lines(problems.errors()), lines(problems.warnings())),
    }
}

fn header(name: &str, claim: Option<&str>) -> RawHeader {
    RawHeader {
        name: Some(name.into()),
        claim: claim.map(str::to_owned),
    }
}

fn upstream(name: &str) -> RawUpstreamHeader {
    RawUpstreamHeader {
        name: Some(name.into()),
        token: Some("access_token".into()),
        ..RawUpstreamHeader::default()
    }
}

fn posture(raw: &mut RawConfig, posture: &str) {
    films(raw).posture = Some(posture.into());
}

#[test]
#[rustfmt::skip] // one case a line
fn bad_patterns_are_refused() {
    let cases: &[(Edit, &str)] = &[
        (|raw| posture(raw, "trusted"),                                        "services.films.posture: must be one of"),
        (|raw| { posture(raw, "internal"); films(raw).policy = None; },        "services.films.allowed_networks: must be given"),
        (|raw| films(raw).allowed_networks = texts(&["10.0.0.0/8"]),           "services.films.allowed_networks: "),
        (|raw| films(raw).headers = Some(vec![header("X-WEBAUTH-USER", None)]), "services.films.headers"),
        (|raw| films(raw).headers = Some(vec![header("X-Me", Some("nmae"))]),  "services.films.headers"),
        (|raw| films(raw).headers = Some(vec![header("Cookie", Some("name"))]), "services.films.headers"),
        (|raw| films(raw).headers = Some(vec![header("X Y", Some("name"))]),   "services.films.headers"),
        (|raw| films(raw).headers = Some(vec![header("X-Email", None), header("x-email", None)]), "services.films.headers[1]"),
        (|raw| { posture(raw, "trusted_header"); films(raw).headers = Some(vec![header("Remote-Groups", None)]); }, "services.films.headers: "),
        (|raw| films(raw).header_encoding = Some("utf-8".into()),              "services.films.header_encoding: must be one of"),
        (|raw| films(raw).group_separator = Some("; ".into()),                 "services.films.group_separator: "),
        (|raw| films(raw).group_separator = Some("\n".into()),                 "services.films.group_separator: "),
        (|raw| films(raw).upstream_headers = vec![upstream("Remote-User")],    "services.films.upstream_headers[0].name: "),
        (|raw| films(raw).upstream_headers = vec![upstream("X-Email")],        "services.films.upstream_headers[0].name: "),
        (|raw| films(raw).upstream_headers = vec![upstream("Connection")],     "services.films.upstream_headers[0].name: "),
        (|raw| films(raw).upstream_headers = vec![upstream("X-Key"), upstream("x-key")], "services.films.upstream_headers[1].name: "),
        (|raw| films(raw).upstream_headers = vec![RawUpstreamHeader { token: None, ..upstream("X-Key") }], "services.films.upstream_headers[0]: needs"),
        (|raw| films(raw).upstream_headers = vec![RawUpstreamHeader { token: Some("acces_token".into()), ..upstream("X-Key") }], "services.films.upstream_headers[0].token: must be one of"),
        (|raw| films(raw).upstream_headers = vec![RawUpstreamHeader { token: None, value: Some("hunter2".into()), ..upstream("X-Key") }], "services.films.upstream_headers[0].value: secrets do not belong here"),
        (|raw| films(raw).upstream_headers = vec![RawUpstreamHeader { token: None, value_file: Some("missing".into()), ..upstream("X-Key") }], "services.films.upstream_headers[0].value_file: "),
        (|raw| films(raw).upstream_headers = vec![RawUpstreamHeader { only_groups: texts(&[]), ..upstream("X-Key") }], "services.films.upstream_headers[0].only_groups: is empty"),
        (|raw| films(raw).allowed_origins = texts(&["dashboard.example.net"]), "services.films.allowed_origins: "),
        (|raw| films(raw).allowed_origins = texts(&["https://a.example.net/x"]), "services.films.allowed_origins: "),
        (|raw| { films(raw).same_origin_guard = Some(false); films(raw).allowed_origins = texts(&["https://a.example.net"]); }, "services.films.allowed_origins: "),
        (|raw| rule(raw).requires_header = Some(RawRequiredHeader::default()), "services.films.rules[0].requires_header.name: must be given"),
        (|raw| rule(raw).requires_header = Some(RawRequiredHeader { name: Some("X Y".into()), ..RawRequiredHeader::default() }), "services.films.rules[0].requires_header"),
        (|raw| media(raw).allowed_email_domains = texts(&["@example.net"]),    "policies.media.allowed_email_domains: "),
        (|raw| raw.session.cookie_domains = texts(&["co.uk"]),                 "session.cookie_domains: "),
        (|raw| raw.session.cookie_domains = texts(&["net"]),                   "session.cookie_domains: "),
        (|raw| raw.session.cookie_domains = texts(&["10.0.0.1"]),              "session.cookie_domains: "),
    ];
    for (edit, expected) in cases {
        let (errors, _) = said_about(*edit);
        assert!(errors.len() == 1 && errors[0].starts_with(expected), "{expected}: {errors:?}");
    }
}

#[test]
#[rustfmt::skip] // one case a line
fn odd_patterns_are_warned_about() {
    let cases: &[(Edit, &str)] = &[
        (|raw| posture(raw, "hybrid"),                          "services.films"),
        (|raw| posture(raw, "native_oidc"),                     "services.films"),
        (|raw| media(raw).allowed_users = texts(&["name:ada"]), "policies.media.allowed_users: "),
    ];
    for (edit, expected) in cases {
        let (errors, warnings) = said_about(*edit);
        assert_eq!(errors, [""; 0], "{expected}");
        assert!(warnings.len() == 1 && warnings[0].starts_with(expected), "{expected}: {warnings:?}");
    }
}

#[test]
fn good_patterns_are_taken_without_a_word() {
    let cases: &[Edit] = &[
        |raw| media(raw).allowed_users = texts(&["0a11ce00"]),
        |raw| {
            let webauth = header("X-WEBAUTH-USER", Some("username"));
            films(raw).headers = Some(vec![webauth, header("X-Email", None)]);
        },
        |raw| films(raw).headers = Some(Vec::new()),
        |raw| {
            posture(raw, "internal");
            films(raw).policy = None;
            films(raw).allowed_networks = texts(&["10.0.0.0/8"]);
        },
        |raw| {
            posture(raw, "passthrough");
            films(raw).policy = None;
        },
        |raw| {
            posture(raw, "hybrid");
            films(raw).upstream_headers = vec![upstream("X-Key")];
        },
        |raw| films(raw).allowed_origins = texts(&["https://dashboard.example.net"]),
        |raw| raw.session.cookie_domains = texts(&["example.net"]),
    ];
    for (index, edit) in cases.iter().enumerate() {
        assert_eq!(said_about(*edit), (vec![], vec![]), "case {index}");
    }
}
