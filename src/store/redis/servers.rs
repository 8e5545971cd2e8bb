//! Which servers there are, and which of them has a key. It is fixed for one server, told by sentinels, or told by
//! the nodes of a cluster; whoever asks goes by what is known at the moment.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::alarm::Alarm;
use super::connect::{Purpose, Target};
use super::node::Node;
use super::push::PushLine;
use super::redo::Redo;
use super::slots::{SLOTS, slot_of};
use super::supervise::{Kept, keep};
use super::{PREFIX, cluster, sentinel};
use crate::domain::redis_settings::{RedisAddress, RedisServers, RedisSettings};
use crate::store::StoreError;

/// How long a node stays known that a redirect names and the map of the cluster does not.
const GUEST_TIME: Duration = Duration::from_secs(30);
const MOST_GUESTS: usize = 16;

/// The servers, and whoever looks after them.
pub(super) struct Servers {
    pub(super) directory: Arc<Directory>,
    _finder: Option<Kept>,
}

/// What is known of the servers.
pub(super) struct Directory {
    pub(super) settings: Arc<RedisSettings>,
    known: watch::Sender<Known>,
    /// The addresses in the map.
    primaries: watch::Sender<Vec<RedisAddress>>,
    /// Rings when what is known may be wrong.
    pub(super) alarm: Arc<Alarm>,
    guests: Mutex<Vec<Guest>>,
    pub(super) redo: Redo,
}

#[derive(Clone)]
enum Known {
    /// Nobody has been asked yet. Calls wait for that.
    Finding,
    /// No server is known, and this is why. Calls fail at once.
    Missing(Arc<str>),
    Found(Arc<Map>),
}

/// Who has which keys.
pub(super) struct Map {
    pub(super) nodes: Vec<Arc<Node>>,
    /// In order, none over another; by their places in `nodes`.
    ranges: Vec<Range>,
}

struct Range {
    first: u16,
    last: u16,
    node: usize,
}

/// A node that a redirect has named.
struct Guest {
    node: Arc<Node>,
    since: Instant,
}

/// Some slots, first and last, and who has them.
pub(super) type Owner = (u16, u16, RedisAddress);

impl Servers {
    /// Begins to find and to connect to the servers, in the background. To be called within a Tokio runtime.
    pub(super) fn start(settings: RedisSettings) -> Self {
        let settings = Arc::new(settings);
        let directory = Arc::new(Directory {
            known: watch::Sender::new(Known::Finding),
            primaries: watch::Sender::default(),
            alarm: Arc::default(),
            guests: Mutex::default(),
            redo: Redo::default(),
            settings: Arc::clone(&settings),
        });
        let shared = Arc::clone(&directory);
        let finder = match &settings.servers {
            RedisServers::One(address) => {
                directory.publish(&[(0, SLOTS - 1, address.clone())]);
                None
            }
            RedisServers::Sentinel { .. } => Some(keep("sentinels", move || {
                sentinel::follow(Arc::clone(&shared))
            })),
            RedisServers::Cluster { .. } => Some(keep("cluster", move || {
                cluster::follow(Arc::clone(&shared))
            })),
        };
        Self {
            directory,
            _finder: finder,
        }
    }
}

impl Directory {
    /// The map, as soon as there is one or it is known that there is none.
    pub(super) async fn map(&self) -> Result<Arc<Map>, StoreError> {
        if let Known::Found(map) = &*self.known.borrow() {
            return Ok(Arc::clone(map));
        }
        let mut known = self.known.subscribe();
        let known = known
            .wait_for(|known| !matches!(known, Known::Finding))
            .await;
        match known.as_deref() {
            Ok(Known::Found(map)) => Ok(Arc::clone(map)),
            Ok(Known::Missing(reason)) => Err(StoreError::Unreachable(reason.to_string())),
            Ok(Known::Finding) | Err(_) => {
                Err(StoreError::Unreachable("the service stops".to_owned()))
            }
        }
    }

    /// The map, if there is one.
    pub(super) fn map_now(&self) -> Option<Arc<Map>> {
        match &*self.known.borrow() {
            Known::Found(map) => Some(Arc::clone(map)),
            Known::Finding | Known::Missing(_) => None,
        }
    }

    /// Says why there is no map, if there is none; gives back whether that is so.
    pub(super) fn missing(&self, reason: &str) -> bool {
        let mut is_missing = true;
        self.known.send_if_modified(|known| {
            let is_news = match known {
                Known::Found(_) => {
                    is_missing = false;
                    false
                }
                Known::Missing(before) => **before != *reason,
                Known::Finding => true,
            };
            if is_news {
                tracing::error!(reason, "the session store does not answer");
                *known = Known::Missing(reason.into());
            }
            is_news
        });
        is_missing
    }

