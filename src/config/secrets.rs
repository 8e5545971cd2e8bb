//! Secrets from files: read once, never printed, never in a message.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE_NO_PAD};
use base64::engine::{DecodePaddingMode, general_purpose};
use ring::rand::{SecureRandom, SystemRandom};
use secrecy::{ExposeSecret, SecretSlice, SecretString, zeroize::Zeroizing};
use thiserror::Error;

use super::SessionSecret;
use super::watch::SecretForm;
use crate::domain::session_key::SessionKey;

/// The longest file that is read for a secret, in bytes.
const MAX_BYTES: u64 = 64 * 1024;

/// The most keys of `session.secret_file`: each of them is tried on what does not name its key.
const MAX_KEYS: usize = 16;

/// Read and write for others than owner and group.
pub(super) const OPEN_TO_OTHERS: u32 = 0o006;

/// Why a file gave no secret. The messages say nothing of what it holds.
#[derive(Debug, Error)]
pub enum SecretError {
    /// The system refuses.
    #[error("{path} cannot be read: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system says, and what helps to mend it.
        reason: String,
    },
    /// A folder, a pipe, a device.
    #[error("{0} is not a regular file")]
    NotAFile(String),
    /// Longer than any secret.
    #[error("{0} is longer than {1} bytes")]
    TooLong(String, u64),
    /// Bytes that are no UTF-8, or control characters.
    #[error("{0} holds something that is not text")]
    NotText(String),
    /// Nothing, or only blanks.
    #[error("{0} is empty")]
    Empty(String),
    /// A secret is one line.
    #[error("{0} holds more than one line, and a secret is one")]
    SeveralLines(String),
    /// Characters that no header can carry.
    #[error("{0} holds something that no header can carry: only visible ASCII can be sent")]
    NotAHeaderValue(String),
    /// Too many keys.
    #[error("{0} holds more than {MAX_KEYS} keys: drop the oldest, which stand last")]
    TooManyKeys(String),
    /// A line that is no key.
    #[error(
        "{path}, line {line}: not a key: `portcullis secret` prints one (32 bytes as base64url)"
    )]
    NotAKey {
        /// The file.
        path: String,
        /// Counted from one.
        line: usize,
    },
    /// A new key could not be written.
    #[error("{path} does not exist, and a new key could not be written there: {reason}")]
    NotWritten {
        /// The file.
        path: String,
        /// What the system says.
        reason: String,
    },
}

/// What a file held, and whether others may read or change it.
pub(super) struct FromFile<T> {
    pub(super) value: T,
    pub(super) open_to_others: bool,
}

/// Reads a secret of one line. Blanks and line ends behind it go.
pub(super) fn read_secret(path: &Path) -> Result<FromFile<SecretString>, SecretError> {
    let text = read_text(path)?;
    let secret = text.value.trim_end();
    if secret.trim_start().is_empty() {
        return Err(SecretError::Empty(shown(path)));
    }
    if secret.contains(['\n', '\r']) {
        return Err(SecretError::SeveralLines(shown(path)));
    }
    if secret.chars().any(|c| c.is_control() || c == '\u{feff}') {
        return Err(SecretError::NotText(shown(path)));
    }
    Ok(FromFile {
        value: SecretString::from(secret),
        open_to_others: text.open_to_others,
    })
}

/// Reads a secret of one line that has to be of this form.
pub(super) fn read_in_form(
    path: &Path,
    form: SecretForm,
) -> Result<FromFile<SecretString>, SecretError> {
    let read = read_secret(path)?;
    if form == SecretForm::HeaderValue && !is_header_value(read.value.expose_secret()) {
        return Err(SecretError::NotAHeaderValue(shown(path)));
    }
    Ok(read)
}

/// Whether a header can carry this as it is: visible ASCII, with blanks only inside (RFC 9110 §5.5).
pub(super) fn is_header_value(secret: &str) -> bool {
    let visible = secret.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    visible && !secret.is_empty() && secret.trim() == secret
}

