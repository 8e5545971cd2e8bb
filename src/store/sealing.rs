//! Sealing: records, tickets, cookies and login attempts are ours, unread and unchanged, or nothing.
//!
//! Everything comes from the keys of `session.secret_file`: the first seals, all open. For each purpose a
//! key of its own is derived, so that nothing sealed for one can pass for another. A sealed value is
//! `1 ‖ key id (4) ‖ salt (24) ‖ AES-256-GCM(plain)`; key and nonce come from the salt, so that no number
//! of values under one key can exhaust the nonces.

use std::collections::HashSet;
use std::fmt;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use subtle::ConstantTimeEq;
use thiserror::Error;

use crate::domain::session_key::SessionKey;

/// How many unknown keys are told apart in the log.
const MAX_UNKNOWN: usize = 16;

const FORMAT: u8 = 1;
const KEY_ID_BYTES: usize = 4;
const SALT_BYTES: usize = 24;
const HEAD_BYTES: usize = 1 + KEY_ID_BYTES + SALT_BYTES;

/// What a value is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The record of a session.
    Session,
    /// The tokens of a session.
    Tokens,
    /// A login on its way, in a cookie of the portal.
    LoginAttempt,
    /// Where a login leads, in its `state`.
    LoginState,
    /// A ticket from the portal to a protected host.
    Ticket,
    /// The `f` of a login link.
    LoginLink,
    /// The portal's cookie.
    PortalCookie,
    /// A protected host's cookie.
    HostCookie,
    /// The cookie that the hosts of a domain share.
    DomainCookie,
    /// The record of a person.
    User,
}

const PURPOSES: usize = 10;

impl Purpose {
    const ALL: [Self; PURPOSES] = [
        Self::Session,
        Self::Tokens,
        Self::LoginAttempt,
        Self::LoginState,
        Self::Ticket,
        Self::LoginLink,
        Self::PortalCookie,
        Self::HostCookie,
        Self::DomainCookie,
        Self::User,
    ];

    /// The context that BLAKE3 derives a key with: fixed for ever, and used nowhere else.
    const fn context(self) -> &'static str {
        match self {
            Self::Session => "portcullis v1 session record",
            Self::Tokens => "portcullis v1 token record",
            Self::LoginAttempt => "portcullis v1 login attempt",
            Self::LoginState => "portcullis v1 login state, sealed address",
            Self::Ticket => "portcullis v1 ticket",
            Self::LoginLink => "portcullis v1 login link",
            Self::PortalCookie => "portcullis v1 portal cookie",
            Self::HostCookie => "portcullis v1 host cookie",
            Self::DomainCookie => "portcullis v1 domain cookie",
            Self::User => "portcullis v1 user record",
        }
    }
}

/// The value was not sealed by us, for this, here; or its key has been retired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not sealed with a key of ours")]
pub struct NotOurs;

/// The keys. Never printed.
pub struct Keyring {
    /// The first seals, all open; never empty.
    keys: Vec<Key>,
    /// Ids of keys that records name and that are not among ours, as far as they were logged.
    unknown: Mutex<HashSet<[u8; KEY_ID_BYTES]>>,
}

struct Key {
    id: [u8; KEY_ID_BYTES],
    derived: [[u8; 32]; PURPOSES],
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring({} keys)", self.keys.len())
    }
}

impl Keyring {
    /// A ring of `first`, which seals, and `others`, which only open.
    #[must_use]
    pub fn new(first: &SessionKey, others: &[SessionKey]) -> Self {
        let keys = std::iter::once(first).chain(others);
        Self {
            keys: keys.map(|key| Key::new(key.expose())).collect(),
            unknown: Mutex::default(),
        }
    }

    /// A ring of one new key that nobody else knows: what it seals ends with the process.
    #[must_use]
    pub fn ephemeral() -> Self {
        Self::new(&SessionKey::new(Box::new(random())), &[])
    }

    fn first(&self) -> &Key {
        self.keys.first().expect("a ring is never empty")
    }

    /// Seals `plain`. `context` says where the value belongs (a record's key, a host); it does not open
    /// anywhere else.
    #[must_use]
    pub fn seal(&self, purpose: Purpose, context: &[u8], plain: &[u8]) -> Vec<u8> {
        let key = self.first();
        let salt: [u8; SALT_BYTES] = random();
        let mut sealed = Vec::with_capacity(HEAD_BYTES + plain.len() + AES_256_GCM.tag_len());
        sealed.push(FORMAT);
        sealed.extend(key.id);
        sealed.extend(salt);
        let (aead, nonce) = key.aead(purpose, &salt);
        let mut body = plain.to_vec();
        aead.seal_in_place_append_tag(nonce, Aad::from(context), &mut body)
            .expect("a value in memory is shorter than AES-GCM's limit of 64 GiB");
        sealed.append(&mut body);
        sealed
    }

