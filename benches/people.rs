//! People who are signed in: sessions begun by the code that begins them after a login, in the store of a configuration.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::{StreamExt, TryStreamExt, stream};
use portcullis::clock::SystemClock;
use portcullis::config::{Config, StoreLocation};
use portcullis::domain::identity::Identity;
use portcullis::domain::session::SessionId;
use portcullis::domain::upstream_key::Tokens;
use portcullis::store::Store;
use portcullis::store::embedded::EmbeddedStore;
use portcullis::store::redis::RedisStore;
use portcullis::store::sealing::{Keyring, Purpose};
use portcullis::store::sessions::{EndingsSoFar, Login, Sessions};
use secrecy::SecretString;

use crate::kit::{Failure, Result};
use crate::load::Values;
use crate::question::HOST;

/// How many sessions one person has.
const EACH: usize = 5;

/// How many are written at once.
const AT_ONCE: usize = 256;

/// The value of a cookie has so many characters.
pub const COOKIE_LENGTH: usize = 86;

/// The sessions of a configuration's store.
pub struct People {
    sessions: Sessions,
    store: Arc<dyn Store>,
    keyring: Arc<Keyring>,
    before: EndingsSoFar,
}

impl People {
    /// Opens the store with the service's own key.
    pub async fn of(configuration: &Path) -> Result<Self> {
        let config = Config::load(Some(configuration)).map_err(Failure::new)?;
        let keys = config.session.secret.into_keys().map_err(Failure::new)?;
        let (first, others) = keys.split_first().ok_or(Failure::new("no session key"))?;
        let keyring = Arc::new(Keyring::new(first, others));
        let clock = Arc::new(SystemClock);
        let store: Arc<dyn Store> = match config.session.store {
            StoreLocation::Redis(settings) => {
                Arc::new(RedisStore::open(settings).map_err(Failure::new)?)
            }
            StoreLocation::File(file) => {
                Arc::new(EmbeddedStore::open(&file, clock.clone()).map_err(Failure::new)?)
            }
            StoreLocation::Memory => {
                return Err(Failure::new("this store is the service's alone"));
            }
        };
        let sessions = Sessions::new(
            Arc::clone(&store),
            Arc::clone(&keyring),
            clock,
            config.session.lifetime,
        );
        let before = sessions.endings_so_far().await.map_err(Failure::new)?;
        Ok(Self {
            sessions,
            store,
            keyring,
            before,
        })
    }

    /// Signs somebody in, and returns what their browser sends as the cookie of [`HOST`].
    pub async fn sign_in(&self, number: usize) -> Result<String> {
        let begun = self.sessions.begin(login(number / EACH), self.before);
        let id = begun.await.map_err(Failure::new)?;
        Ok(cookie_of(&self.keyring, &id))
    }

    /// Has all of it written.
    pub async fn close(self) {
        self.store.close().await;
    }

    /// Signs in so many; their cookies go to `file`.
    pub async fn sign_in_many(&self, count: usize, file: &Path) -> Result<Values> {
        let written = File::create(file).map_err(Failure::of(file.display()))?;
        let mut written = BufWriter::new(written);
        let mut cookies = stream::iter(0..count)
            .map(|number| self.sign_in(number))
            .buffer_unordered(AT_ONCE);
        while let Some(cookie) = cookies.try_next().await? {
            writeln!(written, "{cookie}").map_err(Failure::of(file.display()))?;
        }
        written.flush().map_err(Failure::of(file.display()))?;
        Ok(Values {
            file: file.to_owned(),
            length: COOKIE_LENGTH,
            count,
        })
    }
}

/// A cookie of one host: the session's id, and a code that binds it to the host.
fn cookie_of(keyring: &Keyring, id: &SessionId) -> String {
    let code = keyring.mac(Purpose::HostCookie, &[id.as_bytes(), HOST.as_bytes()]);
    URL_SAFE_NO_PAD.encode([id.as_bytes().as_slice(), code.as_slice()].concat())
}

/// What a login brings of somebody with a few groups, and with tokens of the usual size.
fn login(number: usize) -> Login {
    let token = |length: usize| Some(SecretString::from("t".repeat(length)));
    Login {
        identity: Identity {
            issuer: "https://id.example.net".to_owned(),
            subject: format!("7c9e6679-7425-40de-944b-{number:012}"),
            username: Some(format!("ada{number}")),
            name: Some(format!("Ada Lovelace {number}")),
            email: Some(format!("ada{number}@example.net")),
            groups: ["users", "media", "home", "photos"]
                .map(str::to_owned)
                .to_vec(),
        },
        tokens: Tokens {
            access: token(40),
            id: token(900),
            refresh: token(43),
        },
        expires_in: Some(Duration::from_hours(24)),
        nonce: "n".repeat(43),
        auth_time: None,
        amr: Vec::new(),
        sid: None,
    }
}
