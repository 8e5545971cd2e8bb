//! What the relying party asks of the provider: the authorization URL, the code exchange, new tokens and
//! userinfo (OIDC Core §3.1, §12, §5.3; RFC 6749 §4.1, §6; PKCE, RFC 7636).

use std::time::Duration;

use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreAuthenticationFlow, CoreErrorResponseType,
    CoreGenderClaim, CoreJsonWebKey, CoreJsonWebKeySet, CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm, CoreRevocableToken, CoreRevocationErrorResponse,
    CoreTokenIntrospectionResponse, CoreTokenType,
};
use openidconnect::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use openidconnect::{
    AccessToken, AuthType, AuthorizationCode, Client, ClientId, ClientSecret, CsrfToken,
    EmptyAdditionalClaims, EndpointNotSet, EndpointSet, IdToken, IssuerUrl, Nonce,
    OAuth2TokenResponse, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RefreshToken,
    RequestTokenError, Scope, StandardErrorResponse, TokenResponse, http,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use url::Url;

use super::error::{HttpError, ProviderError, RedeemError};
use super::http_client::HttpClient;
use super::id_token::numeric_date;
use super::json::UniqueMembers;
use super::provider::{ClientAuthMethod, Provider};
use super::{AttemptSecrets, AuthorizationRequest};
use crate::domain::authentication::StepUp;
use crate::domain::relying_party::OidcSettings;
use crate::domain::time::Timestamp;

/// Bytes of randomness in `state`, `nonce` and the code verifier.
const RANDOM_BYTES: u32 = 32;

/// The longest code that is sent on.
const MAX_CODE: usize = 8 * 1024;

/// The longest hint that is put into a logout URL: servers and proxies refuse longer request lines,
/// and without a hint the provider merely asks before it ends its session.
const MAX_HINT: usize = 6 * 1024;

static BEARER: CoreTokenType = CoreTokenType::Bearer;

/// The token endpoint's answer, read as leniently as is safe: that `expires_in` is a text, or
/// `token_type` missing, is no reason to refuse a login.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct TokenAnswer {
    access_token: AccessToken,
    token_type: Option<String>,
    id_token: Option<RawToken>,
    #[serde(default, deserialize_with = "text_or_none")]
    refresh_token: Option<RawToken>,
    /// In seconds.
    #[serde(default, deserialize_with = "seconds_or_none")]
    expires_in: Option<u64>,
}

/// A text that is not empty; anything else is as good as none.
fn text_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<RawToken>, D::Error> {
    let found = Value::deserialize(deserializer)?;
    let text = found.as_str().filter(|text| !text.is_empty());
    Ok(text.map(|text| RawToken(text.to_owned())))
}

/// A number, perhaps written as a text, perhaps with a fraction; anything else is as good as none.
fn seconds_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let found = Value::deserialize(deserializer)?;
    let found = match &found {
        Value::String(text) => text.trim().parse().ok().map(|number: u64| number.into()),
        _ => None,
    }
    .unwrap_or(found);
    Ok(numeric_date(&found).map(Timestamp::seconds))
}

/// A token as it came. Debug prints nothing of it.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct RawToken(String);

impl std::fmt::Debug for RawToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RawToken(..)")
    }
}

impl OAuth2TokenResponse for TokenAnswer {
    type TokenType = CoreTokenType;

    fn access_token(&self) -> &AccessToken {
        &self.access_token
    }

    fn token_type(&self) -> &CoreTokenType {
        // `check_access_token` lets nothing else pass.
        &BEARER
    }

    fn expires_in(&self) -> Option<Duration> {
        None
    }

    fn refresh_token(&self) -> Option<&RefreshToken> {
        None
    }

    fn scopes(&self) -> Option<&Vec<Scope>> {
        None
    }
}

type CoreClaimsToken = IdToken<
    EmptyAdditionalClaims,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
>;

impl
    TokenResponse<
        EmptyAdditionalClaims,
        CoreGenderClaim,
        CoreJweContentEncryptionAlgorithm,
        CoreJwsSigningAlgorithm,
    > for TokenAnswer
{
    /// None: the token is taken as it came, and read by [`id_token`](super::id_token).
    fn id_token(&self) -> Option<&CoreClaimsToken> {
        None
    }
}

