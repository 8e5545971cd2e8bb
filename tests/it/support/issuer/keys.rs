//! The fake issuer's keys: one for each algorithm that it can sign with, and their JWKS.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::digest;
use ring::hmac;
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    RSA_PKCS1_SHA512, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
};
use serde_json::{Value, json};

/// A key for tests, made for nothing else: ring cannot make RSA keys.
const RSA_KEY: &[u8] = include_bytes!("rsa-test-key.pk8");

/// What a token is signed with. The last two are lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    Es256,
    EdDsa,
    Rs256,
    Rs512,
    Ps256,
    /// The client secret as key.
    Hs256(&'static str),
    /// No signature.
    None,
}

impl Algorithm {
    pub fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Hs256(_) => "HS256",
            Self::None => "none",
        }
    }

    /// The left half of the hash that goes with the algorithm (OIDC Core §3.1.3.6).
    pub fn half_hash(self, text: &str) -> String {
        let hash = match self {
            Self::EdDsa | Self::Rs512 => &digest::SHA512,
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
    ed25519: Ed25519KeyPair,
    rsa: RsaKeyPair,
}

impl Keys {
    pub fn new(generation: u32) -> Self {
        let random = SystemRandom::new();
        let curve = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let p256 = EcdsaKeyPair::generate_pkcs8(curve, &random).expect("an ECDSA key");
        let ed25519 = Ed25519KeyPair::generate_pkcs8(&random).expect("an EdDSA key");
        Self {
            generation,
            p256: EcdsaKeyPair::from_pkcs8(curve, p256.as_ref(), &random).expect("the same key"),
            ed25519: Ed25519KeyPair::from_pkcs8(ed25519.as_ref()).expect("the same key"),
            rsa: RsaKeyPair::from_pkcs8(RSA_KEY).expect("the test key"),
        }
    }

    /// The `kid` of the key that signs with `algorithm`.
    pub fn kid(&self, algorithm: Algorithm) -> String {
        let family = match algorithm {
            Algorithm::EdDsa => "ed",
            Algorithm::Rs256 | Algorithm::Rs512 | Algorithm::Ps256 => "rsa",
            Algorithm::Es256 | Algorithm::Hs256(_) | Algorithm::None => "ec",
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
        match algorithm {
            Algorithm::Es256 => {
                let signature = self.p256.sign(&random, message);
                signature.expect("an ECDSA signature").as_ref().to_vec()
            }
            Algorithm::EdDsa => self.ed25519.sign(message).as_ref().to_vec(),
            Algorithm::Rs256 => rsa(&RSA_PKCS1_SHA256),
            Algorithm::Rs512 => rsa(&RSA_PKCS1_SHA512),
            Algorithm::Ps256 => rsa(&RSA_PSS_SHA256),
            Algorithm::Hs256(secret) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
                hmac::sign(&key, message).as_ref().to_vec()
            }
            Algorithm::None => Vec::new(),
        }
    }

    /// The public keys (RFC 7517), among them one of a type that nobody knows.
    pub fn jwks(&self) -> Value {
        let point = self.p256.public_key().as_ref();
        let (x, y) = point[1..].split_at(32);
        let rsa = PublicKeyComponents::<Vec<u8>>::from(self.rsa.public());
        json!({ "keys": [
            { "kty": "TOMORROW", "kid": "unheard-of" },
            {
                "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256",
                "kid": self.kid(Algorithm::Es256), "x": encode(x), "y": encode(y),
            },
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

pub fn encode(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}
