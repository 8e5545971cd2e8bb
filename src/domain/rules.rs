//! A service's ordered rules: which requests they mean.

use std::fmt;
use std::sync::Arc;

use ipnet::IpNet;
use subtle::ConstantTimeEq;

use crate::domain::forwarded::{AskedHeader, ForwardedRequest};
use crate::domain::path_pattern::PathPattern;
use crate::domain::paths::Readings;
use crate::domain::policy::Policy;
use crate::domain::upstream_key::LiveSecret;

/// One rule: conditions, all of which must hold, and the policy that then decides.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Its place in the configuration, for logs and explanations: `rules[0]`, `bypass[1]`.
    pub label: String,
    /// One of these paths; any when empty.
    pub paths: Vec<PathPattern>,
    /// One of these methods, byte for byte; any when empty.
    pub methods: Vec<String>,
    /// A client in one of these networks; any when empty.
    pub networks: Vec<IpNet>,
    /// A header that must be there.
    pub header: Option<RequiredHeader>,
    /// What decides.
    pub policy: Arc<Policy>,
}

/// A header that must be there once, and not empty.
#[derive(Debug, Clone)]
pub struct RequiredHeader {
    /// Its name, in lower case.
    pub name: String,
    /// What it must say, compared in constant time; anything when `None`.
    pub value: Option<LiveSecret>,
}

/// How a rule and a request fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit<'a> {
    /// Every condition holds, byte for byte.
    Exact,
    /// The conditions hold for another reading of the request, so the app might see it like that.
    OtherReading,
    /// Some condition does not hold.
    No(Mismatch<'a>),
}

/// The first condition that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mismatch<'a> {
    /// The path, in all its readings.
    Path,
    /// The method.
    Method,
    /// The client's address is in none of the networks.
    Network,
    /// The client's address is not known.
    UnknownClient,
    /// This header is not there, not once, empty, or says something else.
    Header(&'a str),
}

/// For people: what does not fit.
impl fmt::Display for Mismatch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path => f.write_str("the path is another one"),
            Self::Method => f.write_str("the method is another one"),
            Self::Network => f.write_str("the client's address is in none of allowed_networks"),
            Self::UnknownClient => {
                f.write_str("the client's address is not known, so it is in no network")
            }
            Self::Header(name) => write!(
                f,
                "the header {name} is not there once with the right value"
            ),
        }
    }
}

impl Rule {
    /// How the rule fits `request`, whose path has these readings.
    #[must_use]
    pub fn fit(&self, request: &ForwardedRequest, readings: &Readings) -> Fit<'_> {
        if !self.networks.is_empty() && !request.client.is_in(&self.networks) {
            return Fit::No(if request.client.is_known() {
                Mismatch::Network
            } else {
                Mismatch::UnknownClient
            });
        }
        let fits = [
            self.fit_of_header(request),
            self.fit_of_method(request),
            self.fit_of_path(request, readings),
        ];
        if let Some(no) = fits.into_iter().find(|fit| matches!(fit, Fit::No(_))) {
            return no;
        }
        if fits.iter().all(|fit| *fit == Fit::Exact) {
            Fit::Exact
        } else {
            Fit::OtherReading
        }
    }

    fn fit_of_header(&self, request: &ForwardedRequest) -> Fit<'_> {
        let Some(header) = &self.header else {
            return Fit::Exact;
        };
        let value = match request.asked_header(&header.name) {
            AskedHeader::Once(value) if !value.is_empty() => value,
            // The app may take one of the lines, all of them, or a spelling of the name that we do not.
            AskedHeader::Unsure => return Fit::OtherReading,
            _ => return Fit::No(Mismatch::Header(&header.name)),
        };
        let right = header.value.as_ref().is_none_or(|expected| {
            expected.with(|expected| expected.as_bytes().ct_eq(value).into())
        });
        if right {
            Fit::Exact
        } else {
            Fit::No(Mismatch::Header(&header.name))
        }
    }

    /// Whether its header is there in a way that apps differ about.
    #[must_use]
    pub fn is_unsure_of_header(&self, request: &ForwardedRequest) -> bool {
        let name = self.header.as_ref().map(|header| header.name.as_str());
        name.is_some_and(|name| request.asked_header(name) == AskedHeader::Unsure)
    }

    fn fit_of_method(&self, request: &ForwardedRequest) -> Fit<'_> {
        if self.methods.is_empty() {
            return Fit::Exact;
        }
        // The app might obey the override header: then no named method is sure, and any is possible.
        if request.overrides_method {
            return Fit::OtherReading;
        }
        if self.methods.iter().any(|method| *method == request.method) {
            return Fit::Exact;
        }
        // Some apps take `delete` for DELETE. That opens nothing, and does not get round what closes.
        let other = |method: &String| method.eq_ignore_ascii_case(&request.method);
        if self.methods.iter().any(other) {
            Fit::OtherReading
        } else {
            Fit::No(Mismatch::Method)
        }
    }

    fn fit_of_path(&self, request: &ForwardedRequest, readings: &Readings) -> Fit<'_> {
        if self.paths.is_empty() {
            return Fit::Exact;
        }
        // The app might obey the override header: then no named path is sure, and any is possible.
        if request.overrides_path {
            return Fit::OtherReading;
        }
        let path = request.target.path();
        if self.paths.iter().any(|pattern| pattern.matches(path)) {
            return Fit::Exact;
        }
        let other = |pattern: &PathPattern| pattern.matches_any(readings);
        if self.paths.iter().any(other) {
            Fit::OtherReading
        } else {
            Fit::No(Mismatch::Path)
        }
    }
}
