//! Raw → [`Config`], all problems at once. A section that gives `None` has said why.

mod headers;
mod live;
mod networks;
mod oidc;
mod origins;
mod policies;
mod redis_store;
mod redis_url;
mod rules;
mod server;
mod service_workers;
mod services;
mod session;
mod sockets;
mod store;
mod upstream;
mod urls;

use std::path::Path;

use secrecy::SecretString;
use tracing::Level;

use self::live::LiveFiles;
pub(super) use self::server::{admin_listen, control_socket};
use super::load::Folders;
use super::presets;
use super::problems::{Problems, did_you_mean};
use super::raw::{RawConfig, RawLog};
use super::secrets::{self, FromFile, SecretError};
use super::{Config, Log, LogFormat};

/// Checks everything, and adds to `problems`, which holds what was found while reading.
pub(super) fn validate(
    raw: &RawConfig,
    folders: &Folders,
    mut problems: Problems,
) -> Result<Config, Problems> {
    let files = Files { folders };
    let server = server::server(&raw.server, &files, &mut problems);
    let portal = server.as_ref().map(|server| &server.public_url);
    let issuer = oidc::issuer(
        &raw.oidc,
        portal,
        raw.server.danger_shared_portal_origin,
        &mut problems,
    );
    let inline = raw.danger_allow_inline_secrets;
    let mut live = LiveFiles::new(&files, inline);
    let oidc = oidc::settings(&raw.oidc, portal, &files, &mut live, &mut problems);
    let session = session::session(&raw.session, &raw.oidc, inline, &files, &mut problems);
    let policies = policies::policies(&raw.policies, &mut problems);
    let around = services::Around {
        policies: &policies,
        own: services::OwnHosts {
            portal: server.as_ref().map(|server| &server.portal),
            issuer: issuer.as_ref(),
        },
        proxies: server
            .as_ref()
            .map_or(&[], |server| server.trusted_proxies.networks()),
        allow_http: raw.server.danger_allow_http,
    };
    let (raw_services, presets) = presets::expand(&raw.services, &mut problems);
    let services = services::services(&raw_services, &around, &mut live, &mut problems);
    let watched = live.into_watched();
    let log = log(&raw.log, &mut problems);
    if let (Some(session), Some(services)) = (&session, &services) {
        let domains = &session.cookie_domains;
        service_workers::look_over(&raw_services, services, domains, &mut problems);
    }

    let (Some(server), Some(oidc), Some(session), Some(services), Some(log)) =
        (server, oidc, session, services, log)
    else {
        return Err(problems);
    };
    session::warn_about_open(&services, &session.cookie_domains, &mut problems);
    Ok(Config {
        warnings: problems.into_warnings()?,
        server,
        oidc,
        session,
        policies,
        services,
        presets,
        log,
        watched,
    })
}

/// Reads the files that the configuration names.
struct Files<'a> {
    folders: &'a Folders,
}

impl Files<'_> {
    /// The secret in `file`, which `key` names.
    fn secret(&self, key: &str, file: &Path, problems: &mut Problems) -> Option<SecretString> {
        let file = self.folders.find(file);
        Self::take(key, &file, secrets::read_secret(&file), problems)
    }

    /// What `read` got from `file`; warns when everybody may read it.
    fn take<T>(
        key: &str,
        file: &Path,
        read: Result<FromFile<T>, SecretError>,
        problems: &mut Problems,
    ) -> Option<T> {
        match read {
            Ok(read) => {
                if read.open_to_others {
                    problems.warn(key, secrets::open_to_others(file));
                }
                Some(read.value)
            }
            Err(error) => {
                problems.at(key, error.to_string());
                None
            }
        }
    }
}

fn log(raw: &RawLog, problems: &mut Problems) -> Option<Log> {
    let levels = [
        ("error", Level::ERROR),
        ("warn", Level::WARN),
        ("info", Level::INFO),
        ("debug", Level::DEBUG),
        ("trace", Level::TRACE),
    ];
    let formats = [("json", LogFormat::Json), ("pretty", LogFormat::Pretty)];
    let level = one_of(raw.level.as_deref(), &levels, "log.level", problems);
    let format = one_of(raw.format.as_deref(), &formats, "log.format", problems);
    Some(Log {
        level: level?.unwrap_or(Level::INFO),
        format: format?.unwrap_or_default(),
    })
}

/// The choice that `written` names; `Some(None)` when nothing is written.
#[expect(clippy::option_option, reason = "`None` alone has been reported")]
fn one_of<T: Copy>(
    written: Option<&str>,
    choices: &[(&str, T)],
    path: &str,
    problems: &mut Problems,
) -> Option<Option<T>> {
    let Some(written) = written else {
        return Some(None);
    };
    let found = choices.iter().find(|(name, _)| *name == written);
    if found.is_none() {
        let names: Vec<String> = choices
            .iter()
            .map(|(name, _)| format!("\"{name}\""))
            .collect();
        let hint = did_you_mean(written, choices.iter().map(|(name, _)| *name));
        problems.at(path, format!("must be one of {}{hint}", names.join(", ")));
    }
    found.map(|(_, choice)| Some(*choice))
}

/// The path of one item of a list. A list of one may have been written as a text.
fn item(path: &str, index: usize, count: usize) -> String {
    if count == 1 {
        path.to_owned()
    } else {
        format!("{path}[{index}]")
    }
}

/// Whether something may be called this: names go into URLs, metrics and logs.
fn check_name(path: &str, name: &str, problems: &mut Problems) {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    if name.is_empty() || name.len() > 100 || !name.bytes().all(plain) {
        problems.at(
            path,
            "a name is 1 to 100 letters, digits, \"_\", \".\" and \"-\"",
        );
    } else if name == "." || name == ".." {
        problems.at(path, "cannot be a name: it means something else in URLs");
    }
}

/// Reports names that differ in letter case alone: variables of the environment cannot tell them
/// apart, and neither can people.
fn check_case<'a>(section: &str, names: impl Iterator<Item = &'a String>, problems: &mut Problems) {
    let mut seen: std::collections::HashMap<String, &str> = std::collections::HashMap::new();
    for name in names {
        if let Some(other) = seen.insert(name.to_lowercase(), name) {
            problems.at(
                format!("{section}.{name}"),
                format!("differs from {section}.{other} in letter case alone"),
            );
        }
    }
}