type OidcClient = Client<
    EmptyAdditionalClaims,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    TokenAnswer,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
    EndpointNotSet,
>;

/// Who we are to the provider, at one moment: both may be replaced while the service runs.
pub(super) struct Credentials {
    pub(super) client_id: String,
    secret: Option<SecretString>,
}

impl Credentials {
    pub(super) fn of(settings: &OidcSettings) -> Self {
        let secret = settings.client_secret.as_ref();
        Self {
            client_id: settings.client_id.with(str::to_owned),
            secret: secret.map(|secret| secret.with(|text| SecretString::from(text))),
        }
    }
}

/// The tokens that came of a code, or of a refresh token. Nothing of them is checked yet.
#[derive(Debug)]
pub(super) struct Granted {
    pub(super) access_token: AccessToken,
    token_type: Option<String>,
    pub(super) id_token: Option<SecretString>,
    pub(super) refresh_token: Option<SecretString>,
    pub(super) expires_in: Option<Duration>,
}

impl From<TokenAnswer> for Granted {
    fn from(answer: TokenAnswer) -> Self {
        let secret = |token: Option<RawToken>| token.map(|RawToken(text)| text.into());
        Self {
            access_token: answer.access_token,
            token_type: answer.token_type,
            id_token: secret(answer.id_token),
            refresh_token: secret(answer.refresh_token),
            expires_in: answer.expires_in.map(Duration::from_secs),
        }
    }
}

impl Granted {
    /// Whether the access token can be used.
    pub(super) fn check_access_token(&self) -> Result<(), RedeemError> {
        // DPoP tokens, say, are bound to a key that we do not have.
        let is_bearer = |name: &String| name.eq_ignore_ascii_case("bearer");
        if !self.token_type.as_ref().is_none_or(is_bearer) {
            return Err(RedeemError::TokenType);
        }
        if !is_sendable(self.access_token.secret()) {
            return Err(RedeemError::AccessToken);
        }
        Ok(())
    }
}

/// Builds an authorization request: `state`, `nonce` and code verifier are new each time.
pub(super) fn authorization_request(
    settings: &OidcSettings,
    issuer: &IssuerUrl,
    provider: &Provider,
    state: &str,
    step_up: &StepUp,
) -> AuthorizationRequest {
    let client_id = settings.client_id.with(str::to_owned);
    let client = oidc_client(client_id, settings, issuer, provider);
    let state = CsrfToken::new(state.to_owned());
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256_len(RANDOM_BYTES);
    let mut request = client
        .authorize_url(
            CoreAuthenticationFlow::AuthorizationCode,
            || state,
            || Nonce::new_random_len(RANDOM_BYTES),
        )
        .set_pkce_challenge(challenge);
    for scope in scopes(settings, provider) {
        request = request.add_scope(Scope::new(scope.to_owned()));
    }
    let asked = step_up_params(step_up, provider);
    for (name, value) in &settings.authorize_params {
        // A parameter that is there twice is an error (RFC 6749 §3.1), and a step-up is worth more than a preference.
        if !asked.iter().any(|(asked, _)| asked == name) {
            request = request.add_extra_param(name, value);
        }
    }
    for (name, value) in asked {
        request = request.add_extra_param(name, value);
    }
    let (url, _state, nonce) = request.url();
    AuthorizationRequest {
        url,
        secrets: AttemptSecrets {
            nonce: nonce.secret().clone(),
            pkce_verifier: verifier.into_secret(),
        },
    }
}

/// What a step-up asks of the provider (OIDC Core §3.1.2.1). With `max_age` the ID token has to say `auth_time`. There is
/// no parameter for `amr`: a sign-in of any kind is asked for then, and its class (`acr`) where the provider has one by
/// the name of the way.
fn step_up_params(step_up: &StepUp, provider: &Provider) -> Vec<(&'static str, String)> {
    let mut params = Vec::new();
    if let Some(age) = step_up.max_age {
        params.push(("max_age", age.as_secs().to_string()));
    }
    if !step_up.methods.is_empty() {
        params.push(("prompt", "login".to_owned()));
        let classes = step_up.methods.iter().map(String::as_str);
        let known: Vec<&str> = classes.filter(|class| provider.lists_acr(class)).collect();
        if !known.is_empty() {
            params.push(("acr_values", known.join(" ")));
        }
    }
    params
}

