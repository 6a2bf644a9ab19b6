//! Decides whom to ask for which part of a snapshot next.
//!
//! Owns: which runs are wanted, what of them is asked of whom, the pace of each peer, whom
//! not to trust. Refuses: bytes, sockets, wall time, and chance (the seed is passed in).
//!
//! One machine fetches one snapshot. Its owner feeds it what happens ([`Input`]), then
//! takes what to do ([`Fetch::poll`]) until there is nothing more, and wakes it by
//! [`Input::Timeout`] at [`Fetch::next_timeout`].
//!
//! How it decides, in one breath: a peer with room in its *window* (what it delivers in a
//! round trip and a little more) is given the best run that it offers: one that a reader
//! waits for, else the *rarest*; of several such, one whose *turn* it is: those who fetch the
//! same share the runs out between them; ties by the seed; in order of position while there is
//! one peer only. A nearer peer that offers a run keeps it from farther ones unless it is
//! slower. What is asked of a *stalled* peer may be given to another. At the end, when
//! nothing is left to give, runs of slow peers are asked of faster ones too. A chunk that
//! failed verification is never asked of the same peer again.

mod assign;
mod company;
mod config;
mod events;
mod ledger;
mod machine;
mod neighbours;
mod offers;
mod peers;
mod picker;
mod quarantine;
mod requests;
mod rescue;
mod run;
mod state;
mod window;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

pub use company::Company;
pub use config::FetchConfig;
pub use events::{ChunkEnds, Distance, DropReason, Input, Output, State, Waiting};
pub use machine::Fetch;
pub use run::{Run, RunId};
