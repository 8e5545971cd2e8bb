//! The provider's keys (RFC 7517), and what its ID tokens may be signed with (RFC 7518 §3.1, RFC 8037).
//!
//! `openidconnect` has the cryptography of all but ES512. What it is handed here is narrower than what it would take,
//! and a little wider: no symmetric algorithm has a name in [`Algorithm`], ES512 is verified with `p521`, and
//! `Ed25519`, which RFC 9864 calls it, counts as `EdDSA`.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use openidconnect::core::{
    CoreJsonWebKey, CoreJsonWebKeyType, CoreJsonWebKeyUse, CoreJwsSigningAlgorithm,
};
use openidconnect::{
    JsonWebKey, JsonWebKeyAlgorithm, JsonWebKeyId, JsonWebKeyUse, JwsSigningAlgorithm,
    SignatureVerificationError,
};
use p521::ecdsa::signature::Verifier;
use p521::ecdsa::{Signature, VerifyingKey};
use ring::digest;
use serde::de::value::{Error as ValueError, StrDeserializer};
use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

use super::json::UniqueMembers;
use crate::jwt::keys::PublicKey;

/// The shortest RSA modulus that is believed, in bits (RFC 7518 §3.3).
const MIN_RSA_BITS: usize = 2048;

/// Bytes of a coordinate on P-521 (RFC 7518 §6.2.1.2).
const P521_COORDINATE: usize = 66;

/// What an ID token may be signed with: asymmetric algorithms. Symmetric ones would make our client secret a signing
/// key, and `none` none at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    Es512,
    /// On Curve25519 alone.
    #[serde(rename = "EdDSA", alias = "Ed25519")]
    EdDsa,
}

impl Algorithm {
    /// By its name in a JOSE header, in metadata or in a key.
    pub(super) fn named(name: &Value) -> Option<Self> {
        name.as_str()
            .and_then(|name| Self::deserialize(StrDeserializer::<ValueError>::new(name)).ok())
    }

    /// What `openidconnect` calls it.
    fn core(self) -> CoreJwsSigningAlgorithm {
        match self {
            Self::Rs256 => CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
            Self::Rs384 => CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
            Self::Rs512 => CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
            Self::Ps256 => CoreJwsSigningAlgorithm::RsaSsaPssSha256,
            Self::Ps384 => CoreJwsSigningAlgorithm::RsaSsaPssSha384,
            Self::Ps512 => CoreJwsSigningAlgorithm::RsaSsaPssSha512,
            Self::Es256 => CoreJwsSigningAlgorithm::EcdsaP256Sha256,
            Self::Es384 => CoreJwsSigningAlgorithm::EcdsaP384Sha384,
            Self::Es512 => CoreJwsSigningAlgorithm::EcdsaP521Sha512,
            Self::EdDsa => CoreJwsSigningAlgorithm::EdDsa,
        }
    }

    /// Its name in a JOSE header (RFC 7518 §3.1, RFC 8037 §3.1).
    fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::EdDsa => "EdDSA",
        }
    }

    /// The hash of `at_hash` (OIDC Core §3.1.3.6); for Ed25519 the one that it is built upon.
    fn hash(self) -> &'static digest::Algorithm {
        match self {
            Self::Rs256 | Self::Ps256 | Self::Es256 => &digest::SHA256,
            Self::Rs384 | Self::Ps384 | Self::Es384 => &digest::SHA384,
            Self::Rs512 | Self::Ps512 | Self::Es512 | Self::EdDsa => &digest::SHA512,
        }
    }
}

impl JwsSigningAlgorithm for Algorithm {
    type KeyType = CoreJsonWebKeyType;

    fn key_type(&self) -> Option<CoreJsonWebKeyType> {
        self.core().key_type()
    }

    fn uses_shared_secret(&self) -> bool {
        false
    }

    fn rsa_sha_256() -> Self {
        Self::Rs256
    }
}

/// A key that the provider publishes.
#[derive(Debug, Clone)]
pub(super) struct ProviderKey {
    /// Without its `alg`, which is kept beside it.
    core: CoreJsonWebKey,
    purpose: Purpose,
    strength: Strength,
    /// The point, where the key lies on P-521 and is a good one.
    p521: Option<VerifyingKey>,
    /// For tokens that are no ID tokens, where it is of a type that they are signed with.
    jwt: Option<PublicKey>,
}

/// What the member `alg` says that the key is for.
#[derive(Debug, Clone, Copy)]
enum Purpose {
    Any,
    Only(Algorithm),
    /// Encryption, or an algorithm that is not accepted.
    Another,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strength {
    Enough,
    TooShort,
}

impl ProviderKey {
    /// Whether this key may be the one that a token's header speaks of: of the right type, for this algorithm, and of
    /// that name if the header has one.
    pub(super) fn fits(&self, algorithm: Algorithm, kid: Option<&str>) -> bool {
        let named = kid.is_none_or(|kid| self.key_id().is_some_and(|id| id.as_str() == kid));
        let meant = match self.purpose {
            Purpose::Any => true,
            Purpose::Only(only) => only == algorithm,
            Purpose::Another => false,
        };
        named
            && meant
            && self.key_use().is_none_or(JsonWebKeyUse::allows_signature)
            && algorithm.key_type().as_ref() == Some(self.key_type())
    }

