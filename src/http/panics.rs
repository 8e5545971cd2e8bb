//! A panic in a handler costs one request a 500. Without this, the connection would close without an
//! answer.

use std::panic::AssertUnwindSafe;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpResponse};
use futures_util::FutureExt;

use crate::http::pages::NO_SNIFFING;
use crate::telemetry::metrics::Metrics;

/// Middleware: answers 500 for a request whose handler panicked, and counts it in the app's [`Metrics`].
///
/// # Errors
///
/// What the handlers within answer as errors, and that 500.
pub async fn answer_panics(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    // What a handler leaves behind half done is its own: what they share is behind locks that bear it.
    let metrics = request.app_data::<Data<Metrics>>().cloned();
    let answer = AssertUnwindSafe(next.call(request)).catch_unwind().await;
    answer.unwrap_or_else(|_panic| {
        if let Some(metrics) = metrics {
            metrics.panicked();
        }
        let response = HttpResponse::InternalServerError()
            .insert_header((CACHE_CONTROL, "no-store"))
            .insert_header(NO_SNIFFING)
            .content_type("text/plain; charset=utf-8")
            .body("Something went wrong on our side; nothing was let through.\n");
        Err(InternalError::from_response("a handler panicked", response).into())
    })
}

/// Has panics logged as one line that says where. Not what was said there: a library may print the value that it
/// tripped over.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "a panic");
    }));
}

#[cfg(test)]
mod tests {
    use actix_web::middleware::from_fn;
    use actix_web::{App, HttpServer, web};

    use super::*;
    use crate::telemetry::metrics::Exposition;

    async fn panic() -> HttpResponse {
        panic!("on purpose")
    }

    #[actix_web::test]
    async fn a_panic_is_a_500_and_the_next_request_is_served() {
        let metrics = Data::new(Metrics::default());
        let counted = metrics.clone();
        let app = move || {
            App::new()
                .app_data(metrics.clone())
                .wrap(from_fn(answer_panics))
                .route("/panic", web::get().to(panic))
                .route("/fine", web::get().to(HttpResponse::Ok))
        };
        let server = HttpServer::new(app)
            .workers(1)
            .bind("127.0.0.1:0")
            .expect("a port");
        let address = server.addrs()[0];
        let server = server.run();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        crate::oidc::install_crypto_provider();
        let client = reqwest::Client::new();
        for _ in 0..3 {
            let url = format!("http://{address}/panic");
            let answer = client.get(url).send().await.expect("an answer");
            assert_eq!(answer.status(), 500);
            assert_eq!(answer.headers()["cache-control"], "no-store");
            let url = format!("http://{address}/fine");
            let answer = client.get(url).send().await.expect("an answer");
            assert_eq!(answer.status(), 200);
        }
        let told = counted.text(Exposition::PlainText, true, true);
        let told = told.expect("a string takes all");
        assert!(told.contains("\nportcullis_panics_total 3\n"), "{told}");
        handle.stop(false).await;
    }
}
