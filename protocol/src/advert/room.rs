//! How many keys the network has room for, as acknowledgements tell.
//!
//! Owns: what peers said since the sweep began, which part of the space they stand for, and
//! the bound that follows for what is advertised. Refuses: to choose keys; those that are
//! lowest as numbers are chosen by whoever lists them.

use std::collections::BTreeMap;

use super::message::{AdvertAck, Refusal};
use super::position::{Position, Region};
use crate::peer::PeerKey;

/// The most peers whose room is remembered. What so many say is the rule for all others.
const PEERS_MAX: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Room {
    /// How many keys of this node each peer has room for.
    shares: BTreeMap<PeerKey, u32>,
    /// The part of the space that the sweep has come by, whole regions.
    surveyed: Option<(Position, Position)>,
    /// How many keys there is room for, by what is known so far.
    keys: Option<u64>,
    /// The most keys that this sweep is to bring.
    bound: Option<u64>,
}

impl Room {
    /// A sweep begins: what the last one found bounds this one. Who was there then may have
    /// gone since.
    pub(super) fn begin(&mut self) {
        self.bound = self.keys;
        self.shares.clear();
        self.surveyed = None;
    }

    /// The peers of a region are sent keys.
    pub(super) fn survey(&mut self, region: &Region) {
        if self.shares.len() >= PEERS_MAX {
            return;
        }
        let (first, last) = (region.first(), region.last());
        self.surveyed = Some(match self.surveyed {
            Some((from, to)) => (from.min(first), to.max(last)),
            None => (first, last),
        });
    }

    /// A peer answered. Whether it keeps keys for long enough, or knows which epoch is in
    /// force, is no matter of room.
    pub(super) fn note(&mut self, peer: PeerKey, ack: &AdvertAck) {
        if !matches!(ack.refusal, None | Some(Refusal::Full)) {
            return;
        }
        if self.shares.len() < PEERS_MAX || self.shares.contains_key(&peer) {
            self.shares.insert(peer, ack.share);
        }
    }

    /// All peers of the regions that were surveyed have answered, or will not. Gives the new
    /// bound, if there is clearly more or less room than the sweep counted on.
    pub(super) fn reckon(&mut self, copies: usize) -> Option<u64> {
        let (from, to) = self.surveyed?;
        let copies = copies.min(self.shares.len()) as u64;
        let room: u64 = self.shares.values().copied().map(u64::from).sum();
        let here = room.checked_div(copies)?;
        // The others are as those here.
        let keys = (here as f64 / part(&from, &to)) as u64;
        self.keys = Some(keys);
        let is_other = |bound: u64| bound.abs_diff(keys) > bound / 8;
        if !self.bound.is_none_or(is_other) {
            return None;
        }
        self.bound = Some(keys);
        self.bound
    }

    /// How many keys there is room for, as far as peers have told.
    pub(super) fn keys(&self) -> Option<u64> {
        self.keys
    }

    /// The most keys that this sweep is to bring; nothing while that is not known.
    pub(super) fn bound(&self) -> Option<u64> {
        self.bound
    }
}

/// Which part of the space lies from one position to another.
fn part(from: &Position, to: &Position) -> f64 {
    (to.fraction() - from.fraction()).max(f64::EPSILON)
}
