//! ID tokens: whether to believe one (OIDC Core §3.1.3.7).
//!
//! Keys and cryptography are those of [`keys`](super::keys). The checks are made here, on the claims as they
//! came: the verifier of `openidconnect` would refuse a whole login for one odd claim that nobody asked
//! for (`"name": 5`), and leaves `azp`, `iat`, `nbf` and `at_hash` to its caller.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use openidconnect::{AccessToken, AccessTokenHash, JsonWebKey};
use serde_json::{Map, Value};
use subtle::ConstantTimeEq;

use super::error::IdTokenError;
use super::json::UniqueMembers;
use super::keys::{Algorithm, ProviderKey};
use super::provider::Provider;
use crate::domain::time::Timestamp;

/// How far the provider's clock may be from ours.
pub(super) const LEEWAY: Duration = Duration::from_secs(60);

/// How long ago it may have been issued. It is fetched at the end of a login, and made then or when the login began; an
/// older one comes from a clock that is behind ours. Entra dates its tokens five minutes back, on purpose, and its clock
/// may be behind too.
pub(super) const MAX_AGE: Duration = Duration::from_secs(480);

/// The longest ID token that is looked at. One with a thousand groups takes some 50 KiB.
const MAX_LENGTH: usize = 128 * 1024;

/// The longest `sub` (OIDC Core §2).
pub(super) const MAX_SUBJECT: usize = 255;

/// The nonce that a token must bring.
#[derive(Clone, Copy)]
pub(super) enum ExpectedNonce<'a> {
    /// This one: at a login.
    Exactly(&'a str),
    /// This one or none: at a renewal (OIDC Core §12.2).
    NoneOr(&'a str),
}

/// What the token must fit.
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) client_id: &'a str,
    pub(super) nonce: ExpectedNonce<'a>,
    /// The access token that came with it, for `at_hash`.
    pub(super) access_token: &'a AccessToken,
    pub(super) now: Timestamp,
}

/// The claims of a token that passed every check.
#[derive(Debug)]
pub(super) struct VerifiedClaims {
    pub(super) subject: String,
    pub(super) all: Map<String, Value>,
}

/// The parts of the JOSE header that count (RFC 7515 §4.1). Keys that a token brings along (`jwk`, `jku`, `x5u`, `x5c`)
/// are not among them.
struct Header {
    algorithm: Algorithm,
    kid: Option<String>,
}

/// Checks `token` in full and returns its claims.
///
/// # Errors
///
/// The first check that fails, see [`IdTokenError`]. [`may_need_newer_keys`] says which of them a
/// look at the provider's newest keys could mend.
pub(super) fn verify(
    token: &str,
    provider: &Provider,
    expected: &Expected<'_>,
) -> Result<VerifiedClaims, IdTokenError> {
    if token.len() > MAX_LENGTH {
        return Err(IdTokenError::TooLarge);
    }
    let parts: Vec<&str> = token.split('.').take(6).collect();
    let (header, claims, signature) = match parts[..] {
        [header, claims, signature] => (header, claims, signature),
        [_, _, _, _, _] => return Err(IdTokenError::Encrypted),
        _ => return Err(IdTokenError::Malformed),
    };
    let signed = &token[..header.len() + 1 + claims.len()];
    let header = check_header(&decode(header)?, provider)?;
    let key = check_signature(&header, signed.as_bytes(), &decode(signature)?, provider)?;
    let claims = UniqueMembers::parse(&decode(claims)?).ok_or(IdTokenError::Malformed)?;
    check_parties(&claims, expected)?;
    check_times(&claims, expected.now)?;
    check_nonce(&claims, expected.nonce)?;
    check_access_token_hash(&claims, expected.access_token, header.algorithm, key)?;
    let subject = subject(&claims)?;
    Ok(VerifiedClaims {
        subject,
        all: claims,
    })
}

