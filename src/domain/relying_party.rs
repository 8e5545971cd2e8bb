//! What the relying party is told by the configuration. Built and checked by `config`, trusted here.

use std::fmt;

use serde_json::{Map, Value};
use thiserror::Error;
use url::Url;

use crate::domain::upstream_key::LiveSecret;

/// Parameters of the authorization request that the relying party sets itself. An operator who
/// could set them again would leave it to the provider which of the two counts.
const OWN_AUTHORIZE_PARAMS: [&str; 11] = [
    "response_type",
    "response_mode",
    "client_id",
    "redirect_uri",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "request",
    "request_uri",
];

/// Everything the relying party needs to know about its provider and about itself.
#[derive(Debug, Clone)]
pub struct OidcSettings {
    /// The issuer identifier, exactly as configured: a trailing slash stays.
    pub issuer: String,
    /// Our `client_id` at the issuer. No secret, but it may follow a file as one does.
    pub client_id: LiveSecret,
    /// Our secret; `None` for a public client, which PKCE alone protects.
    pub client_secret: Option<LiveSecret>,
    /// The scopes to ask for; `openid` is among them.
    pub scopes: Vec<String>,
    /// Nobody named the scopes, so the provider's own list of them has a say: `offline_access` is added where it is
    /// listed, and `groups`, which is no standard scope, left out where there is a list without it. Keycloak, Google and
    /// Entra refuse a login that asks for a scope that they do not know.
    pub scopes_follow_metadata: bool,
    /// Where the provider sends the browser after login: `{public_url}/callback`.
    pub redirect_uri: Url,
    /// Where the provider sends the browser after logout: `{public_url}/signed-out`.
    pub post_logout_redirect_uri: Url,
    /// The claim that holds the user name; `preferred_username` by default.
    pub username_claim: ClaimPath,
    /// The claim that holds the groups; `groups` by default.
    pub groups_claim: ClaimPath,
    /// When to ask userinfo.
    pub userinfo: Userinfo,
    /// How to authenticate at the token endpoint.
    pub client_auth: ClientAuth,
    /// Further parameters of the authorization request, such as `prompt`. None of them
    /// [is ours](is_own_authorize_param).
    pub authorize_params: Vec<(String, String)>,
    /// Certificates (PEM) to trust beside the system's.
    pub extra_roots_pem: Option<Vec<u8>>,
    /// Take an address as it comes, without `email_verified`.
    pub trust_unverified_email: bool,
    /// Allow plain `http` for endpoints that are not on loopback.
    pub allow_http_endpoints: bool,
}

/// How the client authenticates at the token endpoint (OIDC Core §9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientAuth {
    /// As the provider's metadata says: Basic where it is listed, else in the body, else not at all.
    #[default]
    Auto,
    /// `client_secret_basic`.
    Basic,
    /// `client_secret_post`.
    Post,
    /// `none`: a public client.
    None,
}

/// When the userinfo endpoint is asked (OIDC Core §5.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Userinfo {
    /// When the ID token lacks the claim of the user name or of the groups.
    #[default]
    WhenNeeded,
    /// At every login.
    Always,
}

/// Whether `name` is a parameter of the authorization request that the relying party sets itself.
#[must_use]
pub fn is_own_authorize_param(name: &str) -> bool {
    OWN_AUTHORIZE_PARAMS.contains(&name)
}

/// Where a claim stands: under a name of its own, or deeper, by a JSON pointer (RFC 6901).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimPath(Path);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Path {
    /// A member of the claims, taken literally: `https://example.net/groups` holds slashes, and is
    /// one name.
    Name(String),
    /// A JSON pointer: `/realm_access/roles`.
    Pointer(String),
}

/// Why a text is no [`ClaimPath`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ClaimPathError {
    /// Nothing, or only a slash.
    #[error("a claim needs a name")]
    Empty,
    /// `~` escapes in a JSON pointer are `~0` and `~1` (RFC 6901 §3).
    #[error("in a JSON pointer, `~` is written `~0` and `/` within a name is written `~1`")]
    BadEscape,
}

impl ClaimPath {
    /// Reads a claim name, or a JSON pointer where `text` begins with a slash.
    ///
    /// # Errors
    ///
    /// When there is no name, or the pointer holds a `~` that escapes nothing.
    pub fn parse(text: &str) -> Result<Self, ClaimPathError> {
        if text.is_empty() || text == "/" {
            return Err(ClaimPathError::Empty);
        }
        if !text.starts_with('/') {
            return Ok(Self(Path::Name(text.to_owned())));
        }
        let mut escapes = text.split('~').skip(1);
        if escapes.any(|after| !after.starts_with(['0', '1'])) {
            return Err(ClaimPathError::BadEscape);
        }
        Ok(Self(Path::Pointer(text.to_owned())))
    }

    /// Whether this is the claim `name` itself, and nothing deeper.
    #[must_use]
    pub fn is_member(&self, name: &str) -> bool {
        match &self.0 {
            Path::Name(own) => own == name,
            Path::Pointer(pointer) => pointer.strip_prefix('/') == Some(name),
        }
    }

    /// The value at this place; `None` where there is none, or `null`.
    #[must_use]
    pub fn find<'a>(&self, claims: &'a Map<String, Value>) -> Option<&'a Value> {
        let found = match &self.0 {
            Path::Name(name) => claims.get(name),
            Path::Pointer(pointer) => {
                // `Value::pointer` wants a whole value, and claims are its members: the first step
                // is taken by hand.
                let path = &pointer[1..];
                let (first, rest) = path.split_at(path.find('/').unwrap_or(path.len()));
                let first = first.replace("~1", "/").replace("~0", "~");
                claims.get(&first).and_then(|value| value.pointer(rest))
            }
        };
        found.filter(|value| !value.is_null())
    }
}

impl fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Path::Name(text) | Path::Pointer(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn finds_claims_by_name_and_by_pointer() {
        let claims = json!({
            "groups": ["a"],
            "realm_access": { "roles": ["b"], "a/b": "c", "none": null },
            "https://example.net/groups": ["d"],
            "we/ird~": "e",
        });
        let claims = claims.as_object().expect("an object");
        #[rustfmt::skip]
        let cases = [
            ("groups",                     Some(json!(["a"]))),
            ("/groups",                    Some(json!(["a"]))),
            ("/groups/0",                  Some(json!("a"))),
            ("/realm_access/roles",        Some(json!(["b"]))),
            ("/realm_access/a~1b",         Some(json!("c"))),
            ("/we~1ird~0",                 Some(json!("e"))),
            ("https://example.net/groups", Some(json!(["d"]))),
            ("realm_access/roles",         None),
            ("/realm_access/none",         None),
            ("/realm_access/nobody/here",  None),
            ("nobody",                     None),
        ];
        for (path, expected) in cases {
            let path = ClaimPath::parse(path).expect("a claim path");
            assert_eq!(path.find(claims), expected.as_ref(), "{path}");
        }
    }

    #[test]
    fn refuses_what_names_no_claim() {
        assert_eq!(ClaimPath::parse(""), Err(ClaimPathError::Empty));
        assert_eq!(ClaimPath::parse("/"), Err(ClaimPathError::Empty));
        assert_eq!(ClaimPath::parse("/a~b"), Err(ClaimPathError::BadEscape));
        assert_eq!(ClaimPath::parse("/a~"), Err(ClaimPathError::BadEscape));
    }
}
