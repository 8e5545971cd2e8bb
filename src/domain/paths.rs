//! Paths: which have one meaning only, which patterns match, and what else a path could be taken
//! for by an app that reads it differently than we do.
//!
//! Proxies hand the request target on as it was sent, and the app behind them may decode, merge and
//! resolve as it likes. So a pattern may *open* a path only when the path has one meaning under
//! every reading ([`is_plain`]), while a pattern that *closes* one holds in any of its
//! [`Readings`].

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use thiserror::Error;

/// What makes a path mean different things to different readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NotPlain {
    /// Not absolute.
    #[error("it does not begin with a slash")]
    NotAbsolute,
    /// Some merge slashes.
    #[error("it holds \"//\"")]
    EmptySegment,
    /// Some cut there, some turn a backslash.
    #[error("it holds a character that some readers take for structure: ; \\ # or ?")]
    Structure,
    /// Some resolve them.
    #[error("it holds a segment \".\" or \"..\"")]
    DotSegment,
    /// Nothing that a URL may hold.
    #[error("it holds a blank, a control character or one beyond ASCII")]
    ForbiddenCharacter,
    /// No two hexadecimal digits behind it.
    #[error("it holds a % that begins no escape")]
    BrokenEscape,
    /// Structure, for whoever decodes before looking.
    #[error("it holds / \\ . # ? or ; in percent-encoded form")]
    EncodedStructure,
    /// So it ends strings and lines.
    #[error("it holds a control character in percent-encoded form")]
    EncodedControl,
    /// Structure, for whoever decodes again.
    #[error("it is percent-encoded twice")]
    DoubleEncoding,
    /// Readers replace or drop what they cannot read.
    #[error("what it encodes is not UTF-8")]
    NotUtf8,
    /// Structure, for whoever normalises.
    #[error("it encodes a character that normalisation turns into a dot, a slash or the like")]
    Lookalike,
}

/// Whether `path` means the same to every reader: see [`plainness`].
#[must_use]
pub fn is_plain(path: &str) -> bool {
    plainness(path).is_ok()
}

/// Holds when `path` means the same to every reader: no dot segment, no empty one, no `;` or backslash,
/// nothing encoded that is structure once decoded, and nothing that decodes to a control character
/// or to broken UTF-8.
///
/// # Errors
///
/// The first thing that makes it mean different things.
pub fn plainness(path: &str) -> Result<(), NotPlain> {
    if !path.starts_with('/') {
        return Err(NotPlain::NotAbsolute);
    }
    if path.contains("//") {
        return Err(NotPlain::EmptySegment);
    }
    if path.contains([';', '\\', '#', '?']) {
        return Err(NotPlain::Structure);
    }
    if path
        .split('/')
        .any(|segment| segment == "." || segment == "..")
    {
        return Err(NotPlain::DotSegment);
    }
    if path.contains('%') {
        return harmless_escapes(path);
    }
    if path.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(())
    } else {
        Err(NotPlain::ForbiddenCharacter)
    }
}

fn harmless_escapes(path: &str) -> Result<(), NotPlain> {
    let bytes = path.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        if *byte == b'%' {
            let decoded = escape_at(bytes, at).ok_or(NotPlain::BrokenEscape)?;
            if matches!(decoded, b'/' | b'\\' | b'.' | b'#' | b'?' | b';') {
                return Err(NotPlain::EncodedStructure);
            }
            if decoded.is_ascii_control() {
                return Err(NotPlain::EncodedControl);
            }
            at += 3;
        } else if byte.is_ascii_graphic() {
            at += 1;
        } else {
            return Err(NotPlain::ForbiddenCharacter);
        }
    }
    match percent_decode_str(path).decode_utf8() {
        // `%2541` becomes `%41`, and `A` for whoever decodes again. So does `%25%34%31`: it is the decoded text that
        // tells.
        Ok(decoded) if holds_escape(&decoded) => Err(NotPlain::DoubleEncoding),
        Ok(decoded) if decoded.chars().any(looks_like_structure) => Err(NotPlain::Lookalike),
        Ok(_) => Ok(()),
        Err(_) => Err(NotPlain::NotUtf8),
    }
}

/// Characters beyond ASCII that compatibility normalisation (NFKC) turns into a dot, a slash or
/// another character with a meaning in paths: full-width forms, dot leaders, division slashes; and
/// the control characters of Latin-1.
fn looks_like_structure(c: char) -> bool {
    matches!(
        c,
        '\u{80}'..='\u{9f}'
            | '\u{ff00}'..='\u{ffef}'
            | '\u{2024}'..='\u{2026}'
            | '\u{2044}'
            | '\u{2100}' | '\u{2101}' | '\u{2105}' | '\u{2106}'
            | '\u{2215}' | '\u{2216}' | '\u{29f8}' | '\u{29f9}'
            | '\u{fe19}' | '\u{fe30}'
            | '\u{fe50}'..='\u{fe6b}'
            | '\u{2488}'..='\u{249b}'
            | '\u{037e}'
    )
}

