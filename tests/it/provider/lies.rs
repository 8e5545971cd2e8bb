//! How to tell a lie: edits of one member, or of the text at the end.

use serde_json::{Value, json};

use super::trial::Lie;
use crate::support::issuer::{Algorithm, Answer, Behaviour, Endpoint, Part, ResponseIss};

/// Sets one member; `null` leaves it out.
pub fn set(object: &mut Value, name: &str, value: Value) {
    let object = object.as_object_mut().expect("an object");
    if value.is_null() {
        object.remove(name);
    } else {
        object.insert(name.to_owned(), value);
    }
}

/// About one claim of the ID token.
pub fn claim(name: &'static str, value: Value) -> Lie {
    Box::new(move |behaviour| {
        let value = value.clone();
        behaviour.edit_claims = Box::new(move |claims| set(claims, name, value.clone()));
    })
}

/// About several.
pub fn claims(several: Value) -> Lie {
    Box::new(move |behaviour| {
        let several = several.clone();
        behaviour.edit_claims = Box::new(move |claims| {
            for (name, value) in several.as_object().expect("claims") {
                set(claims, name, value.clone());
            }
        });
    })
}

/// About one date, as seconds from now.
pub fn date(name: &'static str, from_now: i64) -> Lie {
    Box::new(move |behaviour| {
        behaviour.edit_claims = Box::new(move |claims| {
            let now = claims["iat"].as_u64().expect("a date");
            set(claims, name, json!(now.saturating_add_signed(from_now)));
        });
    })
}

/// About one field of the ID token's header.
pub fn header(name: &'static str, value: Value) -> Lie {
    Box::new(move |behaviour| {
        let value = value.clone();
        behaviour.edit_header = Box::new(move |header| set(header, name, value.clone()));
    })
}

/// About the ID token, after it was signed.
pub fn token(edit: fn(&str) -> String) -> Lie {
    Box::new(move |behaviour| behaviour.edit_token = Box::new(edit))
}

pub fn signed_with(algorithm: Algorithm) -> Lie {
    Box::new(move |behaviour| behaviour.algorithm = algorithm)
}

/// About all published keys.
pub fn published(name: &'static str, value: Value) -> Lie {
    Box::new(move |behaviour| {
        let value = value.clone();
        behaviour.edit_jwks = Box::new(move |jwks| {
            for key in jwks["keys"].as_array_mut().expect("keys") {
                set(key, name, value.clone());
            }
        });
    })
}

pub fn metadata(name: &'static str, value: Value) -> Lie {
    Box::new(move |behaviour| {
        let value = value.clone();
        behaviour.edit_metadata = Box::new(move |json| set(json, name, value.clone()));
    })
}

pub fn token_answer(name: &'static str, value: Value) -> Lie {
    Box::new(move |behaviour| {
        let value = value.clone();
        behaviour.edit_token_answer = Box::new(move |json| set(json, name, value.clone()));
    })
}

/// About userinfo, which has to be asked.
pub fn userinfo(name: &'static str, value: Value) -> Lie {
    Box::new(move |behaviour| {
        let value = value.clone();
        behaviour.sparse_id_token = true;
        behaviour.edit_userinfo = Box::new(move |json| set(json, name, value.clone()));
    })
}

pub fn answers(endpoint: Endpoint, answer: Answer) -> Lie {
    Box::new(move |behaviour| drop(behaviour.answers.insert(endpoint, answer.clone())))
}

pub fn response_iss(iss: ResponseIss) -> Lie {
    Box::new(move |behaviour| behaviour.response_iss = iss)
}

/// Says a member twice: first this, then what is there.
pub fn twice(part: Part, name: &'static str, value: Value) -> Lie {
    Box::new(move |behaviour| {
        let first = format!("{{\"{name}\":{value},");
        let edit = move |text: String| text.replacen('{', &first, 1);
        behaviour.edit_text.insert(part, Box::new(edit));
    })
}

/// Several at once.
pub fn both(one: Lie, other: Lie) -> Lie {
    Box::new(move |behaviour: &mut Behaviour| {
        one(behaviour);
        other(behaviour);
    })
}
