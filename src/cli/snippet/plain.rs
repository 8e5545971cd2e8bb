//! What can be written into the configuration of a proxy as it stands. Each has quotes, placeholders and words of its
//! own; rather than trust every one of their rules for odd characters, such values are refused. None is needed.

use std::net::SocketAddr;
use std::path::Path;

use crate::config::{Config, Listen};
use crate::domain::service_host::HostPattern;

/// Whether everything that a snippet may hold means itself there. Names of services and policies, and the path of the
/// portal, have no other characters by our own rules.
///
/// # Errors
///
/// What cannot be written, and what to do about it.
pub(super) fn check(config: &Config) -> Result<(), String> {
    let server = &config.server;
    for (key, listen) in [
        ("server.listen", &server.listen),
        ("server.portal_listen", &server.portal_listen),
    ] {
        match listen {
            Listen::Unix(path) => check_path(key, path)?,
            Listen::Tcp(SocketAddr::V6(address)) if address.scope_id() != 0 => {
                return Err(format!(
                    "{key}: an address with a zone (\"%\") cannot be written for a proxy: take another"
                ));
            }
            Listen::Tcp(_) => {}
        }
    }
    check_host("server.public_url", server.portal.host.as_str())?;
    if let Some(issuer) = config.services.issuer() {
        check_host("oidc.issuer", issuer.as_str())?;
    }
    for service in config.services.services() {
        for host in &service.hosts {
            let (HostPattern::Exact(name) | HostPattern::Below(name)) = &host.pattern;
            check_host(&format!("services.{}.host", service.name), name.as_str())?;
        }
    }
    let copied = config.services.copied_headers();
    match copied.iter().find(|name| !is_plain(name, "-_.")) {
        Some(name) => Err(format!(
            "the header \"{name}\" cannot be written for a proxy: its name may have letters, digits, \"-\", \"_\" and \
             \".\""
        )),
        None => Ok(()),
    }
}

fn check_path(key: &str, path: &Path) -> Result<(), String> {
    match path.to_str() {
        Some(path) if is_plain(path, "/-_.,+@=") => Ok(()),
        _ => Err(format!(
            "{key}: the path of this socket cannot be written for a proxy: it may have letters, digits and /-_.,+@="
        )),
    }
}

fn check_host(key: &str, host: &str) -> Result<(), String> {
    let is_address = host.starts_with('[');
    let is_name = is_plain(host, "-_.") && host.contains(|c: char| c.is_ascii_alphanumeric());
    if is_address || is_name {
        return Ok(());
    }
    Err(format!(
        "{key}: \"{host}\" cannot be written for a proxy: a name has letters and digits, \"-\", \"_\" and \".\""
    ))
}

fn is_plain(text: &str, marks: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || marks.contains(c);
    text.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_means_itself_to_every_proxy() {
        let path = |path: &str| check_path("server.listen", Path::new(path)).is_ok();
        assert!(path("/run/portcullis/verify.sock"));
        assert!(path("/run/a-b_c.d,e+f@g=h/X"));
        for c in " \t\n\"'`\\$;{}()[]<>|&*?!#%:~^\u{7f}é".chars() {
            assert!(!path(&format!("/run/a{c}b.sock")), "{c:?}");
        }
    }

    #[test]
    fn a_host_means_itself_to_every_proxy() {
        let host = |host: &str| check_host("services.films.host", host).is_ok();
        for name in [
            "films.example.net",
            "x_y.example.net",
            "default",
            "127.0.0.1",
            "[::1]",
        ] {
            assert!(host(name), "{name}");
        }
        for name in ["~films.example.net", "films~.example.net", "_", "-.-"] {
            assert!(!host(name), "{name}");
        }
    }
}
