//! What the tests bring along: a clock that obeys, and an issuer that can lie.

pub mod app;
pub mod browser;
pub mod clock;
pub mod front;
pub mod issuer;
pub mod log;
pub mod relying_party;
