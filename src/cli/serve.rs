//! `portcullis serve`: runs the service until it is told to stop.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::load;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::http::panics::log_panics;
use crate::oidc::install_crypto_provider;
use crate::startup::Application;
use crate::telemetry::subscriber::{self, Log};

/// Runs. 0 after a clean stop, 1 when the service could not start or broke.
#[must_use]
pub fn run(config: Option<&Path>) -> ExitCode {
    let config = match load(config) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let log = match subscriber::start(config.log.level, config.log.format) {
        Ok(log) => log,
        Err(error) => {
            complain(&error.to_string());
            return ExitCode::FAILURE;
        }
    };
    log_panics();
    install_crypto_provider();
    let system = actix_web::rt::System::new();
    let ended = system.block_on(serve(config, &log));
    // Dropped, it would wait for each call that blocks a thread: a name that is looked up, a secret file on a file system that went away. All
    // that has to end has ended, in the time that there is for that, and the process takes the rest with it.
    std::mem::forget(system);
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "stopped");
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// On standard error: the log may be read by nobody.
fn complain(error: &str) {
    // There is nowhere left to complain to.
    let _ = writeln!(std::io::stderr(), "error: {error}");
}

/// Tells systemd (sd_notify(3)), where it asks to be told. The listeners take connections from [`Application::build`] on.
fn tell_manager(state: &NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(std::slice::from_ref(state)) {
        tracing::warn!(%error, "the service manager cannot be told how this is");
    }
}

async fn serve(config: Config, log: &Log) -> Result<(), Box<dyn std::error::Error>> {
    for warning in &config.warnings {
        tracing::warn!(path = warning.path, "{}", warning.message);
    }
    let (listen, portal, admin) = {
        let server = &config.server;
        (
            server.listen.clone(),
            server.portal_listen.clone(),
            server.admin_listen.clone(),
        )
    };
    let public_url = config.server.public_url.clone();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let application = Application::build(config, Arc::new(SystemClock))?;
    application.metrics().watch_log(log.dropped());
    let control = application.control_socket().map(Path::display);
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        %public_url,
        %listen,
        %portal,
        %admin,
        control = control.as_ref().map(tracing::field::display),
        "portcullis is up"
    );
    tell_manager(&NotifyState::Ready);
    let stop = async move {
        let signal = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!(signal, "stopping");
        tell_manager(&NotifyState::Stopping);
    };
    let telling = actix_web::rt::spawn(log.dropped().keep_telling());
    let ended = application.run_until(stop).await;
    telling.abort();
    ended?;
    tracing::info!("stopped");
    Ok(())
}
