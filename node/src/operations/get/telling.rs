//! What a transfer says while it runs.
//!
//! Owns: how far it is, what it waits for, and the words for what the swarm tells. Refuses: to
//! decide anything; whoever listens may have left.

use std::sync::Arc;
use std::time::Duration;

use shoal_protocol::fetch::Waiting;
use shoal_protocol::size::Size;
use shoal_store::receive::Receive;

use super::coalesce::Transfer;
use super::transfer::{ROOM_RETRY, Work};
use crate::api::{ApiError, Level, Note};
use crate::data::FetchEvent;
use crate::node::Node;
use crate::plane::Dialled;

/// How often progress is read off.
const LOOK_EVERY: Duration = Duration::from_millis(100);

impl Work<'_> {
    /// Waits for `work` and tells how far it is meanwhile.
    pub(super) async fn watch<T, E: Into<ApiError>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
        receive: &Receive,
        swarm: Option<&Arc<Dialled>>,
    ) -> Result<T, ApiError> {
        let mut work = std::pin::pin!(work);
        let mut tick = tokio::time::interval(LOOK_EVERY);
        loop {
            tokio::select! {
                result = &mut work => {
                    self.look(receive, swarm);
                    return result.map_err(Into::into);
                }
                _ = tick.tick() => self.look(receive, swarm),
            }
        }
    }

    fn look(&self, receive: &Receive, swarm: Option<&Arc<Dialled>>) {
        let now = receive.progress();
        let mut resumed = None;
        self.transfer.progress(|p| {
            p.bytes_done = now.bytes_held;
            p.bytes_total = Some(now.bytes_total);
            p.bytes_reused = now.bytes_reused + now.bytes_resumed;
            p.files_done = now.entries_done;
            p.files_total = Some(now.entries_total);
            if let Some(swarm) = swarm {
                (p.wire_in, p.wire_out) = wire(swarm);
                p.peers = swarm.connected();
            }
            if let (Some(percent), None) = (now.resumed_at, p.resumed_at) {
                resumed = Some(percent);
                p.resumed_at = Some(now.bytes_resumed);
            }
        });
        if let Some(percent) = resumed {
            self.transfer.note(Note {
                level: Level::Info,
                message: format!("resuming at {percent} %"),
                hint: None,
            });
        }
    }

    pub(super) fn warn(&self, message: String, hint: Option<String>) {
        self.transfer.note(Note {
            level: Level::Warning,
            message,
            hint,
        });
    }

    /// Waits a while, saying what for; `Interrupted` if nobody waits any more.
    pub(super) async fn wait_for_room(&self, error: &ApiError) -> Result<(), ApiError> {
        self.transfer
            .progress(|p| p.waiting_for = Some(format!("room on the disk ({error})")));
        tokio::select! {
            () = tokio::time::sleep(ROOM_RETRY) => {}
            () = self.transfer.cancelled.cancelled() => return Err(ApiError::interrupted()),
        }
        self.transfer.progress(|p| p.waiting_for = None);
        Ok(())
    }
}

/// The bytes that sockets received and sent.
pub(super) fn wire(swarm: &Dialled) -> (u64, u64) {
    (swarm.traffic().received(), swarm.traffic().sent())
}

/// What a person should know of what the swarm tells.
pub(super) fn tell(node: &Node, transfer: &Transfer, event: &FetchEvent) {
    let waiting = match event {
        FetchEvent::Connecting { named: false, .. } | FetchEvent::Lost { named: false, .. } => {
            return;
        }
        FetchEvent::Connecting {
            peer, addresses, ..
        } => {
            let place = addresses
                .first()
                .map_or_else(|| peer.to_string(), ToString::to_string);
            Some(format!("an answer from {place}"))
        }
        FetchEvent::Connected { .. } | FetchEvent::Fetching => None,
        FetchEvent::Checkpoint => return,
        FetchEvent::Lost {
            peer, address, why, ..
        } => {
            let place = address
                .as_ref()
                .map_or_else(|| peer.to_string(), ToString::to_string);
            Some(format!("{place} ({why})"))
        }
        FetchEvent::Waiting(waiting) => Some(waiting_for(node, waiting)),
        FetchEvent::Dropped { peer, why } => {
            transfer.note(Note {
                level: Level::Warning,
                message: format!("{peer} is not asked any more: {why}"),
                hint: None,
            });
            return;
        }
        FetchEvent::BadChunk { peer, .. } => {
            transfer.note(Note {
                level: Level::Warning,
                message: format!("a chunk from {peer} failed verification and was thrown away"),
                hint: Some("`shoal peers` shows its record".to_owned()),
            });
            return;
        }
    };
    transfer.progress(|p| p.waiting_for = waiting);
}

fn waiting_for(node: &Node, waiting: &Waiting) -> String {
    match waiting {
        Waiting::Peer => "anybody who has it".to_owned(),
        Waiting::Offer { bytes } => format!("somebody who has the last {}", Size(*bytes)),
        Waiting::IntactCopy { bytes } => format!("an intact copy of {}", Size(*bytes)),
        Waiting::BusyPeer { .. } => "a peer that is busy".to_owned(),
        Waiting::SilentPeer { peer, .. } => {
            let called = node
                .team()
                .name_of(peer)
                .unwrap_or_else(|| peer.to_string());
            format!("{called}, which has gone silent")
        }
    }
}
