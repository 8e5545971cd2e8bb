//! What a rule says about paths: one path, or everything below a folder.

use thiserror::Error;

use crate::domain::paths::{Readings, decode, fold};
use crate::domain::plain_path::is_plain;

/// Why a pattern in the configuration was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PatternError {
    /// Patterns are absolute.
    #[error("must begin with '/'")]
    NotAbsolute,
    /// A `*` in another place than the end.
    #[error("'*' may stand only at the end, after a '/': \"/api/*\" matches what lies below /api/")]
    Wildcard,
    /// A pattern that could be read in two ways would match nothing that is plain.
    #[error(
        "must be a path with one meaning: no dot segments, empty segments, ';', '\\', '?', '#', \
         and other characters than ASCII percent-encoded as browsers send them"
    )]
    NotPlain,
}

/// What a rule's path may say: one path, or everything below a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern {
    written: String,
    /// For a prefix with its final slash: `/api/*` is `/api/`.
    path: String,
    folded: String,
    below: bool,
}

impl PathPattern {
    /// Reads `/ping` (that path) or `/api/*` (what lies below `/api/`).
    ///
    /// # Errors
    ///
    /// [`PatternError`], for what would match nothing or more than it seems to.
    pub fn parse(written: &str) -> Result<Self, PatternError> {
        if !written.starts_with('/') {
            return Err(PatternError::NotAbsolute);
        }
        let (path, below) = match written.strip_suffix("/*") {
            Some(folder) => (format!("{folder}/"), true),
            None => (written.to_owned(), false),
        };
        if path.contains('*') {
            return Err(PatternError::Wildcard);
        }
        if !is_plain(&path) {
            return Err(PatternError::NotPlain);
        }
        Ok(Self {
            written: written.to_owned(),
            folded: fold(&decode(&path)),
            path,
            below,
        })
    }

    /// As the operator wrote it.
    #[must_use]
    pub fn as_written(&self) -> &str {
        &self.written
    }

    /// Whether `path` matches byte for byte. Means something for a plain path only.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        if self.below {
            path.starts_with(&self.path)
        } else {
            path == self.path
        }
    }

    /// Whether any reading of a path matches. `/admin` counts for `/admin/*`, and `/ping/` for
    /// `/ping`, because many apps answer both alike.
    #[must_use]
    pub fn matches_any(&self, readings: &Readings) -> bool {
        readings.iter().any(|reading| {
            let folder = self.folded.trim_end_matches('/');
            let exact = reading.trim_end_matches('/') == folder;
            exact || (self.below && reading.starts_with(&self.folded))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip] // the columns are the point
    fn patterns_are_exact_or_a_folder() {
        let cases = [
            ("/ping",    "/ping",        true),
            ("/ping",    "/ping/",       false),
            ("/ping",    "/pingx",       false),
            ("/ping",    "/PING",        false),
            ("/api/*",   "/api/",        true),
            ("/api/*",   "/api/v3",      true),
            ("/api/*",   "/api",         false),
            ("/api/*",   "/apix/v3",     false),
            ("/api/*",   "/x/api/v3",    false),
            ("/v1.0/*",  "/v1x0/",       false),
            ("/a+/(b|c)", "/aa/b",       false),
            ("/a+/(b|c)", "/a+/(b|c)",   true),
            ("/*",       "/",            true),
            ("/*",       "/anything",    true),
        ];
        for (pattern, path, expected) in cases {
            let pattern = PathPattern::parse(pattern).expect("a pattern");
            assert_eq!(pattern.matches(path), expected, "{} {path}", pattern.as_written());
        }
    }

    #[test]
    #[rustfmt::skip] // the columns are the point
    fn patterns_that_would_mislead_are_refused() {
        let cases = [
            ("api/*",    PatternError::NotAbsolute),
            ("",         PatternError::NotAbsolute),
            ("/a*",      PatternError::Wildcard),
            ("/*/b",     PatternError::Wildcard),
            ("/a/**",    PatternError::Wildcard),
            ("/a/../b",  PatternError::NotPlain),
            ("//*",      PatternError::NotPlain),
            ("/a?x=1",   PatternError::NotPlain),
            ("/é",       PatternError::NotPlain),
            ("/a b",     PatternError::NotPlain),
        ];
        for (pattern, expected) in cases {
            assert_eq!(PathPattern::parse(pattern), Err(expected), "{pattern:?}");
        }
    }

    #[test]
    fn a_closing_pattern_holds_in_every_reading() {
        let admin = PathPattern::parse("/admin/*").expect("a pattern");
        let spellings = [
            "/admin",
            "/admin/",
            "/ADMIN/users",
            "/%61dmin/users",
            "/%2561dmin/users",
            "//admin/users",
            "/x/../admin/users",
            "/x/%2e%2e/admin/users",
            "/x/%252e%252e/admin/users",
            "/x/%25%32e%25%32e/admin/users",
            "/%25%361dmin/users",
            "/./admin/users",
            "/x/..;/admin/users",
            "/x;a=b/../admin/users",
            "/admin;a=b/users",
            "/admin%3ba=b/users",
            "/admin%3Ba/users",
            "/admin%23/x",
            "/admin%3fx",
            "/admin%00/x",
            "/x\\..\\admin\\users",
            "/x/..%5cadmin%5cusers",
            "/x%2f..%2fadmin/users",
            "/admin%2fusers",
            "/x//../../admin/users",
        ];
        for path in spellings {
            assert!(admin.matches_any(&Readings::of(path)), "{path:?}");
        }
        for path in [
            "/",
            "/administrator",
            "/x/admin/users",
            "/admi",
            "/users?admin/",
        ] {
            assert!(!admin.matches_any(&Readings::of(path)), "{path:?}");
        }
    }

    #[test]
    fn patterns_with_escapes_meet_their_decoded_form() {
        let cafe = PathPattern::parse("/caf%C3%A9/*").expect("a pattern");
        assert!(cafe.matches("/caf%C3%A9/menu"));
        assert!(cafe.matches_any(&Readings::of("/caf%c3%a9/menu")));
        assert!(cafe.matches_any(&Readings::of("/CAF%C3%89/menu")));
    }
}
