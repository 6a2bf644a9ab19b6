//! The bodies of the fuzz targets.

pub mod protocol;
pub mod wire;
