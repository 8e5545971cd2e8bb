//! `docs/configuration.md` has the keys that the program reads: all of them, and no others.

use std::collections::BTreeSet;

use portcullis::config::{
    RawBypass, RawConfig, RawHeader, RawLog, RawOidc, RawPolicy, RawRequiredHeader, RawRule,
    RawServer, RawService, RawSession, RawUpstreamHeader,
};
use portcullis::domain::policy::BUILT_IN;
use serde::de::{self, Deserialize, Deserializer, Visitor, value};
use serde::forward_to_deserialize_any;

use crate::markdown::{Document, documents};

/// A deserializer that holds nothing and notes which fields it is asked for.
struct FieldNames<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for FieldNames<'_> {
    type Error = value::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = fields;
        Err(de::Error::custom("nothing here"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Self::Error> {
        Err(de::Error::custom("nothing here"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

fn keys_of<T: for<'de> Deserialize<'de>>() -> BTreeSet<&'static str> {
    let mut fields: &'static [&'static str] = &[];
    assert!(T::deserialize(FieldNames(&mut fields)).is_err());
    assert!(!fields.is_empty());
    fields.iter().copied().collect()
}

fn reference() -> Document {
    let mut all = documents().into_iter();
    all.find(|document| document.name == "docs/configuration.md")
        .expect("the reference")
}

/// The first cells of the tables below a heading.
fn documented<'a>(reference: &'a Document, heading: &str) -> BTreeSet<&'a str> {
    let sections = reference.sections();
    let found = sections.into_iter().find(|(name, _)| *name == heading);
    assert!(found.is_some(), "no heading {heading}");
    found.into_iter().flat_map(|(_, rows)| rows).collect()
}

#[test]
fn every_key_is_documented_and_no_other() {
    // A section that is added does not compile here until it has a line below.
    let RawConfig {
        danger_allow_inline_secrets: _,
        server: _,
        oidc: _,
        session: _,
        policies: _,
        services: _,
        log: _,
    } = RawConfig::default();
    let sections = [
        ("Top level", BTreeSet::from(["danger_allow_inline_secrets"])),
        ("`[server]`", keys_of::<RawServer>()),
        ("`[oidc]`", keys_of::<RawOidc>()),
        ("`[session]`", keys_of::<RawSession>()),
        ("`[services]`", keys_of::<RawService>()),
        ("`headers`", keys_of::<RawHeader>()),
        ("`upstream_headers`", keys_of::<RawUpstreamHeader>()),
        ("`rules`", keys_of::<RawRule>()),
        ("`bypass`", keys_of::<RawBypass>()),
        ("`requires_header`", keys_of::<RawRequiredHeader>()),
        ("`[log]`", keys_of::<RawLog>()),
    ];
    let reference = reference();
    for (heading, keys) in sections {
        assert_eq!(documented(&reference, heading), keys, "{heading}");
    }
}

#[test]
fn the_keys_of_policies_and_the_built_in_ones_are_documented() {
    let mut expected = keys_of::<RawPolicy>();
    expected.extend(BUILT_IN.iter().map(|(name, _)| *name));
    assert_eq!(documented(&reference(), "`[policies]`"), expected);
}
