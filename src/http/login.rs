//! `/login` and `/callback`.

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, LOCATION, REFERRER_POLICY, SET_COOKIE};
use actix_web::{HttpRequest, HttpResponse, web};

use crate::domain::session::SessionId;
use crate::flows::callback::{CallbackAnswer, CallbackRequest, callback};
use crate::flows::login::{Bounces, LoginAnswer, LoginRequest, Onward, login};
use crate::flows::step_up::For;
use crate::http::Http;
use crate::http::answers::{display_name, loop_advice, please_sign_in, step_up_advice};
use crate::http::cookies::Cookies;
use crate::http::pages::{self, Page};

/// The parameters of a query, as far as they came once. One that came twice is not used (RFC 6749 §3.1).
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn of(request: &HttpRequest) -> Self {
        let pairs = url::form_urlencoded::parse(request.query_string().as_bytes());
        Self(pairs.into_owned().collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let mut values = self.0.iter().filter(|(found, _)| found == name);
        match (values.next(), values.next()) {
            (Some((_, value)), None) => Some(value),
            _ => None,
        }
    }

    /// Whether one of `names` came more than once.
    fn repeats(&self, names: &[&str]) -> bool {
        let count = |name: &&str| self.0.iter().filter(|(found, _)| found == name).count();
        names.iter().any(|name| count(name) > 1)
    }
}

/// 302 or 303 from the portal, with cookies.
pub(super) fn redirect(status: StatusCode, location: &str, cookies: &[String]) -> HttpResponse {
    let mut response = HttpResponse::build(status);
    response
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((REFERRER_POLICY, "no-referrer"))
        .insert_header((LOCATION, location));
    for cookie in cookies {
        response.append_header((SET_COOKIE, cookie.as_str()));
    }
    response.finish()
}

/// `GET /login`.
pub(super) async fn begin(request: HttpRequest, http: web::Data<Http>) -> HttpResponse {
    if !http.login_limit.admits(http.portal_client(&request)) {
        http.gate.metrics.rate_limited("login");
        return pages::too_many_requests();
    }
    let query = Query::of(&request);
    let cookies = Cookies::read(request.headers());
    let gate = &http.gate;
    let portal = &gate.services.portal().host;
    let answer = login(
        gate,
        LoginRequest {
            target: query.get("rd"),
            link: query.get("f"),
            step_up: For::parse(query.get("step_up")),
            frame: query.get("frame").is_some(),
            session: http.cookies.portal_session(&cookies, portal, &gate.keyring),
            attempts: http.cookies.attempts(&cookies),
            bounces: http.cookies.bounces(&cookies),
        },
    );
    match answer.await {
        LoginAnswer::Onward { session, onward } => {
            let cookies = domain_cookie(&http, &session).into_iter().collect();
            to(&http, &onward, cookies)
        }
        LoginAnswer::ToProvider { url, attempt, forget } => {
            let mut cookies = dropped(&http, &forget);
            cookies.push(http.cookies.set_attempt(&attempt));
            redirect(StatusCode::FOUND, url.as_str(), &cookies)
        }
        LoginAnswer::Shortened { target, continue_url } => Page::new("The address is too long")
            .line(
                "The address that you came from is too long to be remembered while you sign in. You will \
                 come back to this instead:",
            )
            .line(target)
            .link("Go on", continue_url)
            .respond(StatusCode::OK),
        LoginAnswer::InNewTab { url, again } => Page::new(please_sign_in(again))
            .line(if again {
                "This part of the page needs you to sign in again, which works in a tab of its own only."
            } else {
                "This part of the page needs you to sign in, which works in a tab of its own only."
            })
            .line("Sign in there, then load this page again.")
            .link_in_new_tab("Sign in", url)
            .frameable()
            .respond(StatusCode::UNAUTHORIZED),
        LoginAnswer::Loop { host } => {
            let page = Page::new("Signing in goes round in circles")
                .line("Signing in did not take, three times in a row, so it was stopped here.");
            let host = host.as_deref().unwrap_or("the app");
            let mut response = loop_advice(page, host).respond(StatusCode::FORBIDDEN);
            add_cookie(&mut response, &http.cookies.set_bounces(Bounces::default()));
            response
        }
        LoginAnswer::ProviderUnavailable { error, login_url } => {
            let client = http.portal_client(&request);
            tracing::warn!(%error, code = error.code(), %client, "a login could not begin");
            gate.metrics.login(error.code());
            provider_unavailable(login_url)
        }
        LoginAnswer::StoreUnavailable(error) => {
            tracing::debug!(%error, "a session could not be looked up");
            pages::store_unavailable()
        }
    }
}

