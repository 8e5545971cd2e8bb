//! Identity → `Remote-User` and its kin: what the proxy copies to the app.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use thiserror::Error;

use crate::domain::identity::Identity;

/// What a header says about the person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attribute {
    /// The user name.
    Username,
    /// The display name.
    Name,
    /// The verified mail address.
    Email,
    /// The groups, in one line.
    Groups,
    /// The issuer's own name for the person, which never changes.
    Subject,
}

/// A header about the person, as a service wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityHeader {
    /// Its name.
    pub name: String,
    /// What it says.
    pub attribute: Attribute,
}

/// How values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// As they are, in UTF-8.
    #[default]
    Utf8,
    /// Percent-encoded (RFC 3986 §2.1): everything but letters, digits, `-`, `.`, `_` and `~`.
    Percent,
    /// As they are, where they are ASCII; a value with any other character is not sent at all, since what is left
    /// of `admiñ` must not be somebody else's name.
    Ascii,
}

/// How a service wants values written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderStyle {
    /// How each is written.
    pub encoding: Encoding,
    /// What stands between two groups.
    pub group_separator: char,
}

impl Default for HeaderStyle {
    fn default() -> Self {
        Self {
            encoding: Encoding::Utf8,
            group_separator: ',',
        }
    }
}

/// What a service is told unless it says otherwise.
pub const DEFAULT_HEADERS: [(&str, Attribute); 4] = [
    ("Remote-User", Attribute::Username),
    ("Remote-Name", Attribute::Name),
    ("Remote-Email", Attribute::Email),
    ("Remote-Groups", Attribute::Groups),
];

/// Further names that say by themselves what they hold.
const KNOWN_HEADERS: [(&str, Attribute); 9] = [
    ("X-Forwarded-User", Attribute::Username),
    ("X-Forwarded-Preferred-Username", Attribute::Username),
    ("X-Forwarded-Email", Attribute::Email),
    ("X-Forwarded-Groups", Attribute::Groups),
    ("X-Email", Attribute::Email),
    ("X-Auth-Request-User", Attribute::Username),
    ("X-Auth-Request-Preferred-Username", Attribute::Username),
    ("X-Auth-Request-Email", Attribute::Email),
    ("X-Auth-Request-Groups", Attribute::Groups),
];

/// The longest value, in bytes: what proxies and apps take without cutting.
pub const MAX_VALUE_BYTES: usize = 8 * 1024;

/// RFC 3986 §2.3: the unreserved characters stay.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A value longer than [`MAX_VALUE_BYTES`]. It is not shortened: a list of groups without its tail is
/// somebody else's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a header value is longer than {MAX_VALUE_BYTES} bytes")]
pub struct TooLarge;

/// What a well-known name says; `None` for a name that must be told its claim.
#[must_use]
pub fn known_attribute(name: &str) -> Option<Attribute> {
    let mut known = DEFAULT_HEADERS.iter().chain(&KNOWN_HEADERS);
    known
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, attribute)| *attribute)
}

/// All names that [`known_attribute`] knows.
pub fn known_names() -> impl Iterator<Item = &'static str> {
    DEFAULT_HEADERS
        .iter()
        .chain(&KNOWN_HEADERS)
        .map(|(name, _)| *name)
}

impl Attribute {
    /// Reads a claim's name as the configuration has it.
    #[must_use]
    pub fn parse(claim: &str) -> Option<Self> {
        match claim {
            "username" | "preferred_username" => Some(Self::Username),
            "name" => Some(Self::Name),
            "email" => Some(Self::Email),
            "groups" => Some(Self::Groups),
            "sub" => Some(Self::Subject),
            _ => None,
        }
    }

