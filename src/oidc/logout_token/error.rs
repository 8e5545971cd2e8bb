//! Why a logout token is not believed. The log says it; whoever sent the token is told that it is invalid.

use thiserror::Error;

use super::super::error::ProviderError;

/// Why a logout token is not believed (Back-Channel Logout 1.0 §2.6).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LogoutTokenError {
    /// Over the size that is looked at.
    #[error("the logout token is too large")]
    TooLarge,
    /// Not three base64url parts with JSON in the first two, or a member stands twice.
    #[error("the logout token is malformed")]
    Malformed,
    /// Five parts: encrypted (JWE).
    #[error("the logout token is encrypted, which is not supported")]
    Encrypted,
    /// The header has `crit`: an extension that must be understood, and we know none.
    #[error("the logout token has a critical header extension")]
    Critical,
    /// The header says that it is something else, or wraps another token.
    #[error("the header says that it is no logout token")]
    WrongType,
    /// An algorithm that is not allowed here, or that the provider does not list.
    #[error("the logout token is signed with an algorithm that is not allowed")]
    Algorithm,
    /// A claim that must be there is not.
    #[error("the logout token has no `{claim}`")]
    MissingClaim {
        /// Its name.
        claim: &'static str,
    },
    /// A claim of the wrong JSON type.
    #[error("the logout token's `{claim}` has the wrong type")]
    ClaimType {
        /// Its name.
        claim: &'static str,
    },
    /// A name that is empty, too long, or holds control characters.
    #[error("the logout token's `{claim}` cannot be used")]
    Name {
        /// The claim that it stands in.
        claim: &'static str,
    },
    /// `iss` is not the configured issuer, character for character.
    #[error("the logout token comes from another issuer")]
    Issuer,
    /// `aud` does not name us.
    #[error("the logout token is for another client")]
    Audience,
    /// `azp` is not us.
    #[error("the logout token was issued to another party")]
    AuthorizedParty,
    /// `exp` has passed.
    #[error(
        "by our clock the logout token expired {seconds} s ago; compare the provider's clock with ours"
    )]
    Expired {
        /// How long ago.
        seconds: u64,
    },
    /// `iat` or `nbf` lies ahead.
    #[error(
        "by our clock the logout token begins only in {seconds} s; compare the provider's clock with ours"
    )]
    NotYetValid {
        /// How far ahead.
        seconds: u64,
    },
    /// `iat` lies too far back.
    #[error(
        "by our clock the logout token was issued {seconds} s ago; compare the provider's clock with ours"
    )]
    Stale {
        /// How far back.
        seconds: u64,
    },
    /// It has a `nonce`, as ID tokens have, one of which must not pass for a logout token (§2.4).
    #[error("the logout token has a `nonce`, which only ID tokens have")]
    Nonce,
    /// `events` does not say that it is about a logout.
    #[error("the logout token's `events` does not hold the event of a logout")]
    Event,
    /// Neither `sub` nor `sid`.
    #[error("the logout token names neither a subject nor a session")]
    NamesNobody,
    /// No key of the provider fits.
    #[error("the logout token is signed with a key that the provider does not publish")]
    UnknownKey,
    /// The same; and the provider was asked for its keys so lately that it is not asked again yet.
    #[error(
        "no key that is known has signed the logout token, and it is too soon to fetch the provider's keys again"
    )]
    KeysNotYet,
    /// The key that it names is an RSA key under 2048 bits.
    #[error("the logout token is signed with an RSA key of less than 2048 bits")]
    WeakKey,
    /// The signature is wrong.
    #[error("the logout token's signature is wrong")]
    Signature,
    /// It was obeyed before.
    #[error("the logout token was used before")]
    Replayed,
    /// The provider's keys are not known, so that nobody can tell.
    #[error(transparent)]
    Provider(#[from] ProviderError),
}

impl LogoutTokenError {
    /// A stable name for logs and metrics.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge => "logout_token_too_large",
            Self::Malformed => "logout_token_malformed",
            Self::Encrypted => "logout_token_encrypted",
            Self::Critical => "logout_token_crit",
            Self::WrongType => "logout_token_typ",
            Self::Algorithm => "logout_token_alg",
            Self::MissingClaim { .. } => "logout_token_claim_missing",
            Self::ClaimType { .. } => "logout_token_claim_type",
            Self::Name { .. } => "logout_token_name",
            Self::Issuer => "logout_token_iss",
            Self::Audience => "logout_token_aud",
            Self::AuthorizedParty => "logout_token_azp",
            Self::Expired { .. } => "logout_token_expired",
            Self::NotYetValid { .. } => "logout_token_not_yet_valid",
            Self::Stale { .. } => "logout_token_stale",
            Self::Nonce => "logout_token_nonce",
            Self::Event => "logout_token_events",
            Self::NamesNobody => "logout_token_names_nobody",
            Self::UnknownKey => "logout_token_unknown_key",
            Self::KeysNotYet => "logout_token_keys_not_yet",
            Self::WeakKey => "logout_token_weak_key",
            Self::Signature => "logout_token_signature",
            Self::Replayed => "logout_token_replayed",
            Self::Provider(error) => error.code(),
        }
    }

    /// Whether trying again later may help: nobody could tell whether the token is good.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Provider(_) | Self::KeysNotYet)
    }

    /// Whether the provider may have changed its keys since we last looked.
    pub(in crate::oidc) fn may_need_newer_keys(&self) -> bool {
        // A wrong signature: where tokens have no `kid`, a new key shows in nothing else.
        matches!(self, Self::UnknownKey | Self::WeakKey | Self::Signature)
    }
}
