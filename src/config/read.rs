//! Tables of the configuration into the structs of [`raw`](super::raw): every unknown key and every
//! wrong type is reported, each under its own path, and what could be read is kept.

use std::collections::{BTreeSet, HashMap};

use config::{ConfigError, Value, ValueKind};
use serde::de::{self, DeserializeOwned, Deserializer, Visitor, value};
use serde::forward_to_deserialize_any;
use serde_path_to_error::{Segment, Track};

use super::problems::{Problems, did_you_mean};
use super::raw::{RawBypass, RawConfig, RawHeader, RawRequiredHeader, RawRule, RawUpstreamHeader};

/// A table, by key.
type Table = HashMap<String, Value>;

const MUST_BE_A_TABLE: &str = "must be a table";

/// Reads the whole of it.
pub(super) fn read(mut root: Table, problems: &mut Problems) -> RawConfig {
    #[rustfmt::skip]
    const KNOWN: [&str; 7] =
        ["danger_allow_inline_secrets", "log", "oidc", "policies", "server", "services", "session"];
    let mut unknown: Vec<&String> = root
        .keys()
        .filter(|key| !KNOWN.contains(&&***key))
        .collect();
    unknown.sort();
    for key in unknown {
        problems.at(key, unknown_key(key, KNOWN));
    }
    RawConfig {
        danger_allow_inline_secrets: read_flag(
            "danger_allow_inline_secrets",
            root.remove("danger_allow_inline_secrets"),
            problems,
        ),
        server: read_table("server", root.remove("server"), problems),
        oidc: read_table("oidc", root.remove("oidc"), problems),
        session: read_table("session", root.remove("session"), problems),
        policies: read_each("policies", root.remove("policies"), problems),
        services: read_each("services", root.remove("services"), problems),
        log: read_table("log", root.remove("log"), problems),
    }
}

fn read_flag(path: &str, value: Option<Value>, problems: &mut Problems) -> bool {
    let Some(value) = value.filter(|value| value.kind != ValueKind::Nil) else {
        return false;
    };
    value.into_bool().unwrap_or_else(|error| {
        problems.at(path, explain(&error));
        false
    })
}

/// Reads a table of tables, each on its own.
fn read_each<C, T>(path: &str, value: Option<Value>, problems: &mut Problems) -> C
where
    C: FromIterator<(String, T)>,
    T: DeserializeOwned + Default,
{
    let mut tables: Vec<(String, Value)> = match value.map(|value| value.kind) {
        None | Some(ValueKind::Nil) => Vec::new(),
        Some(ValueKind::Table(tables)) => tables.into_iter().collect(),
        Some(_) => {
            problems.at(
                path,
                "must be a table of tables, each under a name of its own",
            );
            Vec::new()
        }
    };
    tables.sort_by(|(one, _), (other, _)| one.cmp(other));
    let read = tables.into_iter().map(|(name, value)| {
        let table = read_table(&format!("{path}.{name}"), Some(value), problems);
        (name, table)
    });
    read.collect()
}

/// Reads one table. What has the wrong type is reported, taken out, and the rest is read again: so
/// each such value is reported, whatever stands before it.
fn read_table<T>(path: &str, value: Option<Value>, problems: &mut Problems) -> T
where
    T: DeserializeOwned + Default,
{
    let Some(mut value) = value.filter(|value| value.kind != ValueKind::Nil) else {
        return T::default();
    };
    if !matches!(value.kind, ValueKind::Table(_)) {
        // Said here, since serde would repeat the text that stands there, and it may be a secret.
        problems.at(path, MUST_BE_A_TABLE);
        return T::default();
    }
    // Tables have no order, so what is found in them is put in one.
    let mut found: BTreeSet<(Vec<Step>, String)> = BTreeSet::new();
    let table = loop {
        let mut unknown = Vec::new();
        let mut track = Track::new();
        let tracked = serde_path_to_error::Deserializer::new(value.clone(), &mut track);
        let read = serde_ignored::deserialize(tracked, |key| unknown.push(steps(&key)));
        let error = match read {
            Ok(table) => {
                found.extend(unknown.into_iter().filter_map(say_unknown::<T>));
                break table;
            }
            Err(error) => error,
        };
        let place: Vec<Step> = track.path().iter().filter_map(step).collect();
        let taken_out = take_out(&mut value, &place, &error);
        found.insert((place, explain(&error)));
        if !taken_out {
            break T::default();
        }
    };
    for (place, message) in found {
        problems.at(join(path, &place), message);
    }
    table
}

