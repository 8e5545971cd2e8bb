//! A disk that is full, or broken, or does not answer, for a while.

use std::io;
use std::ops::Bound;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

use super::*;
use crate::store::embedded::file::Access;

/// Nothing is wrong.
const SOUND: u8 = 0;
/// Nothing more can be written.
const FULL: u8 = 1;
/// Nothing can be written or read.
const BROKEN: u8 = 2;
/// Whoever has something put on the disk waits.
const FROZEN: u8 = 3;

/// How soon after the cause is gone all has to be well.
const RECOVERY: Duration = Duration::from_secs(5);

/// A file on a disk with faults.
#[derive(Debug)]
struct Faulty {
    file: FileBackend,
    fault: Arc<AtomicU8>,
}

impl Faulty {
    fn check_write(&self) -> io::Result<()> {
        match self.fault.load(Ordering::SeqCst) {
            FULL => Err(io::Error::from_raw_os_error(28)),
            _ => self.check_read(),
        }
    }

    fn check_read(&self) -> io::Result<()> {
        match self.fault.load(Ordering::SeqCst) {
            BROKEN => Err(io::Error::from_raw_os_error(5)),
            _ => Ok(()),
        }
    }
}

impl StorageBackend for Faulty {
    fn len(&self) -> io::Result<u64> {
        self.check_read()?;
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.check_read()?;
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check_write()?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.check_write()?;
        while self.fault.load(Ordering::SeqCst) == FROZEN {
            thread::sleep(Duration::from_millis(1));
        }
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check_write()?;
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }
}

/// A store on such a disk, with more in it than fits into its cache.
struct Patient {
    store: EmbeddedStore,
    fault: Arc<AtomicU8>,
    _place: Place,
}

const RECORDS: usize = 300;

impl Patient {
    async fn new() -> Self {
        let place = Place::new();
        let store = place.open();
        let value = vec![7; 40_000];
        let writes = (0..RECORDS).map(async |number| {
            let name = number.to_string();
            let made = store.create(&key(&name), &value, HOUR).await;
            assert_eq!(made, Ok(true));
        });
        futures_util::future::join_all(writes).await;
        store.close().await;
        let fault = Arc::new(AtomicU8::new(SOUND));
        let (path, its_fault) = (place.path(), fault.clone());
        let reopen: Reopen = Box::new(move |access| {
            let file = fs::File::options().read(true).write(true).open(&path)?;
            let faulty = Faulty {
                file: FileBackend::new(file)?,
                fault: its_fault.clone(),
            };
            Ok(match access {
                Access::Write => file::build(faulty)?,
                Access::Read => file::build(overlay::Overlay::new(faulty, true)?)?,
            })
        });
        let database = reopen(Access::Write).expect("a sound disk");
        let store = EmbeddedStore::start(database, Some(reopen), place.clock.clone(), MAX_RECORDS);
        Self {
            store: store.expect("a thread"),
            fault,
            _place: place,
        }
    }

    fn set(&self, fault: u8) {
        self.fault.store(fault, Ordering::SeqCst);
    }

    /// Reads all of it.
    async fn can_be_read(&self) -> bool {
        for number in 0..RECORDS {
            let found = self.store.get(&key(&number.to_string())).await;
            if !matches!(found, Ok(Some(_))) {
                return false;
            }
        }
        true
    }

    async fn recovers(&self, name: &str) {
        let start = Instant::now();
        while self.store.create(&key(name), b"", HOUR).await != Ok(true) {
            assert!(start.elapsed() < RECOVERY, "{name}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_is_read_on() {
    let patient = Patient::new().await;
    let refused = StoreError::Refused("No space left on device (os error 28)".into());
    for round in ["first", "second"] {
        patient.set(FULL);
        for _ in 0..10 {
            let made = patient.store.create(&key("new"), b"", HOUR).await;
            assert_eq!(made.as_ref(), Err(&refused));
            let ended = patient.store.delete(&key("1")).await;
            assert_eq!(ended.as_ref(), Err(&refused));
        }
        assert!(patient.can_be_read().await);
        // It is tried again now and then, and read all the while.
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        let made = patient.store.create(&key("new"), b"", HOUR).await;
        assert_eq!(made.as_ref(), Err(&refused));
        assert!(patient.can_be_read().await);
        assert_eq!(patient.store.ping().await, Ok(()));
        patient.set(SOUND);
        patient.recovers(round).await;
        assert!(patient.can_be_read().await);
    }
    assert_eq!(patient.store.get(&key("new")).await, Ok(None));
    assert_eq!(patient.store.delete(&key("1")).await, Ok(true));
}

#[tokio::test]
async fn a_broken_disk_is_said_to_be_and_comes_back() {
    let patient = Patient::new().await;
    patient.set(BROKEN);
    let made = patient.store.create(&key("new"), b"", HOUR).await;
    assert!(matches!(made, Err(StoreError::Refused(_))), "{made:?}");
    let start = Instant::now();
    assert!(patient.store.get(&key("2")).await.is_err());
    assert!(start.elapsed() < TIMEOUT * 3);
    assert!(patient.store.ping().await.is_err());
    patient.set(SOUND);
    patient.recovers("after").await;
    assert!(patient.can_be_read().await);
}

/// Nobody writes while it is broken: reading alone finds out, and finds back.
#[tokio::test]
async fn readers_come_back_by_themselves() {
    let patient = Patient::new().await;
    patient.set(BROKEN);
    assert!(!patient.can_be_read().await);
    patient.set(SOUND);
    let start = Instant::now();
    while !patient.can_be_read().await {
        assert!(start.elapsed() < RECOVERY);
    }
}

#[tokio::test]
async fn a_frozen_disk_holds_nobody_up_for_long() {
    let patient = Patient::new().await;
    patient.set(FROZEN);
    let start = Instant::now();
    let (new, old) = (key("new"), key("1"));
    let (made, ended) = tokio::join!(
        patient.store.create(&new, b"", HOUR),
        patient.store.delete(&old),
    );
    let late = StoreError::Unreachable("the disk took longer than 1s".into());
    assert_eq!((made, ended), (Err(late.clone()), Err(late)));
    assert!(start.elapsed() < TIMEOUT * 3);
    assert!(patient.can_be_read().await);
    patient.set(SOUND);
    patient.recovers("after").await;
    // What was asked for before it gave up has happened meanwhile, or never will.
    assert_eq!(patient.store.get(&key("1")).await, Ok(None));
}

#[tokio::test]
async fn a_frozen_disk_does_not_hold_up_the_end() {
    let patient = Patient::new().await;
    patient.set(FROZEN);
    assert!(patient.store.delete(&key("1")).await.is_err());
    let start = Instant::now();
    patient.store.close().await;
    assert!(start.elapsed() < CLOSE_TIMEOUT * 2);
    patient.set(SOUND);
}
