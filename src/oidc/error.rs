//! What can go wrong between us and the provider. Each error is one plain sentence and a stable
//! [`code`](RedeemError::code) for logs and metrics; none carries a body, token, code or secret.

use thiserror::Error;

/// Why the relying party could not be set up: a fault of the configuration or of the machine.
#[derive(Debug, Error)]
pub enum SetupError {
    /// The issuer is not a URL.
    #[error("oidc.issuer is not a URL")]
    Issuer,
    /// The file of extra certificates holds none, or something else.
    #[error("oidc.ca_file does not hold PEM certificates: {reason}")]
    ExtraRoots {
        /// What the TLS library says about it.
        reason: String,
    },
    /// The HTTP client could not be built: no certificates on the machine, say.
    #[error("the HTTP client for the provider could not be set up: {reason}")]
    HttpClient {
        /// What the library says about it.
        reason: String,
    },
}

/// Why one HTTP request to the provider brought no usable answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HttpError {
    /// The URL is plain `http`, and neither loopback nor allowed.
    #[error("the provider's endpoint is not https")]
    Insecure,
    /// No connection, or it broke: DNS, TCP, TLS.
    #[error("the provider could not be reached: {reason}")]
    Unreachable {
        /// The innermost cause, as the system or the TLS library words it.
        reason: String,
    },
    /// No whole answer within the time allowed.
    #[error("the provider did not answer in time")]
    TimedOut,
    /// A redirect, which none of these endpoints may answer.
    #[error("the provider answered with a redirect, which is not followed")]
    Redirect,
    /// A status of 500 or above, or 429: not now.
    #[error("the provider answered with status {status}")]
    ServerError {
        /// The HTTP status.
        status: u16,
    },
    /// A body over the limit.
    #[error("the provider's answer is larger than 1 MiB")]
    TooLarge,
    /// A compressed body, which could be of any size once it is unpacked.
    #[error("the provider's answer is compressed, which was not asked for")]
    Encoded,
}

impl HttpError {
    /// A stable name for logs and metrics.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Insecure => "endpoint_insecure",
            Self::Unreachable { .. } => "provider_unreachable",
            Self::TimedOut => "provider_timeout",
            Self::Redirect => "provider_redirect",
            Self::ServerError { .. } => "provider_error",
            Self::TooLarge => "answer_too_large",
            Self::Encoded => "answer_encoded",
        }
    }
}

/// Why the provider is not at our service: unreachable, or not usable as it describes itself.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProviderError {
    /// Discovery has not ended yet.
    #[error("the provider's metadata is not known yet")]
    NotYetKnown,
    /// A request for metadata, keys, tokens or claims failed.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// An answer with a status that brings nothing: 404, say.
    #[error("the provider answered with status {status}")]
    Status {
        /// The HTTP status.
        status: u16,
    },
    /// Metadata or keys that are not JSON, or lack something that they must have.
    #[error("the provider's metadata or keys are malformed at `{at}`")]
    Malformed {
        /// The place within the document.
        at: String,
    },
    /// The metadata's issuer is not the configured one, character for character.
    #[error("the provider goes by another name than the configured issuer: {detail}")]
    IssuerMismatch {
        /// Both names.
        detail: String,
    },
    /// An endpoint of the metadata is plain `http`, and neither loopback nor allowed.
    #[error("the provider's {endpoint} is not https")]
    InsecureEndpoint {
        /// The metadata's name for it.
        endpoint: &'static str,
    },
    /// The metadata lacks what the code flow needs.
    #[error("the provider's metadata has no {endpoint}")]
    MissingEndpoint {
        /// The metadata's name for it.
        endpoint: &'static str,
    },
    /// No algorithm for ID tokens that we accept.
    #[error("the provider signs ID tokens with no algorithm that is accepted here")]
    NoCommonAlgorithm,
    /// None of the ways to authenticate at the token endpoint that we know.
    #[error("the provider takes neither client_secret_basic, client_secret_post nor none")]
    NoCommonClientAuth,
}

