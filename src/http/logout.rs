//! `/logout` and `/signed-out`.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};

use crate::domain::cookie_scope::CookieScope;
use crate::flows::logout::logout;
use crate::http::cookies::Cookies;
use crate::http::login::redirect;
use crate::http::pages::{self, Page};
use crate::http::portal::session_of;
use crate::http::{Http, sole_text};

/// `GET /logout`: asks. A link, or a picture on a foreign page, must not sign anybody out.
pub(super) async fn ask(http: web::Data<Http>) -> HttpResponse {
    Page::new("Sign out?")
        .line("This signs you out here, of every app behind this sign-in, and at the identity provider.")
        .button("Sign out", http.gate.portal_url("/logout"))
        .link("Back", http.gate.portal_url("/"))
        .respond(StatusCode::OK)
}

/// `POST /logout`: acts.
pub(super) async fn act(request: HttpRequest, http: web::Data<Http>) -> HttpResponse {
    if !is_from_here(&request, &http) {
        return Page::new("You are still signed in")
            .line("This sign-out was asked for by another site, so nothing was done.")
            .link("Sign out", http.gate.portal_url("/logout"))
            .respond(StatusCode::FORBIDDEN);
    }
    let gate = &http.gate;
    let cookies = Cookies::read(request.headers());
    let portal = &gate.services.portal().host;
    let domain = gate.portal_domain();
    // The cookie of the domain says who somebody is at its hosts, never here; but where it is all that is left, the
    // session that it names is the one to end.
    let session = http
        .cookies
        .portal_session(&cookies, portal, &gate.keyring)
        .or_else(|| {
            let scope = CookieScope::Domain(domain?);
            http.cookies
                .host_session(&cookies, (portal, scope), &gate.keyring)
        });
    let client = http.portal_client(&request);
    match logout(gate, session.as_ref(), client).await {
        Ok(location) => {
            let mut cookies = vec![http.cookies.drop_portal()];
            cookies.extend(domain.map(|domain| http.cookies.drop_domain(domain)));
            redirect(StatusCode::SEE_OTHER, &location, &cookies)
        }
        Err(error) => {
            tracing::error!(%error, "a logout could not be recorded");
            Page::new("You are NOT signed out")
                .line("The sign-out could not be recorded, so you may still be signed in. Please try again.")
                .link("Try again", gate.portal_url("/logout"))
                .respond(StatusCode::SERVICE_UNAVAILABLE)
        }
    }
}

/// Whether a form was posted from one of our own pages: `SameSite=Lax` keeps the cookie from other sites, but
/// not from neighbours on the same one.
fn is_from_here(request: &HttpRequest, http: &Http) -> bool {
    let headers = request.headers();
    if headers.contains_key("sec-fetch-site") {
        return matches!(
            sole_text(headers, "sec-fetch-site"),
            Some("same-origin" | "none")
        );
    }
    if headers.contains_key("origin") {
        let ours = http.gate.public_url.origin().ascii_serialization();
        return sole_text(headers, "origin") == Some(&ours);
    }
    true
}

/// `GET /signed-out`: where the provider sends the browser after its own logout. Anybody may link here, so it
/// says what is true.
pub(super) async fn done(request: HttpRequest, http: web::Data<Http>) -> HttpResponse {
    match session_of(&request, &http).await {
        Ok(None) => Page::new("You are signed out")
            .line("You are signed out here, and of every app that you opened with this sign-in.")
            .link("Sign in again", http.gate.portal_url("/login"))
            .respond(StatusCode::OK),
        Ok(Some(_)) => Page::new("You are still signed in")
            .line("Nothing has signed you out here.")
            .button("Sign out", http.gate.portal_url("/logout"))
            .link("Front page", http.gate.portal_url("/"))
            .respond(StatusCode::OK),
        Err(error) => {
            tracing::debug!(%error, "a session could not be looked up");
            pages::store_unavailable()
        }
    }
}
