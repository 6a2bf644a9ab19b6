//! What shoal's data is and what its nodes decide, without any IO.
//!
//! Owns: ids, canonical bytes, chunk boundaries, the paged list, manifests, grants, wire
//! messages, have-maps, and the machines that choose whom to ask and whom to answer.
//! Refuses: files, sockets, clocks, ambient randomness and async runtimes. Every function
//! here can be replayed from its arguments (see docs/ARCHITECTURE.md).

pub mod access;
pub mod advert;
pub mod bounded;
pub mod chunking;
pub mod codec;
pub mod fetch;
pub mod have;
pub mod id;
pub mod manifest;
pub mod names;
pub mod paged_list;
pub mod path;
pub mod peer;
pub mod serve;
pub mod size;
pub mod snapshot;
pub mod version;
pub mod wire;