    /// Whether `signature`, in base64url, is that of a `message` that is no ID token. ES512 is for ID tokens alone.
    pub(super) fn has_signed(&self, algorithm: Algorithm, message: &[u8], signature: &str) -> bool {
        let key = self.jwt.as_ref();
        key.is_some_and(|key| key.has_signed(algorithm.name(), message, signature))
    }

    /// An RSA key that can be broken.
    pub(super) fn is_too_short(&self) -> bool {
        self.strength == Strength::TooShort
    }

    fn read(mut members: Map<String, Value>) -> Result<Self, serde_json::Error> {
        let purpose = match members.remove("alg") {
            None | Some(Value::Null) => Purpose::Any,
            Some(alg) => Algorithm::named(&alg).map_or(Purpose::Another, Purpose::Only),
        };
        let bytes = |name: &str| {
            let text = members.get(name).and_then(Value::as_str);
            let text = text.map(|text| text.trim_end_matches('='));
            text.and_then(|text| BASE64_URL_SAFE_NO_PAD.decode(text).ok())
        };
        let has_modulus = members.contains_key("n");
        let modulus_bits = bytes("n").map_or(0, |modulus| bits(&modulus));
        let strength = if has_modulus && modulus_bits < MIN_RSA_BITS {
            Strength::TooShort
        } else {
            Strength::Enough
        };
        let is_p521 = members.get("crv").and_then(Value::as_str) == Some("P-521");
        let p521 = match (bytes("x"), bytes("y")) {
            (Some(x), Some(y)) if is_p521 => p521_point(&x, &y),
            _ => None,
        };
        let jwt = PublicKey::read(&members);
        Ok(Self {
            core: serde_json::from_value(Value::Object(members))?,
            purpose,
            strength,
            p521,
            jwt,
        })
    }

    fn verify_on_p521(
        &self,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureVerificationError> {
        let point = self.p521.as_ref().ok_or_else(|| {
            SignatureVerificationError::InvalidKey("no point on P-521".to_owned())
        })?;
        Signature::from_slice(signature)
            .and_then(|signature| point.verify(message, &signature))
            .map_err(|_| SignatureVerificationError::CryptoError("bad signature".to_owned()))
    }
}

/// The bits of a number, its leading zeros left out.
fn bits(number: &[u8]) -> usize {
    let mut digits = number.iter().skip_while(|byte| **byte == 0);
    digits.next().map_or(0, |first| {
        digits.count() * 8 + 8 - first.leading_zeros() as usize
    })
}

fn p521_point(x: &[u8], y: &[u8]) -> Option<VerifyingKey> {
    if x.len() != P521_COORDINATE || y.len() != P521_COORDINATE {
        return None;
    }
    // Uncompressed (SEC 1 §2.3.3).
    let point = [&[4], x, y].concat();
    VerifyingKey::from_sec1_bytes(&point).ok()
}

impl JsonWebKey for ProviderKey {
    type KeyUse = CoreJsonWebKeyUse;
    type SigningAlgorithm = Algorithm;

    fn key_id(&self) -> Option<&JsonWebKeyId> {
        self.core.key_id()
    }

    fn key_type(&self) -> &CoreJsonWebKeyType {
        self.core.key_type()
    }

    fn key_use(&self) -> Option<&CoreJsonWebKeyUse> {
        self.core.key_use()
    }

    fn signing_alg(&self) -> JsonWebKeyAlgorithm<&Algorithm> {
        match &self.purpose {
            Purpose::Any => JsonWebKeyAlgorithm::Unspecified,
            Purpose::Only(algorithm) => JsonWebKeyAlgorithm::Algorithm(algorithm),
            Purpose::Another => JsonWebKeyAlgorithm::Unsupported,
        }
    }

    /// A key that fits nothing: [`Algorithm`] has no symmetric ones.
    fn new_symmetric(key: Vec<u8>) -> Self {
        Self {
            core: CoreJsonWebKey::new_symmetric(key),
            purpose: Purpose::Another,
            strength: Strength::Enough,
            p521: None,
            jwt: None,
        }
    }

    fn verify_signature(
        &self,
        algorithm: &Algorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureVerificationError> {
        if self.is_too_short() || !self.fits(*algorithm, None) {
            return Err(SignatureVerificationError::InvalidKey(
                "not for this algorithm".to_owned(),
            ));
        }
        match algorithm {
            Algorithm::Es512 => self.verify_on_p521(message, signature),
            other => self
                .core
                .verify_signature(&other.core(), message, signature),
        }
    }

    fn hash_bytes(&self, bytes: &[u8], algorithm: &Algorithm) -> Result<Vec<u8>, String> {
        Ok(digest::digest(algorithm.hash(), bytes).as_ref().to_vec())
    }
}

impl<'de> Deserialize<'de> for ProviderKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let UniqueMembers(members) = UniqueMembers::deserialize(deserializer)?;
        Self::read(members).map_err(D::Error::custom)
    }
}

impl Serialize for ProviderKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.core.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(json: Value) -> Option<ProviderKey> {
        ProviderKey::deserialize(json).ok()
    }

