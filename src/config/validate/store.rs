//! `session.store`, and what seals what is kept there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::ops::RangeInclusive;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Access, AtFlags, CWD, accessat};
use secrecy::ExposeSecret;

use super::{Files, redis_store, redis_url};
use crate::config::problems::{Problems, did_you_mean};
use crate::config::raw::RawSession;
use crate::config::secrets::{self, OPEN_TO_OTHERS};
use crate::config::{SessionSecret, StoreLocation};

const STORE: &str = "session.store";
const SECRET_FILE: &str = "session.secret_file";
const TIMEOUT: &str = "session.store_timeout";

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1);

/// Below this, nothing that is far away answers in time; above it, proxies give up before us.
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_secs(30);

/// Where sessions are kept when nobody says so. systemd's `StateDirectory=portcullis` makes the folder.
const DEFAULT_FILE: &str = "/var/lib/portcullis/portcullis.redb";

/// Beside the store's file, when nobody says where the keys are: without them the file says nothing.
const KEY_FILE: &str = "session.key";

/// The URL is read without ever being repeated: it may hold a password.
pub(super) fn store(
    raw: &RawSession,
    inline: bool,
    timeout: Duration,
    files: &Files<'_>,
    problems: &mut Problems,
) -> Option<StoreLocation> {
    let location = location(raw, inline, timeout, files, problems);
    if let Some(StoreLocation::Memory | StoreLocation::File(_)) = &location {
        redis_store::none(raw, problems);
    }
    location
}

fn location(
    raw: &RawSession,
    inline: bool,
    timeout: Duration,
    files: &Files<'_>,
    problems: &mut Problems,
) -> Option<StoreLocation> {
    let Some(written) = raw.store.as_ref().map(ExposeSecret::expose_secret) else {
        // What is no text has been reported, and is not given otherwise.
        let is_refused = problems.any_at(STORE);
        return (!is_refused)
            .then(|| file(PathBuf::from(DEFAULT_FILE), problems))
            .flatten();
    };
    match written.split_once(':') {
        Some(("memory", "")) => Some(StoreLocation::Memory),
        Some(("file", path)) => {
            let path = named_path(path, problems)?;
            file(files.folders.configuration.join(path), problems)
        }
        Some((scheme, _)) if redis_url::SCHEMES.contains(&scheme) => {
            redis_store::settings(written, raw, inline, timeout, files, problems)
                .map(StoreLocation::Redis)
        }
        other => {
            let known = ["file", "memory"].into_iter().chain(redis_url::SCHEMES);
            let hint = other.map_or_else(String::new, |(scheme, _)| did_you_mean(scheme, known));
            problems.at(
                STORE,
                format!(
                    "must be \"file:/path/to/portcullis.redb\", \"redis://host:6379/0\", \
                     \"rediss://host:6379/0\", \"redis+sentinel://…\", \"redis+cluster://…\" or \
                     \"memory:\"{hint}"
                ),
            );
            None
        }
    }
}

/// How long one call to the store may take, whichever it is.
pub(super) fn timeout(raw: &RawSession, problems: &mut Problems) -> Duration {
    let timeout = raw.store_timeout.unwrap_or(DEFAULT_TIMEOUT);
    if !TIMEOUTS.contains(&timeout) {
        problems.at(TIMEOUT, "must be between 50ms and 30s");
    }
    timeout
}

/// The path of a `file:` URL, as it is written: nothing in it is decoded.
fn named_path<'a>(written: &'a str, problems: &mut Problems) -> Option<&'a str> {
    // The long form of the same URL: file:///path.
    let path = match written.strip_prefix("//") {
        Some(local) if local.starts_with('/') => local,
        Some(_) => {
            problems.at(
                STORE,
                "names a host: a file is on this machine, so write file:/path",
            );
            return None;
        }
        None => written,
    };
    if path.is_empty() || path.ends_with('/') {
        problems.at(STORE, "names no file: write file:/path/to/portcullis.redb");
        return None;
    }
    Some(path)
}

