//! The keys under which this node can be found.
//!
//! Owns: which of what is here may be offered, and their order by position, within bounded
//! memory however much is here. Refuses: to send them; and to judge whom an audience is
//! open to: that is its caller's to say.

mod gather;
mod list;
mod partitions;

#[cfg(test)]
mod tests;

pub use gather::{Headline, Offer};
pub use list::AdvertList;
