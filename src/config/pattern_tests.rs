//! The keys of the patterns, good and bad, as tables: one edit each, and how what is said about it begins.

use super::tests::{Edit, films, good, media, rule, said_about, texts};
use super::*;
use crate::domain::policy::Requirement;
use crate::domain::service::ServicePolicy;
use crate::domain::upstream_key::Credential;

fn header(name: &str, claim: Option<&str>) -> RawHeader {
    RawHeader {
        name: Some(name.into()),
        claim: claim.map(str::to_owned),
    }
}

pub(super) fn upstream(name: &str) -> RawUpstreamHeader {
    RawUpstreamHeader {
        name: Some(name.into()),
        token: Some("access_token".into()),
        ..RawUpstreamHeader::default()
    }
}

fn posture(raw: &mut RawConfig, posture: &str) {
    films(raw).posture = Some(posture.into());
}

/// Its own login only, beside a cookie for a whole domain.
fn open_below(raw: &mut RawConfig, domain: &str) {
    posture(raw, "passthrough");
    films(raw).policy = None;
    raw.session.cookie_domains = texts(&[domain]);
}

/// Each edit leads to one error, which begins like this.
fn check_errors(cases: &[(Edit, &str)]) {
    for (edit, expected) in cases {
        let (errors, _) = said_about(*edit);
        assert!(
            errors.len() == 1 && errors[0].starts_with(expected),
            "{expected}: {errors:?}"
        );
    }
}

#[test]
#[rustfmt::skip] // one case a line
fn bad_postures_and_headers_are_refused() {
    check_errors(&[
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
        (|raw| posture(raw, "Internal"),                                       "services.films.posture: must be one of \"protect\", \"trusted_header\", \"hybrid\", \"native_oidc\", \"passthrough\", \"internal\" (did you mean \"internal\"?)"),
        (|raw| { posture(raw, "internal"); films(raw).allowed_networks = texts(&["10.0.0.0/8"]); }, "services.films.policy: an internal service has none"),
        (|raw| { posture(raw, "internal"); films(raw).policy = None; films(raw).allowed_networks = texts(&[]); }, "services.films.allowed_networks: is empty"),
        (|raw| { posture(raw, "internal"); films(raw).policy = None; films(raw).allowed_networks = texts(&["lan"]); }, "services.films.allowed_networks: \"lan\" is not a network"),
        (|raw| { posture(raw, "hybrid"); films(raw).policy = None; films(raw).upstream_headers = vec![upstream("X-Key")]; }, "services.films.policy: must be given"),
        (|raw| { posture(raw, "native_oidc"); films(raw).policy = Some("medai".into()); }, "services.films.policy: no policy is called \"medai\" (did you mean \"media\"?)"),
        (|raw| films(raw).name = Some(" ".into()),                             "services.films.name: must be 1 to 100 characters of text"),
        (|raw| films(raw).name = Some("Films\n".into()),                       "services.films.name: must be 1 to 100 characters of text"),
        (|raw| films(raw).headers = Some(vec![header("Remote-Usr", None)]),    "services.films.headers: \"Remote-Usr\" does not say by itself what it holds (did you mean \"Remote-User\"?): write { name = \"Remote-Usr\", claim = \"preferred_username\" }"),
        (|raw| films(raw).headers = Some(vec![header("X-Me", Some("emial"))]), "services.films.headers[0].claim: must be one of \"preferred_username\", \"username\", \"name\", \"email\", \"groups\", \"sub\" (did you mean \"email\"?)"),
        (|raw| films(raw).headers = Some(vec![RawHeader { name: None, claim: Some("name".into()) }]), "services.films.headers[0].name: must be given"),
        (|raw| films(raw).headers = Some(vec![header("Portcullis-User", Some("name"))]), "services.films.headers: \"Portcullis-User\" is one of Portcullis's own names"),
        (|raw| films(raw).headers = Some(vec![header("authorization", Some("name"))]), "services.films.headers: \"authorization\" is for credentials: name it in upstream_headers"),
        (|raw| films(raw).headers = Some(vec![header("X-Forwarded-For", Some("name"))]), "services.films.headers: \"X-Forwarded-For\" has a meaning of its own in HTTP"),
        (|raw| films(raw).headers = Some(vec![header("", Some("name"))]),      "services.films.headers: \"\" is not the name of a header"),
        (|raw| films(raw).headers = Some(vec![header("Näme", Some("name"))]),  "services.films.headers: \"Näme\" is not the name of a header"),
        (|raw| { posture(raw, "trusted_header"); films(raw).headers = Some(vec![]); }, "services.films.headers: posture = \"trusted_header\" needs a header that says who it is"),
        (|raw| films(raw).group_separator = Some(String::new()),               "services.films.group_separator: must be one printable ASCII character"),
        (|raw| films(raw).group_separator = Some("·".into()),                  "services.films.group_separator: must be one printable ASCII character"),
        (|raw| films(raw).group_separator = Some("\u{7f}".into()),             "services.films.group_separator: must be one printable ASCII character"),
    ]);
}

