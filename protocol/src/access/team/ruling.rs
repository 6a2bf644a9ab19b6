//! What the kept operations give to whom.
//!
//! Owns: which operations count, and what follows for every node and for the epoch. Refuses:
//! order. What is ruled is a function of the set of operations; no clock and no order of
//! arrival has a say in it.
//!
//! - What the root says counts.
//! - What an admin says counts, with two exceptions from which revocations are exempt: where
//!   the author said two things with one sequence (its key was copied), nothing from there on
//!   counts; and as long as the operation at a revoked admin's cut-off is not known here, none
//!   of the admin's does.
//! - Of what a mere member says, its leaving counts.
//! - Being revoked wins over being admitted, for good. Only the root revokes admins, but
//!   everybody may leave.

use std::collections::{BTreeMap, BTreeSet};

use super::action::{Action, MemberName};
use super::epoch::Epoch;
use super::keep::{Admins, Operations};
use super::operation::Operation;
use crate::access::grant::CLOCK_TOLERANCE_S;
use crate::id::OperationId;
use crate::peer::PeerKey;

/// What somebody is to a team.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Nobody: never admitted, or for a time that is over.
    Stranger,
    /// A member.
    Member,
    /// A member who may admit and revoke others.
    Admin,
    /// Revoked, whatever else may be said of it.
    Revoked,
}

/// What follows from a set of operations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ruling {
    /// Everybody who was named, admitted or revoked.
    pub nodes: BTreeMap<PeerKey, Record>,
    /// The one in force.
    pub epoch: Option<Epoch>,
    /// Where each author said two things with one sequence, first.
    pub forks: BTreeMap<PeerKey, u64>,
}

/// What is known of one node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Record {
    named: Option<Naming>,
    admitted: Option<Naming>,
    /// By the root, or by itself.
    ended: Option<OperationId>,
    /// By an admin; it binds those who are no admins.
    ended_by_admin: Option<OperationId>,
}

/// How a node got in. Of several the one holds that lasts longest, of those the one that is
/// last in its chain, of those the one with the greatest id: so they are in order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Naming {
    pub until: Until,
    sequence: u64,
    pub operation: OperationId,
    pub name: MemberName,
}

/// How long an admission lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Until {
    /// To this time, in seconds since 1970.
    At(u64),
    Never,
}

impl Record {
    pub(super) fn standing(&self, now_unix_s: u64) -> Standing {
        match &self.admitted {
            _ if self.revocation().is_some() => Standing::Revoked,
            _ if self.is_admin() => Standing::Admin,
            Some(admitted) if !admitted.until.is_over(now_unix_s) => Standing::Member,
            _ => Standing::Stranger,
        }
    }

    /// From when on it is no member any more if nobody says otherwise, in seconds since 1970;
    /// nothing for who stays, and who is none.
    pub(super) fn end_unix_s(&self) -> Option<u64> {
        let admitted = self.admitted.as_ref()?;
        let may_end = self.revocation().is_none() && !self.is_admin();
        admitted.until.over_unix_s().filter(|_| may_end)
    }

    /// Whether the root named it; it may be revoked all the same.
    pub(super) fn is_admin(&self) -> bool {
        self.named.is_some()
    }

    /// What let it in.
    pub(super) fn naming(&self) -> Option<&Naming> {
        self.named.as_ref().or(self.admitted.as_ref())
    }

    /// What ended it.
    pub(super) fn revocation(&self) -> Option<OperationId> {
        let by_admin = self.ended_by_admin.filter(|_| !self.is_admin());
        self.ended.or(by_admin)
    }
}

impl Until {
    fn of(expires_unix_s: Option<u64>) -> Self {
        expires_unix_s.map_or(Until::Never, Until::At)
    }

    /// Whether it is over, give or take what clocks may be apart.
    pub(super) fn is_over(self, now_unix_s: u64) -> bool {
        self.over_unix_s().is_some_and(|over| now_unix_s >= over)
    }

    /// The first second in which it is.
    fn over_unix_s(self) -> Option<u64> {
        match self {
            Until::At(end) => end.checked_add(CLOCK_TOLERANCE_S)?.checked_add(1),
            Until::Never => None,
        }
    }
}

/// Whose word an operation is, and how much of it counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Voice {
    Root,
    Admin,
    /// An admin of whom only revocations count.
    Doubted,
    Member,
}

impl Ruling {
    /// The ruling on operations that were all kept.
    pub(super) fn of(root: &PeerKey, operations: &Operations) -> Self {
        let all = || operations.values().map(|signed| &signed.operation);
        let admins = Admins::told_by(root, all());
        let open: BTreeSet<PeerKey> = (admins.cuts.iter())
            .filter_map(|(admin, cut)| Some((admin, (*cut)?)))
            .filter(|(admin, cut)| {
                let at = operations.get(&cut.operation).map(|s| &s.operation);
                at.is_none_or(|at| at.author != **admin || at.sequence != cut.sequence)
            })
            .map(|(admin, _)| *admin)
            .collect();
        let mut ruling = Ruling {
            forks: forks(all()),
            ..Ruling::default()
        };
        for (id, signed) in operations {
            let operation = &signed.operation;
            let author = &operation.author;
            let fork = ruling.forks.get(author);
            let voice = match () {
                () if author == root => Voice::Root,
                () if !admins.named.contains(author) => Voice::Member,
                () if open.contains(author) => Voice::Doubted,
                () if fork.is_some_and(|fork| operation.sequence >= *fork) => Voice::Doubted,
                () => Voice::Admin,
            };
            ruling.hear(*id, operation, voice);
        }
        ruling
    }

    fn hear(&mut self, id: OperationId, operation: &Operation, voice: Voice) {
        let naming = |name: &MemberName, until| {
            Some(Naming {
                until,
                sequence: operation.sequence,
                operation: id,
                name: name.clone(),
            })
        };
        match (&operation.action, voice) {
            (Action::NameAdmin { node, name }, Voice::Root) => {
                let record = self.nodes.entry(*node).or_default();
                record.named = record.named.take().max(naming(name, Until::Never));
            }
            (
                Action::AdmitMember {
                    node,
                    name,
                    expires_unix_s,
                },
                Voice::Root | Voice::Admin,
            ) => {
                let until = Until::of(*expires_unix_s);
                let record = self.nodes.entry(*node).or_default();
                record.admitted = record.admitted.take().max(naming(name, until));
            }
            (Action::Revoke { node, .. }, voice) => {
                let record = self.nodes.entry(*node).or_default();
                if voice == Voice::Root || operation.is_leave() {
                    record.ended = record.ended.max(Some(id));
                } else if voice != Voice::Member {
                    record.ended_by_admin = record.ended_by_admin.max(Some(id));
                }
            }
            (Action::Epoch(epoch), Voice::Root | Voice::Admin) => {
                self.epoch = self.epoch.max(Some(*epoch));
            }
            _ => {}
        }
    }
}

fn forks<'a>(operations: impl Iterator<Item = &'a Operation>) -> BTreeMap<PeerKey, u64> {
    let mut places = BTreeSet::new();
    let mut forks = BTreeMap::new();
    for operation in operations {
        if !places.insert((operation.author, operation.sequence)) {
            let fork = forks.entry(operation.author).or_insert(u64::MAX);
            *fork = operation.sequence.min(*fork);
        }
    }
    forks
}
