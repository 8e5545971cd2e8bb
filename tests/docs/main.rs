//! The documents: what they show is run, what they name exists, and what exists they name.

mod configuration;
mod crates;
mod examples;
mod explain;
mod links;
mod markdown;
mod metrics;
mod names;
mod presets;
mod proxies;
mod reliability;
mod security_cases;
mod sessions;
