//! What the app is told with a request that passes: the headers for the proxy to copy.

use secrecy::{ExposeSecret, SecretString};

use crate::domain::decision::{Decision, Reason};
use crate::domain::forwarded::ForwardedRequest;
use crate::domain::header_plan::{Source, copies};
use crate::domain::identity::Identity;
use crate::domain::identity_headers::{Attribute, TooLarge};
use crate::domain::service::{Posture, Service};
use crate::domain::session::SessionId;
use crate::domain::upstream_key::{Tokens, UpstreamHeader};
use crate::flows::Gate;

/// One header for the proxy to copy.
pub struct Told<'g> {
    /// Its name.
    pub name: &'g str,
    /// Its value.
    pub value: Value,
}

/// What a header says.
pub enum Value {
    /// Something about the person.
    Text(String),
    /// A credential for the app.
    Secret(SecretString),
    /// What the client itself sent under this name.
    ClientsOwn,
    /// Nothing: what the client sent is taken away.
    Empty,
}

/// Whom the app is told about.
#[derive(Clone, Copy)]
pub(super) struct Person<'a> {
    pub(super) identity: &'a Identity,
    pub(super) session: &'a SessionId,
}

/// Gathers the headers of `service`'s plan. `person` is `None` where nobody is named: a bypass, a stranger.
///
/// # Errors
///
/// The decision that takes the place of the Allow, where the app would be told something else than the truth.
pub(super) async fn tell<'g>(
    gate: &'g Gate,
    request: &ForwardedRequest,
    service: &'g Service,
    person: Option<Person<'_>>,
) -> Result<Vec<Told<'g>>, Decision<'g>> {
    check_copy_list(gate, request, service)?;
    let tokens = match person {
        Some(person) if service.upstream.iter().any(UpstreamHeader::needs_tokens) => {
            let tokens = gate.sessions.tokens(person.session).await;
            tokens.map_err(|error| {
                tracing::error!(%error, "a session's tokens could not be looked up");
                Decision::Unavailable(Reason::StoreUnavailable)
            })?
        }
        _ => Tokens::default(),
    };
    let mut told = Vec::with_capacity(service.plan.len());
    for planned in &service.plan {
        let value = match (planned.source, person) {
            (Source::ClientsOwn, _) | (Source::Upstream(_), None) => Value::ClientsOwn,
            (Source::Empty, _) | (Source::Identity(_), None) => Value::Empty,
            (Source::Identity(index), Some(person)) => {
                let header = &service.headers[index];
                let value = header.attribute.value(person.identity, service.style);
                let value = value.map_err(|TooLarge| Decision::Deny(Reason::HeadersTooLarge))?;
                if value.is_empty() && is_believed(service, header.attribute) {
                    return Err(Decision::Deny(Reason::NoUserHeader(&header.name)));
                }
                Value::Text(value)
            }
            (Source::Upstream(index), Some(person)) => {
                let header = &service.upstream[index];
                let value = header
                    .is_for(person.identity)
                    .then(|| header.value(&tokens));
                match value.flatten() {
                    Some(value) if is_header_value(&value) => Value::Secret(value),
                    // Somebody whom the app's key is not for does not bring one of their own instead.
                    _ => Value::Empty,
                }
            }
        };
        told.push(Told {
            name: &planned.name,
            value,
        });
    }
    Ok(told)
}

/// Whether the app goes by this header, so that an empty one would make somebody nobody, or somebody else.
fn is_believed(service: &Service, attribute: Attribute) -> bool {
    if service.posture != Posture::TrustedHeader {
        return false;
    }
    let names_user = |attribute| matches!(attribute, Attribute::Username | Attribute::Subject);
    let has_user = service
        .headers
        .iter()
        .any(|header| names_user(header.attribute));
    names_user(attribute) || (!has_user && attribute == Attribute::Email)
}

/// A token comes from the provider, and might hold anything.
fn is_header_value(value: &SecretString) -> bool {
    let value = value.expose_secret();
    !value.is_empty() && value.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

/// Holds what the proxy says that it copies against what the service sets: where it lacks a name, the client's own
/// value would reach the app. For an app that believes our headers that is impersonation.
fn check_copy_list<'g>(
    gate: &Gate,
    request: &ForwardedRequest,
    service: &'g Service,
) -> Result<(), Decision<'g>> {
    let Some(list) = &request.copy_list else {
        return Ok(());
    };
    let identity = service.headers.iter().map(|header| &header.name);
    let upstream = service.upstream.iter().map(|header| &header.name);
    for name in identity.chain(upstream) {
        if copies(list, name) {
            continue;
        }
        if gate.warnings.is_new(&service.name, name) {
            tracing::warn!(
                service = service.name,
                header = name,
                "the proxy does not copy this header, which the service sets: its copy list must name it"
            );
        }
        if service.posture == Posture::TrustedHeader {
            return Err(Decision::Unavailable(Reason::NotCopied(name)));
        }
    }
    Ok(())
}
