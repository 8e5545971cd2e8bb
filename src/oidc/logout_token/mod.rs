//! Logout tokens: whether to believe one, and what it ends (Back-Channel Logout 1.0 §2.4, §2.6).
//!
//! Anybody can send one, so what costs least is checked first: a token that is not for us costs no look at a key, and one
//! that no key of ours fits costs no question to the provider unless all the rest is right.

mod error;

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

pub use self::error::LogoutTokenError;
use super::id_token::{LEEWAY, MAX_AGE, MAX_SUBJECT, numeric_date};
use super::json::UniqueMembers;
use super::keys::Algorithm;
use super::provider::Provider;
use crate::domain::time::Timestamp;
use LogoutTokenError as Refused;

/// The member of `events` that makes a token one for logout (§2.4).
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// The longest token that is looked at: it names somebody, and nothing more.
const MAX_LENGTH: usize = 16 * 1024;

/// The longest `jti` and `sid`.
const MAX_NAME: usize = 255;

/// How many keys are tried for one token. A provider with several names them in its tokens (`kid`, OIDC Core §10.1); one
/// that does not, or has made up a token, must not have us reckon with a hundred.
const MAX_KEYS_TRIED: usize = 8;

/// How far the clock of the store may be from ours, in which it is kept that a token has been used.
const STORE_SKEW: Duration = Duration::from_secs(60);

/// What a token must fit.
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) client_id: &'a str,
    pub(super) now: Timestamp,
}

/// What a believed token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogoutToken {
    /// Its name, which none other of the issuer's has.
    pub jti: String,
    /// Whose sessions end; all of them, where no `sid` is given.
    pub subject: Option<String>,
    /// The issuer's own name for the session that it has ended.
    pub sid: Option<String>,
    /// How long it would be believed if it came again, at the most.
    pub believed_for: Duration,
}

/// A token that passed every check but that of its signature.
#[derive(Debug)]
pub(super) struct Unverified<'t> {
    algorithm: Algorithm,
    kid: Option<String>,
    /// What is signed.
    message: &'t [u8],
    /// In base64url.
    signature: &'t str,
    content: LogoutToken,
}

impl<'t> Unverified<'t> {
    /// Checks all of `token` but its signature.
    ///
    /// # Errors
    ///
    /// The first check that fails.
    pub(super) fn read(
        token: &'t str,
        provider: &Provider,
        expected: &Expected<'_>,
    ) -> Result<Self, Refused> {
        if token.len() > MAX_LENGTH {
            return Err(Refused::TooLarge);
        }
        let parts: Vec<&str> = token.split('.').take(6).collect();
        let (header, claims, signature) = match parts[..] {
            [header, claims, signature] => (header, claims, signature),
            [_, _, _, _, _] => return Err(Refused::Encrypted),
            _ => return Err(Refused::Malformed),
        };
        let (algorithm, kid) = check_header(&object(header)?, provider)?;
        let claims = object(claims)?;
        check_kind(&claims)?;
        check_parties(&claims, expected)?;
        let believed_for = check_times(&claims, expected.now)?;
        let (subject, sid) = (
            name(&claims, "sub", MAX_SUBJECT)?,
            name(&claims, "sid", MAX_NAME)?,
        );
        if subject.is_none() && sid.is_none() {
            return Err(Refused::NamesNobody);
        }
        let jti = name(&claims, "jti", MAX_NAME)?;
        Ok(Self {
            algorithm,
            kid,
            message: &token.as_bytes()[..token.len() - signature.len() - 1],
            signature,
            content: LogoutToken {
                jti: jti.ok_or(Refused::MissingClaim { claim: "jti" })?,
                subject,
                sid,
                believed_for,
            },
        })
    }

    /// What it says, if a key that `provider` publishes has signed it. The header's `kid` only narrows the choice.
    ///
    /// # Errors
    ///
    /// [`UnknownKey`](Refused::UnknownKey), [`WeakKey`](Refused::WeakKey) and [`Signature`](Refused::Signature).
    pub(super) fn signed_by(&self, provider: &Provider) -> Result<LogoutToken, Refused> {
        let mut error = Refused::UnknownKey;
        let keys = provider.keys.set.keys().iter();
        let fitting = keys.filter(|key| key.fits(self.algorithm, self.kid.as_deref()));
        for key in fitting.take(MAX_KEYS_TRIED) {
            if key.is_too_short() {
                error = Refused::WeakKey;
                continue;
            }
            if key.has_signed(self.algorithm, self.message, self.signature) {
                return Ok(self.content.clone());
            }
            error = Refused::Signature;
        }
        Err(error)
    }
}

impl Unverified<'_> {
    /// Why it is not believed, where `error` is why no key has signed it, and nobody may ask for newer keys yet: the key
    /// that signed it may be one of those. A key that it names, and that is there, is no other one then.
    pub(super) fn without_newer_keys(&self, error: Refused) -> Refused {
        match error {
            Refused::Signature | Refused::WeakKey if self.kid.is_some() => error,
            _ => Refused::KeysNotYet,
        }
    }
}

fn object(part: &str) -> Result<Map<String, Value>, Refused> {
    let json = BASE64_URL_SAFE_NO_PAD.decode(part);
    let json = json.map_err(|_| Refused::Malformed)?;
    UniqueMembers::parse(&json).ok_or(Refused::Malformed)
}

