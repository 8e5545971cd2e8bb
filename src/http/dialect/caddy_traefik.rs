//! Caddy's `forward_auth` and Traefik's ForwardAuth: the original request stands in
//! `X-Forwarded-{Method,Proto,Host,Uri,For}`, and the client's own headers come along.
//!
//! Any other header that looks like these (`Forwarded`, `X-Real-IP`, `X-Original-*`, spellings with `_` or
//! `.`) may be the client's, and so may the query: none of them is read.

use actix_web::http::header::{ACCEPT, HeaderMap};
use actix_web::{HttpRequest, HttpResponse, web};

use crate::domain::decision::Decision;
use crate::domain::forwarded::{ForwardedError, ForwardedRequest};
use crate::domain::navigation::Initiator;
use crate::domain::proxies::TrustedProxies;
use crate::domain::service::Posture;
use crate::domain::service_table::ServiceTable;
use crate::flows::answer::{Answer, Credentials};
use crate::flows::verify::verify;
use crate::http::cookies::Cookies;
use crate::http::{Http, answers, decision_id, sole_text, sole_value};
use crate::telemetry::audit;

/// Headers by which some apps let a client choose another method than it used.
const METHOD_OVERRIDES: [&str; 3] = [
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
];

/// Whether one of them is there, in any spelling that an app may take for it.
fn overrides_method(headers: &HeaderMap) -> bool {
    let mut names = headers.keys();
    names.any(|name| {
        METHOD_OVERRIDES
            .iter()
            .any(|known| is_spelling_of(name.as_str(), known))
    })
}

/// Whether some apps take the header `name` for `known`: they read `_` and `.` as `-`. Both in lower case.
fn is_spelling_of(name: &str, known: &str) -> bool {
    let dashed = |byte: u8| {
        if matches!(byte, b'_' | b'.') {
            b'-'
        } else {
            byte
        }
    };
    name.len() == known.len() && name.bytes().map(dashed).eq(known.bytes().map(dashed))
}

/// `/verify`.
pub(in crate::http) async fn check(request: HttpRequest, http: web::Data<Http>) -> HttpResponse {
    answer(&request, &http, None).await
}

/// `/verify/policy/{name}`.
pub(in crate::http) async fn check_policy(
    request: HttpRequest,
    http: web::Data<Http>,
    name: web::Path<String>,
) -> HttpResponse {
    answer(&request, &http, Some(&name)).await
}

async fn answer(request: &HttpRequest, http: &Http, policy: Option<&str>) -> HttpResponse {
    let id = decision_id::next();
    if let Err(distrust) = http.trust_peer(request) {
        http.name_peer(&id, distrust);
        return answers::untrusted(&id);
    }
    let forwarded = match read(
        request.headers(),
        &http.trusted_proxies,
        &http.gate.services,
    ) {
        Ok(forwarded) => forwarded,
        Err(error) => {
            tracing::warn!(decision = id, %error, "refused: the request's description is malformed");
            let page = initiator(request.headers()).is_navigation();
            return answers::malformed(&id, error, page);
        }
    };
    let (gate, host) = (&http.gate, &forwarded.authority.host);
    let scope = gate.cookie_scope(&forwarded.authority);
    let cookies = Cookies::read(request.headers());
    let credentials = Credentials {
        session: http
            .cookies
            .host_session(&cookies, (host, scope), &gate.keyring),
        flow: http.cookies.flow(&cookies),
        hops: http.cookies.hops(&cookies),
    };
    match verify(gate, &forwarded, policy, &credentials).await {
        Answer::Pass {
            reason,
            service,
            headers,
        } => {
            if service.posture == Posture::Passthrough {
                tracing::info!(
                    decision = id,
                    service = service.name,
                    client = %forwarded.client,
                    reason = reason.code(),
                    "passed through"
                );
            }
            tracing::debug!(
                decision = id,
                host = host.as_str(),
                reason = reason.code(),
                "allowed"
            );
            answers::pass(&id, &headers, request.headers())
        }
        Answer::Redirect { location, cookies } => {
            tracing::debug!(decision = id, host = host.as_str(), "sent on");
            let lifetime = gate.sessions.lifetime().absolute;
            let change = |change| {
                http.cookies
                    .change(change, (host, scope), &gate.keyring, lifetime)
            };
            let cookies: Vec<String> = cookies.iter().map(change).collect();
            answers::redirect(&id, &location, &cookies)
        }
        Answer::Refuse(refusal) => {
            let (service, identity) = (refusal.service, refusal.identity.as_ref());
            match &refusal.decision {
                Decision::Challenge(reason) => {
                    tracing::debug!(
                        decision = id,
                        host = host.as_str(),
                        reason = reason.code(),
                        "challenged"
                    );
                }
                refused => audit::refused(&id, &forwarded, refused, service, identity),
            }
            answers::refuse(&id, &forwarded, &refusal)
        }
    }
}

