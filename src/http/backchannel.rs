//! `/backchannel-logout`, which the provider calls. It is told no more than whether it worked; why not stands in the log.

use std::cell::OnceCell;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER as RETRY};
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;

use crate::flows::backchannel::{BackchannelError, backchannel_logout};
use crate::http::pages::{NO_SNIFFING, RETRY_AFTER};
use crate::http::{Http, sole_text};

/// The largest body, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// How long a body may take: as long as a head.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

const FORM: &str = "application/x-www-form-urlencoded";

const TOKEN: &str = "logout_token";

/// `POST /backchannel-logout`. Anybody can send something here, so what is refused is counted by address; a good token
/// never is, and no number of bad ones from the same address keeps it out.
pub(super) async fn logout(
    request: HttpRequest,
    body: web::Payload,
    http: web::Data<Http>,
) -> HttpResponse {
    let client = http.portal_client(&request);
    let counted = OnceCell::new();
    let may_fail = || *counted.get_or_init(|| http.logout_limit.admits(client));
    let token = match token(&request, body).await {
        Ok(token) => token,
        Err(error) => {
            if !may_fail() {
                return too_many(&http);
            }
            tracing::warn!(%client, code = "logout_request", "a back-channel logout was refused: {error}");
            return invalid();
        }
    };
    match backchannel_logout(&http.gate, &token, client, may_fail).await {
        Ok(()) => answer(StatusCode::OK).finish(),
        Err(BackchannelError::Store(error)) => {
            tracing::error!(%error, "a back-channel logout could not be recorded");
            unavailable()
        }
        Err(BackchannelError::Token(error)) => {
            // What anybody can bring about at will must not fill the log.
            let code = error.code();
            if may_fail() {
                tracing::warn!(%error, code, %client, "a back-channel logout was refused");
            } else {
                tracing::debug!(%error, code, %client, "a back-channel logout was refused");
            }
            if error.is_unavailable() {
                // For all that is known it is a good one.
                unavailable()
            } else if may_fail() {
                invalid()
            } else {
                too_many(&http)
            }
        }
    }
}

/// The token, which stands in the body once (Back-Channel Logout 1.0 §2.5).
async fn token(request: &HttpRequest, body: web::Payload) -> Result<String, &'static str> {
    let content_type = sole_text(request.headers(), CONTENT_TYPE.as_str()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case(FORM) {
        return Err("it is no form");
    }
    // Addresses are logged by whatever stands between.
    let in_query = url::form_urlencoded::parse(request.query_string().as_bytes());
    if in_query.into_iter().any(|(name, _)| name == TOKEN) {
        return Err("there is a token in the query");
    }
    let length = sole_text(request.headers(), CONTENT_LENGTH.as_str());
    let length = length.and_then(|length| length.parse::<usize>().ok());
    if length.is_some_and(|length| length > MAX_BODY) {
        return Err("its body is too large");
    }
    let body = tokio::time::timeout(BODY_TIMEOUT, body.to_bytes_limited(MAX_BODY)).await;
    let body = body.map_err(|_elapsed| "its body did not come in time")?;
    let body = body.map_err(|_too_large| "its body is too large")?;
    let body = body.map_err(|_broken| "its body did not come whole")?;
    let mut tokens = url::form_urlencoded::parse(&body).filter(|(name, _)| name == TOKEN);
    match (tokens.next(), tokens.next()) {
        (Some((_, token)), None) => Ok(token.into_owned()),
        (None, _) => Err("there is no token in it"),
        (Some(_), Some(_)) => Err("there is more than one token in it"),
    }
}

fn answer(status: StatusCode) -> actix_web::HttpResponseBuilder {
    let mut response = HttpResponse::build(status);
    response.insert_header((CACHE_CONTROL, "no-store"));
    response
}

fn error(status: StatusCode, code: &str) -> HttpResponse {
    let mut response = answer(status);
    response.insert_header(NO_SNIFFING);
    if status != StatusCode::BAD_REQUEST {
        response.insert_header((RETRY, RETRY_AFTER));
    }
    response.json(json!({ "error": code }))
}

/// 400 (§2.8).
fn invalid() -> HttpResponse {
    error(StatusCode::BAD_REQUEST, "invalid_request")
}

/// 503, not 400: the token may be good, and providers that try again do so for this.
fn unavailable() -> HttpResponse {
    error(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable")
}

fn too_many(http: &Http) -> HttpResponse {
    http.gate.metrics.rate_limited("backchannel-logout");
    error(StatusCode::TOO_MANY_REQUESTS, "too_many_requests")
}
