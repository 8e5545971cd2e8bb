//! The portal's front page, and `/whoami`.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CACHE_CONTROL, HeaderValue, WWW_AUTHENTICATE};
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;

use crate::domain::proxies::ClientAddress;
use crate::domain::service::{Service, ServicePolicy};
use crate::domain::service_host::HostPattern;
use crate::domain::session::Session;
use crate::flows::Gate;
use crate::http::Http;
use crate::http::answers::display_name;
use crate::http::cookies::Cookies;
use crate::http::pages::{self, App, Page};
use crate::store::StoreError;
use crate::store::session_cache::Known;

/// The session that the portal's cookie names, if it lives.
pub(super) async fn session_of(
    request: &HttpRequest,
    http: &Http,
) -> Result<Option<Arc<Known>>, StoreError> {
    let gate = &http.gate;
    let cookies = Cookies::read(request.headers());
    let portal = &gate.services.portal().host;
    match http.cookies.portal_session(&cookies, portal, &gate.keyring) {
        Some(id) => gate.session(&id).await,
        None => Ok(None),
    }
}

/// `GET /`: who you are, and which apps you may open.
pub(super) async fn front(request: HttpRequest, http: web::Data<Http>) -> HttpResponse {
    match session_of(&request, &http).await {
        Ok(Some(session)) => {
            let apps = apps_for(&http.gate, &session, http.portal_client(&request));
            let page = Page::new(format!("Hello, {}", display_name(&session.identity)));
            let page = if apps.is_empty() {
                page.line("There are no apps that you may open. Whoever runs this can put you in a group.")
            } else {
                page.line("These are the apps that you may open.")
            };
            page.apps(apps)
                .button("Sign out", http.gate.portal_url("/logout"))
                .respond(StatusCode::OK)
        }
        Ok(None) => Page::new("You are not signed in")
            .link("Sign in", http.gate.portal_url("/login"))
            .respond(StatusCode::OK),
        Err(error) => {
            tracing::debug!(%error, "a session could not be looked up");
            pages::store_unavailable()
        }
    }
}

/// The apps that let this person in. A whole domain has no address to go to, and what the proxy names a
/// policy for is not known here.
fn apps_for(gate: &Gate, session: &Session, client: ClientAddress) -> Vec<App> {
    let port = gate.services.portal().port;
    let scheme = gate.public_url.scheme();
    let now = gate.clock.now();
    let open = |service: &&Arc<Service>| match &service.policy {
        ServicePolicy::Own(policy) => {
            let judgement = policy.judge(Some(session.caller(now)), client);
            // Who has to sign in again first may open it none the less.
            judgement.passes() || judgement.asks_for_step_up()
        }
        ServicePolicy::FromProxy => false,
    };
    let app = |service: &Arc<Service>| {
        let host = service.hosts.iter().find_map(|host| match &host.pattern {
            HostPattern::Exact(name) => Some((name, host.port.or(port))),
            HostPattern::Below(_) => None,
        });
        let (name, port) = host?;
        let host = match port {
            Some(port) => format!("{name}:{port}"),
            None => name.to_string(),
        };
        Some(App {
            name: service.title.clone(),
            url: format!("{scheme}://{host}/"),
            host,
        })
    };
    gate.services
        .services()
        .iter()
        .filter(open)
        .filter_map(app)
        .collect()
}

/// `GET /whoami`: who is signed in, for scripts of the portal's own host.
pub(super) async fn whoami(request: HttpRequest, http: web::Data<Http>) -> HttpResponse {
    let (status, body) = match session_of(&request, &http).await {
        Ok(Some(session)) => {
            let ends = http.gate.sessions.lifetime().end_of(&session);
            let identity = &session.identity;
            let body = json!({
                "signed_in": true,
                "issuer": identity.issuer,
                "subject": identity.subject,
                "username": identity.username,
                "name": identity.name,
                "email": identity.email,
                "groups": identity.groups,
                "signed_in_at": session.created.seconds(),
                "ends_at": ends.seconds(),
            });
            (StatusCode::OK, body)
        }
        Ok(None) => (StatusCode::UNAUTHORIZED, json!({ "signed_in": false })),
        Err(error) => {
            tracing::debug!(%error, "a session could not be looked up");
            (
                StatusCode::SERVICE_UNAVAILABLE,
                json!({ "signed_in": null }),
            )
        }
    };
    let mut response = HttpResponse::build(status);
    response
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header(pages::NO_SNIFFING);
    if status == StatusCode::UNAUTHORIZED {
        response.insert_header((WWW_AUTHENTICATE, pages::CHALLENGE));
    }
    response.json(body)
}

/// Everything else.
pub(super) async fn not_found(http: web::Data<Http>) -> HttpResponse {
    Page::new("Not found")
        .line("There is nothing at this address.")
        .link("Front page", http.gate.portal_url("/"))
        .respond(StatusCode::NOT_FOUND)
}

/// A page of ours, by a method other than those it takes.
pub(super) fn wrong_method(http: &Http, allow: &'static str) -> HttpResponse {
    let mut response = Page::new("That does not work here")
        .line("This address exists, but not for requests of this kind.")
        .link("Front page", http.gate.portal_url("/"))
        .respond(StatusCode::METHOD_NOT_ALLOWED);
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allow));
    response
}
