//! `[server]`

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use url::Url;

use super::networks::proxy_network;
use super::{Files, item, one_of, sockets, urls};
use crate::config::problems::Problems;
use crate::config::raw::RawServer;
use crate::config::{ControlSocket, Listen, SOCKET_IN_MAKING, Server};
use crate::domain::dialects::{Dialect, Dialects};
use crate::domain::host::Authority;
use crate::domain::proxies::TrustedProxies;

/// The longest path of a socket, in bytes: `sun_path` holds 108 with the final zero (unix(7)), and first the socket has
/// a longer name.
const MAX_SOCKET_PATH: usize = 107 - SOCKET_IN_MAKING;

const CONTROL_SOCKET: &str = "server.control_socket";

const DEFAULT_ADMIN_PORT: u16 = 9193;

pub(super) fn server(
    raw: &RawServer,
    files: &Files<'_>,
    problems: &mut Problems,
) -> Option<Server> {
    let listeners = [
        ("server.listen", &raw.listen, 9191),
        ("server.portal_listen", &raw.portal_listen, 9192),
        ("server.admin_listen", &raw.admin_listen, DEFAULT_ADMIN_PORT),
    ];
    let mut taken: Vec<(&str, Listen)> = Vec::new();
    let [listen, portal_listen, admin_listen] = listeners.map(|(path, written, port)| {
        let listen = match written {
            None => Listen::Tcp((Ipv4Addr::LOCALHOST, port).into()),
            Some(written) => listen_at(path, written, problems)?,
        };
        if let Some((other, _)) = taken.iter().find(|(_, other)| collide(other, &listen)) {
            problems.at(path, format!("{listen} is taken by {other}"));
        }
        taken.push((path, listen.clone()));
        Some(listen)
    });
    let control_socket = control_socket(raw.control_socket.as_deref(), problems);
    if let Some(ControlSocket::At(path)) = &control_socket
        && let Some((other, _)) = taken
            .iter()
            .find(|(_, other)| matches!(other, Listen::Unix(other) if other == path))
    {
        problems.at(CONTROL_SOCKET, format!("is taken by {other}"));
    }
    let portal = public_url(raw, problems);
    let trusted_proxies = trusted_proxies(raw, listen.as_ref(), problems);
    let proxy_secret = match &raw.proxy_secret_file {
        None => None,
        Some(file) => Some(files.secret("server.proxy_secret_file", file, problems)?),
    };
    let dialects = dialects(raw, problems);
    let listeners = [&listen, &portal_listen, &admin_listen];
    let is_socket = |listen: &&Option<Listen>| matches!(listen, Some(Listen::Unix(_)));
    let sockets = sockets::access(raw, listeners.iter().any(is_socket), problems);
    if raw.danger_allow_http {
        problems.warn(
            "server.danger_allow_http",
            "cookies go without `Secure` and without `__Host-`: for development only",
        );
    }
    let (public_url, portal) = portal?;
    Some(Server {
        listen: listen?,
        portal_listen: portal_listen?,
        admin_listen: admin_listen?,
        control_socket: control_socket?,
        public_url,
        portal,
        trusted_proxies,
        proxy_secret,
        dialects: dialects?,
        sockets: sockets?,
        allow_http: raw.danger_allow_http,
    })
}

/// Where health is told, when nothing else of the configuration matters. What is no address is reported, and then
/// it is the default.
pub(in crate::config) fn admin_listen(written: Option<&str>, problems: &mut Problems) -> Listen {
    let listen = written.and_then(|written| listen_at("server.admin_listen", written, problems));
    listen.unwrap_or_else(|| Listen::Tcp((Ipv4Addr::LOCALHOST, DEFAULT_ADMIN_PORT).into()))
}

/// Where the commands of administrators are taken, when nothing else of the configuration matters. `None` for what is no
/// path, which is reported.
pub(in crate::config) fn control_socket(
    written: Option<&str>,
    problems: &mut Problems,
) -> Option<ControlSocket> {
    match written {
        None => Some(ControlSocket::Usual),
        Some("off") => Some(ControlSocket::Off),
        Some(path) => match control_path(path) {
            Ok(path) => Some(ControlSocket::At(path)),
            Err(message) => {
                problems.at(CONTROL_SOCKET, message);
                None
            }
        },
    }
}

fn control_path(written: &str) -> Result<PathBuf, String> {
    // As the listeners are written.
    let path = written.strip_prefix("unix:").unwrap_or(written);
    if path.starts_with('/') {
        return socket_path(path);
    }
    let message = "must be an absolute path such as \"/run/portcullis/control.sock\", or \"off\"";
    Err(message.to_owned())
}

fn listen_at(path: &str, written: &str, problems: &mut Problems) -> Option<Listen> {
    if let Some(socket) = written.strip_prefix("unix:") {
        return match socket_path(socket) {
            Ok(socket) => Some(Listen::Unix(socket)),
            Err(message) => {
                problems.at(path, message);
                None
            }
        };
    }
    let address = match written.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => written.to_owned(),
    };
    let Ok(address) = address.parse::<SocketAddr>() else {
        problems.at(
            path,
            "must be an address and a port such as \"127.0.0.1:9191\", or \"unix:/absolute/path\"",
        );
        return None;
    };
    Some(Listen::Tcp(address))
}