/// Reads keys, one a line, newest first. Blank lines and those that begin with `#` count for nothing.
pub(super) fn read_keys(path: &Path) -> Result<FromFile<Vec<SessionKey>>, SecretError> {
    let text = read_text(path)?;
    let mut keys = Vec::new();
    for (index, line) in text.value.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        keys.push(parse_key(line).ok_or_else(|| SecretError::NotAKey {
            path: shown(path),
            line: index + 1,
        })?);
    }
    match keys.len() {
        0 => Err(SecretError::Empty(shown(path))),
        1..=MAX_KEYS => Ok(FromFile {
            value: keys,
            open_to_others: text.open_to_others,
        }),
        _ => Err(SecretError::TooManyKeys(shown(path))),
    }
}

/// Reads certificates or other text that is no secret, of at most `max_bytes`.
pub(super) fn read_public(path: &Path, max_bytes: u64) -> Result<Vec<u8>, SecretError> {
    read_bytes(path, max_bytes).map(|mut bytes| std::mem::take(&mut *bytes.value))
}

/// Reads a private key in PEM form, as it is.
pub(super) fn read_private_key(path: &Path) -> Result<FromFile<SecretSlice<u8>>, SecretError> {
    let mut read = read_bytes(path, MAX_BYTES)?;
    Ok(FromFile {
        value: SecretSlice::from(std::mem::take(&mut *read.value)),
        open_to_others: read.open_to_others,
    })
}

/// A new key, as [`read_keys`] reads it: 32 random bytes in base64url.
#[must_use]
pub fn new_key() -> SecretString {
    let bytes: Zeroizing<[u8; 32]> = Zeroizing::new(random());
    SecretString::from(URL_SAFE_NO_PAD.encode(bytes.as_slice()))
}

impl SessionSecret {
    /// The keys themselves, newest first and never none. Makes the file that is to be made (mode 0600),
    /// and the key that is not to be kept. To be called once, when the service starts.
    ///
    /// # Errors
    ///
    /// [`SecretError`], when the file could not be made, or cannot be read.
    pub fn into_keys(self) -> Result<Vec<SessionKey>, SecretError> {
        match self {
            Self::Keys(keys) => Ok(keys),
            Self::Ephemeral => {
                let key = parse_key(new_key().expose_secret());
                Ok(vec![key.expect("a new key is a key")])
            }
            Self::ToBeMade(path) => {
                match make_key_file(&path) {
                    Ok(()) => {}
                    // Another process was faster: its key is the one.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    Err(error) => {
                        return Err(SecretError::NotWritten {
                            path: shown(&path),
                            reason: match error.kind() {
                                io::ErrorKind::NotFound => "its folder does not exist".to_owned(),
                                _ => plain(&error),
                            },
                        });
                    }
                }
                Ok(read_keys(&path)?.value)
            }
        }
    }
}

/// Makes the file under a name of its own, and gives it the one that counts when it is whole: half a key, left by a
/// process that was killed, would keep the service from ever starting. Fails where there is such a file already.
fn make_key_file(path: &Path) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(format!(".{:016x}", u64::from_ne_bytes(random())));
    let new = PathBuf::from(new);
    let made = write_key_file(&new).and_then(|()| {
        give_name(&new, path)?;
        // The name has to outlive a loss of power, as the sessions do.
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    });
    // Of no use any more; left over it does no harm.
    let _ = fs::remove_file(&new);
    made
}

/// Never in the place of another file: somebody else may just have made it, and use what it holds.
fn give_name(new: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(new, path) {
        // Not every file system has links. There, two that start in the same instant are not told apart.
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists && !path.try_exists()? => {
            fs::rename(new, path)
        }
        linked => linked,
    }
}

fn write_key_file(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    writeln!(file, "{}", new_key().expose_secret())?;
    file.sync_all()
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .expect("the operating system gives random bytes");
    bytes
}

/// 32 bytes as they are; longer ones count whole, condensed to 32.
fn parse_key(line: &str) -> Option<SessionKey> {
    const FORGIVING: GeneralPurposeConfig =
        general_purpose::NO_PAD.with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, FORGIVING);
    const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, FORGIVING);

    let decoded = URL_SAFE.decode(line).or_else(|_| STANDARD.decode(line));
    let decoded = Zeroizing::new(decoded.ok()?);
    let mut key = Box::new([0; 32]);
    match decoded.len() {
        0..32 => return None,
        32 => key.copy_from_slice(&decoded),
        _ => {
            *key = blake3::derive_key("portcullis 2026 session key from a longer secret", &decoded);
        }
    }
    Some(SessionKey::new(key))
}

