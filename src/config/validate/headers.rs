//! `services.NAME.headers`: what an app is told about people, and which names a header may have.

use super::{item, one_of};
use crate::config::problems::{Problems, did_you_mean};
use crate::config::raw::{RawHeader, RawService};
use crate::domain::identity_headers::{
    Attribute, DEFAULT_HEADERS, Encoding, HeaderStyle, IdentityHeader, known_attribute, known_names,
};
use crate::domain::service::Posture;

/// Claims that a header can hold, as they are offered.
const CLAIMS: [(&str, Attribute); 6] = [
    ("preferred_username", Attribute::Username),
    ("username", Attribute::Username),
    ("name", Attribute::Name),
    ("email", Attribute::Email),
    ("groups", Attribute::Groups),
    ("sub", Attribute::Subject),
];

/// The identity headers of a service.
pub(super) fn identity(
    service: &str,
    raw: &RawService,
    posture: Posture,
    problems: &mut Problems,
) -> Vec<IdentityHeader> {
    let path = format!("{service}.headers");
    let Some(written) = raw.headers.as_deref() else {
        return match posture {
            Posture::NativeOidc | Posture::Internal => Vec::new(),
            _ => DEFAULT_HEADERS
                .map(|(name, attribute)| IdentityHeader {
                    name: name.to_owned(),
                    attribute,
                })
                .to_vec(),
        };
    };
    let mut headers: Vec<IdentityHeader> = Vec::new();
    for (index, raw) in written.iter().enumerate() {
        let place = Place {
            item: item(&path, index, written.len()),
            table: format!("{path}[{index}]"),
        };
        let Some(header) = header(&place, raw, problems) else {
            continue;
        };
        if headers
            .iter()
            .any(|known| known.name.eq_ignore_ascii_case(&header.name))
        {
            problems.at(place.item, format!("\"{}\" is listed twice", header.name));
        } else {
            headers.push(header);
        }
    }
    headers
}

/// Where a header stands: as a name, and as a table.
struct Place {
    item: String,
    table: String,
}

fn header(place: &Place, raw: &RawHeader, problems: &mut Problems) -> Option<IdentityHeader> {
    let attribute = match &raw.claim {
        None => None,
        Some(claim) => {
            let path = format!("{}.claim", place.table);
            Some(one_of(Some(claim), &CLAIMS, &path, problems)??)
        }
    };
    let Some(name) = raw.name.as_deref() else {
        problems.missing(format!("{}.name", place.table), "must be given");
        return None;
    };
    if let Err(reason) = check_name(name, true) {
        problems.at(&place.item, format!("\"{name}\" {reason}"));
        return None;
    }
    let Some(attribute) = attribute.or_else(|| known_attribute(name)) else {
        let hint = did_you_mean(name, known_names());
        problems.missing(
            &place.item,
            format!(
                "\"{name}\" does not say by itself what it holds{hint}: write {{ name = \"{name}\", \
                 claim = \"preferred_username\" }}"
            ),
        );
        return None;
    };
    Some(IdentityHeader {
        name: name.to_owned(),
        attribute,
    })
}

/// How the values are written.
pub(super) fn style(service: &str, raw: &RawService, problems: &mut Problems) -> HeaderStyle {
    let encodings = [
        ("utf8", Encoding::Utf8),
        ("percent", Encoding::Percent),
        ("ascii", Encoding::Ascii),
    ];
    let path = format!("{service}.header_encoding");
    let written = raw.header_encoding.as_deref();
    let encoding = one_of(written, &encodings, &path, problems).flatten();
    let mut style = HeaderStyle {
        encoding: encoding.unwrap_or_default(),
        ..HeaderStyle::default()
    };
    if let Some(separator) = &raw.group_separator {
        let mut characters = separator.chars();
        match (characters.next(), characters.next()) {
            (Some(one @ ' '..='~'), None) => style.group_separator = one,
            _ => problems.at(
                format!("{service}.group_separator"),
                "must be one printable ASCII character such as \",\" or \"|\"",
            ),
        }
    }
    style
}

/// Headers that say how a message travels, what a browser is told, or where a request came from. An app's
/// identity or credential in one of these would break the request, or what is known about it.
#[rustfmt::skip] // by subject
const TAKEN: [&str; 28] = [
    "connection", "expect", "host", "http2-settings", "keep-alive", "te", "trailer", "transfer-encoding",
    "upgrade", "via",
    "cookie", "set-cookie", "location", "www-authenticate", "cache-control", "date", "server", "vary",
    "forwarded", "origin", "x-forwarded-for", "x-forwarded-host", "x-forwarded-method", "x-forwarded-port",
    "x-forwarded-proto", "x-forwarded-uri", "x-real-ip", "x-envoy-auth-headers-to-remove",
];

const TAKEN_PREFIXES: [&str; 5] = [
    "content-",
    "portcullis-",
    "proxy-",
    "sec-",
    "access-control-",
];

/// Whether a header that we set may be called this; else why not. `about_people`: what it says is who
/// somebody is.
pub(super) fn check_name(name: &str, about_people: bool) -> Result<(), &'static str> {
    if !is_token(name) {
        return Err("is not the name of a header");
    }
    let lower = name.to_ascii_lowercase();
    let has_prefix = |prefix: &&str| lower.starts_with(prefix);
    if lower.starts_with("portcullis-") {
        return Err("is one of Portcullis's own names");
    }
    if TAKEN.contains(&lower.as_str()) || TAKEN_PREFIXES.iter().any(has_prefix) {
        return Err("has a meaning of its own in HTTP, and cannot be set for an app");
    }
    if about_people && lower == "authorization" {
        return Err("is for credentials: name it in upstream_headers");
    }
    Ok(())
}

/// RFC 9110 §5.6.2.
pub(super) fn is_token(text: &str) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.len() <= 100 && text.bytes().all(token)
}
