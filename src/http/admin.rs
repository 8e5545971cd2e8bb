//! Health, for orchestrators, and metrics, for Prometheus. Read-only, and on a listener of its own.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{ACCEPT, CACHE_CONTROL, HeaderMap, RETRY_AFTER, VARY};
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;
use tokio::time::timeout;

use crate::http::Http;
use crate::http::pages;
use crate::http::stopping::Stopping;
use crate::telemetry::metrics::Exposition;

/// How long a scrape waits to learn whether the store answers. A store that takes longer is not up for anybody who waits
/// at a page, and Prometheus may be told to wait for a second only.
const PING_PATIENCE: Duration = Duration::from_millis(800);

/// `GET /health/live`: the process runs.
pub(super) async fn live() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header(pages::NO_SNIFFING)
        .json(json!({ "status": "live" }))
}

/// `GET /health/ready`: requests can be decided, and will be for a while. Needs the store; not the provider, since whoever
/// is signed in goes on without.
pub(super) async fn ready(
    http: web::Data<Http>,
    stopping: Option<web::Data<Stopping>>,
) -> HttpResponse {
    let provider = up(http.gate.relying_party.is_ready());
    if stopping.is_some_and(|stopping| stopping.has_begun()) {
        // Whoever is to send requests elsewhere learns it at once, also while the store hangs.
        return readiness(
            StatusCode::SERVICE_UNAVAILABLE,
            &json!({ "status": "stopping", "provider": provider }),
        );
    }
    let store = http.gate.sessions.ping().await;
    if let Err(error) = &store {
        tracing::warn!(%error, "not ready");
    }
    let (status, word) = if store.is_ok() {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready")
    };
    let told = json!({ "status": word, "store": up(store.is_ok()), "provider": provider });
    readiness(status, &told)
}

fn up(is_up: bool) -> &'static str {
    if is_up { "up" } else { "down" }
}

fn readiness(status: StatusCode, told: &serde_json::Value) -> HttpResponse {
    let mut response = HttpResponse::build(status);
    response
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header(pages::NO_SNIFFING);
    if status != StatusCode::OK {
        response.insert_header((RETRY_AFTER, pages::RETRY_AFTER));
    }
    response.json(told)
}

/// `GET /metrics`.
pub(super) async fn metrics(request: HttpRequest, http: web::Data<Http>) -> HttpResponse {
    let gate = &http.gate;
    let pinged = timeout(PING_PATIENCE, gate.sessions.ping()).await;
    let store_up = matches!(pinged, Ok(Ok(())));
    let exposition = exposition(request.headers());
    let text = gate
        .metrics
        .text(exposition, store_up, gate.relying_party.is_ready());
    let Ok(text) = text else {
        return HttpResponse::InternalServerError()
            .insert_header((CACHE_CONTROL, "no-store"))
            .finish();
    };
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((VARY, "Accept"))
        .insert_header(pages::NO_SNIFFING)
        .content_type(match exposition {
            Exposition::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Exposition::PlainText => "text/plain; version=0.0.4; charset=utf-8",
        })
        .body(text)
}

/// What Prometheus itself asks for first is taken where it is asked for at all; everybody reads the older one.
fn exposition(headers: &HeaderMap) -> Exposition {
    let mut lines = headers
        .get_all(ACCEPT)
        .filter_map(|line| line.to_str().ok());
    let takes = lines.any(|line| line.split(',').any(takes_openmetrics));
    if takes {
        Exposition::OpenMetrics
    } else {
        Exposition::PlainText
    }
}

/// Whether one entry of `Accept` is OpenMetrics 1.0, or of no version, and not refused (RFC 9110 §12.5.1).
fn takes_openmetrics(entry: &str) -> bool {
    let mut parts = entry.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default();
    kind.eq_ignore_ascii_case("application/openmetrics-text")
        && parts.all(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                "version" => value.trim().trim_matches('"') == "1.0.0",
                "q" => value.trim().parse::<f32>().is_ok_and(|weight| weight > 0.0),
                _ => true,
            }
        })
}

/// Everything else on the listeners that are not for people.
pub(super) async fn not_found() -> HttpResponse {
    HttpResponse::NotFound()
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header(pages::NO_SNIFFING)
        .content_type("text/plain; charset=utf-8")
        .body("There is nothing at this address.\n")
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    #[test]
    fn openmetrics_is_for_who_asks_for_it() {
        #[rustfmt::skip]
        let cases = [
            // Prometheus 2.45 and 3.
            ("application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", true),
            ("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1", true),
            // VictoriaMetrics.
            ("text/plain;version=0.0.4;q=1,*/*;q=0.1", false),
            ("application/openmetrics-text", true),
            ("application/openmetrics-text; version=\"1.0.0\"; charset=utf-8", true),
            ("application/openmetrics-text;version=0.0.1", false),
            ("application/openmetrics-text;version=1.0.0;q=0", false),
            ("application/openmetrics-text;version=1.0.0;q=none", false),
            ("*/*", false),
            ("", false),
        ];
        for (accept, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            let found = exposition(&headers) == Exposition::OpenMetrics;
            assert_eq!(found, expected, "{accept}");
        }
        assert_eq!(exposition(&HeaderMap::new()), Exposition::PlainText);
    }
}
