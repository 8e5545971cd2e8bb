//! The fake issuer's endpoints: HTTP in, HTTP out.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, LOCATION};
use actix_web::{HttpRequest, HttpResponse, rt, web};
use serde_json::{Value, json};
use url::{Url, form_urlencoded};

use super::protocol::{self, Params};
use super::{Answer, Endpoint, Part, Shared};

/// Answers every request, whatever its path.
pub(super) async fn answer(
    request: HttpRequest,
    body: web::Bytes,
    shared: web::Data<Shared>,
) -> HttpResponse {
    let Some(endpoint) = endpoint(request.path(), &shared.issuer) else {
        return HttpResponse::NotFound().finish();
    };
    let endpoint = match parameters(&body).get("grant_type").map(String::as_str) {
        Some("refresh_token") if endpoint == Endpoint::Token => Endpoint::Refresh,
        _ => endpoint,
    };
    let lie = {
        let mut state = shared.state();
        *state.requests.entry(endpoint).or_default() += 1;
        state.behaviour.answers.get(&endpoint).cloned()
    };
    match lie {
        None => {}
        Some(Answer::Status(status)) => {
            let status = StatusCode::from_u16(status).expect("a status");
            return HttpResponse::build(status).body("no");
        }
        Some(Answer::Json(body)) => {
            return HttpResponse::Ok()
                .content_type("application/json")
                .body(body);
        }
        Some(Answer::Jwt(body)) => {
            return HttpResponse::Ok()
                .content_type("Application/JWT; charset=utf-8")
                .body(body);
        }
        Some(Answer::Hang) => rt::time::sleep(Duration::from_secs(60)).await,
        Some(Answer::Slow(delay)) => rt::time::sleep(delay).await,
        Some(Answer::Late(delay)) => {
            let answer = honest_answer(endpoint, &request, &body, &shared);
            rt::time::sleep(delay).await;
            return answer;
        }
        Some(Answer::Page) => {
            return HttpResponse::Ok()
                .content_type("text/html")
                .body("<!doctype html><title>Back soon</title>");
        }
    }
    honest_answer(endpoint, &request, &body, &shared)
}

fn endpoint(path: &str, issuer: &str) -> Option<Endpoint> {
    let prefix = Url::parse(issuer).expect("a URL").path().to_owned();
    Some(match path.strip_prefix(prefix.trim_end_matches('/'))? {
        "/.well-known/openid-configuration" => Endpoint::Discovery,
        "/jwks" => Endpoint::Jwks,
        "/authorize" => Endpoint::Authorize,
        "/token" => Endpoint::Token,
        "/userinfo" => Endpoint::Userinfo,
        "/end-session" => Endpoint::EndSession,
        _ => return None,
    })
}

fn honest_answer(
    endpoint: Endpoint,
    request: &HttpRequest,
    body: &[u8],
    shared: &Shared,
) -> HttpResponse {
    let authorization = request.headers().get(AUTHORIZATION);
    let authorization = authorization.and_then(|value| value.to_str().ok());
    let json = |part, value: Value| {
        let text = shared.state().behaviour.text(part, value.to_string());
        HttpResponse::Ok()
            .content_type("application/json")
            .body(text)
    };
    match endpoint {
        Endpoint::Discovery => {
            let metadata = protocol::metadata(shared, &shared.state());
            json(Part::Metadata, metadata)
        }
        Endpoint::Jwks => {
            let mut jwks = shared.state().keys.jwks();
            (shared.state().behaviour.edit_jwks)(&mut jwks);
            json(Part::Jwks, jwks)
        }
        Endpoint::Authorize => {
            match protocol::authorize(shared, &parameters(request.query_string().as_bytes())) {
                Ok(back) => redirect(back.as_str()),
                Err(why) => HttpResponse::BadRequest().body(why),
            }
        }
        Endpoint::Token | Endpoint::Refresh => {
            match protocol::token(shared, authorization, &parameters(body)) {
                Ok(tokens) => json(Part::TokenAnswer, tokens),
                Err(error) => {
                    // The description repeats the request, as some providers' do.
                    let description = String::from_utf8_lossy(body);
                    let answer = json!({ "error": error, "error_description": description });
                    let refused = error == "invalid_client";
                    let status = if refused {
                        StatusCode::UNAUTHORIZED
                    } else {
                        StatusCode::BAD_REQUEST
                    };
                    HttpResponse::build(status).json(answer)
                }
            }
        }
        Endpoint::Userinfo => match protocol::userinfo(shared, authorization) {
            Some(claims) => json(Part::Userinfo, claims),
            None => HttpResponse::Unauthorized().finish(),
        },
        Endpoint::EndSession => end_session(shared, parameters(request.query_string().as_bytes())),
    }
}

/// Ends the session and sends the browser on (RP-Initiated Logout 1.0 §2, §3).
fn end_session(shared: &Shared, query: Params) -> HttpResponse {
    let next = query.get("post_logout_redirect_uri").cloned();
    let state = query.get("state").cloned();
    shared.state().logged_out = Some(query);
    let next = next.and_then(|next| Url::parse(&next).ok());
    let Some(mut next) = next.filter(|next| next.path().ends_with("/signed-out")) else {
        return HttpResponse::Ok().body("signed out");
    };
    if let Some(state) = state {
        next.query_pairs_mut().append_pair("state", &state);
    }
    redirect(next.as_str())
}

fn redirect(to: &str) -> HttpResponse {
    HttpResponse::Found().insert_header((LOCATION, to)).finish()
}

fn parameters(text: &[u8]) -> Params {
    form_urlencoded::parse(text).into_owned().collect()
}
