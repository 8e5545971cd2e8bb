//! New tokens for old ones (RFC 6749 §6, OIDC Core §12), and what they say about their owner.
//!
//! Two steps, so that the new refresh token can be kept before anything else is looked at: most providers know the old
//! one no more.

use std::time::Duration;

use openidconnect::AccessToken;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Map;
use thiserror::Error;

use super::client::{self, Credentials, Granted};
use super::error::{HttpError, IdTokenError, ProviderError, RedeemError};
use super::http_client::Bounds;
use super::id_token::{Expected, ExpectedNonce};
use super::{RelyingParty, claims};
use crate::domain::identity::Identity;
use crate::domain::relying_party::Userinfo;

/// For the token request, all in all. Nobody waits for so long; but an answer that is not waited for may hold the only
/// token that the provider still knows. The lease under which it is asked for is longer.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(20);

/// For what is asked afterwards: newer keys, userinfo.
const CHECK_TIMEOUT: Duration = Duration::from_secs(8);

/// Turns of their own: neither do logins wait for renewals, nor the other way round.
pub(super) const REFRESH_BOUNDS: Bounds = Bounds {
    timeout: REFRESH_TIMEOUT,
    in_flight: 32,
};

/// The errors that say that the grant is gone and that only its owner can give another: the person was disabled, has
/// lost access to us, has ended their session, or has to be asked something (RFC 6749 §5.2 and §4.1.2.1, OIDC Core
/// §3.1.2.6). All others are faults of the configuration, or of the moment.
const GRANT_IS_GONE: [&str; 6] = [
    "invalid_grant",
    "access_denied",
    "login_required",
    "interaction_required",
    "consent_required",
    "account_selection_required",
];

/// Why tokens could not be renewed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RefreshError {
    /// The grant is gone.
    #[error("the provider has ended the grant: {error}")]
    Ended {
        /// Its error code.
        error: String,
    },
    /// The answer is about another person, or from another issuer (OIDC Core §12.2, §5.3.2).
    #[error("the provider's answer is about somebody else")]
    SomebodyElse,
    /// The token endpoint refuses, for a reason that is not the person's.
    #[error("the provider refuses to renew tokens: {error}")]
    Refused {
        /// Its error code.
        error: String,
    },
    /// Everything else: the provider is not there, or its answer is not believed.
    #[error(transparent)]
    Answer(RedeemError),
}

impl RefreshError {
    /// A stable name for logs and metrics.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Ended { .. } => "grant_ended",
            Self::SomebodyElse => "another_subject",
            Self::Refused { .. } => "refresh_refused",
            Self::Answer(error) => error.code(),
        }
    }

    /// Whether somebody has to change the configuration, here or there.
    #[must_use]
    pub fn is_misconfiguration(&self) -> bool {
        matches!(
            self,
            Self::Refused { .. } | Self::Answer(RedeemError::Client)
        )
    }
}

impl From<RedeemError> for RefreshError {
    fn from(error: RedeemError) -> Self {
        match error {
            RedeemError::Refused { error } if GRANT_IS_GONE.contains(&error.as_str()) => {
                Self::Ended { error }
            }
            RedeemError::Refused { error } => Self::Refused { error },
            RedeemError::IdToken(IdTokenError::Issuer) => Self::SomebodyElse,
            other => Self::Answer(other),
        }
    }
}

/// What the token endpoint has answered. Nothing of it is believed yet.
pub struct Refreshed(Granted);

impl Refreshed {
    /// The refresh token from now on; `None` where the one before goes on.
    #[must_use]
    pub fn refresh_token(&self) -> Option<&SecretString> {
        self.0.refresh_token.as_ref()
    }

    /// How long the access token lives, where the provider says so.
    #[must_use]
    pub fn expires_in(&self) -> Option<Duration> {
        self.0.expires_in
    }
}

impl std::fmt::Debug for Refreshed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Refreshed(..)")
    }
}

/// What is believed of it.
#[derive(Debug)]
pub struct Confirmed {
    /// Who it is by now.
    pub identity: Identity,
    /// The provider's name for its session, where it says so.
    pub sid: Option<String>,
    /// The access token.
    pub access_token: SecretString,
    /// The ID token, where there is a new one.
    pub id_token: Option<SecretString>,
}

impl RelyingParty {
    /// Asks for new tokens. `issuer` is who gave the refresh token: nobody else is shown it. Ends within 20 seconds.
    ///
    /// # Errors
    ///
    /// See [`RefreshError`]. Only some of them say something about the grant.
    pub async fn refresh(
        &self,
        refresh_token: &SecretString,
        issuer: &str,
    ) -> Result<Refreshed, RefreshError> {
        if issuer != self.settings.issuer {
            return Err(RefreshError::SomebodyElse);
        }
        let asked = async {
            let provider = self.known_provider().await?;
            let credentials = Credentials::of(&self.settings);
            let refresh_token = refresh_token.expose_secret();
            let (settings, http) = ((&self.settings, &self.issuer), &self.refresh_http);
            client::refresh(refresh_token, &credentials, settings, &provider, http).await
        };
        Ok(Refreshed(self.in_time(REFRESH_TIMEOUT, asked).await?))
    }

    /// Waits until it is known where to ask, as long as [`refresh`](Self::refresh) would: afterwards that one asks at
    /// once.
    ///
    /// # Errors
    ///
    /// When the provider has never been there, and is not now; or when `issuer` is another one.
    pub async fn await_provider(&self, issuer: &str) -> Result<(), RefreshError> {
        if issuer != self.settings.issuer {
            return Err(RefreshError::SomebodyElse);
        }
        let known = async { Ok(self.known_provider().await.map(drop)?) };
        Ok(self.in_time(REFRESH_TIMEOUT, known).await?)
    }

