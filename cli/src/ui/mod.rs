//! What people and scripts see.

pub mod console;
pub mod format;
pub mod json;
pub mod live;
pub mod out;
pub mod plain;
pub mod progress;
pub mod style;
pub mod table;

pub use console::Console;
