//! What is shown to a Redis, from the files that the configuration names, as they are at that moment.

use std::path::PathBuf;

use secrecy::SecretString;

use super::secrets;
use crate::domain::redis_settings::{ClientCertificate, RedisCredentialSource, RedisCredentials};

/// The longest file of certificates that is read, in bytes.
pub(super) const MAX_CERTIFICATES: u64 = 1024 * 1024;

/// Where the password and the certificates stand.
#[derive(Debug, Clone, Default)]
pub(super) struct StoreCredentials {
    pub(super) password: Password,
    pub(super) sentinel_password: Option<PathBuf>,
    pub(super) roots: Option<PathBuf>,
    pub(super) client: Option<ClientFiles>,
}

/// Where the password stands.
#[derive(Debug, Clone, Default)]
pub(super) enum Password {
    #[default]
    None,
    Inline(SecretString),
    File(PathBuf),
}

/// A certificate of ours and its key.
#[derive(Debug, Clone)]
pub(super) struct ClientFiles {
    pub(super) chain: PathBuf,
    pub(super) key: PathBuf,
}

impl RedisCredentialSource for StoreCredentials {
    fn read(&self) -> Result<RedisCredentials, String> {
        self.read_files().map_err(|error| error.to_string())
    }
}

impl StoreCredentials {
    fn read_files(&self) -> Result<RedisCredentials, secrets::SecretError> {
        let password = match &self.password {
            Password::None => None,
            Password::Inline(password) => Some(password.clone()),
            Password::File(path) => Some(secrets::read_secret(path)?.value),
        };
        let sentinel_password = match &self.sentinel_password {
            None => None,
            Some(path) => Some(secrets::read_secret(path)?.value),
        };
        let certificates = |path: &PathBuf| secrets::read_public(path, MAX_CERTIFICATES);
        let client = match &self.client {
            None => None,
            Some(files) => Some(ClientCertificate {
                chain: certificates(&files.chain)?,
                key: secrets::read_private_key(&files.key)?.value,
            }),
        };
        Ok(RedisCredentials {
            password,
            sentinel_password,
            roots: self.roots.as_ref().map(certificates).transpose()?,
            client,
        })
    }
}