impl ProviderError {
    /// A stable name for logs and metrics.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotYetKnown => "provider_not_yet_known",
            Self::Http(error) => error.code(),
            Self::Status { .. } => "provider_refused",
            Self::Malformed { .. } => "metadata_malformed",
            Self::IssuerMismatch { .. } => "issuer_mismatch",
            Self::InsecureEndpoint { .. } => "endpoint_insecure",
            Self::MissingEndpoint { .. } => "endpoint_missing",
            Self::NoCommonAlgorithm => "no_common_algorithm",
            Self::NoCommonClientAuth => "no_common_client_auth",
        }
    }
}

/// Why an ID token is not believed (OIDC Core §3.1.3.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum IdTokenError {
    /// Over the size that is looked at.
    #[error("the ID token is too large")]
    TooLarge,
    /// Not three base64url parts with JSON in the first two.
    #[error("the ID token is malformed")]
    Malformed,
    /// Five parts: encrypted (JWE).
    #[error("the ID token is encrypted, which is not supported")]
    Encrypted,
    /// The header has `crit`: an extension that must be understood, and we know none.
    #[error("the ID token has a critical header extension")]
    Critical,
    /// The header says that it is something else, or wraps another token.
    #[error("the ID token's header says that it is something else")]
    WrongType,
    /// An algorithm that is not allowed, or that the provider does not list.
    #[error("the ID token is signed with an algorithm that is not allowed")]
    Algorithm,
    /// No key of the provider fits.
    #[error("the ID token is signed with a key that the provider does not publish")]
    UnknownKey,
    /// The key that it names is an RSA key under 2048 bits.
    #[error("the ID token is signed with an RSA key of less than 2048 bits")]
    WeakKey,
    /// The signature is wrong.
    #[error("the ID token's signature is wrong")]
    Signature,
    /// A claim that must be there is not.
    #[error("the ID token has no `{claim}`")]
    MissingClaim {
        /// Its name.
        claim: &'static str,
    },
    /// A claim of the wrong JSON type.
    #[error("the ID token's `{claim}` has the wrong type")]
    ClaimType {
        /// Its name.
        claim: &'static str,
    },
    /// `iss` is not the configured issuer, character for character.
    #[error("the ID token comes from another issuer")]
    Issuer,
    /// `aud` does not name us.
    #[error("the ID token is for another client")]
    Audience,
    /// `aud` names several, and no `azp` says that it was issued to us.
    #[error(
        "the ID token is for other clients too, and has no `azp` that says it was issued to us"
    )]
    ForeignAudience,
    /// `azp` is not us.
    #[error("the ID token was issued to another party")]
    AuthorizedParty,
    /// `exp` has passed.
    #[error(
        "by our clock the ID token expired {seconds} s ago; compare the provider's clock with ours"
    )]
    Expired {
        /// How long ago.
        seconds: u64,
    },
    /// `iat` or `nbf` lies ahead.
    #[error(
        "by our clock the ID token begins only in {seconds} s; compare the provider's clock with ours"
    )]
    NotYetValid {
        /// How far ahead.
        seconds: u64,
    },
    /// `iat` lies too far back for a login that ends now.
    #[error(
        "by our clock the ID token was issued {seconds} s ago; compare the provider's clock with ours"
    )]
    Stale {
        /// How far back.
        seconds: u64,
    },
    /// `nonce` is not that of this login.
    #[error("the ID token belongs to another login")]
    Nonce,
    /// `at_hash` does not fit the access token.
    #[error("the ID token belongs to another access token")]
    AccessTokenHash,
    /// `sub` is empty, too long, or holds control characters.
    #[error("the ID token's subject cannot be used")]
    Subject,
}

impl IdTokenError {
    /// A stable name for logs and metrics.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::TooLarge => "id_token_too_large",
            Self::Malformed => "id_token_malformed",
            Self::Encrypted => "id_token_encrypted",
            Self::Critical => "id_token_crit",
            Self::WrongType => "id_token_typ",
            Self::Algorithm => "id_token_alg",
            Self::UnknownKey => "id_token_unknown_key",
            Self::WeakKey => "id_token_weak_key",
            Self::Signature => "id_token_signature",
            Self::MissingClaim { .. } => "id_token_claim_missing",
            Self::ClaimType { .. } => "id_token_claim_type",
            Self::Issuer => "id_token_iss",
            Self::Audience => "id_token_aud",
            Self::ForeignAudience => "id_token_foreign_aud",
            Self::AuthorizedParty => "id_token_azp",
            Self::Expired { .. } => "id_token_expired",
            Self::NotYetValid { .. } => "id_token_not_yet_valid",
            Self::Stale { .. } => "id_token_stale",
            Self::Nonce => "id_token_nonce",
            Self::AccessTokenHash => "id_token_at_hash",
            Self::Subject => "id_token_sub",
        }
    }
}