fn socket_path(written: &str) -> Result<PathBuf, String> {
    let path = Path::new(written);
    if !path.is_absolute() || path.file_name().is_none() {
        return Err(
            "the path of a socket must be absolute: \"unix:/run/portcullis/verify.sock\"".into(),
        );
    }
    if written.len() > MAX_SOCKET_PATH {
        return Err(format!(
            "the path of a socket has at most {MAX_SOCKET_PATH} bytes"
        ));
    }
    if written.contains('\0') {
        return Err("a path holds no zero byte".into());
    }
    Ok(path.to_owned())
}

/// Whether the second of two listeners could not be opened beside the first. Port 0 is any that is free.
fn collide(one: &Listen, other: &Listen) -> bool {
    match (one, other) {
        (Listen::Unix(one), Listen::Unix(other)) => one == other,
        (Listen::Tcp(one), Listen::Tcp(other)) => {
            let everywhere = one.ip().is_unspecified() || other.ip().is_unspecified();
            one.port() == other.port() && one.port() != 0 && (everywhere || one.ip() == other.ip())
        }
        _ => false,
    }
}

fn public_url(raw: &RawServer, problems: &mut Problems) -> Option<(Url, Authority)> {
    const PATH: &str = "server.public_url";
    const EXAMPLE: &str = "https://auth.example.net";
    let Some(written) = &raw.public_url else {
        let message = format!("must be given: what browsers call the portal, \"{EXAMPLE}\" say");
        problems.missing(PATH, message);
        return None;
    };
    let mut url = urls::parse(PATH, written, EXAMPLE, problems)?;
    let mut sound = true;
    let mut refuse = |message: &str| {
        problems.at(PATH, message);
        sound = false;
    };
    if url.scheme() != "https" && !raw.danger_allow_http {
        refuse("must begin with https:// (http needs server.danger_allow_http, for development)");
    }
    let path = url.path().trim_end_matches('/').to_owned();
    let plain = |segment: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
        !segment.is_empty() && segment.bytes().all(plain) && !segment.starts_with('.')
    };
    if !path.is_empty() && !path.trim_start_matches('/').split('/').all(plain) {
        refuse("the path may hold letters, digits, '-', '_', '.' and '~' only");
    }
    url.set_path(&path);
    let Some(authority) = Authority::of_url(&url) else {
        refuse("the host is none that browsers can go to");
        return None;
    };
    // Without its final dot, say: the one spelling that everything is compared with.
    if url.set_host(Some(authority.host.as_str())).is_err() {
        refuse("the host is none that browsers can go to");
    }
    sound.then_some((url, authority))
}

fn dialects(raw: &RawServer, problems: &mut Problems) -> Option<Dialects> {
    const PATH: &str = "server.dialects";
    let Some(written) = &raw.dialects else {
        return Some(Dialects::default());
    };
    if written.is_empty() {
        problems.at(
            PATH,
            "must name one at least: no proxy could ask anything otherwise",
        );
        return None;
    }
    let choices = Dialect::ALL.map(|dialect| (dialect.as_str(), dialect));
    let mut found = Vec::new();
    for (index, name) in written.iter().enumerate() {
        let path = item(PATH, index, written.len());
        let dialect = one_of(Some(name), &choices, &path, problems).flatten()?;
        if !found.contains(&dialect) {
            found.push(dialect);
        }
    }
    Dialects::new(found)
}

fn trusted_proxies(
    raw: &RawServer,
    listen: Option<&Listen>,
    problems: &mut Problems,
) -> TrustedProxies {
    const PATH: &str = "server.trusted_proxies";
    let loopback = || vec!["127.0.0.0/8".to_owned(), "::1/128".to_owned()];
    let written = raw.trusted_proxies.clone().unwrap_or_else(loopback);
    if written.is_empty() && matches!(listen, Some(Listen::Tcp(_))) {
        problems.warn(
            PATH,
            "is empty: every request to server.listen will be refused",
        );
    }
    let networks = written.iter().enumerate().filter_map(|(index, network)| {
        proxy_network(&item(PATH, index, written.len()), network, problems)
    });
    TrustedProxies::new(networks.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Folders;

    #[test]
    fn a_path_of_a_socket_leaves_room_for_its_making() {
        type Place = fn(&mut RawServer) -> &mut Option<String>;
        let listeners: [(&str, Place); 3] = [
            ("server.listen", |raw| &mut raw.listen),
            ("server.portal_listen", |raw| &mut raw.portal_listen),
            ("server.admin_listen", |raw| &mut raw.admin_listen),
        ];
        let folders = Folders {
            configuration: "/nowhere".into(),
            credentials: None,
        };
        let files = Files { folders: &folders };
        for (key, place) in listeners {
            for length in 96..=110 {
                let mut raw = RawServer::default();
                *place(&mut raw) = Some(format!("unix:/{}", "s".repeat(length - 1)));
                let mut problems = Problems::default();
                server(&raw, &files, &mut problems);
                let told = problems.errors().iter().map(ToString::to_string);
                let told: Vec<String> = told.filter(|told| told.starts_with(key)).collect();
                let expected = match length {
                    ..=98 => vec![],
                    _ => vec![format!("{key}: the path of a socket has at most 98 bytes")],
                };
                assert_eq!(told, expected, "{length}");
            }
        }
    }
}
