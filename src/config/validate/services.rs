//! `[services]`

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ipnet::IpNet;

use super::networks::client_network;
use super::policies::FROM_PROXY;
use super::{check_case, check_name, item};
use crate::config::problems::{Problems, did_you_mean};
use crate::config::raw::{RawBypass, RawRule, RawService};
use crate::domain::host::{Authority, Host};
use crate::domain::paths::PathPattern;
use crate::domain::policy::{Policies, Policy};
use crate::domain::rules::Rule;
use crate::domain::service::{HostPattern, Service, ServiceHost, ServicePolicy, ServiceTable};

/// Hosts that no service can have.
#[derive(Clone, Copy)]
pub(super) struct OwnHosts<'a> {
    pub(super) portal: Option<&'a Authority>,
    pub(super) issuer: Option<&'a Host>,
}

pub(super) fn services(
    raw: &BTreeMap<String, RawService>,
    policies: &Policies,
    own: OwnHosts<'_>,
    problems: &mut Problems,
) -> Option<ServiceTable> {
    if raw.is_empty() && !problems.any_at_or_below("services") {
        problems.warn("services", "there is none, so every request is denied");
    }
    check_case("services", raw.keys(), problems);
    let mut taken = HashMap::new();
    let mut services = Vec::new();
    for (name, raw) in raw {
        let path = format!("services.{name}");
        check_name(&path, name, problems);
        let hosts = hosts(&path, raw, own, &mut taken, problems);
        let policy = service_policy(&path, raw, policies, problems);
        let rules = rules(&path, raw, policies, problems);
        if let Some(policy) = policy {
            services.push(Service {
                rules,
                ..Service::new(name, hosts, policy)
            });
        }
    }
    Some(ServiceTable::new(
        services,
        own.portal?.clone(),
        Some(own.issuer?.clone()),
    ))
}

/// The hosts of one service. `taken` tells which service has a host already.
fn hosts(
    service: &str,
    raw: &RawService,
    own: OwnHosts<'_>,
    taken: &mut HashMap<(bool, Host), String>,
    problems: &mut Problems,
) -> Vec<ServiceHost> {
    let path = format!("{service}.host");
    let written = raw.host.as_deref().unwrap_or_default();
    if written.is_empty() {
        problems.missing(&path, "must be given: the host that browsers ask for");
    }
    let mut hosts = Vec::new();
    for (index, written_host) in written.iter().enumerate() {
        let path = item(&path, index, written.len());
        let host = match ServiceHost::parse(written_host.trim()) {
            Ok(host) => host,
            Err(error) => {
                problems.at(path, error.to_string());
                continue;
            }
        };
        let (below, name) = match &host.pattern {
            HostPattern::Exact(name) => (false, name),
            HostPattern::Below(name) => (true, name),
        };
        if !below && own.portal.is_some_and(|portal| portal.host == *name) {
            problems.at(
                &path,
                format!("\"{name}\" is the portal's own host (server.public_url)"),
            );
        } else if !below && own.issuer == Some(name) {
            problems.at(
                &path,
                format!(
                    "\"{name}\" is the issuer's host (oidc.issuer): whoever signs in has to get \
                     there first"
                ),
            );
        }
        match taken.get(&(below, name.clone())) {
            Some(other) if other == service => problems.at(
                &path,
                format!("\"{host}\" is listed twice (one with a port means the default port too)"),
            ),
            Some(other) => problems.at(&path, format!("\"{host}\" belongs to {other} already")),
            None => {
                taken.insert((below, name.clone()), service.to_owned());
            }
        }
        hosts.push(host);
    }
    hosts
}

fn service_policy(
    service: &str,
    raw: &RawService,
    policies: &Policies,
    problems: &mut Problems,
) -> Option<ServicePolicy> {
    let path = format!("{service}.policy");
    match raw.policy.as_deref() {
        None => {
            problems.missing(
                path,
                "must be given: the name of a policy, or \"from_proxy\" where the proxy names it",
            );
            None
        }
        Some(FROM_PROXY) => Some(ServicePolicy::FromProxy),
        Some(name) => named(&path, name, policies, &[FROM_PROXY], problems).map(ServicePolicy::Own),
    }
}

/// The policy `name`. `further` are names that would do in this place too.
fn named(
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
fn rules(
    service: &str,
    raw: &RawService,
    policies: &Policies,
    problems: &mut Problems,
) -> Vec<Rule> {
    let mut rules = Vec::new();
    for (index, raw) in raw.bypass.iter().enumerate() {
        let label = format!("bypass[{index}]");
        let path = format!("{service}.{label}");
        // One that is no table has been reported, and nothing is known about it.
        if !problems.any_at(&path) {
            rules.extend(bypass(&path, label, raw, policies, problems));
        }
    }
    for (index, raw) in raw.rules.iter().enumerate() {
        let label = format!("rules[{index}]");
        let path = format!("{service}.{label}");
        if !problems.any_at(&path) {
            rules.extend(rule(&path, label, raw, policies, problems));
        }
    }
    rules
}

fn bypass(
    path: &str,
    label: String,
    raw: &RawBypass,
    policies: &Policies,
    problems: &mut Problems,
) -> Option<Rule> {
    let conditions = Conditions {
        paths: raw.paths.as_deref(),
        methods: raw.methods.as_deref(),
        networks: raw.allowed_networks.as_deref(),
    };
    if conditions.paths.is_none() && conditions.networks.is_none() {
        problems.missing(
            path,
            "needs paths or allowed_networks: it would open too much without",
        );
    }
    let policy = policies.get("bypass").cloned();
    conditions.rule(path, label, policy, problems)
}

fn rule(
    path: &str,
    label: String,
    raw: &RawRule,
    policies: &Policies,
    problems: &mut Problems,
) -> Option<Rule> {
    let conditions = Conditions {
        paths: raw.paths.as_deref(),
        methods: raw.methods.as_deref(),
        networks: raw.allowed_networks.as_deref(),
    };
    let unconditional =
        conditions.paths.is_none() && conditions.methods.is_none() && conditions.networks.is_none();
    if unconditional {
        problems.missing(
            path,
            "needs paths, methods or allowed_networks: what holds always is the service's own policy",
        );
    }
    let policy_path = format!("{path}.policy");
    let policy = raw.policy.as_deref();
    if policy.is_none() {
        problems.missing(&policy_path, "must be given: the policy that then decides");
    }
    let policy = policy.and_then(|name| named(&policy_path, name, policies, &[], problems));
    conditions.rule(path, label, policy, problems)
}

/// What a rule asks of a request, as written. A key that is given must say something: an empty list
/// would ask for nothing, and mean "any".
struct Conditions<'a> {
    paths: Option<&'a [String]>,
    methods: Option<&'a [String]>,
    networks: Option<&'a [String]>,
}

impl Conditions<'_> {
    fn rule(
        self,
        path: &str,
        label: String,
        policy: Option<Arc<Policy>>,
        problems: &mut Problems,
    ) -> Option<Rule> {
        let paths = each(path, "paths", self.paths, pattern, problems);
        let methods = each(path, "methods", self.methods, method, problems);
        let networks = each(path, "allowed_networks", self.networks, client, problems);
        Some(Rule {
            label,
            paths,
            methods,
            networks,
            header: None,
            policy: policy?,
        })
    }
}

/// Reads every item of a list.
fn each<T>(
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
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if written.is_empty() || written.len() > 32 || !written.bytes().all(token) {
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

fn client(path: &str, written: &str, problems: &mut Problems) -> Option<IpNet> {
    client_network(path, written, problems)
}