/// The original request. What is missing, doubled or malformed is an error: falling back to another header
/// would be falling back to the client's.
///
/// # Errors
///
/// [`ForwardedError`], for the first part that is so.
pub(crate) fn read(
    headers: &HeaderMap,
    trusted_proxies: &TrustedProxies,
    services: &ServiceTable,
) -> Result<ForwardedRequest, ForwardedError> {
    let method = one(headers, "x-forwarded-method", "X-Forwarded-Method")?;
    let scheme = one(headers, "x-forwarded-proto", "X-Forwarded-Proto")?;
    let host = one(headers, "x-forwarded-host", "X-Forwarded-Host")?;
    let target = one(headers, "x-forwarded-uri", "X-Forwarded-Uri")?;
    let mut clients = Vec::new();
    for line in headers.get_all("x-forwarded-for") {
        clients.push(
            line.to_str()
                .map_err(|_| ForwardedError::NotText("X-Forwarded-For"))?,
        );
    }
    if clients.is_empty() {
        return Err(ForwardedError::Missing("X-Forwarded-For"));
    }
    let client = trusted_proxies.client_address(clients.into_iter());
    let overrides_method = overrides_method(headers);
    let initiator = initiator(headers);
    let parsed = ForwardedRequest::parse(
        method,
        scheme,
        host,
        target,
        client,
        initiator,
        overrides_method,
    );
    let mut request = parsed?;
    // One that came twice says nothing, so it covers nothing.
    if headers.contains_key("portcullis-copy") {
        let list = sole_text(headers, "portcullis-copy").unwrap_or_default();
        request.copy_list = Some(list.to_owned());
    }
    for name in services.asked_headers() {
        let spelt = headers
            .keys()
            .filter(|found| is_spelling_of(found.as_str(), name))
            .count();
        if spelt > 0 {
            let value = sole_value(headers, name).filter(|_| spelt == 1);
            request
                .asked_headers
                .push((name.clone(), value.map(<[u8]>::to_vec)));
        }
    }
    Ok(request)
}

fn one<'a>(
    headers: &'a HeaderMap,
    name: &str,
    shown: &'static str,
) -> Result<&'a str, ForwardedError> {
    if !headers.contains_key(name) {
        return Err(ForwardedError::Missing(shown));
    }
    let value = sole_value(headers, name).ok_or(ForwardedError::Repeated(shown))?;
    match std::str::from_utf8(value) {
        Ok(value) if value.is_ascii() => Ok(value),
        _ => Err(ForwardedError::NotText(shown)),
    }
}

/// What the client was doing. A header that came twice says nothing a page could be started by.
fn initiator(headers: &HeaderMap) -> Initiator {
    let text = |name: &str| {
        let value = headers.contains_key(name).then(|| sole_text(headers, name));
        value.map(|value| value.unwrap_or("repeated").to_owned())
    };
    let html = |accept: &str| {
        let mut types = accept.split(',');
        types.any(|one| {
            one.split(';')
                .next()
                .is_some_and(|kind| kind.trim() == "text/html")
        })
    };
    let has = |name: &str| headers.contains_key(name);
    Initiator {
        origin: text("origin"),
        asks_for_method: has("access-control-request-method"),
        fetch_mode: text("sec-fetch-mode"),
        fetch_dest: text("sec-fetch-dest"),
        fetch_site: text("sec-fetch-site"),
        speculative: has("sec-purpose") || has("purpose") || has("x-moz"),
        accepts_html: headers
            .get_all(ACCEPT)
            .filter_map(|line| line.to_str().ok())
            .any(html),
        scripted: has("x-requested-with"),
        // Traefik drops Upgrade itself, and leaves these.
        upgrade: has("upgrade") || has("sec-websocket-key") || has("sec-websocket-version"),
    }
}

/// Any other address on the proxy's listener: the proxy's configuration is wrong, or this is not the proxy.
pub(in crate::http) async fn elsewhere(
    request: HttpRequest,
    http: web::Data<Http>,
) -> HttpResponse {
    let id = decision_id::next();
    match http.trust_peer(&request) {
        Ok(()) => answers::no_such_question(&id),
        Err(distrust) => {
            http.name_peer(&id, distrust);
            answers::untrusted(&id)
        }
    }
}
