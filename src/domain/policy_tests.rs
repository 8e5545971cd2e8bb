//! Policies as tables: who comes, and what is said about them.

use super::*;

#[expect(
    clippy::unnecessary_wraps,
    reason = "so that it stands beside `None` in a table"
)]
fn member_of(groups: &[&str]) -> Option<Identity> {
    Some(Identity {
        issuer: "https://id.example.net".into(),
        subject: "1".into(),
        username: None,
        name: None,
        email: None,
        groups: groups.iter().map(ToString::to_string).collect(),
    })
}

fn groups(allowed: &[&str], required: &[&str], denied: &[&str]) -> Requirement {
    let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    Requirement::Conditions(Conditions {
        allowed_groups: owned(allowed),
        required_groups: owned(required),
        denied_groups: owned(denied),
        ..Conditions::default()
    })
}

#[test]
#[rustfmt::skip] // the columns are the point
fn policies_judge_by_groups() {
    use Judgement::*;
    let media = || groups(&["admins", "media"], &[], &[]);
    let both = || groups(&[], &["staff", "night"], &[]);
    let not_guests = || groups(&[], &[], &["guests"]);
    let mixed = || groups(&["media"], &["staff"], &["guests"]);
    let cases = [
        (media(),      None,                                     NotSignedIn),
        (media(),      member_of(&[]),                           NotAMember),
        (media(),      member_of(&["media"]),                    Member("media")),
        (media(),      member_of(&["x", "admins"]),              Member("admins")),
        (media(),      member_of(&["Media"]),                    NotAMember),
        (media(),      member_of(&["media "]),                   NotAMember),
        (media(),      member_of(&["*"]),                        NotAMember),
        (media(),      member_of(&["m\u{435}dia"]),              NotAMember), // a Cyrillic letter
        (media(),      member_of(&["admins,media"]),             NotAMember),
        (both(),       member_of(&["staff"]),                    Lacks("night")),
        (both(),       member_of(&["night", "staff"]),           Member("staff")),
        (not_guests(), member_of(&[]),                           SignedIn),
        (not_guests(), member_of(&["guests"]),                   Excluded("guests")),
        (not_guests(), None,                                     NotSignedIn),
        (mixed(),      member_of(&["media", "staff"]),           Member("media")),
        (mixed(),      member_of(&["media"]),                    Lacks("staff")),
        (mixed(),      member_of(&["media", "staff", "guests"]), Excluded("guests")),
        (Requirement::Authenticated, None,                       NotSignedIn),
        (Requirement::Authenticated, member_of(&[]),             SignedIn),
        (Requirement::Optional,      None,                       Optional),
        (Requirement::Optional,      member_of(&[]),             Optional),
        (Requirement::Bypass,        None,                       Bypassed),
        (Requirement::Bypass,        member_of(&["admins"]),     Bypassed),
        (Requirement::Deny,          None,                       Closed),
        (Requirement::Deny,          member_of(&["admins"]),     Closed),
    ];
    for (requirement, identity, expected) in cases {
        let policy = Policy { name: "p".into(), requirement };
        let found = policy.judge(identity.as_ref().map(Caller::from), ClientAddress::Unknown);
        assert_eq!(found, expected, "{policy:?} {identity:?}");
    }
}

#[test]
#[rustfmt::skip] // the columns are the point
fn policies_judge_by_person() {
    use Judgement::{NotNamed, OtherEmailDomain, SignedIn};
    let ada = |email: &str| {
        let mut identity = member_of(&[]).expect("somebody");
        identity.username = Some("ada".into());
        identity.email = Some(email.into());
        identity
    };
    let users = |names: &[&str]| Conditions {
        allowed_users: names.iter().map(|name| UserMatcher::parse(name)).collect(),
        ..Conditions::default()
    };
    let domains = |names: &[&str]| Conditions {
        allowed_email_domains: names.iter().map(ToString::to_string).collect(),
        ..Conditions::default()
    };
    let cases = [
        (users(&["1"]),                        "ada@example.net",              SignedIn),
        (users(&["sub:1"]),                    "ada@example.net",              SignedIn),
        (users(&["2"]),                        "ada@example.net",              NotNamed),
        (users(&["ada"]),                      "ada@example.net",              NotNamed),
        (users(&["name:ada"]),                 "ada@example.net",              SignedIn),
        (users(&["name:Ada"]),                 "ada@example.net",              NotNamed),
        (users(&["2", "email:ada@example.net"]), "ada@example.net",            SignedIn),
        (users(&["email:ada@example.net"]),    "ada@example.org",              NotNamed),
        (domains(&["example.net"]),            "ada@example.net",              SignedIn),
        (domains(&["example.net"]),            "ada@EXAMPLE.net",              SignedIn),
        (domains(&["example.net"]),            "ada@evil.example.net",         OtherEmailDomain),
        (domains(&["example.net"]),            "ada@evilexample.net",          OtherEmailDomain),
        (domains(&["example.net"]),            "x@evil.example@example.net",   OtherEmailDomain),
        (domains(&["example.net"]),            "@example.net",                 OtherEmailDomain),
        (domains(&["example.net"]),            "example.net",                  OtherEmailDomain),
    ];
    for (conditions, email, expected) in cases {
        let policy = Policy { name: "p".into(), requirement: Requirement::Conditions(conditions) };
        let found = policy.judge(Some(Caller::from(&ada(email))), ClientAddress::Unknown);
        assert_eq!(found, expected, "{policy:?} {email}");
    }
    let policy = Policy { name: "p".into(), requirement: Requirement::Conditions(domains(&["example.net"])) };
    let nobody_verified = member_of(&[]);
    assert_eq!(policy.judge(nobody_verified.as_ref().map(Caller::from), ClientAddress::Unknown), OtherEmailDomain);
}

