//! **Portcullis** stands beside a reverse proxy and answers one question for every request: may this
//! pass, and as whom?
//!
//! Start reading in [`domain::decision`], which answers it; the layers around it run one way:
//! `main → cli → startup → http → flows → store, oidc → domain`.

pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod flows;
pub mod http;
pub mod oidc;
pub mod store;
pub mod telemetry;
