//! The same-origin guard of a service, and the origins that pass it.

use super::{item, urls};
use crate::config::problems::Problems;
use crate::config::raw::RawService;
use crate::domain::host::Authority;
use crate::domain::same_origin::SameOriginGuard;
use crate::domain::service::Posture;

/// The guard; `None` where it is off.
pub(super) fn guard(
    service: &str,
    raw: &RawService,
    posture: Posture,
    allow_http: bool,
    problems: &mut Problems,
) -> Option<SameOriginGuard> {
    let default = matches!(
        posture,
        Posture::Protect | Posture::TrustedHeader | Posture::Hybrid
    );
    let is_on = raw.same_origin_guard.unwrap_or(default);
    let path = format!("{service}.allowed_origins");
    let written = raw.allowed_origins.as_deref().unwrap_or_default();
    if !is_on && !written.is_empty() {
        let why = match raw.same_origin_guard {
            Some(_) => "same_origin_guard = false".to_owned(),
            None => format!("posture = \"{}\"", posture.as_str()),
        };
        let message = format!("means nothing with {why}: the guard that it is for is off");
        problems.at(&path, message);
    }
    let mut allowed_origins = Vec::new();
    for (index, written_origin) in written.iter().enumerate() {
        let path = item(&path, index, written.len());
        allowed_origins.extend(origin(&path, written_origin, allow_http, problems));
    }
    is_on.then_some(SameOriginGuard { allowed_origins })
}

/// An origin as browsers send it.
fn origin(path: &str, written: &str, allow_http: bool, problems: &mut Problems) -> Option<String> {
    let url = urls::parse(path, written, "https://dashboard.example.net", problems)?;
    if url.scheme() != "https" && !allow_http {
        problems.at(
            path,
            "must begin with https:// (http needs server.danger_allow_http, for development)",
        );
        return None;
    }
    if url.path() != "/" || written.ends_with('/') {
        problems.at(
            path,
            "an origin is a scheme, a host and perhaps a port, without a path or a slash at the end",
        );
        return None;
    }
    let Some(authority) = Authority::of_url(&url) else {
        problems.at(path, "the host is none that pages can come from");
        return None;
    };
    Some(format!("{}://{authority}", url.scheme()))
}
