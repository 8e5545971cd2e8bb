//! A real nginx with what `portcullis snippet nginx` prints.

use std::path::Path;
use std::time::Duration;

use super::child::Running;
use super::printed::{Places, replaced};
use super::{Failure, Result, tools};

const START_LIMIT: Duration = Duration::from_secs(15);

/// Starts nginx; all that it writes goes below `folder`.
///
/// # Errors
///
/// When it does not start, with what it said.
pub async fn start(folder: &Path, places: &Places<'_>) -> Result<Running> {
    let folder = folder.join("nginx");
    std::fs::create_dir_all(&folder).map_err(Failure::of(folder.display()))?;
    let file = folder.join("nginx.conf");
    let text = configuration(&folder, places)?;
    std::fs::write(&file, text).map_err(Failure::of(file.display()))?;
    let log = folder.join("nginx.log");
    let mut running = Running::start("nginx", &tools::find("nginx")?, &log, |command| {
        command.arg("-p").arg(&folder).arg("-c").arg(&file);
        command.args(["-e", "stderr"]);
    })?;
    let port = places.https_port;
    let started = running.wait_for(START_LIMIT, || async move {
        let connected = tokio::net::TcpStream::connect(("127.0.0.1", port)).await;
        connected.map(drop).map_err(Failure::new)
    });
    started.await?;
    Ok(running)
}

fn configuration(folder: &Path, places: &Places<'_>) -> Result<String> {
    let port = places.https_port;
    let printed = places.snippet("nginx")?;
    let listening = format!("listen 127.0.0.1:{port} ");
    let servers = replaced(&printed, &format!("listen {port} "), &listening)?;
    // One certificate a host here.
    let (chain, key) = (places.certificate)("$ssl_server_name");
    let chain = chain.display().to_string();
    let servers = replaced(&servers, "/etc/nginx/tls/fullchain.pem", &chain)?;
    let key = key.display().to_string();
    let servers = replaced(&servers, "/etc/nginx/tls/privkey.pem", &key)?;
    Ok(format!(
        "daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr info;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    scgi_temp_path {folder}/scgi;
    uwsgi_temp_path {folder}/uwsgi;
{servers}}}
",
        folder = folder.display(),
    ))
}
