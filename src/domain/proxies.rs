//! Trusted proxies: whose headers we believe, and where a request came from as far as they know.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

/// The networks that our proxies speak from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

/// Where a request came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAddress {
    /// The address that the first trusted proxy saw.
    Known(IpAddr),
    /// Some entry was no address. Such a client is in no network.
    Unknown,
}

/// What an entry of `X-Forwarded-For` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// The address of a trusted proxy: the walk goes on.
    Ours(IpAddr),
    /// Another address: the client.
    Foreign(IpAddr),
    /// No address: the client is unknown.
    NoAddress,
}

impl ClientAddress {
    /// Whether it is known at all.
    #[must_use]
    pub const fn is_known(self) -> bool {
        matches!(self, Self::Known(_))
    }

    /// Whether the client is in one of `networks`. An unknown one never is.
    #[must_use]
    pub fn is_in(self, networks: &[IpNet]) -> bool {
        match self {
            Self::Known(address) => networks.iter().any(|network| network.contains(&address)),
            Self::Unknown => false,
        }
    }
}

/// The address that stands for all that one customer has: an IPv6 network of 64 bits, or one IPv4 address.
#[must_use]
pub fn customer(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => {
            let network = v6.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
    }
}

impl std::fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Known(address) => address.fmt(f),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

impl TrustedProxies {
    /// Trusts exactly these networks.
    #[must_use]
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// The networks.
    #[must_use]
    pub fn networks(&self) -> &[IpNet] {
        &self.0
    }

    /// Whether `address` is one of ours. IPv4 in IPv6 (`::ffff:a.b.c.d`) is IPv4.
    #[must_use]
    pub fn trust(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Walks the values of `X-Forwarded-For`, last line and last entry first, past our own proxies. The
    /// first entry that is not ours is the client; where all are ours, the leftmost.
    ///
    /// `lines` are the header's lines in the order received. Whoever calls this has already found that the
    /// peer is trusted.
    #[must_use]
    pub fn client_address<'a>(
        &self,
        lines: impl DoubleEndedIterator<Item = &'a str>,
    ) -> ClientAddress {
        let mut leftmost = ClientAddress::Unknown;
        for (_, entry) in self.walk(lines) {
            match entry {
                Entry::Ours(address) => leftmost = ClientAddress::Known(address),
                Entry::Foreign(address) => return ClientAddress::Known(address),
                Entry::NoAddress => return ClientAddress::Unknown,
            }
        }
        leftmost
    }

    /// The entries of `X-Forwarded-For` in the order of the walk, each with what it is. The first that is not
    /// [`Entry::Ours`] ends the walk; what follows is what the client says of itself.
    pub fn walk<'a>(
        &self,
        lines: impl DoubleEndedIterator<Item = &'a str>,
    ) -> impl Iterator<Item = (&'a str, Entry)> {
        let entries = lines.rev().flat_map(|line| line.rsplit(','));
        entries.map(|entry| {
            let read = match parse_entry(entry) {
                Some(address) if self.trust(address) => Entry::Ours(address),
                Some(address) => Entry::Foreign(address),
                None => Entry::NoAddress,
            };
            (entry, read)
        })
    }
}

/// One entry: an address, `a.b.c.d:port`, `[v6]` or `[v6]:port`, with blanks around it.
fn parse_entry(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim_matches([' ', '\t']);
    let address = entry
        .parse::<IpAddr>()
        .or_else(|_| entry.parse::<SocketAddr>().map(|socket| socket.ip()))
        .ok()
        .or_else(|| entry.strip_prefix('[')?.strip_suffix(']')?.parse().ok())?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn trusted(networks: &[&str]) -> TrustedProxies {
        let parse = |network: &&str| network.parse().expect("a network");
        TrustedProxies::new(networks.iter().map(parse).collect())
    }

    #[test]
    #[rustfmt::skip] // the columns are the point
    fn the_walk_goes_right_to_left_past_our_own() {
        let ours = trusted(&["127.0.0.0/8", "::1/128", "10.0.0.0/8"]);
        let cases: [(&[&str], &str); 25] = [
            (&["203.0.113.7"],                        "203.0.113.7"),
            (&["203.0.113.7, 10.0.0.1"],              "203.0.113.7"),
            (&["198.51.100.9, 203.0.113.7, 10.0.0.1"],"203.0.113.7"),
            (&["10.1.1.1, 203.0.113.7"],              "203.0.113.7"),
            (&["10.1.1.1, 10.2.2.2"],                 "10.1.1.1"),
            (&["198.51.100.9", "203.0.113.7"],        "203.0.113.7"),
            (&["203.0.113.7", "10.0.0.1"],            "203.0.113.7"),
            (&["203.0.113.7:4711"],                   "203.0.113.7"),
            (&["[2001:db8::7]:4711"],                 "2001:db8::7"),
            (&["[2001:db8::7]"],                      "2001:db8::7"),
            (&["2001:db8::7"],                        "2001:db8::7"),
            (&["::ffff:203.0.113.7"],                 "203.0.113.7"),
            (&["203.0.113.7, ::ffff:10.0.0.1"],       "203.0.113.7"),
            (&["\t203.0.113.7 ,\t10.0.0.1 "],         "203.0.113.7"),
            (&["junk, 203.0.113.7"],                  "203.0.113.7"), // behind the client: its own words
            (&["203.0.113.7, junk"],                  "unknown"),
            (&["203.0.113.7, junk, 10.0.0.1"],        "unknown"),
            (&["a"],                                  "unknown"),
            (&[""],                                   "unknown"),
            (&["203.0.113.7,"],                       "unknown"),
            (&["203.0.113.7,,10.0.0.1"],              "unknown"),
            (&["unknown"],                            "unknown"),
            (&["fe80::1%eth0"],                       "unknown"),
            (&["203.0.113.007"],                      "unknown"),
            (&[],                                     "unknown"),
        ];
        for (lines, expected) in cases {
            let found = ours.client_address(lines.iter().copied());
            assert_eq!(found.to_string(), expected, "{lines:?}");
        }
    }

    #[test]
    fn a_mapped_peer_is_its_ipv4_self() {
        let ours = trusted(&["10.0.0.0/8"]);
        assert!(ours.trust("::ffff:10.0.0.1".parse().expect("an address")));
        assert!(!ours.trust("::ffff:11.0.0.1".parse().expect("an address")));
    }

    #[test]
    fn an_unknown_client_is_in_no_network() {
        let everywhere = [
            "0.0.0.0/0".parse().expect("v4"),
            "::/0".parse().expect("v6"),
        ];
        assert!(!ClientAddress::Unknown.is_in(&everywhere));
    }

    proptest! {
        /// What a client writes to the left of its own address never changes the outcome.
        #[test]
        fn a_client_cannot_choose_its_address(forged in "[ -~]{0,40}", port in 1u16..) {
            let ours = trusted(&["10.0.0.0/8"]);
            let line = format!("{forged}, 203.0.113.7:{port}, 10.0.0.1");
            let found = ours.client_address([line.as_str()].into_iter());
            prop_assert_eq!(found.to_string(), "203.0.113.7");
        }

        #[test]
        fn any_text_is_read_without_panic(lines in prop::collection::vec("\\PC{0,60}", 0..4)) {
            let _ = trusted(&["10.0.0.0/8"]).client_address(lines.iter().map(String::as_str));
        }
    }
}
