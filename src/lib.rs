//! **Portcullis** stands beside a reverse proxy and answers one question for every request: may this
//! pass, and as whom?
//!
//! Start reading in [`domain::decision`], which answers it. Imports run one way:
//! `main → cli → startup → http → flows → store, oidc → jwt → domain`, and `config → domain`.

pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod flows;
pub mod http;
pub mod jwt;
pub mod oidc;
pub mod startup;
pub mod store;
pub mod telemetry;
