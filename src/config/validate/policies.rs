//! `[policies]`

use std::collections::BTreeMap;
use std::time::Duration;

use super::{check_case, check_name};
use crate::config::problems::Problems;
use crate::config::raw::RawPolicy;
use crate::domain::authentication::LEEWAY;
use crate::domain::host::Host;
use crate::domain::policy::{BUILT_IN, Conditions, Policies, Policy, Requirement, UserMatcher};

/// The longest time since a sign-in that a policy may ask for: no session lives for longer.
const MAX_AUTH_AGE: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// The most ways to sign in that one policy may name, and the longest name of one: more of them, or longer ones, are
/// not kept of what the provider says either.
const MAX_METHODS: usize = 16;
const MAX_METHOD_LENGTH: usize = 64;

/// What a service says instead of a policy when the proxy is to name one.
pub(super) const FROM_PROXY: &str = "from_proxy";

pub(super) fn policies(raw: &BTreeMap<String, RawPolicy>, problems: &mut Problems) -> Policies {
    check_case("policies", raw.keys(), problems);
    let configured = raw.iter().map(|(name, raw)| Policy {
        name: name.clone(),
        requirement: requirement(name, raw, problems),
    });
    Policies::new(configured.collect::<Vec<_>>())
}

fn requirement(name: &str, raw: &RawPolicy, problems: &mut Problems) -> Requirement {
    let path = format!("policies.{name}");
    let mut reserved = BUILT_IN.iter().map(|(name, _)| *name).chain([FROM_PROXY]);
    if reserved.any(|reserved| reserved.eq_ignore_ascii_case(name)) {
        problems.at(&path, "is built in and cannot be defined anew");
    }
    check_name(&path, name, problems);
    let conditions = Conditions {
        allowed_groups: names(
            &path,
            "allowed_groups",
            raw.allowed_groups.as_deref(),
            problems,
        ),
        required_groups: names(
            &path,
            "required_groups",
            raw.required_groups.as_deref(),
            problems,
        ),
        denied_groups: names(
            &path,
            "denied_groups",
            raw.denied_groups.as_deref(),
            problems,
        ),
        allowed_users: users(&path, raw.allowed_users.as_deref(), problems),
        allowed_email_domains: email_domains(&path, raw.allowed_email_domains.as_deref(), problems),
        max_auth_age: max_auth_age(&path, raw.max_auth_age, problems),
        amr: amr(&path, raw.amr.as_deref(), problems),
    };
    if conditions.is_empty() {
        problems.missing(
            path,
            "asks for nothing: give allowed_groups, required_groups, denied_groups, allowed_users, \
             allowed_email_domains, max_auth_age or amr, or use the built-in policy \"authenticated\"",
        );
    }
    Requirement::Conditions(conditions)
}

fn max_auth_age(
    policy: &str,
    written: Option<Duration>,
    problems: &mut Problems,
) -> Option<Duration> {
    let path = || format!("{policy}.max_auth_age");
    let age = written?;
    if age.as_secs() == 0 || age.subsec_nanos() != 0 {
        problems.at(
            path(),
            "must be a whole number of seconds, and one at least",
        );
    } else if age > MAX_AUTH_AGE {
        problems.at(
            path(),
            "is longer than 400 days, and no session lives for so long",
        );
    } else if age < LEEWAY {
        problems.warn(
            path(),
            "is shorter than the minute by which clocks may differ: a sign-in counts for a minute more than \
             this, and people are sent to the provider all the time",
        );
    }
    Some(age)
}

fn amr(policy: &str, written: Option<&[String]>, problems: &mut Problems) -> Vec<String> {
    const KEY: &str = "amr";
    let methods = names(policy, KEY, written, problems);
    if methods.len() > MAX_METHODS {
        problems.at(
            format!("{policy}.{KEY}"),
            format!("names more than {MAX_METHODS} ways to sign in"),
        );
    }
    for (index, method) in methods.iter().enumerate() {
        if method.len() > MAX_METHOD_LENGTH {
            problems.at(
                super::item(&format!("{policy}.{KEY}"), index, methods.len()),
                format!(
                    "is longer than {MAX_METHOD_LENGTH} bytes, and no way to sign in is called that"
                ),
            );
        }
    }
    methods
}

/// Reads a list of names that compare byte for byte.
fn names(
    policy: &str,
    key: &str,
    written: Option<&[String]>,
    problems: &mut Problems,
) -> Vec<String> {
    let path = format!("{policy}.{key}");
    let Some(written) = written else {
        return Vec::new();
    };
    // Elsewhere an empty list might mean "none"; here it would mean "any", and let people in.
    if written.is_empty() {
        problems.at(path, "is empty: name one, or leave the key out");
        return Vec::new();
    }
    for (index, name) in written.iter().enumerate() {
        let path = || super::item(&path, index, written.len());
        if name.trim().is_empty() {
            problems.at(path(), "is blank, and nothing is called that");
        } else if name.trim() != name {
            problems.warn(
                path(),
                format!("\"{name}\" begins or ends with a blank, and names compare byte for byte"),
            );
        }
    }
    written.to_vec()
}

fn users(policy: &str, written: Option<&[String]>, problems: &mut Problems) -> Vec<UserMatcher> {
    const KEY: &str = "allowed_users";
    let names = names(policy, KEY, written, problems);
    let mut users = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let path = || super::item(&format!("{policy}.{KEY}"), index, names.len());
        let user = UserMatcher::parse(name);
        let (UserMatcher::Subject(text) | UserMatcher::Username(text) | UserMatcher::Email(text)) =
            &user;
        if text.trim().is_empty() && !name.trim().is_empty() {
            problems.at(path(), format!("\"{name}\" names nobody"));
        } else if user.is_changeable() {
            problems.warn(
                path(),
                format!(
                    "\"{name}\": at some providers people change this themselves, and could become \
                     somebody else: the subject (sub) never changes"
                ),
            );
        }
        users.push(user);
    }
    users
}

/// Domains in lower case. One with other characters than ASCII may come from the provider in either spelling.
fn email_domains(policy: &str, written: Option<&[String]>, problems: &mut Problems) -> Vec<String> {
    const KEY: &str = "allowed_email_domains";
    let path = format!("{policy}.{KEY}");
    let Some(written) = written else {
        return Vec::new();
    };
    if written.is_empty() {
        problems.at(path, "is empty: name one, or leave the key out");
        return Vec::new();
    }
    let mut domains = Vec::new();
    for (index, domain) in written.iter().enumerate() {
        let host = Host::parse(domain).ok();
        match host.filter(|host| !host.is_address() && host.as_str().contains('.')) {
            Some(host) => {
                let typed = domain.strip_suffix('.').unwrap_or(domain).to_lowercase();
                if typed != host.as_str() {
                    domains.push(typed);
                }
                domains.push(host.as_str().to_owned());
            }
            None => problems.at(
                super::item(&path, index, written.len()),
                format!(
                    "\"{domain}\" is not what stands behind the @ of an address: \"example.net\""
                ),
            ),
        }
    }
    domains
}
