//! The configuration's JSON schema, for editors and generators.

use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use serde_json::{Value, json};

use super::raw::RawConfig;

/// The JSON schema (draft 2020-12) of the configuration, made from what the operator may write. It knows keys, types
/// and choices; whether they go together is for `check` to say.
#[must_use]
pub fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12().with_transform(WithoutNull);
    settings
        .into_generator()
        .into_root_schema_for::<RawConfig>()
        .to_value()
}

/// Takes `null` away as a type and as a default: TOML has none, and a key that is not given is left out.
#[derive(Debug, Clone)]
struct WithoutNull;

impl Transform for WithoutNull {
    fn transform(&mut self, schema: &mut Schema) {
        let null = json!({ "type": "null" });
        if schema.get("default").is_some_and(Value::is_null) {
            schema.remove("default");
        }
        if let Some(Value::Array(types)) = schema.get_mut("type") {
            types.retain(|name| name != "null");
            if let [only] = types.as_slice() {
                let only = only.clone();
                schema.insert("type".to_owned(), only);
            }
        }
        if let Some(Value::Array(choices)) = schema.get_mut("anyOf") {
            choices.retain(|choice| *choice != null);
            if let [Value::Object(only)] = choices.as_slice() {
                let only = only.clone();
                schema.remove("anyOf");
                for (key, value) in only {
                    schema.insert(key, value);
                }
            }
        }
        transform_subschemas(self, schema);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::service::Posture;

    /// The choice of an `enum` in the schema.
    fn choices(table: &str, key: &str) -> Vec<String> {
        let schema = schema();
        let choices = &schema["$defs"][table]["properties"][key]["enum"];
        let choices = choices.as_array().expect("an enum");
        let texts = choices.iter().filter_map(Value::as_str);
        texts.map(str::to_owned).collect()
    }

    #[test]
    fn every_posture_is_a_choice() {
        let postures = Posture::ALL.map(Posture::as_str);
        assert_eq!(choices("RawService", "posture"), postures);
    }

    #[test]
    fn nothing_is_null() {
        let schema = schema().to_string();
        assert!(!schema.contains("null"), "{schema}");
    }

    #[test]
    fn lists_may_be_texts_and_tables_may_be_names() {
        let schema = schema();
        let service = &schema["$defs"]["RawService"]["properties"];
        let texts =
            json!([{ "type": "array", "items": { "type": "string" } }, { "type": "string" }]);
        assert_eq!(service["host"]["anyOf"], texts);
        let header = json!([{ "type": "string" }, { "$ref": "#/$defs/RawHeader" }]);
        assert_eq!(service["headers"]["items"]["anyOf"], header);
    }
}
