//! JSON objects that somebody signed or sent: a member that stands twice is refused.
//!
//! RFC 7515 §4 and RFC 7519 §4 let a reader take the last one instead. Whoever reads the same token beside us might
//! take the first, and the two would see different people.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::{Map, Value};

/// An object, no name of which stands twice. What lies deeper is read as `serde_json` reads it.
#[derive(Debug)]
pub(super) struct UniqueMembers(pub(super) Map<String, Value>);

impl UniqueMembers {
    /// Reads an object; `None` for anything else, and where a name stands twice.
    pub(super) fn parse(json: &[u8]) -> Option<Map<String, Value>> {
        serde_json::from_slice::<Self>(json)
            .ok()
            .map(|Self(members)| members)
    }
}

impl<'de> Deserialize<'de> for UniqueMembers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = UniqueMembers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<UniqueMembers, A::Error> {
                let mut members = Map::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if members.insert(name, value).is_some() {
                        return Err(Error::custom("a member stands twice"));
                    }
                }
                Ok(UniqueMembers(members))
            }
        }

        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_counts_once() {
        #[rustfmt::skip]
        let cases = [
            ("{}",                                true),
            (r#"{"a":1,"b":{"a":2}}"#,           true),
            (r#"{"a":1,"a":1}"#,                 false),
            (r#"{"a":1,"\u0061":2}"#,            false),
            ("[]",                                false),
            (r#""a""#,                           false),
            (r#"{"a":1} {"#,                     false),
            (r#"{"a":1"#,                        false),
        ];
        for (json, good) in cases {
            assert_eq!(
                UniqueMembers::parse(json.as_bytes()).is_some(),
                good,
                "{json}"
            );
        }
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
        assert!(
            UniqueMembers::parse(deep.as_bytes()).is_none(),
            "no stack is that deep"
        );
    }
}
