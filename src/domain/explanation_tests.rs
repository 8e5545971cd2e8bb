//! Explanations as tables: who asks for what, and what is said about it.

use std::sync::Arc;

use super::*;
use crate::domain::decision::decide;
use crate::domain::host::{Authority, Scheme};
use crate::domain::navigation::Initiator;
use crate::domain::path_pattern::PathPattern;
use crate::domain::policy::{Conditions, Requirement};
use crate::domain::proxies::ClientAddress;
use crate::domain::service_host::ServiceHost;
use crate::domain::telling::Value;
use crate::domain::upstream_key::{Credential, LiveSecret, UpstreamHeader};

fn policies() -> Policies {
    let groups = |name: &str, allowed: &[&str]| Policy {
        name: name.into(),
        requirement: Requirement::Conditions(Conditions {
            allowed_groups: allowed.iter().map(ToString::to_string).collect(),
            ..Conditions::default()
        }),
    };
    Policies::new([
        groups("admins", &["admins"]),
        groups("media", &["admins", "media"]),
    ])
}

/// Sonarr: its API is open to programs of the own network, its settings to administrators.
fn services(policies: &Policies) -> ServiceTable {
    let policy = |name: &str| Arc::clone(policies.get(name).expect("a policy"));
    let paths = |paths: &[&str]| {
        let parse = |path: &&str| PathPattern::parse(path).expect("a pattern");
        paths.iter().map(parse).collect()
    };
    let rule = |label: &str, paths, networks: &[&str], policy| Rule {
        label: label.into(),
        paths,
        methods: Vec::new(),
        networks: networks
            .iter()
            .map(|one| one.parse().expect("a network"))
            .collect(),
        header: None,
        policy,
    };
    let host = |host: &str| vec![ServiceHost::parse(host).expect("a host")];
    let own = ServicePolicy::Own(policy("media"));
    let mut sonarr = Service::new("sonarr", host("sonarr.example.net"), own);
    sonarr.rules = vec![
        rule(
            "bypass[0]",
            paths(&["/api/*", "/feed/*"]),
            &["10.20.0.0/16"],
            policy("bypass"),
        ),
        rule("rules[0]", paths(&["/settings/*"]), &[], policy("admins")),
        rule("rules[1]", paths(&["/ping"]), &[], policy("deny")),
    ];
    sonarr.upstream = vec![UpstreamHeader {
        name: "X-Api-Key".into(),
        credential: Credential::Static(LiveSecret::new("hunter2".into())),
        only_groups: Vec::new(),
    }];
    let any = Service::new("any", host("*.apps.example.net"), ServicePolicy::FromProxy);
    let portal = Authority::parse("auth.example.net", Scheme::Https).expect("an authority");
    ServiceTable::new(vec![sonarr, any], portal, None)
}

fn request(method: &str, client: &str, url: &str) -> ForwardedRequest {
    let client = client
        .parse()
        .map_or(ClientAddress::Unknown, ClientAddress::Known);
    let (scheme, rest) = url.split_once("://").expect("a URL");
    let (host, target) = rest.split_at(rest.find('/').expect("a path"));
    let initiator = Initiator {
        fetch_site: Some("cross-site".into()),
        ..Initiator::default()
    };
    ForwardedRequest::parse(method, scheme, host, target, client, initiator, false)
        .expect("a request")
}

fn member_of(groups: &[&str]) -> Identity {
    Identity {
        issuer: "https://id.example.net".into(),
        subject: "1".into(),
        username: Some("ada".into()),
        name: None,
        email: None,
        groups: groups.iter().map(ToString::to_string).collect(),
    }
}

const INSIDE: &str = "10.20.0.5";
const OUTSIDE: &str = "203.0.113.7";
const SONARR: &str = "https://sonarr.example.net";

