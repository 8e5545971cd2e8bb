//! What is known of the provider, kept fresh (OIDC Discovery 1.0 §4).
//!
//! One background task does all the fetching. Requests only read what it found, wake it, and wait
//! a bounded time: so a provider that needs five seconds is not asked again and again by callers
//! who give up after one, and any number of logins costs it one fetch.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openidconnect::IssuerUrl;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::error::{HttpError, ProviderError};
use super::fetch;
use super::http_client::HttpClient;
use super::key_budget::{Asks, KeyBudget};
use super::provider::{Keys, Provider};
use crate::domain::relying_party::OidcSettings;

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

/// How long it counts that the provider was there, for a browser that is about to be sent to it.
const THERE_FOR: Duration = Duration::from_secs(3);

/// How long a request waits for new keys.
const NEW_KEYS_PATIENCE: Duration = Duration::from_secs(5);

/// What is known after `attempts` fetches.
#[derive(Debug, Clone, Default)]
struct State {
    /// Fetches that have ended, well or badly.
    attempts: u64,
    /// When the last one ended.
    ended: Option<Instant>,
    /// What the last good one found. Kept when a later one fails.
    provider: Option<Arc<Provider>>,
    /// Why the last one failed, if it did.
    failure: Option<ProviderError>,
    /// Why the last one brought no keys, if it was good but for that: those from before are used.
    stale_keys: Option<ProviderError>,
}

/// What a good fetch found.
struct Found {
    provider: Provider,
    stale_keys: Option<ProviderError>,
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

/// Keeps the provider's metadata and keys.
#[derive(Debug)]
pub(super) struct Discovery {
    issuer: IssuerUrl,
    state: watch::Sender<State>,
    /// The number of the fetch that somebody waits for.
    wanted: watch::Sender<u64>,
    budget: Mutex<KeyBudget>,
}

impl Discovery {
    pub(super) fn new(issuer: IssuerUrl) -> Self {
        Self {
            issuer,
            state: watch::Sender::default(),
            wanted: watch::Sender::default(),
            budget: Mutex::default(),
        }
    }

    /// Fetches at once, then hourly, sooner after a failure or when woken. Runs until dropped.
    pub(super) async fn run(&self, settings: &OidcSettings, http: &HttpClient) {
        let mut wanted = self.wanted.subscribe();
        let mut retry = FIRST_RETRY;
        loop {
            let outcome = self.fetch(settings, http).await;
            let is_whole = matches!(
                &outcome,
                Ok(Found {
                    stale_keys: None,
                    ..
                })
            );
            let pause = if is_whole {
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

    async fn fetch(
        &self,
        settings: &OidcSettings,
        http: &HttpClient,
    ) -> Result<Found, ProviderError> {
        let metadata = fetch::metadata(&self.issuer, http).await?;
        let (keys, stale_keys) = match fetch::keys(metadata.jwks_uri().url(), http).await {
            Ok(set) => {
                let fetched = Instant::now();
                (Arc::new(Keys { set, fetched }), None)
            }
            Err(error) => match self.believed() {
                Some(before) => (Arc::clone(&before.keys), Some(error)),
                None => return Err(error),
            },
        };
        Ok(Found {
            provider: Provider::new(&metadata, keys, settings, http)?,
            stale_keys,
        })
    }

    /// Tells everybody what a fetch found, and returns how many there have been.
    fn publish(&self, outcome: Result<Found, ProviderError>) -> u64 {
        let mut attempts = 0;
        self.state.send_modify(|state| {
            state.attempts += 1;
            attempts = state.attempts;
            state.ended = Some(Instant::now());
            match outcome {
                Ok(Found {
                    provider,
                    stale_keys,
                }) => {
                    if state.provider.is_none() || state.failure.is_some() {
                        tracing::info!(issuer = %*self.issuer, "the provider is known");
                    }
                    if let Some(error) = &stale_keys
                        && state.stale_keys.as_ref() != Some(error)
                    {
                        tracing::warn!(
                            issuer = %*self.issuer,
                            code = error.code(),
                            reason = %error,
                            "the provider's keys cannot be fetched at present: those from before are used, for a day \
                             at most; trying again"
                        );
                    }
                    state.provider = Some(Arc::new(provider));
                    state.failure = None;
                    state.stale_keys = stale_keys;
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

    /// The same, if its keys are not too old to be believed.
    pub(super) fn believed(&self) -> Option<Arc<Provider>> {
        let now = Instant::now();
        self.last_known()
            .filter(|provider| provider.keys.are_believed_at(now))
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

    /// Newer keys than those of `seen`, in which a token's key was not found; `None` when it is too soon for `asks` to
    /// have any fetched. Everybody who asks meanwhile shares one fetch.
    ///
    /// # Errors
    ///
    /// When they cannot be had: the token may be good.
    pub(super) async fn newer_than(
        &self,
        seen: &Arc<Provider>,
        asks: Asks,
    ) -> Result<Option<Arc<Provider>>, ProviderError> {
        let newer = |state: &State| {
            let provider = state.provider.as_ref();
            let is_newer = |found: &&Arc<Provider>| found.keys.fetched > seen.keys.fetched;
            provider.filter(is_newer).cloned()
        };
        let mut states = self.state.subscribe();
        let attempts = {
            let state = states.borrow_and_update();
            if let Some(newer) = newer(&state) {
                return Ok(Some(newer));
            }
            state.attempts
        };
        let Some(number) = self.request_fetch(asks, attempts) else {
            return Ok(None);
        };
        let waited = timeout(
            NEW_KEYS_PATIENCE,
            states.wait_for(|state| state.attempts >= number),
        );
        let Ok(Ok(state)) = waited.await else {
            return Err(HttpError::TimedOut.into());
        };
        match (newer(&state), &state.failure, &state.stale_keys) {
            (Some(newer), ..) => Ok(Some(newer)),
            (None, Some(failure), _) | (None, None, Some(failure)) => Err(failure.clone()),
            (None, None, None) => Ok(None),
        }
    }

    /// Has the provider looked at, since a request to it has failed: so that the next login is told in time when it is
    /// gone. Waits for nothing, and leaves a fetch to tokens with unknown keys.
    pub(super) fn suspect(&self) {
        let attempts = self.state.borrow().attempts;
        self.request_fetch(Asks::Suspicion, attempts);
    }

    /// Whether the provider is there, for a browser that is about to be sent to it. Has that looked at, unless it was
    /// within the last three seconds, and waits up to 900 ms: one that needs longer counts as it did before.
    pub(super) async fn is_there(&self) -> bool {
        let mut states = self.state.subscribe();
        let (attempts, ended) = {
            let state = states.borrow_and_update();
            (state.attempts, state.ended)
        };
        if ended.is_none_or(|ended| ended.elapsed() >= THERE_FOR) {
            self.want(attempts + 1);
            let looked_at = states.wait_for(|state| state.attempts > attempts);
            // Whatever came of it stands in the state.
            let _ = timeout(KNOWN_DOWN_PATIENCE, looked_at).await;
        }
        self.is_ready()
    }

    /// Wakes the task for a fetch out of turn, and returns its number; `None` when it is too soon for one.
    fn request_fetch(&self, asks: Asks, attempts: u64) -> Option<u64> {
        let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        let number = budget.request(asks, attempts, Instant::now())?;
        self.want(number);
        Some(number)
    }

    fn want(&self, number: u64) {
        self.wanted.send_if_modified(|wanted| {
            let is_more = *wanted < number;
            *wanted = number.max(*wanted);
            is_more
        });
    }
}
