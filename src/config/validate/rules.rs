//! `[[services.NAME.rules]]` and `[[services.NAME.bypass]]`

use std::sync::Arc;

use ipnet::IpNet;

use super::headers::is_token;
use super::item;
use super::live::{LiveFiles, Written};
use super::networks::client_network;
use super::policies::FROM_PROXY;
use super::services::Around;
use crate::config::problems::{Problems, did_you_mean};
use crate::config::raw::{RawBypass, RawRequiredHeader, RawRule, RawService};
use crate::config::watch::SecretForm;
use crate::domain::path_pattern::PathPattern;
use crate::domain::policy::{Policies, Policy};
use crate::domain::rules::{RequiredHeader, Rule};

/// The policy `name`. `further` are names that would do in this place too.
pub(super) fn named(
    path: &str,
    name: &str,
    policies: &Policies,
    further: &[&str],
    problems: &mut Problems,
) -> Option<Arc<Policy>> {
    let found = policies.get(name).cloned();
    if found.is_none() && name == FROM_PROXY {
        problems.at(path, "only a service can leave its policy to the proxy");
    } else if found.is_none() {
        let names = policies.iter().map(|policy| policy.name.as_str());
        let hint = did_you_mean(name, names.chain(further.iter().copied()));
        problems.at(path, format!("no policy is called \"{name}\"{hint}"));
    }
    found
}

/// All rules of a service in their order: those of `bypass` first.
pub(super) fn rules(
    service: &str,
    raw: &RawService,
    around: &Around<'_>,
    live: &mut LiveFiles<'_>,
    problems: &mut Problems,
) -> Vec<Rule> {
    let mut rules = Vec::new();
    for (index, raw) in raw.bypass.iter().enumerate() {
        let path = format!("{service}.bypass[{index}]");
        let label = match raw.preset {
            Some(name) => format!("preset_bypass[{name}]"),
            None => format!("bypass[{index}]"),
        };
        // One that is no table has been reported, and nothing is known about it.
        if !problems.any_at(&path) {
            rules.extend(bypass(&path, label, raw, around, live, problems));
        }
    }
    for (index, raw) in raw.rules.iter().enumerate() {
        let label = format!("rules[{index}]");
        let path = format!("{service}.{label}");
        if !problems.any_at(&path) {
            rules.extend(rule(&path, label, raw, around, live, problems));
        }
    }
    rules
}

fn bypass(
    path: &str,
    label: String,
    raw: &RawBypass,
    around: &Around<'_>,
    live: &mut LiveFiles<'_>,
    problems: &mut Problems,
) -> Option<Rule> {
    let conditions = Conditions {
        paths: raw.paths.as_deref(),
        methods: raw.methods.as_deref(),
        networks: raw.allowed_networks.as_deref(),
        header: raw.requires_header.as_ref(),
    };
    if conditions.paths.is_none() && conditions.networks.is_none() {
        problems.missing(
            path,
            "needs paths or allowed_networks: it would open too much without",
        );
    }
    let policy = around.policies.get("bypass").cloned();
    conditions.rule(path, label, policy, around.proxies, live, problems)
}

fn rule(
    path: &str,
    label: String,
    raw: &RawRule,
    around: &Around<'_>,
    live: &mut LiveFiles<'_>,
    problems: &mut Problems,
) -> Option<Rule> {
    let conditions = Conditions {
        paths: raw.paths.as_deref(),
        methods: raw.methods.as_deref(),
        networks: raw.allowed_networks.as_deref(),
        header: raw.requires_header.as_ref(),
    };
    if conditions.paths.is_none()
        && conditions.methods.is_none()
        && conditions.networks.is_none()
        && conditions.header.is_none()
    {
        problems.missing(
            path,
            "needs paths, methods, allowed_networks or requires_header: what holds always is the \
             service's own policy",
        );
    }
    let policy_path = format!("{path}.policy");
    let policy = raw.policy.as_deref();
    if policy.is_none() {
        problems.missing(&policy_path, "must be given: the policy that then decides");
    }
    let policy = policy.and_then(|name| named(&policy_path, name, around.policies, &[], problems));
    let rule = conditions.rule(path, label, policy, around.proxies, live, problems)?;
    let by_name_alone = rule
        .header
        .as_ref()
        .is_some_and(|header| header.value.is_none());
    if by_name_alone && rule.policy.is_bypass() && rule.paths.is_empty() && rule.networks.is_empty()
    {
        problems.warn(
            path,
            "opens everything to whoever sends this header, whatever it says: give it a value_file, or \
             the rule paths or allowed_networks",
        );
    }
    Some(rule)
}