/// "API bypass not working": the step of the bypass says what is the matter.
#[test]
#[rustfmt::skip] // the columns are the point
fn the_bypass_says_why_it_does_not_work() {
    let policies = policies();
    let services = services(&policies);
    let cases = [
        (INSIDE,    "/api/v3/series", "allow",     true,  "all its conditions hold, so its policy \"bypass\" decides"),
        (OUTSIDE,   "/api/v3/series", "challenge", false, "the client's address is in none of allowed_networks: 203.0.113.7, not 10.20.0.0/16"),
        ("unknown", "/api/v3/series", "challenge", false, "the client's address is not known, so it is in no network"),
        (INSIDE,    "/series",        "challenge", false, "the path is another one: not /api/*, /feed/*"),
        (INSIDE,    "/API/x",         "challenge", false, "only in another reading of the path, so it lets nothing by"),
        (INSIDE,    "/api",           "challenge", false, "only in another reading of the path, so it lets nothing by"),
        (INSIDE,    "/api/../x",      "challenge", false, "its conditions hold, but the path is not plain, so it lets nothing by"),
    ];
    for (client, path, outcome, matched, why) in cases {
        let request = request("GET", client, &format!("{SONARR}{path}"));
        let facts = Facts { services: &services, policies: &policies, secure_portal: true };
        let question = Question { request: &request, caller: None, named: None };
        let explanation = explain(question, facts);
        assert_eq!(explanation.decision.outcome(), outcome, "{client} {path}");
        let step = explanation.steps.iter().find(|step| step.rule == "bypass[0]");
        assert_eq!(step, Some(&Step::new("bypass[0]", matched, why)), "{client} {path}");
    }
}

fn said(explanation: &Explanation<'_>) -> Vec<String> {
    let line = |step: &Step| {
        let sign = if step.matched { '+' } else { '-' };
        format!("{sign} {}: {}", step.rule, step.why)
    };
    explanation.steps.iter().map(line).collect()
}

#[test]
fn every_step_is_told() {
    let policies = policies();
    let services = services(&policies);
    let facts = Facts {
        services: &services,
        policies: &policies,
        secure_portal: true,
    };
    let request = request("POST", OUTSIDE, &format!("{SONARR}/Settings/x"));
    let ada = member_of(&["media"]);
    let explanation = explain(
        Question {
            request: &request,
            caller: Some(Caller::from(&ada)),
            named: Some("authenticated"),
        },
        facts,
    );
    assert_eq!(explanation.decision.reason().code(), "not_a_member");
    assert!(explanation.headers.is_empty());
    let expected = [
        "+ host: \"sonarr.example.net\" of the service \"sonarr\" means it",
        "- reserved path: the path is not below /.portcullis/",
        "+ plain path: every reader takes it for the same",
        "- bypass[0]: the client's address is in none of allowed_networks: 203.0.113.7, not 10.20.0.0/16",
        "+ rules[0]: only in another reading of the path, so its policy \"admins\" must allow as well",
        "- rules[1]: the path is another one: not /ping",
        "+ policy of the proxy: \"authenticated\" must allow as well",
        "+ policy of the service: no rule decides, so \"media\" does",
        "+ policy media: \"media\" asks for one of the groups \"admins\", \"media\"; the person is in \"media\"",
        "- policy admins: \"admins\" asks for one of the groups \"admins\"; the person is in \"media\"",
        "+ policy authenticated: \"authenticated\" lets everybody pass who is signed in",
        "- same-origin guard: a page of another site made the browser send it",
    ];
    assert_eq!(said(&explanation), expected);
}