    /// The value for `identity`; empty where there is nothing to say, or nothing that arrives as it is.
    ///
    /// # Errors
    ///
    /// [`TooLarge`] when the value would have to be cut.
    pub fn value(self, identity: &Identity, style: HeaderStyle) -> Result<String, TooLarge> {
        let value = match self {
            Self::Username => style.write_or_nothing(identity.username.as_deref()),
            Self::Name => style.write_or_nothing(identity.name.as_deref()),
            Self::Email => style.write_or_nothing(identity.email.as_deref()),
            Self::Subject => style.write_or_nothing(Some(&identity.subject)),
            Self::Groups => {
                let groups = identity
                    .groups
                    .iter()
                    .filter_map(|group| style.write_group(group));
                let separator = style.group_separator.to_string();
                groups.collect::<Vec<_>>().join(&separator)
            }
        };
        if value.len() > MAX_VALUE_BYTES {
            return Err(TooLarge);
        }
        Ok(value)
    }
}

impl HeaderStyle {
    /// The groups that cannot be told to an app: those that hold the separator would read as two, and those
    /// that no header can carry whole.
    pub fn unsendable_groups(self, identity: &Identity) -> impl Iterator<Item = &str> {
        let groups = identity.groups.iter().map(String::as_str);
        groups.filter(move |group| self.write_group(group).is_none())
    }

    fn write_or_nothing(self, text: Option<&str>) -> String {
        let written = text.and_then(|text| self.write(text));
        written.map_or_else(String::new, Cow::into_owned)
    }

    fn write_group(self, group: &str) -> Option<Cow<'_, str>> {
        let written = self.write(group)?;
        // Looked at as written: percent-encoded, a comma is no comma.
        (!written.contains(self.group_separator)).then_some(written)
    }

    /// The text in this encoding; `None` where it would not arrive as it is. Not sent at all rather than mended:
    /// "admin\n" must not arrive as "admin".
    fn write(self, text: &str) -> Option<Cow<'_, str>> {
        if text.is_empty() {
            return None;
        }
        match self.encoding {
            Encoding::Percent => {
                // CR, LF and NUL stay out even where an app would decode them.
                let harmless = !text.contains(['\r', '\n', '\0']);
                harmless.then(|| utf8_percent_encode(text, ENCODED).into())
            }
            Encoding::Utf8 => is_sendable(text).then_some(Cow::Borrowed(text)),
            Encoding::Ascii => {
                (is_sendable(text) && text.is_ascii()).then_some(Cow::Borrowed(text))
            }
        }
    }
}

