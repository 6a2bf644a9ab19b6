//! What this node shares, with whom, and by whose leave.
//!
//! Owns: the tickets that were made here or used here, kept in the index; the table that
//! decides who is let in ([`Admission`]). A grant opens a snapshot here if the snapshot is
//! being shared and the grant's issuer is this node or somebody whose grant this node used
//! to get it (DESIGN §9): knowing a hash is not a right to read.
//!
//! Something is shared while a command says so, and, in a daemon, until the last of its
//! tickets ends, across restarts.

mod record;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use shoal_protocol::access::{Scope, SignedGrant, Ticket};
use shoal_protocol::id::{GrantId, SnapshotId};
use shoal_protocol::peer::PeerKey;
use shoal_protocol::snapshot::Snapshot;
use shoal_store::{Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::api::ShareInfo;
use crate::data::{Admission, Allowed, Traffic};
use crate::node::unix_now_s;
pub(crate) use record::{Record, Role};

/// What this node shares.
pub(crate) struct Shares {
    me: PeerKey,
    table: RwLock<Table>,
}

#[derive(Default)]
struct Table {
    records: HashMap<GrantId, Record>,
    shared: HashMap<SnapshotId, Shared>,
}

/// A snapshot that others may read here now.
struct Shared {
    snapshot: Snapshot,
    /// Commands that keep it shared.
    holds: usize,
    /// Whether the daemon shares it for as long as there are tickets.
    kept: bool,
    traffic: Arc<Traffic>,
    revoked: CancellationToken,
}

/// Keeps a snapshot shared until it is dropped.
pub(crate) struct Hold {
    shares: Arc<Shares>,
    snapshot: SnapshotId,
    traffic: Arc<Traffic>,
}

impl Hold {
    /// Payload bytes sent for the snapshot since it is shared.
    pub(crate) fn wire_out(&self) -> u64 {
        self.traffic.sent()
    }

    /// The snapshot.
    pub(crate) fn snapshot(&self) -> SnapshotId {
        self.snapshot
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut table = self
            .shares
            .table
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = table.shared.get_mut(&self.snapshot) {
            shared.holds -= 1;
        }
        table.end_what_is_over(unix_now_s());
    }
}

impl Shares {
    /// What the index remembers; tickets that have ended are forgotten. A `daemon` shares
    /// again what it shared.
    pub(crate) fn load(store: &Store, me: PeerKey, daemon: bool) -> Result<Self, StoreError> {
        let now = unix_now_s();
        let view = store.view();
        let mut table = Table::default();
        let mut over = Vec::new();
        for (id, bytes) in view.grants()? {
            match Record::from_bytes(&bytes) {
                Some(record) if !record.is_over(now) => {
                    let snapshot = record.snapshot();
                    if daemon
                        && record.by_daemon
                        && let Some(row) = view.snapshot(&snapshot)?
                    {
                        table.share(row.snapshot).kept = true;
                    }
                    table.records.insert(id, record);
                }
                _ => over.push(id),
            }
        }
        if !over.is_empty() {
            let batch = store.begin();
            over.iter().for_each(|id| batch.forget_grant(id));
            batch.commit(false)?;
        }
        Ok(Self {
            me,
            table: RwLock::new(table),
        })
    }

    /// Remembers a ticket that was made or used here, across restarts.
    pub(crate) fn remember(&self, store: &Store, record: Record) -> Result<(), StoreError> {
        let id = record.ticket.grant().id();
        let batch = store.begin();
        batch.put_grant(&id, record.to_bytes());
        batch.commit(true)?;
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        table.records.insert(id, record);
        Ok(())
    }

    /// Shares a snapshot for as long as what is returned lives.
    pub(crate) fn hold(self: &Arc<Self>, snapshot: Snapshot) -> Hold {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let shared = table.share(snapshot);
        shared.holds += 1;
        Hold {
            snapshot: snapshot.id(),
            traffic: Arc::clone(&shared.traffic),
            shares: Arc::clone(self),
        }
    }

    /// Shares a snapshot until the last of its tickets ends: a daemon's way.
    pub(crate) fn keep(&self, snapshot: Snapshot) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        table.share(snapshot).kept = true;
    }

    /// The newest ticket by which `snapshot` was got that can still be used, and handed on.
    pub(crate) fn used_ticket(&self, snapshot: &SnapshotId) -> Option<Ticket> {
        let now = unix_now_s();
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let used = table.records.values().filter(|record| {
            record.role == Role::Used && record.snapshot() == *snapshot && !record.is_over(now)
        });
        used.max_by_key(|record| record.ticket.grant().grant.issued_unix_s)
            .map(|record| record.ticket.clone())
    }

    /// Whether a snapshot is shared now, or a ticket for it is good.
    pub(crate) fn knows(&self, snapshot: &SnapshotId) -> bool {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        table.shared.contains_key(snapshot) || table.live(snapshot, unix_now_s()).next().is_some()
    }

    /// What is shared now, for people.
    pub(crate) fn list(&self) -> Vec<ShareInfo> {
        let now = unix_now_s();
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let mut list: Vec<_> = table
            .shared
            .iter()
            .map(|(id, shared)| {
                let records: Vec<_> = table.live(id, now).collect();
                let ends = records.iter().map(|record| record.expires_unix_s());
                ShareInfo {
                    snapshot: *id,
                    name: records.iter().find_map(|record| record.name.clone()),
                    // `None` is no end at all, which is later than every end.
                    expires_unix_s: ends.max_by_key(|end| end.unwrap_or(u64::MAX)).flatten(),
                    tickets: u32::try_from(records.len()).unwrap_or(u32::MAX),
                    wire_out: shared.traffic.sent(),
                }
            })
            .collect();
        list.sort_by_key(|info| (info.name.clone(), info.snapshot));
        list
    }

    /// Ends what nothing keeps shared any more; a daemon asks for it now and then.
    pub(crate) fn end_what_is_over(&self) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        table.end_what_is_over(unix_now_s());
    }

    /// Whether a grant is one that was made or used here, and has not ended.
    fn is_remembered(&self, grant: &SignedGrant, now: u64) -> bool {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let record = table.records.get(&grant.id());
        record.is_some_and(|record| !record.is_over(now))
    }

    fn opens(&self, grant: &SignedGrant, now: u64) -> Option<Allowed> {
        let Scope::Snapshot(id) = grant.grant.scope;
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let shared = table.shared.get(&id)?;
        let issuer = grant.grant.issuer;
        let honoured = issuer == self.me || table.issuers(&id, now).contains(&issuer);
        let still = shared.holds > 0 || table.live(&id, now).next().is_some();
        (honoured && still).then(|| Allowed {
            snapshot: shared.snapshot,
            revoked: shared.revoked.clone(),
            traffic: Arc::clone(&shared.traffic),
        })
    }
}

