//! Who may read what: grants, the proof that one holds a grant, tickets, which are grants
//! that one can paste, and teams.
//!
//! Owns: what is signed, how it is checked. Refuses: policy (which issuers a node honours
//! is the node's) and knowledge of hashes as a right to read.

pub mod address;
mod armour;
pub mod grant;
pub mod presentation;
pub mod team;
pub mod ticket;

#[cfg(test)]
mod tests;

pub use address::Address;
pub use grant::{Grant, GrantError, Rights, Scope, SignedGrant};
pub use presentation::{Binding, Nonce, Presentation, PresentationError};
pub use ticket::{HolderSecret, Source, Ticket, TicketError};
