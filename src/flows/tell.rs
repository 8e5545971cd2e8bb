//! Telling the app who comes: the session's tokens, where they are needed, and the header plan's values.

use std::sync::{Arc, OnceLock};

use crate::domain::decision::{Decision, Reason};
use crate::domain::forwarded::ForwardedRequest;
use crate::domain::service::Service;
use crate::domain::service_table::ServiceTable;
use crate::domain::session::SessionId;
use crate::domain::telling::{Prepared, allow_not_copied, headers, not_copied};
use crate::domain::upstream_key::{Tokens, UpstreamHeader};
use crate::flows::Gate;
use crate::store::session_cache::Known;

/// Whom the app is told about.
#[derive(Clone, Copy)]
pub(super) struct Person<'a> {
    pub(super) known: &'a Arc<Known>,
    pub(super) session: &'a SessionId,
}

/// Gathers the headers of `service`'s plan, once for as long as the session stays what it is and the service's secrets
/// do. `person` is `None` where nobody is named: a bypass, a stranger.
///
/// # Errors
///
/// The decision that takes the place of the Allow, where the app would be told something else than the truth.
pub(super) async fn tell<'g>(
    gate: &'g Gate,
    request: &ForwardedRequest,
    service: &'g Service,
    person: Option<Person<'_>>,
) -> Result<Arc<Prepared>, Decision<'g>> {
    check_copy_list(gate, request, service)?;
    let generation = service.generation();
    let before = person.and_then(|person| person.known.prepared(service.place, generation));
    if let Some(prepared) = before {
        return Ok(prepared);
    }
    let tokens = match person {
        Some(person) if service.upstream.iter().any(UpstreamHeader::needs_tokens) => {
            let tokens = gate.sessions.tokens(person.session).await;
            tokens.map_err(|error| {
                tracing::debug!(%error, "a session's tokens could not be looked up");
                Decision::Unavailable(Reason::StoreUnavailable)
            })?
        }
        _ => Tokens::default(),
    };
    let told = headers(
        service,
        person.map(|person| &person.known.identity),
        &tokens,
    )?;
    let prepared = Arc::new(Prepared::of(&told, generation));
    if let Some(person) = person {
        let prepared = Arc::clone(&prepared);
        gate.sessions
            .keep_prepared(person.known, service.place, prepared);
    }
    Ok(prepared)
}

/// Holds what the proxy says that it copies against what the service sets.
fn check_copy_list<'g>(
    gate: &Gate,
    request: &ForwardedRequest,
    service: &'g Service,
) -> Result<(), Decision<'g>> {
    let Some(list) = request.copy_list.as_deref() else {
        return Ok(());
    };
    let before = gate.complete_lists.of(service);
    if before.get().is_some_and(|before| before == list) {
        return Ok(());
    }
    let mut is_complete = true;
    for name in not_copied(request, service) {
        is_complete = false;
        if gate.warnings.is_new(&service.name, name) {
            tracing::warn!(
                service = service.name,
                header = name,
                "the proxy does not copy this header, which the service sets: its copy list must name it"
            );
        }
        allow_not_copied(service, name)?;
    }
    if is_complete {
        // Somebody else may just have kept one, which is as good.
        let _ = before.set(list.to_owned());
    }
    Ok(())
}

/// Of each service, a list of a proxy's that was found to hold all that the service sets. A proxy says the same with every
/// request.
#[derive(Debug)]
pub struct CompleteLists(Vec<OnceLock<String>>);

impl CompleteLists {
    /// None yet, for each of `services`.
    #[must_use]
    pub fn of_none(services: &ServiceTable) -> Self {
        let lists = services.services().iter().map(|_| OnceLock::new());
        Self(lists.collect())
    }

    fn of(&self, service: &Service) -> &OnceLock<String> {
        &self.0[service.place]
    }
}