#[test]
#[rustfmt::skip] // one case a line
fn bad_credentials_are_refused() {
    check_errors(&[
        (|raw| films(raw).upstream_headers = vec![upstream("Remote-User")],    "services.films.upstream_headers[0].name: "),
        (|raw| films(raw).upstream_headers = vec![upstream("X-Email")],        "services.films.upstream_headers[0].name: "),
        (|raw| films(raw).upstream_headers = vec![upstream("Connection")],     "services.films.upstream_headers[0].name: "),
        (|raw| films(raw).upstream_headers = vec![upstream("X-Key"), upstream("x-key")], "services.films.upstream_headers[1].name: "),
        (|raw| films(raw).upstream_headers = vec![RawUpstreamHeader { token: None, ..upstream("X-Key") }], "services.films.upstream_headers[0]: needs"),
        (|raw| films(raw).upstream_headers = vec![RawUpstreamHeader { token: Some("acces_token".into()), ..upstream("X-Key") }], "services.films.upstream_headers[0].token: must be one of"),
        (|raw| films(raw).upstream_headers = vec![RawUpstreamHeader { token: None, value: Some("hunter2".into()), ..upstream("X-Key") }], "services.films.upstream_headers[0].value: secrets do not belong here"),
        (|raw| films(raw).upstream_headers = vec![RawUpstreamHeader { token: None, value_file: Some("missing".into()), ..upstream("X-Key") }], "services.films.upstream_headers[0].value_file: "),
        (|raw| films(raw).upstream_headers = vec![RawUpstreamHeader { only_groups: texts(&[]), ..upstream("X-Key") }], "services.films.upstream_headers[0].only_groups: is empty"),
        (|raw| films(raw).upstream_headers = vec![RawUpstreamHeader { name: None, ..upstream("") }], "services.films.upstream_headers[0].name: must be given"),
        (|raw| films(raw).upstream_headers = vec![upstream("Cookie")],         "services.films.upstream_headers[0].name: \"Cookie\" has a meaning of its own in HTTP"),
        (|raw| films(raw).upstream_headers = vec![upstream("host")],           "services.films.upstream_headers[0].name: \"host\" has a meaning of its own in HTTP"),
        (|raw| films(raw).upstream_headers = vec![upstream("Content-Length")], "services.films.upstream_headers[0].name: \"Content-Length\" has a meaning of its own in HTTP"),
        (|raw| films(raw).upstream_headers = vec![upstream("Portcullis-Key")], "services.films.upstream_headers[0].name: \"Portcullis-Key\" is one of Portcullis's own names"),
        (|raw| films(raw).upstream_headers = vec![upstream("X-Auth-Request-User")], "services.films.upstream_headers[0].name: \"X-Auth-Request-User\" says who somebody is"),
        // The name of another service's header about people: one copy list holds for all.
        (|raw| {
            films(raw).upstream_headers = vec![upstream("x-webauth-user")];
            let headers = Some(vec![header("X-WEBAUTH-USER", Some("sub"))]);
            let charts = RawService { host: texts(&["charts.example.net"]), policy: Some("media".into()), headers, ..RawService::default() };
            raw.services.insert("charts".into(), charts);
        }, "services.films.upstream_headers[0].name: \"x-webauth-user\" says who somebody is"),
        (|raw| films(raw).upstream_headers = vec![RawUpstreamHeader { value_file: Some("key".into()), ..upstream("X-Key") }], "services.films.upstream_headers[0]: holds more than one credential"),
        (|raw| films(raw).upstream_headers = vec![RawUpstreamHeader { username: Some("ada".into()), ..upstream("X-Key") }], "services.films.upstream_headers[0]: holds more than one credential"),
        (|raw| films(raw).upstream_headers = vec![RawUpstreamHeader { token: None, username: Some("ada".into()), ..upstream("X-Key") }], "services.films.upstream_headers[0].password_file: must be given"),
        (|raw| { raw.danger_allow_inline_secrets = true; films(raw).upstream_headers = vec![RawUpstreamHeader { token: None, password: Some("hunter2".into()), ..upstream("X-Key") }]; }, "services.films.upstream_headers[0].username: must be given"),
        (|raw| { raw.danger_allow_inline_secrets = true; films(raw).upstream_headers = vec![RawUpstreamHeader { token: None, username: Some("a:b".into()), password: Some("hunter2".into()), ..upstream("X-Key") }]; }, "services.films.upstream_headers[0].username: must not hold a colon"),
        (|raw| films(raw).upstream_headers = vec![RawUpstreamHeader { token: None, username: Some("ada".into()), password: Some("hunter2".into()), ..upstream("X-Key") }], "services.films.upstream_headers[0].password: secrets do not belong here"),
        (|raw| { raw.danger_allow_inline_secrets = true; films(raw).upstream_headers = vec![RawUpstreamHeader { token: None, value: Some("hunter2\r\nX: y".into()), ..upstream("X-Key") }]; }, "services.films.upstream_headers[0].value: holds something that no header can carry"),
        (|raw| { raw.danger_allow_inline_secrets = true; films(raw).upstream_headers = vec![RawUpstreamHeader { token: None, value: Some("hünter".into()), ..upstream("X-Key") }]; }, "services.films.upstream_headers[0].value: holds something that no header can carry"),
        (|raw| { raw.danger_allow_inline_secrets = true; films(raw).upstream_headers = vec![RawUpstreamHeader { token: None, value: Some("".into()), ..upstream("X-Key") }]; }, "services.films.upstream_headers[0].value: is empty"),
        (|raw| films(raw).upstream_headers = vec![RawUpstreamHeader { token: None, value: Some("a".into()), value_file: Some("b".into()), ..upstream("X-Key") }], "services.films.upstream_headers[0].value: is given twice: here and by value_file"),
        (|raw| films(raw).upstream_headers = vec![RawUpstreamHeader { only_groups: texts(&["media", ""]), ..upstream("X-Key") }], "services.films.upstream_headers[0].only_groups[1]: is blank"),
    ]);
}

