//! redb on a file of our own disk, so that one crash image covers the index and the packs.
//!
//! Owns: the translation. redb asks of `sync_data` that bytes and length survive a power cut
//! once it returns, which is what [`DiskFile::sync`] promises. Locks are the store's.

use std::fmt;
use std::io;
use std::sync::Arc;

use redb::StorageBackend;

use crate::disk::DiskFile;

pub(crate) struct DiskBackend(pub(crate) Arc<dyn DiskFile>);

impl fmt::Debug for DiskBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DiskBackend")
    }
}

impl StorageBackend for DiskBackend {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.identity()?.size)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if self.0.read_at(offset, out)? < out.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, bytes)
    }
}
