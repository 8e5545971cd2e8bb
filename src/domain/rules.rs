//! A service's ordered rules: which requests they mean.

use std::sync::Arc;

use ipnet::IpNet;

use crate::domain::forwarded::ForwardedRequest;
use crate::domain::paths::{PathPattern, Readings};
use crate::domain::policy::Policy;

/// One rule: conditions, all of which must hold, and the policy that then decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its place in the configuration, for logs and explanations: `rules[0]`, `bypass[1]`.
    pub label: String,
    /// One of these paths; any when empty.
    pub paths: Vec<PathPattern>,
    /// One of these methods, byte for byte; any when empty.
    pub methods: Vec<String>,
    /// A client in one of these networks; any when empty.
    pub networks: Vec<IpNet>,
    /// What decides.
    pub policy: Arc<Policy>,
}

/// How a rule and a request fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// Every condition holds, byte for byte.
    Exact,
    /// The conditions hold for another reading of the request, so the app might see it like that.
    OtherReading,
    /// Some condition does not hold.
    No,
}

impl Rule {
    /// How the rule fits `request`, whose path has these readings.
    #[must_use]
    pub fn fit(&self, request: &ForwardedRequest, readings: &Readings) -> Fit {
        if !self.networks.is_empty() && !request.client.is_in(&self.networks) {
            return Fit::No;
        }
        let method = self.fit_of_method(request);
        if method == Fit::No {
            return Fit::No;
        }
        match self.fit_of_path(request.target.path(), readings) {
            Fit::Exact => method,
            other => other,
        }
    }

    fn fit_of_method(&self, request: &ForwardedRequest) -> Fit {
        if self.methods.is_empty() {
            return Fit::Exact;
        }
        // The app might obey the override header: then no named method is sure, and any is possible.
        if request.overrides_method {
            return Fit::OtherReading;
        }
        if self.methods.contains(&request.method) {
            Fit::Exact
        } else {
            Fit::No
        }
    }

    fn fit_of_path(&self, path: &str, readings: &Readings) -> Fit {
        if self.paths.is_empty() || self.paths.iter().any(|pattern| pattern.matches(path)) {
            return Fit::Exact;
        }
        let other = |pattern: &PathPattern| pattern.matches_any(readings);
        if self.paths.iter().any(other) {
            Fit::OtherReading
        } else {
            Fit::No
        }
    }
}