/// `GET /callback`.
pub(super) async fn complete(request: HttpRequest, http: web::Data<Http>) -> HttpResponse {
    if !http.login_limit.admits(http.portal_client(&request)) {
        http.gate.metrics.rate_limited("callback");
        return pages::too_many_requests();
    }
    let query = Query::of(&request);
    let cookies = Cookies::read(request.headers());
    let gate = &http.gate;
    let portal = &gate.services.portal().host;
    let completed = callback(
        gate,
        CallbackRequest {
            state: query.get("state"),
            code: query.get("code"),
            iss: query.get("iss"),
            error: query.get("error"),
            repeats: query.repeats(&["state", "code", "iss", "error"]),
            client: http.portal_client(&request),
            session: http.cookies.portal_session(&cookies, portal, &gate.keyring),
            attempts: http.cookies.attempts(&cookies),
        },
    )
    .await;
    let over = dropped(&http, &completed.forget);
    let mut response = match completed.answer {
        CallbackAnswer::SignedIn { session, onward } => {
            let lifetime = gate.sessions.lifetime().absolute;
            let mut cookies = over;
            cookies.push(http.cookies.set_portal(&session, portal, &gate.keyring, lifetime));
            cookies.extend(domain_cookie(&http, &session));
            return to(&http, &onward, cookies);
        }
        CallbackAnswer::AlreadySignedIn(onward) => return to(&http, &onward, over),
        CallbackAnswer::UnknownAttempt { login_url } => Page::new("That sign-in is over")
            .line(
                "It took too long, it was finished already, or it was begun in another browser. This also \
                 happens where the browser keeps no cookies.",
            )
            .link("Sign in", login_url)
            .respond(StatusCode::BAD_REQUEST),
        CallbackAnswer::Refused { error, login_url } => Page::new("You were not signed in")
            .line("The identity provider did not sign you in.")
            .fact("Its answer", error)
            .link("Try again", login_url)
            .respond(StatusCode::FORBIDDEN),
        CallbackAnswer::Failed { error, login_url } if error.is_unavailable() => {
            provider_unavailable(login_url)
        }
        CallbackAnswer::Failed { error, login_url } => Page::new("You were not signed in")
            .line("The identity provider's answer could not be accepted. The log says more.")
            .fact("Reason", error.code())
            .link("Try again", login_url)
            .respond(StatusCode::FORBIDDEN),
        CallbackAnswer::EndedMeanwhile { login_url } => Page::new("You were signed out again")
            .line("This sign-in was ended before it was complete: everywhere, or at the identity provider.")
            .link("Sign in", login_url)
            .respond(StatusCode::FORBIDDEN),
        CallbackAnswer::StepUpUnmet {
            reason,
            identity,
            login_url,
        } => {
            let page = Page::new("Signing in again was not enough").line(reason.to_string());
            step_up_advice(page, &reason)
                .line("You are signed in as before; only this is not open to you.")
                .link("Try again", login_url)
                .fact("Signed in as", display_name(&identity))
                .fact("Reason", reason.code())
                .respond(StatusCode::FORBIDDEN)
        }
        CallbackAnswer::StoreUnavailable { error, login_url } => {
            tracing::error!(%error, "a session could not be stored");
            Page::new("You are not signed in")
                .line("Your sign-in cannot be stored at the moment. Please try again in a moment.")
                .link("Try again", login_url)
                .respond(StatusCode::SERVICE_UNAVAILABLE)
        }
    };
    for cookie in &over {
        add_cookie(&mut response, cookie);
    }
    response
}

/// The cookie of the domain that the portal lies under, whose other hosts need no ticket then.
fn domain_cookie(http: &Http, session: &SessionId) -> Option<String> {
    let gate = &http.gate;
    let lifetime = gate.sessions.lifetime().absolute;
    let domain = gate.portal_domain()?;
    Some(
        http.cookies
            .set_domain(session, domain, &gate.keyring, lifetime),
    )
}

/// Has the browser forget attempts.
fn dropped(http: &Http, labels: &[String]) -> Vec<String> {
    let labels = labels.iter();
    labels
        .map(|label| http.cookies.drop_attempt(label))
        .collect()
}

fn to(http: &Http, onward: &Onward, mut cookies: Vec<String>) -> HttpResponse {
    cookies.push(http.cookies.set_bounces(onward.bounces));
    redirect(StatusCode::FOUND, &onward.location, &cookies)
}

fn provider_unavailable(login_url: String) -> HttpResponse {
    Page::new("Sign-in is not available")
        .line(
            "The identity provider does not answer, so nobody can sign in just now. Whoever is signed in \
             already is not affected. Please try again in a moment.",
        )
        .link("Try again", login_url)
        .respond(StatusCode::SERVICE_UNAVAILABLE)
}

pub(super) fn add_cookie(response: &mut HttpResponse, cookie: &str) {
    if let Ok(value) = cookie.parse() {
        response.headers_mut().append(SET_COOKIE, value);
    }
}