#[test]
#[rustfmt::skip] // one case a line
fn bad_rules_origins_and_people_are_refused() {
    check_errors(&[
        (|raw| films(raw).allowed_origins = texts(&["dashboard.example.net"]), "services.films.allowed_origins: "),
        (|raw| films(raw).allowed_origins = texts(&["https://a.example.net/x"]), "services.films.allowed_origins: "),
        (|raw| { films(raw).same_origin_guard = Some(false); films(raw).allowed_origins = texts(&["https://a.example.net"]); }, "services.films.allowed_origins: "),
        (|raw| rule(raw).requires_header = Some(RawRequiredHeader::default()), "services.films.rules[0].requires_header.name: must be given"),
        (|raw| rule(raw).requires_header = Some(RawRequiredHeader { name: Some("X Y".into()), ..RawRequiredHeader::default() }), "services.films.rules[0].requires_header"),
        (|raw| media(raw).allowed_email_domains = texts(&["@example.net"]),    "policies.media.allowed_email_domains: "),
        (|raw| films(raw).allowed_origins = texts(&["https://a.example.net/"]), "services.films.allowed_origins: an origin is a scheme, a host and perhaps a port"),
        (|raw| films(raw).allowed_origins = texts(&["http://a.example.net"]),  "services.films.allowed_origins: must begin with https://"),
        (|raw| films(raw).allowed_origins = texts(&["https://a.example.net", "*"]), "services.films.allowed_origins[1]: must be a URL"),
        (|raw| films(raw).allowed_origins = texts(&["https://*.example.net"]), "services.films.allowed_origins: the host is none that pages can come from"),
        (|raw| films(raw).allowed_origins = texts(&["null"]),                  "services.films.allowed_origins: must be a URL"),
        (|raw| { posture(raw, "passthrough"); films(raw).policy = None; films(raw).allowed_origins = texts(&["https://a.example.net"]); }, "services.films.allowed_origins: means nothing with posture = \"passthrough\""),
        (|raw| { films(raw).reserved_users.insert(" ".into(), Texts::default()); }, "services.films.reserved_users. : is blank"),
        (|raw| { films(raw).reserved_users.insert("admin".into(), Texts(vec![String::new()])); }, "services.films.reserved_users.admin: is blank"),
        (|raw| { for name in ["Admin", "admin"] { films(raw).reserved_users.insert(name.into(), Texts::default()); } }, "services.films.reserved_users.admin: differs from \"Admin\" in letter case alone"),
        (|raw| { let rule = rule(raw); rule.paths = None; rule.requires_header = Some(RawRequiredHeader { name: Some("X-Key".into()), value_file: Some("missing".into()), value: None }); }, "services.films.rules[0].requires_header.value_file: /nowhere/missing cannot be read: it does not exist"),
        (|raw| rule(raw).requires_header = Some(RawRequiredHeader { name: Some("X-Key".into()), value: Some("hunter2".into()), value_file: None }), "services.films.rules[0].requires_header.value: secrets do not belong here"),
        (|raw| films(raw).bypass = vec![RawBypass { requires_header: Some("X-Key".to_owned().into()), ..RawBypass::default() }], "services.films.bypass[0]: needs paths or allowed_networks"),
        (|raw| media(raw).allowed_users = texts(&[]),                          "policies.media.allowed_users: is empty"),
        (|raw| media(raw).allowed_users = texts(&["name:"]),                   "policies.media.allowed_users: \"name:\" names nobody"),
        (|raw| media(raw).allowed_users = texts(&["0a11ce00", " "]),           "policies.media.allowed_users[1]: is blank"),
        (|raw| media(raw).allowed_email_domains = texts(&[]),                  "policies.media.allowed_email_domains: is empty"),
        (|raw| media(raw).allowed_email_domains = texts(&["ada@example.net"]), "policies.media.allowed_email_domains: \"ada@example.net\" is not what stands behind the @"),
        (|raw| media(raw).allowed_email_domains = texts(&["*.example.net"]),   "policies.media.allowed_email_domains: "),
        (|raw| media(raw).allowed_email_domains = texts(&["localhost"]),       "policies.media.allowed_email_domains: "),
        (|raw| media(raw).allowed_email_domains = texts(&["10.0.0.1"]),        "policies.media.allowed_email_domains: "),
        (|raw| raw.session.cookie_domains = texts(&["github.io"]),             "session.cookie_domains: \"github.io\" is a public suffix"),
        (|raw| raw.session.cookie_domains = texts(&["localhost"]),             "session.cookie_domains: \"localhost\" is a public suffix"),
        (|raw| raw.session.cookie_domains = texts(&[".example.net"]),          "session.cookie_domains: \".example.net\" is not a domain"),
        (|raw| raw.session.cookie_domains = texts(&["example.net:8443"]),      "session.cookie_domains: \"example.net:8443\" is not a domain"),
        (|raw| raw.session.cookie_domains = texts(&["example.net", "Example.NET."]), "session.cookie_domains[1]: \"example.net\" is listed twice"),
        (|raw| raw.session.cookie_domains = texts(&["example.net", "lab.example.net"]), "session.cookie_domains: \"lab.example.net\" lies below \"example.net\""),
        (|raw| raw.session.cookie_domains = texts(&["co.uk"]),                 "session.cookie_domains: "),
        (|raw| raw.session.cookie_domains = texts(&["net"]),                   "session.cookie_domains: "),
        (|raw| raw.session.cookie_domains = texts(&["10.0.0.1"]),              "session.cookie_domains: "),
    ]);
}

