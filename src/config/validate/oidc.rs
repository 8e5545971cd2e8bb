//! `[oidc]`

use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::live::{LiveFiles, Written};
use super::{Files, one_of, urls};
use crate::config::problems::Problems;
use crate::config::raw::RawOidc;
use crate::config::secrets;
use crate::config::watch::SecretForm;
use crate::domain::host::{Authority, Host};
use crate::domain::relying_party::{
    ClaimPath, ClientAuth, OidcSettings, Userinfo, is_own_authorize_param,
};
use crate::domain::upstream_key::LiveSecret;

const EXAMPLE: &str = "https://id.example.net";

/// What is asked for when `oidc.scopes` says nothing.
const DEFAULT_SCOPES: [&str; 4] = ["openid", "profile", "email", "groups"];

/// The longest file of certificates, in bytes: a whole system's store has some 250 KB.
const MAX_CERTIFICATES: u64 = 1024 * 1024;

/// Checks the issuer, and gives its host.
pub(super) fn issuer(
    raw: &RawOidc,
    portal: Option<&Url>,
    shared_origin: bool,
    problems: &mut Problems,
) -> Option<Host> {
    const PATH: &str = "oidc.issuer";
    let Some(written) = &raw.issuer else {
        let message =
            format!("must be given, exactly as the provider writes it: \"{EXAMPLE}\" say");
        problems.missing(PATH, message);
        return None;
    };
    let url = urls::parse(PATH, written, EXAMPLE, problems)?;
    if url.scheme() != "https" && !urls::is_loopback(&url) && !raw.danger_allow_http_endpoints {
        problems.at(
            PATH,
            "must begin with https:// (http needs oidc.danger_allow_http_endpoints)",
        );
    }
    let Some(authority) = Authority::of_url(&url) else {
        problems.at(PATH, "the host is none that browsers can go to");
        return None;
    };
    if let Some(portal) = portal {
        check_portal(portal, &authority.host, shared_origin, problems);
    }
    Some(authority.host)
}

/// The portal has a host of its own, or a path of the issuer's host, where nobody is served but the provider and us.
fn check_portal(portal: &Url, issuer: &Host, shared_origin: bool, problems: &mut Problems) {
    let at_issuer = Authority::of_url(portal).is_some_and(|portal| portal.host == *issuer);
    match (portal.path() == "/", at_issuer) {
        (true, true) => problems.at(
            "oidc.issuer",
            "has the host of server.public_url: give the portal a host of its own, or a path there \
             (\"https://id.example.net/auth\")",
        ),
        (false, false) if !shared_origin => problems.at(
            "server.public_url",
            "has a path, which is for the issuer's own host: whatever else is served on a host can act as the \
             portal (server.danger_shared_portal_origin allows it)",
        ),
        _ => {}
    }
}

/// A page of the portal.
fn page(portal: &Url, path: &str) -> Option<Url> {
    let base = portal.as_str().trim_end_matches('/');
    Url::parse(&format!("{base}{path}")).ok()
}

/// Everything else. The issuer is taken as it is written, since [`issuer`] has checked it.
pub(super) fn settings(
    raw: &RawOidc,
    portal: Option<&Url>,
    files: &Files<'_>,
    live: &mut LiveFiles<'_>,
    problems: &mut Problems,
) -> Option<OidcSettings> {
    let client_id = client_id(raw, live, problems);
    let client_secret = client_secret(raw, live, problems);
    let userinfo = userinfo(raw, problems);
    let client_auth = client_auth(raw, problems);
    let scopes = scopes(raw, problems);
    let username_claim = claim(
        "oidc.username_claim",
        raw.username_claim
            .as_deref()
            .unwrap_or("preferred_username"),
        problems,
    );
    let groups_claim = claim(
        "oidc.groups_claim",
        raw.groups_claim.as_deref().unwrap_or("groups"),
        problems,
    );
    let authorize_params = authorize_params(raw, problems);
    let roots = raw.ca_file.as_deref();
    let extra_roots_pem =
        roots.and_then(|file| certificates("oidc.ca_file", &files.folders.find(file), problems));
    let portal = portal?;
    Some(OidcSettings {
        issuer: raw.issuer.clone()?,
        client_id: client_id?,
        client_secret,
        scopes,
        scopes_follow_metadata: raw.scopes.is_none(),
        redirect_uri: page(portal, "/callback")?,
        post_logout_redirect_uri: page(portal, "/signed-out")?,
        username_claim: username_claim?,
        groups_claim: groups_claim?,
        userinfo: userinfo?,
        client_auth: client_auth?,
        authorize_params,
        extra_roots_pem,
        trust_unverified_email: raw.danger_trust_unverified_email,
        allow_http_endpoints: raw.danger_allow_http_endpoints,
    })
}

