//! One service in words: who gets in where, and what the app is sent.

use std::fmt::{self, Write};

use crate::config::presets::Preset;
use crate::domain::authentication::InWords;
use crate::domain::path_pattern::PathPattern;
use crate::domain::policy::{Conditions, Policy, Requirement, UserMatcher};
use crate::domain::rules::Rule;
use crate::domain::service::{Posture, Service, ServicePolicy};
use crate::domain::upstream_key::UpstreamHeader;

/// Writes the lines of `service`, which was filled in from `preset`.
pub(super) fn write(f: &mut impl Write, service: &Service, preset: Option<&Preset>) -> fmt::Result {
    let hosts: Vec<String> = service.hosts.iter().map(ToString::to_string).collect();
    writeln!(f, "service        {}: {}", service.name, hosts.join(", "))?;
    if let Some(preset) = preset {
        writeln!(f, "  preset         {}", advice(preset, service.posture))?;
    }
    for rule in &service.rules {
        let (label, when, then) = (&rule.label, when(rule), verdict(&rule.policy));
        writeln!(f, "  {label:<14} {when}: {then}")?;
    }
    let posture = service.posture.as_str();
    let otherwise = if service.rules.is_empty() {
        ""
    } else {
        "else "
    };
    writeln!(f, "  {posture:<14} {otherwise}{}", own_policy(service))?;
    writeln!(f, "  sent           {}", sent(service))?;
    write_guard(f, service)?;
    if service.cors_preflight {
        writeln!(f, "  preflights     pass without a login")?;
    }
    if !service.reserved_users.is_empty() {
        let names = service.reserved_users.iter().map(|user| {
            let subjects = user.subjects.len();
            match subjects {
                0 => format!("{} (nobody)", user.name),
                1 => format!("{} (1 person)", user.name),
                _ => format!("{} ({subjects} people)", user.name),
            }
        });
        let names: Vec<String> = names.collect();
        writeln!(f, "  reserved       {}", names.join(", "))?;
    }
    if service.isolated {
        writeln!(f, "  isolated       it has a cookie of its own")?;
    }
    Ok(())
}

/// What the preset says beside what it filled in.
fn advice(preset: &Preset, posture: Posture) -> String {
    let Preset { id, because, .. } = preset;
    let settings = format!("`portcullis presets show {id}` has the settings at the app");
    if preset.posture == posture {
        format!("{id}; {settings}")
    } else {
        let advised = preset.posture.as_str();
        format!("{id}, which advises {advised}, because {because}; {settings}")
    }
}

/// What a policy asks for.
pub(super) fn conditions(conditions: &Conditions) -> String {
    let mut parts = Vec::new();
    let mut add = |words: &str, names: &[String], between: &str| {
        if !names.is_empty() {
            parts.push(format!("{words} {}", names.join(between)));
        }
    };
    add("in", &conditions.allowed_groups, " or ");
    add("in", &conditions.required_groups, " and ");
    add("not in", &conditions.denied_groups, " or ");
    let users: Vec<String> = conditions.allowed_users.iter().map(user).collect();
    add("is", &users, " or ");
    add("has mail at", &conditions.allowed_email_domains, " or ");
    add("signed in by", &conditions.amr, " or ");
    if let Some(age) = conditions.max_auth_age {
        parts.push(format!("signed in within the last {}", InWords(age)));
    }
    parts.join(", ")
}

fn user(matcher: &UserMatcher) -> String {
    match matcher {
        UserMatcher::Subject(subject) => subject.clone(),
        UserMatcher::Username(name) => format!("name:{name}"),
        UserMatcher::Email(email) => format!("email:{email}"),
    }
}

/// What holds where no rule matches.
fn own_policy(service: &Service) -> String {
    let policy = match &service.policy {
        ServicePolicy::FromProxy => {
            return "login, then the policy that the proxy names; refused where it names none"
                .into();
        }
        ServicePolicy::Own(policy) => policy,
    };
    match service.posture {
        Posture::NativeOidc if policy.is_bypass() => {
            "anybody passes; the app asks for the login".into()
        }
        Posture::Passthrough if policy.is_bypass() => {
            "anybody passes; the app has its own login".into()
        }
        _ => verdict(policy),
    }
}

/// What happens under a policy.
fn verdict(policy: &Policy) -> String {
    match &policy.requirement {
        Requirement::Bypass => "anybody passes, without a login".into(),
        Requirement::Optional => "anybody passes, and is named if signed in".into(),
        Requirement::Authenticated => "login".into(),
        Requirement::Deny => "nobody passes".into(),
        Requirement::Networks(networks) => {
            let networks: Vec<String> = networks.iter().map(ToString::to_string).collect();
            format!("only from {}, without a login", networks.join(", "))
        }
        Requirement::Conditions(_) => format!("login, then policy {}", policy.name),
    }
}

/// What a rule asks of a request.
fn when(rule: &Rule) -> String {
    let mut parts = Vec::new();
    let paths: Vec<&str> = rule.paths.iter().map(PathPattern::as_written).collect();
    let networks: Vec<String> = rule.networks.iter().map(ToString::to_string).collect();
    if !rule.methods.is_empty() {
        parts.push(rule.methods.join(", "));
    }
    if !paths.is_empty() {
        parts.push(paths.join(", "));
    }
    if !networks.is_empty() {
        parts.push(format!("from {}", networks.join(", ")));
    }
    if let Some(header) = &rule.header {
        let value = if header.value.is_some() {
            " and its secret"
        } else {
            ""
        };
        parts.push(format!("with the header {}{value}", header.name));
    }
    parts.join(" ")
}

/// The headers that the app gets, without their values.
fn sent(service: &Service) -> String {
    let own_names = match &service.policy {
        ServicePolicy::FromProxy => true,
        ServicePolicy::Own(policy) => !policy.ignores_identity(),
    };
    let mut rules = service.rules.iter();
    if !own_names && !rules.any(|rule| !rule.policy.ignores_identity()) {
        return "nothing about people".into();
    }
    let identity = service.headers.iter().map(|header| header.name.clone());
    let upstream = service.upstream.iter().map(credential);
    let names: Vec<String> = identity.chain(upstream).collect();
    if names.is_empty() {
        "nothing about people".into()
    } else {
        names.join(", ")
    }
}

fn credential(header: &UpstreamHeader) -> String {
    let what = if header.needs_tokens() {
        "the person's token"
    } else {
        "secret"
    };
    if header.only_groups.is_empty() {
        format!("{} ({what})", header.name)
    } else {
        let groups = header.only_groups.join(" or ");
        format!("{} ({what}, for {groups} only)", header.name)
    }
}

/// Where pages of other sites can write to an app that people are signed in at.
fn write_guard(f: &mut impl Write, service: &Service) -> fmt::Result {
    match &service.guard {
        Some(guard) if guard.allowed_origins.is_empty() => Ok(()),
        Some(guard) => writeln!(
            f,
            "  guard          pages of {} may write too",
            guard.allowed_origins.join(", ")
        ),
        None if has_guard_by_default(service.posture) => {
            writeln!(f, "  guard          off: pages of any site may write")
        }
        None => Ok(()),
    }
}

fn has_guard_by_default(posture: Posture) -> bool {
    matches!(
        posture,
        Posture::Protect | Posture::TrustedHeader | Posture::Hybrid
    )
}