/// Whether a value arrives as it is: no line ends, NUL or other control characters, and no blanks at its
/// ends, which HTTP strips (RFC 9110 §5.5).
fn is_sendable(text: &str) -> bool {
    text.trim().len() == text.len() && !text.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Encoding, separator, user name and groups; what is sent of both.
    type Case = (
        Encoding,
        char,
        &'static str,
        &'static [&'static str],
        &'static str,
        &'static str,
    );

    fn identity(username: &str, groups: &[&str]) -> Identity {
        Identity {
            issuer: "https://id.example.net".into(),
            subject: "1".into(),
            username: Some(username.into()),
            name: Some("Ada Łovelace".into()),
            email: None,
            groups: groups.iter().map(ToString::to_string).collect(),
        }
    }

    fn style(encoding: Encoding, group_separator: char) -> HeaderStyle {
        HeaderStyle {
            encoding,
            group_separator,
        }
    }

    fn value(attribute: Attribute, identity: &Identity, style: HeaderStyle) -> String {
        attribute.value(identity, style).expect("a short value")
    }

    #[test]
    #[rustfmt::skip] // the columns are the point
    fn values_arrive_whole_or_not_at_all() {
        use Encoding::{Ascii, Percent, Utf8};
        let cases: [Case; 24] = [
            (Utf8,    ',', "ada",         &["admins", "media"],     "ada",          "admins,media"),
            (Utf8,    ',', "ådä",         &["späti crew"],          "ådä",          "späti crew"),
            (Utf8,    ',', "",            &[],                      "",             ""),
            (Utf8,    ',', "ada\r\nX: y", &["a\nb", "media"],       "",             "media"),
            (Utf8,    ',', "ada\0",       &["a\0"],                 "",             ""),
            (Utf8,    ',', "ada\n",       &["admins\n"],            "",             ""),
            (Utf8,    ',', " ada",        &[" admins", "media "],   "",             ""),
            (Utf8,    ',', "ada\u{a0}",   &["admins\u{2003}"],      "",             ""),
            (Utf8,    ',', "ada\u{7f}",   &["a\u{85}b"],            "",             ""),
            (Utf8,    ',', "a\tb",        &["a\tb"],                "",             ""),
            (Utf8,    ',', "a,b",         &["ops,admins", "media"], "a,b",          "media"),
            (Utf8,    ',', "ada",         &["", "media"],           "ada",          "media"),
            (Utf8,    ',', "a b",         &["a b"],                 "a b",          "a b"),
            (Utf8,    '|', "ada",         &["a|b", "c,d", "e"],     "ada",          "c,d|e"),
            (Utf8,    ' ', "ada",         &["a b", "c"],            "ada",          "c"),
            (Ascii,   ',', "ada",         &["admins", "späti"],     "ada",          "admins"),
            (Ascii,   ',', "admiñn",      &[],                      "",             ""),
            (Ascii,   ',', "ada\n",       &["a\n"],                 "",             ""),
            (Percent, ',', "ada",         &["admins", "media"],     "ada",          "admins,media"),
            (Percent, ',', "å d",         &["ops,admins", "x"],     "%C3%A5%20d",   "ops%2Cadmins,x"),
            (Percent, ',', " ada",        &["a%b"],                 "%20ada",       "a%25b"),
            (Percent, ',', "a-._~b",      &["a/b"],                 "a-._~b",       "a%2Fb"),
            (Percent, ',', "ada\r\nX: y", &["a\0"],                 "",             ""),
            (Percent, '%', "ada",         &["a b", "c", "d"],       "ada",          "c%d"),
        ];
        for (encoding, separator, username, groups, user_value, groups_value) in cases {
            let identity = identity(username, groups);
            let style = style(encoding, separator);
            let user = value(Attribute::Username, &identity, style);
            let groups = value(Attribute::Groups, &identity, style);
            assert_eq!((user.as_str(), groups.as_str()), (user_value, groups_value), "{style:?} {identity:?}");
        }
    }

    #[test]
    fn every_attribute_has_its_value() {
        let identity = identity("ada", &[]);
        let style = HeaderStyle::default();
        assert_eq!(value(Attribute::Name, &identity, style), "Ada Łovelace");
        assert_eq!(value(Attribute::Email, &identity, style), "");
        assert_eq!(value(Attribute::Subject, &identity, style), "1");
    }

    #[test]
    fn a_list_too_long_is_refused_and_not_cut() {
        let group = "g".repeat(100);
        let style = HeaderStyle::default();
        let groups = vec![group.as_str(); 81];
        assert!(
            Attribute::Groups
                .value(&identity("ada", &groups), style)
                .is_ok()
        );
        let groups = vec![group.as_str(); 82];
        assert_eq!(
            Attribute::Groups.value(&identity("ada", &groups), style),
            Err(TooLarge)
        );
    }

    #[test]
    fn withheld_groups_can_be_named() {
        let identity = identity("ada", &["ops,admins", "media", "x\n"]);
        let withheld: Vec<&str> = HeaderStyle::default()
            .unsendable_groups(&identity)
            .collect();
        assert_eq!(withheld, ["ops,admins", "x\n"]);
    }

    #[test]
    fn well_known_names_say_what_they_hold() {
        assert_eq!(known_attribute("remote-user"), Some(Attribute::Username));
        assert_eq!(known_attribute("X-Email"), Some(Attribute::Email));
        assert_eq!(known_attribute("X-WEBAUTH-USER"), None);
    }

    proptest! {
        #[test]
        fn no_value_ever_breaks_a_line(username in any::<String>(), group in any::<String>()) {
            let identity = identity(&username, &[&group, "media"]);
            for encoding in [Encoding::Utf8, Encoding::Percent, Encoding::Ascii] {
                for attribute in [Attribute::Username, Attribute::Groups] {
                    if let Ok(value) = attribute.value(&identity, style(encoding, ',')) {
                        prop_assert!(!value.contains(['\r', '\n', '\0']));
                    }
                }
            }
        }
    }
}
