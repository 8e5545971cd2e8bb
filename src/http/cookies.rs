//! Our cookies: names, scopes, attributes, and what makes a value ours.
//!
//! Every name begins with `portcullis` behind its prefix, so that a proxy can cut them all out with one
//! expression before the app sees them. `__Host-` makes the browser hold each to one host, over https.

mod apps;

use std::borrow::Cow;
use std::time::Duration;

use actix_web::http::header::{COOKIE, HeaderMap, HeaderValue};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

pub(super) use self::apps::without_ours;
use crate::domain::cookie_scope::CookieScope;
use crate::domain::host::Host;
use crate::domain::session::SessionId;
use crate::flows::answer::CookieChange;
use crate::flows::attempt::SealedAttempt;
use crate::flows::handover::{FlowSecret, LINK_LIFETIME};
use crate::flows::login::Bounces;
use crate::store::sealing::{Keyring, Purpose};

const OURS: &str = "portcullis";
const PREFIXES: [&str; 2] = ["__Host-", "__Secure-"];

/// How long a browser counts the rounds of a loop: one goes round in milliseconds.
const LOOP_TIME: Duration = Duration::from_secs(10);

/// How many cookies of one name are tried. A neighbour on the same domain can set more of them.
const MAX_TRIED: usize = 8;

/// How many attempts of one browser are looked at. They are cleared away down to three; a browser that restores
/// more tabs than this at once has to sign in once more.
const MAX_ATTEMPTS_READ: usize = 64;

/// The names in use here.
#[derive(Debug, Clone, Copy)]
pub(super) struct CookieNames {
    secure: bool,
}

