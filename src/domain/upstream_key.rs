//! Upstream credentials: what we show an app on behalf of somebody whom a policy let pass.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};

use crate::domain::identity::Identity;

/// A secret that may be replaced while it is in use: its file has changed. Clones share it.
#[derive(Clone)]
pub struct LiveSecret(Arc<RwLock<SecretString>>);

impl LiveSecret {
    /// Holds `secret` for now.
    #[must_use]
    pub fn new(secret: SecretString) -> Self {
        Self(Arc::new(RwLock::new(secret)))
    }

    /// Holds another one from now on. Tells whether it differs.
    pub fn replace(&self, secret: SecretString) -> bool {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let differs = current.expose_secret() != secret.expose_secret();
        *current = secret;
        differs
    }

    /// Lends the secret.
    pub fn with<T>(&self, read: impl FnOnce(&str) -> T) -> T {
        let current = self.0.read().unwrap_or_else(PoisonError::into_inner);
        read(current.expose_secret())
    }
}

impl fmt::Debug for LiveSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LiveSecret(..)")
    }
}

/// A header with a credential for the app.
#[derive(Debug, Clone)]
pub struct UpstreamHeader {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub credential: Credential,
    /// Sent for members of one of these groups alone; for everybody when empty.
    pub only_groups: Vec<String>,
}

/// What is shown to the app.
#[derive(Debug, Clone)]
pub enum Credential {
    /// What a file holds.
    Static(LiveSecret),
    /// A user name and what a file holds, as HTTP Basic (RFC 7617).
    Basic {
        /// The user name.
        username: String,
        /// The password.
        password: LiveSecret,
    },
    /// One of the person's own tokens, behind `prefix`.
    Token {
        /// Which.
        token: Token,
        /// `Bearer ` in `Authorization`, else nothing.
        prefix: &'static str,
    },
}

/// A token that the issuer gave for somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    /// The access token.
    Access,
    /// The ID token.
    Id,
}

/// The tokens of one session, as far as the issuer gave any. Never printed.
#[derive(Clone, Default)]
pub struct Tokens {
    /// The access token.
    pub access: Option<SecretString>,
    /// The ID token.
    pub id: Option<SecretString>,
    /// The refresh token, which no app is ever shown.
    pub refresh: Option<SecretString>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens(..)")
    }
}

impl UpstreamHeader {
    /// Whether it is sent for `identity`.
    #[must_use]
    pub fn is_for(&self, identity: &Identity) -> bool {
        let held = |group: &String| identity.is_member_of(group);
        self.only_groups.is_empty() || self.only_groups.iter().any(held)
    }

    /// The value; `None` when there is no such token.
    #[must_use]
    pub fn value(&self, tokens: &Tokens) -> Option<SecretString> {
        match &self.credential {
            Credential::Static(secret) => Some(secret.with(|secret| SecretString::from(secret))),
            Credential::Basic { username, password } => Some(password.with(|password| {
                SecretString::from(format!(
                    "Basic {}",
                    STANDARD.encode(format!("{username}:{password}"))
                ))
            })),
            Credential::Token { token, prefix } => {
                let token = match token {
                    Token::Access => tokens.access.as_ref(),
                    Token::Id => tokens.id.as_ref(),
                };
                token.map(|token| SecretString::from(format!("{prefix}{}", token.expose_secret())))
            }
        }
    }

    /// Whether the session's tokens are needed for it.
    #[must_use]
    pub fn needs_tokens(&self) -> bool {
        matches!(self.credential, Credential::Token { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(credential: Credential) -> UpstreamHeader {
        UpstreamHeader {
            name: "X-Api-Key".into(),
            credential,
            only_groups: vec!["media".into()],
        }
    }

    fn shown(header: &UpstreamHeader, tokens: &Tokens) -> Option<String> {
        header
            .value(tokens)
            .map(|value| value.expose_secret().to_owned())
    }

    #[test]
    fn a_credential_follows_its_file() {
        let secret = LiveSecret::new("one".into());
        let header = header(Credential::Static(secret.clone()));
        let tokens = Tokens::default();
        assert_eq!(shown(&header, &tokens).as_deref(), Some("one"));
        assert!(secret.replace("two".into()) && !secret.replace("two".into()));
        assert_eq!(shown(&header, &tokens).as_deref(), Some("two"));
        assert!(!format!("{header:?}").contains("two"));
    }

    #[test]
    fn basic_and_tokens_have_their_forms() {
        let basic = header(Credential::Basic {
            username: "ada".into(),
            password: LiveSecret::new("s3cret:x".into()),
        });
        let tokens = Tokens {
            access: Some("at".into()),
            id: None,
            refresh: None,
        };
        assert_eq!(
            shown(&basic, &tokens).as_deref(),
            Some("Basic YWRhOnMzY3JldDp4")
        );
        let token = |token, prefix| header(Credential::Token { token, prefix });
        assert_eq!(
            shown(&token(Token::Access, "Bearer "), &tokens).as_deref(),
            Some("Bearer at")
        );
        assert_eq!(shown(&token(Token::Id, ""), &tokens), None);
    }
}
