//! Frame buffers that are used again and again.
//!
//! Owns: a bound on how many are in use at once, which is what holds a fast sender back
//! when the disk is slow. Reuse matters for speed as well: fresh megabytes cost page faults.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use shoal_protocol::wire::limits::FRAME_PAYLOAD_BYTES_MAX;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Hands out up to a fixed number of buffers. Clones are the same pool.
#[derive(Clone)]
pub(crate) struct BufferPool {
    free: Arc<Mutex<Vec<Vec<u8>>>>,
    in_use: Arc<Semaphore>,
}

impl BufferPool {
    /// A pool of at most `count` buffers, each up to the size of a frame's payload. Memory
    /// is taken when a buffer is first needed.
    pub(crate) fn new(count: usize) -> Self {
        Self {
            free: Arc::default(),
            in_use: Arc::new(Semaphore::new(count)),
        }
    }

    /// A buffer whose length and content are whatever they were, since changing either costs
    /// time; waits until one is free.
    pub(crate) async fn take(&self) -> Buffer {
        let permit = Arc::clone(&self.in_use)
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        let free = self
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        Buffer {
            bytes: free.unwrap_or_else(|| Vec::with_capacity(FRAME_PAYLOAD_BYTES_MAX)),
            free: Arc::clone(&self.free),
            _permit: permit,
        }
    }
}

/// A buffer of a pool, to which it returns when it is dropped.
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    free: Arc<Mutex<Vec<Vec<u8>>>>,
    _permit: OwnedSemaphorePermit,
}

impl Buffer {
    /// The vector itself, for what fills one.
    pub(crate) fn vec_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl Deref for Buffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        // What grew beyond a frame (a decoder's mistake) is not kept.
        if bytes.capacity() <= 2 * FRAME_PAYLOAD_BYTES_MAX {
            self.free
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[tokio::test]
    async fn a_pool_lends_no_more_than_its_count_and_lends_the_same_memory_again() {
        let pool = BufferPool::new(1);
        let mut first = pool.take().await;
        first.vec_mut().resize(10, 1);
        let address = first.as_ptr();
        assert!(pool.take().now_or_never().is_none());
        drop(first);
        assert_eq!(pool.take().await.as_ptr(), address);
    }
}
