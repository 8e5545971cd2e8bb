//! The decision as tables: who asks for what, and what becomes of it.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::domain::identity::Identity;
use crate::domain::identity_headers::{Attribute, IdentityHeader};
use crate::domain::navigation::Initiator;
use crate::domain::path_pattern::PathPattern;
use crate::domain::policy::Conditions;
use crate::domain::proxies::ClientAddress;
use crate::domain::service::ReservedUser;
use crate::domain::service_host::ServiceHost;

fn policy(name: &str, requirement: Requirement) -> Arc<Policy> {
    Arc::new(Policy {
        name: name.into(),
        requirement,
    })
}

fn groups(name: &str, allowed: &[&str]) -> Arc<Policy> {
    let conditions = Conditions {
        allowed_groups: allowed.iter().map(ToString::to_string).collect(),
        ..Conditions::default()
    };
    policy(name, Requirement::Conditions(conditions))
}

fn rule(label: &str, paths: &[&str], policy: Arc<Policy>) -> Rule {
    Rule {
        label: label.into(),
        paths: paths
            .iter()
            .map(|path| PathPattern::parse(path).expect("a pattern"))
            .collect(),
        methods: Vec::new(),
        networks: Vec::new(),
        header: None,
        policy,
    }
}

fn service(policy: ServicePolicy, rules: Vec<Rule>) -> Service {
    let hosts = vec![ServiceHost::parse("films.example.net").expect("a host")];
    Service {
        rules,
        ..Service::new("films", hosts, policy)
    }
}

const WAN: &str = "203.0.113.7";
const LAN: &str = "10.20.0.5";

fn request(method: &str, from: &str, uri: &str) -> ForwardedRequest {
    let client = from
        .parse()
        .map_or(ClientAddress::Unknown, ClientAddress::Known);
    ForwardedRequest::parse(
        method,
        "https",
        "films.example.net",
        uri,
        client,
        Initiator::default(),
        false,
    )
    .expect("a request")
}

fn from(address: &str, uri: &str) -> ForwardedRequest {
    request("GET", address, uri)
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "so that it stands beside `NOBODY` in a table"
)]
fn member_of(groups: &[&str]) -> Option<Identity> {
    Some(Identity {
        issuer: "https://id.example.net".into(),
        subject: "1".into(),
        username: Some("ada".into()),
        name: None,
        email: None,
        groups: groups.iter().map(ToString::to_string).collect(),
    })
}

const NOBODY: Option<Identity> = None;

/// `films`: media at large, `/api/*` by from the LAN, `/ping` by for everybody, `/admin/*` for admins, and
/// HEAD on `/feed/*` by.
fn films() -> Service {
    let bypass = || policy("bypass", Requirement::Bypass);
    let mut api = rule("bypass[0]", &["/api/*"], bypass());
    api.networks = vec!["10.20.0.0/16".parse().expect("a network")];
    let mut feed = rule("bypass[2]", &["/feed/*"], bypass());
    feed.methods = vec!["HEAD".into()];
    let rules = vec![
        api,
        rule("bypass[1]", &["/ping"], bypass()),
        feed,
        rule("rules[0]", &["/admin/*"], groups("admins", &["admins"])),
        rule(
            "rules[1]",
            &["/open/*"],
            policy("optional", Requirement::Optional),
        ),
        rule("rules[2]", &["/never/*"], policy("deny", Requirement::Deny)),
    ];
    service(
        ServicePolicy::Own(groups("media", &["admins", "media"])),
        rules,
    )
}

