//! What the client's own headers say, which every proxy hands on: the same in each dialect.

use actix_web::http::header::{
    ACCEPT, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderName, ORIGIN, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};

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

static COPY: HeaderName = HeaderName::from_static("portcullis-copy");

/// `Portcullis-Copy`, which the proxy may set. One that came twice says nothing, so it covers nothing.
pub(super) fn copy_list(headers: &HeaderMap) -> Option<String> {
    let list = || sole_text(headers, &COPY).unwrap_or_default();
    headers.contains_key(&COPY).then(|| list().to_owned())
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

static FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
static FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
static FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What says that nobody waits for a page yet.
static SPECULATIVE: [HeaderName; 3] = [
    HeaderName::from_static("sec-purpose"),
    HeaderName::from_static("purpose"),
    HeaderName::from_static("x-moz"),
];
static REQUESTED_WITH: HeaderName = HeaderName::from_static("x-requested-with");

/// What comes with a handshake. Traefik and nginx drop Upgrade themselves, and leave the others.
static UPGRADES: [HeaderName; 3] = [UPGRADE, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION];

/// What the client was doing. A header that came twice says nothing a page could be started by.
pub(super) fn initiator(headers: &HeaderMap) -> Initiator {
    let text = |name: &HeaderName| {
        let mut values = headers.get_all(name);
        let value = values.next()?;
        let text = std::str::from_utf8(value.as_bytes()).ok();
        let text = text.filter(|_| values.next().is_none());
        Some(text.unwrap_or("repeated").to_owned())
    };
    let html = |accept: &str| {
        let mut types = accept.split(',');
        types.any(|one| {
            one.split(';')
                .next()
                .is_some_and(|kind| kind.trim() == "text/html")
        })
    };
    let has_any = |names: &[HeaderName]| names.iter().any(|name| headers.contains_key(name));
    Initiator {
        origin: text(&ORIGIN),
        asks_for_method: headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD),
        fetch_mode: text(&FETCH_MODE),
        fetch_dest: text(&FETCH_DEST),
        fetch_site: text(&FETCH_SITE),
        speculative: has_any(&SPECULATIVE),
        accepts_html: headers
            .get_all(ACCEPT)
            .filter_map(|line| line.to_str().ok())
            .any(html),
        scripted: headers.contains_key(&REQUESTED_WITH),
        upgrade: has_any(&UPGRADES),
    }
}