/// Which cookie.
#[derive(Clone, Copy)]
enum Kind<'a> {
    /// A protected host's session.
    Host,
    /// The session of all hosts of a domain.
    Domain(&'a Host),
    /// A protected host's flow.
    Flow,
    /// The portal's session.
    Portal,
    /// One login on its way.
    Attempt(&'a str),
    /// How often in a row somebody was sent on without a ticket.
    Bounces,
    /// How many logins in a row have just ended at a protected host.
    Hops,
}

impl CookieNames {
    /// With prefixes and `Secure`, unless this is development over http.
    pub(super) const fn new(secure: bool) -> Self {
        Self { secure }
    }

    fn name(self, kind: Kind<'_>) -> Cow<'static, str> {
        let fixed = |secure: &'static str, plain: &'static str| {
            Cow::Borrowed(if self.secure { secure } else { plain })
        };
        match kind {
            Kind::Host => fixed("__Host-portcullis", "portcullis"),
            // Browsers refuse `__Host-` with a domain.
            Kind::Domain(_) => fixed("__Secure-portcullis", "portcullis"),
            Kind::Flow => fixed("__Host-portcullis-flow", "portcullis-flow"),
            Kind::Portal => fixed("__Host-portcullis-sso", "portcullis-sso"),
            Kind::Attempt(label) => {
                let begin = fixed("__Host-portcullis-login-", "portcullis-login-");
                Cow::Owned(format!("{begin}{label}"))
            }
            Kind::Bounces => fixed("__Host-portcullis-bounces", "portcullis-bounces"),
            Kind::Hops => fixed("__Host-portcullis-hops", "portcullis-hops"),
        }
    }

    // `Lax`, not `Strict`: the callback, and every link to an app from elsewhere, is a navigation from another
    // site, and Strict would keep the cookie back.
    fn set(self, kind: Kind<'_>, value: &str, max_age: Duration) -> String {
        let secure = if self.secure { "; Secure" } else { "" };
        let domain = match kind {
            Kind::Domain(domain) => format!("; Domain={domain}"),
            _ => String::new(),
        };
        let (name, seconds) = (self.name(kind), max_age.as_secs());
        format!("{name}={value}; Path=/{domain}; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}")
    }

    fn drop(self, kind: Kind<'_>) -> String {
        self.set(kind, "", Duration::ZERO)
    }

    /// The value of `Set-Cookie` for a change at the protected host `host`, whose session cookie has this scope.
    pub(super) fn change(
        self,
        change: &CookieChange,
        (host, scope): (&Host, CookieScope<'_>),
        keyring: &Keyring,
        lifetime: Duration,
    ) -> String {
        match (change, scope) {
            (CookieChange::SetFlow(secret), _) => {
                self.set(Kind::Flow, &secret.to_text(), LINK_LIFETIME)
            }
            (CookieChange::DropFlow, _) => self.drop(Kind::Flow),
            (CookieChange::SetSession(id), CookieScope::Host) => {
                let value = bind(keyring, Purpose::HostCookie, host, id);
                self.set(Kind::Host, &value, lifetime)
            }
            (CookieChange::SetSession(id), CookieScope::Domain(domain)) => {
                self.set_domain(id, domain, keyring, lifetime)
            }
            (CookieChange::DropSession, CookieScope::Host) => self.drop(Kind::Host),
            (CookieChange::DropSession, CookieScope::Domain(domain)) => self.drop_domain(domain),
            (CookieChange::SetHops(0), _) => self.drop(Kind::Hops),
            (CookieChange::SetHops(hops), _) => self.set(Kind::Hops, &hops.to_string(), LOOP_TIME),
        }
    }

    /// The session of all hosts of `domain`.
    pub(super) fn set_domain(
        self,
        id: &SessionId,
        domain: &Host,
        keyring: &Keyring,
        lifetime: Duration,
    ) -> String {
        let value = bind(keyring, Purpose::DomainCookie, domain, id);
        self.set(Kind::Domain(domain), &value, lifetime)
    }

    pub(super) fn drop_domain(self, domain: &Host) -> String {
        self.drop(Kind::Domain(domain))
    }

    /// The portal's session.
    pub(super) fn set_portal(
        self,
        id: &SessionId,
        portal: &Host,
        keyring: &Keyring,
        lifetime: Duration,
    ) -> String {
        let value = bind(keyring, Purpose::PortalCookie, portal, id);
        self.set(Kind::Portal, &value, lifetime)
    }

    pub(super) fn drop_portal(self) -> String {
        self.drop(Kind::Portal)
    }

    pub(super) fn set_attempt(self, attempt: &SealedAttempt) -> String {
        self.set(
            Kind::Attempt(&attempt.label),
            &attempt.sealed,
            LINK_LIFETIME,
        )
    }

    pub(super) fn drop_attempt(self, label: &str) -> String {
        self.drop(Kind::Attempt(label))
    }

    /// Remembers `bounces`, or forgets them.
    pub(super) fn set_bounces(self, bounces: Bounces) -> String {
        match bounces {
            Bounces { count: 0, .. } => self.drop(Kind::Bounces),
            Bounces { count, target } => {
                self.set(Kind::Bounces, &format!("{count}.{target:08x}"), LOOP_TIME)
            }
        }
    }

    /// The session that the cookie of the protected host `host` names. A cookie of another scope than the host's
    /// counts for nothing.
    pub(super) fn host_session(
        self,
        cookies: &Cookies<'_>,
        (host, scope): (&Host, CookieScope<'_>),
        keyring: &Keyring,
    ) -> Option<SessionId> {
        let (kind, purpose, bound_to) = match scope {
            CookieScope::Host => (Kind::Host, Purpose::HostCookie, host),
            CookieScope::Domain(domain) => (Kind::Domain(domain), Purpose::DomainCookie, domain),
        };
        let mut values = cookies.values(self.name(kind));
        values.find_map(|value| unbind(keyring, purpose, bound_to, value))
    }

    /// The session that the portal's cookie names.
    pub(super) fn portal_session(
        self,
        cookies: &Cookies<'_>,
        portal: &Host,
        keyring: &Keyring,
    ) -> Option<SessionId> {
        let mut values = cookies.values(self.name(Kind::Portal));
        values.find_map(|value| unbind(keyring, Purpose::PortalCookie, portal, value))
    }

    /// The flow cookie.
    pub(super) fn flow(self, cookies: &Cookies<'_>) -> Option<FlowSecret> {
        cookies
            .values(self.name(Kind::Flow))
            .find_map(FlowSecret::parse)
    }

    /// The logins on their way.
    pub(super) fn attempts(self, cookies: &Cookies<'_>) -> Vec<SealedAttempt> {
        let prefix = self.name(Kind::Attempt(""));
        let ours = cookies.pairs.iter().filter_map(|(name, value)| {
            let label = name.strip_prefix(&*prefix)?.to_owned();
            let sealed = (*value).to_owned();
            Some(SealedAttempt { label, sealed })
        });
        ours.take(MAX_ATTEMPTS_READ).collect()
    }

    /// How often in a row this browser was sent on without a ticket, and where.
    pub(super) fn bounces(self, cookies: &Cookies<'_>) -> Bounces {
        let read = |value: &str| {
            let (count, target) = value.split_once('.')?;
            Some(Bounces {
                count: count.parse().ok()?,
                target: u32::from_str_radix(target, 16).ok()?,
            })
        };
        cookies
            .values(self.name(Kind::Bounces))
            .next()
            .and_then(read)
            .unwrap_or_default()
    }

    /// How many logins in a row have just ended at this protected host.
    pub(super) fn hops(self, cookies: &Cookies<'_>) -> u8 {
        let hops = cookies.values(self.name(Kind::Hops)).next();
        hops.and_then(|hops| hops.parse().ok()).unwrap_or(0)
    }
}

/// The cookies of ours that came with a request.
pub(super) struct Cookies<'a> {
    pairs: Vec<(&'a str, &'a str)>,
}

impl<'a> Cookies<'a> {
    /// Reads them; what is not text is not ours.
    pub(super) fn read(headers: &'a HeaderMap) -> Self {
        let lines = headers.get_all(COOKIE).map(HeaderValue::as_bytes);
        let pairs = lines
            // Never at commas: a neighbour's `a=x,__Host-portcullis=…; Domain=…` would be what browsers refuse.
            .flat_map(|line| line.split(|byte| *byte == b';'))
            .filter_map(|pair| std::str::from_utf8(pair).ok())
            .filter_map(|pair| pair.trim_matches([' ', '\t']).split_once('='))
            .filter(|(name, _)| is_our_name(name.as_bytes()));
        Self {
            pairs: pairs.collect(),
        }
    }

    fn values(&self, name: Cow<'static, str>) -> impl Iterator<Item = &'a str> {
        let values = self.pairs.iter().filter(move |(found, _)| *found == name);
        values.map(|(_, value)| *value).take(MAX_TRIED)
    }
}

/// Whether a cookie of this name is ours: `portcullis` behind at most one prefix, and what we may add to it.
fn is_our_name(name: &[u8]) -> bool {
    let bare = PREFIXES
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix.as_bytes()));
    let Some(rest) = bare.unwrap_or(name).strip_prefix(OURS.as_bytes()) else {
        return false;
    };
    rest.iter()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// A session id for one host: `id ‖ MAC(purpose, id, host)`, so that it is useless on any other.
fn bind(keyring: &Keyring, purpose: Purpose, host: &Host, id: &SessionId) -> String {
    let mac = keyring.mac(purpose, &[id.as_bytes(), host.as_str().as_bytes()]);
    let mut value = [0; 64];
    value[..32].copy_from_slice(id.as_bytes());
    value[32..].copy_from_slice(&mac);
    URL_SAFE_NO_PAD.encode(value)
}

fn unbind(keyring: &Keyring, purpose: Purpose, host: &Host, value: &str) -> Option<SessionId> {
    // 64 bytes are 86 characters; nothing longer is even decoded.
    if value.len() != 86 {
        return None;
    }
    let mut bytes = [0; 64];
    let length = URL_SAFE_NO_PAD.decode_slice(value, &mut bytes).ok()?;
    if length != bytes.len() {
        return None;
    }
    let (id, mac) = bytes.split_first_chunk::<32>()?;
    let mac = mac.try_into().ok()?;
    let ours = keyring.verifies(purpose, &[id, host.as_str().as_bytes()], mac);
    ours.then(|| SessionId::from_bytes(*id))
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn headers(lines: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            let value = HeaderValue::from_bytes(line).expect("a header value");
            headers.append(COOKIE, value);
        }
        headers
    }

    fn host(name: &str) -> Host {
        Host::parse(name).expect("a host")
    }

    #[test]
    fn a_session_cookie_is_for_its_host_and_purpose() {
        let keyring = Keyring::ephemeral();
        let names = CookieNames::new(true);
        let id = SessionId::from_bytes([7; 32]);
        let films = host("films.example.net");
        let change = CookieChange::SetSession(id.clone());
        let set = names.change(
            &change,
            (&films, CookieScope::Host),
            &keyring,
            Duration::from_secs(60),
        );
        let (pair, attributes) = set.split_once("; ").expect("attributes");
        assert!(pair.starts_with("__Host-portcullis="));
        assert_eq!(
            attributes,
            "Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure"
        );
        let request = headers(&[pair.as_bytes()]);
        let cookies = Cookies::read(&request);
        assert_eq!(
            names.host_session(&cookies, (&films, CookieScope::Host), &keyring),
            Some(id)
        );
        assert_eq!(
            names.host_session(
                &cookies,
                (&host("notes.example.net"), CookieScope::Host),
                &keyring
            ),
            None
        );
        assert_eq!(names.portal_session(&cookies, &films, &keyring), None);
        assert_eq!(
            names.host_session(&cookies, (&films, CookieScope::Host), &Keyring::ephemeral()),
            None
        );
    }

    #[test]
    fn the_first_cookie_that_opens_counts() {
        let keyring = Keyring::ephemeral();
        let names = CookieNames::new(true);
        let id = SessionId::from_bytes([7; 32]);
        let films = host("films.example.net");
        let value = bind(&keyring, Purpose::HostCookie, &films, &id);
        let line = format!("__Host-portcullis=tossed; __Host-portcullis={value}");
        let sent = headers(&[line.as_bytes()]);
        let found =
            names.host_session(&Cookies::read(&sent), (&films, CookieScope::Host), &keyring);
        assert_eq!(found, Some(id));
    }

    /// A neighbour on the same domain may set such a cookie, and none of our name.
    #[test]
    fn a_cookie_within_another_ones_value_is_none() {
        let keyring = Keyring::ephemeral();
        let names = CookieNames::new(true);
        let films = host("films.example.net");
        let id = SessionId::from_bytes([7; 32]);
        let value = bind(&keyring, Purpose::HostCookie, &films, &id);
        let line = format!("a=x,__Host-portcullis={value}");
        let sent = headers(&[line.as_bytes()]);
        let found =
            names.host_session(&Cookies::read(&sent), (&films, CookieScope::Host), &keyring);
        assert_eq!(found, None);
    }

    #[test]
    fn for_development_cookies_have_no_prefix() {
        let names = CookieNames::new(false);
        assert_eq!(
            names.drop_portal(),
            "portcullis-sso=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"
        );
    }
}
