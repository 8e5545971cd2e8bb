//! The hand-over from the portal to a protected host: login links, which tie a login to the browser that
//! began it, and tickets, which let that browser, and no other, take the session to the host.
//!
//! Neither needs the store. A browser that is sent to log in gets a flow cookie on the protected host; the
//! link carries a MAC over that cookie's hash, and so does the ticket that comes back. A ticket that leaks
//! is useless elsewhere, and `enter` deletes the flow cookie, so it works once.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::clock::Clock;
use crate::domain::host::Host;
use crate::domain::return_to::ReturnTo;
use crate::domain::session::SessionId;
use crate::domain::time::Timestamp;
use crate::store::sealing::{Keyring, Purpose, random};

/// How long a login link is good for, and so is the flow cookie.
pub const LINK_LIFETIME: Duration = Duration::from_secs(600);

/// How long a ticket is good for: a redirect.
pub const TICKET_LIFETIME: Duration = Duration::from_secs(60);

/// What the flow cookie holds: 256 random bits that only this browser knows, on this host.
#[derive(Clone, PartialEq, Eq)]
pub struct FlowSecret([u8; 32]);

impl fmt::Debug for FlowSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FlowSecret(..)")
    }
}

impl FlowSecret {
    /// A new one.
    #[must_use]
    pub fn new() -> Self {
        Self(random())
    }

    /// Reads the cookie's value; `None` for what we never sent.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(Self(decode(text)?))
    }

    /// The cookie's value.
    #[must_use]
    pub fn to_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// What links and tickets carry of it.
    #[must_use]
    pub fn hash(&self) -> FlowHash {
        FlowHash(blake3::derive_key("portcullis v1 flow", &self.0))
    }
}

impl Default for FlowSecret {
    fn default() -> Self {
        Self::new()
    }
}

/// Names a flow cookie without giving it away.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct FlowHash([u8; 32]);

impl FlowHash {
    /// Whether this is the hash of `secret`.
    #[must_use]
    pub fn is_of(&self, secret: &FlowSecret) -> bool {
        self.0.ct_eq(&secret.hash().0).into()
    }
}

/// A login on its way: which browser, and the how manieth try along its chain.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Flow {
    /// The browser's flow cookie on the protected host.
    pub cookie: FlowHash,
    /// How often this login was begun again.
    pub hops: u8,
}

/// What a ticket says.
#[derive(Clone)]
pub struct Ticket {
    /// The session to take over.
    pub session: SessionId,
    /// For which browser.
    pub flow: Flow,
    /// Where to go then: a URL of the host that the ticket was made for.
    pub target: String,
    /// When it was made.
    pub made: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct TicketFields {
    session: [u8; 32],
    flow: Flow,
    target: String,
    made: Timestamp,
}

/// Makes and reads login links and tickets.
pub struct Handover {
    keyring: Arc<Keyring>,
    clock: Arc<dyn Clock>,
}

impl Handover {
    /// Works with these keys and this clock.
    #[must_use]
    pub fn new(keyring: Arc<Keyring>, clock: Arc<dyn Clock>) -> Self {
        Self { keyring, clock }
    }