#[test]
#[rustfmt::skip] // the columns are the point
fn requests_are_decided_by_rule_and_group() {
    let films = films();
    let overriding = |mut request: ForwardedRequest| { request.overrides_method = true; request };
    let misleading = |mut request: ForwardedRequest| { request.overrides_path = true; request };
    let open = service(ServicePolicy::Own(policy("bypass", Requirement::Bypass)), vec![
        rule("rules[0]", &["/admin/*"], groups("admins", &["admins"])),
    ]);
    let mut ajar = self::films();
    ajar.rules.pop(); // what nobody may have
    let cases = [
        ("a stranger",                    from(WAN, "/"),                  NOBODY,                  "challenge not_signed_in"),
        ("a member",                      from(WAN, "/"),                  member_of(&["media"]),   "allow member"),
        ("an outsider",                   from(WAN, "/"),                  member_of(&["staff"]),   "deny not_a_member"),
        ("nobody's friend",               from(WAN, "/"),                  member_of(&[]),          "deny not_a_member"),
        ("a health probe",                from(WAN, "/ping"),              NOBODY,                  "allow bypassed_by_rule"),
        ("a probe with a query",          from(WAN, "/ping?x=/admin/"),    NOBODY,                  "allow bypassed_by_rule"),
        ("a query that looks like one",   from(WAN, "/secret?x=/ping"),    NOBODY,                  "challenge not_signed_in"),
        ("nearly a probe",                from(WAN, "/ping/"),             NOBODY,                  "challenge not_signed_in"),
        ("a probe in capitals",           from(WAN, "/PING"),              NOBODY,                  "challenge not_signed_in"),
        ("the API from home",             from(LAN, "/api/v3"),            NOBODY,                  "allow bypassed_by_rule"),
        ("the API from away",             from(WAN, "/api/v3"),            NOBODY,                  "challenge not_signed_in"),
        ("the API from nowhere",          from("junk", "/api/v3"),         NOBODY,                  "challenge not_signed_in"),
        ("out of the API by dots",        from(LAN, "/api/../admin/x"),    NOBODY,                  "challenge not_signed_in"),
        ("the same, encoded",             from(LAN, "/api/%2e%2e/admin"),  NOBODY,                  "challenge not_signed_in"),
        ("the same, twice encoded",       from(LAN, "/api/%252e%252e/x"),  NOBODY,                  "challenge not_signed_in"),
        ("the same, by halves    ",       from(LAN, "/api/%25%32e%25%32e/x"),  NOBODY,                  "challenge not_signed_in"),
        ("the same, by parameter",        from(LAN, "/api/..;/admin/x"),   NOBODY,                  "challenge not_signed_in"),
        ("the same, by a fragment",       from(LAN, "/api/x%23/admin"),    NOBODY,                  "challenge not_signed_in"),
        ("an admin's page, as member",    from(WAN, "/admin/x"),           member_of(&["media"]),   "deny not_a_member"),
        ("the same, as admin",            from(WAN, "/admin/x"),           member_of(&["admins"]),  "allow member"),
        ("the folder without a slash",    from(WAN, "/admin"),             member_of(&["media"]),   "deny not_a_member"),
        ("an admin's page in capitals",   from(WAN, "/Admin/x"),           member_of(&["media"]),   "deny not_a_member"),
        ("an admin's page by dots",       from(WAN, "/x/../admin/x"),      member_of(&["media"]),   "deny not_a_member"),
        ("an admin's page encoded",       from(WAN, "/%61dmin/x"),         member_of(&["media"]),   "deny not_a_member"),
        ("the same, as admin",            from(WAN, "/%61dmin/x"),         member_of(&["admins"]),  "allow member"),
        ("the same, as another's admin",  from(WAN, "/x//admin/x"),        member_of(&["media"]),   "allow member"),
        ("everybody's page",              from(WAN, "/open/x"),            NOBODY,                  "allow optional"),
        ("everybody's page, signed in",   from(WAN, "/open/x"),            member_of(&[]),          "allow optional"),
        ("everybody's page, not plain",   from(WAN, "/open//x"),           NOBODY,                  "challenge not_signed_in"),
        ("nobody's page",                 from(WAN, "/never/x"),           NOBODY,                  "deny closed"),
        ("nobody's page, as admin",       from(WAN, "/never/x"),           member_of(&["admins"]),  "deny closed"),
        ("a feed's head",                 request("HEAD", WAN, "/feed/x"), NOBODY,                  "allow bypassed_by_rule"),
        ("a feed",                        from(WAN, "/feed/x"),            NOBODY,                  "challenge not_signed_in"),
        ("a feed's head, lower case",     request("head", WAN, "/feed/x"), NOBODY,                  "challenge not_signed_in"),
        ("a head that is something else", overriding(request("HEAD", WAN, "/feed/x")), NOBODY,      "challenge not_signed_in"),
        ("a probe by any method",         overriding(from(WAN, "/ping")),  NOBODY,                  "allow bypassed_by_rule"),
    ];
    let elsewhere = [
        ("a probe of another path",       misleading(from(WAN, "/ping")),   NOBODY,                 &ajar, "challenge not_signed_in"),
        ("an API of another path",        misleading(from(LAN, "/api/x")),  NOBODY,                 &ajar, "challenge not_signed_in"),
        ("an open page of another path",  misleading(from(WAN, "/open/x")), NOBODY,                 &ajar, "challenge not_signed_in"),
        ("a member's, of another path",   misleading(from(WAN, "/")),       member_of(&["media"]),  &ajar, "deny not_a_member"),
        ("an admin's, where one is shut", misleading(from(WAN, "/")),       member_of(&["admins"]), &films, "deny closed"),
        ("an open app's, of another",     misleading(from(WAN, "/x")),      NOBODY,                 &open,  "challenge not_signed_in"),
        ("the same, as admin",            misleading(from(WAN, "/x")),      member_of(&["admins"]), &open,  "allow member"),
        ("an open app's",                 from(WAN, "/x"),                  NOBODY,                 &open,  "allow bypassed_by_policy"),
    ];
    let cases = cases.into_iter().map(|(who, request, identity, expected)| (who, request, identity, &films, expected));
    for (who, request, identity, service, expected) in cases.chain(elsewhere) {
        let decision = decide(&request, identity.as_ref().map(Caller::from), service, None);
        let found = format!("{} {}", decision.outcome(), decision.reason().code());
        assert_eq!(found, expected, "{who}: {decision:?}");
    }
}

