//! Tables of the configuration into the structs of [`raw`](super::raw): every unknown key and every
//! wrong type is reported, each under its own path, and what could be read is kept.

use std::collections::HashMap;

use config::{ConfigError, Value, ValueKind};
use serde::de::{self, DeserializeOwned, Deserializer, Visitor, value};
use serde::forward_to_deserialize_any;
use serde_path_to_error::{Segment, Track};

use super::problems::{Problems, did_you_mean};
use super::raw::{RawBypass, RawConfig, RawRule};

/// A table, by key.
type Table = HashMap<String, Value>;

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
        problems.at(path, "must be a table");
        return T::default();
    }
    loop {
        let mut unknown = Vec::new();
        let mut track = Track::new();
        let tracked = serde_path_to_error::Deserializer::new(value.clone(), &mut track);
        let read = serde_ignored::deserialize(tracked, |key| unknown.push(steps(&key)));
        let error = match read {
            Ok(table) => {
                unknown.sort();
                for key in unknown {
                    report_unknown::<T>(path, &key, problems);
                }
                return table;
            }
            Err(error) => error,
        };
        let place: Vec<Step> = track.path().iter().filter_map(step).collect();
        problems.at(join(path, &place), explain(&error));
        // The key that holds it goes as a whole: without one item, the others would be counted anew.
        let keep = place.iter().rposition(|step| matches!(step, Step::Key(_)));
        let Some(last) = keep else {
            return T::default();
        };
        if !remove(&mut value, &place[..=last]) {
            return T::default();
        }
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
    let mut joined = path.to_owned();
    for step in steps {
        match step {
            Step::Key(key) => {
                joined.push('.');
                joined.push_str(key);
            }
            Step::Index(index) => joined.push_str(&format!("[{index}]")),
        }
    }
    joined
}

/// Takes out what stands at `place`; whether something did.
fn remove(value: &mut Value, place: &[Step]) -> bool {
    match (&mut value.kind, place) {
        (ValueKind::Table(table), [Step::Key(key)]) => table.remove(key).is_some(),
        (ValueKind::Table(table), [Step::Key(key), rest @ ..]) => {
            table.get_mut(key).is_some_and(|value| remove(value, rest))
        }
        (ValueKind::Array(items), [Step::Index(index), rest @ ..]) => items
            .get_mut(*index)
            .is_some_and(|value| remove(value, rest)),
        _ => false,
    }
}

fn report_unknown<T: DeserializeOwned>(path: &str, steps: &[Step], problems: &mut Problems) {
    let Some(Step::Key(key)) = steps.last() else {
        return;
    };
    let known = match steps {
        [Step::Key(list), Step::Index(_), _] if list == "rules" => fields_of::<RawRule>(),
        [Step::Key(list), Step::Index(_), _] if list == "bypass" => fields_of::<RawBypass>(),
        _ => fields_of::<T>(),
    };
    problems.at(join(path, steps), unknown_key(key, known.iter().copied()));
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
    use super::super::raw::RawSession;
    use super::*;

    #[test]
    fn knows_the_fields_of_a_struct() {
        let known = ["store", "secret_file", "idle_timeout", "lifetime"];
        assert_eq!(fields_of::<RawSession>(), known);
    }
}