impl Admission for Shares {
    fn admit(&self, grant: &SignedGrant, _client: PeerKey) -> Option<Allowed> {
        self.opens(grant, unix_now_s())
    }

    fn remembers(&self, grant: &SignedGrant) -> bool {
        self.is_remembered(grant, unix_now_s())
    }
}

impl Table {
    fn share(&mut self, snapshot: Snapshot) -> &mut Shared {
        self.shared.entry(snapshot.id()).or_insert_with(|| Shared {
            snapshot,
            holds: 0,
            kept: false,
            traffic: Traffic::new(),
            revoked: CancellationToken::new(),
        })
    }

    /// The tickets of a snapshot that have not ended.
    fn live(&self, snapshot: &SnapshotId, now: u64) -> impl Iterator<Item = &Record> {
        let of_it = move |record: &&Record| record.snapshot() == *snapshot && !record.is_over(now);
        self.records.values().filter(of_it)
    }

    /// By whose leave this node has the snapshot.
    fn issuers(&self, snapshot: &SnapshotId, now: u64) -> BTreeSet<PeerKey> {
        let used = self
            .live(snapshot, now)
            .filter(|record| record.role == Role::Used);
        used.map(|record| record.ticket.grant().grant.issuer)
            .collect()
    }

    fn end_what_is_over(&mut self, now: u64) {
        let kept: Vec<SnapshotId> = self
            .shared
            .iter()
            .filter(|(id, shared)| {
                shared.holds > 0 || shared.kept && self.live(id, now).next().is_some()
            })
            .map(|(id, _)| *id)
            .collect();
        self.shared.retain(|id, shared| {
            let stays = kept.contains(id);
            if !stays {
                shared.revoked.cancel();
            }
            stays
        });
        self.records.retain(|_, record| !record.is_over(now));
    }
}

#[cfg(test)]
mod tests;