/// Looks at the file without changing it, and without opening it as a store: it may be in use.
fn file(path: PathBuf, problems: &mut Problems) -> Option<StoreLocation> {
    match why_unusable(&path) {
        Ok(open_to_others) => {
            if open_to_others {
                problems.warn(STORE, secrets::open_to_others(&path));
            }
            Some(StoreLocation::File(path))
        }
        Err(reason) => {
            problems.at(STORE, reason);
            None
        }
    }
}

/// What is wrong with the file or its folder; else whether others may read or change it.
fn why_unusable(path: &Path) -> Result<bool, String> {
    let shown = path.display();
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return why_not_makeable(path).map(|()| false);
        }
        Err(error) => {
            let reason = secrets::why_unreadable(&error, path);
            return Err(format!("{shown} cannot be opened: {reason}"));
        }
    };
    if !metadata.is_file() {
        return Err(format!("{shown} is not a regular file"));
    }
    let opened: io::Result<File> = OpenOptions::new().read(true).write(true).open(path);
    opened.map_err(|error| {
        let reason = secrets::why_unreadable(&error, path);
        format!("{shown} cannot be read and written: {reason}")
    })?;
    Ok(metadata.mode() & OPEN_TO_OTHERS != 0)
}

/// The folder is never made here: one that comes into being by a misspelt path would be a store that nobody
/// finds again.
fn why_not_makeable(path: &Path) -> Result<(), String> {
    let shown = path.display();
    if path.file_name().is_none() {
        return Err("names no file".to_owned());
    }
    if path.is_symlink() {
        return Err(format!(
            "{shown} is a link that leads nowhere: is what it leads to mounted?"
        ));
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if !folder.is_dir() {
        return Err(format!(
            "{shown} cannot be made: the folder {} does not exist",
            folder.display()
        ));
    }
    accessat(
        CWD,
        folder,
        Access::WRITE_OK | Access::EXEC_OK,
        AtFlags::EACCESS,
    )
    .map_err(|error| {
        let reason = secrets::why_unreadable(&error.into(), folder);
        format!("{shown} cannot be made in its folder: {reason}")
    })
}

/// The keys: those of `session.secret_file`; else those beside the store's file, so that they live as long as
/// it does; else one that lives as long as the process, and as what it seals.
pub(super) fn secret(
    raw: &RawSession,
    store: Option<&StoreLocation>,
    files: &Files<'_>,
    problems: &mut Problems,
) -> Option<SessionSecret> {
    match (&raw.secret_file, store) {
        (Some(file), Some(StoreLocation::Redis(_))) => {
            // Never made here: each of several instances would make one of its own.
            let file = files.folders.find(file);
            Files::take(SECRET_FILE, &file, secrets::read_keys(&file), problems)
                .map(SessionSecret::Keys)
        }
        (None, Some(StoreLocation::Redis(_))) => {
            problems.missing(
                SECRET_FILE,
                "all that share a Redis need the same keys: `portcullis secret` prints one for the file",
            );
            None
        }
        (Some(file), _) => keys(&files.folders.find(file), problems),
        (None, Some(StoreLocation::File(path))) => keys(&path.with_file_name(KEY_FILE), problems),
        (None, _) => Some(SessionSecret::Ephemeral),
    }
}

fn keys(file: &Path, problems: &mut Problems) -> Option<SessionSecret> {
    // What cannot be looked at is left to the reading, which says why.
    if !matches!(file.try_exists(), Ok(false)) || file.is_symlink() {
        return Files::take(SECRET_FILE, file, secrets::read_keys(file), problems)
            .map(SessionSecret::Keys);
    }
    match why_not_makeable(file) {
        Ok(()) => Some(SessionSecret::ToBeMade(file.to_owned())),
        Err(reason) => {
            problems.at(SECRET_FILE, reason);
            None
        }
    }
}
