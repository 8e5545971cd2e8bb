//! `session.store` where it is a Redis, and the keys that go with it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use secrecy::ExposeSecret;

use super::redis_url::{Place, place};
use super::{Files, oidc};
use crate::config::problems::Problems;
use crate::config::raw::RawSession;
use crate::config::secrets;
use crate::config::store_credentials::{ClientFiles, Password, StoreCredentials};
use crate::domain::redis_settings::{RedisServers, RedisSettings};

const STORE: &str = "session.store";
const PASSWORD_FILE: &str = "session.store_password_file";
const SENTINEL_USER: &str = "session.store_sentinel_user";
const SENTINEL_PASSWORD_FILE: &str = "session.store_sentinel_password_file";
const CA_FILE: &str = "session.store_ca_file";
const CLIENT_CERT_FILE: &str = "session.store_client_cert_file";
const CLIENT_KEY_FILE: &str = "session.store_client_key_file";

/// Reads `written`, whose scheme is one of [`SCHEMES`](super::redis_url::SCHEMES), without ever repeating it: it may hold a password.
pub(super) fn settings(
    written: &str,
    raw: &RawSession,
    inline: bool,
    timeout: Duration,
    files: &Files<'_>,
    problems: &mut Problems,
) -> Option<RedisSettings> {
    let place = place(written).map_err(|message| problems.at(STORE, message));
    let mut place = place.ok();
    let tls = place.as_ref().is_none_or(|place| place.tls);
    let credentials = StoreCredentials {
        password: password(raw, place.as_ref(), inline, files, problems),
        sentinel_password: sentinel(raw, place.as_mut(), files, problems),
        roots: roots(raw, tls, files, problems),
        client: client(raw, tls, files, problems),
    };
    let place = place?;
    Some(RedisSettings {
        servers: place.servers,
        tls: place.tls,
        database: place.database,
        user: place.user,
        credentials: Arc::new(credentials),
        timeout,
    })
}

/// Reports what only goes with a Redis, where the store is none.
pub(super) fn none(raw: &RawSession, problems: &mut Problems) {
    let given = [
        (PASSWORD_FILE, raw.store_password_file.is_some()),
        (SENTINEL_USER, raw.store_sentinel_user.is_some()),
        (
            SENTINEL_PASSWORD_FILE,
            raw.store_sentinel_password_file.is_some(),
        ),
        (CA_FILE, raw.store_ca_file.is_some()),
        (CLIENT_CERT_FILE, raw.store_client_cert_file.is_some()),
        (CLIENT_KEY_FILE, raw.store_client_key_file.is_some()),
    ];
    for (key, _) in given.iter().filter(|(_, given)| *given) {
        problems.at(*key, "goes with a redis:// or rediss:// store alone");
    }
}

/// Fills in who we are to the sentinels, and gives back where the password for that stands.
fn sentinel(
    raw: &RawSession,
    place: Option<&mut Place>,
    files: &Files<'_>,
    problems: &mut Problems,
) -> Option<PathBuf> {
    let (name, file) = (&raw.store_sentinel_user, &raw.store_sentinel_password_file);
    match place.map(|place| &mut place.servers) {
        Some(RedisServers::Sentinel { user, .. }) => {
            user.clone_from(name);
            if name.is_some() && file.is_none() {
                problems.missing(
                    SENTINEL_PASSWORD_FILE,
                    "session.store_sentinel_user needs a password",
                );
            }
        }
        // What the store is has to be mended first.
        None => {}
        Some(_) => {
            let given = [
                (SENTINEL_USER, name.is_some()),
                (SENTINEL_PASSWORD_FILE, file.is_some()),
            ];
            for (key, _) in given.iter().filter(|(_, given)| *given) {
                problems.at(
                    *key,
                    "goes with redis+sentinel:// or rediss+sentinel:// alone",
                );
            }
            return None;
        }
    }
    let file = file.as_deref()?;
    let _ = files.secret(SENTINEL_PASSWORD_FILE, file, problems);
    Some(files.folders.find(file))
}

fn password(
    raw: &RawSession,
    place: Option<&Place>,
    inline: bool,
    files: &Files<'_>,
    problems: &mut Problems,
) -> Password {
    let written = place.and_then(|place| place.password.clone());
    if written.is_some() && !inline {
        problems.at(
            STORE,
            "holds a password, and secrets do not belong here: put it into a file and name that in \
             session.store_password_file (danger_allow_inline_secrets = true would allow it)",
        );
    }
    match (written, &raw.store_password_file) {
        (Some(_), Some(_)) => {
            problems.at(
                PASSWORD_FILE,
                "the password is given twice: here and in session.store",
            );
        }
        (Some(password), None) => return Password::Inline(password),
        (None, Some(file)) => {
            let _ = files.secret(PASSWORD_FILE, file, problems);
            return Password::File(files.folders.find(file));
        }
        (None, None) => {
            if place.is_some_and(|place| place.user.is_some()) {
                problems.missing(
                    PASSWORD_FILE,
                    "session.store names a user, who needs a password",
                );
            }
        }
    }
    Password::None
}

fn roots(
    raw: &RawSession,
    tls: bool,
    files: &Files<'_>,
    problems: &mut Problems,
) -> Option<PathBuf> {
    let file = files.folders.find(raw.store_ca_file.as_deref()?);
    if is_of_use(CA_FILE, tls, problems) {
        oidc::certificates(CA_FILE, &file, problems);
    }
    Some(file)
}

fn client(
    raw: &RawSession,
    tls: bool,
    files: &Files<'_>,
    problems: &mut Problems,
) -> Option<ClientFiles> {
    let find = |file: &Option<PathBuf>| file.as_deref().map(|file| files.folders.find(file));
    let (chain, key) = match (
        find(&raw.store_client_cert_file),
        find(&raw.store_client_key_file),
    ) {
        (Some(chain), Some(key)) => (chain, key),
        (None, None) => return None,
        (Some(_), None) => {
            problems.missing(CLIENT_KEY_FILE, "the key of session.store_client_cert_file");
            return None;
        }
        (None, Some(_)) => {
            problems.missing(
                CLIENT_CERT_FILE,
                "the certificate of session.store_client_key_file",
            );
            return None;
        }
    };
    if is_of_use(CLIENT_CERT_FILE, tls, problems) {
        oidc::certificates(CLIENT_CERT_FILE, &chain, problems);
        private_key(&key, problems);
    }
    Some(ClientFiles { chain, key })
}

fn is_of_use(key: &str, tls: bool, problems: &mut Problems) -> bool {
    if !tls {
        problems.at(key, "goes with rediss:// alone: redis:// is not encrypted");
    }
    tls
}

fn private_key(file: &Path, problems: &mut Problems) {
    let read = secrets::read_private_key(file);
    let Some(pem) = Files::take(CLIENT_KEY_FILE, file, read, problems) else {
        return;
    };
    if PrivateKeyDer::from_pem_slice(pem.expose_secret()).is_err() {
        let message = format!("{} does not hold a private key in PEM form", file.display());
        problems.at(CLIENT_KEY_FILE, message);
    }
}
