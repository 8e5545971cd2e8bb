//! A file that cannot be written, opened all the same: what opening a database writes is kept in memory.

use std::io;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::{BackendError, StorageBackend};

/// Reads what `inner` holds below what was written here. Nothing is ever written to `inner`.
///
/// For reading alone: a database that is opened writes its head, and no more than that is meant to gather here.
#[derive(Debug)]
pub(super) struct Overlay<B> {
    inner: B,
    may_lock: bool,
    written: Mutex<Written>,
}

#[derive(Debug)]
struct Written {
    len: u64,
    /// Later ones lie above earlier ones.
    pieces: Vec<(u64, Vec<u8>)>,
}

impl<B: StorageBackend> Overlay<B> {
    /// Lies over `inner`, which is locked through this if it can be: a file that was opened for reading cannot.
    pub(super) fn new(inner: B, may_lock: bool) -> io::Result<Self> {
        let written = Written {
            len: inner.len()?,
            pieces: Vec::new(),
        };
        Ok(Self {
            inner,
            may_lock,
            written: Mutex::new(written),
        })
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        // Each change below is a single step, so a panic elsewhere has not harmed it.
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B: StorageBackend> StorageBackend for Overlay<B> {
    fn len(&self) -> io::Result<u64> {
        Ok(self.written().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let written = self.written();
        let end = offset + out.len() as u64;
        if end > written.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let below = self.inner.len()?.clamp(offset, end) - offset;
        let (held, beyond) = out.split_at_mut(index(below));
        if !held.is_empty() {
            self.inner.read(offset, held)?;
        }
        beyond.fill(0);
        for (start, bytes) in &written.pieces {
            let (from, to) = (offset.max(*start), end.min(start + bytes.len() as u64));
            if from < to {
                out[index(from - offset)..index(to - offset)]
                    .copy_from_slice(&bytes[index(from - start)..index(to - start)]);
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.written().len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut written = self.written();
        let same = |piece: &(u64, Vec<u8>)| piece.0 == offset && piece.1.len() == data.len();
        written.pieces.retain(|piece| !same(piece));
        written.pieces.push((offset, data.to_vec()));
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        if self.may_lock {
            self.inner.try_lock_range(start, end)
        } else {
            Err(BackendError::Unsupported)
        }
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        if self.may_lock {
            self.inner.unlock_range(start, end)
        } else {
            Err(BackendError::Unsupported)
        }
    }
}

fn index(position: u64) -> usize {
    usize::try_from(position).expect("a position within a buffer")
}

#[cfg(test)]
mod tests {
    use redb::backends::InMemoryBackend;

    use super::*;

    #[test]
    fn shows_what_was_written_and_changes_nothing_below() {
        let inner = InMemoryBackend::new();
        inner.set_len(8).expect("memory");
        inner.write(0, b"abcdefgh").expect("memory");
        let overlay = Overlay::new(inner, true).expect("an overlay");
        overlay.write(2, b"CDE").expect("memory");
        overlay.write(4, b"x").expect("memory");
        overlay.set_len(10).expect("memory");
        let mut all = [1; 10];
        overlay.read(0, &mut all).expect("within the length");
        assert_eq!(&all, b"abCDxfgh\0\0");
        let mut tail = [1; 2];
        overlay.read(8, &mut tail).expect("within the length");
        assert_eq!(tail, [0, 0]);
        assert!(overlay.read(9, &mut tail).is_err());
        let mut below = [0; 8];
        overlay.inner.read(0, &mut below).expect("memory");
        assert_eq!(&below, b"abcdefgh");
    }
}
