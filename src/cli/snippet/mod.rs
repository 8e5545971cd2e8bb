//! `portcullis snippet`: the proxy's configuration for the services.

mod caddy;
mod caddy_block;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use crate::config::Config;
use crate::domain::service::Service;

/// For which proxy, and which services.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The proxy: caddy
    #[arg(value_name = "PROXY")]
    proxy: String,
    /// The services [default: all]
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

/// Prints the snippet. 1 when the configuration, the proxy or a service cannot be used.
pub(super) fn run(config: Option<&Path>, arguments: &Arguments) -> ExitCode {
    if arguments.proxy != "caddy" {
        return super::complain(&format!(
            "there is no snippet for \"{}\"; this version has one for caddy",
            arguments.proxy
        ));
    }
    let config = match super::load(config) {
        Ok(config) => config,
        Err(code) => return code,
    };
    match chosen(&config, &arguments.services) {
        Ok(services) => super::print(&caddy::snippet(&config, &services)),
        Err(error) => super::complain(&error),
    }
}

fn chosen<'a>(config: &'a Config, names: &[String]) -> Result<Vec<&'a Service>, String> {
    let all = config.services.services();
    if names.is_empty() {
        return Ok(all.iter().map(Arc::as_ref).collect());
    }
    let find = |name: &String| {
        let found = all.iter().find(|service| service.name == *name);
        found.map(Arc::as_ref).ok_or_else(|| {
            let known: Vec<&str> = all.iter().map(|service| service.name.as_str()).collect();
            format!(
                "no service is called \"{name}\"; there are: {}",
                known.join(", ")
            )
        })
    };
    names.iter().map(find).collect()
}