/// Takes what `error` is about out of `value`; whether that could be done.
fn take_out(value: &mut Value, place: &[Step], error: &ConfigError) -> bool {
    if matches!(place.last(), Some(Step::Index(_))) && explain(error) == MUST_BE_A_TABLE {
        // Among tables an empty one takes its place, so that the others keep their numbers.
        return at(value, place).is_some_and(|item| {
            item.kind = ValueKind::Table(Table::new());
            true
        });
    }
    // Otherwise the key that holds it goes as a whole: half a list is not what was meant.
    let Some(last) = place.iter().rposition(|step| matches!(step, Step::Key(_))) else {
        return false;
    };
    let Step::Key(key) = &place[last] else {
        return false;
    };
    match at(value, &place[..last]).map(|holder| &mut holder.kind) {
        Some(ValueKind::Table(table)) => table.remove(key).is_some(),
        _ => false,
    }
}

/// One step into a table or a list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Key(String),
    Index(usize),
}

fn step(segment: &Segment) -> Option<Step> {
    match segment {
        Segment::Map { key } => Some(Step::Key(key.clone())),
        Segment::Seq { index } => Some(Step::Index(*index)),
        Segment::Enum { .. } | Segment::Unknown => None,
    }
}

fn steps(path: &serde_ignored::Path<'_>) -> Vec<Step> {
    use serde_ignored::Path;
    let (parent, step) = match path {
        Path::Root => return Vec::new(),
        Path::Map { parent, key } => (parent, Some(Step::Key(key.clone()))),
        Path::Seq { parent, index } => (parent, Some(Step::Index(*index))),
        Path::Some { parent }
        | Path::NewtypeStruct { parent }
        | Path::NewtypeVariant { parent } => (parent, None),
    };
    let mut all = steps(parent);
    all.extend(step);
    all
}

fn join(path: &str, steps: &[Step]) -> String {
    let steps = steps.iter().map(|step| match step {
        Step::Key(key) => format!(".{key}"),
        Step::Index(index) => format!("[{index}]"),
    });
    std::iter::once(path.to_owned()).chain(steps).collect()
}

/// What stands at `place`.
fn at<'a>(value: &'a mut Value, place: &[Step]) -> Option<&'a mut Value> {
    place
        .iter()
        .try_fold(value, |value, step| match (&mut value.kind, step) {
            (ValueKind::Table(table), Step::Key(key)) => table.get_mut(key),
            (ValueKind::Array(items), Step::Index(index)) => items.get_mut(*index),
            _ => None,
        })
}

fn say_unknown<T: DeserializeOwned>(place: Vec<Step>) -> Option<(Vec<Step>, String)> {
    let mut keys = place.iter().rev().skip(1).filter_map(|step| match step {
        Step::Key(key) => Some(key.as_str()),
        Step::Index(_) => None,
    });
    let known = match keys.next() {
        None => fields_of::<T>(),
        Some("rules") => fields_of::<RawRule>(),
        Some("bypass") => fields_of::<RawBypass>(),
        Some("requires_header") => fields_of::<RawRequiredHeader>(),
        Some("headers") => fields_of::<RawHeader>(),
        Some("upstream_headers") => fields_of::<RawUpstreamHeader>(),
        Some(_) => &[],
    };
    let Some(Step::Key(key)) = place.last() else {
        return None;
    };
    let message = unknown_key(key, known.iter().copied());
    Some((place, message))
}

fn unknown_key<'a>(key: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    format!("unknown key{}", did_you_mean(key, known))
}

/// What was expected, without what was found: that might be a secret in the wrong place.
fn explain(error: &ConfigError) -> String {
    let expected = match error {
        ConfigError::Type { expected, .. } => Some(*expected),
        ConfigError::At { error, .. } => return explain(error),
        ConfigError::Message(message) => message
            .rsplit_once(", expected ")
            .map(|(_, expected)| expected),
        _ => None,
    };
    let expected = match expected {
        Some("a boolean") => "true or false",
        Some("a string") => "a text",
        Some("a map") => "a table",
        Some("a sequence") => "a list of tables",
        Some("a duration") => "a time such as \"90s\", \"12h\" or \"30d\"",
        Some(other) => other,
        None => "something else",
    };
    format!("must be {expected}")
}

/// The keys of a struct, as serde knows them.
fn fields_of<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut fields: &'static [&'static str] = &[];
    // It ends with an error in any case: all that is wanted is the question.
    let _ = T::deserialize(FieldNames(&mut fields));
    fields
}

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

#[cfg(test)]
mod tests {
    use super::super::raw::RawLog;
    use super::*;

    #[test]
    fn knows_the_fields_of_a_struct() {
        assert_eq!(fields_of::<RawLog>(), ["level", "format"]);
    }
}
