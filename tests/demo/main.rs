//! `make demo`: the whole chain on this machine, for people to try.
//!
//! A real Caddy with https, a real OpenID Provider with four sample users, the service, and an app
//! for each of the six patterns, which shows the headers it gets. Runs until Ctrl-C. With
//! `DEMO_CHECK=1` it tries each of them by itself, says what it saw and exits 0 or 1. `DEMO_PORT`
//! (8443) is where Caddy listens; 0 stands for any free port.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it talks to who started it"
)]

#[path = "../kit/mod.rs"]
#[allow(
    dead_code,
    reason = "the end-to-end tests and the demo each use a part of it"
)]
mod kit;

mod apps;
mod check;
mod setup;

use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use kit::{Failure, Result, ports};
use setup::Demo;

/// How often the demo looks whether one of its programs has ended.
const WATCH_EVERY: Duration = Duration::from_millis(500);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("demo: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    let port = match std::env::var("DEMO_PORT") {
        Ok(text) => text
            .parse()
            .map_err(Failure::of(format!("DEMO_PORT is {text:?}")))?,
        Err(_) => 8443,
    };
    let port = if port == 0 { ports::free() } else { port };
    let checks = std::env::var_os("DEMO_CHECK").is_some_and(|value| value == "1");
    // Before the first program runs, so that a signal during the start ends them too.
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::of("SIGTERM"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::of("SIGINT"))?;
    let work = async {
        println!("Starting Caddy, the provider, the service and six apps ...");
        let mut demo = Demo::start(port, checks).await?;
        if checks {
            let outcome = check::run(&demo).await;
            return outcome.map_err(|failure| demo.explain(&failure));
        }
        print!("{}", demo.welcome());
        loop {
            tokio::time::sleep(WATCH_EVERY).await;
            demo.still_runs()?;
        }
    };
    // What `work` started stops when it is dropped, before this returns.
    tokio::select! {
        outcome = work => return outcome,
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    println!("\nStopped.");
    Ok(())
}