/// What a rule asks of a request, as written. A key that is given must say something: an empty list
/// would ask for nothing, and mean "any".
struct Conditions<'a> {
    paths: Option<&'a [String]>,
    methods: Option<&'a [String]>,
    networks: Option<&'a [String]>,
    header: Option<&'a RawRequiredHeader>,
}

impl Conditions<'_> {
    fn rule(
        self,
        path: &str,
        label: String,
        policy: Option<Arc<Policy>>,
        proxies: &[IpNet],
        live: &mut LiveFiles<'_>,
        problems: &mut Problems,
    ) -> Option<Rule> {
        let client = |path: &str, written: &str, problems: &mut Problems| {
            client_network(path, written, proxies, problems)
        };
        let paths = each(path, "paths", self.paths, pattern, problems);
        let methods = each(path, "methods", self.methods, method, problems);
        let networks = each(path, "allowed_networks", self.networks, client, problems);
        let header = match self.header {
            None => None,
            Some(raw) => Some(required_header(path, raw, live, problems)?),
        };
        Some(Rule {
            label,
            paths,
            methods,
            networks,
            header,
            policy: policy?,
        })
    }
}

fn required_header(
    rule: &str,
    raw: &RawRequiredHeader,
    live: &mut LiveFiles<'_>,
    problems: &mut Problems,
) -> Option<RequiredHeader> {
    let path = format!("{rule}.requires_header");
    let name = raw.name.as_deref();
    match name {
        None => problems.missing(format!("{path}.name"), "must be given"),
        Some(name) if !is_token(name) => {
            problems.at(&path, format!("\"{name}\" is not the name of a header"));
        }
        Some(_) => {}
    }
    let written = Written {
        owner: &path,
        key: "value",
        inline: raw.value.as_ref(),
        file: raw.value_file.as_deref(),
        form: SecretForm::HeaderValue,
    };
    let value = if written.is_given() {
        Some(live.secret(&written, problems)?)
    } else {
        None
    };
    Some(RequiredHeader {
        name: name?.to_ascii_lowercase(),
        value,
    })
}

/// Reads every item of a list.
pub(super) fn each<T>(
    rule: &str,
    key: &str,
    written: Option<&[String]>,
    read: impl Fn(&str, &str, &mut Problems) -> Option<T>,
    problems: &mut Problems,
) -> Vec<T> {
    let path = format!("{rule}.{key}");
    let Some(written) = written else {
        return Vec::new();
    };
    if written.is_empty() {
        problems.at(&path, "is empty: name something, or leave the key out");
    }
    let items = written.iter().enumerate();
    items
        .filter_map(|(index, text)| read(&item(&path, index, written.len()), text, problems))
        .collect()
}

fn pattern(path: &str, written: &str, problems: &mut Problems) -> Option<PathPattern> {
    PathPattern::parse(written)
        .map_err(|error| problems.at(path, format!("\"{written}\" {error}")))
        .ok()
}

fn method(path: &str, written: &str, problems: &mut Problems) -> Option<String> {
    if written.len() > 32 || !is_token(written) {
        problems.at(
            path,
            format!("\"{written}\" is not a method such as \"GET\""),
        );
        return None;
    }
    if written.bytes().any(|byte| byte.is_ascii_lowercase()) {
        problems.warn(
            path,
            format!(
                "methods compare byte for byte, and \"{written}\" is not \"{}\"",
                written.to_ascii_uppercase()
            ),
        );
    }
    Some(written.to_owned())
}
