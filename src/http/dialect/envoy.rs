//! Envoy's `ext_authz` over HTTP: the request to us is the original one, its target behind `/verify/envoy`. Method,
//! `Host` and query are the client's own; scheme and address stand in `x-forwarded-proto` and `x-forwarded-for`.
//!
//! `X-Forwarded-{Method,Host,Uri}` and `X-Original-*` may be the client's: none of them is read.

use actix_web::http::StatusCode;
use actix_web::http::header::{COOKIE, HOST, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};

use super::{Description, Dialect, forwarded_for, one};
use crate::domain::dialects;
use crate::domain::forwarded::ForwardedError;
use crate::domain::target::TargetError;

/// What stands before the original target: the `path_prefix` of Envoy's configuration.
pub(in crate::http) const PREFIX: &str = dialects::Dialect::Envoy.path();

static PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Tells Envoy which of the client's headers do not go on to the app.
const REMOVED: HeaderName = HeaderName::from_static("x-envoy-auth-headers-to-remove");

/// At `/verify/envoy` and all below.
pub(in crate::http) struct Envoy;

impl Dialect for Envoy {
    fn describe(request: &HttpRequest) -> Result<Description<'_>, ForwardedError> {
        let headers = request.headers();
        let asked = request.uri();
        // An absolute target has a host of its own, and a spelling of the prefix with escapes is none of Envoy's.
        let target = match asked.path_and_query() {
            Some(target) if asked.authority().is_none() => target.as_str().strip_prefix(PREFIX),
            _ => None,
        };
        Ok(Description {
            method: request.method().as_str(),
            scheme: one(headers, &PROTO, "x-forwarded-proto")?,
            host: one(headers, &HOST, "Host")?,
            target: target.ok_or(TargetError::NotAPath)?,
            clients: forwarded_for(headers)?,
            own_override: None,
        })
    }

    /// Envoy sets a header to what is empty, where an app may take it for somebody without a name; so those go
    /// altogether. So does `Cookie`, when all that was in it was ours.
    fn fit(mut answer: HttpResponse, _refused: Option<&'static str>) -> HttpResponse {
        if answer.status() != StatusCode::OK {
            return answer;
        }
        let headers = answer.headers();
        let empty = headers.iter().filter(|(_, value)| value.is_empty());
        let mut removed: Vec<&str> = empty.map(|(name, _)| name.as_str()).collect();
        if !headers.contains_key(COOKIE) {
            removed.push(COOKIE.as_str());
        }
        // Names of headers are header values too, so this is never left out.
        if let Ok(removed) = HeaderValue::from_str(&removed.join(",")) {
            answer.headers_mut().insert(REMOVED, removed);
        }
        answer
    }
}