/// Whether the provider may have changed its keys, or what it signs with, since we last looked.
pub(super) fn may_need_newer_keys(error: IdTokenError) -> bool {
    matches!(
        error,
        // A wrong signature: where tokens have no `kid`, a new key shows in nothing else.
        IdTokenError::UnknownKey
            | IdTokenError::WeakKey
            | IdTokenError::Algorithm
            | IdTokenError::Signature
    )
}

fn decode(part: &str) -> Result<Vec<u8>, IdTokenError> {
    BASE64_URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| IdTokenError::Malformed)
}

fn check_header(json: &[u8], provider: &Provider) -> Result<Header, IdTokenError> {
    let header = UniqueMembers::parse(json).ok_or(IdTokenError::Malformed)?;
    let optional_text = |name: &str| match header.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(IdTokenError::Malformed),
    };
    // An algorithm that has no name here ("none", "HS256", or tomorrow's) is no syntax error.
    let algorithm = header.get("alg").and_then(Algorithm::named);
    let algorithm = algorithm.ok_or(IdTokenError::Algorithm)?;
    // An extension that must be understood, and none is; whatever it holds.
    if header.contains_key("crit") {
        return Err(IdTokenError::Critical);
    }
    // `at+jwt`, `logout+jwt` and the like are other kinds of token (RFC 8725 §3.11).
    let is_jwt = optional_text("typ")?.is_none_or(|typ| typ.eq_ignore_ascii_case("JWT"));
    if !is_jwt || header.contains_key("cty") {
        return Err(IdTokenError::WrongType);
    }
    if !provider.algorithms.contains(&algorithm) {
        return Err(IdTokenError::Algorithm);
    }
    Ok(Header {
        algorithm,
        kid: optional_text("kid")?.cloned(),
    })
}

/// Finds the key that made `signature`. The header's `kid` only narrows the choice: what is tried
/// are keys that the provider publishes, for the algorithm that they are meant for.
fn check_signature<'p>(
    header: &Header,
    signed: &[u8],
    signature: &[u8],
    provider: &'p Provider,
) -> Result<&'p ProviderKey, IdTokenError> {
    let mut error = IdTokenError::UnknownKey;
    for key in provider.keys.set.keys() {
        if !key.fits(header.algorithm, header.kid.as_deref()) {
            continue;
        }
        if key.is_too_short() {
            error = IdTokenError::WeakKey;
            continue;
        }
        if key
            .verify_signature(&header.algorithm, signed, signature)
            .is_ok()
        {
            return Ok(key);
        }
        error = IdTokenError::Signature;
    }
    Err(error)
}

/// Who it is from, and for whom.
fn check_parties(claims: &Map<String, Value>, expected: &Expected<'_>) -> Result<(), IdTokenError> {
    if text(claims, "iss")? != Some(expected.issuer) {
        return Err(match claims.get("iss") {
            Some(_) => IdTokenError::Issuer,
            None => IdTokenError::MissingClaim { claim: "iss" },
        });
    }
    let wrong_type = IdTokenError::ClaimType { claim: "aud" };
    let audiences: Vec<&str> = match claims.get("aud") {
        None => return Err(IdTokenError::MissingClaim { claim: "aud" }),
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several
            .iter()
            .map(Value::as_str)
            .collect::<Option<_>>()
            .ok_or(wrong_type)?,
        Some(_) => return Err(wrong_type),
    };
    if !audiences.contains(&expected.client_id) {
        return Err(IdTokenError::Audience);
    }
    // Others may be named beside us ("additional audiences", §3.1.3.7 no. 3) only where the provider says that it was
    // us who asked for the token: else any of the others could hand us one that was issued to them.
    match text(claims, "azp")? {
        Some(party) if party != expected.client_id => Err(IdTokenError::AuthorizedParty),
        None if audiences.len() > 1 => Err(IdTokenError::ForeignAudience),
        _ => Ok(()),
    }
}

