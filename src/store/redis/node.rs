//! One server that keeps records, and the two connections to it: a write that Redis holds back delays no read.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::alarm::Alarm;
use super::connect::{Purpose, Target};
use super::fault::Access;
use super::link::Link;
use super::replication::Replication;
use super::server_id::ServerId;
use crate::domain::redis_settings::{RedisAddress, RedisSettings};
use crate::store::StoreError;

/// A server. Its connections end with the last who holds this.
pub(super) struct Node {
    pub(super) address: RedisAddress,
    reads: Link,
    writes: Link,
    pub(super) replication: Replication,
    is_listed: Arc<AtomicBool>,
}

impl Node {
    /// Begins to connect, in the background. `alarm` rings whenever a connection is lost.
    pub(super) fn open(
        settings: &Arc<RedisSettings>,
        address: RedisAddress,
        alarm: &Arc<Alarm>,
    ) -> Arc<Self> {
        let report = Arc::new(Report::new(address.clone()));
        let arrival = Arc::default();
        let is_listed = Arc::default();
        let link = |purpose, access| {
            let target = Target {
                settings: Arc::clone(settings),
                address: address.clone(),
                purpose,
            };
            Link::start(
                target,
                access,
                Arc::clone(&report),
                Arc::clone(alarm),
                Arc::clone(&arrival),
                Arc::clone(&is_listed),
            )
        };
        let reads = link(Purpose::Reads, Access::Reads);
        let writes = link(Purpose::Writes, Access::Writes);
        Link::pair(&reads, &writes);
        Arc::new(Self {
            reads,
            writes,
            replication: Replication::default(),
            address,
            is_listed,
        })
    }

    /// It is in the map, once at least: from now on, [`Alarm`] tells when a connection to it is made.
    pub(super) fn list(&self) {
        self.is_listed.store(true, Ordering::SeqCst);
    }

    /// Waits until it is known whether both connections are there.
    ///
    /// # Errors
    ///
    /// Why one of them is not.
    pub(super) async fn reached(&self) -> Result<(), StoreError> {
        self.reads.connection().await?;
        self.writes.connection().await?;
        Ok(())
    }

    /// Makes certain that both connections lead to this server. One of which that is not known is given up, once it is old
    /// enough.
    ///
    /// # Errors
    ///
    /// What is in the way, for people.
    pub(super) fn leads_to(&self, server: &ServerId) -> Result<(), &'static str> {
        let links = [&self.reads, &self.writes];
        // What holds now, before anything is given up because of it.
        let found = links.map(|link| link.leads_to(server));
        for link in links {
            link.leave_unless_to(server);
        }
        found.into_iter().collect()
    }

    pub(super) fn link(&self, access: Access) -> &Link {
        match access {
            Access::Reads => &self.reads,
            Access::Writes => &self.writes,
        }
    }
}

/// What the log says of a server: one line for each change.
pub(super) struct Report {
    address: RedisAddress,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    reads: Lane,
    writes: Lane,
    /// What was said last, if anything yet.
    told: Option<News>,
}

/// What became of one connection.
#[derive(Default, Clone)]
enum Lane {
    #[default]
    Unknown,
    Up,
    Down(Arc<str>),
}

#[derive(Clone, PartialEq, Eq)]
enum News {
    Up,
    Down(Arc<str>),
    OnlyRead(Arc<str>),
}

impl Report {
    fn new(address: RedisAddress) -> Self {
        Self {
            address,
            found: Mutex::default(),
        }
    }

    /// A connection is there.
    pub(super) fn up(&self, access: Access) {
        self.note(access, Lane::Up);
    }

    /// A connection is not there, and this is why.
    pub(super) fn down(&self, access: Access, reason: &Arc<str>) {
        self.note(access, Lane::Down(Arc::clone(reason)));
    }

    fn note(&self, access: Access, lane: Lane) {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        match access {
            Access::Reads => found.reads = lane,
            Access::Writes => found.writes = lane,
        }
        let news = match (&found.reads, &found.writes) {
            (Lane::Down(reason), _) => News::Down(Arc::clone(reason)),
            (Lane::Up, Lane::Down(reason)) => News::OnlyRead(Arc::clone(reason)),
            (Lane::Up, Lane::Up) => News::Up,
            (Lane::Unknown, _) | (_, Lane::Unknown) => return,
        };
        if found.told.as_ref() == Some(&news) {
            return;
        }
        let address = &self.address;
        match &news {
            News::Up => tracing::info!(%address, "the session store answers"),
            News::Down(reason) => {
                tracing::error!(%address, %reason, "the session store does not answer");
            }
            News::OnlyRead(reason) => {
                tracing::error!(%address, %reason, "the session store is read, and takes no writes");
            }
        }
        found.told = Some(news);
    }
}