/// The scopes to ask for, but for `openid`, which `openidconnect` adds by itself.
fn scopes<'a>(
    settings: &'a OidcSettings,
    provider: &Provider,
) -> impl Iterator<Item = &'a str> + use<'a> {
    const OFFLINE: &str = "offline_access";
    const GROUPS: &str = "groups";
    let follow = settings.scopes_follow_metadata;
    let named = settings.scopes.iter().map(String::as_str);
    let offline = follow
        && provider.lists_scope(OFFLINE) == Some(true)
        && !settings.scopes.iter().any(|scope| scope == OFFLINE);
    let no_groups = follow && provider.lists_scope(GROUPS) == Some(false);
    named
        .filter(move |scope| *scope != "openid" && !(no_groups && *scope == GROUPS))
        .chain(offline.then_some(OFFLINE))
}

/// Exchanges `code` for tokens (RFC 6749 §4.1.3).
///
/// # Errors
///
/// When the provider is not there, says no, or answers something that is no token answer, or no access token of use.
pub(super) async fn exchange(
    code: &str,
    pkce_verifier: &str,
    credentials: &Credentials,
    (settings, issuer): (&OidcSettings, &IssuerUrl),
    provider: &Provider,
    http: &HttpClient,
) -> Result<Granted, RedeemError> {
    if code.is_empty() || code.len() > MAX_CODE {
        return Err(RedeemError::Code);
    }
    let client_id = credentials.client_id.clone();
    let client = oidc_client(client_id, settings, issuer, provider);
    let client = authenticated(client, credentials, provider.client_auth);
    let answer = client
        .exchange_code(AuthorizationCode::new(code.to_owned()))
        .set_pkce_verifier(PkceCodeVerifier::new(pkce_verifier.to_owned()))
        .request_async(http)
        .await
        .map_err(from_token_endpoint)?;
    let granted = Granted::from(answer);
    granted.check_access_token()?;
    Ok(granted)
}

/// Exchanges a refresh token for new tokens, of the same scope (RFC 6749 §6). Whatever they are: there may be a new refresh
/// token among them, and the one before of no more use.
///
/// # Errors
///
/// When the provider is not there, says no, or answers something that is no token answer.
pub(super) async fn refresh(
    refresh_token: &str,
    credentials: &Credentials,
    (settings, issuer): (&OidcSettings, &IssuerUrl),
    provider: &Provider,
    http: &HttpClient,
) -> Result<Granted, RedeemError> {
    let client_id = credentials.client_id.clone();
    let client = oidc_client(client_id, settings, issuer, provider);
    let client = authenticated(client, credentials, provider.client_auth);
    let answer = client
        .exchange_refresh_token(&RefreshToken::new(refresh_token.to_owned()))
        .request_async(http)
        .await
        .map_err(from_token_endpoint)?;
    Ok(answer.into())
}

/// Whether a header can carry an access token: visible characters and blanks (RFC 6749 appendix A.12). It goes to
/// userinfo, and to apps that are configured to get it.
fn is_sendable(access_token: &str) -> bool {
    let is_visible = |byte: u8| (b' '..=b'~').contains(&byte);
    !access_token.is_empty() && access_token.bytes().all(is_visible)
}

/// Asks userinfo about the owner of `access_token`. Whether that is who is meant, [`userinfo_subject`] says (OIDC
/// Core §5.3).
///
/// # Errors
///
/// When the endpoint is not there, or its answer is no JSON object. JWTs are not supported.
pub(super) async fn userinfo(
    endpoint: &Url,
    access_token: &AccessToken,
    http: &HttpClient,
) -> Result<Map<String, Value>, RedeemError> {
    // Asked by hand: `openidconnect` panics on an access token that no header can hold, and takes one odd claim that
    // nobody asked for as reason to refuse them all.
    let mut credential = HeaderValue::from_str(&format!("Bearer {}", access_token.secret()))
        .map_err(|_| RedeemError::AccessToken)?;
    credential.set_sensitive(true);
    let request = http::Request::get(endpoint.as_str())
        .header(ACCEPT, "application/json")
        .header(AUTHORIZATION, credential)
        .body(Vec::new())
        .map_err(|_| RedeemError::Userinfo)?;
    let answer = http.send(request).await.map_err(ProviderError::from)?;
    if answer.status() != http::StatusCode::OK {
        return Err(RedeemError::Userinfo);
    }
    if is_jwt(answer.headers().get(CONTENT_TYPE)) {
        return Err(RedeemError::UserinfoJwt);
    }
    UniqueMembers::parse(answer.body()).ok_or(RedeemError::Userinfo)
}

