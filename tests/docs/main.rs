//! The documents: what they show is run, what they name exists, and what exists they name.

mod configuration;
mod crates;
mod examples;
mod explain;
mod links;
mod markdown;
mod names;
mod presets;
mod reliability;
mod security_cases;
mod sessions;
