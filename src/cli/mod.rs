//! The command line: one command a file.

mod check;
mod report;
mod secret;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::Config;

/// A forward-auth gate beside the reverse proxy: may this request pass, and as whom?
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, about)]
struct Cli {
    /// The configuration [default: $PORTCULLIS_CONFIG, else /etc/portcullis/portcullis.toml]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service (what happens without a command)
    Serve,
    /// Say everything that is wrong with the configuration
    Check,
    /// Print a new key for session.secret_file
    Secret,
}

/// Reads the arguments of this process and does what they ask for.
#[must_use]
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let config = cli.config.as_deref();
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => match Config::load(config) {
            Ok(config) => {
                report::warnings(&config.warnings);
                ExitCode::SUCCESS
            }
            Err(problems) => {
                report::problems(&problems);
                ExitCode::FAILURE
            }
        },
        Command::Check => check::run(config),
        Command::Secret => secret::run(),
    }
}
