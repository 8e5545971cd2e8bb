//! We as relying party of one OIDC provider: the only folder that names `openidconnect`.
//!
//! Start with [`RelyingParty`]. Flows ask it for an [`AuthorizationRequest`], keep the attempt's
//! secrets, and have the code that comes back [redeemed](RelyingParty::redeem) for a [`SignedIn`].
//! What it is told stands in [`OidcSettings`]; how it learns about the provider, in `discovery`
//! and `provider`; what it asks, in `client`; what it believes, in `id_token` and `claims`.

mod claims;
mod client;
mod discovery;
mod error;
mod fetch;
mod http_client;
mod id_token;
mod json;
mod key_budget;
mod keys;
mod logout_token;
mod provider;
mod refresh;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use openidconnect::IssuerUrl;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use url::Url;

pub use self::error::{HttpError, IdTokenError, ProviderError, RedeemError, SetupError};
pub use self::http_client::install_crypto_provider;
pub use self::logout_token::{LogoutToken, LogoutTokenError};
pub use self::refresh::{Confirmed, RefreshError, Refreshed};

use self::client::Credentials;
use self::discovery::Discovery;
use self::http_client::{Bounds, HttpClient};
use self::id_token::{Expected, ExpectedNonce, VerifiedClaims};
use self::key_budget::Asks;
use self::logout_token::Unverified;
use self::provider::Provider;
use crate::clock::Clock;
use crate::domain::authentication::StepUp;
use crate::domain::identity::Identity;
use crate::domain::relying_party::{OidcSettings, Userinfo};
use crate::domain::time::Timestamp;

/// From the code to the person, all requests together. What is left of ten seconds is for the store.
const REDEEM_TIMEOUT: Duration = Duration::from_millis(8_500);

/// For tokens and userinfo.
const LOGIN_BOUNDS: Bounds = Bounds {
    timeout: Duration::from_secs(7),
    in_flight: 32,
};

/// For metadata and keys, which one task fetches: never behind the logins that a hanging token endpoint holds up.
/// Shorter, so that a provider that hung is found soon after it has recovered.
const DISCOVERY_BOUNDS: Bounds = Bounds {
    timeout: Duration::from_secs(4),
    in_flight: 1,
};

/// Our side of OIDC with one provider.
pub struct RelyingParty {
    settings: OidcSettings,
    issuer: IssuerUrl,
    clock: Arc<dyn Clock>,
    http: HttpClient,
    discovery_http: HttpClient,
    refresh_http: HttpClient,
    discovery: Discovery,
}

/// An authorization request, ready for the browser.
pub struct AuthorizationRequest {
    /// Where to send the browser.
    pub url: Url,
    /// What must be kept until then, in nobody's sight.
    pub secrets: AttemptSecrets,
}

impl fmt::Debug for AuthorizationRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthorizationRequest(..)")
    }
}

/// The secrets of one login attempt. They travel in a sealed cookie; Debug prints nothing of them.
#[derive(Clone, Serialize, Deserialize)]
pub struct AttemptSecrets {
    /// What the ID token must bring back as `nonce`.
    pub nonce: String,
    /// The code verifier of PKCE (RFC 7636 §4.1).
    pub pkce_verifier: String,
}

impl fmt::Debug for AttemptSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AttemptSecrets(..)")
    }
}

/// Somebody who has just signed in.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// Who it is.
    pub identity: Identity,
    /// The ID token, as a hint for logout at the provider.
    pub id_token: SecretString,
    /// The access token.
    pub access_token: SecretString,
    /// The refresh token, where there is one.
    pub refresh_token: Option<SecretString>,
    /// How long the access token lives, where the provider says so.
    pub expires_in: Option<Duration>,
    /// When they last proved who they are; `None` where the provider does not say.
    pub auth_time: Option<Timestamp>,
    /// How they proved it (RFC 8176).
    pub amr: Vec<String>,
    /// The provider's name for its session.
    pub sid: Option<String>,
}

