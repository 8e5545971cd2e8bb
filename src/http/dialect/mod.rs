//! How proxies ask, one file a dialect. Each reads only its own headers, and no other spelling of them.
//!
//! A dialect turns a proxy's request into a description, and an answer into what its proxy takes. What lies between
//! is [`check`]'s, and the same for all.

use std::slice::Iter;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};

use crate::domain::forwarded::{ForwardedError, ForwardedRequest};
use crate::domain::proxies::TrustedProxies;
use crate::domain::service_table::ServiceTable;
use crate::flows::verify::OwnPaths;

pub(super) mod caddy_traefik;
pub(super) mod check;
mod client;
pub(super) mod envoy;
pub(super) mod nginx;

static FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// How one kind of proxy asks.
pub(super) trait Dialect {
    /// What becomes of paths below `/.portcullis/`.
    const OWN_PATHS: OwnPaths = OwnPaths::Answered;

    /// The proxy's description of the original request.
    ///
    /// # Errors
    ///
    /// [`ForwardedError`] for what is missing, doubled or malformed: falling back to another header would be falling
    /// back to the client's.
    fn describe(request: &HttpRequest) -> Result<Description<'_>, ForwardedError>;

    /// Puts an answer into the form that the proxy takes. `_refused` is the word for the reason, where it is a refusal.
    fn fit(answer: HttpResponse, _refused: Option<&'static str>) -> HttpResponse {
        answer
    }
}

/// The original request in the proxy's words.
pub(super) struct Description<'r> {
    method: &'r str,
    scheme: &'r str,
    host: &'r str,
    target: &'r str,
    /// The lines of `X-Forwarded-For` in the order received; never none, and all of them text.
    clients: Iter<'r, HeaderValue>,
    /// A header of the proxy's own, in lower case, by which an app might let a client choose the path.
    own_override: Option<&'static str>,
}

/// The original request as Caddy and Traefik describe it.
///
/// # Errors
///
/// [`ForwardedError`], for the first part that is missing, doubled or malformed.
pub(crate) fn read_forwarded(
    headers: &HeaderMap,
    trusted_proxies: &TrustedProxies,
    services: &ServiceTable,
) -> Result<ForwardedRequest, ForwardedError> {
    let description = caddy_traefik::describe(headers)?;
    read(&description, headers, trusted_proxies, services)
}

/// The original request: what the proxy says of it, and what the client's own `headers` say.
fn read(
    description: &Description<'_>,
    headers: &HeaderMap,
    trusted_proxies: &TrustedProxies,
    services: &ServiceTable,
) -> Result<ForwardedRequest, ForwardedError> {
    let said = client::read(headers, description.own_override);
    // Each line was found to be text; one that were not would be no address.
    let clients = description.clients.clone();
    let clients = clients.map(|line| line.to_str().unwrap_or_default());
    let mut request = ForwardedRequest::parse(
        description.method,
        description.scheme,
        description.host,
        description.target,
        trusted_proxies.client_address(clients),
        said.initiator,
        said.overrides_method,
    )?;
    request.overrides_path = said.overrides_path;
    request.copy_list = said.copy_list;
    request.asked_headers = client::asked_headers(headers, services.asked_headers());
    Ok(request)
}

/// The value of the proxy's header `shown`, which is `name`.
///
/// # Errors
///
/// [`ForwardedError`], unless it came once, in ASCII.
fn one<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    shown: &'static str,
) -> Result<&'a str, ForwardedError> {
    let mut values = headers.get_all(name);
    let value = values.next().ok_or(ForwardedError::Missing(shown))?;
    if values.next().is_some() {
        return Err(ForwardedError::Repeated(shown));
    }
    match std::str::from_utf8(value.as_bytes()) {
        Ok(value) if value.is_ascii() => Ok(value),
        _ => Err(ForwardedError::NotText(shown)),
    }
}

/// The lines of `X-Forwarded-For`, which may be several.
///
/// # Errors
///
/// [`ForwardedError`], when there is none, or one is not text.
fn forwarded_for(headers: &HeaderMap) -> Result<Iter<'_, HeaderValue>, ForwardedError> {
    const SHOWN: &str = "X-Forwarded-For";
    let lines = headers.get_all(&FORWARDED_FOR);
    if lines.clone().any(|line| line.to_str().is_err()) {
        return Err(ForwardedError::NotText(SHOWN));
    }
    if lines.as_slice().is_empty() {
        return Err(ForwardedError::Missing(SHOWN));
    }
    Ok(lines)
}
