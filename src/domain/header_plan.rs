//! Which headers every allowed answer of a service carries, and where each value comes from.
//!
//! One list is copied by the proxy for all apps, so every answer carries every name that *any* service sets:
//! a name that is missing or empty where it matters would let the client's own value through, and a name that
//! only one service fills must not eat what the client of another one sends under it.

use crate::domain::identity_headers::IdentityHeader;
use crate::domain::upstream_key::UpstreamHeader;

/// Where the value of a header comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The service's identity header of this index.
    Identity(usize),
    /// The service's upstream header of this index.
    Upstream(usize),
    /// What the client itself sent: this service does not set the name, and some other sets it as a credential.
    ClientsOwn,
    /// Nothing: the client's value is taken away.
    Empty,
}

/// One header of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Its name, as it was first written.
    pub name: String,
    /// Where its value comes from.
    pub source: Source,
}

/// What one service sets.
#[derive(Debug, Clone, Copy)]
pub struct Sets<'a> {
    /// About the person.
    pub identity: &'a [IdentityHeader],
    /// Credentials.
    pub upstream: &'a [UpstreamHeader],
}

/// All names that the proxy has to copy, in the order of the services: those about people first.
#[must_use]
pub fn copied_names(services: &[Sets<'_>]) -> Vec<String> {
    let identity = services
        .iter()
        .flat_map(|sets| sets.identity)
        .map(|header| &header.name);
    let upstream = services
        .iter()
        .flat_map(|sets| sets.upstream)
        .map(|header| &header.name);
    let mut names: Vec<String> = Vec::new();
    for name in identity.chain(upstream) {
        if !names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            names.push(name.clone());
        }
    }
    names
}

/// The plan of the service that sets `own`, among `services`.
#[must_use]
pub fn plan(own: Sets<'_>, services: &[Sets<'_>]) -> Vec<Planned> {
    let is_identity = |name: &str| {
        let mut all = services.iter().flat_map(|sets| sets.identity);
        all.any(|header| header.name.eq_ignore_ascii_case(name))
    };
    let source = |name: &str| {
        let named = |header: &IdentityHeader| header.name.eq_ignore_ascii_case(name);
        if let Some(index) = own.identity.iter().position(named) {
            return Source::Identity(index);
        }
        let named = |header: &UpstreamHeader| header.name.eq_ignore_ascii_case(name);
        if let Some(index) = own.upstream.iter().position(named) {
            return Source::Upstream(index);
        }
        // What says who somebody is is never taken from the client.
        if is_identity(name) {
            Source::Empty
        } else {
            Source::ClientsOwn
        }
    };
    let names = copied_names(services).into_iter();
    names
        .map(|name| Planned {
            source: source(&name),
            name,
        })
        .collect()
}

/// Whether the proxy, which says that it copies the names in `list`, copies `name`. Names are parted by blanks or
/// commas.
#[must_use]
pub fn copies(list: &str, name: &str) -> bool {
    let names = list
        .as_bytes()
        .split(|byte| matches!(byte, b' ' | b',' | b'\t'));
    let mut names = names.filter(|copied| copied.len() == name.len());
    names.any(|copied| copied.eq_ignore_ascii_case(name.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::identity_headers::Attribute;
    use crate::domain::upstream_key::{Credential, LiveSecret};

    fn identity(name: &str) -> IdentityHeader {
        IdentityHeader {
            name: name.into(),
            attribute: Attribute::Username,
        }
    }

    fn upstream(name: &str) -> UpstreamHeader {
        UpstreamHeader {
            name: name.into(),
            credential: Credential::Static(LiveSecret::new("x".into())),
            only_groups: Vec::new(),
        }
    }

    #[test]
    fn every_service_answers_every_name() {
        use Source::{ClientsOwn, Empty, Identity, Upstream};
        let (remote, webauth) = ([identity("Remote-User")], [identity("X-WEBAUTH-USER")]);
        let (none, key) = ([], [upstream("x-api-key"), upstream("Authorization")]);
        let films = Sets {
            identity: &remote,
            upstream: &none,
        };
        let papers = Sets {
            identity: &webauth,
            upstream: &key,
        };
        let bare = Sets {
            identity: &[],
            upstream: &none,
        };
        let all = [films, papers, bare];
        let names = [
            "Remote-User",
            "X-WEBAUTH-USER",
            "x-api-key",
            "Authorization",
        ];
        assert_eq!(copied_names(&all), names);
        let sources = |own| {
            plan(own, &all)
                .into_iter()
                .map(|planned| planned.source)
                .collect::<Vec<_>>()
        };
        assert_eq!(sources(films), [Identity(0), Empty, ClientsOwn, ClientsOwn]);
        assert_eq!(
            sources(papers),
            [Empty, Identity(0), Upstream(0), Upstream(1)]
        );
        assert_eq!(sources(bare), [Empty, Empty, ClientsOwn, ClientsOwn]);
    }

    #[test]
    fn a_copy_list_is_read_leniently() {
        assert!(copies("Remote-User Remote-Groups", "remote-groups"));
        assert!(copies("Remote-User,Remote-Groups", "Remote-User"));
        assert!(!copies("Remote-User-Name", "Remote-User"));
        assert!(!copies("", "Remote-User"));
    }
}