    /// Opens what [`seal`](Self::seal) gave for the same purpose and context.
    ///
    /// # Errors
    ///
    /// [`NotOurs`] for everything else, without telling what was wrong with it.
    pub fn open(
        &self,
        purpose: Purpose,
        context: &[u8],
        sealed: &[u8],
    ) -> Result<Vec<u8>, NotOurs> {
        let (format, rest) = sealed.split_first().ok_or(NotOurs)?;
        let (id, rest) = rest.split_first_chunk::<KEY_ID_BYTES>().ok_or(NotOurs)?;
        let (salt, body) = rest.split_first_chunk::<SALT_BYTES>().ok_or(NotOurs)?;
        if *format != FORMAT {
            return Err(NotOurs);
        }
        let Some(key) = self.keys.iter().find(|key| key.id == *id) else {
            self.note_unknown(purpose, *id);
            return Err(NotOurs);
        };
        let (aead, nonce) = key.aead(purpose, salt);
        let mut body = body.to_vec();
        let plain = aead
            .open_in_place(nonce, Aad::from(context), &mut body)
            .map_err(|_| NotOurs)?
            .len();
        body.truncate(plain);
        Ok(body)
    }

    /// Tells, once a key, that records are sealed with one that is not listed: somebody rotated too fast, and
    /// that is why people are signed out. What strangers show us is not worth a line.
    fn note_unknown(&self, purpose: Purpose, id: [u8; KEY_ID_BYTES]) {
        if !matches!(purpose, Purpose::Session | Purpose::Tokens) {
            return;
        }
        let mut unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        if unknown.len() < MAX_UNKNOWN && unknown.insert(id) {
            tracing::warn!(
                "a session is sealed with a key that session.secret_file does not list; it counts as none"
            );
        }
    }

    /// A message authentication code over `parts`, each taken as a whole.
    #[must_use]
    pub fn mac(&self, purpose: Purpose, parts: &[&[u8]]) -> [u8; 32] {
        self.first().mac(purpose, parts)
    }

    /// Whether `mac` is ours for `parts`, by any key. Takes the same time whatever is wrong.
    #[must_use]
    pub fn verifies(&self, purpose: Purpose, parts: &[&[u8]], mac: &[u8; 32]) -> bool {
        let ours = |key: &Key| key.mac(purpose, parts).ct_eq(mac).into();
        self.keys.iter().any(ours)
    }
}

impl Key {
    fn new(root: &[u8; 32]) -> Self {
        let id_bytes = blake3::derive_key("portcullis v1 key id", root);
        let mut id = [0; KEY_ID_BYTES];
        id.copy_from_slice(&id_bytes[..KEY_ID_BYTES]);
        Self {
            id,
            derived: Purpose::ALL.map(|purpose| blake3::derive_key(purpose.context(), root)),
        }
    }

    fn derived(&self, purpose: Purpose) -> &[u8; 32] {
        &self.derived[purpose as usize]
    }

    fn aead(&self, purpose: Purpose, salt: &[u8; SALT_BYTES]) -> (LessSafeKey, Nonce) {
        let mut material = blake3::Hasher::new_keyed(self.derived(purpose));
        material.update(b"seal");
        material.update(salt);
        let mut material = material.finalize_xof();
        let (mut key, mut nonce) = ([0; 32], [0; 12]);
        material.fill(&mut key);
        material.fill(&mut nonce);
        let key = UnboundKey::new(&AES_256_GCM, &key).expect("AES-256 takes 32 bytes");
        (LessSafeKey::new(key), Nonce::assume_unique_for_key(nonce))
    }

    fn mac(&self, purpose: Purpose, parts: &[&[u8]]) -> [u8; 32] {
        let key = self.derived(purpose);
        // A cookie's parts are short, and one piece is hashed faster than many.
        let mut room = [0; SHORT_BYTES];
        if let Some(message) = in_one_piece(parts, &mut room) {
            return *blake3::keyed_hash(key, message).as_bytes();
        }
        let mut mac = blake3::Hasher::new_keyed(key);
        write_parts(parts, &mut mac).expect("a hasher takes all");
        *mac.finalize().as_bytes()
    }
}

/// How long a message is at most that is put into one piece.
const SHORT_BYTES: usize = 192;

/// What a message authentication code is over, where `room` holds it.
fn in_one_piece<'r>(parts: &[&[u8]], room: &'r mut [u8; SHORT_BYTES]) -> Option<&'r [u8]> {
    let mut left = &mut room[..];
    write_parts(parts, &mut left).ok()?;
    let length = SHORT_BYTES - left.len();
    Some(&room[..length])
}

fn write_parts(parts: &[&[u8]], message: &mut impl Write) -> io::Result<()> {
    message.write_all(b"mac")?;
    for part in parts {
        // Lengths keep ("a", "bc") and ("ab", "c") apart.
        message.write_all(&(part.len() as u64).to_be_bytes())?;
        message.write_all(part)?;
    }
    Ok(())
}

