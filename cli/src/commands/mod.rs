//! The commands, one file each: what it understands, what it asks of the node, what it shows.

pub mod add;
pub mod cat;
pub mod completions;
pub mod config;
pub mod demo;
pub mod diff;
pub mod doctor;
pub mod down;
pub mod du;
pub mod get;
pub mod ls;
pub mod man;
pub mod peers;
pub mod share;
pub mod status;
pub mod team;
pub mod up;
pub mod verify;
pub mod whereis;
