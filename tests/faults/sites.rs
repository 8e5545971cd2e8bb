//! What the proxies are told of all scenarios: Caddy what `portcullis snippet` prints, and for two instances what
//! `docs/replicas.md` adds to it.

use std::path::Path;

use crate::kit::caddy::Caddy;
use crate::kit::gate::Ports;
use crate::kit::printed::{Places, replaced};
use crate::kit::provider::write_secret;
use crate::kit::tools::source_root;
use crate::kit::{Failure, Result};
use crate::world::{DOMAIN, OPEN_HOST, SECOND, Slot};

const PROGRAM: &str = env!("CARGO_BIN_EXE_portcullis");

/// Names and ports that stand in for those of a scenario.
const APP_HOST: &str = "films.faults.localhost";
const PORTAL_HOST: &str = "auth.faults.localhost";
const PORTS: Ports = Ports {
    verify: 9_191,
    portal: 9_192,
    admin: 9_193,
};

/// The Caddyfile of all scenarios. It is printed once, and filled in for each.
///
/// # Errors
///
/// When nothing is printed, or not what is filled in here.
pub fn caddy(folder: &Path, slots: &[Slot], https_port: u16, app_port: u16) -> Result<String> {
    let template = printed(folder, https_port, app_port)?;
    let for_two = lines_for_two()?;
    let mut text = format!(
        "http://:{app_port} {{\n\trespond \"app:{{header.Remote-User}}\"\n}}
{OPEN_HOST} {{\n\treverse_proxy 127.0.0.1:{app_port}\n}}
*.{DOMAIN} {{\n\trespond 404\n}}\n"
    );
    for (number, slot) in slots.iter().enumerate() {
        let block = format!("portcullis_{number}");
        let mut site = template.clone();
        for (from, to) in [
            ("(portcullis)", format!("({block})")),
            ("import portcullis", format!("import {block}")),
            (APP_HOST, slot.app_host.clone()),
            (PORTAL_HOST, slot.portal_host.clone()),
        ] {
            site = replaced(&site, from, &to)?;
        }
        for (directive, from, to) in [
            ("forward_auth", PORTS.verify, slot.ports.verify),
            ("reverse_proxy", PORTS.portal, slot.ports.portal),
        ] {
            let line = format!("{directive} 127.0.0.1:{from}");
            let one = format!("{directive} 127.0.0.1:{to}");
            site = if slot.instances == 1 {
                replaced(&site, &line, &one)?
            } else {
                let lines =
                    for_two.replace(&PORTS.admin.to_string(), &slot.ports.admin.to_string());
                let two = format!("{one} {SECOND}:{to} {{\n{lines}");
                match directive {
                    "forward_auth" => replaced(&site, &format!("{line} {{\n"), &two)?,
                    _ => replaced(&site, &line, &format!("{two}\t}}"))?,
                }
            };
        }
        text.push_str(&site);
    }
    Ok(text)
}

/// What `portcullis snippet caddy` prints for such a service as all scenarios have.
fn printed(folder: &Path, https_port: u16, app_port: u16) -> Result<String> {
    let configuration = folder.join("printed.toml");
    let secret = folder.join("printed_secret");
    write_secret(&secret, "none").map_err(Failure::of(secret.display()))?;
    let text = format!(
        r#"[server]
listen = "127.0.0.1:{verify}"
portal_listen = "127.0.0.1:{portal}"
admin_listen = "127.0.0.1:{admin}"
public_url = "https://{PORTAL_HOST}:{https_port}"

[oidc]
issuer = "https://id.example.net"
client_id = "portcullis"
client_secret_file = "{secret}"

[session]
store = "memory:"

[services.films]
host = "{APP_HOST}"
policy = "authenticated"
"#,
        verify = PORTS.verify,
        portal = PORTS.portal,
        admin = PORTS.admin,
        secret = secret.display(),
    );
    std::fs::write(&configuration, text).map_err(Failure::of(configuration.display()))?;
    let places = Places {
        program: Path::new(PROGRAM),
        configuration: &configuration,
        services: &[],
        https_port,
        hosts: &[],
        app_port,
        changes: &[],
        certificate: &|_| unreachable_certificate(),
    };
    places.snippet("caddy")
}

/// Caddy has certificates of its own.
fn unreachable_certificate() -> (std::path::PathBuf, std::path::PathBuf) {
    Default::default()
}

/// The lines that operators of two instances add: those of the snippet `(replicas)` of the document.
fn lines_for_two() -> Result<String> {
    let document = source_root().join("docs/replicas.md");
    let text = std::fs::read_to_string(&document).map_err(Failure::of(document.display()))?;
    let snippet = text.split("(replicas) {\n").nth(1);
    let lines = snippet.and_then(|snippet| snippet.split("\n}").next());
    match lines {
        Some(lines) if lines.contains("health_uri") => Ok(format!("{lines}\n")),
        _ => Err(Failure(format!(
            "{} shows no snippet for two instances",
            document.display()
        ))),
    }
}

/// Traefik asks the first instance.
pub fn traefik(slots: &[Slot], caddy: &Caddy, app_port: u16) -> String {
    let numbered = || slots.iter().enumerate();
    let middlewares: Vec<String> = numbered()
        .map(|(number, slot)| {
            format!(
                "    gate{number}: {{ forwardAuth: {{ address: \"http://127.0.0.1:{}/verify\", \
                 authResponseHeaders: [Remote-User, Remote-Name, Remote-Email, Remote-Groups, Cookie] }} }}\n",
                slot.ports.verify
            )
        })
        .collect();
    let routers: Vec<String> = numbered()
        .map(|(number, slot)| {
            format!(
                "    app{number}: {{ rule: \"Host(`{}`)\", service: app, middlewares: [gate{number}], tls: {{}} }}\n",
                slot.app_host
            )
        })
        .collect();
    let (chain, key) = caddy.certificate_of(&format!("wildcard_.{DOMAIN}"));
    format!(
        "http:
  middlewares:
{middlewares}  routers:
{routers}    open: {{ rule: \"Host(`{OPEN_HOST}`)\", service: app, tls: {{}} }}
  services:
    app: {{ loadBalancer: {{ servers: [{{ url: \"http://127.0.0.1:{app_port}\" }}] }} }}
tls:
  stores:
    default:
      defaultCertificate: {{ certFile: {chain}, keyFile: {key} }}
",
        middlewares = middlewares.concat(),
        routers = routers.concat(),
        chain = chain.display(),
        key = key.display(),
    )
}
