//! A real Envoy with the file that `docs/envoy.md` shows.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::child::Running;
use super::documented::{block, replaced};
use super::{Failure, Result, gate, tools};

const DOCUMENT: &str = "docs/envoy.md";
const START_LIMIT: Duration = Duration::from_secs(30);

/// What stands in the place of the document's names and addresses.
pub struct Places<'a> {
    pub https_port: u16,
    pub gate: gate::Ports,
    pub portal: &'a str,
    pub hosts: &'a [&'a str],
    pub app_port: u16,
    /// Certificate chain and key of a host.
    pub certificate: &'a dyn Fn(&str) -> (PathBuf, PathBuf),
}

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
    let text = block(DOCUMENT, "yaml envoy.yaml")?;
    let port = |port: u16| format!("port_value: {port} ");
    let text = replaced(&text, "address: 0.0.0.0", "address: 127.0.0.1")?;
    let text = replaced(&text, &port(443), &port(places.https_port))?;
    let text = replaced(&text, &port(9191), &port(places.gate.verify))?;
    let text = replaced(&text, &port(9192), &port(places.gate.portal))?;
    let text = replaced(&text, &port(3000), &port(places.app_port))?;
    let text = replaced(&text, "auth.example.net", places.portal)?;
    let text = replaced(&text, "grafana.example.net", &places.hosts.join(", "))?;
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
    let shown = "            - certificate_chain: { filename: /etc/ssl/example.net.crt }
              private_key: { filename: /etc/ssl/example.net.key }
";
    let hosts = [&[places.portal], places.hosts].concat();
    let certificates: String = hosts.iter().map(certificate).collect();
    replaced(&text, shown, &certificates)
}
