//! The disk: where chunks and pages lie, how they get there and how they are got back.

pub mod adverts;
mod batch;
pub mod check;
pub mod collect;
mod destination;
pub mod disk;
mod doubt;
mod error;
mod export;
mod held;
pub mod history;
mod home;
pub mod index;
pub mod ingest;
mod lease;
mod open_files;
mod pack;
mod page_cache;
pub mod places;
pub mod progress;
pub mod providers;
mod read;
mod rebuild;
pub mod receive;
mod side_area;
mod store;
mod survey;

pub use batch::Batch;
pub use error::{OpenError, ReadError, StoreError, is_no_space};
pub use home::holder;
pub use read::{Found, RunReader};
pub use rebuild::{Rebuilt, Repacked};
pub use store::{Store, StoreOptions};

#[cfg(test)]
mod store_tests;
#[cfg(test)]
mod testing;
