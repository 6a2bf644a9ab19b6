//! The commands, one a file.

pub mod fanout;
pub mod faults;
pub mod lookup;
pub mod sites;
pub mod sweep;

/// Why a command failed.
pub type Failure = Box<dyn std::error::Error>;

/// A fetch that takes so many times the bound has not come to its end.
const PATIENCE: f64 = 60.0;
