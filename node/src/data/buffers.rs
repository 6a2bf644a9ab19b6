//! Frame buffers that are used again and again.
//!
//! Owns: a bound on how many are in use at once, which is what holds a fast sender back
//! when the disk is slow, and on how many of them peers of one origin hold. Reuse matters for
//! speed as well: fresh megabytes cost page faults. Refuses: to bound how many are
//! [filled](Filling) at once, which is as many as there are who fill them.

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
        let permit = self.permit().await;
        Buffer {
            memory: self.memory(),
            _permit: permit,
            _of_origin: of_origin,
        }
    }

    /// Memory for what comes from one peer, at once and beside the count: whoever fills it may
    /// take minutes, and would keep it from all others meanwhile. Each has one at most.
    pub(crate) fn filling(&self) -> Filling {
        Filling {
            memory: self.memory(),
            pool: self.clone(),
        }
    }

    async fn permit(&self) -> OwnedSemaphorePermit {
        let permit = Arc::clone(&self.in_use).acquire_owned().await;
        permit.expect("the semaphore is never closed")
    }

    fn memory(&self) -> Memory {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = free.pop();
        Memory {
            bytes: bytes.unwrap_or_else(|| Vec::with_capacity(FRAME_PAYLOAD_BYTES_MAX)),
            free: Arc::clone(&self.free),
        }
    }
}

/// What a buffer is made of; it is lent again once this is dropped.
struct Memory {
    bytes: Vec<u8>,
    free: Arc<Mutex<Vec<Vec<u8>>>>,
}

/// A buffer that is not full yet and does not count as one in use.
pub(crate) struct Filling {
    memory: Memory,
    pool: BufferPool,
}

impl Filling {
    /// Room for so many bytes, of whatever content.
    pub(crate) fn room(&mut self, length: usize) -> &mut [u8] {
        self.memory.bytes.resize(length, 0);
        &mut self.memory.bytes
    }

    /// The same as a buffer in use, once there may be one more.
    pub(crate) async fn full(self) -> Buffer {
        let permit = self.pool.permit().await;
        Buffer {
            memory: self.memory,
            _permit: permit,
            _of_origin: None,
        }
    }
}

/// A buffer of a pool, to which it returns when it is dropped.
pub(crate) struct Buffer {
    memory: Memory,
    _permit: OwnedSemaphorePermit,
    _of_origin: Option<OwnedSemaphorePermit>,
}

impl Buffer {
    /// The vector itself, for what fills one.
    pub(crate) fn vec_mut(&mut self) -> &mut Vec<u8> {
        &mut self.memory.bytes
    }
}

impl Deref for Buffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.memory.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory.bytes
    }
}

impl Drop for Memory {
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
    async fn what_is_not_full_yet_keeps_no_buffer_from_others() {
        let pool = BufferPool::new(1);
        let [slow, slower, quick] = [pool.filling(), pool.filling(), pool.filling()];
        let full = quick.full().now_or_never();
        let full = full.expect("none is in use");
        assert!(slow.full().now_or_never().is_none(), "one is in use");
        drop(full);
        assert!(slower.full().now_or_never().is_some());
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
