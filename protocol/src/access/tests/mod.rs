//! Who gets in, and who does not.

mod grants;
mod tickets;

use libp2p_identity::ed25519;

use super::*;
use crate::id::SnapshotId;
use crate::peer::PeerKey;

/// When the test's grants begin and end.
const BEGIN: u64 = 1_800_000_000;
const END: u64 = BEGIN + 86_400;

fn keypair(seed: u8) -> ed25519::Keypair {
    HolderSecret::from_bytes([seed; 32]).keypair()
}

fn key(seed: u8) -> PeerKey {
    PeerKey::of(&keypair(seed))
}

fn grant(issuer: u8, holder: u8) -> Grant {
    Grant {
        issuer: key(issuer),
        holder: key(holder),
        scope: Scope::Snapshot(SnapshotId::of(b"a snapshot")),
        rights: Rights::READ,
        issued_unix_s: BEGIN,
        expires_unix_s: Some(END),
        nonce: [7; 16],
    }
}

fn signed(issuer: u8, holder: u8) -> SignedGrant {
    SignedGrant::sign(grant(issuer, holder), &keypair(issuer))
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}
