//! `/logout` and `/signed-out`.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};

use crate::domain::cookie_scope::CookieScope;
use crate::domain::session::SessionId;
use crate::flows::logout::{Everywhere, logout, logout_everywhere};
use crate::http::cookies::Cookies;
use crate::http::login::{add_cookie, redirect};
use crate::http::pages::{self, Page};
use crate::http::portal::session_of;
use crate::http::{Http, sole_text};

/// `GET /logout`: asks. A link, or a picture on a foreign page, must not sign anybody out.
pub(super) async fn ask(http: web::Data<Http>) -> HttpResponse {
    Page::new("Sign out?")
        .line("This signs you out here, of every app behind this sign-in, and at the identity provider.")
        .line("To do so in every browser and on every device where you are signed in, choose the second one.")
        .button("Sign out", http.gate.portal_url("/logout"))
        .button("Sign out everywhere", http.gate.portal_url("/logout/everywhere"))
        .link("Back", http.gate.portal_url("/"))
        .respond(StatusCode::OK)
}

/// `POST /logout`: acts.
pub(super) async fn act(request: HttpRequest, http: web::Data<Http>) -> HttpResponse {
    if !is_from_here(&request, &http) {
        return not_from_here(&http);
    }
    let session = session_to_end(&request, &http);
    let client = http.portal_client(&request);
    match logout(&http.gate, session.as_ref(), client).await {
        Ok(location) => signed_out(&http, &location),
        Err(error) => {
            tracing::error!(%error, "a logout could not be recorded");
            Page::new("You are NOT signed out")
                .line("The sign-out could not be recorded, so you may still be signed in. Please try again.")
                .link("Try again", http.gate.portal_url("/logout"))
                .respond(StatusCode::SERVICE_UNAVAILABLE)
        }
    }
}

/// `POST /logout/everywhere`: acts.
pub(super) async fn everywhere(request: HttpRequest, http: web::Data<Http>) -> HttpResponse {
    if !is_from_here(&request, &http) {
        return not_from_here(&http);
    }
    let session = session_to_end(&request, &http);
    let client = http.portal_client(&request);
    match logout_everywhere(&http.gate, session.as_ref(), client).await {
        Ok(Everywhere::Done(location)) => signed_out(&http, &location),
        Ok(Everywhere::NobodyHere) => nobody_here(&http),
        Err(error) => {
            tracing::error!(%error, "a logout everywhere could not be recorded");
            Page::new("You are NOT signed out everywhere")
                .line(
                    "The sign-out could not be recorded in full, so you may still be signed in, here and in other \
                     browsers. Please try again.",
                )
                .link("Try again", http.gate.portal_url("/logout"))
                .respond(StatusCode::SERVICE_UNAVAILABLE)
        }
    }
}

fn not_from_here(http: &Http) -> HttpResponse {
    Page::new("You are still signed in")
        .line("This sign-out was asked for by another site, so nothing was done.")
        .link("Sign out", http.gate.portal_url("/logout"))
        .respond(StatusCode::FORBIDDEN)
}

/// The cookie of the domain says who somebody is at its hosts, never here; but where it is all that is left, the session
/// that it names is the one to end.
fn session_to_end(request: &HttpRequest, http: &Http) -> Option<SessionId> {
    let gate = &http.gate;
    let cookies = Cookies::read(request.headers());
    let portal = &gate.services.portal().host;
    http.cookies
        .portal_session(&cookies, portal, &gate.keyring)
        .or_else(|| {
            let scope = CookieScope::Domain(gate.portal_domain()?);
            http.cookies
                .host_session(&cookies, (portal, scope), &gate.keyring)
        })
}

/// The record is gone: now the cookies, and on to `location`.
fn signed_out(http: &Http, location: &str) -> HttpResponse {
    redirect(StatusCode::SEE_OTHER, location, &dropped(http))
}

/// The cookies that name a session at the portal, to be forgotten.
fn dropped(http: &Http) -> Vec<String> {
    let domain = http.gate.portal_domain();
    let domain = domain.map(|domain| http.cookies.drop_domain(domain));
    let portal = http.cookies.drop_portal();
    std::iter::once(portal).chain(domain).collect()
}

/// Nobody may take that for an end of their other sessions.
fn nobody_here(http: &Http) -> HttpResponse {
    let mut page = Page::new("You were signed out already")
        .line(
            "Nothing else was done: you may still be signed in in other browsers and on other devices. To sign out there \
             too, sign in here and try again.",
        )
        .link("Sign in", http.gate.portal_url("/login"))
        .respond(StatusCode::OK);
    for cookie in dropped(http) {
        add_cookie(&mut page, &cookie);
    }
    page
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
        Ok(None) => {
            let mut page = Page::new("You are signed out").line(
                "You are signed out here, and of every app that you opened with this sign-in.",
            );
            if !http.gate.relying_party.is_ready() {
                page = page.line(
                    "The identity provider cannot be reached just now, so you may still be signed in there. Close \
                     the browser, or sign out there later.",
                );
            }
            page.link("Sign in again", http.gate.portal_url("/login"))
                .respond(StatusCode::OK)
        }
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