fn client_id(
    raw: &RawOidc,
    live: &mut LiveFiles<'_>,
    problems: &mut Problems,
) -> Option<LiveSecret> {
    const PATH: &str = "oidc.client_id";
    match (&raw.client_id, &raw.client_id_file) {
        (Some(_), Some(_)) => {
            problems.at(PATH, "is given twice: here and by oidc.client_id_file");
            None
        }
        (Some(id), None) => {
            if id.trim().is_empty() || id.trim() != id || id.chars().any(char::is_control) {
                problems.at(PATH, "must be a name without blanks around it");
            }
            Some(LiveSecret::new(id.as_str().into()))
        }
        (None, Some(file)) => live.public_text("oidc.client_id_file", file, problems),
        (None, None) => {
            if !problems.any_at_or_below("oidc.client_id_file") {
                problems.missing(PATH, "must be given, or oidc.client_id_file");
            }
            None
        }
    }
}

/// `None` also for a public client, which has none.
fn client_secret(
    raw: &RawOidc,
    live: &mut LiveFiles<'_>,
    problems: &mut Problems,
) -> Option<LiveSecret> {
    const PATH: &str = "oidc.client_secret";
    let is_empty = |secret: &SecretString| secret.expose_secret().trim().is_empty();
    if raw.client_secret.as_ref().is_some_and(is_empty) {
        let message = "is empty: leave it out where the client has no secret";
        problems.at(PATH, message);
        return None;
    }
    let written = Written {
        owner: "oidc",
        key: "client_secret",
        inline: raw.client_secret.as_ref(),
        file: raw.client_secret_file.as_deref(),
        form: SecretForm::Text,
    };
    live.secret(&written, problems)
}

fn userinfo(raw: &RawOidc, problems: &mut Problems) -> Option<Userinfo> {
    let choices = [
        ("when_needed", Userinfo::WhenNeeded),
        ("always", Userinfo::Always),
    ];
    let chosen = one_of(raw.userinfo.as_deref(), &choices, "oidc.userinfo", problems)?;
    Some(chosen.unwrap_or_default())
}

fn client_auth(raw: &RawOidc, problems: &mut Problems) -> Option<ClientAuth> {
    const PATH: &str = "oidc.client_auth";
    let ways = [
        ("auto", ClientAuth::Auto),
        ("basic", ClientAuth::Basic),
        ("post", ClientAuth::Post),
        ("none", ClientAuth::None),
    ];
    let written = raw.client_auth.as_deref();
    let way = one_of(written, &ways, PATH, problems)?.unwrap_or_default();
    let has_secret = raw.client_secret.is_some()
        || raw.client_secret_file.is_some()
        || problems.any_at_or_below("oidc.client_secret")
        || problems.any_at_or_below("oidc.client_secret_file");
    match way {
        ClientAuth::Basic | ClientAuth::Post if !has_secret => {
            problems.at(PATH, "needs a secret: give oidc.client_secret_file");
        }
        ClientAuth::None if has_secret => {
            problems.warn(PATH, "is \"none\", so the secret is never used");
        }
        _ => {}
    }
    Some(way)
}

fn scopes(raw: &RawOidc, problems: &mut Problems) -> Vec<String> {
    const PATH: &str = "oidc.scopes";
    let Some(written) = &raw.scopes else {
        return DEFAULT_SCOPES.map(str::to_owned).to_vec();
    };
    // RFC 6749 §3.3
    let in_scope = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    for (index, scope) in written.iter().enumerate() {
        if scope.is_empty() || !scope.bytes().all(in_scope) {
            let path = super::item(PATH, index, written.len());
            problems.at(path, "is not the name of one scope");
        }
    }
    if !written.iter().any(|scope| scope == "openid") {
        problems.at(PATH, "must hold \"openid\": without it there is no login");
    }
    let mut scopes: Vec<String> = Vec::new();
    for scope in written {
        if !scopes.contains(scope) {
            scopes.push(scope.clone());
        }
    }
    scopes
}

fn claim(path: &str, written: &str, problems: &mut Problems) -> Option<ClaimPath> {
    ClaimPath::parse(written)
        .map_err(|error| problems.at(path, error.to_string()))
        .ok()
}

fn authorize_params(raw: &RawOidc, problems: &mut Problems) -> Vec<(String, String)> {
    let params = raw.authorize_params.iter();
    for name in raw.authorize_params.keys() {
        let path = format!("oidc.authorize_params.{name}");
        if name.is_empty() {
            problems.at(path, "needs a name");
        } else if is_own_authorize_param(name) {
            problems.at(path, "is set by Portcullis itself");
        }
    }
    params
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// The certificates in `file`, which `key` names, as they are.
pub(super) fn certificates(key: &str, file: &Path, problems: &mut Problems) -> Option<Vec<u8>> {
    let pem = match secrets::read_public(file, MAX_CERTIFICATES) {
        Ok(pem) => pem,
        Err(error) => {
            problems.at(key, error.to_string());
            return None;
        }
    };
    let mut certificates = CertificateDer::pem_slice_iter(&pem).peekable();
    if certificates.peek().is_none() || certificates.any(|certificate| certificate.is_err()) {
        problems.at(
            key,
            format!("{} does not hold certificates in PEM form", file.display()),
        );
        return None;
    }
    Some(pem)
}
