//! What the app is told with a request that passes: the values of the header plan.

use std::fmt;
use std::mem::size_of;

use bytes::Bytes;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};

use crate::domain::decision::{Decision, Reason};
use crate::domain::forwarded::ForwardedRequest;
use crate::domain::header_plan::{Source, copies};
use crate::domain::identity::Identity;
use crate::domain::identity_headers::{Attribute, TooLarge};
use crate::domain::service::{Posture, Service};
use crate::domain::upstream_key::Tokens;

/// One header for the proxy to copy.
#[derive(Debug)]
pub struct Told<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its value.
    pub value: Value,
}

/// What a header says.
#[derive(Debug)]
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

impl Value {
    /// What is sent; `None` for what the client itself sent.
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Secret(secret) => Some(secret.expose_secret()),
            Self::Empty => Some(""),
            Self::ClientsOwn => None,
        }
    }
}

/// What an app is told, put together once for many answers: the values of its header plan in one piece of memory, which is
/// overwritten when the last who holds a part of it lets go, since there may be credentials in it. The copies that answers
/// are sent from are not: they are actix's, which keeps its buffers for the next answer.
pub struct Prepared {
    /// One behind the other.
    values: Bytes,
    /// Where each ends, in the order of the plan; [`CLIENTS_OWN`] for what the client itself sent.
    ends: Box<[u32]>,
    generation: u64,
}

/// Stands in the place of an end. No value is that long.
const CLIENTS_OWN: u32 = u32::MAX;

/// Values are nobody's business.
impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Prepared(..)")
    }
}

impl Prepared {
    /// Puts `told` together. `generation` is that of the service's secrets, asked for before they were read.
    #[must_use]
    pub fn of(told: &[Told<'_>], generation: u64) -> Self {
        let texts = told.iter().filter_map(|told| told.value.text());
        // All at once: what grows leaves copies behind.
        let length = texts.map(str::len).sum();
        let mut values = Zeroizing::new(Vec::with_capacity(length));
        let ends = told.iter().map(|told| {
            let Some(text) = told.value.text() else {
                return CLIENTS_OWN;
            };
            values.extend_from_slice(text.as_bytes());
            u32::try_from(values.len()).expect("values are of some KiB at most")
        });
        let ends = ends.collect();
        Self {
            ends,
            values: Bytes::from_owner(values),
            generation,
        }
    }

    /// The value of each header, in the order of the plan; `None` for what the client itself sent.
    pub fn values(&self) -> impl Iterator<Item = Option<Bytes>> {
        let mut begin = 0;
        self.ends.iter().map(move |end| {
            if *end == CLIENTS_OWN {
                return None;
            }
            let end = *end as usize;
            let value = self.values.slice(begin..end);
            begin = end;
            Some(value)
        })
    }

    /// The generation of the secrets in it.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// About how many bytes it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        /// What the pieces that are handed out count themselves by.
        const SHARED: usize = 64;
        size_of::<Self>() + self.values.len() + SHARED + self.ends.len() * size_of::<u32>()
    }
}

/// Gathers the headers of `service`'s plan. `person` is `None` where nobody is named: a bypass, a stranger.
///
/// # Errors
///
/// The decision that takes the place of the Allow, where the app would be told something else than the truth.
pub fn headers<'a>(
    service: &'a Service,
    person: Option<&Identity>,
    tokens: &Tokens,
) -> Result<Vec<Told<'a>>, Decision<'a>> {
    let mut told = Vec::with_capacity(service.plan.len());
    for planned in &service.plan {
        let value = match (planned.source, person) {
            (Source::ClientsOwn, _) | (Source::Upstream(_), None) => Value::ClientsOwn,
            (Source::Empty, _) | (Source::Identity(_), None) => Value::Empty,
            (Source::Identity(index), Some(person)) => {
                let header = &service.headers[index];
                let value = header.attribute.value(person, service.style);
                let value = value.map_err(|TooLarge| Decision::Deny(Reason::HeadersTooLarge))?;
                if value.is_empty() && is_believed(service, header.attribute) {
                    return Err(Decision::Deny(Reason::NoUserHeader(&header.name)));
                }
                Value::Text(value)
            }
            (Source::Upstream(index), Some(person)) => {
                let header = &service.upstream[index];
                let value = header.is_for(person).then(|| header.value(tokens));
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

/// The names that `service` sets and that the proxy, by its own word (`Portcullis-Copy`), does not copy: the
/// client's own values would reach the app. None where the proxy says nothing.
pub fn not_copied<'a>(
    request: &ForwardedRequest,
    service: &'a Service,
) -> impl Iterator<Item = &'a str> {
    let list = request.copy_list.as_deref();
    let identity = service.headers.iter().map(|header| &header.name);
    let upstream = service.upstream.iter().map(|header| &header.name);
    let names = identity.chain(upstream).map(String::as_str);
    names.filter(move |name| list.is_some_and(|list| !copies(list, name)))
}

/// What a name that the proxy does not copy comes to: for an app that believes our headers it is impersonation.
///
/// # Errors
///
/// The decision that takes the place of the Allow.
pub fn allow_not_copied<'a>(service: &Service, name: &'a str) -> Result<(), Decision<'a>> {
    if service.posture == Posture::TrustedHeader {
        Err(Decision::Unavailable(Reason::NotCopied(name)))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_handed_out_as_it_was_put_in() {
        let told = [
            ("Remote-User", Value::Text("ada".into())),
            ("X-Api-Key", Value::Secret("s3cret".into())),
            ("Remote-Name", Value::Empty),
            ("Authorization", Value::ClientsOwn),
            ("Remote-Groups", Value::Text("admins".into())),
        ];
        let told = told.map(|(name, value)| Told { name, value });
        let prepared = Prepared::of(&told, 7);
        let values: Vec<Option<Bytes>> = prepared.values().collect();
        // A part of it outlives the whole.
        drop(prepared);
        let expected = [Some("ada"), Some("s3cret"), Some(""), None, Some("admins")];
        let expected =
            expected.map(|value| value.map(|value| Bytes::from_static(value.as_bytes())));
        assert_eq!(values, expected);
    }
}