impl RelyingParty {
    /// Sets up the relying party. Asks nobody: the provider may be down.
    ///
    /// # Errors
    ///
    /// When the issuer is no URL, or TLS cannot be set up.
    pub fn new(settings: OidcSettings, clock: Arc<dyn Clock>) -> Result<Arc<Self>, SetupError> {
        let issuer =
            IssuerUrl::new(settings.issuer.clone()).map_err(|_not_a_url| SetupError::Issuer)?;
        let http = HttpClient::new(
            settings.extra_roots_pem.as_deref(),
            settings.allow_http_endpoints,
            LOGIN_BOUNDS,
        )?;
        Ok(Arc::new(Self {
            discovery: Discovery::new(issuer.clone()),
            settings,
            issuer,
            clock,
            discovery_http: http.with_bounds(DISCOVERY_BOUNDS),
            refresh_http: http.with_bounds(refresh::REFRESH_BOUNDS),
            http,
        }))
    }

    /// Keeps the provider's metadata and keys fresh: fetches at once, again after 1 s to 30 s while
    /// it fails, and hourly while all is well. Never returns; ends when dropped.
    pub async fn keep_discovering(self: Arc<Self>) {
        self.discovery
            .run(&self.settings, &self.discovery_http)
            .await;
    }

    /// Whether the provider was there when last tried.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.discovery.is_ready()
    }

    /// Builds an authorization request with `state`, which the response brings back and nobody may be able to
    /// guess; `step_up` says what the sign-in has to be beyond that. Waits for the first discovery up to 5 s; where the provider
    /// is known to be down, has it tried again and gives up within 900 ms.
    ///
    /// # Errors
    ///
    /// When the provider is not known, or was not there when last tried.
    pub async fn authorization_request(
        &self,
        state: &str,
        step_up: &StepUp,
    ) -> Result<AuthorizationRequest, ProviderError> {
        let provider = self.discovery.provider().await?;
        Ok(client::authorization_request(
            &self.settings,
            &self.issuer,
            &provider,
            state,
            step_up,
        ))
    }

    /// Checks where a response claims to come from (`iss`, RFC 9207 §2.4), error responses
    /// included. It must be our issuer, and be there at all where the provider announces it.
    ///
    /// # Errors
    ///
    /// When it comes from elsewhere, does not say, or the provider is not known.
    pub async fn check_response_issuer(&self, iss: Option<&str>) -> Result<(), RedeemError> {
        match iss {
            Some(iss) if iss == self.settings.issuer => Ok(()),
            Some(_) => Err(RedeemError::ResponseIssuer),
            None if self.known_provider().await?.announces_iss => {
                Err(RedeemError::ResponseIssuerMissing)
            }
            None => Ok(()),
        }
    }

    /// Exchanges `code`, checks the ID token in full, and says who it is. `iss` is the parameter
    /// that came with the code, `attempt` what was kept from the request. Ends within 10 s.
    ///
    /// # Errors
    ///
    /// See [`RedeemError`]: whatever is wrong, nobody is signed in.
    pub async fn redeem(
        &self,
        code: &str,
        iss: Option<&str>,
        attempt: &AttemptSecrets,
    ) -> Result<SignedIn, RedeemError> {
        let redeemed =
            tokio::time::timeout(REDEEM_TIMEOUT, self.redeem_in_time(code, iss, attempt))
                .await
                .unwrap_or_else(|_elapsed| Err(ProviderError::Http(HttpError::TimedOut).into()));
        if let Err(RedeemError::Provider(ProviderError::Http(_))) = &redeemed {
            self.discovery.suspect();
        }
        redeemed
    }

    /// Where to end the provider's session (RP-Initiated Logout 1.0 §2); `None` where the provider
    /// offers nothing of the kind, is not known, or is not there. Looks whether it is, for 900 ms at the most.
    pub async fn end_session_url(&self, id_token_hint: Option<&SecretString>) -> Option<Url> {
        let provider = self.discovery.last_known()?;
        let endpoint = provider.end_session_endpoint.as_ref()?;
        if !self.discovery.is_there().await {
            return None;
        }
        Some(client::end_session_url(
            endpoint,
            &self.settings,
            id_token_hint,
        ))
    }

    /// The issuer identifier.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.settings.issuer
    }

    /// Checks a logout token in full, except whether it was used before (Back-Channel Logout 1.0 §2.6). Where no key at
    /// hand fits it, `may_wait` says whether the provider may be asked for newer ones: for all that can be seen,
    /// anybody may have sent it.
    ///
    /// # Errors
    ///
    /// See [`LogoutTokenError`]: whatever is wrong, it ends nothing.
    pub async fn logout_token(
        &self,
        token: &str,
        may_wait: impl FnOnce() -> bool,
    ) -> Result<LogoutToken, LogoutTokenError> {
        let provider = self.discovery.believed();
        let provider = provider.ok_or(ProviderError::NotYetKnown)?;
        let client_id = self.settings.client_id.with(str::to_owned);
        let expected = logout_token::Expected {
            issuer: &self.settings.issuer,
            client_id: &client_id,
            now: self.clock.now(),
        };
        let token = Unverified::read(token, &provider, &expected)?;
        let error = match token.signed_by(&provider) {
            Ok(content) => return Ok(content),
            Err(error) => error,
        };
        if !error.may_need_newer_keys() || !may_wait() {
            return Err(error);
        }
        match self
            .discovery
            .newer_than(&provider, Asks::Suspicion)
            .await?
        {
            Some(newer) => token.signed_by(&newer),
            None => Err(token.without_newer_keys(error)),
        }
    }

    async fn redeem_in_time(
        &self,
        code: &str,
        iss: Option<&str>,
        attempt: &AttemptSecrets,
    ) -> Result<SignedIn, RedeemError> {
        self.check_response_issuer(iss).await?;
        let provider = self.known_provider().await?;
        let credentials = Credentials::of(&self.settings);
        let tokens = client::exchange(
            code,
            &attempt.pkce_verifier,
            &credentials,
            (&self.settings, &self.issuer),
            &provider,
            &self.http,
        )
        .await?;
        let id_token = tokens.id_token.ok_or(RedeemError::NoIdToken)?;
        let expected = Expected {
            issuer: &self.settings.issuer,
            client_id: &credentials.client_id,
            nonce: ExpectedNonce::Exactly(&attempt.nonce),
            access_token: &tokens.access_token,
            now: self.clock.now(),
        };
        let verified = self.verify(&id_token, &expected, &provider).await?;
        let is_wanted = self.settings.userinfo == Userinfo::Always
            || claims::is_incomplete(&verified.all, &self.settings);
        let userinfo = match &provider.userinfo_endpoint {
            Some(endpoint) if is_wanted => {
                let told = client::userinfo(endpoint, &tokens.access_token, &self.http).await?;
                if client::userinfo_subject(&told) != Some(&verified.subject) {
                    return Err(RedeemError::UserinfoSubject);
                }
                Some(told)
            }
            _ => None,
        };
        Ok(SignedIn {
            auth_time: claims::auth_time(&verified.all),
            amr: claims::amr(&verified.all),
            sid: claims::sid(&verified.all),
            identity: claims::identity(
                verified.subject,
                &verified.all,
                userinfo.as_ref(),
                &self.settings,
            )?,
            access_token: SecretString::from(tokens.access_token.secret().as_str()),
            id_token,
            refresh_token: tokens.refresh_token,
            expires_in: tokens.expires_in,
        })
    }

    /// The provider as last known, even if it was not there since: somebody comes from it with a
    /// response, so what stops them should be the answer to that.
    async fn known_provider(&self) -> Result<Arc<Provider>, ProviderError> {
        match self.discovery.believed() {
            Some(provider) => Ok(provider),
            None => self.discovery.provider().await,
        }
    }

    /// Checks the ID token, with newer keys where those at hand do not fit it.
    async fn verify(
        &self,
        token: &SecretString,
        expected: &Expected<'_>,
        provider: &Arc<Provider>,
    ) -> Result<VerifiedClaims, RedeemError> {
        let token = token.expose_secret();
        let error = match id_token::verify(token, provider, expected) {
            Ok(verified) => return Ok(verified),
            Err(error) => error,
        };
        if !id_token::may_need_newer_keys(error) {
            return Err(error.into());
        }
        match self.discovery.newer_than(provider, Asks::Token).await? {
            Some(newer) => Ok(id_token::verify(token, &newer, expected)?),
            None => Err(error.into()),
        }
    }
}

impl fmt::Debug for RelyingParty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelyingParty")
            .field("issuer", &self.settings.issuer)
            .finish_non_exhaustive()
    }
}
