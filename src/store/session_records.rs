//! What a session's records are called in the store, and what is sealed in them.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use blake3::Hasher;
use blake3::hazmat::{ContextKey, HasherExt, hash_derive_key_context};
use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::domain::identity::Identity;
use crate::domain::renewal::Renewal;
use crate::domain::session::SessionId;
use crate::domain::upstream_key::Tokens;
use crate::store::RecordKey;

/// The form of what is sealed in a record. One of another form is nobody's: taken for one of this form, it would lose
/// what only the other has as soon as its use is noted.
pub(super) const RECORD_FORMAT: u8 = 1;

/// The kinds of records that are about one session.
const SESSION: &str = "session";
const TOKENS: &str = "tokens";

/// Tokens as they are stored.
#[derive(Serialize, Deserialize)]
pub(super) struct TokenRecord {
    access: Option<String>,
    id: Option<String>,
    #[serde(default)]
    refresh: Option<String>,
    /// The nonce of the login. ID tokens of renewals bring the same one, or none.
    #[serde(default)]
    pub(super) nonce: String,
    /// What the last renewal brought, for the session's own record. It is written here first, in case that one cannot
    /// be written.
    #[serde(default)]
    pub(super) renewed: Option<Renewed>,
}

/// What a renewal brings for the session's own record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Renewed {
    pub(super) renewal: Renewal,
    pub(super) identity: Identity,
    pub(super) sid: Option<String>,
}

impl TokenRecord {
    pub(super) fn of(tokens: &Tokens, nonce: &str) -> Self {
        let exposed = |token: &Option<SecretString>| {
            token.as_ref().map(|token| token.expose_secret().to_owned())
        };
        Self {
            access: exposed(&tokens.access),
            id: exposed(&tokens.id),
            refresh: exposed(&tokens.refresh),
            nonce: nonce.to_owned(),
            renewed: None,
        }
    }

    /// The same record with other tokens in it.
    pub(super) fn replace_tokens(&mut self, tokens: &Tokens) {
        let replaced = Self::of(tokens, &self.nonce);
        *self = Self {
            renewed: self.renewed.take(),
            ..replaced
        };
    }

    pub(super) fn tokens(&self) -> Tokens {
        let secret = |token: &Option<String>| token.as_deref().map(SecretString::from);
        Tokens {
            access: secret(&self.access),
            id: secret(&self.id),
            refresh: secret(&self.refresh),
        }
    }
}

pub(super) fn encode(record: &impl Serialize) -> Zeroizing<Vec<u8>> {
    let mut plain = Zeroizing::new(vec![RECORD_FORMAT]);
    serde_json::to_writer(&mut *plain, record).expect("records have string keys and no odd values");
    plain
}

/// `None` for what another version wrote.
pub(super) fn decode<T: DeserializeOwned>(plain: &[u8]) -> Option<T> {
    let (format, record) = plain.split_first()?;
    if *format != RECORD_FORMAT {
        return None;
    }
    serde_json::from_slice(record).ok()
}

pub(super) fn session_key(member: &str) -> RecordKey {
    RecordKey::new(SESSION, member)
}

pub(super) fn tokens_key(member: &str) -> RecordKey {
    RecordKey::new(TOKENS, member)
}

/// Who renews a session's tokens.
pub(super) fn lease_key(member: &str) -> RecordKey {
    RecordKey::new("renewing", member)
}

/// The list of a person's sessions.
pub(super) fn user_index(identity: &Identity) -> RecordKey {
    index_of(&identity.issuer, &identity.subject)
}

/// A user is issuer and subject together (OIDC Core §5.7).
pub(super) fn index_of(issuer: &str, subject: &str) -> RecordKey {
    let context = "portcullis v1 sessions of a user";
    RecordKey::new("sessions-of", &name_at(issuer, subject, context))
}

/// The list of the sessions that came from the provider's session `sid`, whose names are each provider's own.
pub(super) fn sid_index(issuer: &str, sid: &str) -> RecordKey {
    let context = "portcullis v1 sessions of a sid";
    RecordKey::new("sessions-from", &name_at(issuer, sid, context))
}

