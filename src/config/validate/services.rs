//! `[services]`

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ipnet::IpNet;

use super::headers;
use super::live::LiveFiles;
use super::networks::client_network;
use super::origins;
use super::policies::FROM_PROXY;
use super::rules::{each, named, rules};
use super::{check_case, check_name, item, one_of, upstream};
use crate::config::problems::Problems;
use crate::config::raw::RawService;
use crate::domain::host::{Authority, Host};
use crate::domain::identity_headers::{Attribute, IdentityHeader};
use crate::domain::policy::{Policies, Policy, Requirement};
use crate::domain::service::{Posture, ReservedUser, Service, ServicePolicy};
use crate::domain::service_host::{HostPattern, ServiceHost};
use crate::domain::service_table::ServiceTable;
use crate::telemetry::metrics::NO_SERVICE;

/// What the rest of the configuration says, as far as services need it.
pub(super) struct Around<'a> {
    pub(super) policies: &'a Policies,
    pub(super) own: OwnHosts<'a>,
    /// `server.trusted_proxies`
    pub(super) proxies: &'a [IpNet],
    /// `server.danger_allow_http`
    pub(super) allow_http: bool,
}

/// Hosts that no service can have.
#[derive(Clone, Copy)]
pub(super) struct OwnHosts<'a> {
    pub(super) portal: Option<&'a Authority>,
    pub(super) issuer: Option<&'a Host>,
}

pub(super) fn services(
    raw: &BTreeMap<String, RawService>,
    around: &Around<'_>,
    live: &mut LiveFiles<'_>,
    problems: &mut Problems,
) -> Option<ServiceTable> {
    if raw.is_empty() && !problems.any_at_or_below("services") {
        problems.warn("services", "there is none, so every request is denied");
    }
    check_case("services", raw.keys(), problems);
    // What any service says about people, no other may use for a credential, so all are read first.
    let mut begun = Vec::new();
    for (name, raw) in raw {
        let path = format!("services.{name}");
        check_name(&path, name, problems);
        if name == NO_SERVICE {
            let problem = "cannot be a name: metrics say it where a host is no service's";
            problems.at(&path, problem);
        }
        let posture = posture(&path, raw, problems);
        let headers = headers::identity(&path, raw, posture.unwrap_or_default(), problems);
        begun.push((name, raw, path, posture, headers));
    }
    let told = begun.iter().flat_map(|(.., headers)| headers);
    let identity_names: Vec<String> = told.map(|header| header.name.clone()).collect();
    let mut taken = HashMap::new();
    let mut services = Vec::new();
    for (name, raw, path, posture, headers) in begun {
        let hosts = hosts(&path, raw, around.own, &mut taken, problems);
        let policy = service_policy(&path, raw, posture, around, problems);
        let rules = rules(&path, raw, around, live, problems);
        let upstream = upstream::headers(&path, raw, &identity_names, live, problems);
        let posture = posture.unwrap_or_default();
        let title = title(&path, name, raw, problems);
        let style = headers::style(&path, raw, problems);
        let guard = origins::guard(&path, raw, posture, around.allow_http, problems);
        let reserved_users = reserved_users(&path, raw, problems);
        let Some(policy) = policy else {
            continue;
        };
        let service = Service {
            title,
            posture,
            rules,
            headers,
            style,
            upstream,
            guard,
            cors_preflight: raw.cors_preflight,
            reserved_users,
            isolated: raw.isolated,
            ..Service::new(name, hosts, policy)
        };
        look_over(&path, &service, problems);
        services.push(service);
    }
    Some(ServiceTable::new(
        services,
        around.own.portal?.clone(),
        Some(around.own.issuer?.clone()),
    ))
}

/// The posture; `None` for one that does not exist.
fn posture(service: &str, raw: &RawService, problems: &mut Problems) -> Option<Posture> {
    let postures = Posture::ALL.map(|posture| (posture.as_str(), posture));
    let path = format!("{service}.posture");
    let found = one_of(raw.posture.as_deref(), &postures, &path, problems);
    found.map(Option::unwrap_or_default)
}

fn title(service: &str, name: &str, raw: &RawService, problems: &mut Problems) -> String {
    const MAX: usize = 100;
    let title = raw.name.as_deref().unwrap_or(name);
    if title.trim().is_empty() || title.chars().count() > MAX || title.contains(char::is_control) {
        problems.at(
            format!("{service}.name"),
            format!("must be 1 to {MAX} characters of text: it stands on pages"),
        );
    }
    title.to_owned()
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
    posture: Option<Posture>,
    around: &Around<'_>,
    problems: &mut Problems,
) -> Option<ServicePolicy> {
    let path = format!("{service}.policy");
    if posture == Some(Posture::Internal) {
        if raw.policy.is_some() {
            problems.at(
                path,
                "an internal service has none: its allowed_networks decide who passes",
            );
        }
        return Some(ServicePolicy::Own(internal(service, raw, around, problems)));
    }
    if raw.allowed_networks.is_some() && posture.is_some() {
        problems.at(
            format!("{service}.allowed_networks"),
            "is for posture = \"internal\" alone: elsewhere allowed_networks belong into a rule",
        );
    }
    match (raw.policy.as_deref(), posture) {
        (Some(FROM_PROXY), _) => Some(ServicePolicy::FromProxy),
        (Some(name), _) => {
            named(&path, name, around.policies, &[FROM_PROXY], problems).map(ServicePolicy::Own)
        }
        (None, Some(Posture::NativeOidc | Posture::Passthrough)) => around
            .policies
            .get("bypass")
            .cloned()
            .map(ServicePolicy::Own),
        (None, Some(_)) => {
            problems.missing(
                path,
                "must be given: the name of a policy, or \"from_proxy\" where the proxy names it",
            );
            None
        }
        // Whether one is needed is not known.
        (None, None) => None,
    }
}

