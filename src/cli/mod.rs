//! The command line: one command a file.

mod check;
mod explain;
mod health;
mod presets;
mod schema;
mod secret;
mod serve;
mod sessions;
mod snippet;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{Config, Problem};

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
    /// Decide a made-up request, and say why, step by step
    ///
    /// Exits with 0 when it would pass, 10 when somebody would have to sign in first, and 11 when it would be
    /// refused.
    Explain(Box<explain::Arguments>),
    /// Print the proxy's configuration for the services
    Snippet(snippet::Arguments),
    /// Ask the running service whether it is well, for containers and orchestrators
    ///
    /// Exits with 0 when it is, and with 1 when it is not or does not answer.
    Health(health::Arguments),
    /// Show who is signed in at the running service, and end sessions
    Sessions(sessions::Arguments),
    /// Say what is known about an app, and what to write for it
    Presets(presets::Arguments),
    /// Print a new key for session.secret_file
    Secret,
    /// Print the JSON schema of the configuration
    Schema,
}

/// Reads the arguments of this process and does what they ask for.
#[must_use]
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let config = cli.config.as_deref();
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => serve::run(config),
        Command::Check => check::run(config),
        Command::Explain(arguments) => explain::run(config, &arguments),
        Command::Snippet(arguments) => snippet::run(config, &arguments),
        Command::Health(arguments) => health::run(config, &arguments),
        Command::Sessions(arguments) => sessions::run(config, &arguments),
        Command::Presets(arguments) => presets::run(&arguments),
        Command::Secret => secret::run(),
        Command::Schema => schema::run(),
    }
}

/// Loads the configuration. Where it cannot be used, says on standard error all that is wrong or
/// questionable, a line for each, and what to end with.
fn load(path: Option<&Path>) -> Result<Config, ExitCode> {
    Config::load(path).map_err(|problems| {
        report("warning", problems.warnings());
        report("error", problems.errors());
        ExitCode::FAILURE
    })
}

/// Says on standard error what is wrong with the arguments.
fn complain(error: &str) -> ExitCode {
    // There is nowhere left to complain to.
    let _ = writeln!(io::stderr(), "error: {error}");
    ExitCode::FAILURE
}

fn report(kind: &str, problems: &[Problem]) {
    let mut stderr = io::stderr().lock();
    for problem in problems {
        // There is nowhere left to complain to.
        let _ = writeln!(stderr, "{kind}: {problem}");
    }
}

/// Writes `text` to standard output. A reader that has seen enough (`| head`) is no failure.
fn print(text: &str) -> ExitCode {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let _ = writeln!(io::stderr(), "error: standard output: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}
