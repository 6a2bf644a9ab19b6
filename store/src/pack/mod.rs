//! Packs: big files that hold small things, written only at their end.
//!
//! Owns: their bytes, which pack is written now, and which of them the disk has yet to be
//! told to keep. Refuses: to know what is in them by id; that is the index's, though a scan
//! can win it back.

mod files;
mod record;
mod scan;
mod state;
mod writer;

pub(crate) use files::PackFiles;
pub(crate) use record::{RecordKind, RunTable};
pub(crate) use scan::{ScanEnd, scan};
pub(crate) use writer::Packs;
