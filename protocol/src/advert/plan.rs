//! Which keys of a region go to which of its peers.
//!
//! Owns: the choice of the closest. Refuses: when they go.

use super::key::AdvertKey;
use super::outbox::Parcel;
use super::position::Position;
use crate::peer::PeerKey;

/// For each peer the `keys` (in order of position) that it is among the `copies` closest to,
/// in parcels of at most `parcel_keys_max`.
pub(super) fn parcels(
    keys: &[(Position, AdvertKey)],
    peers: &[(Position, PeerKey)],
    copies: usize,
    parcel_keys_max: usize,
) -> Vec<Parcel> {
    let mut theirs: Vec<Vec<AdvertKey>> = vec![Vec::new(); peers.len()];
    let mut nearest: Vec<usize> = (0..peers.len()).collect();
    for (position, key) in keys {
        if copies < peers.len() {
            nearest.select_nth_unstable_by_key(copies, |i| peers[*i].0.distance(position));
        }
        for i in nearest.iter().take(copies) {
            theirs[*i].push(*key);
        }
    }
    let mut parcels = Vec::new();
    for ((_, peer), keys) in peers.iter().zip(theirs) {
        for keys in keys.chunks(parcel_keys_max.max(1)) {
            parcels.push(Parcel::new(*peer, keys.to_vec()));
        }
    }
    parcels
}
