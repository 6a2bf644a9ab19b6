//! What a node knows of its team.
//!
//! Owns: the kept operations, merging others into them, and the answers that follow. Refuses:
//! disk and time. What it is given to merge may come from anybody.

use std::collections::{BTreeMap, BTreeSet};

use libp2p_identity::ed25519;

use super::action::Action;
use super::epoch::Epoch;
use super::keep::{self, Operations, Reason};
use super::operation::{Cut, OPERATION_BYTES_MAX, Operation, SignedOperation};
use super::room::{self, length};
use super::ruling::{Record, Ruling, Standing, Until};
use crate::id::{OperationId, TeamId};
use crate::peer::PeerKey;

/// A team as its kept operations make it. Two of one root that hold the same operations are
/// equal, however these came.
#[derive(Debug, Clone)]
pub struct Team {
    root: PeerKey,
    id: TeamId,
    operations: Operations,
    bytes: usize,
    ruling: Ruling,
}

/// What a merge did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Merged {
    /// What was not known before and is kept now: to be written down and passed on.
    pub new: Vec<OperationId>,
    /// What was given and is not kept, with why.
    pub refused: Vec<(OperationId, Reason)>,
    /// What was kept before and is not any more: its author was cut off, or what admitted its
    /// author was; or a mere member said more than it has room for.
    pub dropped: Vec<OperationId>,
    /// The nodes about which something else is known now than before; their sessions have to
    /// be looked at.
    pub changed: Vec<PeerKey>,
    /// Whether another epoch is in force.
    pub epoch_changed: bool,
    /// The authors who, as is known only now, said two things with one sequence. Each has a
    /// copied key, most likely a home that was restored or cloned: people must be told.
    pub forked: Vec<PeerKey>,
}

/// A node of the team, for display.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its key.
    pub node: PeerKey,
    /// What it is called.
    pub name: String,
    /// Whether the root named it an admin.
    pub is_admin: bool,
    /// Who let it in,
    pub admitted_by: PeerKey,
    /// and when, by that one's clock, in seconds since 1970.
    pub admitted_unix_s: u64,
    /// Until when it is in, in seconds since 1970; nothing for no end.
    pub expires_unix_s: Option<u64>,
    /// Who revoked it, if somebody did; itself if it left.
    pub revoked_by: Option<PeerKey>,
}

impl Team {
    /// The team of the root key `root`, of which nothing else is known.
    pub fn new(root: PeerKey) -> Self {
        Self {
            root,
            id: TeamId::of(root.as_bytes()),
            operations: Operations::new(),
            bytes: 0,
            ruling: Ruling::default(),
        }
    }

    /// The team's id.
    pub const fn id(&self) -> TeamId {
        self.id
    }

    /// The key whose word is final.
    pub const fn root(&self) -> PeerKey {
        self.root
    }

    /// The kept operation with this id.
    pub fn operation(&self, id: &OperationId) -> Option<&SignedOperation> {
        self.operations.get(id)
    }

    /// All kept operations, those first without which others would be refused: merging them
    /// in this order, in parts of any size, gives this team again.
    pub fn operations(&self) -> Vec<&SignedOperation> {
        let mut all: Vec<_> = self.operations.iter().collect();
        all.sort_by_key(|(id, signed)| {
            let operation = &signed.operation;
            let storey = self.storey(&operation.author);
            (storey, operation.author, operation.sequence, **id)
        });
        all.into_iter().map(|(_, signed)| signed).collect()
    }

    /// How many bytes the kept operations have.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes in what is new among `operations`, in any order. Signatures are checked here. An
    /// operation that is refused for lack of another may be in front of that other, but not
    /// in an earlier merge.
    ///
    /// The caller bounds how many it gives at once; each new one costs the check of a
    /// signature, and all together one look at everything that is kept.
    pub fn merge(&mut self, operations: impl IntoIterator<Item = SignedOperation>) -> Merged {
        let mut merged = Merged::default();
        let mut added = BTreeSet::new();
        for signed in operations {
            let id = signed.id();
            if self.operations.contains_key(&id) {
                continue;
            }
            match self.check(&signed) {
                Ok(()) => {
                    added.insert(id);
                    self.operations.insert(id, signed);
                }
                Err(reason) => merged.refused.push((id, reason)),
            }
        }
        if added.is_empty() {
            return merged;
        }
        self.sift(&mut added, &mut merged);
        self.make_room(&mut added, &mut merged);
        self.bytes = self.operations.values().map(length).sum();
        merged.new = added.into_iter().collect();
        self.rule(&mut merged);
        merged
    }

    fn check(&self, signed: &SignedOperation) -> Result<(), Reason> {
        if signed.operation.team != self.id {
            return Err(Reason::OtherTeam);
        }
        if length(signed) > OPERATION_BYTES_MAX {
            return Err(Reason::TooLong);
        }
        if !signed.is_signed() {
            return Err(Reason::Signature);
        }
        Ok(())
    }

    /// Takes out what the rule does not keep.
    fn sift(&mut self, added: &mut BTreeSet<OperationId>, merged: &mut Merged) {
        for (id, reason) in keep::refusals(&self.root, &self.operations) {
            self.operations.remove(&id);
            if added.remove(&id) {
                merged.refused.push((id, reason));
            } else {
                merged.dropped.push(id);
            }
        }
    }

