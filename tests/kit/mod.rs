//! Runs the real programs: Caddy, the OpenID Provider, the service itself, an app behind them,
//! and a client that behaves as a browser does. Used by the end-to-end tests and by the demo.

pub mod ask;
pub mod browser;
pub mod caddy;
pub mod child;
pub mod cookies;
pub mod envoy;
pub mod example;
pub mod fault;
pub mod fault_proxy;
pub mod folder;
pub mod gate;
pub mod html;
pub mod nginx;
pub mod page;
pub mod ports;
pub mod printed;
pub mod provider;
pub mod raw;
pub mod redis_forms;
pub mod redis_server;
pub mod relay;
pub mod tools;
pub mod traefik;
pub mod upstream;
pub mod wire;

use std::fmt;

/// Why something could not be started or asked, for a person to read.
pub struct Failure(pub String);

pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    pub fn new(text: impl fmt::Display) -> Self {
        Self(text.to_string())
    }

    /// For `map_err`: says what was being tried.
    pub fn of<E: fmt::Display>(what: impl fmt::Display) -> impl FnOnce(E) -> Self {
        move |cause| Self(format!("{what}: {cause}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// The text of a panic in a test: with its lines, not as one escaped string.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}