    #[test]
    fn algorithms_have_their_names_and_no_symmetric_one_has() {
        #[rustfmt::skip]
        let cases = [
            ("RS256", Some(Algorithm::Rs256)), ("RS384", Some(Algorithm::Rs384)), ("RS512", Some(Algorithm::Rs512)),
            ("PS256", Some(Algorithm::Ps256)), ("PS384", Some(Algorithm::Ps384)), ("PS512", Some(Algorithm::Ps512)),
            ("ES256", Some(Algorithm::Es256)), ("ES384", Some(Algorithm::Es384)), ("ES512", Some(Algorithm::Es512)),
            ("EdDSA", Some(Algorithm::EdDsa)), ("Ed25519", Some(Algorithm::EdDsa)),
            ("Ed448", None), ("ES256K", None), ("EDDSA", None), ("es256", None), ("", None),
            ("none", None), ("HS256", None), ("HS384", None), ("HS512", None),
        ];
        for (name, expected) in cases {
            assert_eq!(Algorithm::named(&json!(name)), expected, "{name}");
        }
        for no_name in [
            json!(1),
            json!(null),
            json!(["RS256"]),
            json!({ "RS256": null }),
        ] {
            assert_eq!(Algorithm::named(&no_name), None, "{no_name}");
        }
    }

    #[test]
    fn a_modulus_is_measured_without_its_leading_zeros() {
        let modulus = |first: &[u8], length: usize| {
            let mut bytes = first.to_vec();
            bytes.resize(length, 0xff);
            BASE64_URL_SAFE_NO_PAD.encode(bytes)
        };
        #[rustfmt::skip]
        let cases = [
            (modulus(&[0x80], 256),    false),
            (modulus(&[0x7f], 256),    true),
            (modulus(&[0, 0x80], 257), false),
            (modulus(&[0, 0x80], 256), true),
            (modulus(&[0x80], 128),    true),
            (modulus(&[0x80], 512),    false),
            (modulus(&[0], 1),         true),
            (String::new(),            true),
            (modulus(&[0x80], 256) + "=",  false),
            (modulus(&[0x80], 256) + "+x", true),
        ];
        for (n, too_short) in cases {
            let key = key(json!({ "kty": "RSA", "n": n, "e": "AQAB" })).expect("a key");
            assert_eq!(key.is_too_short(), too_short, "{n}");
        }
    }

    #[test]
    fn a_key_is_for_what_it_says() {
        let okp = |alg: Value| json!({ "kty": "OKP", "crv": "Ed25519", "kid": "k", "x": BASE64_URL_SAFE_NO_PAD.encode([1; 32]), "alg": alg });
        #[rustfmt::skip]
        let cases = [
            (okp(json!("EdDSA")),    Algorithm::EdDsa, Some("k"), true),
            (okp(json!("Ed25519")),  Algorithm::EdDsa, Some("k"), true),
            (okp(json!(null)),       Algorithm::EdDsa, None,      true),
            (okp(json!("EdDSA")),    Algorithm::EdDsa, Some("K"), false),
            (okp(json!("EdDSA")),    Algorithm::Es256, None,      false),
            (okp(json!("ECDH-ES")),  Algorithm::EdDsa, None,      false),
            (okp(json!("XX")),       Algorithm::EdDsa, None,      false),
            (okp(json!(7)),          Algorithm::EdDsa, None,      false),
            (json!({ "kty": "oct", "k": "AAAA" }), Algorithm::Rs256, None, false),
            (json!({ "kty": "RSA", "use": "enc" }), Algorithm::Rs256, None, false),
            (json!({ "kty": "RSA" }), Algorithm::Rs256, None,     true),
            (json!({ "kty": "RSA" }), Algorithm::Rs256, Some("k"), false),
        ];
        for (json, algorithm, kid, expected) in cases {
            let found = key(json.clone()).expect("a key").fits(algorithm, kid);
            assert_eq!(found, expected, "{json} {algorithm:?} {kid:?}");
        }
        assert!(key(json!({ "kty": "TOMORROW" })).is_none());
        assert!(!ProviderKey::new_symmetric(vec![1]).fits(Algorithm::Rs256, None));
    }

    #[test]
    fn p521_wants_whole_coordinates_of_a_point() {
        let signing = p521::ecdsa::SigningKey::from_slice(&[1; 66]).expect("a key");
        let point = signing.verifying_key().to_sec1_point(false);
        let (x, y) = (point.x().expect("x"), point.y().expect("y"));
        assert!(p521_point(x, y).is_some());
        assert!(p521_point(&x[1..], y).is_none(), "cut");
        assert!(p521_point(y, x).is_none(), "no point of the curve");
    }
}