    /// Checks what came, and says who it is by now: `before`, with newer claims. `nonce` is that of the login.
    ///
    /// Where there is no ID token, userinfo is asked; where neither says so, groups and user name stay as they were.
    /// When and how the person signed in is not taken from here: a renewal is no sign-in (OIDC Core §12.2).
    ///
    /// # Errors
    ///
    /// [`SomebodyElse`](RefreshError::SomebodyElse), when it is about another subject or issuer; else whatever keeps it
    /// from being believed.
    pub async fn confirm(
        &self,
        refreshed: &Refreshed,
        before: &Identity,
        nonce: &str,
    ) -> Result<Confirmed, RefreshError> {
        self.in_time(CHECK_TIMEOUT, async {
            Ok(self.confirm_in_time(refreshed, before, nonce).await)
        })
        .await?
    }

    async fn confirm_in_time(
        &self,
        Refreshed(granted): &Refreshed,
        before: &Identity,
        nonce: &str,
    ) -> Result<Confirmed, RefreshError> {
        granted.check_access_token()?;
        let provider = self.known_provider().await.map_err(RedeemError::from)?;
        let access_token = &granted.access_token;
        let told = match &granted.id_token {
            Some(token) => {
                let client_id = self.settings.client_id.with(str::to_owned);
                let expected = Expected {
                    issuer: &self.settings.issuer,
                    client_id: &client_id,
                    nonce: ExpectedNonce::NoneOr(nonce),
                    access_token,
                    now: self.clock.now(),
                };
                let verified = self.verify(token, &expected, &provider).await?;
                if verified.subject != before.subject {
                    return Err(RefreshError::SomebodyElse);
                }
                Some(verified.all)
            }
            None => None,
        };
        let is_wanted = self.settings.userinfo == Userinfo::Always
            || told
                .as_ref()
                .is_none_or(|told| claims::is_incomplete(told, &self.settings));
        let userinfo = match &provider.userinfo_endpoint {
            Some(endpoint) if is_wanted => {
                Some(self.userinfo_of(endpoint, access_token, before).await?)
            }
            _ => None,
        };
        let told = told.unwrap_or_else(Map::new);
        Ok(Confirmed {
            sid: claims::sid(&told),
            identity: claims::renewed(before, &told, userinfo.as_ref(), &self.settings)?,
            access_token: SecretString::from(access_token.secret().as_str()),
            id_token: granted.id_token.clone(),
        })
    }

    async fn userinfo_of(
        &self,
        endpoint: &url::Url,
        access_token: &AccessToken,
        before: &Identity,
    ) -> Result<claims::Claims, RefreshError> {
        let told = client::userinfo(endpoint, access_token, &self.refresh_http).await?;
        match client::userinfo_subject(&told) {
            Some(subject) if subject == before.subject => Ok(told),
            Some(_) => Err(RefreshError::SomebodyElse),
            None => Err(RedeemError::UserinfoSubject.into()),
        }
    }

    async fn in_time<T>(
        &self,
        limit: Duration,
        asked: impl Future<Output = Result<T, RedeemError>>,
    ) -> Result<T, RedeemError> {
        let answered = tokio::time::timeout(limit, asked)
            .await
            .unwrap_or_else(|_| Err(ProviderError::Http(HttpError::TimedOut).into()));
        if let Err(RedeemError::Provider(ProviderError::Http(_))) = &answered {
            self.discovery.suspect();
        }
        answered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip] // the columns are the point
    fn only_the_end_of_the_grant_is_the_end_of_the_session() {
        let refused = |error: &str| RedeemError::Refused { error: error.to_owned() };
        let cases = [
            // answer, code, ends, misconfiguration
            (refused("invalid_grant"),          "grant_ended",      true,  false),
            (refused("access_denied"),          "grant_ended",      true,  false),
            (refused("login_required"),         "grant_ended",      true,  false),
            (refused("interaction_required"),   "grant_ended",      true,  false),
            (refused("consent_required"),       "grant_ended",      true,  false),
            (refused("invalid_request"),        "refresh_refused",  false, true),
            (refused("invalid_scope"),          "refresh_refused",  false, true),
            (refused("unsupported_grant_type"), "refresh_refused",  false, true),
            (refused("server_error"),           "refresh_refused",  false, true),
            (refused("Invalid_Grant"),          "refresh_refused",  false, true),
            // `invalid_client` and `unauthorized_client`.
            (RedeemError::Client,               "client_refused",   false, true),
            (RedeemError::TokenAnswer,          "token_answer_malformed", false, false),
            (RedeemError::IdToken(IdTokenError::Issuer),    "another_subject", true, false),
            (RedeemError::IdToken(IdTokenError::Signature), "id_token_signature", false, false),
            (ProviderError::Http(HttpError::TimedOut).into(), "provider_timeout", false, false),
            (ProviderError::Http(HttpError::ServerError { status: 503 }).into(), "provider_error", false, false),
        ];
        for (error, code, ends, is_misconfiguration) in cases {
            let error = RefreshError::from(error);
            let is_end = matches!(error, RefreshError::Ended { .. } | RefreshError::SomebodyElse);
            assert_eq!((error.code(), is_end), (code, ends), "{error:?}");
            assert_eq!(error.is_misconfiguration(), is_misconfiguration, "{error:?}");
        }
    }
}
