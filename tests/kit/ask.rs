//! What a browser asks for.

use reqwest::Method;
use url::Url;

use super::cookies::FetchSite;

/// A request that is not a plain navigation.
pub struct Ask {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Option<String>,
    pub(super) site: FetchSite,
    pub(super) navigates: bool,
}

impl Ask {
    /// What a script of the page at the same origin sends by `fetch`.
    pub fn fetch(url: &str) -> Self {
        Self::new(url, FetchSite::SameOrigin, false)
    }

    /// What a browser sends for an address that was typed in.
    pub fn navigation(url: &str) -> Self {
        Self::new(url, FetchSite::None, true)
    }

    fn new(url: &str, site: FetchSite, navigates: bool) -> Self {
        let url = Url::parse(url).expect("the tests write valid URLs");
        Self {
            method: Method::GET,
            url,
            headers: Vec::new(),
            body: None,
            site,
            navigates,
        }
    }

    pub fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// Adds a header line; the same name twice makes two lines.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn site(mut self, site: FetchSite) -> Self {
        self.site = site;
        self
    }

    /// Posts these form fields, already encoded.
    pub fn form(mut self, body: String) -> Self {
        self.method = Method::POST;
        self.body = Some(body);
        self.header("content-type", "application/x-www-form-urlencoded")
    }
}
