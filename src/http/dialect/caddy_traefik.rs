//! Caddy's `forward_auth` and Traefik's ForwardAuth: the original request stands in
//! `X-Forwarded-{Method,Proto,Host,Uri,For}`, and the client's own headers come along.
//!
//! Any other header that looks like these (`Forwarded`, `X-Real-IP`, `X-Original-*`, spellings with `_` or
//! `.`) may be the client's, and so may the query: none of them is read.

use actix_web::HttpRequest;
use actix_web::http::header::{HeaderMap, HeaderName};

use super::{Description, Dialect, forwarded_for, one};
use crate::domain::forwarded::ForwardedError;

static METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
static PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static URI: HeaderName = HeaderName::from_static("x-forwarded-uri");

/// At `/verify`.
pub(in crate::http) struct CaddyTraefik;

impl Dialect for CaddyTraefik {
    fn describe(request: &HttpRequest) -> Result<Description<'_>, ForwardedError> {
        describe(request.headers())
    }
}

pub(super) fn describe(headers: &HeaderMap) -> Result<Description<'_>, ForwardedError> {
    Ok(Description {
        method: one(headers, &METHOD, "X-Forwarded-Method")?,
        scheme: one(headers, &PROTO, "X-Forwarded-Proto")?,
        host: one(headers, &HOST, "X-Forwarded-Host")?,
        target: one(headers, &URI, "X-Forwarded-Uri")?,
        clients: forwarded_for(headers)?,
        own_override: None,
    })
}
