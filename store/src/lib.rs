//! The disk: where chunks and pages lie, how they get there and how they are got back.

mod batch;
pub mod check;
pub mod collect;
pub mod disk;
mod error;
mod held;
pub mod history;
pub mod index;
pub mod ingest;
mod lease;
pub mod progress;
mod read;
pub mod receive;
mod store;

pub use batch::Batch;
pub use error::{OpenError, ReadError, StoreError, is_no_space};
pub use read::{Found, RunReader};
pub use store::{Store, StoreOptions};
