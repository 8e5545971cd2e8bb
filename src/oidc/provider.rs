//! A provider as it describes itself: endpoints, algorithms and keys (OIDC Discovery 1.0 §3).

use openidconnect::core::{
    CoreAuthDisplay, CoreClaimName, CoreClaimType, CoreClientAuthMethod, CoreGrantType,
    CoreJsonWebKey, CoreJsonWebKeySet, CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm, CoreJwsSigningAlgorithm, CoreResponseMode, CoreResponseType,
    CoreSubjectIdentifierType,
};
use openidconnect::{AdditionalProviderMetadata, AuthUrl, ProviderMetadata, TokenUrl};
use serde::{Deserialize, Serialize};
use url::Url;

use super::error::ProviderError;
use super::http_client::HttpClient;
use super::id_token;

/// Metadata beyond what `openidconnect` knows.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct FurtherMetadata {
    /// RP-Initiated Logout 1.0 §2.1. A text, so that a malformed one spoils logout alone.
    #[serde(default)]
    end_session_endpoint: Option<String>,
    /// RFC 9207 §3.
    #[serde(default)]
    authorization_response_iss_parameter_supported: Option<bool>,
}

impl AdditionalProviderMetadata for FurtherMetadata {}

/// Provider metadata and keys, as fetched.
pub(super) type Metadata = ProviderMetadata<
    FurtherMetadata,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

/// What one fetch found: a provider that we can work with. Never changed, only replaced.
#[derive(Debug)]
pub(super) struct Provider {
    pub(super) authorization_endpoint: AuthUrl,
    pub(super) token_endpoint: TokenUrl,
    pub(super) userinfo_endpoint: Option<Url>,
    pub(super) end_session_endpoint: Option<Url>,
    /// Ways to authenticate at the token endpoint; what a missing list means is filled in.
    pub(super) client_auth_methods: Vec<CoreClientAuthMethod>,
    /// Authorization responses carry `iss` (RFC 9207 §3).
    pub(super) announces_iss: bool,
    /// `offline_access` is among the scopes.
    pub(super) offers_offline_access: bool,
    /// What ID tokens may be signed with: what the provider lists, as far as we accept it.
    pub(super) algorithms: Vec<CoreJwsSigningAlgorithm>,
    pub(super) keys: CoreJsonWebKeySet,
}

impl Provider {
    /// Takes from `metadata` what the code flow needs.
    ///
    /// # Errors
    ///
    /// When something of that is missing, insecure, or beyond us.
    pub(super) fn from_metadata(
        metadata: &Metadata,
        http: &HttpClient,
    ) -> Result<Self, ProviderError> {
        let secure = |url: &Url, endpoint| {
            if http.allows(url) {
                Ok(())
            } else {
                Err(ProviderError::InsecureEndpoint { endpoint })
            }
        };
        let authorization_endpoint = metadata.authorization_endpoint().clone();
        secure(authorization_endpoint.url(), "authorization_endpoint")?;
        let token_endpoint = metadata.token_endpoint().cloned();
        let token_endpoint = token_endpoint.ok_or(ProviderError::MissingEndpoint {
            endpoint: "token_endpoint",
        })?;
        secure(token_endpoint.url(), "token_endpoint")?;
        let userinfo_endpoint = metadata.userinfo_endpoint().map(|url| url.url().clone());
        if let Some(url) = &userinfo_endpoint {
            secure(url, "userinfo_endpoint")?;
        }
        let algorithms: Vec<_> = metadata
            .id_token_signing_alg_values_supported()
            .iter()
            .filter(|algorithm| id_token::is_acceptable(algorithm))
            .cloned()
            .collect();
        if algorithms.is_empty() {
            return Err(ProviderError::NoCommonAlgorithm);
        }
        let client_auth_methods = metadata.token_endpoint_auth_methods_supported().cloned();
        let further = metadata.additional_metadata();
        Ok(Self {
            authorization_endpoint,
            token_endpoint,
            userinfo_endpoint,
            end_session_endpoint: further
                .end_session_endpoint
                .as_deref()
                .and_then(|text| Url::parse(text).ok())
                .filter(|url| http.allows(url)),
            // "If omitted, the default is client_secret_basic": Discovery §3.
            client_auth_methods: client_auth_methods
                .unwrap_or_else(|| vec![CoreClientAuthMethod::ClientSecretBasic]),
            announces_iss: further
                .authorization_response_iss_parameter_supported
                .unwrap_or(false),
            offers_offline_access: metadata.scopes_supported().is_some_and(|scopes| {
                scopes
                    .iter()
                    .any(|scope| scope.as_str() == "offline_access")
            }),
            algorithms,
            keys: metadata.jwks().clone(),
        })
    }
}