#[test]
#[rustfmt::skip] // the columns are the point
fn a_policy_named_by_the_proxy_only_tightens() {
    let films = films();
    let from_proxy = service(ServicePolicy::FromProxy, films.rules.clone());
    let admins = groups("admins", &["admins"]);
    let media = groups("media", &["admins", "media"]);
    let bypass = policy("bypass", Requirement::Bypass);
    let optional = policy("optional", Requirement::Optional);
    let cases = [
        (&films,      Some(&admins),   "/",        member_of(&["media"]),  "deny not_a_member"),
        (&films,      Some(&admins),   "/",        member_of(&["admins"]), "allow member"),
        (&films,      Some(&admins),   "/ping",    NOBODY,                 "allow bypassed_by_rule"),
        (&films,      Some(&admins),   "/open/x",  NOBODY,                 "challenge not_signed_in"),
        (&films,      Some(&optional), "/",        NOBODY,                 "challenge not_signed_in"),
        (&films,      Some(&bypass),   "/",        member_of(&["media"]),  "deny policy_loosens"),
        (&films,      Some(&bypass),   "/ping",    NOBODY,                 "deny policy_loosens"),
        (&from_proxy, None,            "/",        member_of(&["admins"]), "deny policy_not_named"),
        (&from_proxy, None,            "/ping",    NOBODY,                 "allow bypassed_by_rule"),
        (&from_proxy, Some(&media),    "/",        NOBODY,                 "challenge not_signed_in"),
        (&from_proxy, Some(&media),    "/",        member_of(&["media"]),  "allow member"),
        (&from_proxy, Some(&media),    "/admin/x", member_of(&["media"]),  "deny not_a_member"),
        (&from_proxy, Some(&optional), "/",        NOBODY,                 "allow optional"),
    ];
    for (service, named, path, identity, expected) in cases {
        let request = from(WAN, path);
        let decision = decide(&request, identity.as_ref().map(Caller::from), service, named.map(|policy| &**policy));
        let found = format!("{} {}", decision.outcome(), decision.reason().code());
        assert_eq!(found, expected, "{path} {named:?}");
    }
}

