//! Health, for orchestrators. Read-only, and on a listener of its own.

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, RETRY_AFTER};
use actix_web::{HttpResponse, web};
use serde_json::json;

use crate::http::Http;
use crate::http::pages;
use crate::http::stopping::Stopping;

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
    let store = http.gate.sessions.ping().await;
    let is_stopping = stopping.is_some_and(|stopping| stopping.has_begun());
    let is_ready = store.is_ok() && !is_stopping;
    if let Err(error) = &store {
        tracing::warn!(%error, "not ready");
    }
    let up = |up: bool| if up { "up" } else { "down" };
    let status = if is_ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let mut response = HttpResponse::build(status);
    response
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header(pages::NO_SNIFFING);
    if !is_ready {
        response.insert_header((RETRY_AFTER, pages::RETRY_AFTER));
    }
    response.json(json!({
        "status": if is_ready { "ready" } else if is_stopping { "stopping" } else { "not ready" },
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
