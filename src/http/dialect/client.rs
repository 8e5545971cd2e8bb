//! What the client's own headers say, which every proxy hands on: the same in each dialect.

use actix_web::http::header::{HeaderMap, HeaderValue};

use crate::domain::navigation::{Initiator, fetch_word};
use crate::http::sole_value;

/// Headers by which some apps let a client choose another method than it used.
const METHOD_OVERRIDES: [&str; 3] = [
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
];

/// Headers by which some apps let a client choose another path than it asked for.
const PATH_OVERRIDES: [&str; 2] = ["x-original-url", "x-rewrite-url"];

/// Stands for the value of a header that came twice or is not text: nothing that a page could be started by.
const REPEATED: &str = "repeated";

/// What the client's headers say, but for those that some rule asks for.
#[derive(Default)]
pub(super) struct Said {
    /// What the client was doing.
    pub(super) initiator: Initiator,
    /// Whether a header is there by which an app might let a client choose another method, in any spelling that an app
    /// may take for it.
    pub(super) overrides_method: bool,
    /// The same for another path.
    pub(super) overrides_path: bool,
    /// `Portcullis-Copy`, which the proxy may set. One that came twice says nothing, so it covers nothing.
    pub(super) copy_list: Option<String>,
}

/// Reads them. `own` is the name of what the proxy itself has set in the place of a header that chooses the path.
///
/// One look at each header: most requests lack most of what is looked for, and looking each up takes longer.
pub(super) fn read(headers: &HeaderMap, own: Option<&str>) -> Said {
    let mut said = Said::default();
    let Initiator {
        fetch_mode,
        fetch_dest,
        fetch_site,
        speculative,
        accepts_html,
        scripted,
        upgrade,
        origin,
        asks_for_method,
    } = &mut said.initiator;
    let mut sole_copy_list = None;
    for (name, value) in headers {
        let name = name.as_str();
        match name {
            "accept" => *accepts_html |= value.to_str().is_ok_and(names_html),
            "origin" => *origin = Some(once(origin.is_some(), value).to_owned()),
            "sec-fetch-mode" => *fetch_mode = Some(fetch_word(once(fetch_mode.is_some(), value))),
            "sec-fetch-dest" => *fetch_dest = Some(fetch_word(once(fetch_dest.is_some(), value))),
            "sec-fetch-site" => *fetch_site = Some(fetch_word(once(fetch_site.is_some(), value))),
            "access-control-request-method" => *asks_for_method = true,
            "x-requested-with" => *scripted = true,
            // These say that nobody waits for a page yet.
            "sec-purpose" | "purpose" | "x-moz" => *speculative = true,
            // These come with a handshake. Traefik and nginx drop Upgrade themselves, and leave the others.
            "upgrade" | "sec-websocket-key" | "sec-websocket-version" => *upgrade = true,
            "portcullis-copy" => {
                let list = std::str::from_utf8(value.as_bytes()).ok();
                let list = list.filter(|_| sole_copy_list.is_none());
                sole_copy_list = Some(list.unwrap_or_default());
            }
            _ => {
                said.overrides_method |= is_one_of(&METHOD_OVERRIDES, name);
                said.overrides_path |= is_one_of(&PATH_OVERRIDES, name) && Some(name) != own;
            }
        }
    }
    said.copy_list = sole_copy_list.map(str::to_owned);
    said
}

/// The text of a header that has to come once.
fn once(came_before: bool, value: &HeaderValue) -> &str {
    let text = std::str::from_utf8(value.as_bytes()).ok();
    text.filter(|_| !came_before).unwrap_or(REPEATED)
}

/// Whether one line of `Accept` names HTML.
fn names_html(accept: &str) -> bool {
    let mut types = accept.split(',');
    types.any(|one| {
        let kind = one.split(';').next();
        kind.is_some_and(|kind| kind.trim() == "text/html")
    })
}

fn is_one_of(known: &[&str], name: &str) -> bool {
    known.iter().any(|known| is_spelling_of(name, known))
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