/// The policy of an internal service: its networks.
fn internal(
    service: &str,
    raw: &RawService,
    around: &Around<'_>,
    problems: &mut Problems,
) -> Arc<Policy> {
    const KEY: &str = "allowed_networks";
    let written = raw.allowed_networks.as_deref();
    if written.is_none() {
        problems.missing(
            format!("{service}.{KEY}"),
            "must be given: the networks that an internal service can be reached from",
        );
    }
    let network = |path: &str, written: &str, problems: &mut Problems| {
        client_network(path, written, around.proxies, problems)
    };
    Arc::new(Policy {
        name: Posture::Internal.as_str().to_owned(),
        requirement: Requirement::Networks(each(service, KEY, written, network, problems)),
    })
}

fn reserved_users(service: &str, raw: &RawService, problems: &mut Problems) -> Vec<ReservedUser> {
    let path = format!("{service}.reserved_users");
    let mut seen: HashMap<String, &str> = HashMap::new();
    let mut reserved = Vec::new();
    for (name, subjects) in raw.reserved_users.iter().flatten() {
        let path = format!("{path}.{name}");
        if name.trim().is_empty() {
            problems.at(&path, "is blank, and nothing is called that");
        }
        if let Some(other) = seen.insert(name.to_lowercase(), name) {
            problems.at(
                &path,
                format!("differs from \"{other}\" in letter case alone, which does not count here"),
            );
        }
        for (index, subject) in subjects.0.iter().enumerate() {
            if subject.trim().is_empty() {
                problems.at(
                    item(&path, index, subjects.0.len()),
                    "is blank, and no subject (sub) is",
                );
            }
        }
        reserved.push(ReservedUser {
            name: name.clone(),
            subjects: subjects.0.clone(),
        });
    }
    reserved
}

/// Whether somebody has to be signed in where no rule decides.
pub(super) fn asks_login(service: &Service) -> bool {
    match &service.policy {
        ServicePolicy::FromProxy => true,
        ServicePolicy::Own(policy) => {
            !policy.ignores_identity() && policy.requirement != Requirement::Optional
        }
    }
}

/// Says what can be meant, but most likely is not.
fn look_over(path: &str, service: &Service, problems: &mut Problems) {
    let asks_login = asks_login(service);
    let upstream = format!("{path}.upstream_headers");
    match service.posture {
        Posture::NativeOidc if asks_login => problems.warn(
            format!("{path}.policy"),
            "double login: the app logs people in itself, and this policy asks for a login before that; \
             leave the key out, or let the app do without a login of its own",
        ),
        Posture::Passthrough if asks_login => problems.warn(
            format!("{path}.policy"),
            "asks for a login, and posture = \"passthrough\" says that the app has its own: leave the key \
             out, or write posture = \"protect\"",
        ),
        Posture::Hybrid if service.upstream.is_empty() && !problems.any_at_or_below(&upstream) => problems.warn(
            upstream,
            "posture = \"hybrid\" is for apps that want a credential as well, and none is given",
        ),
        Posture::TrustedHeader if !names_user(&service.headers) => {
            problems.missing(
                format!("{path}.headers"),
                "posture = \"trusted_header\" needs a header that says who it is: the user name, the \
                 subject or the mail address",
            );
        }
        _ => {}
    }
    let asks_nobody = |policy: &Policy| policy.ignores_identity();
    let own_asks_nobody = match &service.policy {
        ServicePolicy::FromProxy => false,
        ServicePolicy::Own(policy) => asks_nobody(policy),
    };
    let never_sent = own_asks_nobody && service.rules.iter().all(|rule| asks_nobody(&rule.policy));
    if never_sent && !service.upstream.is_empty() {
        problems.warn(
            format!("{path}.upstream_headers"),
            "are never sent: they go with people whom a policy let pass, and no policy of this service \
             asks who comes",
        );
    }
}

fn names_user(headers: &[IdentityHeader]) -> bool {
    let says_who = |header: &IdentityHeader| {
        matches!(
            header.attribute,
            Attribute::Username | Attribute::Subject | Attribute::Email
        )
    };
    headers.iter().any(says_who)
}
