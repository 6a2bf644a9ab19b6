//! Frame buffers that are used again and again.
//!
//! Owns: a bound on how many are in use at once, which is what holds a fast sender back
//! when the disk is slow, and on how many of them peers of one origin hold. Reuse matters for
//! speed as well: fresh megabytes cost page faults.

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use shoal_protocol::wire::limits::FRAME_PAYLOAD_BYTES_MAX;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::strangers::Origin;

/// Hands out up to a fixed number of buffers. Clones are the same pool.
#[derive(Clone)]
pub(crate) struct BufferPool {
    free: Arc<Mutex<Vec<Vec<u8>>>>,
    in_use: Arc<Semaphore>,
    /// How many those of one origin may have, and those that have some.
    per_origin: usize,
    origins: Arc<Mutex<HashMap<Origin, Weak<Semaphore>>>>,
}

impl BufferPool {
    /// A pool of at most `count` buffers, each up to the size of a frame's payload. Memory
    /// is taken when a buffer is first needed.
    pub(crate) fn new(count: usize) -> Self {
        Self::shared(count, count)
    }

    /// The same, of which those of one origin have `per_origin` at most.
    pub(crate) fn shared(count: usize, per_origin: usize) -> Self {
        Self {
            free: Arc::default(),
            in_use: Arc::new(Semaphore::new(count)),
            per_origin,
            origins: Arc::default(),
        }
    }

    /// A buffer for a peer that comes from `origin`; waits until one is free that those of this
    /// origin may have.
    pub(crate) async fn take_for(&self, origin: Origin) -> Buffer {
        let theirs = self.of_origin(origin).acquire_owned().await;
        self.lend(Some(theirs.expect("the semaphore is never closed")))
            .await
    }

    fn of_origin(&self, origin: Origin) -> Arc<Semaphore> {
        let mut origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = origins.get(&origin).and_then(Weak::upgrade) {
            return known;
        }
        origins.retain(|_, semaphore| semaphore.strong_count() > 0);
        let new = Arc::new(Semaphore::new(self.per_origin));
        origins.insert(origin, Arc::downgrade(&new));
        new
    }

    /// A buffer whose length and content are whatever they were, since changing either costs
    /// time; waits until one is free.
    pub(crate) async fn take(&self) -> Buffer {
        self.lend(None).await
    }

    async fn lend(&self, of_origin: Option<OwnedSemaphorePermit>) -> Buffer {
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
            _of_origin: of_origin,
        }
    }
}

/// A buffer of a pool, to which it returns when it is dropped.
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    free: Arc<Mutex<Vec<Vec<u8>>>>,
    _permit: OwnedSemaphorePermit,
    _of_origin: Option<OwnedSemaphorePermit>,
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
    use std::net::Ipv4Addr;

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

    #[tokio::test]
    async fn those_of_one_origin_leave_buffers_to_others() {
        let of = |last| Origin::Address(Ipv4Addr::new(10, 0, 0, last).into());
        let pool = BufferPool::shared(4, 2);
        let lent = [pool.take_for(of(1)).await, pool.take_for(of(1)).await];
        assert!(pool.take_for(of(1)).now_or_never().is_none());
        let others = [pool.take_for(of(2)).await, pool.take_for(of(3)).await];
        assert!(
            pool.take_for(of(2)).now_or_never().is_none(),
            "all are lent"
        );
        drop(lent);
        drop(pool.take_for(of(1)).await);
        drop(others);
        drop(pool.take_for(of(4)).await);
        assert_eq!(
            pool.origins.lock().unwrap().len(),
            1,
            "the others are forgotten"
        );
    }
}
