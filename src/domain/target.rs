//! What was asked for: path and query, exactly as sent.

use thiserror::Error;

/// The request target in origin form (RFC 9112 §3.2.1): path and query, exactly as sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestTarget {
    raw: String,
    path_ends: usize,
}

/// The longest request target, in bytes.
pub const MAX_TARGET_BYTES: usize = 16 * 1024;

/// Why a request target was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TargetError {
    /// Not in origin form.
    #[error("the request target does not begin with a slash")]
    NotAPath,
    /// A fragment never leaves the browser; where one arrives, somebody wants two readers to
    /// disagree about where the path ends.
    #[error("the request target holds a raw '#'")]
    Fragment,
    /// Longer than browsers, proxies and apps agree on.
    #[error("the request target is longer than {MAX_TARGET_BYTES} bytes")]
    TooLong,
    /// Blanks, control characters, or bytes beyond ASCII.
    #[error("the request target holds a character that must be percent-encoded")]
    ForbiddenCharacter,
}

impl RequestTarget {
    /// Reads a request target.
    ///
    /// # Errors
    ///
    /// [`TargetError`] for everything that is not path and query in printable ASCII.
    pub fn parse(raw: &str) -> Result<Self, TargetError> {
        if !raw.starts_with('/') {
            return Err(TargetError::NotAPath);
        }
        if raw.len() > MAX_TARGET_BYTES {
            return Err(TargetError::TooLong);
        }
        if raw.contains('#') {
            return Err(TargetError::Fragment);
        }
        if !raw.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TargetError::ForbiddenCharacter);
        }
        Ok(Self {
            path_ends: raw.find('?').unwrap_or(raw.len()),
            raw: raw.to_owned(),
        })
    }

    /// Path and query, as sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.raw
    }

    /// The path alone, as sent.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.raw[..self.path_ends]
    }

    /// What follows the first `?`; `None` when there is none.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.raw.get(self.path_ends + 1..)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    #[rustfmt::skip] // the columns are the point
    fn a_target_is_path_and_query_in_printable_ascii() {
        let cases = [
            ("/",                 Ok(("/", None))),
            ("/a/b?x=1&y=/?z",    Ok(("/a/b", Some("x=1&y=/?z")))),
            ("/a?",               Ok(("/a", Some("")))),
            ("/a%20b",            Ok(("/a%20b", None))),
            ("",                  Err(TargetError::NotAPath)),
            ("*",                 Err(TargetError::NotAPath)),
            ("a/b",               Err(TargetError::NotAPath)),
            ("https://a.net/",    Err(TargetError::NotAPath)),
            ("/a#b",              Err(TargetError::Fragment)),
            ("/a?b#c",            Err(TargetError::Fragment)),
            ("/a b",              Err(TargetError::ForbiddenCharacter)),
            ("/a\u{7f}",          Err(TargetError::ForbiddenCharacter)),
            ("/a\r\nX: y",        Err(TargetError::ForbiddenCharacter)),
            ("/ä",                Err(TargetError::ForbiddenCharacter)),
        ];
        for (raw, expected) in cases {
            let target = RequestTarget::parse(raw);
            let found = target.as_ref().map(|target| (target.path(), target.query()));
            assert_eq!(found, expected.as_ref().map(|ok| *ok), "{raw:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(raw in "\\PC{0,64}") {
            if let Ok(target) = RequestTarget::parse(&raw) {
                let query = target.query().map_or_else(String::new, |query| format!("?{query}"));
                prop_assert_eq!(format!("{}{query}", target.path()), raw);
            }
        }
    }
}
