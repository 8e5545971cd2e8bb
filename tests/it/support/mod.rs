//! What the tests bring along: a clock that obeys, and an issuer that can lie.

pub mod app;
pub mod browser;
pub mod clock;
pub mod exposition;
pub mod front;
pub mod issuer;
pub mod log;
#[path = "../../kit/redis_server.rs"]
#[allow(
    dead_code,
    reason = "the tests of the store and these each use a part of it"
)]
pub mod redis_server;
pub mod relying_party;
