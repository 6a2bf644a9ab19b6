//! The requests that are open.
//!
//! Owns: what is still expected from each, and their numbers. Refuses: to decide when one
//! is over.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::have::RangeSet;
use crate::peer::PeerKey;
use crate::wire::RequestId;

/// An open request.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) peer: PeerKey,
    /// First position of the run that it belongs to.
    pub(super) run: u64,
    /// What has not come yet, by whomever.
    pub(super) ranges: RangeSet,
}

/// All open requests, oldest first.
#[derive(Debug, Default)]
pub(super) struct Requests {
    open: BTreeMap<RequestId, Request>,
    next: u64,
}

impl Requests {
    pub(super) fn open(&mut self, request: Request) -> RequestId {
        let id = RequestId(self.next);
        self.next += 1;
        self.open.insert(id, request);
        id
    }

    pub(super) fn close(&mut self, id: RequestId) -> Option<Request> {
        self.open.remove(&id)
    }

    pub(super) fn at(&self, id: RequestId) -> Option<&Request> {
        self.open.get(&id)
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (RequestId, &Request)> {
        self.open.iter().map(|(id, request)| (*id, request))
    }

    /// Expects `range` no longer from request `id`; gives back how many bytes that were.
    pub(super) fn take(&mut self, id: RequestId, range: Range<u64>) -> u64 {
        let Some(request) = self.open.get_mut(&id) else {
            return 0;
        };
        let before = request.ranges.total_bytes();
        request.ranges.remove(range);
        before - request.ranges.total_bytes()
    }
}
