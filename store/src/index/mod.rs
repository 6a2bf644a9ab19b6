//! The index: what lies where, as tables of redb on the store's own [`Disk`](crate::disk::Disk).
//!
//! Owns: the tables, the compact form of their rows, the format number, and what a commit
//! does to them. Refuses: bytes of chunks and pages; those are in packs and files.

mod absolute;
mod apply;
mod backend;
mod changes;
mod compact;
mod names;
mod open;
mod rows;
mod sorted;
mod sync;
mod table;
mod tables;
mod view;

pub use absolute::AbsolutePath;
pub(crate) use backend::DiskBackend;
pub(crate) use changes::{ByHash, Changes, ChunkChange};
pub(crate) use open::{FORMAT, Index, IndexError, SyncNote};
pub use rows::{
    AudienceId, ChunkRow, Coverage, DestinationRow, Extent, FileClass, FileId, FileRow, FileState,
    Origin, PackSpot, ReceiveRow, RootId, SnapshotRow,
};
pub use table::Rows;
pub(crate) use table::intact;
pub use view::View;