#[test]
fn a_bypass_needs_no_identity_and_reveals_none() {
    let films = films();
    let plain = from(WAN, "/ping");
    let demand = demand(&plain, &films, None).expect("a demand");
    assert!(demand.ignores_identity() && !demand.reveals_identity());
}

#[test]
fn a_bypass_that_another_reading_closes_asks_for_that_policy() {
    let bypass = policy("bypass", Requirement::Bypass);
    let rules = vec![
        rule(
            "rules[0]",
            &["/files/private/*"],
            groups("admins", &["admins"]),
        ),
        rule("rules[1]", &["/files/*", "/FILES/*"], bypass),
    ];
    let films = service(ServicePolicy::Own(groups("media", &["media"])), rules);
    let decided = |path, identity: Option<Identity>| {
        let decision = decide(
            &from(WAN, path),
            identity.as_ref().map(Caller::from),
            &films,
            None,
        );
        decision.outcome()
    };
    assert_eq!(decided("/files/x", NOBODY), "allow");
    assert_eq!(decided("/files/private/x", NOBODY), "challenge");
    assert_eq!(decided("/files/Private/x", NOBODY), "challenge");
    assert_eq!(decided("/FILES/PRIVATE/x", member_of(&["media"])), "deny");
    assert_eq!(decided("/files/Private/x", member_of(&["admins"])), "allow");
    let request = from(WAN, "/files/Private/x");
    let demand = demand(&request, &films, None).expect("a demand");
    assert!(!demand.reveals_identity());
}

/// Somebody in these groups, who signed in so many seconds ago in this way; in vain, lately, for these policies.
struct Person<'a>(&'a [&'a str], u64, &'a str, &'a [&'a str]);

