//! What is said over the local socket: requests, replies, and the events of long operations.
//!
//! Owns: their shape in JSON. Ids travel in their text form. Paths in requests are absolute
//! or are resolved against the `cwd` that comes with them, because a node's working
//! directory is not its client's.

mod events;
mod looking;
mod moving;
mod node;
mod team;
mod text;
mod what;
mod whereis;

pub use events::*;
pub use looking::*;
pub use moving::*;
pub use node::*;
pub use team::*;
pub use what::*;
pub use whereis::*;
