//! Writes entries into a folder of the user, and never anywhere else.
//!
//! Owns: directories, symlinks, and the rule that a name inside the destination is only ever
//! reached through real directories. Refuses: to know where bytes come from.

mod links;
mod tree;

pub(crate) use links::escapes;
pub(crate) use tree::Tree;