fn holds_escape(text: &str) -> bool {
    let bytes = text.as_bytes();
    (0..bytes.len()).any(|at| bytes[at] == b'%' && escape_at(bytes, at).is_some())
}

fn escape_at(bytes: &[u8], at: usize) -> Option<u8> {
    let hex = |byte: &u8| char::from(*byte).to_digit(16);
    let (high, low) = (hex(bytes.get(at + 1)?)?, hex(bytes.get(at + 2)?)?);
    u8::try_from(high * 16 + low).ok()
}

/// Below this path of every protected host lie our own answers.
pub const RESERVED_PREFIX: &str = "/.portcullis/";

/// Whether some reader would look for `path` below [`RESERVED_PREFIX`].
#[must_use]
pub fn is_reserved(path: &str) -> bool {
    // Whatever ends up there has the name in it, or hides it behind an escape.
    let may_be = path.contains('%') || path.to_ascii_lowercase().contains(".portcullis");
    may_be
        && Readings::of(path)
            .0
            .iter()
            .any(|reading| reading.starts_with(RESERVED_PREFIX))
}

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
        readings.0.iter().any(|reading| {
            let folder = self.folded.trim_end_matches('/');
            let exact = reading.trim_end_matches('/') == folder;
            exact || (self.below && reading.starts_with(&self.folded))
        })
    }
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
}

fn fold(path: &str) -> String {
    path.to_lowercase()
}

fn decode(path: &str) -> Cow<'_, str> {
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

    #[test]
    #[rustfmt::skip] // the columns are the point
    fn what_makes_a_path_not_plain_is_told() {
        use NotPlain::*;
        let cases = [
            ("",            NotAbsolute),
            ("/a//b",       EmptySegment),
            ("/a;b",        Structure),
            ("/a\\b",       Structure),
            ("/a/../b",     DotSegment),
            ("/a b",        ForbiddenCharacter),
            ("/100%",       BrokenEscape),
            ("/a%2fb",      EncodedStructure),
            ("/a%00",       EncodedControl),
            ("/%2541",      DoubleEncoding),
            ("/%ff",        NotUtf8),
            ("/%EF%BC%8F",  Lookalike),
        ];
        for (path, expected) in cases {
            assert_eq!(plainness(path), Err(expected), "{path:?}");
        }
    }

    #[test]
    #[rustfmt::skip] // the columns are the point
    fn plain_means_one_meaning() {
        let cases = [
            ("/",                      true),
            ("/api/v3/series",         true),
            ("/a.b/..c/d..",           true),
            ("/...",                   true),
            ("/a%20b",                 true),
            ("/caf%C3%A9",             true),
            ("/100%25",                true),
            ("/a:b@c,d=e&f",           true),
            ("//",                     false),
            ("/a//b",                  false),
            ("/.",                     false),
            ("/a/../b",                false),
            ("/a/..",                  false),
            ("/a/./b",                 false),
            ("/a;x=1/b",               false),
            ("/a\\b",                  false),
            ("/a%2fb",                 false),
            ("/a%2Fb",                 false),
            ("/a%5cb",                 false),
            ("/%2e%2e/b",              false),
            ("/a%00",                  false),
            ("/a%23b",                 false),
            ("/a%3fb",                 false),
            ("/a%3bb",                 false),
            ("/a%0d%0a",               false),
            ("/a%7f",                  false),
            ("/%252e%252e/b",          false),
            ("/%2541",                 false),
            ("/%25%34%31",             false), // the same, hidden from the first look
            ("/%25%61a",               false),
            ("/api/%25%32e%25%32e/x",  false),
            ("/api/%252%65",           false),
            ("/100%25%20off",          true),
            ("/%zz",                   false),
            ("/%u002e",                false),
            ("/%",                     false),
            ("/%2",                    false),
            ("/%C0%AE%C0%AE/b",        false), // overlong dots
            ("/%FF",                   false),
            ("/%EF%BC%8E%EF%BC%8E/b",  false), // full-width dots
            ("/a%E2%88%95b",           false), // division slash
            ("/a%C2%85b",              false), // NEL
            ("",                       false),
            ("a",                      false),
        ];
        for (path, expected) in cases {
            assert_eq!(is_plain(path), expected, "{path:?}");
        }
    }

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
                for reading in Readings::of(&path).0 {
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