/// The record that says that a logout token, known by its `jti`, has been obeyed.
pub(super) fn logout_token_key(issuer: &str, jti: &str) -> RecordKey {
    let context = "portcullis v1 logout token";
    RecordKey::new("logout-token", &name_at(issuer, jti, context))
}

/// The record that says that everything on `list` was ended.
pub(super) fn mark_of(list: &RecordKey) -> RecordKey {
    RecordKey::new("ended", list.as_str())
}

/// The record that counts the endings of people's sessions.
pub(super) fn endings_count() -> RecordKey {
    RecordKey::new("ended", "count")
}

/// A hash of what `issuer` calls `name`. The length keeps the two apart.
fn name_at(issuer: &str, name: &str, context: &str) -> String {
    let mut hash = blake3::Hasher::new_derive_key(context);
    hash.update(&(issuer.len() as u64).to_le_bytes());
    hash.update(issuer.as_bytes());
    hash.update(name.as_bytes());
    URL_SAFE_NO_PAD.encode(hash.finalize().as_bytes())
}

/// Whether `text` can be the name of a session in the store: the base64url of 32 bytes.
pub(super) fn is_name(text: &str) -> bool {
    URL_SAFE_NO_PAD
        .decode(text)
        .is_ok_and(|bytes| bytes.len() == 32)
}

/// The name of a session in the store. Whoever reads it there learns no id. The id is random, so no secret is needed; and a
/// rotated key changes no record's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionName([u8; 32]);

/// What names are derived for.
const NAME_CONTEXT: &str = "portcullis v1 session id";

/// The half of [`blake3::derive_key`] that is the same for every name: each request derives one.
static NAME_KEY: LazyLock<ContextKey> = LazyLock::new(|| hash_derive_key_context(NAME_CONTEXT));

impl SessionName {
    /// The name of the session `id`.
    #[must_use]
    pub fn of(id: &SessionId) -> Self {
        let mut name = Hasher::new_from_context_key(&NAME_KEY);
        name.update(id.as_bytes());
        Self(*name.finalize().as_bytes())
    }

    /// The session that a record is about, by the record's key; `None` for what is about none.
    #[must_use]
    pub fn of_record(key: &str) -> Option<Self> {
        let (kind, member) = key.split_once(':')?;
        if !matches!(kind, SESSION | TOKENS) {
            return None;
        }
        let mut name = [0; 32];
        let length = URL_SAFE_NO_PAD.decode_slice(member, &mut name).ok()?;
        (length == name.len()).then_some(Self(name))
    }

    /// As it stands in keys and indexes.
    #[must_use]
    pub fn member(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// Bits that are as good as random, for choosing a place.
    pub(super) fn bits(&self) -> u64 {
        let (first, _) = self.0.split_first_chunk().expect("it is longer than that");
        u64::from_ne_bytes(*first)
    }
}

/// The name of a session, as it stands in keys and indexes.
pub(super) fn hash(id: &SessionId) -> String {
    SessionName::of(id).member()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records of earlier versions go on being found.
    #[test]
    fn a_name_is_what_blake3_derives() {
        let id = SessionId::from_bytes([7; 32]);
        let derived = blake3::derive_key(NAME_CONTEXT, id.as_bytes());
        assert_eq!(SessionName::of(&id), SessionName(derived));
    }

    #[test]
    fn a_record_names_its_session() {
        let name = SessionName::of(&SessionId::from_bytes([7; 32]));
        let member = name.member();
        for key in [session_key(&member), tokens_key(&member)] {
            assert_eq!(SessionName::of_record(key.as_str()), Some(name));
        }
        for key in [
            lease_key(&member).as_str(),
            &member,
            &format!("session:{member}A"),
            &format!("session:{}", &member[1..]),
            "session:",
            "session:?",
            "sessions-of:x",
            "",
        ] {
            assert_eq!(SessionName::of_record(key), None, "{key}");
        }
    }
}
