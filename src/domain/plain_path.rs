//! Plain paths: which have one meaning, whoever reads them.

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
    /// In the place of the path.
    #[error("X-Original-URL or X-Rewrite-URL is there, and some apps take their path from it")]
    Overridden,
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
    if holds_no_structure(path.as_bytes()) {
        return Ok(());
    }
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

/// Whether one look at each byte tells that the path is plain, as it does of most: this is asked with every request.
fn holds_no_structure(path: &[u8]) -> bool {
    let mut before = 0;
    path.starts_with(b"/")
        && path.iter().all(|byte| {
            let begins_segment = std::mem::replace(&mut before, *byte) == b'/';
            match byte {
                b'/' | b'.' => !begins_segment,
                b';' | b'\\' | b'#' | b'?' | b'%' => false,
                byte => byte.is_ascii_graphic(),
            }
        })
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

#[cfg(test)]
mod tests {
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
}