/// `N` bytes that nobody can guess.
#[must_use]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .expect("the operating system gives random bytes");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn old() -> SessionKey {
        SessionKey::new(Box::new([1; 32]))
    }

    fn new() -> SessionKey {
        SessionKey::new(Box::new([2; 32]))
    }

    /// What was given out before stays good, whatever way is the faster.
    #[test]
    fn a_code_is_the_same_in_one_piece_and_in_many() {
        let key = Key::new(&[1; 32]);
        for length in [0, 17, SHORT_BYTES - 20, SHORT_BYTES - 19, SHORT_BYTES, 1000] {
            let (id, rest) = ([7], vec![8; length]);
            let mut hasher = blake3::Hasher::new_keyed(key.derived(Purpose::HostCookie));
            hasher.update(b"mac");
            hasher.update(&1_u64.to_be_bytes()).update(&id);
            hasher.update(&(length as u64).to_be_bytes()).update(&rest);
            let found = key.mac(Purpose::HostCookie, &[&id, &rest]);
            assert_eq!(found, *hasher.finalize().as_bytes(), "{length}");
        }
    }

    #[test]
    fn what_was_sealed_opens_there_and_for_that_only() {
        let ring = Keyring::new(&old(), &[]);
        let sealed = ring.seal(Purpose::Ticket, b"films", b"secret");
        let open = |ring: &Keyring, purpose, context: &[u8], sealed: &[u8]| {
            ring.open(purpose, context, sealed)
        };
        assert_eq!(
            open(&ring, Purpose::Ticket, b"films", &sealed),
            Ok(b"secret".to_vec())
        );
        assert_eq!(
            open(&ring, Purpose::Session, b"films", &sealed),
            Err(NotOurs)
        );
        assert_eq!(
            open(&ring, Purpose::Ticket, b"notes", &sealed),
            Err(NotOurs)
        );
        let stranger = Keyring::ephemeral();
        assert_eq!(
            open(&stranger, Purpose::Ticket, b"films", &sealed),
            Err(NotOurs)
        );
        assert_ne!(sealed, ring.seal(Purpose::Ticket, b"films", b"secret"));
    }

    #[test]
    fn a_changed_or_cut_value_does_not_open() {
        let ring = Keyring::new(&old(), &[]);
        let sealed = ring.seal(Purpose::Ticket, b"", b"secret");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(
                ring.open(Purpose::Ticket, b"", &changed),
                Err(NotOurs),
                "byte {at}"
            );
            assert_eq!(
                ring.open(Purpose::Ticket, b"", &sealed[..at]),
                Err(NotOurs),
                "cut at {at}"
            );
        }
    }

    #[test]
    fn keys_rotate_without_losing_what_is_sealed() {
        let before = Keyring::new(&old(), &[]);
        let second = Keyring::new(&old(), &[new()]);
        let moved = Keyring::new(&new(), &[old()]);
        let after = Keyring::new(&new(), &[]);
        let sealed = before.seal(Purpose::Session, b"k", b"v");
        assert_eq!(
            moved.open(Purpose::Session, b"k", &sealed),
            Ok(b"v".to_vec())
        );
        assert_eq!(after.open(Purpose::Session, b"k", &sealed), Err(NotOurs));
        let sealed = moved.seal(Purpose::Session, b"k", b"v");
        assert_eq!(
            second.open(Purpose::Session, b"k", &sealed),
            Ok(b"v".to_vec())
        );
        let mac = moved.mac(Purpose::HostCookie, &[b"id", b"host"]);
        assert!(second.verifies(Purpose::HostCookie, &[b"id", b"host"], &mac));
        assert!(!before.verifies(Purpose::HostCookie, &[b"id", b"host"], &mac));
    }

    #[test]
    fn a_mac_holds_for_its_parts_only() {
        let ring = Keyring::ephemeral();
        let mac = ring.mac(Purpose::HostCookie, &[b"ab", b"c"]);
        assert!(ring.verifies(Purpose::HostCookie, &[b"ab", b"c"], &mac));
        assert!(!ring.verifies(Purpose::HostCookie, &[b"a", b"bc"], &mac));
        assert!(!ring.verifies(Purpose::HostCookie, &[b"abc"], &mac));
        assert!(!ring.verifies(Purpose::PortalCookie, &[b"ab", b"c"], &mac));
    }

    #[test]
    fn purposes_stand_at_their_index() {
        for (index, purpose) in Purpose::ALL.into_iter().enumerate() {
            assert_eq!(purpose as usize, index);
        }
    }

    #[test]
    fn keys_are_not_printed() {
        assert_eq!(
            format!("{:?}", Keyring::new(&old(), &[new()])),
            "Keyring(2 keys)"
        );
    }
}
