//! The story that `shoal demo` tells, and the stage that it is told on.

pub mod data;
pub mod edit;
pub mod node;
pub mod report;
pub mod stage;
pub mod story;
