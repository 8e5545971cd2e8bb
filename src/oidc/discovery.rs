//! What is known of the provider, kept fresh (OIDC Discovery 1.0 §4).
//!
//! One background task does all the fetching. Requests only read what it found, wake it, and wait
//! a bounded time: so a provider that needs five seconds is not asked again and again by callers
//! who give up after one, and any number of logins costs it one fetch.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openidconnect::{DiscoveryError, IssuerUrl};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::error::{HttpError, ProviderError};
use super::http_client::HttpClient;
use super::provider::{Metadata, Provider};

/// Between two fetches while all is well.
const REFRESH_EVERY: Duration = Duration::from_secs(3600);

/// After a first failure; doubled by each further one.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// The longest pause between two tries.
const SLOWEST_RETRY: Duration = Duration::from_secs(30);

/// The shortest pause between two tries, however often the task is woken.
const SHORTEST_PAUSE: Duration = Duration::from_millis(300);

/// How long a request waits for the very first fetch.
const FIRST_FETCH_PATIENCE: Duration = Duration::from_secs(5);

/// How long a request waits for a provider that was down when last tried.
const KNOWN_DOWN_PATIENCE: Duration = Duration::from_millis(900);

/// How long a request waits for new keys.
const NEW_KEYS_PATIENCE: Duration = Duration::from_secs(5);

/// Between two fetches that unknown keys ask for.
const NEW_KEYS_EVERY: Duration = Duration::from_secs(10);

/// The longest piece of the provider's own words that is kept for a message.
const MAX_DETAIL: usize = 300;

/// What is known after `attempts` fetches.
#[derive(Debug, Clone, Default)]
struct State {
    /// Fetches that have ended, well or badly.
    attempts: u64,
    /// What the last good one found. Kept when a later one fails.
    provider: Option<Arc<Provider>>,
    /// Why the last one failed, if it did.
    failure: Option<ProviderError>,
}

impl State {
    fn usable(&self) -> Result<Arc<Provider>, ProviderError> {
        match (&self.failure, &self.provider) {
            (Some(failure), _) => Err(failure.clone()),
            (None, Some(provider)) => Ok(Arc::clone(provider)),
            (None, None) => Err(ProviderError::NotYetKnown),
        }
    }
}

/// The last time that unknown keys asked for a fetch.
#[derive(Debug, Clone, Copy)]
struct KeyRequest {
    at: Instant,
    /// The fetch that answers it, counted as in [`State::attempts`].
    answered_by: u64,
}

/// Keeps the provider's metadata and keys.
#[derive(Debug)]
pub(super) struct Discovery {
    issuer: IssuerUrl,
    state: watch::Sender<State>,
    /// The number of the fetch that somebody waits for.
    wanted: watch::Sender<u64>,
    last_key_request: Mutex<Option<KeyRequest>>,
}

impl Discovery {
    pub(super) fn new(issuer: IssuerUrl) -> Self {
        Self {
            issuer,
            state: watch::Sender::default(),
            wanted: watch::Sender::default(),
            last_key_request: Mutex::default(),
        }
    }

    /// Fetches at once, then hourly, sooner after a failure or when woken. Runs until dropped.
    pub(super) async fn run(&self, http: &HttpClient) {
        let mut wanted = self.wanted.subscribe();
        let mut retry = FIRST_RETRY;
        loop {
            let outcome = self.fetch(http).await;
            let pause = if outcome.is_ok() {
                retry = FIRST_RETRY;
                REFRESH_EVERY
            } else {
                let doubled = (retry * 2).min(SLOWEST_RETRY);
                std::mem::replace(&mut retry, doubled)
            };
            let attempts = self.publish(outcome);
            sleep(SHORTEST_PAUSE).await;
            tokio::select! {
                () = sleep(pause.saturating_sub(SHORTEST_PAUSE)) => {}
                // The sender lives in `self`, so this cannot end with an error.
                _ = wanted.wait_for(|number| *number > attempts) => {}
            }
        }
    }

    async fn fetch(&self, http: &HttpClient) -> Result<Provider, ProviderError> {
        let metadata = Metadata::discover_async(self.issuer.clone(), http)
            .await
            .map_err(from_discovery)?;
        Provider::from_metadata(&metadata, http)
    }