    /// The `f` of a login link for `target` and a step-up (empty for none): `hops ‖ time ‖ flow hash ‖ MAC`.
    #[must_use]
    pub fn login_parameter(&self, target: &str, step_up: &str, flow: Flow) -> String {
        let head = link_head(flow, self.clock.now());
        let said = [&head, target.as_bytes(), step_up.as_bytes()];
        let mac = self.keyring.mac(Purpose::LoginLink, &said);
        let mut bytes = head.to_vec();
        bytes.extend(mac);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads the `f` of a login link for `target` and a step-up; `None` unless it is ours, for these, and fresh.
    #[must_use]
    pub fn read_login_parameter(&self, f: &str, target: &str, step_up: &str) -> Option<Flow> {
        let bytes: [u8; LINK_HEAD_BYTES + 32] = decode(f)?;
        let (head, mac) = bytes.split_first_chunk::<LINK_HEAD_BYTES>()?;
        let mac = mac.try_into().ok()?;
        let said = [&head[..], target.as_bytes(), step_up.as_bytes()];
        if !self.keyring.verifies(Purpose::LoginLink, &said, mac) {
            return None;
        }
        let (hops, rest) = head.split_first()?;
        let (made, cookie) = rest.split_first_chunk::<8>()?;
        let made = Timestamp::from_seconds(u64::from_be_bytes(*made));
        let flow = Flow {
            cookie: FlowHash(cookie.try_into().ok()?),
            hops: *hops,
        };
        self.is_fresh(made, LINK_LIFETIME).then_some(flow)
    }

    /// A ticket for the host of `target`.
    #[must_use]
    pub fn ticket(&self, session: &SessionId, target: &ReturnTo, flow: Flow) -> String {
        let fields = TicketFields {
            session: *session.as_bytes(),
            flow,
            target: target.as_str().to_owned(),
            made: self.clock.now(),
        };
        let plain = serde_json::to_vec(&fields).expect("a ticket has string keys");
        let host = target.authority().host.as_str().as_bytes();
        URL_SAFE_NO_PAD.encode(self.keyring.seal(Purpose::Ticket, host, &plain))
    }

    /// Opens a ticket at `host`; `None` unless it is ours and for that host. Whether it is in time is for the
    /// caller to ask ([`is_in_time`](Self::is_in_time)): one that came late still says where to go.
    #[must_use]
    pub fn open_ticket(&self, ticket: &str, host: &Host) -> Option<Ticket> {
        let sealed = URL_SAFE_NO_PAD.decode(ticket).ok()?;
        let host = host.as_str().as_bytes();
        let plain = self.keyring.open(Purpose::Ticket, host, &sealed).ok()?;
        let fields: TicketFields = serde_json::from_slice(&plain).ok()?;
        Some(Ticket {
            session: SessionId::from_bytes(fields.session),
            flow: fields.flow,
            target: fields.target,
            made: fields.made,
        })
    }

    /// Whether `ticket` is still good.
    #[must_use]
    pub fn is_in_time(&self, ticket: &Ticket) -> bool {
        self.is_fresh(ticket.made, TICKET_LIFETIME)
    }

    /// Replicas' clocks may differ by a little, so something made a moment ahead is fresh too.
    pub(super) fn is_fresh(&self, made: Timestamp, lifetime: Duration) -> bool {
        let now = self.clock.now();
        now.since(made) < lifetime && made.since(now) < TICKET_LIFETIME
    }
}

const LINK_HEAD_BYTES: usize = 1 + 8 + 32;

fn link_head(flow: Flow, made: Timestamp) -> [u8; LINK_HEAD_BYTES] {
    let mut head = [0; LINK_HEAD_BYTES];
    head[0] = flow.hops;
    head[1..9].copy_from_slice(&made.seconds().to_be_bytes());
    head[9..].copy_from_slice(&flow.cookie.0);
    head
}

/// Decodes exactly `N` bytes.
fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    // Looked at first, so that a stranger cannot make us decode a long text.
    if text.len() != (N * 4).div_ceil(3) {
        return None;
    }
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract::ManualClock;

    const TARGET: &str = "https://films.example.net/a?b=c";

    fn handover() -> (Handover, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::default());
        let handover = Handover::new(Arc::new(Keyring::ephemeral()), clock.clone());
        (handover, clock)
    }

    #[test]
    fn a_link_is_for_its_target_and_its_time() {
        let (handover, clock) = handover();
        let secret = FlowSecret::new();
        let flow = Flow {
            cookie: secret.hash(),
            hops: 2,
        };
        let f = handover.login_parameter(TARGET, "danger", flow);
        let read = |f: &str, target, step_up| handover.read_login_parameter(f, target, step_up);
        let ours = read(&f, TARGET, "danger").expect("ours");
        assert!(ours.cookie.is_of(&secret) && ours.hops == 2);
        assert!(!ours.cookie.is_of(&FlowSecret::new()));
        assert!(read(&f, "https://films.example.net/", "danger").is_none());
        assert!(read(&f, TARGET, "").is_none());
        assert!(read(&f, TARGET, "other").is_none());
        for at in 0..f.len() {
            let mut changed = f.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).expect("ASCII");
            // The last character carries bits that are not part of any byte; those do not decode.
            assert!(read(&changed, TARGET, "danger").is_none(), "{at}");
        }
        clock.advance(LINK_LIFETIME);
        assert!(read(&f, TARGET, "danger").is_none());
    }

    #[test]
    fn a_flow_cookie_reads_back() {
        let secret = FlowSecret::new();
        assert_eq!(FlowSecret::parse(&secret.to_text()), Some(secret));
        for text in ["", "abc", "!".repeat(43).as_str(), "A".repeat(44).as_str()] {
            assert_eq!(FlowSecret::parse(text), None, "{text}");
        }
    }
}
