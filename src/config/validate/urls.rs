//! URLs, as the operator names the portal and the issuer.

use url::{Host, Url};

use crate::config::problems::Problems;

/// Reads an `http` or `https` URL without user, query and fragment, and reports what is wrong with it.
/// `example` is shown where it is no such URL. What is written is never repeated, since it may hold a
/// password.
pub(super) fn parse(
    path: &str,
    written: &str,
    example: &str,
    problems: &mut Problems,
) -> Option<Url> {
    // The URL standard drops tabs and line ends and turns backslashes; nobody else does.
    let odd = |c: char| c.is_whitespace() || c.is_control() || c == '\\';
    let url = Url::parse(written).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https") && url.has_host() && !written.contains(odd)
    });
    let Some(url) = url else {
        problems.at(path, format!("must be a URL such as \"{example}\""));
        return None;
    };
    let mut sound = true;
    let mut refuse = |message: &str| {
        problems.at(path, message);
        sound = false;
    };
    if !url.username().is_empty() || url.password().is_some() {
        refuse("must not hold a user name or a password");
    }
    if url.query().is_some() {
        refuse("must not hold a query (\"?\")");
    }
    if url.fragment().is_some() {
        refuse("must not hold a fragment (\"#\")");
    }
    if url.port() == Some(0) {
        refuse("port 0 cannot be reached");
    }
    if is_unspecified(&url) {
        refuse("this address means every interface, and no browser can go there");
    }
    sound.then_some(url)
}

/// Whether the host can be nothing but this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        // RFC 6761 §6.3: names below `localhost` are loopback too.
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

fn is_unspecified(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_unspecified(),
        Some(Host::Ipv6(address)) => address.is_unspecified(),
        _ => false,
    }
}