    /// Tells everybody what a fetch found, and returns how many there have been.
    fn publish(&self, outcome: Result<Provider, ProviderError>) -> u64 {
        let mut attempts = 0;
        self.state.send_modify(|state| {
            state.attempts += 1;
            attempts = state.attempts;
            match outcome {
                Ok(provider) => {
                    if state.provider.is_none() || state.failure.is_some() {
                        tracing::info!(issuer = %*self.issuer, "the provider is known");
                    }
                    state.provider = Some(Arc::new(provider));
                    state.failure = None;
                }
                Err(failure) => {
                    // One line for an outage, not one for each try.
                    if state.failure.as_ref() != Some(&failure) {
                        tracing::warn!(
                            issuer = %*self.issuer,
                            code = failure.code(),
                            reason = %failure,
                            "the provider cannot be used at present; trying again"
                        );
                    }
                    state.failure = Some(failure);
                }
            }
        });
        attempts
    }

    /// What is known at this moment, current or not.
    pub(super) fn last_known(&self) -> Option<Arc<Provider>> {
        self.state.borrow().provider.clone()
    }

    /// The last fetch went well.
    pub(super) fn is_ready(&self) -> bool {
        self.state.borrow().usable().is_ok()
    }

    /// The provider, if it was there when last tried. Waits up to 5 s for the first fetch; when the
    /// last one failed, has it tried again and gives up after 900 ms.
    pub(super) async fn provider(&self) -> Result<Arc<Provider>, ProviderError> {
        let mut states = self.state.subscribe();
        let (seen, patience, known) = {
            let state = states.borrow_and_update();
            let patience = match state.usable() {
                Ok(provider) => return Ok(provider),
                Err(ProviderError::NotYetKnown) => FIRST_FETCH_PATIENCE,
                Err(_) => KNOWN_DOWN_PATIENCE,
            };
            (state.attempts, patience, state.usable())
        };
        self.want(seen + 1);
        match timeout(patience, states.wait_for(|state| state.attempts > seen)).await {
            Ok(Ok(state)) => state.usable(),
            _ => known,
        }
    }

    /// Newer keys than those of `seen`, in which a token's key was not found: `None` when none can
    /// be had now. Everybody who asks meanwhile shares one fetch, and there is one in 10 s at most.
    pub(super) async fn newer_than(&self, seen: &Arc<Provider>) -> Option<Arc<Provider>> {
        let is_newer = |provider: &Arc<Provider>| !Arc::ptr_eq(provider, seen);
        let mut states = self.state.subscribe();
        let attempts = {
            let state = states.borrow_and_update();
            if let Some(newer) = state.provider.as_ref().filter(|found| is_newer(found)) {
                return Some(Arc::clone(newer));
            }
            state.attempts
        };
        let number = self.request_keys(attempts)?;
        self.want(number);
        let waited = timeout(
            NEW_KEYS_PATIENCE,
            states.wait_for(|state| state.attempts >= number),
        );
        match waited.await {
            Ok(Ok(state)) => state.provider.clone().filter(is_newer),
            _ => None,
        }
    }

    /// The number of the fetch that will bring new keys; `None` when it is too soon for one.
    fn request_keys(&self, attempts: u64) -> Option<u64> {
        let mut last = self
            .last_key_request
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match *last {
            Some(request) if request.answered_by > attempts => Some(request.answered_by),
            Some(request) if request.at.elapsed() < NEW_KEYS_EVERY => None,
            _ => {
                let answered_by = attempts + 1;
                let at = Instant::now();
                *last = Some(KeyRequest { at, answered_by });
                Some(answered_by)
            }
        }
    }

    fn want(&self, number: u64) {
        self.wanted.send_if_modified(|wanted| {
            let is_more = *wanted < number;
            *wanted = number.max(*wanted);
            is_more
        });
    }
}

/// Takes what may be told out of `openidconnect`'s error: its `Response` carries the whole body.
fn from_discovery(error: DiscoveryError<HttpError>) -> ProviderError {
    match error {
        DiscoveryError::Request(error) => ProviderError::Http(error),
        DiscoveryError::Response(status, ..) if status.as_u16() != 200 => {
            let status = status.as_u16();
            ProviderError::Status { status }
        }
        DiscoveryError::Response(..) => ProviderError::Malformed {
            at: "content-type".to_owned(),
        },
        DiscoveryError::Parse(error) => ProviderError::Malformed {
            at: shortened(&error.path().to_string()),
        },
        DiscoveryError::Validation(detail) => ProviderError::IssuerMismatch {
            detail: shortened(&detail),
        },
        _ => ProviderError::Malformed {
            at: "endpoint".to_owned(),
        },
    }
}

fn shortened(text: &str) -> String {
    text.chars()
        .filter(|character| !character.is_control())
        .take(MAX_DETAIL)
        .collect()
}
