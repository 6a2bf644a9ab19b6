//! A ticket as the index remembers it.
//!
//! Owns: the row's encoding. It holds the ticket's secret: the home is its user's alone.

use serde::{Deserialize, Serialize};
use shoal_protocol::access::grant::CLOCK_TOLERANCE_S;
use shoal_protocol::access::{Scope, Ticket};
use shoal_protocol::id::SnapshotId;

/// The format of the row; stands first in it.
const FORMAT: u16 = 1;

/// What the node had to do with a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Role {
    /// Made it.
    Issued,
    /// Got a snapshot with it.
    Used,
}

/// A ticket that is remembered.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) ticket: Ticket,
    pub(crate) role: Role,
    /// What people call the snapshot: an artifact's name, or a path.
    pub(crate) name: Option<String>,
    /// Whether a daemon goes on sharing it when it starts again.
    pub(crate) by_daemon: bool,
}

#[derive(Serialize, Deserialize)]
struct Row {
    format: u16,
    ticket: String,
    role: Role,
    name: Option<String>,
    by_daemon: bool,
}

impl Record {
    pub(crate) fn snapshot(&self) -> SnapshotId {
        let Scope::Snapshot(id) = self.ticket.grant().grant.scope;
        id
    }

    pub(crate) fn expires_unix_s(&self) -> Option<u64> {
        self.ticket.grant().grant.expires_unix_s
    }

    /// Whether nobody honours it any more.
    pub(crate) fn is_over(&self, now_unix_s: u64) -> bool {
        self.expires_unix_s()
            .is_some_and(|end| now_unix_s > end.saturating_add(CLOCK_TOLERANCE_S))
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let row = Row {
            format: FORMAT,
            ticket: self.ticket.to_text(),
            role: self.role,
            name: self.name.clone(),
            by_daemon: self.by_daemon,
        };
        serde_json::to_vec(&row).expect("a row is plain data")
    }

    /// The record in a row; nothing for one that this version did not write.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let row: Row = serde_json::from_slice(bytes).ok()?;
        (row.format == FORMAT).then_some(())?;
        Some(Self {
            ticket: Ticket::from_text(&row.ticket).ok()?,
            role: row.role,
            name: row.name,
            by_daemon: row.by_daemon,
        })
    }
}