#[test]
#[rustfmt::skip] // one case a line
fn odd_patterns_are_warned_about() {
    let cases: &[(Edit, &str)] = &[
        (|raw| posture(raw, "hybrid"),                          "services.films"),
        (|raw| posture(raw, "native_oidc"),                     "services.films"),
        (|raw| media(raw).allowed_users = texts(&["name:ada"]), "policies.media.allowed_users: "),
        (|raw| media(raw).allowed_users = texts(&["1", "email:ada@example.net"]), "policies.media.allowed_users[1]: \"email:ada@example.net\": at some providers people change this themselves"),
        (|raw| posture(raw, "hybrid"),                          "services.films.upstream_headers: posture = \"hybrid\" is for apps that want a credential as well"),
        (|raw| posture(raw, "native_oidc"),                     "services.films.policy: double login"),
        (|raw| { posture(raw, "native_oidc"); films(raw).policy = Some("from_proxy".into()); }, "services.films.policy: double login"),
        (|raw| posture(raw, "passthrough"),                     "services.films.policy: asks for a login, and posture = \"passthrough\" says"),
        (|raw| { posture(raw, "native_oidc"); films(raw).policy = None; films(raw).upstream_headers = vec![upstream("X-Key")]; }, "services.films.upstream_headers: are never sent"),
        (|raw| { posture(raw, "passthrough"); films(raw).policy = None; films(raw).upstream_headers = vec![upstream("X-Key")]; }, "services.films.upstream_headers: are never sent"),
        (|raw| {
            posture(raw, "internal");
            films(raw).policy = None;
            films(raw).allowed_networks = texts(&["10.0.0.0/8"]);
            films(raw).upstream_headers = vec![upstream("X-Key")];
        }, "services.films.upstream_headers: are never sent"),
        (|raw| {
            let rule = rule(raw);
            rule.paths = None;
            rule.policy = Some("bypass".into());
            rule.requires_header = Some("X-Key".to_owned().into());
        }, "services.films.rules[0]: opens everything to whoever sends this header"),
        (|raw| open_below(raw, "example.net"), "services.films.posture: browsers send it the cookie of \"example.net\""),
        (|raw| { open_below(raw, "example.net"); films(raw).isolated = true; }, "services.films.posture: browsers send it the cookie of \"example.net\""),
        (|raw| { open_below(raw, "example.net"); films(raw).host = texts(&["*.net"]); }, "services.films.posture: browsers send it the cookie of \"example.net\""),
        (|raw| { open_below(raw, "lab.example.net"); films(raw).host = texts(&["x.example.org", "*.example.net"]); }, "services.films.posture: browsers send it the cookie of \"lab.example.net\""),
        (|raw| rule(raw).allowed_networks = texts(&["8.0.0.0/7"]), "services.films.rules[0].allowed_networks: 8.0.0.0/7 is wide"),
        (|raw| rule(raw).allowed_networks = texts(&["2000::/3"]), "services.films.rules[0].allowed_networks: 2000::/3 is wide"),
        (|raw| {
            raw.server.trusted_proxies = texts(&["172.18.0.0/16"]);
            rule(raw).allowed_networks = texts(&["10.0.0.0/8", "172.16.0.0/12"]);
        }, "services.films.rules[0].allowed_networks[1]: 172.16.0.0/12 holds proxies of server.trusted_proxies (172.18.0.0/16): where something before them hides"),
        (|raw| {
            raw.server.trusted_proxies = texts(&["10.0.0.0/8"]);
            posture(raw, "internal");
            films(raw).policy = None;
            films(raw).allowed_networks = texts(&["10.1.0.0/16"]);
        }, "services.films.allowed_networks: 10.1.0.0/16 holds proxies of server.trusted_proxies (10.0.0.0/8)"),
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
        |raw| raw.session.cookie_domains = texts(&["example.net", "example.org", "dev.localhost"]),
        |raw| open_below(raw, "lab.example.net"),
        |raw| open_below(raw, "example.org"),
        // What closes a part of it stands before all of it.
        |raw| {
            open_below(raw, "example.net");
            rule(raw).policy = Some("media".into());
        },
        |raw| films(raw).name = Some("Spätfilme".into()),
        |raw| films(raw).group_separator = Some(" ".into()),
        |raw| rule(raw).requires_header = Some("X-Key".to_owned().into()),
        |raw| {
            let rule = rule(raw);
            rule.requires_header = Some("X-Key".to_owned().into());
            rule.paths = None;
        },
        |raw| {
            posture(raw, "native_oidc");
            films(raw).policy = Some("optional".into());
        },
        // The rule asks who comes, so the credential has somebody to go with.
        |raw| {
            posture(raw, "passthrough");
            films(raw).policy = None;
            films(raw).upstream_headers = vec![upstream("X-Key")];
            rule(raw).policy = Some("media".into());
        },
        |raw| rule(raw).allowed_networks = texts(&["fc00::/7", "192.168.0.0/16"]),
    ];
    for (index, edit) in cases.iter().enumerate() {
        assert_eq!(said_about(*edit), (vec![], vec![]), "case {index}");
    }
}

