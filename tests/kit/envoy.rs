//! A real Envoy with what `portcullis snippet envoy` prints.

use std::path::Path;
use std::time::Duration;

use super::child::Running;
use super::printed::{Places, replaced};
use super::{Failure, Result, tools};

const START_LIMIT: Duration = Duration::from_secs(30);

/// Starts Envoy; all that it writes goes below `folder`.
///
/// # Errors
///
/// When it does not start, with what it said.
pub async fn start(folder: &Path, places: &Places<'_>) -> Result<Running> {
    let file = folder.join("envoy.yaml");
    std::fs::write(&file, configuration(places)?).map_err(Failure::of(file.display()))?;
    let log = folder.join("envoy.log");
    let mut running = Running::start("Envoy", &tools::find("envoy")?, &log, |command| {
        command.arg("--config-path").arg(&file);
        // Several may run on this machine, and one thread is enough.
        command.args([
            "--use-dynamic-base-id",
            "--concurrency",
            "1",
            "--log-level",
            "warning",
        ]);
    })?;
    let port = places.https_port;
    let started = running.wait_for(START_LIMIT, || async move {
        let connected = tokio::net::TcpStream::connect(("127.0.0.1", port)).await;
        connected.map(drop).map_err(Failure::new)
    });
    started.await?;
    Ok(running)
}

fn configuration(places: &Places<'_>) -> Result<String> {
    let text = places.snippet("envoy")?;
    let text = replaced(&text, "address: 0.0.0.0", "address: 127.0.0.1")?;
    let certificate = |host: &&str| {
        let (chain, key) = (places.certificate)(host);
        format!(
            "            - certificate_chain: {{ filename: {} }}
              private_key: {{ filename: {} }}
",
            chain.display(),
            key.display()
        )
    };
    let printed = "            - certificate_chain: { filename: /etc/envoy/tls/fullchain.pem }
              private_key: { filename: /etc/envoy/tls/privkey.pem }
";
    let certificates: String = places.hosts.iter().map(certificate).collect();
    replaced(&text, printed, &certificates)
}
