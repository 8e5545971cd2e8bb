//! What came back: one step, or the whole way of a navigation.

use reqwest::Method;
use reqwest::header::{HeaderMap, SET_COOKIE};
use url::Url;

use super::html;
use super::upstream::Seen;

/// One request and what came back.
#[derive(Clone, Debug)]
pub struct Hop {
    pub method: Method,
    pub url: Url,
    pub sent_cookies: String,
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Hop {
    /// A header of the answer; empty when it did not come.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    pub fn set_cookies(&self) -> impl Iterator<Item = &str> {
        self.headers
            .get_all(SET_COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
    }
}

/// Where a navigation or a fetch ended.
#[derive(Debug)]
pub struct Page {
    pub url: Url,
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
    /// Every step of this navigation, the last one too.
    pub hops: Vec<Hop>,
}

impl Page {
    /// A header of the answer; empty when it did not come.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// What the sample app was asked; `None` when this is not its answer.
    pub fn seen(&self) -> Option<Seen> {
        serde_json::from_str(&self.body)
            .ok()
            .or_else(|| html::embedded_json(&self.body))
    }

    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// The way here, one step a line, without the values in queries; and what it says here, when that is an error.
    pub fn way(&self) -> String {
        let step = |hop: &Hop| {
            let query = if hop.url.query().is_some() {
                "?…"
            } else {
                ""
            };
            let host = hop.url.host_str().unwrap_or_default();
            format!(
                "{} {} {host}{}{query}",
                hop.status,
                hop.method,
                hop.url.path()
            )
        };
        let mut way = self.hops.iter().map(step).collect::<Vec<_>>().join("\n");
        if self.status >= 400 {
            way.push('\n');
            way.push_str(&html::words(&self.body));
        }
        way
    }
}
