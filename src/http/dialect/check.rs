//! The one way from a proxy's request to its answer, whatever the dialect: whether the peer may ask, what it asks
//! about, what becomes of that, and how it is told.

use actix_web::{HttpRequest, HttpResponse, web};

use super::{Dialect, client, read};
use crate::domain::decision::Decision;
use crate::domain::service::Posture;
use crate::flows::answer::{Answer, Credentials};
use crate::flows::verify::verify;
use crate::http::cookies::Cookies;
use crate::http::{Http, answers, decision_id};
use crate::telemetry::audit;

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

async fn answer<D: Dialect>(
    request: &HttpRequest,
    http: &Http,
    policy: Option<&str>,
) -> HttpResponse {
    let id = decision_id::next();
    if let Err(distrust) = http.trust_peer(request) {
        http.name_peer(&id, distrust);
        return D::fit(answers::untrusted(&id), Some("untrusted_peer"));
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
            tracing::warn!(decision = id.as_str(), %error, "refused: the request's description is malformed");
            let page = client::initiator(headers).is_navigation();
            return D::fit(
                answers::malformed(&id, error, page),
                Some("malformed_request"),
            );
        }
    };
    let (gate, host) = (&http.gate, &forwarded.authority.host);
    let scope = gate.cookie_scope(&forwarded.authority);
    let cookies = Cookies::read(headers);
    let credentials = Credentials {
        session: http
            .cookies
            .host_session(&cookies, (host, scope), &gate.keyring),
        flow: http.cookies.flow(&cookies),
        hops: http.cookies.hops(&cookies),
    };
    match verify(gate, &forwarded, policy, D::OWN_PATHS, &credentials).await {
        Answer::Pass {
            reason,
            service,
            told,
        } => {
            if service.posture == Posture::Passthrough {
                tracing::info!(
                    decision = id.as_str(),
                    service = service.name,
                    client = %forwarded.client,
                    reason = reason.code(),
                    "passed through"
                );
            }
            tracing::debug!(
                decision = id.as_str(),
                host = host.as_str(),
                reason = reason.code(),
                "allowed"
            );
            D::fit(answers::pass(&id, &http.copied, &told, headers), None)
        }
        Answer::Redirect { location, cookies } => {
            tracing::debug!(decision = id.as_str(), host = host.as_str(), "sent on");
            let lifetime = gate.sessions.lifetime().absolute;
            let change = |change| {
                http.cookies
                    .change(change, (host, scope), &gate.keyring, lifetime)
            };
            let cookies: Vec<String> = cookies.iter().map(change).collect();
            D::fit(answers::redirect(&id, &location, &cookies), None)
        }
        Answer::Refuse(refusal) => {
            let (service, identity) = (refusal.service, refusal.identity.as_ref());
            match &refusal.decision {
                Decision::Challenge(reason) => {
                    tracing::debug!(
                        decision = id.as_str(),
                        host = host.as_str(),
                        reason = reason.code(),
                        "challenged"
                    );
                }
                refused => audit::refused(&id, &forwarded, refused, service, identity),
            }
            let code = refusal.decision.reason().code();
            D::fit(answers::refuse(&id, &forwarded, &refusal), Some(code))
        }
    }
}

/// Any other address on the proxy's listener: the proxy's configuration is wrong, or this is not the proxy.
pub(in crate::http) async fn elsewhere(
    request: HttpRequest,
    http: web::Data<Http>,
) -> HttpResponse {
    let id = decision_id::next();
    match http.trust_peer(&request) {
        Ok(()) => answers::no_such_question(&id, &http.dialects),
        Err(distrust) => {
            http.name_peer(&id, distrust);
            answers::untrusted(&id)
        }
    }
}
