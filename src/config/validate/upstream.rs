//! `services.NAME.upstream_headers`: credentials that an app is shown on behalf of people.

use super::headers::check_name;
use super::live::{LiveFiles, Written};
use super::{item, one_of};
use crate::config::problems::Problems;
use crate::config::raw::{RawService, RawUpstreamHeader};
use crate::config::watch::SecretForm;
use crate::domain::identity_headers::known_attribute;
use crate::domain::upstream_key::{Credential, Token, UpstreamHeader};

const KINDS: &str = "value_file, username with password_file, or token";

/// The upstream headers of a service. `identity_names` are those that some service says things about people in.
pub(super) fn headers(
    service: &str,
    raw: &RawService,
    identity_names: &[String],
    live: &mut LiveFiles<'_>,
    problems: &mut Problems,
) -> Vec<UpstreamHeader> {
    let mut headers: Vec<UpstreamHeader> = Vec::new();
    for (index, raw) in raw.upstream_headers.iter().enumerate() {
        let path = format!("{service}.upstream_headers[{index}]");
        // One that is no table has been reported, and nothing is known about it.
        if problems.any_at(&path) {
            continue;
        }
        let name = name(&path, raw, identity_names, problems);
        let twice = headers
            .iter()
            .any(|known| name.is_some_and(|name| known.name.eq_ignore_ascii_case(name)));
        if twice {
            problems.at(format!("{path}.name"), "is listed twice");
        }
        let credential = credential(&path, raw, name, live, problems);
        let only_groups = only_groups(&path, raw, problems);
        if let (Some(name), Some(credential)) = (name, credential) {
            headers.push(UpstreamHeader {
                name: name.to_owned(),
                credential,
                only_groups,
            });
        }
    }
    headers
}

fn name<'a>(
    header: &str,
    raw: &'a RawUpstreamHeader,
    identity_names: &[String],
    problems: &mut Problems,
) -> Option<&'a str> {
    let path = format!("{header}.name");
    let Some(name) = raw.name.as_deref() else {
        problems.missing(
            path,
            "must be given: the header that the app wants, \"X-Api-Key\" say",
        );
        return None;
    };
    if let Err(reason) = check_name(name, false) {
        problems.at(path, format!("\"{name}\" {reason}"));
        return None;
    }
    // Some apps read `_` and `.` as `-`, and would take it for the same header.
    let dashed = name.replace(['_', '.'], "-");
    let told = |known: &String| known.replace(['_', '.'], "-").eq_ignore_ascii_case(&dashed);
    if known_attribute(&dashed).is_some() || identity_names.iter().any(told) {
        problems.at(
            path,
            format!(
                "\"{name}\" says who somebody is, and what one app takes for a name must not be another's \
                 secret"
            ),
        );
        return None;
    }
    Some(name)
}

fn credential(
    path: &str,
    raw: &RawUpstreamHeader,
    name: Option<&str>,
    live: &mut LiveFiles<'_>,
    problems: &mut Problems,
) -> Option<Credential> {
    let value = Written {
        owner: path,
        key: "value",
        inline: raw.value.as_ref(),
        file: raw.value_file.as_deref(),
        form: SecretForm::HeaderValue,
    };
    // Encoded before it is sent, so any text will do.
    let password = Written {
        owner: path,
        key: "password",
        inline: raw.password.as_ref(),
        file: raw.password_file.as_deref(),
        form: SecretForm::Text,
    };
    let is_basic = raw.username.is_some() || password.is_given();
    match (value.is_given(), is_basic, raw.token.as_deref()) {
        (true, false, None) => live.secret(&value, problems).map(Credential::Static),
        (false, true, None) => {
            let username = username(path, raw, problems);
            if !password.is_given() {
                let message = "must be given: the file that holds the password of username";
                problems.missing(format!("{path}.password_file"), message);
            }
            let password = live.secret(&password, problems);
            Some(Credential::Basic {
                username: username?.to_owned(),
                password: password?,
            })
        }
        (false, false, Some(token)) => {
            let tokens = [("access_token", Token::Access), ("id_token", Token::Id)];
            let path = format!("{path}.token");
            let token = one_of(Some(token), &tokens, &path, problems).flatten()?;
            let bearer = name.is_some_and(|name| name.eq_ignore_ascii_case("authorization"));
            let prefix = if bearer { "Bearer " } else { "" };
            Some(Credential::Token { token, prefix })
        }
        (false, false, None) => {
            problems.missing(path, format!("needs {KINDS}"));
            None
        }
        _ => {
            let message = format!("holds more than one credential: it is {KINDS}");
            problems.at(path, message);
            None
        }
    }
}

/// The user name of HTTP Basic, which ends at its first colon (RFC 7617 §2).
fn username<'a>(
    header: &str,
    raw: &'a RawUpstreamHeader,
    problems: &mut Problems,
) -> Option<&'a str> {
    let path = format!("{header}.username");
    let Some(username) = raw.username.as_deref() else {
        problems.missing(path, "must be given: whose password it is");
        return None;
    };
    if username.contains(':') || username.contains(char::is_control) {
        problems.at(path, "must not hold a colon or control characters");
        return None;
    }
    Some(username)
}

fn only_groups(header: &str, raw: &RawUpstreamHeader, problems: &mut Problems) -> Vec<String> {
    let path = format!("{header}.only_groups");
    let Some(groups) = raw.only_groups.as_deref() else {
        return Vec::new();
    };
    if groups.is_empty() {
        problems.at(&path, "is empty: name a group, or leave the key out");
    }
    for (index, group) in groups.iter().enumerate() {
        if group.trim().is_empty() {
            let path = item(&path, index, groups.len());
            problems.at(path, "is blank, and nothing is called that");
        }
    }
    groups.to_vec()
}
