//! The use cases, one a file: what happens in which order. No framework; what outlives a request is
//! reached through the [`Gate`].

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use url::Url;

use crate::clock::Clock;
use crate::domain::cookie_scope::{CookieDomains, CookieScope};
use crate::domain::host::{Authority, Host};
use crate::domain::policy::Policies;
use crate::domain::return_to::{ReturnTo, ReturnToError};
use crate::domain::service::Service;
use crate::domain::service_table::ServiceTable;
use crate::domain::session::SessionId;
use crate::flows::handover::{Flow, Handover};
use crate::flows::refresh::Refresher;
use crate::flows::step_up::For;
pub use crate::flows::tell::CompleteLists;
use crate::oidc::RelyingParty;
use crate::store::sealing::Keyring;
use crate::store::sessions::Sessions;
use crate::store::users::Users;
use crate::telemetry::denials::Denials;
use crate::telemetry::metrics::{DecisionCounters, Metrics};

pub mod answer;
pub mod attempt;
pub mod backchannel;
pub mod callback;
mod challenge;
pub mod control;
pub mod enter;
pub mod handover;
pub mod login;
pub mod logout;
pub mod refresh;
pub mod step_up;
mod tell;
pub mod verify;

/// Logins that were begun again this often, one after the other, are stopped with a page.
pub const MAX_HOPS: u8 = 3;

/// How often where somebody who is signed in has to sign in again: their cookie arrives, and pages of several policies
/// may each want a sign-in of their own right after the first.
const MAX_STEP_UP_HOPS: u8 = 2 * MAX_HOPS;

/// Everything that the flows work with. Built once, by `startup`.
pub struct Gate {
    /// The protected apps.
    pub services: ServiceTable,
    /// The policies that a proxy may name.
    pub policies: Policies,
    /// Who is signed in.
    pub sessions: Arc<Sessions>,
    /// Who has ever been, of late.
    pub users: Arc<Users>,
    /// What keeps sessions up to date.
    pub refresher: Refresher,
    /// What seals and opens.
    pub keyring: Arc<Keyring>,
    /// Login links and tickets.
    pub handover: Handover,
    /// We, towards the provider.
    pub relying_party: Arc<RelyingParty>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where browsers find the portal.
    pub public_url: Url,
    /// Whether protected hosts may be served over plain `http` (`server.danger_allow_http`).
    pub allow_http: bool,
    /// The domains whose hosts share one cookie.
    pub cookie_domains: CookieDomains,
    /// What has been warned about.
    pub warnings: Warnings,
    /// What proxies say that they copy.
    pub complete_lists: CompleteLists,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where decisions about `services` are counted.
    pub decisions: DecisionCounters,
    /// Which denials are written.
    pub denials: Arc<Denials>,
}

/// Which warnings about services and their headers were given: each is worth one line. As many as the
/// configuration has of both, at most.
#[derive(Default)]
pub struct Warnings(Mutex<HashSet<(String, String)>>);

impl Warnings {
    /// Whether this one has not been given yet; it counts as given from now on.
    fn is_new(&self, service: &str, header: &str) -> bool {
        let mut given = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        given.insert((service.to_owned(), header.to_owned()))
    }
}

impl Gate {
    /// The URL of `path` (which begins with a slash) at the portal.
    #[must_use]
    pub fn portal_url(&self, path: &str) -> String {
        let base = self.public_url.as_str().trim_end_matches('/');
        format!("{base}{path}")
    }

    /// The scope of the session cookie on the protected host of `authority`.
    #[must_use]
    pub fn cookie_scope(&self, authority: &Authority) -> CookieScope<'_> {
        let service = self.services.find(authority).ok();
        self.cookie_scope_of(&authority.host, service)
    }

    /// The same, where it is known which service `host` means, if any.
    #[must_use]
    pub fn cookie_scope_of(&self, host: &Host, service: Option<&Arc<Service>>) -> CookieScope<'_> {
        match service {
            Some(service) => self.cookie_domains.scope(host, service),
            None => CookieScope::Host,
        }
    }

    /// The domain whose hosts share the cookie that the portal can set, because it lies there itself.
    #[must_use]
    pub fn portal_domain(&self) -> Option<&Host> {
        self.cookie_domains.domain_of(&self.services.portal().host)
    }

    /// Whether the portal's own answer signs somebody in at `target`, without a ticket.
    fn shares_cookie(&self, target: &ReturnTo) -> bool {
        match self.cookie_scope(target.authority()) {
            CookieScope::Domain(domain) => self.portal_domain() == Some(domain),
            CookieScope::Host => false,
        }
    }

    /// Reads an address to return to.
    ///
    /// # Errors
    ///
    /// [`ReturnToError`], for what is not plainly a page of a protected host.
    pub fn return_to(&self, raw: &str) -> Result<ReturnTo, ReturnToError> {
        ReturnTo::parse(raw, &self.services, self.allow_http)
    }

    /// The link that begins a login and comes back to `target`.
    fn login_link(&self, target: &str, step_up: &For, flow: Flow, frame: bool) -> String {
        let f = self
            .handover
            .login_parameter(target, step_up.as_str(), flow);
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("rd", target);
        if !step_up.is_none() {
            query.append_pair("step_up", step_up.as_str());
        }
        query.append_pair("f", &f);
        if frame {
            query.append_pair("frame", "1");
        }
        self.portal_url(&format!("/login?{}", query.finish()))
    }

    /// A link that begins a login at the portal alone, and goes on to `target`.
    fn plain_login_link(&self, target: &str, step_up: &For) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("rd", target);
        if !step_up.is_none() {
            query.append_pair("step_up", step_up.as_str());
        }
        self.portal_url(&format!("/login?{}", query.finish()))
    }

    /// Where somebody goes who is signed in at the portal: with a ticket, when the login began at a protected
    /// host in this browser.
    fn onward(&self, session: &SessionId, target: &ReturnTo, flow: Option<Flow>) -> String {
        match flow {
            Some(flow) if !self.shares_cookie(target) => {
                let ticket = self.handover.ticket(session, target, flow);
                format!("{}/.portcullis/enter?ticket={ticket}", target.origin())
            }
            _ => target.as_str().to_owned(),
        }
    }
}
