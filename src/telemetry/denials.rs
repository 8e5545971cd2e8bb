//! Which denials of strangers get a line of their own in the log. Anybody can be denied as often as they like, and
//! must not fill a disk by that.
//!
//! The first denials of an address in each minute are written whole, and so is what a person meets who wonders about a
//! page. Of the rest the number is written, once a minute. What signed-in people are denied is always written: there are
//! few of them, and they can be asked.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::domain::proxies::{ClientAddress, customer};
use crate::telemetry::audit;
use crate::telemetry::metrics::Metrics;

/// How long an address's lines are counted, before it gets new ones.
const WINDOW: Duration = Duration::from_secs(60);

/// Lines that one address gets in that time. IPv6 counts by /64.
const LINES_PER_CLIENT: u32 = 20;

/// Lines that all of them together get.
const LINES: u32 = 1_000;

/// How many addresses are told apart.
const MAX_CLIENTS: usize = 10_000;

/// How many addresses are named with what was left out; the rest are one number.
const NAMED: usize = 20;

/// Counts denials, and says which of them to write.
#[derive(Debug)]
pub struct Denials {
    minute: Mutex<Minute>,
    metrics: Arc<Metrics>,
}

/// What was denied since the last time that it was told.
#[derive(Debug, Default)]
struct Minute {
    /// `None` is whose address is not known.
    clients: HashMap<Option<IpAddr>, Denied>,
    lines: u32,
    /// Left out for addresses that there was no room for.
    others: u64,
}

#[derive(Debug, Default)]
struct Denied {
    lines: u32,
    left_out: u64,
}

/// A number of denials without lines.
#[derive(Debug, PartialEq, Eq)]
struct LeftOut {
    /// `None` for all that are not named.
    client: Option<ClientAddress>,
    denials: u64,
}

impl Denials {
    /// Nobody was denied anything yet.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            minute: Mutex::default(),
            metrics,
        }
    }

    /// Whether to write that this stranger was denied something; it counts as left out if not.
    pub fn admit(&self, client: ClientAddress) -> bool {
        let admitted = self.minute().admit(client);
        if !admitted {
            self.metrics.denial_left_out();
        }
        admitted
    }

    /// Tells each minute what was left out. Never returns; ends when dropped.
    pub async fn keep_telling(self: Arc<Self>) {
        loop {
            tokio::time::sleep(WINDOW).await;
            self.tell();
        }
    }

    /// Tells what was left out, and begins anew.
    pub fn tell(&self) {
        let minute = std::mem::take(&mut *self.minute());
        for LeftOut { client, denials } in minute.left_out() {
            audit::denials_left_out(client, denials);
        }
    }

    fn minute(&self) -> MutexGuard<'_, Minute> {
        // Numbers alone: a panic elsewhere has not harmed them.
        self.minute.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Minute {
    fn admit(&mut self, client: ClientAddress) -> bool {
        let key = match client {
            ClientAddress::Known(address) => Some(customer(address)),
            ClientAddress::Unknown => None,
        };
        if self.clients.len() >= MAX_CLIENTS && !self.clients.contains_key(&key) {
            self.others += 1;
            return false;
        }
        let denied = self.clients.entry(key).or_default();
        let admitted = denied.lines < LINES_PER_CLIENT && self.lines < LINES;
        if admitted {
            denied.lines += 1;
            self.lines += 1;
        } else {
            denied.left_out += 1;
        }
        admitted
    }

    /// The most first; those that are not named, last.
    fn left_out(self) -> Vec<LeftOut> {
        let with_some = self.clients.into_iter();
        let with_some = with_some.filter(|(_, denied)| denied.left_out > 0);
        let mut all: Vec<LeftOut> = with_some
            .map(|(client, denied)| LeftOut {
                client: Some(client.map_or(ClientAddress::Unknown, ClientAddress::Known)),
                denials: denied.left_out,
            })
            .collect();
        all.sort_unstable_by_key(|one| std::cmp::Reverse(one.denials));
        let unnamed = all.drain(NAMED.min(all.len())..).map(|one| one.denials);
        let denials = self.others + unnamed.sum::<u64>();
        if denials > 0 {
            all.push(LeftOut {
                client: None,
                denials,
            });
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(address: &str) -> ClientAddress {
        ClientAddress::Known(address.parse().expect("an address"))
    }

    fn written(minute: &mut Minute, times: u32, client: impl Fn(u32) -> ClientAddress) -> usize {
        (0..times).filter(|n| minute.admit(client(*n))).count()
    }

    #[test]
    fn one_address_does_not_use_up_the_lines_of_others() {
        let mut minute = Minute::default();
        let loud = client("203.0.113.7");
        assert_eq!(written(&mut minute, 100, |_| loud), 20);
        assert_eq!(written(&mut minute, 5, |_| client("203.0.113.8")), 5);
        let customer = |n| client(&format!("2001:db8::{n:x}"));
        assert_eq!(written(&mut minute, 30, customer), 20);
        assert_eq!(written(&mut minute, 25, |_| ClientAddress::Unknown), 20);
        let told = minute.left_out();
        let expected = [
            (loud, 80),
            (client("2001:db8::"), 10),
            (ClientAddress::Unknown, 5),
        ];
        let expected = expected.map(|(client, denials)| LeftOut {
            client: Some(client),
            denials,
        });
        assert_eq!(told, expected);
    }

    #[test]
    fn however_many_addresses_there_are_lines_and_memory_are_bounded() {
        const DENIALS: u32 = 30_000;
        let mut minute = Minute::default();
        let one = |n: u32| ClientAddress::Known(IpAddr::from((0x0b00_0000 + n).to_be_bytes()));
        let lines = written(&mut minute, DENIALS, one);
        assert_eq!(lines, LINES as usize);
        assert_eq!(minute.clients.len(), MAX_CLIENTS);
        let told = minute.left_out();
        assert_eq!(told.len(), NAMED + 1);
        let left_out: u64 = told.iter().map(|one| one.denials).sum();
        assert_eq!(left_out, u64::from(DENIALS - LINES));
        assert_eq!(told.last().and_then(|last| last.client), None);
    }

    #[test]
    fn each_minute_begins_anew() {
        let metrics = Arc::new(Metrics::default());
        let denials = Denials::new(metrics);
        let loud = client("203.0.113.7");
        for _ in 0..2 {
            let admitted = (0..50).filter(|_| denials.admit(loud)).count();
            assert_eq!(admitted, LINES_PER_CLIENT as usize);
            denials.tell();
        }
    }
}
