//! Who may read what is fetched, and until when.
//!
//! Owns: the grant that all fetchers hold, as a ticket gives it, and one that strangers forged.
//! Whether a grant holds, the product's own code says, by the clock of whoever is asked.

use std::time::Duration;

use libp2p_identity::ed25519;
use shoal_protocol::access::grant::CLOCK_TOLERANCE_S;
use shoal_protocol::access::{Grant, GrantError, Rights as May, Scope, SignedGrant};
use shoal_protocol::id::SnapshotId;
use shoal_protocol::peer::PeerKey;

use super::setup::{Conduct, Setup};

/// When worlds begin, in Unix time.
const BEGINNING_S: u64 = 1_767_225_600;

/// See the top of this file.
#[derive(Debug)]
pub(super) struct Rights {
    grant: SignedGrant,
    forged: SignedGrant,
    /// Whether no grant needs to be looked at: there are neither strangers nor wrong clocks,
    /// and the right does not end. Signatures are what costs most in a great world.
    is_plain: bool,
}

fn keypair(seed: u64, name: &str) -> ed25519::Keypair {
    let mut bytes = blake3::derive_key(
        "shoal simulations keypair",
        &[&seed.to_le_bytes(), name.as_bytes()].concat(),
    );
    let secret = ed25519::SecretKey::try_from_bytes(&mut bytes).expect("any 32 bytes are a secret");
    secret.into()
}

impl Rights {
    pub(super) fn new(setup: &Setup) -> Self {
        let issuer = keypair(setup.seed, "issuer");
        let grant = Grant {
            issuer: PeerKey::of(&issuer),
            holder: PeerKey::of(&keypair(setup.seed, "holder")),
            scope: Scope::Snapshot(snapshot()),
            rights: May::READ,
            issued_unix_s: BEGINNING_S,
            expires_unix_s: setup.rights_end.map(|end| BEGINNING_S + end.as_secs()),
            nonce: [7; 16],
        };
        let signed = SignedGrant::sign(grant, &issuer);
        let mut forged = signed.clone();
        forged.grant.expires_unix_s = None;
        forged.grant.nonce = [8; 16];
        let odd =
            |node: &super::NodeSetup| node.conduct == Conduct::Stranger || node.clock_ahead_s != 0;
        Self {
            grant: signed,
            forged,
            is_plain: setup.rights_end.is_none() && !setup.nodes.iter().any(odd),
        }
    }

    /// Whether a node with this clock lets in somebody of this conduct.
    pub(super) fn lets_in(
        &self,
        elapsed: Duration,
        clock_ahead_s: i64,
        conduct: Conduct,
    ) -> Result<(), GrantError> {
        if self.is_plain {
            return Ok(());
        }
        let now = (BEGINNING_S + elapsed.as_secs()).saturating_add_signed(clock_ahead_s);
        match conduct {
            Conduct::Stranger => self.forged.check(now),
            _ => self.grant.check(now),
        }
    }

    /// Whether the right is in force at a node with this clock, by the world's own reckoning.
    pub(super) fn are_in_force(setup: &Setup, elapsed: Duration, clock_ahead_s: i64) -> bool {
        let Some(end) = setup.rights_end else {
            return true;
        };
        let last = (end.as_secs() + CLOCK_TOLERANCE_S).saturating_add_signed(-clock_ahead_s);
        elapsed.as_secs() <= last
    }

    /// When the right ends by the clock of each node.
    pub(super) fn ends(&self, setup: &Setup) -> Vec<(usize, Duration)> {
        let Some(end) = setup.rights_end else {
            return Vec::new();
        };
        let end_at = |ahead_s: i64| {
            Duration::from_secs(
                (end.as_secs() + CLOCK_TOLERANCE_S + 1).saturating_add_signed(-ahead_s),
            )
        };
        let nodes = setup.nodes.iter().enumerate();
        nodes
            .map(|(index, node)| (index, end_at(node.clock_ahead_s)))
            .collect()
    }
}

/// What is fetched.
pub(super) fn snapshot() -> SnapshotId {
    SnapshotId::from_bytes([1; 32])
}