/// The conditions; who comes, how long ago they signed in, and how; what is said about it.
type Case<'a> = (
    Conditions,
    Option<Identity>,
    Option<u64>,
    &'a [&'a str],
    Judgement<'a>,
);

#[test]
#[rustfmt::skip] // the columns are the point
fn policies_judge_by_how_and_when_somebody_signed_in() {
    use Judgement::{AuthTimeUnknown, AuthTooOld, Excluded, Member, NotAMember, NotSignedIn, OtherMethod, SignedIn};
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    let conditions = |allowed: &[&str], max_auth_age, amr: &[&str]| Conditions {
        allowed_groups: allowed.iter().map(ToString::to_string).collect(),
        denied_groups: vec!["guests".into()],
        max_auth_age,
        amr: amr.iter().map(ToString::to_string).collect(),
        ..Conditions::default()
    };
    let recent = || conditions(&[], seconds(900), &[]);
    let staff = || conditions(&["staff"], seconds(900), &[]);
    let passkey = || conditions(&[], None, &["phr", "hwk"]);
    let both = || conditions(&["staff"], seconds(900), &["phr"]);
    let cases: [Case<'_>; 20] = [
        (recent(),  None,                   None,       &[],             NotSignedIn),
        (recent(),  member_of(&[]),         Some(0),    &[],             SignedIn),
        (recent(),  member_of(&[]),         Some(960),  &[],             SignedIn), // with a minute of leeway
        (recent(),  member_of(&[]),         Some(961),  &["phr"],        AuthTooOld),
        (recent(),  member_of(&[]),         None,       &["phr"],        AuthTimeUnknown),
        (recent(),  member_of(&["guests"]), Some(0),    &[],             Excluded("guests")),
        (staff(),   member_of(&["staff"]),  Some(10),   &[],             Member("staff")),
        (staff(),   member_of(&["staff"]),  Some(9999), &[],             AuthTooOld),
        // Signing in again would not help.
        (staff(),   member_of(&["media"]),  Some(9999), &[],             NotAMember),
        (staff(),   member_of(&["media"]),  None,       &[],             NotAMember),
        (passkey(), None,                   None,       &[],             NotSignedIn),
        (passkey(), member_of(&[]),         None,       &["hwk", "pin"], SignedIn),
        (passkey(), member_of(&[]),         Some(9999), &["phr"],        SignedIn),
        (passkey(), member_of(&[]),         Some(0),    &["otp"],        OtherMethod),
        (passkey(), member_of(&[]),         Some(0),    &[],             OtherMethod),
        (both(),    member_of(&["staff"]),  Some(0),    &["phr"],        Member("staff")),
        (both(),    member_of(&["staff"]),  Some(9999), &["otp"],        OtherMethod),
        (both(),    member_of(&["staff"]),  Some(0),    &["otp"],        OtherMethod),
        (both(),    member_of(&["staff"]),  Some(9999), &["phr"],        AuthTooOld),
        (both(),    member_of(&[]),         Some(9999), &["otp"],        NotAMember),
    ];
    for (conditions, identity, age, methods, expected) in cases {
        let policy = Policy { name: "p".into(), requirement: Requirement::Conditions(conditions) };
        let methods: Vec<String> = methods.iter().map(ToString::to_string).collect();
        let authentication = Authentication { age: age.map(Duration::from_secs), methods: &methods, in_vain: &[] };
        let caller = identity.as_ref().map(|identity| Caller { identity, authentication });
        let found = policy.judge(caller, ClientAddress::Unknown);
        assert_eq!(found, expected, "{policy:?} {caller:?}");
        assert_eq!(found.asks_for_step_up(), policy.lacking(authentication) == Some(found), "{policy:?} {caller:?}");
    }
}

#[test]
fn networks_let_pass_whoever_comes_from_there() {
    let lan = vec!["10.0.0.0/8".parse().expect("a network")];
    let policy = Policy {
        name: "internal".into(),
        requirement: Requirement::Networks(lan),
    };
    let from = |address: &str| ClientAddress::Known(address.parse().expect("an address"));
    assert_eq!(policy.judge(None, from("10.1.2.3")), Judgement::InNetwork);
    assert_eq!(
        policy.judge(None, from("11.1.2.3")),
        Judgement::OutsideNetworks
    );
    assert_eq!(
        policy.judge(None, ClientAddress::Unknown),
        Judgement::OutsideNetworks
    );
}
