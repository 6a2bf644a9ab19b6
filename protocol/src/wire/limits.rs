//! The bound of everything that comes from a peer.
//!
//! Owns: the numbers, each with what it costs. They are part of the protocol: a peer that
//! exceeds one is told so and disconnected. Refuses: what a node chooses for itself (how
//! many connections, how much bandwidth); that is configuration.

/// The protocol's version. It also stands in the ALPN name.
pub const WIRE_VERSION: u16 = 1;
/// The name that TLS and QUIC agree on (RFC 7301).
pub const ALPN: &[u8] = b"shoal/1";

/// Bytes before each frame's header: lengths and kind.
pub const FRAME_PREFIX_BYTES: usize = 8;
/// The longest header of a frame; each kind has a bound of its own below this.
pub const FRAME_HEADER_BYTES_MAX: usize = u16::MAX as usize;
/// The longest payload of a frame: one buffer of this size a connection is enough.
pub const FRAME_PAYLOAD_BYTES_MAX: usize = 1 << 20;

pub use crate::access::team::{
    ACTION_BYTES_MAX, BATCH_BYTES_MAX as TEAM_BATCH_BYTES_MAX, BATCH_OPERATIONS_MAX,
    HEADS_MAX as TEAM_HEADS_MAX, INVITATION_ADDRESSES_MAX, INVITATION_CHARS_MAX,
    MEMBER_NAME_BYTES_MAX, OPERATION_BYTES_MAX, PROOF_OPERATIONS_MAX, TEAM_BYTES_MAX,
};
pub use crate::chunking::CHUNK_BYTES_MAX;
pub use crate::paged_list::PAGE_BYTES_MAX;

// One frame carries at least one whole chunk, or one whole page.
const _: () = assert!(CHUNK_BYTES_MAX as usize <= FRAME_PAYLOAD_BYTES_MAX);
const _: () = assert!(PAGE_BYTES_MAX <= FRAME_PAYLOAD_BYTES_MAX);

// The heads of a full team fit into one frame.
const _: () = assert!(TEAM_HEADS_MAX * 32 <= FRAME_PAYLOAD_BYTES_MAX);

/// The most plain bytes that one RunData may stand for, however small it travels.
pub const RUN_DATA_PLAIN_BYTES_MAX: usize = FRAME_PAYLOAD_BYTES_MAX;
/// The most plain bytes that the pages of one frame may stand for.
pub const PAGES_PLAIN_BYTES_MAX: usize = 4 << 20;

/// The most positions that one request may ask for.
pub const RUN_BYTES_MAX: u64 = 16 << 20;
/// The most ranges in one request.
pub const RUN_RANGES_MAX: usize = 256;
/// The most base ranges that one request may name.
pub const RUN_BASES_MAX: usize = 256;
/// The longest base, in bytes: it is read and held in memory for each frame.
pub const BASE_BYTES_MAX: u64 = 1 << 20;
/// The most bytes that the bases of one request may have together: each is read from disk.
pub const BASES_BYTES_MAX: u64 = 2 * RUN_BYTES_MAX;
/// The most chunks in a run, so that a run of small files has a bounded table.
pub const RUN_CHUNKS_MAX: usize = 4096;
/// The most pages in one request, and in one answering frame.
pub const REQUEST_PAGES_MAX: usize = 256;
/// The most requests that a peer may have open on one connection, of pages and runs
/// together. One more is answered with `Busy`.
pub const REQUESTS_OPEN_MAX: usize = 64;
/// The most bytes that those requests may cover; a fetcher's window stays below it.
pub const REQUESTED_BYTES_MAX: u64 = 64 << 20;

/// The longest name that a node gives its software.
pub const AGENT_BYTES_MAX: usize = 64;
/// The longest explanation in a Bye.
pub const DETAIL_BYTES_MAX: usize = 256;
/// The most addresses that a node names in its Hello.
pub const LISTEN_ADDRESSES_MAX: usize = 8;
/// The most grants that may be in force on one connection.
pub const GRANTS_PER_CONNECTION_MAX: usize = 64;

/// How long a connection may take to present a valid grant, in milliseconds.
pub const ADMISSION_MS_MAX: u64 = 5_000;
/// How long a started frame may pause, in milliseconds.
pub const FRAME_PAUSE_MS_MAX: u64 = 30_000;
/// How long a connection may be silent, in milliseconds; Ping keeps it open.
pub const SILENCE_MS_MAX: u64 = 60_000;
/// The longest pause that a Busy may ask for, in milliseconds; more counts as this.
pub const BUSY_RETRY_MS_MAX: u32 = 60_000;
/// The most neighbours that one fetch keeps, and that a peer is told of at once.
pub const NEIGHBOURS_MAX: usize = 32;
/// The most addresses of one neighbour.
pub const NEIGHBOUR_ADDRESSES_MAX: usize = 3;
