//! Keys, positions and the choice among keys.

use libp2p_identity::ed25519;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::super::*;
use crate::id::{ChunkId, PageId, SnapshotId};
use crate::peer::PeerKey;

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// Golden: all nodes of a team must come to the same keys.
#[test]
fn the_same_ids_have_these_keys() {
    let secret = DiscoveryKey::from_bytes([1; 32]);
    let keys = [
        secret.key(Subject::Snapshot(SnapshotId::from_bytes([2; 32]))),
        secret.key(Subject::Content(PageId::from_bytes([2; 32]))),
        secret.key(Subject::Chunk(ChunkId::from_bytes([2; 32]))),
        DiscoveryKey::of_ticket(&[1; 32]).key(Subject::Chunk(ChunkId::from_bytes([2; 32]))),
    ];
    assert_eq!(keys.map(|key| hex(key.as_bytes())), GOLDEN_KEYS);
    assert_eq!(hex(Position::of_key(&keys[0]).as_bytes()), GOLDEN_POSITION);
}

const GOLDEN_KEYS: [&str; 4] = [
    "d95f77bf1fef6ab238015f782b88a3eb",
    "40a9975ce3fadcccdae9adc5a1fd18b2",
    "37a127608da74c4f4fad7db603461d30",
    "3a53282a5e28c369060905f79a93dce4",
];
const GOLDEN_POSITION: &str = "8e541d3f3fa7027479fbbd6e0095378f52211e9171316c22cf348da3825860d1";

#[test]
fn a_peer_lies_where_kademlia_puts_its_peer_id() {
    for seed in 1..20u8 {
        let secret = ed25519::SecretKey::try_from_bytes([seed; 32]).expect("32 bytes");
        let peer = PeerKey::of(&ed25519::Keypair::from(secret));
        let id = peer.peer_id().expect("a key").to_bytes();
        let position: [u8; 32] = Sha256::digest(id).into();
        assert_eq!(Position::of_peer(&peer), Position::from_bytes(position));
    }
}

#[test]
fn debug_output_tells_no_secret() {
    assert_eq!(
        format!("{:?}", DiscoveryKey::from_bytes([7; 32])),
        "DiscoveryKey(…)"
    );
}

#[test]
fn regions_have_edges() {
    let at = Position::from_bytes([0b1010_1010; 32]);
    assert_eq!(Region::around(&at, 0), Region::ALL);
    assert_eq!(Region::ALL.last(), Position::LAST);
    assert_eq!(Position::LAST.next(), None);
    let point = Region::around(&at, 256);
    assert_eq!((point.first(), point.last()), (at, at));
    let five = Region::around(&at, 13);
    assert_eq!(five.first().as_bytes()[..3], [0b1010_1010, 0b1010_1000, 0]);
    assert_eq!(
        five.last().as_bytes()[..3],
        [0b1010_1010, 0b1010_1111, 0xff]
    );
}

proptest! {
    #[test]
    fn a_region_is_what_shares_its_bits(a: [u8; 32], b: [u8; 32], same in 0..=32usize, bits in 0..=256u32) {
        let mut b = b;
        b[..same].copy_from_slice(&a[..same]);
        let (a, b) = (Position::from_bytes(a), Position::from_bytes(b));
        let region = Region::around(&a, bits);
        let within = region.first() <= b && b <= region.last();
        prop_assert_eq!(region.contains(&b), within);
        prop_assert_eq!(region.contains(&b), a.common_bits(&b) >= bits);
        prop_assert!(region.contains(&a));
        if let Some(next) = region.last().next() {
            prop_assert!(!region.contains(&next));
        }
    }

    #[test]
    fn a_smaller_share_lies_within_a_greater(rank: u64, budget in 0..10_000u64, total in 0..100_000u64, more in 0..100_000u64) {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&rank.to_be_bytes());
        let key = AdvertKey::from_bytes(bytes);
        if Selection::new(total + more, budget).has(&key) {
            prop_assert!(Selection::new(total, budget).has(&key));
        }
    }
}

#[test]
fn a_selection_has_about_as_many_keys_as_the_budget() {
    let keys: Vec<_> = (0..100_000u64)
        .map(|n| {
            AdvertKey::from_bytes(
                *blake3::hash(&n.to_le_bytes())
                    .as_bytes()
                    .first_chunk()
                    .expect("32"),
            )
        })
        .collect();
    for budget in [0, 1000, 30_000, 100_000, 1_000_000] {
        let selection = Selection::new(keys.len() as u64, budget);
        let count = keys.iter().filter(|key| selection.has(key)).count() as f64;
        let expect = budget.min(100_000) as f64;
        assert!(
            (count - expect).abs() <= 4.0 * expect.sqrt(),
            "{count} for {budget}"
        );
    }
}