#[test]
#[rustfmt::skip] // the columns are the point
fn a_sign_in_that_will_not_do_is_asked_for_again_where_that_helps() {
    let sign_in = |name: &str, max_auth_age: Option<u64>, amr: &[&str], allowed: &[&str]| {
        policy(name, Requirement::Conditions(Conditions {
            max_auth_age: max_auth_age.map(Duration::from_secs),
            amr: amr.iter().map(ToString::to_string).collect(),
            allowed_groups: allowed.iter().map(ToString::to_string).collect(),
            ..Conditions::default()
        }))
    };
    let recent = || sign_in("recent", Some(900), &[], &[]);
    let passkey = || sign_in("passkey", None, &["phr"], &[]);
    let admins = sign_in("admins", Some(60), &["phr"], &["admins"]);
    let rules = vec![
        rule("rules[0]", &["/recent/*"], recent()),
        rule("rules[1]", &["/passkey/*"], passkey()),
    ];
    let mut films = service(ServicePolicy::Own(groups("media", &["media"])), rules);
    films.headers = vec![IdentityHeader { name: "Remote-User".into(), attribute: Attribute::Username }];
    let media = &["media"][..];
    let none = &[][..];
    let cases = [
        ("/",          None,          Person(media, 9_999, "otp", none),        "allow member", ""),
        ("/recent/x",  None,          Person(none,  0,     "otp", none),        "allow signed_in", ""),
        ("/recent/x",  None,          Person(none,  9_999, "otp", none),        "challenge auth_too_old", "recent"),
        ("/passkey/x", None,          Person(none,  0,     "otp", none),        "challenge auth_method", "passkey"),
        ("/passkey/x", None,          Person(none,  9_999, "phr", none),        "allow signed_in", ""),
        // Not plain, so both must allow, and the service's own as well.
        ("/recent//../passkey/x", None, Person(media, 9_999, "otp", none),      "challenge auth_too_old", "recent passkey"),
        ("/recent//../passkey/x", None, Person(none,  9_999, "otp", none),      "deny not_a_member", "recent passkey"),
        // The proxy's policy tightens; a refusal outweighs a step-up, wherever it comes from.
        ("/recent/x",  Some(&admins), Person(none,  9_999, "otp", none),        "deny not_a_member", "recent admins"),
        ("/recent/x",  Some(&admins), Person(&["admins"], 500, "phr", none),    "challenge auth_too_old", "admins"),
        ("/recent/x",  Some(&admins), Person(&["admins"], 500, "otp", none),    "challenge auth_method", "admins"),
        ("/recent/x",  Some(&admins), Person(&["admins"], 100, "phr", none),    "allow signed_in", ""),
        // Tried a moment ago.
        ("/recent/x",  None,          Person(none,  9_999, "otp", &["recent"]),  "deny auth_too_old", "recent"),
        ("/recent/x",  None,          Person(none,  9_999, "otp", &["passkey"]), "challenge auth_too_old", "recent"),
        ("/recent/x",  None,          Person(none,  0,     "otp", &["recent"]),  "allow signed_in", ""),
        ("/recent/x",  Some(&admins), Person(&["admins"], 9_999, "otp", &["admins"]), "deny auth_method", "recent admins"),
        ("/recent/x",  Some(&admins), Person(none, 9_999, "otp", &["recent"]),   "deny not_a_member", "recent admins"),
    ];
    for (path, named, Person(groups, age, method, in_vain), expected, lacking) in cases {
        let identity = member_of(groups).expect("somebody");
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let (methods, in_vain) = (owned(&[method]), owned(in_vain));
        let authentication = Authentication {
            age: Some(Duration::from_secs(age)),
            methods: &methods,
            in_vain: &in_vain,
        };
        let caller = Some(Caller { identity: &identity, authentication });
        let request = from(WAN, path);
        let demand = demand(&request, &films, named.map(|policy| &**policy)).expect("a demand");
        let decision = demand.judge(&request, caller);
        let found = format!("{} {}", decision.outcome(), decision.reason().code());
        assert_eq!(found, expected, "{path} {caller:?}");
        let names: Vec<&str> = demand.lacking(authentication).map(|policy| policy.name.as_str()).collect();
        assert_eq!(names.join(" "), lacking, "{path} {caller:?}");
    }
    // Nobody is sent to sign in again for something that is refused then.
    let ada = member_of(&[]).expect("somebody");
    let ada = Some(Caller::from(&ada));
    let judged = |service: &Service, request: &ForwardedRequest| {
        decide(request, ada, service, None).reason().code().to_owned()
    };
    assert_eq!(judged(&films, &from(WAN, "/recent/x")), "auth_time_unknown");
    let mut forged = request("POST", WAN, "/recent/x");
    forged.initiator.fetch_site = Some("cross-site".into());
    assert_eq!(judged(&films, &forged), "cross_site");
    films.reserved_users = vec![ReservedUser { name: "ada".into(), subjects: Vec::new() }];
    assert_eq!(judged(&films, &from(WAN, "/recent/x")), "reserved_user");
    films.posture = Posture::Internal;
    films.reserved_users.clear();
    assert_eq!(judged(&films, &from(WAN, "/recent/x")), "no_login_here");
}

#[test]
fn every_reason_has_a_sentence() {
    let films = films();
    let decision = decide(&from(WAN, "/"), None, &films, None);
    let sentence = decision.reason().to_string();
    assert_eq!(sentence, "This asks for a sign-in.");
}

proptest! {
    /// No spelling of a path below `/admin/` passes for somebody who is not an admin, wherever the spelling
    /// starts.
    #[test]
    fn no_spelling_opens_a_closed_folder(
        pieces in prop::collection::vec(
            prop::sample::select(vec![
                "/", "//", "/api/", "/ping", "/feed/", "/open/", "/admin/", "/ADMIN/", "/%61dmin/", "..", ".",
                "%2e%2e", "%2f", "%5c", "\\", ";", ";x=1", "%3b", "%23", "%3f", "%00", "%252f", "x",
            ]),
            0..10,
        ),
    ) {
        let uri = format!("/{}", pieces.concat());
        let films = films();
        let stranger = decide(&from(LAN, &uri), None, &films, None);
        if matches!(stranger, Decision::Allow(_)) {
            prop_assert!(from(LAN, &uri).plainness().is_ok(), "{uri}");
            let admin = PathPattern::parse("/admin/*").expect("a pattern");
            prop_assert!(!admin.matches_any(&Readings::of(from(LAN, &uri).target.path())), "{uri}");
        }
    }
}
