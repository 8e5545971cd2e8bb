//! Pages for people. One template, escaped throughout; no script, and nothing loaded from anywhere.

use std::sync::LazyLock;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header;
use askama::Template;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const STYLE: &str = include_str!("templates/page.css");

/// Lets the page use its own style and nothing else. There is no `form-action`: browsers hold the redirect
/// after a form to it as well, and ours goes on to the provider.
static CONTENT_SECURITY_POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = ring::digest::digest(&ring::digest::SHA256, STYLE.as_bytes());
    let hash = STANDARD.encode(hash);
    format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; frame-ancestors ")
});

/// What every 401 asks for (RFC 9110 §11.6.1). No browser shows a dialog of its own for it.
pub(super) const CHALLENGE: &str = "Bearer";

/// How long a client waits before it tries again, in seconds.
pub(super) const RETRY_AFTER: &str = "5";

/// For whatever has a body: it is what its type says, and a browser is not to guess something else from what came from
/// outside.
pub(super) const NO_SNIFFING: (header::HeaderName, header::HeaderValue) = (
    header::X_CONTENT_TYPE_OPTIONS,
    header::HeaderValue::from_static("nosniff"),
);

/// A page.
#[derive(Debug, Default, Template)]
#[template(path = "page.html")]
pub(super) struct Page {
    title: String,
    lines: Vec<String>,
    apps: Vec<App>,
    links: Vec<Link>,
    buttons: Vec<Button>,
    /// Small print: names and values.
    facts: Vec<(&'static str, String)>,
    frameable: bool,
    style: &'static str,
}

/// An app on the front page.
#[derive(Debug)]
pub(super) struct App {
    pub(super) name: String,
    pub(super) host: String,
    pub(super) url: String,
}

#[derive(Debug)]
struct Link {
    label: &'static str,
    url: String,
    new_tab: bool,
}

#[derive(Debug)]
struct Button {
    label: &'static str,
    action: String,
}

impl Page {
    pub(super) fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            style: STYLE,
            ..Self::default()
        }
    }

    /// A paragraph.
    pub(super) fn line(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    pub(super) fn apps(mut self, apps: Vec<App>) -> Self {
        self.apps = apps;
        self
    }

    pub(super) fn link(mut self, label: &'static str, url: impl Into<String>) -> Self {
        self.links.push(Link {
            label,
            url: url.into(),
            new_tab: false,
        });
        self
    }

    pub(super) fn link_in_new_tab(mut self, label: &'static str, url: impl Into<String>) -> Self {
        self.links.push(Link {
            label,
            url: url.into(),
            new_tab: true,
        });
        self
    }

    /// A button that posts to one of the portal's URLs.
    pub(super) fn button(mut self, label: &'static str, action: impl Into<String>) -> Self {
        let action = action.into();
        self.buttons.push(Button { label, action });
        self
    }

    pub(super) fn fact(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.facts.push((name, value.into()));
        self
    }

    /// Lets sites show the page in a frame: for the one page that only leads out of it.
    pub(super) fn frameable(mut self) -> Self {
        self.frameable = true;
        self
    }

    /// Nothing, except where there is a form: with `no-referrer` browsers send it with `Origin: null`, and we could
    /// not tell it from a stranger's.
    fn referrer_policy(&self) -> &'static str {
        if self.buttons.is_empty() {
            "no-referrer"
        } else {
            "same-origin"
        }
    }

    pub(super) fn respond(&self, status: StatusCode) -> HttpResponse {
        let Ok(html) = self.render() else {
            // Rendering into memory fails for no template that compiled; if it did, the status still holds.
            return HttpResponse::build(status).finish();
        };
        let ancestors = if self.frameable { "https:" } else { "'none'" };
        let policy = format!("{}{ancestors}", *CONTENT_SECURITY_POLICY);
        let mut response = HttpResponse::build(status);
        response
            .content_type("text/html; charset=utf-8")
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .insert_header((header::CONTENT_SECURITY_POLICY, policy))
            .insert_header(NO_SNIFFING)
            .insert_header((header::REFERRER_POLICY, self.referrer_policy()));
        if !self.frameable {
            response.insert_header((header::X_FRAME_OPTIONS, "DENY"));
        }
        if status == StatusCode::UNAUTHORIZED {
            response.insert_header((header::WWW_AUTHENTICATE, CHALLENGE));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.insert_header((header::RETRY_AFTER, RETRY_AFTER));
        }
        response.body(html)
    }
}

/// The store does not answer.
pub(super) fn store_unavailable() -> HttpResponse {
    Page::new("Not available right now")
        .line("Sessions cannot be looked up at the moment. Nothing is lost; please try again in a moment.")
        .respond(StatusCode::SERVICE_UNAVAILABLE)
}

/// Too many logins from one address.
pub(super) fn too_many_requests() -> HttpResponse {
    let mut response = Page::new("Too many sign-ins")
        .line("There were too many sign-ins from your address. Please wait a few seconds and try again.")
        .respond(StatusCode::TOO_MANY_REQUESTS);
    response.headers_mut().insert(
        header::RETRY_AFTER,
        header::HeaderValue::from_static(RETRY_AFTER),
    );
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_shown_is_escaped() {
        let attack = "\"><script>alert(1)</script>";
        let html = Page::new(attack)
            .line(attack)
            .apps(vec![App {
                name: attack.into(),
                host: attack.into(),
                url: attack.into(),
            }])
            .link("go", attack)
            .fact("fact", attack)
            .render()
            .expect("a page");
        assert!(!html.contains("<script"), "{html}");
        assert!(!html.contains("\">\""), "{html}");
    }
}
