//! A public key that an issuer publishes (RFC 7517), as `jsonwebtoken` takes it.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, crypto};
use serde_json::{Map, Value};

/// An RSA, P-256, P-384 or Ed25519 key.
#[derive(Clone)]
pub struct PublicKey(DecodingKey);

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicKey(..)")
    }
}

impl PublicKey {
    /// Reads the members of a JWK; `None` for a key of another type or of the wrong size. `jsonwebtoken` itself looks
    /// neither at the curve nor at the size, and panics at an Ed25519 key that is cut.
    #[must_use]
    pub fn read(jwk: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let bytes = |name: &str| {
            let text = text(name)?.trim_end_matches('=');
            BASE64_URL_SAFE_NO_PAD.decode(text).ok()
        };
        let coordinate = |name: &str, size: usize| bytes(name).filter(|bytes| bytes.len() == size);
        let key = match (text("kty")?, text("crv")) {
            ("RSA", _) => DecodingKey::from_rsa_raw_components(&bytes("n")?, &bytes("e")?),
            ("EC", Some(curve)) => {
                let size = match curve {
                    "P-256" => 32,
                    "P-384" => 48,
                    _ => return None,
                };
                let (x, y) = (coordinate("x", size)?, coordinate("y", size)?);
                let [x, y] = [x, y].map(|bytes| BASE64_URL_SAFE_NO_PAD.encode(bytes));
                DecodingKey::from_ec_components(&x, &y).ok()?
            }
            ("OKP", Some("Ed25519")) => DecodingKey::from_ed_der(&coordinate("x", 32)?),
            _ => return None,
        };
        Some(Self(key))
    }

    /// Whether `signature`, in base64url, is that of `message` by this key and the algorithm of this name (RFC 7518
    /// §3.1, RFC 8037 §3.1). Never, by an algorithm for keys of another type, or by one that is symmetric.
    #[must_use]
    pub fn has_signed(&self, algorithm: &str, message: &[u8], signature: &str) -> bool {
        let Ok(algorithm) = algorithm.parse::<Algorithm>() else {
            return false;
        };
        crypto::verify(signature, message, &self.0, algorithm).unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(jwk: &Value) -> Option<PublicKey> {
        PublicKey::read(jwk.as_object().expect("an object"))
    }

    fn zeros(count: usize) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(vec![0; count])
    }

    #[test]
    #[rustfmt::skip] // the columns are the point
    fn keys_have_their_types_and_sizes() {
        let cases = [
            (json!({ "kty": "RSA", "n": zeros(256), "e": "AQAB" }),                          true),
            (json!({ "kty": "RSA", "n": zeros(256) }),                                       false),
            (json!({ "kty": "RSA", "n": "+", "e": "AQAB" }),                                 false),
            (json!({ "kty": "EC", "crv": "P-256", "x": zeros(32), "y": zeros(32) }),         true),
            (json!({ "kty": "EC", "crv": "P-256", "x": zeros(48), "y": zeros(48) }),         false),
            (json!({ "kty": "EC", "crv": "P-384", "x": zeros(48), "y": zeros(48) }),         true),
            (json!({ "kty": "EC", "crv": "P-521", "x": zeros(66), "y": zeros(66) }),         false),
            (json!({ "kty": "EC", "x": zeros(32), "y": zeros(32) }),                         false),
            (json!({ "kty": "OKP", "crv": "Ed25519", "x": zeros(32) }),                      true),
            (json!({ "kty": "OKP", "crv": "Ed25519", "x": zeros(31) }),                      false),
            (json!({ "kty": "OKP", "crv": "Ed25519", "x": zeros(33) }),                      false),
            (json!({ "kty": "OKP", "crv": "X25519", "x": zeros(32) }),                       false),
            (json!({ "kty": "oct", "k": zeros(32) }),                                        false),
            (json!({ "kty": 1 }),                                                            false),
            (json!({}),                                                                      false),
        ];
        for (jwk, expected) in cases {
            assert_eq!(read(&jwk).is_some(), expected, "{jwk}");
        }
    }

    /// No key, however odd, makes anything but a "no" of a signature that is none.
    #[test]
    fn nothing_is_signed_by_a_key_of_zeros() {
        let keys = [
            json!({ "kty": "RSA", "n": zeros(256), "e": "AQAB" }),
            json!({ "kty": "RSA", "n": "", "e": "" }),
            json!({ "kty": "EC", "crv": "P-256", "x": zeros(32), "y": zeros(32) }),
            json!({ "kty": "EC", "crv": "P-384", "x": zeros(48), "y": zeros(48) }),
            json!({ "kty": "OKP", "crv": "Ed25519", "x": zeros(32) }),
        ];
        let algorithms = [
            "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512",
            "EdDSA", "HS256", "HS384", "HS512", "none", "",
        ];
        for jwk in keys {
            let key = read(&jwk).expect("a key");
            for algorithm in algorithms {
                for signature in [
                    "",
                    "A",
                    "*",
                    &zeros(32),
                    &zeros(64),
                    &zeros(96),
                    &zeros(256),
                ] {
                    let signed = key.has_signed(algorithm, b"message", signature);
                    assert!(!signed, "{jwk} {algorithm} {signature}");
                }
            }
        }
    }
}