/// Whom userinfo speaks of; `None` where it does not say (OIDC Core §5.3.2).
pub(super) fn userinfo_subject(claims: &Map<String, Value>) -> Option<&str> {
    claims.get("sub").and_then(Value::as_str)
}

/// Whether a content type says that the body is a JWT (OIDC Core §5.3.2).
fn is_jwt(content_type: Option<&HeaderValue>) -> bool {
    let text = content_type.and_then(|value| value.to_str().ok());
    let essence = text.and_then(|text| text.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/jwt"))
}

/// Where the browser ends its session at the provider (RP-Initiated Logout 1.0 §2).
pub(super) fn end_session_url(
    endpoint: &Url,
    settings: &OidcSettings,
    id_token_hint: Option<&SecretString>,
) -> Url {
    let mut url = endpoint.clone();
    let mut query = url.query_pairs_mut();
    let hint = id_token_hint.map(ExposeSecret::expose_secret);
    if let Some(hint) = hint.filter(|hint| hint.len() <= MAX_HINT) {
        query.append_pair("id_token_hint", hint);
    }
    let client_id = settings.client_id.with(str::to_owned);
    query.append_pair("client_id", &client_id);
    query.append_pair(
        "post_logout_redirect_uri",
        settings.post_logout_redirect_uri.as_str(),
    );
    drop(query);
    url
}

fn oidc_client(
    client_id: String,
    settings: &OidcSettings,
    issuer: &IssuerUrl,
    provider: &Provider,
) -> OidcClient {
    // The keys stay with the provider: the crate's own check of ID tokens is not used.
    let keys = CoreJsonWebKeySet::default();
    Client::new(ClientId::new(client_id), issuer.clone(), keys)
        .set_auth_uri(provider.authorization_endpoint.clone())
        .set_token_uri(provider.token_endpoint.clone())
        .set_redirect_uri(RedirectUrl::from_url(settings.redirect_uri.clone()))
}

/// Adds how we authenticate at the token endpoint.
fn authenticated(
    client: OidcClient,
    credentials: &Credentials,
    method: ClientAuthMethod,
) -> OidcClient {
    let secret = credentials.secret.as_ref();
    let secret = secret.map(|secret| ClientSecret::new(secret.expose_secret().to_owned()));
    match (method, secret) {
        (ClientAuthMethod::Basic, Some(secret)) => client
            .set_client_secret(secret)
            .set_auth_type(AuthType::BasicAuth),
        (ClientAuthMethod::Post, Some(secret)) => client
            .set_client_secret(secret)
            .set_auth_type(AuthType::RequestBody),
        (ClientAuthMethod::None, _) | (_, None) => client.set_auth_type(AuthType::RequestBody),
    }
}

/// Takes what may be told out of `openidconnect`'s error: its `Parse` carries the whole body,
/// tokens included, and its `ServerResponse` whatever the provider wished to describe.
fn from_token_endpoint(
    error: RequestTokenError<HttpError, StandardErrorResponse<CoreErrorResponseType>>,
) -> RedeemError {
    match error {
        RequestTokenError::Request(error) => ProviderError::Http(error).into(),
        RequestTokenError::ServerResponse(answer) => match answer.error() {
            CoreErrorResponseType::InvalidClient | CoreErrorResponseType::UnauthorizedClient => {
                RedeemError::Client
            }
            error => RedeemError::Refused {
                error: error_code(error.as_ref()),
            },
        },
        RequestTokenError::Parse(..) | RequestTokenError::Other(_) => RedeemError::TokenAnswer,
    }
}

/// An error code fit for a sentence: those of RFC 6749 and its extensions are short names.
fn error_code(code: &str) -> String {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if !code.is_empty() && code.len() <= 64 && code.bytes().all(is_name) {
        code.to_owned()
    } else {
        "an unreadable error".to_owned()
    }
}