fn check_times(claims: &Map<String, Value>, now: Timestamp) -> Result<(), IdTokenError> {
    let missing = |claim| IdTokenError::MissingClaim { claim };
    let expires = time(claims, "exp")?.ok_or(missing("exp"))?;
    let issued = time(claims, "iat")?.ok_or(missing("iat"))?;
    let not_before = time(claims, "nbf")?.unwrap_or(issued);
    let between =
        |earlier: Timestamp, later: Timestamp| later.seconds().saturating_sub(earlier.seconds());
    let begins = issued.max(not_before);
    if begins > now.plus(LEEWAY) {
        let seconds = between(now, begins);
        return Err(IdTokenError::NotYetValid { seconds });
    }
    if expires.plus(LEEWAY) <= now {
        let seconds = between(expires, now);
        return Err(IdTokenError::Expired { seconds });
    }
    if issued.plus(MAX_AGE) < now {
        let seconds = between(issued, now);
        return Err(IdTokenError::Stale { seconds });
    }
    Ok(())
}

fn check_nonce(
    claims: &Map<String, Value>,
    expected: ExpectedNonce<'_>,
) -> Result<(), IdTokenError> {
    let (found, expected) = match (text(claims, "nonce")?, expected) {
        (Some(found), ExpectedNonce::Exactly(nonce) | ExpectedNonce::NoneOr(nonce)) => {
            (found, nonce)
        }
        (None, ExpectedNonce::NoneOr(_)) => return Ok(()),
        (None, ExpectedNonce::Exactly(_)) => {
            return Err(IdTokenError::MissingClaim { claim: "nonce" });
        }
    };
    if bool::from(found.as_bytes().ct_eq(expected.as_bytes())) {
        Ok(())
    } else {
        Err(IdTokenError::Nonce)
    }
}

/// `at_hash` is optional in the code flow, but where it is, it must fit (OIDC Core §3.1.3.8).
fn check_access_token_hash(
    claims: &Map<String, Value>,
    access_token: &AccessToken,
    algorithm: Algorithm,
    key: &ProviderKey,
) -> Result<(), IdTokenError> {
    let Some(found) = text(claims, "at_hash")? else {
        return Ok(());
    };
    let expected = AccessTokenHash::from_token(access_token, &algorithm, key)
        .map_err(|_| IdTokenError::AccessTokenHash)?;
    if bool::from(found.as_bytes().ct_eq(expected.as_bytes())) {
        Ok(())
    } else {
        Err(IdTokenError::AccessTokenHash)
    }
}

fn subject(claims: &Map<String, Value>) -> Result<String, IdTokenError> {
    let subject = text(claims, "sub")?.ok_or(IdTokenError::MissingClaim { claim: "sub" })?;
    let is_usable = !subject.is_empty()
        && subject.len() <= MAX_SUBJECT
        && !subject.chars().any(char::is_control);
    if is_usable {
        Ok(subject.to_owned())
    } else {
        Err(IdTokenError::Subject)
    }
}

fn text<'a>(
    claims: &'a Map<String, Value>,
    claim: &'static str,
) -> Result<Option<&'a str>, IdTokenError> {
    match claims.get(claim) {
        // authentik writes `"at_hash": null` where there is none.
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(IdTokenError::ClaimType { claim }),
    }
}

/// A `NumericDate` (RFC 7519 §2): a number, which may have a fraction, and nothing else. A date in
/// a text must not pass for no date.
fn time(
    claims: &Map<String, Value>,
    claim: &'static str,
) -> Result<Option<Timestamp>, IdTokenError> {
    let Some(value) = claims.get(claim).filter(|value| !value.is_null()) else {
        return Ok(None);
    };
    numeric_date(value)
        .map(Some)
        .ok_or(IdTokenError::ClaimType { claim })
}

/// Reads a `NumericDate`, its fraction cut off; `None` for anything else.
pub(super) fn numeric_date(value: &Value) -> Option<Timestamp> {
    let whole = value.as_u64();
    // `as` keeps within the range of u64, whatever the number.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let seconds = whole.or_else(|| value.as_f64().filter(|s| *s >= 0.0).map(|s| s as u64))?;
    Some(Timestamp::from_seconds(seconds))
}
