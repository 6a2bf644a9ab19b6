//! Adding what lies on this machine: a folder or a file becomes a snapshot.
//!
//! Owns: the walk, the reading and cutting on all cores, the decision where the bytes are to
//! live, and the memory of which files are unchanged. Refuses: to write to the source, and to
//! record anything that it did not read in one consistent state.

mod report;

pub use report::{
    AddError, AddMode, AddRequest, AddWarning, Added, LeftOut, LeftOutReason, PATHS_NAMED_MAX,
    PathList, Unusable,
};

use crate::Store;
use crate::progress::Progress;

#[allow(clippy::todo)]
impl Store {
    /// Adds the folder or file at a path. When it returns, the snapshot and all that the
    /// [mode](AddMode) promises survive a power cut.
    pub fn add(&self, request: &AddRequest, progress: &dyn Progress) -> Result<Added, AddError> {
        let _ = (request, progress);
        todo!()
    }
}