    /// Says who has what from now on. Connections to those that stay are kept; tells whether anything is new.
    pub(super) fn publish(&self, owners: &[Owner]) -> bool {
        let before = self.map_now();
        if before.as_ref().is_some_and(|map| map.says(owners)) {
            return false;
        }
        let mut nodes: Vec<Arc<Node>> = Vec::new();
        let mut ranges = Vec::with_capacity(owners.len());
        for (first, last, address) in owners {
            let place = nodes.iter().position(|node| node.address == *address);
            let node = place.unwrap_or_else(|| {
                nodes.push(self.node_at(address));
                nodes.len() - 1
            });
            let (first, last) = (*first, *last);
            ranges.push(Range { first, last, node });
        }
        ranges.sort_by_key(|range| range.first);
        self.guests().retain(|guest| {
            let is_listed = nodes.iter().any(|node| Arc::ptr_eq(node, &guest.node));
            !is_listed && guest.since.elapsed() < GUEST_TIME
        });
        // Before anybody asks there.
        if let Some(before) = &before
            && nodes
                .iter()
                .any(|node| before.nodes.iter().all(|old| !Arc::ptr_eq(old, node)))
        {
            self.redo.is_due_now();
        }
        let addresses: Vec<RedisAddress> = nodes.iter().map(|node| node.address.clone()).collect();
        let map = Arc::new(Map { nodes, ranges });
        self.alarm.elsewhere(|| {
            for node in &map.nodes {
                node.list();
            }
            self.known.send_replace(Known::Found(map));
            // Slots that move between the same servers are no news to whoever listens to all of these.
            self.primaries.send_if_modified(|known| {
                let is_same = known.len() == addresses.len()
                    && known.iter().all(|address| addresses.contains(address));
                *known = addresses;
                !is_same
            });
        });
        true
    }

    /// The node at this address: one that is known, else a new one.
    fn node_at(&self, address: &RedisAddress) -> Arc<Node> {
        let map = self.map_now();
        let listed = map.iter().flat_map(|map| &map.nodes);
        if let Some(node) = listed.into_iter().find(|node| node.address == *address) {
            return Arc::clone(node);
        }
        let guests = self.guests();
        let guest = guests.iter().find(|guest| guest.node.address == *address);
        guest.map_or_else(
            || Node::open(&self.settings, address.clone(), &self.alarm),
            |guest| Arc::clone(&guest.node),
        )
    }

    /// The node that a redirect names for `key`. It is kept for a while where the map does not have it.
    pub(super) fn guest(&self, address: &RedisAddress, key: &str) -> Arc<Node> {
        let node = self.node_at(address);
        let is_listed = self
            .map_now()
            .is_some_and(|map| map.nodes.iter().any(|listed| Arc::ptr_eq(listed, &node)));
        if is_listed {
            return node;
        }
        // Nobody listens there. Other keys are where they were.
        self.alarm.unheard(key.strip_prefix(PREFIX).unwrap_or(key));
        let mut guests = self.guests();
        guests.retain(|guest| guest.since.elapsed() < GUEST_TIME);
        // Somebody else may have been sent there at the same moment.
        if let Some(guest) = guests.iter().find(|guest| guest.node.address == *address) {
            return Arc::clone(&guest.node);
        }
        if guests.len() == MOST_GUESTS {
            guests.remove(0);
        }
        guests.push(Guest {
            node: Arc::clone(&node),
            since: Instant::now(),
        });
        node
    }

    fn guests(&self) -> std::sync::MutexGuard<'_, Vec<Guest>> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Map {
    /// Who has this key.
    pub(super) fn node_for(&self, key: &[u8]) -> Option<&Arc<Node>> {
        if let [all] = &self.ranges[..]
            && (all.first, all.last) == (0, SLOTS - 1)
        {
            return self.nodes.get(all.node);
        }
        let slot = slot_of(key);
        let behind = self.ranges.partition_point(|range| range.first <= slot);
        let range = self.ranges[..behind].last()?;
        (slot <= range.last)
            .then(|| self.nodes.get(range.node))
            .flatten()
    }

    fn says(&self, owners: &[Owner]) -> bool {
        let mut owners: Vec<&Owner> = owners.iter().collect();
        owners.sort_by_key(|owner| owner.0);
        let mine = self.ranges.iter();
        let mine = mine.map(|range| (range.first, range.last, &self.nodes[range.node].address));
        mine.eq(owners
            .into_iter()
            .map(|(first, last, address)| (*first, *last, address)))
    }
}

/// The servers that records are written to at the moment: whatever is kept of their answers has to be watched over a
/// [`PushLine`] to each of them.
pub struct Primaries {
    addresses: watch::Receiver<Vec<RedisAddress>>,
    settings: Arc<RedisSettings>,
}

impl Primaries {
    pub(super) fn of(directory: &Directory) -> Self {
        Self {
            addresses: directory.primaries.subscribe(),
            settings: Arc::clone(&directory.settings),
        }
    }

    /// Their addresses now, and marks them as seen; none while none is known.
    #[must_use]
    pub fn now(&mut self) -> Vec<RedisAddress> {
        self.addresses.borrow_and_update().clone()
    }

    /// Waits until they are others than those that were seen, whatever each of them has; `false` when the store has ended.
    pub async fn changed(&mut self) -> bool {
        self.addresses.changed().await.is_ok()
    }

    /// Opens a connection of its own to one of them, over which it is asked to tell what others write.
    ///
    /// # Errors
    ///
    /// What is in the way, for people: also that the server is no primary any more.
    pub async fn listen(&self, primary: &RedisAddress) -> Result<PushLine, String> {
        let target = Target {
            settings: Arc::clone(&self.settings),
            address: primary.clone(),
            purpose: Purpose::Invalidations,
        };
        PushLine::open(&target).await
    }
}
