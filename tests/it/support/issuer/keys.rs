//! The fake issuer's keys: one for each algorithm that it can sign with, and their JWKS.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use p521::ecdsa::signature::Signer;
use ring::digest;
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384,
    RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
};
use serde_json::{Value, json};

/// A key for tests, made for nothing else: ring cannot make RSA keys.
const RSA_KEY: &[u8] = include_bytes!("rsa-test-key.pk8");

/// What a token is signed with. The last two are lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    Es256,
    Es384,
    Es512,
    EdDsa,
    /// The same under its new name (RFC 9864).
    Ed25519,
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    /// The client secret as key.
    Hs256(&'static str),
    /// No signature.
    None,
}

impl Algorithm {
    pub fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::EdDsa => "EdDSA",
            Self::Ed25519 => "Ed25519",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Hs256(_) => "HS256",
            Self::None => "none",
        }
    }

    /// The left half of the hash that goes with the algorithm (OIDC Core §3.1.3.6).
    pub fn half_hash(self, text: &str) -> String {
        let hash = match self {
            Self::EdDsa | Self::Ed25519 | Self::Es512 | Self::Rs512 | Self::Ps512 => {
                &digest::SHA512
            }
            Self::Es384 | Self::Rs384 | Self::Ps384 => &digest::SHA384,
            _ => &digest::SHA256,
        };
        let hash = digest::digest(hash, text.as_bytes());
        encode(&hash.as_ref()[..hash.as_ref().len() / 2])
    }
}

/// One generation of keys.
pub struct Keys {
    generation: u32,
    p256: EcdsaKeyPair,
    p384: EcdsaKeyPair,
    p521: p521::ecdsa::SigningKey,
    ed25519: Ed25519KeyPair,
    rsa: RsaKeyPair,
}

impl Keys {
    pub fn new(generation: u32) -> Self {
        let random = SystemRandom::new();
        let ec = |curve: &'static EcdsaSigningAlgorithm| {
            let key = EcdsaKeyPair::generate_pkcs8(curve, &random).expect("an ECDSA key");
            EcdsaKeyPair::from_pkcs8(curve, key.as_ref(), &random).expect("the same key")
        };
        let ed25519 = Ed25519KeyPair::generate_pkcs8(&random).expect("an EdDSA key");
        let mut scalar = [0; 66];
        random.fill(&mut scalar[1..]).expect("random bytes");
        Self {
            generation,
            p256: ec(&ECDSA_P256_SHA256_FIXED_SIGNING),
            p384: ec(&ECDSA_P384_SHA384_FIXED_SIGNING),
            p521: p521::ecdsa::SigningKey::from_slice(&scalar).expect("below the curve's order"),
            ed25519: Ed25519KeyPair::from_pkcs8(ed25519.as_ref()).expect("the same key"),
            rsa: RsaKeyPair::from_pkcs8(RSA_KEY).expect("the test key"),
        }
    }

    /// The `kid` of the key that signs with `algorithm`.
    pub fn kid(&self, algorithm: Algorithm) -> String {
        let family = match algorithm {
            Algorithm::EdDsa | Algorithm::Ed25519 => "ed",
            Algorithm::Es384 => "ec384",
            Algorithm::Es512 => "ec521",
            Algorithm::Es256 | Algorithm::Hs256(_) | Algorithm::None => "ec",
            _ => "rsa",
        };
        format!("{family}-{}", self.generation)
    }

    /// Signs `header.claims`, both base64url already.
    pub fn sign(&self, algorithm: Algorithm, message: &str) -> Vec<u8> {
        let random = SystemRandom::new();
        let message = message.as_bytes();
        let rsa = |encoding: &'static dyn RsaEncoding| {
            let mut signature = vec![0; self.rsa.public().modulus_len()];
            let signed = self.rsa.sign(encoding, &random, message, &mut signature);
            signed.expect("an RSA signature");
            signature
        };
        let ec = |key: &EcdsaKeyPair| {
            let signature = key.sign(&random, message);
            signature.expect("an ECDSA signature").as_ref().to_vec()
        };
        match algorithm {
            Algorithm::Es256 => ec(&self.p256),
            Algorithm::Es384 => ec(&self.p384),
            Algorithm::Es512 => {
                let signature: p521::ecdsa::Signature = self.p521.sign(message);
                signature.to_bytes().to_vec()
            }
            Algorithm::EdDsa | Algorithm::Ed25519 => self.ed25519.sign(message).as_ref().to_vec(),
            Algorithm::Rs256 => rsa(&RSA_PKCS1_SHA256),
            Algorithm::Rs384 => rsa(&RSA_PKCS1_SHA384),
            Algorithm::Rs512 => rsa(&RSA_PKCS1_SHA512),
            Algorithm::Ps256 => rsa(&RSA_PSS_SHA256),
            Algorithm::Ps384 => rsa(&RSA_PSS_SHA384),
            Algorithm::Ps512 => rsa(&RSA_PSS_SHA512),
            Algorithm::Hs256(secret) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
                hmac::sign(&key, message).as_ref().to_vec()
            }
            Algorithm::None => Vec::new(),
        }
    }

    /// The public keys (RFC 7517), among them one of a type that nobody knows.
    pub fn jwks(&self) -> Value {
        let ec = |curve: &str, algorithm: Algorithm, point: &[u8]| {
            let (x, y) = point[1..].split_at(point.len() / 2);
            json!({
                "kty": "EC", "crv": curve, "use": "sig", "alg": algorithm.name(),
                "kid": self.kid(algorithm), "x": encode(x), "y": encode(y),
            })
        };
        let p521 = self.p521.verifying_key().to_sec1_point(false);
        let rsa = PublicKeyComponents::<Vec<u8>>::from(self.rsa.public());
        json!({ "keys": [
            { "kty": "TOMORROW", "kid": "unheard-of" },
            ec("P-256", Algorithm::Es256, self.p256.public_key().as_ref()),
            ec("P-384", Algorithm::Es384, self.p384.public_key().as_ref()),
            ec("P-521", Algorithm::Es512, p521.as_bytes()),
            {
                "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA",
                "kid": self.kid(Algorithm::EdDsa), "x": encode(self.ed25519.public_key().as_ref()),
            },
            {
                "kty": "RSA", "use": "sig", "kid": self.kid(Algorithm::Rs256),
                "n": encode(&rsa.n), "e": encode(&rsa.e),
            },
        ] })
    }
}

/// A point on P-521 that is no issuer's.
pub fn other_p521_key() -> Value {
    let key = p521::ecdsa::SigningKey::from_slice(&[1; 66]).expect("below the curve's order");
    let point = key.verifying_key().to_sec1_point(false);
    let (x, y) = point.as_bytes()[1..].split_at(66);
    json!({ "x": encode(x), "y": encode(y) })
}

pub fn encode(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}
