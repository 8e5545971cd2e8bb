//! Protected apps: what each is, and how it is protected.

use std::sync::Arc;

use crate::domain::header_plan::{Planned, Sets};
use crate::domain::identity::Identity;
use crate::domain::identity_headers::{Attribute, DEFAULT_HEADERS, HeaderStyle, IdentityHeader};
use crate::domain::policy::Policy;
use crate::domain::rules::Rule;
use crate::domain::same_origin::SameOriginGuard;
use crate::domain::service_host::ServiceHost;
use crate::domain::upstream_key::UpstreamHeader;

/// An app that we protect.
#[derive(Debug, Clone)]
pub struct Service {
    /// Its key in the configuration.
    pub name: String,
    /// What people call it.
    pub title: String,
    /// The hosts that it answers on.
    pub hosts: Vec<ServiceHost>,
    /// How it is protected.
    pub posture: Posture,
    /// What holds where no rule matches.
    pub policy: ServicePolicy,
    /// Ordered; the first that matches decides.
    pub rules: Vec<Rule>,
    /// What it is told about people.
    pub headers: Vec<IdentityHeader>,
    /// How values are written.
    pub style: HeaderStyle,
    /// What is shown to it on behalf of people.
    pub upstream: Vec<UpstreamHeader>,
    /// Keeps other sites' pages from writing to it; `None` where it does that itself.
    pub guard: Option<SameOriginGuard>,
    /// Whether preflights pass without identity.
    pub cors_preflight: bool,
    /// User names that the app knows as its own administrators', and the subjects that may carry them.
    pub reserved_users: Vec<ReservedUser>,
    /// Whether it has a cookie of its own even below a domain of `session.cookie_domains`.
    pub isolated: bool,
    /// The headers of every allowed answer; filled in by
    /// [`ServiceTable::new`](crate::domain::service_table::ServiceTable::new).
    pub plan: Vec<Planned>,
    /// Its place in [`ServiceTable::services`](crate::domain::service_table::ServiceTable::services); filled in as
    /// well.
    pub place: usize,
}

/// How an app is protected: the six patterns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Posture {
    /// Login and policy; the app has no login of its own.
    #[default]
    Protect,
    /// The same, for an app that believes our headers.
    TrustedHeader,
    /// The same, for an app that wants a credential as well.
    Hybrid,
    /// The app logs people in at the issuer itself.
    NativeOidc,
    /// The app has a login of its own.
    Passthrough,
    /// Machines of our own networks only.
    Internal,
}

impl Posture {
    /// As the configuration has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Protect => "protect",
            Self::TrustedHeader => "trusted_header",
            Self::Hybrid => "hybrid",
            Self::NativeOidc => "native_oidc",
            Self::Passthrough => "passthrough",
            Self::Internal => "internal",
        }
    }

    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Protect,
        Self::TrustedHeader,
        Self::Hybrid,
        Self::NativeOidc,
        Self::Passthrough,
        Self::Internal,
    ];
}

/// A user name that only some may carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReservedUser {
    /// The name. Apps differ in whether case counts, so here it does not.
    pub name: String,
    /// Subjects that may carry it.
    pub subjects: Vec<String>,
}

/// Where a service's own policy comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServicePolicy {
    /// The configuration names it.
    Own(Arc<Policy>),
    /// The proxy names it with every request (`/verify/policy/{name}`).
    FromProxy,
}

impl Service {
    /// An app that `policy` protects, with the defaults of everything else.
    #[must_use]
    pub fn new(name: &str, hosts: Vec<ServiceHost>, policy: ServicePolicy) -> Self {
        let header = |(name, attribute): (&str, Attribute)| IdentityHeader {
            name: name.to_owned(),
            attribute,
        };
        Self {
            name: name.to_owned(),
            title: name.to_owned(),
            hosts,
            posture: Posture::default(),
            policy,
            rules: Vec::new(),
            headers: DEFAULT_HEADERS.map(header).to_vec(),
            style: HeaderStyle::default(),
            upstream: Vec::new(),
            guard: Some(SameOriginGuard::default()),
            cors_preflight: false,
            reserved_users: Vec::new(),
            isolated: false,
            plan: Vec::new(),
            place: 0,
        }
    }

    /// A number that is another one whenever a secret that it is shown has been replaced.
    #[must_use]
    pub fn generation(&self) -> u64 {
        let generations = self.upstream.iter().map(UpstreamHeader::generation);
        generations.fold(0, u64::wrapping_add)
    }

