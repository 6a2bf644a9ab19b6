//! How two nodes come to know the same of their team.
//!
//! Owns: saying in few words what one has, and what of one's own the other lacks. Refuses:
//! trust. A false account of what somebody has only brings that one more or fewer operations.

use std::collections::BTreeSet;

use super::operation::SignedOperation;
use super::ruling::Record;
use super::state::Team;
use crate::bounded::List;
use crate::codec::{self, CodecError};
use crate::id::OperationId;
use crate::peer::PeerKey;

/// The most heads in one account: more than a full state can have of the shortest operations.
pub const HEADS_MAX: usize = 32 << 10;
/// The most bytes of one batch.
pub const BATCH_BYTES_MAX: usize = 256 << 10;
/// The most operations in one batch.
pub const BATCH_OPERATIONS_MAX: usize = 2048;

const ID_BYTES: usize = 32;

/// What somebody has: these operations and all that come before them in their chains. Besides
/// the last of each chain these are the ones 1, 2, 4, 8 … before it, so that who has a little
/// less finds one that it knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heads(BTreeSet<OperationId>);

/// Why bytes are not heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadsError {
    /// Not a whole number of ids, or more than [`HEADS_MAX`].
    #[error("{0} bytes are no list of heads")]
    Length(usize),
    /// They do not grow from one to the next.
    #[error("heads that are not in order")]
    Order,
}

/// Operations that travel together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch(List<SignedOperation, BATCH_OPERATIONS_MAX>);

impl Heads {
    /// The ids one behind the other, in order; at most [`HEADS_MAX`] times 32 bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|id| *id.as_bytes()).collect()
    }

    /// The heads with these bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, HeadsError> {
        let (ids, rest) = bytes.as_chunks::<ID_BYTES>();
        if !rest.is_empty() || ids.len() > HEADS_MAX {
            return Err(HeadsError::Length(bytes.len()));
        }
        if !ids.is_sorted_by(|a, b| a < b) {
            return Err(HeadsError::Order);
        }
        let ids = ids.iter().map(|id| OperationId::from_bytes(*id));
        Ok(Self(ids.collect()))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

impl Batch {
    /// The operations.
    pub fn into_operations(self) -> Vec<SignedOperation> {
        self.0.into_vec()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Its bytes, at most [`BATCH_BYTES_MAX`].
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(&self.0)
    }

    /// The batch with these bytes. No signature is checked.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode_canonical::<_, BATCH_BYTES_MAX>(bytes).map(Self)
    }
}

impl Team {
    /// What this node has, to be told to others.
    pub fn heads(&self) -> Heads {
        let kept = self.kept();
        let mut leaves: BTreeSet<_> = kept.keys().copied().collect();
        for signed in kept.values() {
            if let Some(previous) = &signed.operation.previous {
                leaves.remove(previous);
            }
        }
        let mut heads = BTreeSet::new();
        let mut seen = BTreeSet::new();
        for leaf in leaves {
            // Where a chain forks, what is before the fork is told for one branch alone.
            let mut next = Some(leaf);
            let mut distance = 0u64;
            while let Some(id) = next.filter(|id| seen.insert(*id)) {
                if distance == 0 || distance.is_power_of_two() {
                    heads.insert(id);
                }
                distance += 1;
                next = kept[&id].operation.previous;
            }
        }
        Heads(heads)
    }

    /// What of this node's operations somebody with `theirs` lacks, in batches that are to be
    /// merged in this order: at least one, be it empty, so that there is one to say `last`
    /// with. When both have merged what the other sent, both know the same.
    pub fn lacking(&self, theirs: &Heads) -> Vec<Batch> {
        let has = self.before(theirs.0.iter().copied());
        let all = self.operations().into_iter();
        batches(all.filter(|signed| !has.contains(&signed.id())))
    }

    /// What tells a node with `theirs` that it was revoked, and nothing that was said later: the
    /// chain of who revoked it up to there, and what lets that one speak. One empty batch if it
    /// was not.
    pub fn parting(&self, node: &PeerKey, theirs: &Heads) -> Vec<Batch> {
        let revocation = self.record(node).and_then(Record::revocation);
        let by = revocation.map(|id| self.kept()[&id].operation.author);
        let naming = by.and_then(|by| self.record(&by)?.naming());
        let ends = [revocation, naming.map(|naming| naming.operation)];
        let told = self.before(ends.into_iter().flatten());
        let has = self.before(theirs.0.iter().copied());
        let all = self.operations().into_iter();
        batches(all.filter(|signed| told.contains(&signed.id()) && !has.contains(&signed.id())))
    }

    /// Those of `heads` that are kept here, and all that come before them in their chains.
    fn before(&self, heads: impl IntoIterator<Item = OperationId>) -> BTreeSet<OperationId> {
        let kept = self.kept();
        let mut before = BTreeSet::new();
        for head in heads {
            let mut next = Some(head);
            while let Some(id) = next.filter(|id| kept.contains_key(id) && before.insert(*id)) {
                next = kept[&id].operation.previous;
            }
        }
        before
    }
}

fn batches<'a>(operations: impl Iterator<Item = &'a SignedOperation>) -> Vec<Batch> {
    let count_bytes = codec::encode(&0u64).len();
    let mut batches = Vec::new();
    let mut batch: Vec<SignedOperation> = Vec::new();
    let mut bytes = count_bytes;
    for signed in operations {
        let length = signed.to_bytes().len();
        if bytes + length > BATCH_BYTES_MAX || batch.len() == BATCH_OPERATIONS_MAX {
            batches.push(std::mem::take(&mut batch));
            bytes = count_bytes;
        }
        bytes += length;
        batch.push(signed.clone());
    }
    batches.push(batch);
    let batches = batches.into_iter();
    batches
        .map(|batch| Batch(List::new(batch).expect("closed when it had as many as it may")))
        .collect()
}
