//! What a fetch tells while it runs, and why it ends without success.

use std::time::Duration;

use shoal_protocol::access::{Address, TicketError};
use shoal_protocol::fetch::Waiting;
use shoal_protocol::id::{PageId, SnapshotId};
use shoal_protocol::peer::PeerKey;
use shoal_store::StoreError;
use shoal_store::receive::ReceiveError;

use super::way::Path;

/// Something that whoever watches a fetch may show. Bytes are not told: read
/// [`Receive::progress`](shoal_store::receive::Receive::progress) and
/// [`Swarm::traffic`](super::Swarm::traffic) as often as a display needs them.
#[derive(Debug, Clone)]
pub enum FetchEvent {
    /// A source is being tried.
    Connecting {
        /// Who should answer.
        peer: PeerKey,
        /// Where.
        addresses: Vec<Address>,
        /// Whether it is named by the ticket; else others told of it.
        named: bool,
    },
    /// A source let us in.
    Connected {
        /// Who.
        peer: PeerKey,
        /// Where; nothing for a stream of the control plane.
        address: Option<Address>,
        /// What carries the link, and why that.
        path: Path,
        /// How long it took to be let in.
        round_trip: Duration,
    },
    /// A source cannot be reached, or went away; it is tried again.
    Lost {
        /// Who.
        peer: PeerKey,
        /// Where it was, or should be.
        address: Option<Address>,
        /// What happened, as a sentence.
        why: String,
        /// When it is tried again.
        retry: Duration,
        /// Whether it is named by the ticket; else others told of it.
        named: bool,
    },
    /// A source refused us or misbehaved; it is not tried again.
    Dropped {
        /// Who.
        peer: PeerKey,
        /// What happened, as a sentence.
        why: String,
    },
    /// Nothing comes any more; this is what is waited for.
    Waiting(Waiting),
    /// Bytes come (again).
    Fetching,
    /// What came so far was recorded: it is offered to others from now on, which
    /// [`Listener::offer_changed`](super::Listener::offer_changed) tells them.
    Checkpoint,
    /// A chunk failed verification and is asked of somebody else.
    BadChunk {
        /// Who sent it.
        peer: PeerKey,
        /// Where in the snapshot.
        position: u64,
    },
}

/// Why a fetch ended without success. What came until then is kept.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The ticket cannot be used by this node, or any more.
    #[error(transparent)]
    Ticket(#[from] TicketError),
    /// Nobody is named to ask.
    #[error("the ticket names no source")]
    NoSource,
    /// Nothing came for the time that one was ready to wait.
    #[error("no progress for {} s: {why}", waited.as_secs())]
    TimedOut {
        /// How long.
        waited: Duration,
        /// What the last failure was.
        why: String,
    },
    /// Every source refused us.
    #[error("not permitted: {0}")]
    NotPermitted(String),
    /// Those who offered it do not have it any more.
    #[error("no source has the bytes at position {position} any more")]
    Gone {
        /// Where in the snapshot.
        position: u64,
    },
    /// Every source that is left sent what it should not have.
    #[error("{peer} was dropped: {why}")]
    Misbehaved {
        /// Who.
        peer: PeerKey,
        /// What it did.
        why: String,
    },
    /// No source has a page that the snapshot needs.
    #[error("{page} is not at any source of {snapshot}")]
    PageNotFound {
        /// Of which snapshot.
        snapshot: SnapshotId,
        /// Which page.
        page: PageId,
    },
    /// The pages of the snapshot contradict each other: nobody can send it.
    #[error("the snapshot is not well formed: {0}")]
    Malformed(String),
    /// Whoever asked for it does not want it any more.
    #[error("interrupted")]
    Cancelled,
    /// The destination does not take the bytes.
    #[error(transparent)]
    Receive(#[from] ReceiveError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
