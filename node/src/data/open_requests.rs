//! What one peer has asked for and was not answered yet.
//!
//! Owns: the bound on how many requests a peer may have open, and on how many bytes they
//! cover together. Refuses: what becomes of a request that is too much.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use shoal_protocol::wire::RequestId;
use shoal_protocol::wire::limits::{REQUESTED_BYTES_MAX, REQUESTS_OPEN_MAX};

/// The open requests of a connection, and how many bytes each covers.
#[derive(Default)]
pub(crate) struct OpenRequests(Mutex<HashMap<RequestId, u64>>);

impl OpenRequests {
    /// Notes that a request is open. Says no if too much is, or one with this number.
    pub(crate) fn open(&self, request: RequestId, bytes: u64) -> bool {
        let mut open = self.lock();
        let covered: u64 = open.values().sum();
        let too_much = open.len() >= REQUESTS_OPEN_MAX || covered + bytes > REQUESTED_BYTES_MAX;
        if too_much || open.contains_key(&request) {
            return false;
        }
        open.insert(request, bytes);
        true
    }

    /// Notes that a request is not open any more.
    pub(crate) fn close(&self, request: RequestId) {
        self.lock().remove(&request);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RequestId, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_bounded_in_number_and_in_bytes() {
        let requests = OpenRequests::default();
        assert!(requests.open(RequestId(0), REQUESTED_BYTES_MAX));
        assert!(!requests.open(RequestId(0), 0), "the same twice");
        assert!(!requests.open(RequestId(1), 1), "bytes");
        requests.close(RequestId(0));
        for number in 0..REQUESTS_OPEN_MAX as u64 {
            assert!(requests.open(RequestId(number), 0));
        }
        assert!(!requests.open(RequestId(u64::MAX), 0), "number");
    }
}