    /// Takes out what is new and does not fit, and what hung from that.
    fn make_room(&mut self, added: &mut BTreeSet<OperationId>, merged: &mut Merged) {
        let refused = room::without_room(&self.root, &self.operations, added);
        for id in &refused {
            self.operations.remove(id);
            added.remove(id);
            merged.refused.push((*id, Reason::Full));
        }
        if !refused.is_empty() {
            self.sift(added, merged);
        }
    }

    fn rule(&mut self, merged: &mut Merged) {
        let before = std::mem::replace(&mut self.ruling, Ruling::of(&self.root, &self.operations));
        let after = &self.ruling;
        let known: BTreeSet<_> = before.nodes.keys().chain(after.nodes.keys()).collect();
        let changed = known
            .into_iter()
            .filter(|node| before.nodes.get(node) != after.nodes.get(node));
        merged.changed = changed.copied().collect();
        merged.epoch_changed = before.epoch != after.epoch;
        let forked = after.forks.keys();
        merged.forked = forked
            .filter(|author| !before.forks.contains_key(author))
            .copied()
            .collect();
    }

    /// 0 for the root, 1 for those whom it named, 2 for the others.
    fn storey(&self, author: &PeerKey) -> u8 {
        match self.ruling.nodes.get(author) {
            _ if *author == self.root => 0,
            Some(record) if record.is_admin() => 1,
            _ => 2,
        }
    }

    /// What `node` is at `now_unix_s`, give or take the tolerance of clocks
    /// ([`crate::access::grant::CLOCK_TOLERANCE_S`]).
    pub fn standing(&self, node: &PeerKey, now_unix_s: u64) -> Standing {
        let record = self.record(node);
        record.map_or(Standing::Stranger, |record| record.standing(now_unix_s))
    }

    /// The first second after `now_unix_s` in which somebody is no member any more by time
    /// alone; nothing if all stay.
    pub fn next_end(&self, now_unix_s: u64) -> Option<u64> {
        let ends = self.ruling.nodes.values().filter_map(Record::end_unix_s);
        ends.filter(|end| *end > now_unix_s).min()
    }

    /// Until when `node` was let in, in seconds since 1970 and without tolerance; nothing for no
    /// end, and for who never was.
    pub fn stays_until(&self, node: &PeerKey) -> Option<u64> {
        match self.record(node)?.naming()?.until {
            Until::At(end) => Some(end),
            Until::Never => None,
        }
    }

    /// Who revoked `node`, if somebody did; itself if it left.
    pub fn revoked_by(&self, node: &PeerKey) -> Option<PeerKey> {
        let revocation = self.record(node)?.revocation()?;
        Some(self.operations[&revocation].operation.author)
    }

    pub(super) fn record(&self, node: &PeerKey) -> Option<&Record> {
        self.ruling.nodes.get(node)
    }

    /// From which sequence on an author's operations, revocations apart, do not count because
    /// it said two things with one sequence.
    pub fn forked_at(&self, author: &PeerKey) -> Option<u64> {
        self.ruling.forks.get(author).copied()
    }

    /// The epoch in force; nothing as long as no admin began one.
    pub const fn epoch(&self) -> Option<Epoch> {
        self.ruling.epoch
    }

    /// Everybody who was ever let in, revoked ones too, by key.
    pub fn members(&self) -> Vec<Member> {
        let named = self.ruling.nodes.iter();
        named
            .filter_map(|(node, record)| {
                let naming = record.naming()?;
                let by = &self.operations[&naming.operation].operation;
                Some(Member {
                    node: *node,
                    name: naming.name.to_string(),
                    is_admin: record.is_admin(),
                    admitted_by: by.author,
                    admitted_unix_s: by.when_unix_s,
                    expires_unix_s: self.stays_until(node),
                    revoked_by: self.revoked_by(node),
                })
            })
            .collect()
    }

    /// The last operation of `author` that is known: the cut-off with which a revocation
    /// leaves all that is known of an admin in force. In a forked chain, the longest branch's.
    pub fn last_of(&self, author: &PeerKey) -> Option<Cut> {
        let theirs = self.operations.iter();
        theirs
            .filter(|(_, signed)| signed.operation.author == *author)
            .map(|(id, signed)| Cut {
                sequence: signed.operation.sequence,
                operation: *id,
            })
            .max()
    }

    /// What comes next in the chain of `author`: `action`, said and signed now. It is not
    /// merged; a merge says whether the team lets it stand.
    pub fn sign(
        &self,
        author: &ed25519::Keypair,
        when_unix_s: u64,
        action: Action,
    ) -> SignedOperation {
        let key = PeerKey::of(author);
        let last = self.last_of(&key);
        let operation = Operation {
            team: self.id,
            author: key,
            sequence: last.map_or(0, |last| last.sequence + 1),
            previous: last.map(|last| last.operation),
            when_unix_s,
            action,
        };
        SignedOperation::sign(operation, author)
    }

    pub(super) const fn kept(&self) -> &BTreeMap<OperationId, SignedOperation> {
        &self.operations
    }
}

/// Ids say all about operations, and operations all about what follows.
impl PartialEq for Team {
    fn eq(&self, other: &Self) -> bool {
        self.root == other.root && self.operations.keys().eq(other.operations.keys())
    }
}

impl Eq for Team {}
