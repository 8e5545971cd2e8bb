//! What a browser was doing when it sent a request: opening a page, which may lead to a login, or
//! loading something for a page, which may not.

use std::borrow::Cow;

/// The request headers that tell (Fetch Metadata, and what older clients send).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "five independent headers, each there or not"
)]
pub struct Initiator {
    /// `Sec-Fetch-Mode`.
    pub fetch_mode: Option<Cow<'static, str>>,
    /// `Sec-Fetch-Dest`.
    pub fetch_dest: Option<Cow<'static, str>>,
    /// `Sec-Fetch-Site`.
    pub fetch_site: Option<Cow<'static, str>>,
    /// Whether `Sec-Purpose` or one of its forerunners is there: the browser only guesses that the page
    /// will be wanted.
    pub speculative: bool,
    /// Whether `Accept` names `text/html`.
    pub accepts_html: bool,
    /// Whether `X-Requested-With` is there: scripts set it.
    pub scripted: bool,
    /// Whether this is a handshake for another protocol.
    pub upgrade: bool,
    /// `Origin`.
    pub origin: Option<String>,
    /// Whether `Access-Control-Request-Method` is there.
    pub asks_for_method: bool,
}

/// What browsers say most in the headers of Fetch Metadata.
const FETCH_WORDS: [&str; 12] = [
    "same-origin",
    "navigate",
    "document",
    "cors",
    "empty",
    "none",
    "no-cors",
    "image",
    "script",
    "style",
    "same-site",
    "cross-site",
];

/// A value of a header of Fetch Metadata: one of the usual takes no memory of its own.
#[must_use]
pub fn fetch_word(value: &str) -> Cow<'static, str> {
    let mut known = FETCH_WORDS.into_iter();
    match known.find(|known| *known == value) {
        Some(known) => Cow::Borrowed(known),
        None => Cow::Owned(value.to_owned()),
    }
}

/// How to tell somebody to sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChallengeForm {
    /// 302 to the login.
    Redirect,
    /// 302 to a login that knows it is in a frame.
    RedirectFrame,
    /// 401 with a page: the request cannot be repeated after a login.
    Page,
    /// 401 as `application/problem+json`.
    Problem,
}

impl Initiator {
    fn has_fetch_metadata(&self) -> bool {
        self.fetch_mode.is_some() || self.fetch_dest.is_some() || self.fetch_site.is_some()
    }

    /// Whether a person is waiting for a page.
    #[must_use]
    pub fn is_navigation(&self) -> bool {
        if self.upgrade || self.speculative {
            return false;
        }
        if self.has_fetch_metadata() {
            self.fetch_mode.as_deref() == Some("navigate")
        } else {
            self.accepts_html && !self.scripted
        }
    }

    /// Whether the person went here themselves or by a link of this very site, at the top level. True
    /// also for clients without Fetch Metadata.
    #[must_use]
    pub fn is_own_top_level_navigation(&self) -> bool {
        if !self.has_fetch_metadata() {
            return !self.upgrade && !self.speculative;
        }
        self.is_navigation()
            && self.fetch_dest.as_deref() == Some("document")
            && matches!(self.fetch_site.as_deref(), Some("same-origin" | "none"))
    }

