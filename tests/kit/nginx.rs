//! A real nginx with the files that `docs/nginx.md` shows.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::child::Running;
use super::documented::{block, replaced};
use super::{Failure, Result, gate, tools};

const DOCUMENT: &str = "docs/nginx.md";
const START_LIMIT: Duration = Duration::from_secs(15);

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

/// Starts nginx; all that it writes goes below `folder`.
///
/// # Errors
///
/// When it does not start, with what it said.
pub async fn start(folder: &Path, places: &Places<'_>) -> Result<Running> {
    let folder = folder.join("nginx");
    let snippets = folder.join("snippets");
    std::fs::create_dir_all(&snippets).map_err(Failure::of(snippets.display()))?;
    let write =
        |path: &Path, text: &str| std::fs::write(path, text).map_err(Failure::of(path.display()));
    for name in ["portcullis-server.conf", "portcullis-proxy.conf"] {
        let text = block(DOCUMENT, &format!("nginx {name}"))?;
        // As the document says for other ports than 443.
        let text = replaced(&text, "$host", "$host:$server_port")?;
        write(&snippets.join(name), &text)?;
    }
    let file = folder.join("nginx.conf");
    write(&file, &configuration(&folder, places)?)?;
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
    let shared = block(DOCUMENT, "nginx portcullis.conf")?;
    let shared = replaced(
        &shared,
        "127.0.0.1:9191",
        &format!("127.0.0.1:{}", places.gate.verify),
    )?;
    let shared = replaced(
        &shared,
        "127.0.0.1:9192",
        &format!("127.0.0.1:{}", places.gate.portal),
    )?;
    let sites = block(DOCUMENT, "nginx sites.conf")?;
    let (portal, site) = sites
        .split_once("\n}\n")
        .ok_or_else(|| Failure::new("the portal and a site"))?;
    let portal = fitted(
        &format!("{portal}\n}}\n"),
        "auth.example.net",
        places.portal,
        places,
    )?;
    let mut servers = format!("{shared}{portal}");
    for host in places.hosts {
        let site = fitted(site, "grafana.example.net", host, places)?;
        let site = replaced(
            &site,
            "127.0.0.1:3000",
            &format!("127.0.0.1:{}", places.app_port),
        )?;
        servers.push_str(&site);
    }
    let listening = format!("listen 127.0.0.1:{port} ssl");
    let servers = replaced(&servers, "listen 443 ssl", &listening)?;
    Ok(format!(
        "daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr info;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    scgi_temp_path {folder}/scgi;
    uwsgi_temp_path {folder}/uwsgi;
    client_max_body_size 8m;
{servers}}}
",
        folder = folder.display(),
    ))
}

fn fitted(site: &str, name: &str, host: &str, places: &Places<'_>) -> Result<String> {
    let (chain, key) = (places.certificate)(host);
    let chain_of = |name: &str, ending: &str| format!("/etc/ssl/{name}.{ending}");
    let site = replaced(site, &chain_of(name, "crt"), &chain.display().to_string())?;
    let site = replaced(&site, &chain_of(name, "key"), &key.display().to_string())?;
    replaced(&site, name, host)
}
