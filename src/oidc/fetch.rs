//! Fetches what a provider says of itself (OIDC Discovery 1.0 §4), and its keys (RFC 7517 §5).
//!
//! Each on its own, so that metadata which are there can be used with keys of an hour ago, while new ones are not.

use openidconnect::http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use openidconnect::http::{self, StatusCode};
use openidconnect::{IssuerUrl, JsonWebKeySet};
use serde::de::{Deserialize, DeserializeOwned, Deserializer};
use serde_json::Value;
use url::Url;

use super::error::ProviderError;
use super::http_client::HttpClient;
use super::json::UniqueMembers;
use super::keys::ProviderKey;
use super::provider::Metadata;

/// Where metadata are, behind the issuer (Discovery 1.0 §4.1).
const WELL_KNOWN: &str = ".well-known/openid-configuration";

/// What is read of metadata. Nothing else can spoil a login: an empty `op_policy_uri`, say, which is no URL.
const MEMBERS: [&str; 13] = [
    "issuer",
    "authorization_endpoint",
    "token_endpoint",
    "userinfo_endpoint",
    "jwks_uri",
    "end_session_endpoint",
    "response_types_supported",
    "subject_types_supported",
    "id_token_signing_alg_values_supported",
    "scopes_supported",
    "token_endpoint_auth_methods_supported",
    "authorization_response_iss_parameter_supported",
    ACRS,
];

/// Wanted for step-ups alone, so one that cannot be read is as good as none.
const ACRS: &str = "acr_values_supported";

/// The most keys that are taken in: a token that names none is tried with each of them.
const MAX_KEYS: usize = 100;

/// The longest piece of the provider's own words that is kept for a message.
const MAX_DETAIL: usize = 300;

/// The provider's metadata, which must call it what the configuration calls it, character for character.
pub(super) async fn metadata(
    issuer: &IssuerUrl,
    http: &HttpClient,
) -> Result<Metadata, ProviderError> {
    let url = issuer.join(WELL_KNOWN).map_err(|_| malformed("issuer"))?;
    let UniqueMembers(mut members) = json(&url, http).await?;
    members.retain(|name, value| {
        MEMBERS.contains(&name.as_str()) && (name != ACRS || is_list_of_texts(value))
    });
    let metadata: Metadata = read(Value::Object(members))?;
    if metadata.issuer() == issuer {
        return Ok(metadata);
    }
    Err(ProviderError::IssuerMismatch {
        detail: shortened(&format!(
            "`{}` instead of `{}`",
            metadata.issuer().as_str(),
            issuer.as_str()
        )),
    })
}

fn is_list_of_texts(value: &Value) -> bool {
    let items = value.as_array();
    items.is_some_and(|items| items.iter().all(Value::is_string))
}

/// The provider's keys. Those that nobody can read are left out.
pub(super) async fn keys(
    url: &Url,
    http: &HttpClient,
) -> Result<JsonWebKeySet<ProviderKey>, ProviderError> {
    let set: JsonWebKeySet<ProviderKey> = json(url, http).await?;
    if set.keys().len() > MAX_KEYS {
        return Err(malformed("keys: too many"));
    }
    Ok(set)
}

async fn json<T: DeserializeOwned>(url: &Url, http: &HttpClient) -> Result<T, ProviderError> {
    let mut request = http::Request::new(Vec::new());
    *request.uri_mut() = url.as_str().parse().map_err(|_| malformed("endpoint"))?;
    let accept = HeaderValue::from_static("application/json");
    request.headers_mut().insert(ACCEPT, accept);
    let answer = http.send(request).await?;
    if answer.status() != StatusCode::OK {
        let status = answer.status().as_u16();
        return Err(ProviderError::Status { status });
    }
    // An error page with status 200 is told apart from broken JSON: the cure is another one.
    if !is_json(answer.headers()) {
        return Err(malformed("content-type"));
    }
    let mut reader = serde_json::Deserializer::from_slice(answer.body());
    let found = read(&mut reader)?;
    reader.end().map_err(|_| malformed("end"))?;
    Ok(found)
}

fn read<'de, T: Deserialize<'de>>(from: impl Deserializer<'de>) -> Result<T, ProviderError> {
    serde_path_to_error::deserialize(from)
        .map_err(|error| malformed(&shortened(&error.path().to_string())))
}

/// Whether an answer says that it is JSON, or nothing at all (RFC 9110 §8.3).
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return true;
    };
    let essence = value.to_str().unwrap_or_default();
    let essence = essence.split(';').next().unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}

fn malformed(at: &str) -> ProviderError {
    ProviderError::Malformed { at: at.to_owned() }
}

fn shortened(text: &str) -> String {
    text.chars()
        .filter(|character| !character.is_control())
        .take(MAX_DETAIL)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_its_media_types() {
        #[rustfmt::skip]
        let cases = [
            (None,                                   true),
            (Some("application/json"),               true),
            (Some("Application/JSON; charset=utf-8"), true),
            (Some("application/jwk-set+json"),       true),
            (Some("text/html"),                      false),
            (Some("text/html; application/json"),    false),
            (Some("application/jwt"),                false),
            (Some(""),                               false),
        ];
        for (value, expected) in cases {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(value));
            }
            assert_eq!(is_json(&headers), expected, "{value:?}");
        }
    }
}
