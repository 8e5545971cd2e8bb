//! The judgement of one policy, in words for whoever runs it: they name the policy, and what it asks for.

use crate::domain::authentication::{Caller, InWords};
use crate::domain::policy::{Conditions, Judgement, Policy, Requirement, UserMatcher};
use crate::domain::proxies::ClientAddress;

/// Why `policy` says what it says.
#[must_use]
pub fn words(
    policy: &Policy,
    judgement: Judgement<'_>,
    caller: Option<Caller<'_>>,
    client: ClientAddress,
) -> String {
    let name = format!("\"{}\"", policy.name);
    match judgement {
        Judgement::Bypassed => format!("{name} lets everything by, and the app is told nobody"),
        Judgement::Optional => format!("{name} lets everybody pass, signed in or not"),
        Judgement::SignedIn => match asked(policy) {
            asked if asked.is_empty() => format!("{name} lets everybody pass who is signed in"),
            asked => format!("{name} asks for {asked}, and that is so"),
        },
        Judgement::Member(group) => {
            format!(
                "{name} asks for {}; the person is in \"{group}\"",
                asked(policy)
            )
        }
        Judgement::NotSignedIn => match asked(policy) {
            asked if asked.is_empty() => format!("{name} asks for a sign-in"),
            asked => format!("{name} asks for a sign-in, and for {asked}"),
        },
        Judgement::Closed => format!("{name} lets nobody pass"),
        Judgement::InNetwork => {
            format!(
                "{name} lets pass what comes from {}: {client} does",
                networks(policy)
            )
        }
        Judgement::OutsideNetworks => {
            format!(
                "{name} lets pass what comes from {}: {client} does not",
                networks(policy)
            )
        }
        Judgement::NotAMember => {
            format!(
                "{name} asks for {}; the person is in {}",
                asked(policy),
                held(caller)
            )
        }
        Judgement::Lacks(group) => format!(
            "{name} requires the group \"{group}\"; the person is in {}",
            held(caller)
        ),
        Judgement::Excluded(group) => format!("{name} keeps out the group \"{group}\""),
        Judgement::NotNamed => format!("{name} asks for {}; the person is none", asked(policy)),
        Judgement::OtherEmailDomain => {
            let email = caller.and_then(|caller| caller.identity.email.as_deref());
            let email = email.unwrap_or("none that is verified");
            format!("{name} asks for {}; the address is {email}", asked(policy))
        }
        Judgement::OtherMethod => {
            let methods = caller.map_or(&[][..], |caller| caller.authentication.methods);
            let methods = match methods {
                [] => "is not known".to_owned(),
                methods => format!("was {}", names(methods)),
            };
            format!("{name} asks for {}; the way {methods}", asked(policy))
        }
        Judgement::AuthTimeUnknown => {
            format!(
                "{name} asks for {}; it is not known when they did",
                asked(policy)
            )
        }
        Judgement::AuthTooOld => {
            let age = caller.and_then(|caller| caller.authentication.age);
            let age = InWords(age.unwrap_or_default());
            format!("{name} asks for {}; they did {age} ago", asked(policy))
        }
    }
}

/// Names in quotation marks, with commas between them.
#[must_use]
pub fn names(names: &[impl AsRef<str>]) -> String {
    let quoted: Vec<String> = names
        .iter()
        .map(|name| format!("\"{}\"", name.as_ref()))
        .collect();
    quoted.join(", ")
}

/// The groups of a person.
fn held(caller: Option<Caller<'_>>) -> String {
    match caller.map(|caller| caller.identity.groups.as_slice()) {
        None | Some([]) => "no group".to_owned(),
        Some(groups) => names(groups),
    }
}

/// What the conditions of a policy ask for; empty when it has none.
fn asked(policy: &Policy) -> String {
    let Requirement::Conditions(conditions) = &policy.requirement else {
        return String::new();
    };
    let Conditions {
        allowed_groups,
        required_groups,
        denied_groups,
        allowed_users,
        allowed_email_domains,
        max_auth_age,
        amr,
    } = conditions;
    let users: Vec<String> = allowed_users.iter().map(user).collect();
    let parts = [
        ("one of the groups", names(allowed_groups)),
        ("all of the groups", names(required_groups)),
        ("none of the groups", names(denied_groups)),
        ("one of the people", names(&users)),
        ("an address at one of", names(allowed_email_domains)),
        (
            "a sign-in within the last",
            max_auth_age.map_or_else(String::new, |age| InWords(age).to_string()),
        ),
        ("a sign-in by one of", names(amr)),
    ];
    let given = parts.into_iter().filter(|(_, names)| !names.is_empty());
    let given: Vec<String> = given
        .map(|(what, names)| format!("{what} {names}"))
        .collect();
    given.join(", and ")
}

fn user(user: &UserMatcher) -> String {
    match user {
        UserMatcher::Subject(subject) => subject.clone(),
        UserMatcher::Username(name) => format!("name:{name}"),
        UserMatcher::Email(email) => format!("email:{email}"),
    }
}

fn networks(policy: &Policy) -> String {
    let Requirement::Networks(networks) = &policy.requirement else {
        return String::new();
    };
    let networks: Vec<String> = networks.iter().map(ToString::to_string).collect();
    networks.join(", ")
}