fn read_text(path: &Path) -> Result<FromFile<Zeroizing<String>>, SecretError> {
    let mut read = read_bytes(path, MAX_BYTES)?;
    let text = String::from_utf8(std::mem::take(&mut *read.value));
    let text = text.map_err(|error| {
        drop(Zeroizing::new(error.into_bytes()));
        SecretError::NotText(shown(path))
    })?;
    Ok(FromFile {
        value: Zeroizing::new(text),
        open_to_others: read.open_to_others,
    })
}

fn read_bytes(path: &Path, max: u64) -> Result<FromFile<Zeroizing<Vec<u8>>>, SecretError> {
    let unreadable = |error: io::Error| SecretError::Unreadable {
        path: shown(path),
        reason: why_unreadable(&error, path),
    };
    // Looked at first: opening a pipe would wait for its other end.
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(SecretError::NotAFile(shown(path)));
    }
    let file = File::open(path).map_err(unreadable)?;
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(max + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > max {
        return Err(SecretError::TooLong(shown(path), max));
    }
    Ok(FromFile {
        value: bytes,
        open_to_others: metadata.mode() & OPEN_TO_OTHERS != 0,
    })
}

/// What the system says, and, where it says that we may not: who we are and whose file it is.
pub(super) fn why_unreadable(error: &io::Error, path: &Path) -> String {
    let mut reason = plain(error);
    if error.kind() != io::ErrorKind::PermissionDenied {
        return reason;
    }
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    let _ = fmt::Write::write_fmt(
        &mut reason,
        format_args!("; this process runs as uid {uid}, gid {gid}"),
    );
    let owner = match fs::metadata(path) {
        Ok(metadata) => format!(
            "the file belongs to uid {}, gid {}, with mode {:04o}",
            metadata.uid(),
            metadata.gid(),
            metadata.mode() & 0o7777
        ),
        Err(_) => "a folder on the way is closed to it".to_owned(),
    };
    reason.push_str(", and ");
    reason.push_str(&owner);
    reason
}

/// An error of the system in a few words, without its number.
pub(super) fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "it does not exist".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        _ => error.to_string(),
    }
}

/// What to say of a file that others than owner and group may read or change, and how to mend it.
pub(super) fn open_to_others(path: &Path) -> String {
    format!(
        "every user of this machine may read or change {0}: `chmod o-rwx {0}`",
        path.display()
    )
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

    #[test]
    fn keys_are_32_bytes_or_more_in_either_base64() {
        let first = parse_key(KEY).expect("a key");
        assert_eq!(first.expose()[31], 31);
        let padded = parse_key(&format!("{KEY}=")).expect("a padded key");
        assert_eq!(first.expose(), padded.expose());
        let standard = parse_key("/".repeat(43).replace("//", "+/").as_str());
        assert!(standard.is_none(), "bits beyond the last byte must be zero");
        assert!(parse_key(&format!("{}8=", "+/".repeat(21))).is_some());
        // `openssl rand -base64 48` and `openssl rand -hex 32`
        assert!(parse_key(&"ab+/".repeat(16)).is_some());
        assert!(parse_key(&"0f".repeat(32)).is_some());
        for bad in [
            "",
            "short",
            &KEY[..42],
            "not base64 at all, but rather long, is it",
        ] {
            assert!(parse_key(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_longer_key_counts_whole() {
        let one = parse_key(&format!("{}{}", KEY, "AAAAA")).expect("a key");
        let other = parse_key(&format!("{}{}", KEY, "AAAAE")).expect("a key");
        assert_ne!(one.expose(), other.expose());
    }

    #[test]
    fn a_new_key_is_a_key_and_new() {
        let (one, other) = (new_key(), new_key());
        assert_eq!(one.expose_secret().len(), 43);
        assert_ne!(one.expose_secret(), other.expose_secret());
        assert!(parse_key(one.expose_secret()).is_some());
    }

    #[test]
    fn keys_are_not_printed() {
        let key = parse_key(KEY).expect("a key");
        let shown = format!("{:?}", SessionSecret::Keys(vec![key]));
        assert_eq!(shown, "Keys([SessionKey(..)])");
    }
}
