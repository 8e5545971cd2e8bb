//! Identity → `Remote-User` and its kin: what the proxy copies to the app.

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
    /// The groups, joined by [`GROUP_SEPARATOR`].
    Groups,
}

/// The headers of every allowed answer: always all of them, empty where there is nothing to say, so
/// that the proxy replaces whatever the client sent under these names.
pub const IDENTITY_HEADERS: [(&str, Attribute); 4] = [
    ("Remote-User", Attribute::Username),
    ("Remote-Name", Attribute::Name),
    ("Remote-Email", Attribute::Email),
    ("Remote-Groups", Attribute::Groups),
];

/// Between two groups.
pub const GROUP_SEPARATOR: char = ',';

/// The longest value, in bytes: what proxies and apps take without cutting.
pub const MAX_VALUE_BYTES: usize = 8 * 1024;

/// A value longer than [`MAX_VALUE_BYTES`]. It is not shortened: a list of groups without its tail is
/// somebody else's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a header value is longer than {MAX_VALUE_BYTES} bytes")]
pub struct TooLarge;

/// The values for [`IDENTITY_HEADERS`], in their order. `None` is nobody: all values are empty.
///
/// # Errors
///
/// [`TooLarge`] when a value would have to be cut.
pub fn values(identity: Option<&Identity>) -> Result<[String; 4], TooLarge> {
    let mut values = [const { String::new() }; 4];
    if let Some(identity) = identity {
        for (value, (_, attribute)) in values.iter_mut().zip(IDENTITY_HEADERS) {
            *value = attribute.of(identity);
            if value.len() > MAX_VALUE_BYTES {
                return Err(TooLarge);
            }
        }
    }
    Ok(values)
}

/// The groups that cannot be told to an app: those that hold the separator would read as two, and those
/// that no header can carry whole.
pub fn unsendable_groups(identity: &Identity) -> impl Iterator<Item = &str> {
    let groups = identity.groups.iter().map(String::as_str);
    groups.filter(|group| !is_sendable_group(group))
}

impl Attribute {
    fn of(self, identity: &Identity) -> String {
        let text = match self {
            Self::Username => identity.username.as_deref(),
            Self::Name => identity.name.as_deref(),
            Self::Email => identity.email.as_deref(),
            Self::Groups => {
                let groups = identity.groups.iter().map(String::as_str);
                let sendable: Vec<&str> = groups.filter(|group| is_sendable_group(group)).collect();
                return sendable.join(&GROUP_SEPARATOR.to_string());
            }
        };
        // Not sent at all rather than mended: "admin\n" must not arrive as "admin".
        let text = text.filter(|text| is_sendable(text));
        text.unwrap_or_default().to_owned()
    }
}

/// Whether a value arrives as it is: no line ends, NUL or other control characters, and no blanks at its
/// ends, which HTTP strips (RFC 9110 §5.5).
fn is_sendable(text: &str) -> bool {
    !text.is_empty() && text.trim().len() == text.len() && !text.contains(char::is_control)
}

fn is_sendable_group(group: &str) -> bool {
    is_sendable(group) && !group.contains(GROUP_SEPARATOR)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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

    #[test]
    #[rustfmt::skip] // the columns are the point
    fn values_arrive_whole_or_not_at_all() {
        let cases: [(&str, &[&str], &str, &str); 13] = [
            ("ada",         &["admins", "media"],     "ada",    "admins,media"),
            ("ådä",         &["späti crew"],          "ådä",    "späti crew"),
            ("",            &[],                      "",       ""),
            ("ada\r\nX: y", &["a\nb", "media"],       "",       "media"),
            ("ada\0",       &["a\0"],                 "",       ""),
            ("ada\n",       &["admins\n"],            "",       ""),
            (" ada",        &[" admins", "media "],   "",       ""),
            ("ada\u{a0}",   &["admins\u{2003}"],      "",       ""),
            ("ada\u{7f}",   &["a\u{85}b"],            "",       ""),
            ("a\tb",        &["a\tb"],                "",       ""),
            ("a,b",         &["ops,admins", "media"], "a,b",    "media"),
            ("ada",         &["", "media"],           "ada",    "media"),
            ("a b",         &["a b"],                 "a b",    "a b"),
        ];
        for (username, groups, user_value, groups_value) in cases {
            let identity = identity(username, groups);
            let [user, name, email, groups] = values(Some(&identity)).expect("small values");
            assert_eq!((user.as_str(), groups.as_str()), (user_value, groups_value), "{identity:?}");
            assert_eq!((name.as_str(), email.as_str()), ("Ada Łovelace", ""));
        }
    }

    #[test]
    fn nobody_is_four_empty_values() {
        assert_eq!(values(None), Ok([const { String::new() }; 4]));
    }

    #[test]
    fn a_list_too_long_is_refused_and_not_cut() {
        let group = "g".repeat(100);
        let groups = vec![group.as_str(); 81];
        assert!(values(Some(&identity("ada", &groups))).is_ok());
        let groups = vec![group.as_str(); 82];
        assert_eq!(values(Some(&identity("ada", &groups))), Err(TooLarge));
    }

    #[test]
    fn withheld_groups_can_be_named() {
        let identity = identity("ada", &["ops,admins", "media", "x\n"]);
        let withheld: Vec<&str> = unsendable_groups(&identity).collect();
        assert_eq!(withheld, ["ops,admins", "x\n"]);
    }

    proptest! {
        #[test]
        fn no_value_ever_breaks_a_line(username in any::<String>(), group in any::<String>()) {
            if let Ok(values) = values(Some(&identity(&username, &[&group, "media"]))) {
                for value in values {
                    prop_assert!(!value.contains(['\r', '\n', '\0']));
                }
            }
        }
    }
}
