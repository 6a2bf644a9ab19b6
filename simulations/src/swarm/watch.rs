//! What must hold at every step, and what happened last.
//!
//! Owns: the promises that are checked while faults last, and the last events, which are told
//! with the seed when one is broken.

use std::collections::VecDeque;
use std::fmt;
use std::time::Instant;

/// Events that are remembered.
const NOTES_MAX: usize = 60;

/// A promise was broken.
#[derive(Debug, Clone)]
pub struct Violation {
    /// What follows from which seed.
    pub seed: u64,
    /// Which promise, and how.
    pub what: String,
    /// What happened before, oldest first.
    pub last_events: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {}", self.seed, self.what)?;
        for event in &self.last_events {
            writeln!(f, "  {event}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Violation {}

/// Something that happened, as it is remembered.
#[derive(Debug, Clone, Copy)]
pub(super) enum Note {
    Begins {
        node: usize,
    },
    LetIn {
        client: usize,
        server: usize,
    },
    Lost {
        client: usize,
        server: usize,
    },
    Asks {
        client: usize,
        server: usize,
        start: u64,
        bytes: u64,
    },
    Sends {
        server: usize,
        client: usize,
        start: u64,
        bytes: u64,
    },
    Writes {
        node: usize,
        start: u64,
        bytes: u64,
    },
    Refutes {
        node: usize,
        sender: usize,
        position: u64,
    },
    Records {
        node: usize,
        bytes: u64,
    },
    Drops {
        client: usize,
        server: usize,
    },
    Dies {
        node: usize,
    },
    Finishes {
        node: usize,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Begins { node } => write!(f, "{node} begins"),
            Self::LetIn { client, server } => write!(f, "{server} lets {client} in"),
            Self::Lost { client, server } => write!(f, "{client} is cut off from {server}"),
            Self::Asks {
                client,
                server,
                start,
                bytes,
            } => write!(f, "{client} asks {server} for {bytes} bytes at {start}"),
            Self::Sends {
                server,
                client,
                start,
                bytes,
            } => write!(f, "{server} sends {client} {bytes} bytes at {start}"),
            Self::Writes { node, start, bytes } => {
                write!(f, "{node} writes {bytes} bytes at {start}")
            }
            Self::Refutes {
                node,
                sender,
                position,
            } => write!(f, "{node} finds wrong what {sender} sent at {position}"),
            Self::Records { node, bytes } => write!(f, "{node} records {bytes} bytes"),
            Self::Drops { client, server } => write!(f, "{client} drops {server}"),
            Self::Dies { node } => write!(f, "{node} dies"),
            Self::Finishes { node } => write!(f, "{node} finishes"),
        }
    }
}

/// See the top of this file.
#[derive(Debug)]
pub(super) struct Watch {
    start: Instant,
    seed: u64,
    notes: VecDeque<(Instant, Note)>,
    violation: Option<Violation>,
}

impl Watch {
    pub(super) fn new(start: Instant, seed: u64) -> Self {
        Self {
            start,
            seed,
            notes: VecDeque::with_capacity(NOTES_MAX),
            violation: None,
        }
    }

    pub(super) fn note(&mut self, now: Instant, note: Note) {
        if self.notes.len() == NOTES_MAX {
            self.notes.pop_front();
        }
        self.notes.push_back((now, note));
    }

    /// Remembers that a promise is broken, unless one was before.
    pub(super) fn require(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if holds || self.violation.is_some() {
            return;
        }
        let told = |(at, note): &(Instant, Note)| {
            format!("{:10.6} s  {note}", (*at - self.start).as_secs_f64())
        };
        self.violation = Some(Violation {
            seed: self.seed,
            what: what(),
            last_events: self.notes.iter().map(told).collect(),
        });
    }

    pub(super) fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }
}
