//! What a node can be asked to do: one short file an operation, each an `impl Node`.
//!
//! Long operations give [`Events`](crate::api::Events) and go on as long as somebody reads
//! them; the others answer at once. Whatever blocks runs on a thread that may.

mod add;
mod cat;
mod chunk;
mod diff;
mod doctor;
mod du;
pub(crate) mod get;
mod ls;
mod peers;
mod progress;
mod recheck;
mod renames;
mod share;
mod snapshots;
mod source;
mod status;
mod team;
mod verify;
mod whereis;

pub use cat::FileBytes;
