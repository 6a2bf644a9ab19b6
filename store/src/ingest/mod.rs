//! Adding what lies on this machine: a folder or a file becomes a snapshot.
//!
//! Owns: the walk, the reading and cutting on all cores, the decision where the bytes are to
//! live, and the memory of which files are unchanged. Refuses: to write to the source, and to
//! record anything that it did not read in one consistent state.

mod add;
mod big;
mod clone;
mod cut;
mod file;
mod locate;
mod names;
mod pipeline;
mod plan;
mod report;
mod room;
mod rules;
mod shelf;
mod walk;
mod work;

pub(crate) use pipeline::Replaced;
pub use report::{
    AddError, AddMode, AddRequest, AddWarning, Added, LeftOut, LeftOutReason, PATHS_NAMED_MAX,
    PathList, Unusable,
};

/// How many threads read, cut and hash.
pub(crate) fn workers() -> usize {
    std::thread::available_parallelism().map_or(2, |n| n.get().clamp(1, 16))
}

#[cfg(test)]
pub(crate) mod tests;
