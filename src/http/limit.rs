//! How often one address may begin or complete a login, or bring a logout token that is refused.

use std::net::IpAddr;
use std::num::NonZeroU32;

use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota};

use crate::domain::proxies::{ClientAddress, customer};

/// A person opening a browser full of tabs, again and again, stays below this.
const PER_SECOND: NonZeroU32 = NonZeroU32::new(5).expect("not zero");
const BURST: NonZeroU32 = NonZeroU32::new(60).expect("not zero");

/// How many addresses are remembered. An address is forgotten once its burst is full again, after 12 s.
const MAX_ADDRESSES: usize = 10_000;

/// Counts requests of one kind by address; IPv6 by /64, which is what one customer gets.
pub(super) struct AddressLimit {
    by_address: DefaultKeyedRateLimiter<IpAddr>,
    /// For all that are not remembered because the table is full.
    others: DefaultDirectRateLimiter,
}

impl Default for AddressLimit {
    fn default() -> Self {
        let quota = Quota::per_second(PER_SECOND).allow_burst(BURST);
        Self {
            by_address: DefaultKeyedRateLimiter::keyed(quota),
            others: DefaultDirectRateLimiter::direct(quota),
        }
    }
}

impl AddressLimit {
    /// Whether `client` may go on.
    pub(super) fn admits(&self, client: ClientAddress) -> bool {
        let ClientAddress::Known(address) = client else {
            return self.others.check().is_ok();
        };
        if self.by_address.len() >= MAX_ADDRESSES {
            self.by_address.retain_recent();
            if self.by_address.len() >= MAX_ADDRESSES {
                return self.others.check().is_ok();
            }
        }
        self.by_address.check_key(&customer(address)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(address: &str) -> ClientAddress {
        ClientAddress::Known(address.parse().expect("an address"))
    }

    #[test]
    fn one_address_does_not_use_up_the_others() {
        let limit = AddressLimit::default();
        let admitted = (0..200)
            .filter(|_| limit.admits(client("203.0.113.7")))
            .count();
        assert!((60..70).contains(&admitted), "{admitted}");
        assert!(limit.admits(client("203.0.113.8")));
    }

    #[test]
    fn one_customer_counts_once() {
        let limit = AddressLimit::default();
        let admitted = (0..200u16)
            .filter(|n| limit.admits(client(&format!("2001:db8::{n:x}"))))
            .count();
        assert!((60..70).contains(&admitted), "{admitted}");
    }

    #[test]
    fn the_table_is_bounded() {
        let limit = AddressLimit::default();
        for n in 0..20_000u32 {
            let address = IpAddr::from((0x0b00_0000 + n).to_be_bytes());
            limit.admits(ClientAddress::Known(address));
        }
        assert!(limit.by_address.len() <= MAX_ADDRESSES);
    }
}
