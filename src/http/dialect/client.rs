//! What the client's own headers say, which every proxy hands on: the same in each dialect.

use actix_web::http::header::{ACCEPT, HeaderMap, HeaderName};

use crate::domain::navigation::Initiator;
use crate::http::{sole_text, sole_value};

/// Headers by which some apps let a client choose another method than it used.
const METHOD_OVERRIDES: [&str; 3] = [
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
];

/// Headers by which some apps let a client choose another path than it asked for.
const PATH_OVERRIDES: [&str; 2] = ["x-original-url", "x-rewrite-url"];

/// Whether one of the first is there, in any spelling that an app may take for it.
pub(super) fn overrides_method(headers: &HeaderMap) -> bool {
    any_of(&METHOD_OVERRIDES, headers, None)
}

/// Whether one of the second is. `own` is the name of what the proxy itself has set.
pub(super) fn overrides_path(headers: &HeaderMap, own: Option<&str>) -> bool {
    any_of(&PATH_OVERRIDES, headers, own)
}

fn any_of(known: &[&str], headers: &HeaderMap, own: Option<&str>) -> bool {
    let mut names = headers.keys().map(HeaderName::as_str);
    names.any(|name| {
        let mut known = known.iter();
        known.any(|known| is_spelling_of(name, known)) && Some(name) != own
    })
}

/// Whether some apps take the header `name` for `known`: they read `_` and `.` as `-`. Both in lower case.
fn is_spelling_of(name: &str, known: &str) -> bool {
    let dashed = |byte: u8| {
        if matches!(byte, b'_' | b'.') {
            b'-'
        } else {
            byte
        }
    };
    name.len() == known.len() && name.bytes().map(dashed).eq(known.bytes().map(dashed))
}

/// `Portcullis-Copy`, which the proxy may set. One that came twice says nothing, so it covers nothing.
pub(super) fn copy_list(headers: &HeaderMap) -> Option<String> {
    let list = || sole_text(headers, "portcullis-copy").unwrap_or_default();
    headers
        .contains_key("portcullis-copy")
        .then(|| list().to_owned())
}

/// The headers that some rule asks for, as far as they came.
pub(super) fn asked_headers(
    headers: &HeaderMap,
    asked: &[String],
) -> Vec<(String, Option<Vec<u8>>)> {
    let found = |name: &String| {
        let spelt = headers
            .keys()
            .filter(|found| is_spelling_of(found.as_str(), name))
            .count();
        let value = sole_value(headers, name).filter(|_| spelt == 1);
        (spelt > 0).then(|| (name.clone(), value.map(<[u8]>::to_vec)))
    };
    asked.iter().filter_map(found).collect()
}

/// What the client was doing. A header that came twice says nothing a page could be started by.
pub(super) fn initiator(headers: &HeaderMap) -> Initiator {
    let text = |name: &str| {
        let value = headers.contains_key(name).then(|| sole_text(headers, name));
        value.map(|value| value.unwrap_or("repeated").to_owned())
    };
    let html = |accept: &str| {
        let mut types = accept.split(',');
        types.any(|one| {
            one.split(';')
                .next()
                .is_some_and(|kind| kind.trim() == "text/html")
        })
    };
    let has = |name: &str| headers.contains_key(name);
    Initiator {
        origin: text("origin"),
        asks_for_method: has("access-control-request-method"),
        fetch_mode: text("sec-fetch-mode"),
        fetch_dest: text("sec-fetch-dest"),
        fetch_site: text("sec-fetch-site"),
        speculative: has("sec-purpose") || has("purpose") || has("x-moz"),
        accepts_html: headers
            .get_all(ACCEPT)
            .filter_map(|line| line.to_str().ok())
            .any(html),
        scripted: has("x-requested-with"),
        // Traefik and nginx drop Upgrade themselves, and leave these.
        upgrade: has("upgrade") || has("sec-websocket-key") || has("sec-websocket-version"),
    }
}