fn taken(edit: Edit) -> Config {
    let mut raw = good();
    edit(&mut raw);
    Config::from_raw(&raw, Path::new("/nowhere")).expect("a good configuration")
}

/// What every posture comes to where nothing else is said.
#[test]
fn a_posture_sets_policy_headers_and_guard() {
    let cases = [
        ("protect", "media", 4, true),
        ("trusted_header", "media", 4, true),
        ("hybrid", "media", 4, true),
        ("native_oidc", "bypass", 0, false),
        ("passthrough", "bypass", 4, false),
        ("internal", "internal", 0, false),
    ];
    for (name, policy, headers, guarded) in cases {
        let mut raw = good();
        posture(&mut raw, name);
        if policy != "media" {
            films(&mut raw).policy = None;
        }
        if name == "internal" {
            films(&mut raw).allowed_networks = texts(&["10.0.0.0/8"]);
        }
        let config = Config::from_raw(&raw, Path::new("/nowhere")).expect("a good configuration");
        let service = &config.services.services()[0];
        let ServicePolicy::Own(found) = &service.policy else {
            unreachable!("the proxy was not asked")
        };
        assert_eq!(service.posture.as_str(), name);
        assert_eq!(found.name, policy, "{name}");
        assert_eq!(service.headers.len(), headers, "{name}");
        assert_eq!(service.guard.is_some(), guarded, "{name}");
        assert_eq!(service.title, "films", "{name}");
    }
}