/// Whatever is asked, the explanation decides as the proxy's question would be.
#[test]
fn the_explanation_is_the_decision() {
    let policies = policies();
    let services = services(&policies);
    let people = [
        None,
        Some(member_of(&[])),
        Some(member_of(&["media"])),
        Some(member_of(&["admins"])),
    ];
    let paths = [
        "/",
        "/api/x",
        "/API/x",
        "/api/../x",
        "/settings/a",
        "/Settings/a",
        "/ping",
        "//ping",
        "/%2e/ping",
    ];
    let hosts = [SONARR, "https://a.apps.example.net"];
    let names = [
        None,
        Some("media"),
        Some("admins"),
        Some("deny"),
        Some("bypass"),
    ];
    for identity in &people {
        for client in [INSIDE, OUTSIDE, "unknown"] {
            for (method, host, path) in paths.iter().flat_map(|path| {
                hosts
                    .iter()
                    .flat_map(move |host| ["GET", "POST"].map(|method| (method, host, path)))
            }) {
                for named in names {
                    let request = request(method, client, &format!("{host}{path}"));
                    let caller = identity.as_ref().map(Caller::from);
                    let facts = Facts {
                        services: &services,
                        policies: &policies,
                        secure_portal: true,
                    };
                    let question = Question {
                        request: &request,
                        caller,
                        named,
                    };
                    let explanation = explain(question, facts);
                    let service = services.find(&request.authority).expect("a service");
                    let policy = named.map(|name| &**policies.get(name).expect("a policy"));
                    let decision = decide(&request, caller, service, policy);
                    assert_eq!(explanation.decision, decision, "{question:?}");
                    let passes = matches!(decision, Decision::Allow(_));
                    assert_eq!(!explanation.headers.is_empty(), passes, "{question:?}");
                    // A step for every rule, and each that counts is among the policies judged.
                    for rule in &service.rules {
                        let step = explanation
                            .steps
                            .iter()
                            .find(|step| step.rule == rule.label);
                        let label = format!("policy {}", rule.policy.name);
                        let judged = explanation.steps.iter().any(|step| step.rule == label);
                        assert!(
                            step.is_some_and(|step| judged || !step.matched),
                            "{question:?}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
#[rustfmt::skip] // the columns are the point
fn what_comes_before_the_rules_is_told() {
    let policies = policies();
    let services = services(&policies);
    let cases = [
        ("https://x.example.net/",                      None,           "unknown_host",     "no service names \"x.example.net\", and what nothing allows is denied"),
        ("https://sonarr.example.net:99/",              None,           "unknown_port",     "a service names the host of \"sonarr.example.net:99\", but not the port"),
        ("https://auth.example.net/",                   None,           "own_host",         "\"auth.example.net\" is the portal's or the issuer's, which no service has"),
        ("https://sonarr.example.net/.portcullis/enter", None,          "reserved_path",    "Portcullis answers this path itself, and the app never sees it"),
        ("https://sonarr.example.net/%2eportcullis/x",  None,           "reserved_path",    "some reader would look for it below /.portcullis/, where the app has nothing"),
        ("https://sonarr.example.net/",                 Some("medai"),  "unknown_policy",   "no policy is called \"medai\""),
        ("https://sonarr.example.net/",                 Some("bypass"), "policy_loosens",   "the proxy named \"bypass\", and it may only tighten"),
        ("https://a.apps.example.net/",                 None,           "policy_not_named", "the service takes its policy from the proxy, which named none"),
        ("http://sonarr.example.net/",                  None,           "insecure_scheme",  "asked over http, where our cookies do not travel, so a login could not work"),
    ];
    for (url, named, code, why) in cases {
        let request = request("GET", OUTSIDE, url);
        let facts = Facts { services: &services, policies: &policies, secure_portal: true };
        let explanation = explain(Question { request: &request, caller: None, named }, facts);
        assert_eq!(explanation.decision.reason().code(), code, "{url}");
        assert_eq!(explanation.steps.last().map(|step| step.why.as_str()), Some(why), "{url}");
    }
}

#[test]
fn the_headers_are_those_of_the_answer() {
    let policies = policies();
    let services = services(&policies);
    let facts = Facts {
        services: &services,
        policies: &policies,
        secure_portal: true,
    };
    let headers = |path: &str, identity: Option<&Identity>| -> Vec<String> {
        let request = request("GET", INSIDE, &format!("{SONARR}{path}"));
        let question = Question {
            request: &request,
            caller: identity.map(Caller::from),
            named: None,
        };
        let told = explain(question, facts).headers;
        let line = |told: Told<'_>| match told.value {
            Value::Text(text) => format!("{}={text}", told.name),
            Value::Secret(_) => format!("{}: secret", told.name),
            Value::ClientsOwn => format!("{}: client's", told.name),
            Value::Empty => format!("{}: empty", told.name),
        };
        told.into_iter().map(line).collect()
    };
    let ada = member_of(&["media", "a,b"]);
    let signed_in = [
        "Remote-User=ada",
        "Remote-Name=",
        "Remote-Email=",
        "Remote-Groups=media",
        "X-Api-Key: secret",
    ];
    assert_eq!(headers("/", Some(&ada)), signed_in);
    let let_by = [
        "Remote-User: empty",
        "Remote-Name: empty",
        "Remote-Email: empty",
        "Remote-Groups: empty",
        "X-Api-Key: client's",
    ];
    assert_eq!(headers("/api/x", Some(&ada)), let_by);
}
