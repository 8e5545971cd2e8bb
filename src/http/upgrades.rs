//! Requests that want another protocol on their connection. None is spoken here, but bytes of it may lie behind the
//! request already, and must not be taken for the next one.

use std::cell::Cell;

use actix_web::body::MessageBody;
use actix_web::dev::{Extensions, ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::header::{CACHE_CONTROL, UPGRADE};
use actix_web::http::{ConnectionType, Method};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpResponse};

use crate::http::pages::NO_SNIFFING;
use crate::http::stopping::Stopping;

/// Whether a connection has had its last request.
#[derive(Default)]
struct Ended(Cell<bool>);

/// Has a new connection remember when it has ended.
pub fn remember_ends(data: &mut Extensions) {
    data.insert(Ended::default());
}

/// Middleware: whoever asks for another protocol (RFC 9110 §7.8), or for a tunnel (§9.3.6), gets a plain answer, and then
/// the connection ends. So do all connections when the service is about to stop.
///
/// actix has read ahead by then, and goes on with what looked like requests, whatever the answer says of the connection.
/// So each of those is refused before anybody looks at it.
///
/// # Errors
///
/// What the handlers within answer as errors, and that refusal.
pub async fn close_after_upgrades(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let ended = request.conn_data::<Ended>();
    if ended.is_some_and(|ended| ended.0.get()) {
        let mut refusal = HttpResponse::BadRequest()
            .insert_header((CACHE_CONTROL, "no-store"))
            .insert_header(NO_SNIFFING)
            .content_type("text/plain; charset=utf-8")
            .body("The request before this one was the last of its connection.\n");
        close(&mut refusal);
        return Err(InternalError::from_response("a request after the last", refusal).into());
    }
    let wanted = request.headers().contains_key(UPGRADE) || request.method() == Method::CONNECT;
    if wanted && let Some(ended) = ended {
        ended.0.set(true);
    }
    let stopping = request.app_data::<Data<Stopping>>();
    let ends = wanted || stopping.is_some_and(|stopping| stopping.has_begun());
    match next.call(request).await {
        Ok(mut answer) => {
            if ends {
                close(answer.response_mut());
            }
            Ok(answer)
        }
        Err(error) if ends => {
            let mut answer = error.error_response();
            close(&mut answer);
            Err(InternalError::from_response(error, answer).into())
        }
        Err(error) => Err(error),
    }
}

fn close<B>(answer: &mut HttpResponse<B>) {
    answer.head_mut().set_connection_type(ConnectionType::Close);
}