    /// How to tell the sender of a request with `method` to sign in. Favicons, manifests, scripts, event
    /// streams, WebSockets and prefetches never start a login.
    #[must_use]
    pub fn challenge_form(&self, method: &str) -> ChallengeForm {
        if !self.is_navigation() {
            return ChallengeForm::Problem;
        }
        if !matches!(method, "GET" | "HEAD") {
            return ChallengeForm::Page;
        }
        if !self.has_fetch_metadata() {
            return ChallengeForm::Redirect;
        }
        match self.fetch_dest.as_deref() {
            // A service worker that passes a navigation on says `empty`.
            Some("document" | "empty") => ChallengeForm::Redirect,
            Some("iframe" | "frame" | "embed" | "object" | "fencedframe") => {
                match self.fetch_site.as_deref() {
                    Some("same-origin" | "same-site") => ChallengeForm::RedirectFrame,
                    _ => ChallengeForm::Page,
                }
            }
            _ => ChallengeForm::Problem,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetch(mode: &'static str, dest: &'static str, site: &'static str) -> Initiator {
        Initiator {
            fetch_mode: Some(mode.into()),
            fetch_dest: Some(dest.into()),
            fetch_site: Some(site.into()),
            accepts_html: true,
            ..Initiator::default()
        }
    }

    fn old(accepts_html: bool) -> Initiator {
        Initiator {
            accepts_html,
            ..Initiator::default()
        }
    }

    #[test]
    #[rustfmt::skip] // the columns are the point
    fn only_pages_that_can_be_asked_for_again_redirect() {
        use ChallengeForm::{Page, Problem, Redirect, RedirectFrame};
        let speculative = |initiator| Initiator { speculative: true, ..initiator };
        let scripted = |initiator| Initiator { scripted: true, ..initiator };
        let upgrade = |initiator| Initiator { upgrade: true, ..initiator };
        let cases = [
            ("a link",              "GET",    fetch("navigate", "document", "cross-site"),         Redirect),
            ("typed",               "GET",    fetch("navigate", "document", "none"),               Redirect),
            ("head",                "HEAD",   fetch("navigate", "document", "none"),               Redirect),
            ("service worker",      "GET",    fetch("navigate", "empty", "same-origin"),           Redirect),
            ("own frame",           "GET",    fetch("navigate", "iframe", "same-origin"),          RedirectFrame),
            ("sibling's frame",     "GET",    fetch("navigate", "iframe", "same-site"),            RedirectFrame),
            ("foreign frame",       "GET",    fetch("navigate", "iframe", "cross-site"),           Page),
            ("form",                "POST",   fetch("navigate", "document", "same-origin"),        Page),
            ("fetch",               "GET",    fetch("cors", "empty", "same-origin"),               Problem),
            ("image",               "GET",    fetch("no-cors", "image", "same-origin"),            Problem),
            ("manifest",            "GET",    fetch("cors", "manifest", "same-origin"),            Problem),
            ("worker script",       "GET",    fetch("same-origin", "serviceworker", "same-origin"),Problem),
            ("web socket",          "GET",    fetch("websocket", "websocket", "same-origin"),      Problem),
            ("prefetch",            "GET",    speculative(fetch("navigate", "document", "none")),  Problem),
            ("odd destination",     "GET",    fetch("navigate", "image", "none"),                  Problem),
            ("get, lower case",     "get",    fetch("navigate", "document", "none"),               Page),
            ("old browser",         "GET",    old(true),                                           Redirect),
            ("old browser, form",   "POST",   old(true),                                           Page),
            ("old script",          "GET",    scripted(old(true)),                                 Problem),
            ("old web socket",      "GET",    upgrade(old(true)),                                  Problem),
            ("old event stream",    "GET",    old(false),                                          Problem),
            ("curl",                "GET",    old(false),                                          Problem),
            ("socket in disguise",  "GET",    upgrade(fetch("navigate", "document", "none")),      Problem),
        ];
        for (what, method, initiator, expected) in cases {
            assert_eq!(initiator.challenge_form(method), expected, "{what}");
        }
    }

    #[test]
    fn a_foreign_page_cannot_navigate_as_the_person() {
        assert!(fetch("navigate", "document", "none").is_own_top_level_navigation());
        assert!(fetch("navigate", "document", "same-origin").is_own_top_level_navigation());
        assert!(old(true).is_own_top_level_navigation());
        assert!(!fetch("navigate", "document", "cross-site").is_own_top_level_navigation());
        assert!(!fetch("navigate", "document", "same-site").is_own_top_level_navigation());
        assert!(!fetch("navigate", "iframe", "same-origin").is_own_top_level_navigation());
        assert!(!fetch("no-cors", "image", "same-origin").is_own_top_level_navigation());
    }
}
