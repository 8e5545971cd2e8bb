//! Health, for orchestrators. Read-only, and on a listener of its own.

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, RETRY_AFTER};
use actix_web::{HttpResponse, web};
use serde_json::json;

use crate::http::Http;
use crate::http::pages;

/// `GET /health/live`: the process runs.
pub(super) async fn live() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header(pages::NO_SNIFFING)
        .json(json!({ "status": "live" }))
}

/// `GET /health/ready`: requests can be decided. Needs the store; not the provider, since whoever is signed in
/// goes on without.
pub(super) async fn ready(http: web::Data<Http>) -> HttpResponse {
    let store = http.gate.sessions.ping().await;
    if let Err(error) = &store {
        tracing::warn!(%error, "not ready");
    }
    let up = |up: bool| if up { "up" } else { "down" };
    let status = if store.is_ok() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let mut response = HttpResponse::build(status);
    response
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header(pages::NO_SNIFFING);
    if store.is_err() {
        response.insert_header((RETRY_AFTER, pages::RETRY_AFTER));
    }
    response.json(json!({
        "status": if store.is_ok() { "ready" } else { "not ready" },
        "store": up(store.is_ok()),
        "provider": up(http.gate.relying_party.is_ready()),
    }))
}

/// Everything else on the listeners that are not for people.
pub(super) async fn not_found() -> HttpResponse {
    HttpResponse::NotFound()
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header(pages::NO_SNIFFING)
        .content_type("text/plain; charset=utf-8")
        .body("There is nothing at this address.\n")
}