    /// What it sets on allowed answers.
    #[must_use]
    pub fn sets(&self) -> Sets<'_> {
        Sets {
            identity: &self.headers,
            upstream: &self.upstream,
        }
    }

    /// Whether nothing is ever asked about it, so that the proxy needs no gate before it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let own_login = matches!(self.posture, Posture::NativeOidc | Posture::Passthrough);
        let bypassed = matches!(&self.policy, ServicePolicy::Own(policy) if policy.is_bypass());
        own_login && bypassed && self.rules.is_empty()
    }

    /// The reserved name that `identity` carries without being allowed to: as user name, or as whatever else the
    /// service takes for one.
    #[must_use]
    pub fn reserved_name_of<'a>(&'a self, identity: &Identity) -> Option<&'a str> {
        if self.reserved_users.is_empty() {
            return None;
        }
        let told = |attribute| {
            self.headers
                .iter()
                .any(|header| header.attribute == attribute)
        };
        let display_name = identity
            .name
            .as_ref()
            .filter(|_| !told(Attribute::Username) && told(Attribute::Name));
        let email = identity.email.as_ref().filter(|_| told(Attribute::Email));
        let carried = [identity.username.as_ref(), display_name, email];
        let carried: Vec<String> = carried
            .into_iter()
            .flatten()
            .map(|name| name.to_lowercase())
            .collect();
        let reserved = self.reserved_users.iter().find(|reserved| {
            carried.contains(&reserved.name.to_lowercase())
                && !reserved.subjects.contains(&identity.subject)
        })?;
        Some(&reserved.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::policy::Policies;

    /// Who comes, what the app is told, the reserved name, and the subjects that may carry it; whether it is in the
    /// way.
    type Case<'a> = (&'a Identity, &'a [Attribute], &'a str, &'a [&'a str], bool);

    fn policy(name: &str) -> ServicePolicy {
        let policies = Policies::new([]);
        ServicePolicy::Own(policies.get(name).expect("a built-in policy").clone())
    }

    #[test]
    fn only_what_asks_for_nothing_is_open() {
        let app = |posture, name: &str| Service {
            posture,
            ..Service::new("app", Vec::new(), policy(name))
        };
        assert!(app(Posture::NativeOidc, "bypass").is_open());
        assert!(app(Posture::Passthrough, "bypass").is_open());
        assert!(!app(Posture::Passthrough, "authenticated").is_open());
        assert!(!app(Posture::Protect, "bypass").is_open());
    }

    #[test]
    #[rustfmt::skip] // the columns are the point
    fn a_reserved_name_counts_where_the_app_takes_it_from() {
        use Attribute::{Email, Groups, Name, Subject, Username};
        let ada = Identity {
            issuer: "https://id.example.net".into(),
            subject: "0a11ce00".into(),
            username: Some("ada".into()),
            name: Some("Ada Lovelace".into()),
            email: Some("ada@example.net".into()),
            groups: vec!["admins".into()],
        };
        let nameless = Identity { username: None, name: None, email: None, ..ada.clone() };
        let (all, own): (&[Attribute], &[&str]) = (&[Username, Name, Email, Groups], &["somebody", "0a11ce00"]);
        let cases: [Case<'_>; 20] = [
            (&ada,      all,               "ada",             &["somebody"], true),
            (&ada,      all,               "ADA",             &[],           true),
            (&ada,      all,               "ada",             own,           false),
            (&ada,      all,               "ada ",            &[],           false),
            (&ada,      all,               "ad",              &[],           false),
            (&ada,      &[],               "ada",             &[],           true),
            (&ada,      &[Subject],        "ada",             &["ada"],      true),
            // By its address: one that it is told, whole, of a person who may not have it.
            (&ada,      &[Email],          "Ada@Example.net", &[],           true),
            (&ada,      all,               "ada@example.net", &["somebody"], true),
            (&ada,      &[Email],          "ada@example.net", own,           false),
            (&ada,      &[Username],       "ada@example.net", &[],           false),
            (&ada,      &[],               "ada@example.net", &[],           false),
            (&ada,      &[Email],          "ada@example.org", &[],           false),
            (&ada,      &[Email],          "example.net",     &[],           false),
            (&nameless, &[Email],          "ada@example.net", &[],           false),
            // By the display name: only where it is told no better one.
            (&ada,      &[Name, Email],    "ada lovelace",    &[],           true),
            (&ada,      &[Name],           "Ada Lovelace",    own,           false),
            (&ada,      all,               "Ada Lovelace",    &[],           false),
            (&ada,      &[Email, Groups],  "Ada Lovelace",    &[],           false),
            (&ada,      all,               "admins",          &[],           false),
        ];
        for (who, told, name, subjects, in_the_way) in cases {
            let headers = told.iter().map(|attribute| IdentityHeader {
                name: format!("X-{attribute:?}"),
                attribute: *attribute,
            });
            let service = Service {
                headers: headers.collect(),
                reserved_users: vec![ReservedUser {
                    name: name.into(),
                    subjects: subjects.iter().map(ToString::to_string).collect(),
                }],
                ..Service::new("app", Vec::new(), policy("authenticated"))
            };
            let found = service.reserved_name_of(who);
            assert_eq!(found, in_the_way.then_some(name), "{name:?}, told {told:?}, for {subjects:?}");
        }
    }
}