fn check_header(
    header: &Map<String, Value>,
    provider: &Provider,
) -> Result<(Algorithm, Option<String>), Refused> {
    let optional_text = |name: &str| match header.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Refused::Malformed),
    };
    // An algorithm that has no name here ("none", "HS256", or tomorrow's) is no syntax error.
    let algorithm = header.get("alg").and_then(Algorithm::named);
    let algorithm = algorithm.ok_or(Refused::Algorithm)?;
    // An extension that must be understood, and none is; whatever it holds.
    if header.contains_key("crit") {
        return Err(Refused::Critical);
    }
    let typ = optional_text("typ")?.map(|typ| typ.to_ascii_lowercase());
    // `logout+jwt` is recommended, not required (§2.4); the prefix may be left out (RFC 7515 §4.1.9).
    let is_kind = typ.is_none_or(|typ| {
        let kind = typ.strip_prefix("application/").unwrap_or(&typ);
        matches!(kind, "logout+jwt" | "jwt")
    });
    if !is_kind || header.contains_key("cty") {
        return Err(Refused::WrongType);
    }
    // `jsonwebtoken` does not have it.
    if algorithm == Algorithm::Es512 || !provider.algorithms.contains(&algorithm) {
        return Err(Refused::Algorithm);
    }
    Ok((algorithm, optional_text("kid")?.cloned()))
}

/// Whether it is a logout token, and not an ID token.
fn check_kind(claims: &Map<String, Value>) -> Result<(), Refused> {
    if claims.contains_key("nonce") {
        return Err(Refused::Nonce);
    }
    match claims.get("events") {
        None => Err(Refused::MissingClaim { claim: "events" }),
        Some(Value::Object(events)) if events.get(EVENT).is_some_and(Value::is_object) => Ok(()),
        Some(Value::Object(_)) => Err(Refused::Event),
        Some(_) => Err(Refused::ClaimType { claim: "events" }),
    }
}

/// Who it is from, and for whom. Others may be named beside us: whoever else gets it and hands it on signs somebody out
/// whom the provider has signed out.
fn check_parties(claims: &Map<String, Value>, expected: &Expected<'_>) -> Result<(), Refused> {
    match text(claims, "iss")? {
        Some(issuer) if issuer == expected.issuer => {}
        Some(_) => return Err(Refused::Issuer),
        None => return Err(Refused::MissingClaim { claim: "iss" }),
    }
    let wrong_type = Refused::ClaimType { claim: "aud" };
    let is_for_us = match claims.get("aud") {
        None => return Err(Refused::MissingClaim { claim: "aud" }),
        Some(Value::String(one)) => one == expected.client_id,
        Some(Value::Array(several)) => {
            if !several.iter().all(Value::is_string) {
                return Err(wrong_type);
            }
            several.iter().any(|one| one == expected.client_id)
        }
        Some(_) => return Err(wrong_type),
    };
    if !is_for_us {
        return Err(Refused::Audience);
    }
    match text(claims, "azp")? {
        Some(party) if party != expected.client_id => Err(Refused::AuthorizedParty),
        _ => Ok(()),
    }
}

/// Whether it is of now; and for how long it will be. One that comes again later is refused for its age.
fn check_times(claims: &Map<String, Value>, now: Timestamp) -> Result<Duration, Refused> {
    let required = |claim| time(claims, claim)?.ok_or(Refused::MissingClaim { claim });
    let (expires, issued) = (required("exp")?, required("iat")?);
    let begins = time(claims, "nbf")?.map_or(issued, |not_before| issued.max(not_before));
    if begins > now.plus(LEEWAY) {
        let seconds = begins.since(now).as_secs();
        return Err(Refused::NotYetValid { seconds });
    }
    let (end, too_old) = (expires.plus(LEEWAY), issued.plus(MAX_AGE));
    if end <= now {
        let seconds = now.since(expires).as_secs();
        return Err(Refused::Expired { seconds });
    }
    if too_old < now {
        let seconds = now.since(issued).as_secs();
        return Err(Refused::Stale { seconds });
    }
    Ok(end.min(too_old).since(now) + STORE_SKEW)
}

/// A name that can be kept and looked for.
fn name(
    claims: &Map<String, Value>,
    claim: &'static str,
    max_length: usize,
) -> Result<Option<String>, Refused> {
    let Some(name) = text(claims, claim)? else {
        return Ok(None);
    };
    let is_usable =
        !name.is_empty() && name.len() <= max_length && !name.chars().any(char::is_control);
    if is_usable {
        Ok(Some(name.to_owned()))
    } else {
        Err(Refused::Name { claim })
    }
}

fn text<'a>(
    claims: &'a Map<String, Value>,
    claim: &'static str,
) -> Result<Option<&'a str>, Refused> {
    match claims.get(claim) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Refused::ClaimType { claim }),
    }
}

fn time(claims: &Map<String, Value>, claim: &'static str) -> Result<Option<Timestamp>, Refused> {
    match claims.get(claim) {
        None => Ok(None),
        Some(value) => numeric_date(value)
            .map(Some)
            .ok_or(Refused::ClaimType { claim }),
    }
}
