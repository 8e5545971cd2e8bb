//! The key that seals sessions, tickets and login attempts.

use std::fmt;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretBox};

/// 32 secret bytes; wiped from memory when the last clone goes, and never printed.
#[derive(Clone)]
pub struct SessionKey(Arc<SecretBox<[u8; 32]>>);

impl SessionKey {
    /// Takes these bytes, which must have come from a random generator.
    #[must_use]
    pub fn new(bytes: Box<[u8; 32]>) -> Self {
        Self(Arc::new(SecretBox::new(bytes)))
    }

    /// The bytes, for sealing.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        self.0.expose_secret()
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(..)")
    }
}
