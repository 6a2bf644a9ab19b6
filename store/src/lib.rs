//! The disk: where chunks and pages lie, how they get there and how they are got back.

pub mod disk;
pub mod progress;
pub mod receive;
