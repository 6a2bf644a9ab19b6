//! What a connection is told of what it may fetch here.

use std::sync::atomic::Ordering;

use shoal_protocol::have::{RANGES_MAX, RangeSet};
use shoal_protocol::id::SnapshotId;
use shoal_protocol::wire::limits::{FRAME_PAYLOAD_BYTES_MAX, GRANTS_PER_CONNECTION_MAX};
use shoal_protocol::wire::{Features, Have, HaveRequest, HaveUpdate, Message};

use super::{Payload, Visitor};

/// The most ranges of an offer that are told at once.
const OFFER_RANGES_MAX: usize = {
    let fit = FRAME_PAYLOAD_BYTES_MAX / shoal_protocol::have::RANGE_BYTES;
    if RANGES_MAX < fit { RANGES_MAX } else { fit }
};

impl Visitor {
    pub(super) async fn tell_offer(&self, asked: &HaveRequest) {
        let mut told = self.told.lock().await;
        let offered = self.offered(&asked.snapshot).unwrap_or_default();
        self.tell_all(asked.snapshot, &offered).await;
        if asked.subscribe
            && (told.len() < GRANTS_PER_CONNECTION_MAX || told.contains_key(&asked.snapshot))
        {
            told.insert(asked.snapshot, offered);
        }
    }

    /// Says what changed of a snapshot's offer, if the peer wants to know.
    pub(crate) async fn offer_changed(&self, snapshot: &SnapshotId) {
        let mut told = self.told.lock().await;
        let Some(before) = told.get_mut(snapshot) else {
            return;
        };
        self.rights.forget_offer(snapshot);
        let offered = self.offered(snapshot).unwrap_or_default();
        if *before == offered {
            return;
        }
        let is_less = !before.subtract(&offered).is_empty();
        let added = offered.subtract(before);
        if is_less || added.range_count() > OFFER_RANGES_MAX || !self.has(Features::HAVE_UPDATES) {
            self.tell_all(*snapshot, &offered).await;
        } else {
            let update = HaveUpdate {
                snapshot: *snapshot,
                generation: self.next_generation(),
            };
            self.tell(update, &added).await;
        }
        *before = offered;
    }

    async fn tell_all(&self, snapshot: SnapshotId, offered: &RangeSet) {
        let have = Have {
            snapshot,
            generation: self.next_generation(),
        };
        self.tell(have, &offered.largest(OFFER_RANGES_MAX)).await;
    }

    fn next_generation(&self) -> u64 {
        self.generation.fetch_add(1, Ordering::Relaxed) + 1
    }

    async fn tell(&self, message: impl Into<Message>, ranges: &RangeSet) {
        let bytes = ranges.to_bytes().expect("cut to what can be told");
        let payload = match bytes.is_empty() {
            true => Payload::Empty,
            false => Payload::Owned(bytes),
        };
        // A connection that is over hears nothing.
        let _ = self.outbox.send(message, payload).await;
    }
}
