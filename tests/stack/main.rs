//! End to end: a browser, a real proxy, the real service, a real provider, an app.
//!
//! `make tools` installs what is needed; `make test` does that too. One file a subject; the tests
//! of a file share the stack of [`setup`] unless they change something that others would see.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

#[path = "../kit/mod.rs"]
#[allow(dead_code, reason = "the demo and these tests each use a part of it")]
mod kit;

mod algorithms;
mod backchannel;
mod chain;
mod chromium;
mod cookie_domains;
mod cookies;
mod decision;
mod example;
mod fixture;
mod forwarded;
mod glewlwyd;
mod handover;
mod hybrid;
mod portal_path;
mod redis;
mod refresh;
mod reserved;
mod same_origin;
mod secrecy;
mod sessions;
mod setup;
mod step_up;
mod traefik;