/// Why a code could not be turned into a person.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RedeemError {
    /// The provider is not there, or not usable.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// No `iss` came with the response, and the provider announces one (RFC 9207 §2.4).
    #[error("the response does not say which issuer it comes from")]
    ResponseIssuerMissing,
    /// The response's `iss` is not our issuer: a mix-up, or an attempt at one (RFC 9207 §2.4).
    #[error("the response comes from another issuer")]
    ResponseIssuer,
    /// A parameter of the response came twice (RFC 6749 §3.1).
    #[error("the response names a parameter twice")]
    ResponseRepeats,
    /// The code is empty or absurdly long; it was not sent.
    #[error("the authorization code cannot be used")]
    Code,
    /// The token endpoint did not accept us: the client id, its secret, or the way of sending them.
    #[error("the provider does not accept our client id and secret")]
    Client,
    /// The token endpoint said no: the code has expired or was used before, mostly.
    #[error("the provider refused the code: {error}")]
    Refused {
        /// The error code of RFC 6749 §5.2.
        error: String,
    },
    /// The token endpoint's answer is not what RFC 6749 §5.1 says.
    #[error("the provider's token answer is malformed")]
    TokenAnswer,
    /// The access token is empty, or holds what no header can carry (RFC 6749 appendix A.12).
    #[error("the provider's access token cannot be sent")]
    AccessToken,
    /// The access token is of a type that we cannot use.
    #[error("the provider's access token is not a bearer token")]
    TokenType,
    /// The token endpoint sent no ID token.
    #[error("the provider sent no ID token")]
    NoIdToken,
    /// The ID token is not believed.
    #[error(transparent)]
    IdToken(#[from] IdTokenError),
    /// Userinfo had to be asked, and its answer cannot be used.
    #[error("the provider's userinfo answer cannot be used")]
    Userinfo,
    /// Userinfo answered a JWT, signed or encrypted (OIDC Core §5.3.2).
    #[error(
        "the provider's userinfo answer is a JWT, which is not supported: register the client for plain JSON"
    )]
    UserinfoJwt,
    /// Userinfo speaks of somebody else than the ID token (OIDC Core §5.3.2).
    #[error("the provider's userinfo speaks of another subject")]
    UserinfoSubject,
    /// The groups are a distributed claim: to be had at another place (OIDC Core §5.6.2).
    #[error(
        "the provider names no groups but a place where to ask for them, which is not supported: have it send fewer"
    )]
    GroupsElsewhere,
    /// More groups than are looked at.
    #[error("the provider names more than {limit} groups")]
    TooManyGroups {
        /// The limit.
        limit: usize,
    },
}

impl RedeemError {
    /// A stable name for logs and metrics.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Provider(error) => error.code(),
            Self::ResponseIssuerMissing => "response_iss_missing",
            Self::ResponseIssuer => "response_iss",
            Self::ResponseRepeats => "response_parameter_twice",
            Self::Code => "code_unusable",
            Self::Client => "client_refused",
            Self::Refused { .. } => "code_refused",
            Self::TokenAnswer => "token_answer_malformed",
            Self::AccessToken => "access_token_unusable",
            Self::TokenType => "token_type",
            Self::NoIdToken => "id_token_missing",
            Self::IdToken(error) => error.code(),
            Self::Userinfo => "userinfo_unusable",
            Self::UserinfoJwt => "userinfo_jwt",
            Self::UserinfoSubject => "userinfo_sub",
            Self::GroupsElsewhere => "groups_elsewhere",
            Self::TooManyGroups { .. } => "too_many_groups",
        }
    }

    /// Whether trying again later may help: the provider was not there, rather than saying no.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Provider(_))
    }
}
