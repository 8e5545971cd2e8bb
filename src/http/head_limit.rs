//! A bound on what a request may bring along before anybody looks at it.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::StatusCode;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse};

use crate::http::pages::NO_SNIFFING;

/// The longest head, in bytes: the target and all headers. Browsers and proxies stay well below.
const MAX_HEAD_BYTES: usize = 32 * 1024;

/// Middleware: answers 431 (RFC 6585 §5) for a request whose head is too large.
///
/// # Errors
///
/// What the handlers within answer as errors, and that 431.
pub async fn refuse_large_heads(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let target = request
        .uri()
        .path_and_query()
        .map_or(0, |target| target.as_str().len());
    let headers = request.headers().iter();
    let head: usize = headers
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    if target + head <= MAX_HEAD_BYTES {
        return next.call(request).await;
    }
    let response = HttpResponse::build(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header(NO_SNIFFING)
        .content_type("text/plain; charset=utf-8")
        .body(
            "The request's address, cookies and other headers are larger than 32 KiB together.\n",
        );
    Err(InternalError::from_response("a head that is too large", response).into())
}
