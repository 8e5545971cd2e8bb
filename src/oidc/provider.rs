//! A provider as it describes itself: endpoints, algorithms and keys (OIDC Discovery 1.0 §3).

use std::sync::Arc;
use std::time::Duration;

use openidconnect::core::{
    CoreAuthDisplay, CoreClaimName, CoreClaimType, CoreClientAuthMethod, CoreGrantType,
    CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm, CoreResponseMode,
    CoreResponseType, CoreSubjectIdentifierType,
};
use openidconnect::{
    AdditionalProviderMetadata, AuthUrl, JsonWebKeySet, ProviderMetadata, Scope, TokenUrl,
};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use url::Url;

use super::error::ProviderError;
use super::http_client::HttpClient;
use super::keys::{Algorithm, ProviderKey};
use crate::domain::relying_party::{ClientAuth, OidcSettings, Userinfo};

/// How long keys are believed after they were fetched. They are fetched hourly, so they are that old only when none could
/// be had for a day.
const BELIEVED_FOR: Duration = Duration::from_secs(24 * 3600);

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

/// Provider metadata, as fetched.
pub(super) type Metadata = ProviderMetadata<
    FurtherMetadata,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    ProviderKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

/// The provider's keys, as fetched. Never changed, only replaced.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) set: JsonWebKeySet<ProviderKey>,
    pub(super) fetched: Instant,
}

impl Keys {
    /// Whether they are still believed at `now`, while no newer ones can be had.
    pub(super) fn are_believed_at(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.fetched) < BELIEVED_FOR
    }
}

/// How we tell the token endpoint who we are (OIDC Core §9), once the metadata are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientAuthMethod {
    Basic,
    Post,
    None,
}

/// What one fetch found: a provider that we can work with. Never changed, only replaced.
#[derive(Debug)]
pub(super) struct Provider {
    pub(super) authorization_endpoint: AuthUrl,
    pub(super) token_endpoint: TokenUrl,
    pub(super) userinfo_endpoint: Option<Url>,
    pub(super) end_session_endpoint: Option<Url>,
    pub(super) client_auth: ClientAuthMethod,
    /// Authorization responses carry `iss` (RFC 9207 §3).
    pub(super) announces_iss: bool,
    /// The scopes that it lists, if it does; it may know more (Discovery §3).
    scopes: Option<Vec<Scope>>,
    /// The classes of authentication (`acr`) that it lists.
    acrs: Vec<String>,
    /// What ID tokens may be signed with: what the provider lists, as far as we accept it.
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) keys: Arc<Keys>,
}

impl Provider {
    /// Takes from `metadata` what the code flow needs.
    ///
    /// # Errors
    ///
    /// When something of that is missing, insecure, or beyond us.
    pub(super) fn new(
        metadata: &Metadata,
        keys: Arc<Keys>,
        settings: &OidcSettings,
        http: &HttpClient,
    ) -> Result<Self, ProviderError> {
        let secure = |url: &Url, endpoint| {
            if http.allows(url) {
                Ok(())
            } else {
                Err(ProviderError::InsecureEndpoint { endpoint })
            }
        };
        let missing = |endpoint| ProviderError::MissingEndpoint { endpoint };
        let authorization_endpoint = metadata.authorization_endpoint().clone();
        secure(authorization_endpoint.url(), "authorization_endpoint")?;
        let token_endpoint = metadata.token_endpoint().cloned();
        let token_endpoint = token_endpoint.ok_or(missing("token_endpoint"))?;
        secure(token_endpoint.url(), "token_endpoint")?;
        let userinfo_endpoint = metadata.userinfo_endpoint().map(|url| url.url().clone());
        match &userinfo_endpoint {
            Some(url) => secure(url, "userinfo_endpoint")?,
            None if settings.userinfo == Userinfo::Always => {
                return Err(missing("userinfo_endpoint"));
            }
            None => {}
        }
        // What has no name here is left out when the list is read.
        let algorithms = metadata.id_token_signing_alg_values_supported().clone();
        if algorithms.is_empty() {
            return Err(ProviderError::NoCommonAlgorithm);
        }
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
            client_auth: client_auth(metadata, settings)?,
            announces_iss: further
                .authorization_response_iss_parameter_supported
                .unwrap_or(false),
            scopes: metadata.scopes_supported().cloned(),
            acrs: acrs(metadata),
            algorithms,
            keys,
        })
    }

    /// Whether `scope` is among those that it lists; `None` where it lists none at all.
    pub(super) fn lists_scope(&self, scope: &str) -> Option<bool> {
        let listed = self.scopes.as_ref()?;
        Some(listed.iter().any(|listed| listed.as_str() == scope))
    }

    /// Whether `acr` is among the classes of authentication that it lists.
    pub(super) fn lists_acr(&self, acr: &str) -> bool {
        self.acrs.iter().any(|listed| listed == acr)
    }
}

fn acrs(metadata: &Metadata) -> Vec<String> {
    let listed = metadata.acr_values_supported();
    listed
        .into_iter()
        .flatten()
        .map(|acr| acr.as_str().to_owned())
        .collect()
}

/// As configured; else the first of Basic, in the body and not at all that the provider lists.
fn client_auth(
    metadata: &Metadata,
    settings: &OidcSettings,
) -> Result<ClientAuthMethod, ProviderError> {
    if settings.client_secret.is_none() {
        return Ok(ClientAuthMethod::None);
    }
    let lists = |method| match metadata.token_endpoint_auth_methods_supported() {
        Some(listed) => listed.contains(&method),
        // "If omitted, the default is client_secret_basic": Discovery §3.
        None => method == CoreClientAuthMethod::ClientSecretBasic,
    };
    match settings.client_auth {
        ClientAuth::Basic => Ok(ClientAuthMethod::Basic),
        ClientAuth::Post => Ok(ClientAuthMethod::Post),
        ClientAuth::None => Ok(ClientAuthMethod::None),
        ClientAuth::Auto if lists(CoreClientAuthMethod::ClientSecretBasic) => {
            Ok(ClientAuthMethod::Basic)
        }
        ClientAuth::Auto if lists(CoreClientAuthMethod::ClientSecretPost) => {
            Ok(ClientAuthMethod::Post)
        }
        ClientAuth::Auto if lists(CoreClientAuthMethod::None) => Ok(ClientAuthMethod::None),
        ClientAuth::Auto => Err(ProviderError::NoCommonClientAuth),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_believed_for_a_day() {
        let keys = Keys {
            set: JsonWebKeySet::default(),
            fetched: Instant::now(),
        };
        let after = |seconds| keys.fetched + Duration::from_secs(seconds);
        #[rustfmt::skip]
        let cases = [(0, true), (3_600, true), (86_399, true), (86_400, false), (1_000_000, false)];
        for (seconds, expected) in cases {
            assert_eq!(
                keys.are_believed_at(after(seconds)),
                expected,
                "{seconds} s"
            );
        }
    }
}
