//! The one way from a proxy's request to its answer, whatever the dialect: whether the peer may ask, what it asks
//! about, what becomes of that, and how it is told.

use std::time::Instant;

use actix_web::{HttpRequest, HttpResponse, web};

use super::{Dialect, client, read};
use crate::domain::decision::{Decision, Reason};
use crate::domain::forwarded::ForwardedRequest;
use crate::domain::proxies::ClientAddress;
use crate::domain::service::{Posture, Service};
use crate::flows::Gate;
use crate::flows::answer::{Answer, Credentials, Errand, Refusal};
use crate::flows::verify::verify;
use crate::http::cookies::Cookies;
use crate::http::{Http, answers, decision_id};
use crate::telemetry::audit;
use crate::telemetry::metrics::Verdict;

/// A request that a proxy asks about.
pub(in crate::http) async fn check<D: Dialect>(
    request: HttpRequest,
    http: web::Data<Http>,
) -> HttpResponse {
    answer::<D>(&request, &http, None).await
}

/// The same, with a policy that the proxy's own configuration names.
pub(in crate::http) async fn check_policy<D: Dialect>(
    request: HttpRequest,
    http: web::Data<Http>,
    name: web::Path<String>,
) -> HttpResponse {
    answer::<D>(&request, &http, Some(&name)).await
}

/// An answer, and what it counts as.
struct Answered {
    response: HttpResponse,
    verdict: Verdict,
    /// The place of the service, if there is one.
    place: Option<usize>,
}

impl Answered {
    fn nowhere(response: HttpResponse, verdict: Verdict) -> Self {
        Self {
            response,
            verdict,
            place: None,
        }
    }
}

async fn answer<D: Dialect>(
    request: &HttpRequest,
    http: &Http,
    policy: Option<&str>,
) -> HttpResponse {
    let asked = Instant::now();
    let Answered {
        response,
        verdict,
        place,
    } = decide::<D>(request, http, policy).await;
    http.gate.decisions.count(place, verdict, asked.elapsed());
    response
}

async fn decide<D: Dialect>(request: &HttpRequest, http: &Http, policy: Option<&str>) -> Answered {
    let id = decision_id::next();
    if let Err(distrust) = http.trust_peer(request) {
        http.name_peer(&id, distrust);
        let response = D::fit(answers::untrusted(&id), Some("untrusted_peer"));
        return Answered::nowhere(response, Verdict::UNTRUSTED_PEER);
    }
    let headers = request.headers();
    let read = |description| {
        read(
            &description,
            headers,
            &http.trusted_proxies,
            &http.gate.services,
        )
    };
    let forwarded = match D::describe(request).and_then(read) {
        Ok(forwarded) => forwarded,
        Err(error) => {
            // Whoever it was wrote it, so it does not say who it was.
            if http.gate.denials.admit(ClientAddress::Unknown) {
                tracing::warn!(decision = id.as_str(), %error, "refused: the request's description is malformed");
            }
            let page = client::read(headers, None).initiator.is_navigation();
            let response = D::fit(
                answers::malformed(&id, error, page),
                Some("malformed_request"),
            );
            return Answered::nowhere(response, Verdict::MALFORMED);
        }
    };
    let (gate, host) = (&http.gate, &forwarded.authority.host);
    let found = gate.services.find(&forwarded.authority);
    let service = found.ok();
    let scope = gate.cookie_scope_of(host, service);
    let cookies = Cookies::read(headers);
    let credentials = Credentials {
        session: http
            .cookies
            .host_session(&cookies, (host, scope), &gate.keyring),
        flow: http.cookies.flow(&cookies),
        hops: http.cookies.hops(&cookies),
    };
    let (response, verdict) =
        match verify(gate, &forwarded, found, policy, D::OWN_PATHS, &credentials).await {
            Answer::Pass {
                reason,
                service,
                told,
            } => {
                log_pass(&id, &forwarded, service, &reason);
                let response = D::fit(answers::pass(&id, &http.copied, &told, headers), None);
                (response, Verdict::allow(reason.kind()))
            }
            Answer::Redirect {
                errand,
                location,
                cookies,
            } => {
                tracing::debug!(decision = id.as_str(), host = host.as_str(), "sent on");
                let lifetime = gate.sessions.lifetime().absolute;
                let change = |change| {
                    http.cookies
                        .change(change, (host, scope), &gate.keyring, lifetime)
                };
                let cookies: Vec<String> = cookies.iter().map(change).collect();
                let verdict = match errand {
                    Errand::SignIn(reason) => Verdict::challenge(reason),
                    Errand::Enter => Verdict::ENTER,
                    Errand::Logout => Verdict::LOGOUT,
                };
                let response = answers::redirect(&id, &location, &cookies);
                (D::fit(response, None), verdict)
            }
            Answer::Refuse(refusal) => {
                log_refusal(gate, &id, &forwarded, &refusal);
                let code = refusal.decision.reason().code();
                let response = answers::refuse(&id, &forwarded, &refusal);
                (D::fit(response, Some(code)), (&refusal.decision).into())
            }
        };
    Answered {
        response,
        verdict,
        place: service.map(|service| service.place),
    }
}

fn log_pass(id: &str, forwarded: &ForwardedRequest, service: &Service, reason: &Reason<'_>) {
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
        host = forwarded.authority.host.as_str(),
        reason = reason.code(),
        "allowed"
    );
}

fn log_refusal(gate: &Gate, id: &str, forwarded: &ForwardedRequest, refusal: &Refusal<'_>) {
    let (service, identity) = (refusal.service, refusal.identity.as_ref());
    match &refusal.decision {
        Decision::Challenge(reason) => {
            tracing::debug!(
                decision = id,
                host = forwarded.authority.host.as_str(),
                reason = reason.code(),
                "challenged"
            );
        }
        // Strangers come in any number.
        refused if identity.is_some() || gate.denials.admit(forwarded.client) => {
            audit::refused(id, forwarded, refused, service, identity);
        }
        _ => {}
    }
}

/// Any other address on the proxy's listener: the proxy's configuration is wrong, or this is not the proxy.
pub(in crate::http) async fn elsewhere(
    request: HttpRequest,
    http: web::Data<Http>,
) -> HttpResponse {
    let asked = Instant::now();
    let id = decision_id::next();
    let (response, verdict) = match http.trust_peer(&request) {
        Ok(()) => (
            answers::no_such_question(&id, &http.dialects),
            Verdict::NO_SUCH_QUESTION,
        ),
        Err(distrust) => {
            http.name_peer(&id, distrust);
            (answers::untrusted(&id), Verdict::UNTRUSTED_PEER)
        }
    };
    http.gate.decisions.count(None, verdict, asked.elapsed());
    response
}
