//! The commands, one a file.

pub mod fanout;
pub mod sites;

/// Why a command failed.
pub type Failure = Box<dyn std::error::Error>;
