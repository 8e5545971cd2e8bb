//! nginx's `auth_request`: the original request stands in `X-Original-URL` and `X-Original-Method`, the client in
//! `X-Forwarded-For`, all three set by `proxy_set_header`; the client's own headers come along.
//!
//! nginx takes 2xx, 401 and 403 for an answer. Anything else is a 500 to it, and of a 401 or 403 it hands on neither
//! body nor headers, but for what `auth_request_set` puts into variables: of several `Set-Cookie` the first alone. So a
//! redirect is a 401 with `Location` here, every other refusal a 403, and why stands in `Portcullis-Reason`. The
//! paths below `/.portcullis/`, which set several cookies, are answered on the portal's listener.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::StatusCode;
use actix_web::http::header::{HOST, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use actix_web::middleware::Next;
use actix_web::{Error, HttpRequest, HttpResponse};

use super::{Description, Dialect, forwarded_for, one};
use crate::domain::dialects;
use crate::domain::forwarded::ForwardedError;
use crate::domain::host::{Authority, Scheme};
use crate::flows::verify::OwnPaths;
use crate::http::pages::CHALLENGE;

static METHOD: HeaderName = HeaderName::from_static("x-original-method");
static ORIGINAL_URL: HeaderName = HeaderName::from_static(URL_NAME);

/// Where it is asked.
pub(in crate::http) const PREFIX: &str = dialects::Dialect::Nginx.path();

/// The header with the original request's address.
const URL: &str = "X-Original-URL";
const URL_NAME: &str = "x-original-url";

/// Why a request was refused, in one word.
const REASON: HeaderName = HeaderName::from_static("portcullis-reason");

/// At `/verify/nginx`: a subrequest of `auth_request`.
pub(in crate::http) struct Subrequest;

/// At `/.portcullis/` of the portal's listener: the location of nginx that leads there from a protected host. The
/// answer goes to the browser as it is.
///
/// Another proxy may stand before the portal too, and hand on what its clients send as `X-Original-URL`. What it
/// cannot be made to send is a `Host` that it does not serve, so the two have to be one.
pub(in crate::http) struct PortalLocation;

impl Dialect for Subrequest {
    const OWN_PATHS: OwnPaths = OwnPaths::Refused;

    fn describe(request: &HttpRequest) -> Result<Description<'_>, ForwardedError> {
        describe(request)
    }

    fn fit(mut answer: HttpResponse, refused: Option<&'static str>) -> HttpResponse {
        if answer.status() == StatusCode::FOUND {
            *answer.status_mut() = StatusCode::UNAUTHORIZED;
            let challenge = HeaderValue::from_static(CHALLENGE);
            answer.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        *answer.status_mut() = taken(answer.status());
        if let Some(reason) = refused {
            let reason = HeaderValue::from_static(reason);
            answer.headers_mut().insert(REASON, reason);
        }
        answer
    }
}

impl Dialect for PortalLocation {
    const OWN_PATHS: OwnPaths = OwnPaths::Alone;

    fn describe(request: &HttpRequest) -> Result<Description<'_>, ForwardedError> {
        let description = describe(request)?;
        let own = one(request.headers(), &HOST, "Host")?;
        let scheme = Scheme::parse(description.scheme).ok_or(ForwardedError::Scheme)?;
        // An absolute target has a host of its own, and is nothing that nginx sends.
        let plain = request.uri().authority().is_none();
        if plain && Authority::parse(own, scheme)? == Authority::parse(description.host, scheme)? {
            Ok(description)
        } else {
            Err(ForwardedError::OtherHost(URL))
        }
    }
}

/// Marks the listener where nginx asks.
#[derive(Clone, Copy)]
pub(in crate::http) struct AskedHere;

/// The status that nginx takes for `status`.
fn taken(status: StatusCode) -> StatusCode {
    match status {
        StatusCode::OK | StatusCode::UNAUTHORIZED => status,
        _ => StatusCode::FORBIDDEN,
    }
}

fn describe(request: &HttpRequest) -> Result<Description<'_>, ForwardedError> {
    let headers = request.headers();
    let method = one(headers, &METHOD, "X-Original-Method")?;
    let url = one(headers, &ORIGINAL_URL, URL)?;
    let (scheme, host, target) = parts(url).ok_or(ForwardedError::NotAUrl(URL))?;
    Ok(Description {
        method,
        scheme,
        host,
        target,
        clients: forwarded_for(headers)?,
        // It stands in the place of the client's. What nginx hands on to the app is its configuration's to say.
        own_override: Some(URL_NAME),
    })
}

/// Scheme, host and target, each byte for byte: a URL parser would resolve dots and drop what it does not like.
fn parts(url: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let (host, target) = rest.split_at(rest.find('/')?);
    Some((scheme, host, target))
}

/// Middleware: what is answered before a dialect has a say (a head that is too large, a panic, an address where nothing
/// is asked) has a status that nginx takes, where nginx asks.
///
/// # Errors
///
/// None of its own.
pub async fn keep_to_its_statuses(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let asked_here = request.app_data::<AskedHere>().is_some();
    if !(asked_here && request.path().starts_with(PREFIX)) {
        return next.call(request).await;
    }
    match next.call(request).await {
        Ok(mut answer) => {
            let status = taken(answer.status());
            *answer.response_mut().status_mut() = status;
            Ok(answer)
        }
        Err(error) => {
            let mut answer = error.error_response();
            *answer.status_mut() = taken(answer.status());
            Err(InternalError::from_response(error, answer).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip] // the columns are the point
    fn a_url_is_taken_apart_byte_for_byte() {
        let cases = [
            ("https://films.example.net/a?b=/c&d=http://x/", Some(("https", "films.example.net", "/a?b=/c&d=http://x/"))),
            ("https://films.example.net:8443/%2e/../a//b;c", Some(("https", "films.example.net:8443", "/%2e/../a//b;c"))),
            ("http://[::1]:80/",                             Some(("http", "[::1]:80", "/"))),
            ("https://films.example.net?a=/b",               Some(("https", "films.example.net?a=", "/b"))), // no host
            ("https:///a",                                   Some(("https", "", "/a"))), // no host either
            ("https://films.example.net",                    None),
            ("https:/films.example.net/",                    None),
            ("//films.example.net/",                         None),
            ("/a",                                           None),
            ("",                                             None),
        ];
        for (url, expected) in cases {
            assert_eq!(parts(url), expected, "{url}");
        }
    }
}
