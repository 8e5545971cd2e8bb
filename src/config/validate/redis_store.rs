//! `session.store` where it is a Redis, and the keys that go with it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use secrecy::{ExposeSecret, SecretString};
use url::{Host, Url};

use super::{Files, oidc};
use crate::config::problems::Problems;
use crate::config::raw::RawSession;
use crate::config::secrets;
use crate::config::store_credentials::{ClientFiles, Password, StoreCredentials};
use crate::domain::redis_settings::{RedisAddress, RedisSettings};

const STORE: &str = "session.store";
const PASSWORD_FILE: &str = "session.store_password_file";
const CA_FILE: &str = "session.store_ca_file";
const CLIENT_CERT_FILE: &str = "session.store_client_cert_file";
const CLIENT_KEY_FILE: &str = "session.store_client_key_file";

const DEFAULT_PORT: u16 = 6379;

/// The schemes of a Redis. Those that are to come are told apart from those that never will.
pub(super) const SCHEMES: [&str; 5] = [
    "redis",
    "rediss",
    "redis+unix",
    "redis+sentinel",
    "redis+cluster",
];

/// What a URL says.
struct Place {
    address: RedisAddress,
    tls: bool,
    database: u32,
    user: Option<String>,
    password: Option<SecretString>,
}

/// Reads `written`, whose scheme is one of [`SCHEMES`], without ever repeating it: it may hold a password.
pub(super) fn settings(
    written: &str,
    raw: &RawSession,
    inline: bool,
    timeout: Duration,
    files: &Files<'_>,
    problems: &mut Problems,
) -> Option<RedisSettings> {
    let place = place(written).map_err(|message| problems.at(STORE, message));
    let place = place.ok();
    let tls = place.as_ref().is_none_or(|place| place.tls);
    let credentials = StoreCredentials {
        password: password(raw, place.as_ref(), inline, files, problems),
        roots: roots(raw, tls, files, problems),
        client: client(raw, tls, files, problems),
    };
    let place = place?;
    Some(RedisSettings {
        address: place.address,
        tls: place.tls,
        database: place.database,
        user: place.user,
        credentials: Arc::new(credentials),
        timeout,
    })
}

/// Reports what only goes with a Redis, where the store is none.
pub(super) fn none(raw: &RawSession, problems: &mut Problems) {
    let files = [
        (PASSWORD_FILE, &raw.store_password_file),
        (CA_FILE, &raw.store_ca_file),
        (CLIENT_CERT_FILE, &raw.store_client_cert_file),
        (CLIENT_KEY_FILE, &raw.store_client_key_file),
    ];
    for (key, file) in files {
        if file.is_some() {
            problems.at(key, "goes with a redis:// or rediss:// store alone");
        }
    }
}

fn place(written: &str) -> Result<Place, String> {
    // These name several hosts, which no URL can.
    if written.starts_with("redis+sentinel:") || written.starts_with("redis+cluster:") {
        return Err(
            "Sentinel and Redis Cluster are not in this version: write redis://host:6379/0 or \
             rediss://host:6379/0"
                .to_owned(),
        );
    }
    let url = Url::parse(written).map_err(|error| format!("is not a URL: {error}"))?;
    if url.fragment().is_some() {
        return Err("holds a \"#\": a password is written with %23 for it".to_owned());
    }
    match url.scheme() {
        "redis+unix" => socket(&url),
        _ => server(&url),
    }
}

fn server(url: &Url) -> Result<Place, String> {
    if url.query().is_some() {
        return Err(
            "takes no parameters: what stands behind \"?\" has keys of its own, session.store_…"
                .to_owned(),
        );
    }
    if url.port() == Some(0) {
        return Err("names port 0, which nobody listens on".to_owned());
    }
    let host = match url.host() {
        Some(Host::Ipv6(address)) => address.to_string(),
        Some(host) => host.to_string(),
        None => String::new(),
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    if host.is_empty() || !host.chars().all(fits) {
        return Err("names no host: write redis://host:6379/0".to_owned());
    }
    let database = match url.path().trim_start_matches('/') {
        "" => 0,
        number => database(number)?,
    };
    let decoded = |text: &str| {
        let text = percent_decode_str(text).decode_utf8();
        text.map(|text| (!text.is_empty()).then(|| text.into_owned()))
            .map_err(|_| "holds a user name or password that is no UTF-8".to_owned())
    };
    Ok(Place {
        address: RedisAddress::Tcp {
            host,
            port: url.port().unwrap_or(DEFAULT_PORT),
        },
        tls: url.scheme() == "rediss",
        database,
        user: decoded(url.username())?,
        password: decoded(url.password().unwrap_or_default())?.map(SecretString::from),
    })
}

/// `redis+unix:///run/redis/redis.sock?db=0&user=portcullis`
fn socket(url: &Url) -> Result<Place, String> {
    let path = percent_decode_str(url.path()).decode_utf8();
    let path = path.map_err(|_| "names a socket that is no UTF-8".to_owned())?;
    if url.has_host() && !url.host_str().unwrap_or_default().is_empty()
        || !path.starts_with('/')
        || path.ends_with('/')
    {
        return Err("names no socket: write redis+unix:///run/redis/redis.sock".to_owned());
    }
    let (mut number, mut user) = (0, None);
    for (name, value) in url.query_pairs() {
        match &*name {
            "db" => number = database(&value)?,
            "user" => user = Some(value.into_owned()),
            _ => return Err("takes the parameters \"db\" and \"user\" alone".to_owned()),
        }
    }
    Ok(Place {
        address: RedisAddress::Unix(PathBuf::from(&*path)),
        tls: false,
        database: number,
        user,
        password: None,
    })
}

fn database(number: &str) -> Result<u32, String> {
    number
        .parse()
        .map_err(|_| "has something else than the number of a database behind the host".to_owned())
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
