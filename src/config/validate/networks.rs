//! Networks, as rules and trusted proxies name them.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use crate::config::problems::Problems;

/// Reads a network, or an address that stands for itself alone. Bits beyond the prefix are dropped with
/// a warning, and IPv4 in IPv6 (`::ffff:10.0.0.0/104`) becomes IPv4, since clients' addresses do.
pub(super) fn network(path: &str, written: &str, problems: &mut Problems) -> Option<IpNet> {
    let written = written.trim();
    let parsed = match written.parse::<IpAddr>() {
        Ok(address) => Ok(IpNet::from(address)),
        Err(_) => written.parse::<IpNet>(),
    };
    let Ok(network) = parsed else {
        problems.at(
            path,
            format!("\"{written}\" is not a network such as \"10.0.0.0/8\" or \"fd00::/8\""),
        );
        return None;
    };
    if network != network.trunc() {
        problems.warn(
            path,
            format!("{network} is taken for the network {}", network.trunc()),
        );
    }
    Some(unmapped(network.trunc()))
}

/// Reads a network of clients. One that holds much of the internet is warned about, and so is one that holds
/// one of our own `proxies`.
pub(super) fn client_network(
    path: &str,
    written: &str,
    proxies: &[IpNet],
    problems: &mut Problems,
) -> Option<IpNet> {
    let network = network(path, written, problems)?;
    let wide = match network {
        IpNet::V4(_) => 8,
        IpNet::V6(_) => 32,
    };
    if network.prefix_len() == 0 {
        problems.warn(path, format!("{network} lets every address in"));
    } else if network.prefix_len() < wide && !is_private(&network) {
        problems.warn(
            path,
            format!("{network} is wide: it holds a large part of the internet"),
        );
    } else if let Some(proxy) = proxies.iter().find(|proxy| overlap(proxy, &network)) {
        problems.warn(
            path,
            format!(
                "{network} holds proxies of server.trusted_proxies ({proxy}): where something before \
                 them hides its clients' addresses (NAT, a tunnel, the gateway of a container), every \
                 client looks like that, and counts as coming from here"
            ),
        );
    }
    Some(network)
}

fn overlap(one: &IpNet, other: &IpNet) -> bool {
    one.contains(other) || other.contains(one)
}

/// Reads a network of proxies. Whoever speaks from there may say who a client is, so one that holds much
/// of the internet is refused, and one that is wide is warned about.
pub(super) fn proxy_network(path: &str, written: &str, problems: &mut Problems) -> Option<IpNet> {
    let network = network(path, written, problems)?;
    if is_private(&network) {
        return Some(network);
    }
    let (least, wide) = match network {
        IpNet::V4(_) => (8, 16),
        IpNet::V6(_) => (16, 32),
    };
    if network.prefix_len() < least {
        problems.at(
            path,
            format!(
                "{network} holds a large part of the internet: whoever speaks from there could say \
                 that they are anybody"
            ),
        );
        return None;
    }
    if network.prefix_len() < wide {
        problems.warn(
            path,
            format!("{network} is wide: name the addresses of the proxies alone"),
        );
    }
    Some(network)
}

fn unmapped(network: IpNet) -> IpNet {
    if let IpNet::V6(v6) = network
        && let Some(address) = v6.addr().to_ipv4_mapped()
        && let Some(prefix) = v6.prefix_len().checked_sub(96)
        && let Ok(v4) = Ipv4Net::new(address, prefix)
    {
        return IpNet::V4(v4);
    }
    network
}

/// Whether no part of it is routed on the internet.
fn is_private(network: &IpNet) -> bool {
    const PRIVATE: [&str; 9] = [
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "169.254.0.0/16",
        "::1/128",
        "fc00::/7",
        "fe80::/10",
    ];
    let private = PRIVATE.iter().filter_map(|text| text.parse::<IpNet>().ok());
    private.into_iter().any(|private| private.contains(network))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip] // the columns are the point
    fn proxies_speak_from_narrow_networks() {
        // network, what it is taken for, errors, warnings
        let cases = [
            ("127.0.0.0/8",          Some("127.0.0.0/8"),    0, 0),
            ("10.0.0.0/8",           Some("10.0.0.0/8"),     0, 0),
            ("10.0.0.1",             Some("10.0.0.1/32"),    0, 0),
            (" 10.0.0.1 ",           Some("10.0.0.1/32"),    0, 0),
            ("10.0.0.1/8",           Some("10.0.0.0/8"),     0, 1),
            ("::1",                  Some("::1/128"),        0, 0),
            ("fc00::/7",             Some("fc00::/7"),       0, 0),
            ("203.0.113.0/24",       Some("203.0.113.0/24"), 0, 0),
            ("203.2.0.0/15",         Some("203.2.0.0/15"),   0, 1),
            ("203.0.0.0/8",          Some("203.0.0.0/8"),    0, 1),
            ("2001:db8::/32",        Some("2001:db8::/32"),  0, 0),
            ("2001:db0::/28",        Some("2001:db0::/28"),  0, 1),
            ("0.0.0.0/0",            None,                   1, 0),
            ("0.0.0.0/1",            None,                   1, 0),
            ("::/0",                 None,                   1, 0),
            ("::ffff:0:0/96",        None,                   1, 0),
            ("::ffff:10.1.0.0/112",  Some("10.1.0.0/16"),    0, 0),
            ("10.0.0.0/33",          None,                   1, 0),
            ("proxy",                None,                   1, 0),
            ("",                     None,                   1, 0),
        ];
        for (written, expected, errors, warnings) in cases {
            let mut problems = Problems::default();
            let found = proxy_network("p", written, &mut problems).map(|network| network.to_string());
            assert_eq!(found.as_deref(), expected, "{written}");
            assert_eq!(problems.errors().len(), errors, "{written} {problems:?}");
            assert_eq!(problems.warnings().len(), warnings, "{written} {problems:?}");
        }
    }
}
