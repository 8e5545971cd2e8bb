//! Caddy's `forward_auth` and Traefik's ForwardAuth: the original request stands in
//! `X-Forwarded-{Method,Proto,Host,Uri,For}`, and the client's own headers come along.
//!
//! Any other header that looks like these (`Forwarded`, `X-Real-IP`, `X-Original-*`, spellings with `_` or
//! `.`) may be the client's, and so may the query: none of them is read.

use actix_web::HttpRequest;
use actix_web::http::header::HeaderMap;

use super::{Description, Dialect, forwarded_for, one};
use crate::domain::forwarded::ForwardedError;

/// At `/verify`.
pub(in crate::http) struct CaddyTraefik;

impl Dialect for CaddyTraefik {
    fn describe(request: &HttpRequest) -> Result<Description<'_>, ForwardedError> {
        describe(request.headers())
    }
}

pub(super) fn describe(headers: &HeaderMap) -> Result<Description<'_>, ForwardedError> {
    Ok(Description {
        method: one(headers, "x-forwarded-method", "X-Forwarded-Method")?,
        scheme: one(headers, "x-forwarded-proto", "X-Forwarded-Proto")?,
        host: one(headers, "x-forwarded-host", "X-Forwarded-Host")?,
        target: one(headers, "x-forwarded-uri", "X-Forwarded-Uri")?,
        clients: forwarded_for(headers)?,
        own_override: None,
    })
}
