//! HTTP: read a request, call one flow, write its outcome. [`routes`] is the table of URLs.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use actix_web::HttpRequest;
use actix_web::http::header::{AsHeaderName, HeaderMap};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use crate::domain::dialects::Dialects;
use crate::domain::proxies::{ClientAddress, TrustedProxies};
use crate::flows::Gate;
use crate::http::answers::CopiedNames;
use crate::http::cookies::CookieNames;
use crate::http::limit::AddressLimit;
use crate::telemetry::metrics::Metrics;

mod admin;
mod answers;
mod backchannel;
pub(crate) mod control;
mod cookies;
mod decision_id;
mod dialect;
pub mod head_limit;
mod limit;
mod login;
mod logout;
mod pages;
pub mod panics;
mod portal;
pub mod routes;
pub mod stopping;
pub mod upgrades;

pub(crate) use self::answers::UNTRUSTED;
pub use self::dialect::nginx::keep_to_its_statuses;
pub(crate) use self::dialect::read_forwarded;

/// How many addresses that are not our proxies' are named in the log, one line each. There may be any
/// number of them.
const MAX_NAMED_PEERS: usize = 64;

/// What the handlers share.
pub struct Http {
    gate: Arc<Gate>,
    trusted_proxies: TrustedProxies,
    proxy_secret: Option<SecretString>,
    dialects: Dialects,
    cookies: CookieNames,
    copied: CopiedNames,
    login_limit: AddressLimit,
    /// Of back-channel logouts, those that are refused.
    logout_limit: AddressLimit,
    named_peers: Mutex<HashSet<IpAddr>>,
}

/// Why the other end of a connection may not ask us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Distrust {
    /// Its address is none of our proxies'.
    Address(IpAddr),
    /// It does not know the secret that our proxies have in common with us.
    Secret,
}

impl Http {
    /// Puts together what the handlers share.
    #[must_use]
    pub fn new(
        gate: Arc<Gate>,
        trusted_proxies: TrustedProxies,
        proxy_secret: Option<SecretString>,
        dialects: Dialects,
    ) -> Self {
        Self {
            cookies: CookieNames::new(!gate.allow_http),
            copied: CopiedNames::of(&gate.services),
            gate,
            trusted_proxies,
            proxy_secret,
            dialects,
            login_limit: AddressLimit::default(),
            logout_limit: AddressLimit::default(),
            named_peers: Mutex::default(),
        }
    }

    /// What is counted.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.gate.metrics
    }

    /// Whether the other end of this connection may ask about other people's requests. Whoever may open our
    /// Unix socket is the proxy.
    fn trust_peer(&self, request: &HttpRequest) -> Result<(), Distrust> {
        if let Some(peer) = peer_of(request)
            && !self.trusted_proxies.trust(peer)
        {
            return Err(Distrust::Address(peer));
        }
        let Some(secret) = &self.proxy_secret else {
            return Ok(());
        };
        let shown = sole_value(request.headers(), "portcullis-proxy").unwrap_or_default();
        if bool::from(shown.ct_eq(secret.expose_secret().as_bytes())) {
            Ok(())
        } else {
            Err(Distrust::Secret)
        }
    }

    /// Logs a refused peer: with the line to add to the configuration, once an address.
    fn name_peer(&self, id: &str, distrust: Distrust) {
        match distrust {
            Distrust::Secret if !self.gate.denials.admit(ClientAddress::Unknown) => {}
            Distrust::Secret => {
                tracing::warn!(
                    decision = id,
                    "refused: the request came without the right Portcullis-Proxy"
                );
            }
            Distrust::Address(peer) => {
                let mut named = self
                    .named_peers
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                if named.len() < MAX_NAMED_PEERS && named.insert(peer) {
                    let bits = if peer.is_ipv4() { 32 } else { 128 };
                    tracing::warn!(
                        decision = id,
                        %peer,
                        "refused: this peer is not a trusted proxy; if it is your proxy, add \
                         \"{peer}/{bits}\" to server.trusted_proxies"
                    );
                } else {
                    tracing::debug!(decision = id, %peer, "refused: not a trusted proxy");
                }
            }
        }
    }

    /// The client of a request to the portal: as forwarded, where a trusted proxy sent it.
    fn portal_client(&self, request: &HttpRequest) -> ClientAddress {
        let Some(peer) = peer_of(request) else {
            return self.forwarded_client(request);
        };
        if self.trusted_proxies.trust(peer) && request.headers().contains_key("x-forwarded-for") {
            match self.forwarded_client(request) {
                // What is no address counts as the proxy itself, so that the limits hold.
                ClientAddress::Unknown => ClientAddress::Known(peer),
                known @ ClientAddress::Known(_) => known,
            }
        } else {
            ClientAddress::Known(peer)
        }
    }

    fn forwarded_client(&self, request: &HttpRequest) -> ClientAddress {
        // A line that is not text is an entry that is no address.
        let lines: Vec<&str> = request
            .headers()
            .get_all("x-forwarded-for")
            .map(|value| value.to_str().unwrap_or("?"))
            .collect();
        self.trusted_proxies.client_address(lines.into_iter())
    }
}

/// The socket's other end; `None` on a Unix socket.
fn peer_of(request: &HttpRequest) -> Option<IpAddr> {
    request
        .peer_addr()
        .map(|address| address.ip().to_canonical())
}

/// The value of a header that came once; `None` when it came twice, or not at all.
fn sole_value(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&[u8]> {
    let mut values = headers.get_all(name);
    match (values.next(), values.next()) {
        (Some(value), None) => Some(value.as_bytes()),
        _ => None,
    }
}

/// The same as text.
fn sole_text(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&str> {
    std::str::from_utf8(sole_value(headers, name)?).ok()
}
