//! The index: what lies where, as tables of redb on the store's own [`Disk`](crate::disk::Disk).
//!
//! Owns: the tables, the compact form of their rows, and the format number. Refuses: bytes
//! of chunks and pages; those are in packs and files.

mod absolute;
mod rows;
mod view;

pub use absolute::AbsolutePath;
pub use rows::{
    AudienceId, ChunkRow, Coverage, DestinationRow, Extent, FileClass, FileId, FileRow, FileState,
    Origin, PackSpot, ReceiveRow, RootId, SnapshotRow,
};
pub use view::View;
