//! `[policies]`

use std::collections::BTreeMap;

use super::{check_case, check_name};
use crate::config::problems::Problems;
use crate::config::raw::RawPolicy;
use crate::domain::policy::{BUILT_IN, Conditions, Policies, Policy, Requirement};

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
        allowed_groups: groups(
            &path,
            "allowed_groups",
            raw.allowed_groups.as_deref(),
            problems,
        ),
        required_groups: groups(
            &path,
            "required_groups",
            raw.required_groups.as_deref(),
            problems,
        ),
        denied_groups: groups(
            &path,
            "denied_groups",
            raw.denied_groups.as_deref(),
            problems,
        ),
        ..Conditions::default()
    };
    if conditions.is_empty() {
        problems.missing(
            path,
            "asks for nothing: give allowed_groups, required_groups or denied_groups, or use the \
             built-in policy \"authenticated\"",
        );
    }
    Requirement::Conditions(conditions)
}

fn groups(
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
        problems.at(path, "is empty: name a group, or leave the key out");
        return Vec::new();
    }
    for (index, group) in written.iter().enumerate() {
        let path = || super::item(&path, index, written.len());
        if group.trim().is_empty() {
            problems.at(path(), "is blank, and no group is called that");
        } else if group.trim() != group {
            problems.warn(
                path(),
                format!("\"{group}\" begins or ends with a blank, and names compare byte for byte"),
            );
        }
    }
    written.to_vec()
}