#[test]
fn origins_are_taken_as_browsers_send_them() {
    let config = taken(|raw| {
        films(raw).allowed_origins = texts(&[
            "https://Dashboard.example.net:443",
            "https://bücher.example.net:8443",
        ]);
    });
    let guard = config.services.services()[0]
        .guard
        .clone()
        .expect("a guard");
    let expected = [
        "https://dashboard.example.net",
        "https://xn--bcher-kva.example.net:8443",
    ];
    assert_eq!(guard.allowed_origins, expected);
}

#[test]
fn mail_domains_are_compared_in_lower_case_and_in_either_spelling() {
    let config = taken(|raw| {
        media(raw).allowed_email_domains = texts(&["Example.NET", "Bücher.example"]);
    });
    let policy = config.policies.get("media").expect("it is there");
    let Requirement::Conditions(conditions) = &policy.requirement else {
        unreachable!("it has conditions")
    };
    let expected = ["example.net", "bücher.example", "xn--bcher-kva.example"];
    assert_eq!(conditions.allowed_email_domains, expected);
}

#[test]
fn tokens_in_authorization_are_bearers() {
    let config = taken(|raw| {
        films(raw).upstream_headers = vec![upstream("authorization"), upstream("X-Token")];
    });
    let prefixes =
        config.services.services()[0]
            .upstream
            .iter()
            .map(|header| match header.credential {
                Credential::Token { prefix, .. } => prefix,
                _ => "no token",
            });
    assert_eq!(prefixes.collect::<Vec<_>>(), ["Bearer ", ""]);
}
