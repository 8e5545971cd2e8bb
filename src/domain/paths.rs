//! Paths: what else one could be taken for by an app that reads it differently than we do.
//!
//! Proxies hand the request target on as it was sent, and the app behind them may decode, merge and
//! resolve as it likes. So a pattern may *open* a path only when the path has one meaning under
//! every reading ([`is_plain`]), while a pattern that *closes* one holds in any of its
//! [`Readings`].

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::domain::plain_path::is_plain;

/// Below this path of every protected host lie our own answers.
pub const RESERVED_PREFIX: &str = "/.portcullis/";

/// Whether some reader would look for `path` below [`RESERVED_PREFIX`].
#[must_use]
pub fn is_reserved(path: &str) -> bool {
    // Whatever ends up there has the name in it, or hides it behind an escape.
    let may_be = path.contains('%') || path.to_ascii_lowercase().contains(".portcullis");
    may_be
        && Readings::of(path)
            .iter()
            .any(|reading| reading.starts_with(RESERVED_PREFIX))
}

/// What a path could be taken for: decoded once and twice, dots resolved, slashes merged, backslashes
/// turned, cut at parameters, each in every combination and in folded case. Finite and small: at most
/// 3 × 4 × 2 × 2 × 2 strings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readings(Vec<String>);

impl Readings {
    /// The readings of `path`, which is the path alone, as sent.
    #[must_use]
    pub fn of(path: &str) -> Self {
        // Most paths hold nothing that anybody would rewrite.
        if is_plain(path) && !path.contains('%') {
            return Self(vec![fold(path)]);
        }
        let mut found = Vec::new();
        let once = decode(path);
        let twice = decode(&once);
        for decoded in [Cow::Borrowed(path), once.clone(), twice] {
            let cut = decoded
                .split(['?', '#', '\0'])
                .next()
                .unwrap_or_default()
                .to_owned();
            let cut_at_parameter = cut.split(';').next().unwrap_or_default().to_owned();
            let without_parameters = drop_parameters(&cut);
            for ended in [
                decoded.into_owned(),
                cut,
                cut_at_parameter,
                without_parameters,
            ] {
                for turned in [ended.replace('\\', "/"), ended] {
                    for merged in [merge_slashes(&turned), turned] {
                        for resolved in [resolve_dots(&merged), merged] {
                            let reading = fold(&resolved);
                            if !found.contains(&reading) {
                                found.push(reading);
                            }
                        }
                    }
                }
            }
        }
        Self(found)
    }

    /// Each of them, in folded case.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

pub(super) fn fold(path: &str) -> String {
    // The same for ASCII, and quicker.
    if path.is_ascii() {
        path.to_ascii_lowercase()
    } else {
        path.to_lowercase()
    }
}

pub(super) fn decode(path: &str) -> Cow<'_, str> {
    percent_decode_str(path).decode_utf8_lossy()
}

fn drop_parameters(path: &str) -> String {
    let segments: Vec<&str> = path
        .split('/')
        .map(|segment| segment.split(';').next().unwrap_or_default())
        .collect();
    segments.join("/")
}

fn merge_slashes(path: &str) -> String {
    let mut merged = String::with_capacity(path.len());
    for c in path.chars() {
        if c != '/' || !merged.ends_with('/') {
            merged.push(c);
        }
    }
    merged
}

/// Removes dot segments (RFC 3986 §5.2.4).
fn resolve_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            other => kept.push(other),
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::path_pattern::PathPattern;

    #[test]
    fn our_own_paths_are_known_in_every_spelling() {
        let spellings = [
            "/.portcullis/",
            "/.portcullis/enter",
            "/.Portcullis/enter",
            "//.portcullis/enter",
            "/%2eportcullis/enter",
            "/%252eportcullis/enter",
            "/.portcullis%2fenter",
            "/x/../.portcullis/enter",
            "/.portcullis;x/enter",
            "/.portcullis\\enter",
        ];
        for path in spellings {
            assert!(is_reserved(path), "{path}");
        }
        for path in [
            "/",
            "/.portcullis",
            "/x/.portcullis/enter",
            "/.portcullisx/",
            "/a%20b",
        ] {
            assert!(!is_reserved(path), "{path}");
        }
    }

    /// Pieces that spell paths in unusual ways.
    fn odd_paths() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "/", "//", "a", "api", "admin", ".", "..", "%2e", "%2E", "%2f", "%5c", "\\", ";",
            ";x=1", "%3b", "%23", "%3f", "%00", "%25", "%252e", "%61", "A", "%zz", "%C3%A9", "%FF",
            "%32", "2e", "~", "%",
        ]);
        prop::collection::vec(piece, 0..12).prop_map(|pieces| format!("/{}", pieces.concat()))
    }

    proptest! {
        /// A plain path has no reading that differs by more than case and harmless escapes: it is
        /// what it decodes to.
        #[test]
        fn a_plain_path_has_one_reading(path in odd_paths()) {
            if is_plain(&path) {
                let decoded = fold(&decode(&path));
                for reading in Readings::of(&path).iter() {
                    prop_assert!(reading == decoded || reading == fold(&path), "{path} {reading}");
                }
            }
        }

        /// What a pattern opens byte for byte, it also matches among the readings.
        #[test]
        fn readings_hold_the_path_itself(path in odd_paths()) {
            let pattern = PathPattern::parse("/api/*").expect("a pattern");
            if pattern.matches(&path) {
                prop_assert!(pattern.matches_any(&Readings::of(&path)));
            }
        }

        #[test]
        fn any_text_is_read_without_panic(path in "\\PC{0,64}") {
            let _ = is_plain(&path);
            let _ = Readings::of(&path);
            let _ = PathPattern::parse(&path);
        }
    }
}
