//! The store on a file and in memory: the contract, what outlives a restart, and what is refused.

use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::store::contract::{self, ManualClock};

const HOUR: Duration = Duration::from_secs(3_600);

/// A folder with a store in it.
struct Place {
    folder: TempDir,
    clock: Arc<ManualClock>,
}

impl Place {
    fn new() -> Self {
        Self {
            folder: TempDir::new().expect("a folder"),
            clock: Arc::default(),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("portcullis.redb")
    }

    fn open(&self) -> EmbeddedStore {
        self.try_open().expect("a store")
    }

    fn try_open(&self) -> Result<EmbeddedStore, OpenError> {
        EmbeddedStore::open(&self.path(), self.clock.clone())
    }
}

fn key(name: &str) -> RecordKey {
    RecordKey::new("test", name)
}

#[tokio::test]
async fn a_file_keeps_the_contract() {
    let place = Place::new();
    contract::holds(&place.open(), &*place.clock).await;
}

#[tokio::test]
async fn memory_keeps_the_contract() {
    let clock = Arc::new(ManualClock::default());
    let store = EmbeddedStore::in_memory(clock.clone()).expect("a store");
    contract::holds(&store, &*clock).await;
}
