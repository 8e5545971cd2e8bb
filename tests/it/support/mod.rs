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
#[path = "../../kit/relay.rs"]
#[allow(dead_code, reason = "the faults use more of it")]
pub mod relay;
pub mod relying_party;
