//! The requests of one peer.
//!
//! Owns: which wait and which are being answered. Refuses: to compare peers.

use std::collections::BTreeMap;
use std::time::Instant;

use super::origins::Count;
use crate::have::RangeSet;
use crate::id::SnapshotId;
use crate::wire::RequestId;

/// One request for a run.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) id: RequestId,
    pub(super) snapshot: SnapshotId,
    pub(super) ranges: RangeSet,
    pub(super) priority: u8,
    pub(super) asked: Instant,
}

/// The requests of one peer, those that wait in the order in which they came.
#[derive(Debug)]
pub(super) struct Queue {
    /// Where the peer asked from last.
    pub(super) origin: u64,
    waiting: Vec<Request>,
    active: BTreeMap<RequestId, Request>,
}

impl Queue {
    pub(super) fn new(origin: u64) -> Self {
        Self {
            origin,
            waiting: Vec::new(),
            active: BTreeMap::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.active.is_empty()
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn active(&self) -> usize {
        self.active.len()
    }

    pub(super) fn count(&self) -> Count {
        Count {
            waiting: self.waiting.len(),
            active: self.active.len(),
        }
    }

    pub(super) fn contains(&self, id: RequestId) -> bool {
        self.active.contains_key(&id) || self.waiting.iter().any(|request| request.id == id)
    }

    pub(super) fn push(&mut self, request: Request) {
        self.waiting.push(request);
    }

    /// The waiting request to answer next, with whether it is eager: those of the highest
    /// priority, among them the first eager one.
    pub(super) fn next(&self, eager: impl Fn(&Request) -> bool) -> Option<(usize, bool)> {
        let priority = self.waiting.iter().map(|request| request.priority).max()?;
        let mut best = (self.waiting.iter().enumerate())
            .filter(|(_, request)| request.priority == priority)
            .map(|(i, request)| (i, eager(request)));
        let first = best.next()?;
        if first.1 {
            return Some(first);
        }
        Some(best.find(|(_, eager)| *eager).unwrap_or(first))
    }

    /// Moves a waiting request to those that are being answered.
    pub(super) fn start(&mut self, index: usize) -> &Request {
        let request = self.waiting.remove(index);
        self.active.entry(request.id).or_insert(request)
    }

    /// Removes a request that is being answered.
    pub(super) fn end(&mut self, id: RequestId) -> Option<Request> {
        self.active.remove(&id)
    }

    /// Removes a request that waits.
    pub(super) fn withdraw(&mut self, id: RequestId) -> Option<Request> {
        let index = self.waiting.iter().position(|request| request.id == id)?;
        Some(self.waiting.remove(index))
    }

    pub(super) fn is_active(&self, id: RequestId) -> bool {
        self.active.contains_key(&id)
    }

    pub(super) fn active_requests(&self) -> impl Iterator<Item = &Request> {
        self.active.values()
    }

    pub(super) fn waiting_bytes(&self) -> u64 {
        self.waiting.iter().map(|r| r.ranges.total_bytes()).sum()
    }
}
