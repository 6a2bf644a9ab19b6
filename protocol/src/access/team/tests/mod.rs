//! A team, told as facts, and as properties of whatever anybody says.

mod forks;
mod golden;
mod invitations;
mod merging;
mod proofs;
mod room;
mod standing;
mod syncing;

use libp2p_identity::ed25519;

use super::*;
use crate::access::HolderSecret;
use crate::bounded::Text;
use crate::id::{OperationId, TeamId};
use crate::peer::PeerKey;

/// When things happen in these tests.
const NOW: u64 = 1_800_000_000;

const ROOT: u8 = 100;
const ANN: u8 = 1;
const BOB: u8 = 2;
const CARL: u8 = 3;
const MIA: u8 = 11;
const NED: u8 = 12;
const OLA: u8 = 13;
const PIA: u8 = 14;

fn keypair(seed: u8) -> ed25519::Keypair {
    HolderSecret::from_bytes([seed; 32]).keypair()
}

fn key(seed: u8) -> PeerKey {
    PeerKey::of(&keypair(seed))
}

fn name_admin(node: u8) -> Action {
    Action::NameAdmin {
        node: key(node),
        name: Text::cut(&format!("admin-{node}")),
    }
}

fn admit(node: u8) -> Action {
    admit_until(node, None)
}

fn admit_until(node: u8, expires_unix_s: Option<u64>) -> Action {
    Action::AdmitMember {
        node: key(node),
        name: Text::cut(&format!("node-{node}")),
        expires_unix_s,
    }
}

fn revoke(node: u8, last: Option<Cut>) -> Action {
    Action::Revoke {
        node: key(node),
        last,
    }
}

fn epoch(number: u64, secret: u8) -> Action {
    let team = TeamId::of(key(ROOT).as_bytes());
    let secret = EpochSecret::from_bytes([secret; 32]);
    Action::Epoch(Epoch::new(&team, number, &secret))
}

fn later_action(number: u32) -> Action {
    Action::Unknown(UnknownAction::new(number, vec![7; 20]).expect("unknown and short"))
}

fn cut_at(signed: &SignedOperation) -> Cut {
    Cut {
        sequence: signed.operation.sequence,
        operation: signed.id(),
    }
}

fn empty() -> Team {
    Team::new(key(ROOT))
}

/// `author` says `action` behind the last that `team` knows of it; not merged.
fn said(team: &Team, author: u8, action: Action) -> SignedOperation {
    team.sign(&keypair(author), NOW, action)
}

/// As [`said`], and the team keeps it.
fn say(team: &mut Team, author: u8, action: Action) -> SignedOperation {
    let signed = said(team, author, action);
    let merged = team.merge([signed.clone()]);
    assert_eq!(merged.new, [signed.id()], "{:?}", merged.refused);
    signed
}

/// `author` says `action` behind `previous`, whatever else it has said.
fn branch(author: u8, previous: Option<&SignedOperation>, action: Action) -> SignedOperation {
    let operation = Operation {
        team: empty().id(),
        author: key(author),
        sequence: previous.map_or(0, |p| p.operation.sequence + 1),
        previous: previous.map(SignedOperation::id),
        when_unix_s: NOW,
        action,
    };
    SignedOperation::sign(operation, &keypair(author))
}

fn standing(team: &Team, node: u8) -> Standing {
    team.standing(&key(node), NOW)
}

fn reasons(merged: &Merged) -> Vec<Reason> {
    merged.refused.iter().map(|(_, reason)| *reason).collect()
}

/// The root named Ann and Bob, Ann admitted Mia, Bob admitted Ned.
fn lab() -> Team {
    let mut team = empty();
    say(&mut team, ROOT, name_admin(ANN));
    say(&mut team, ROOT, name_admin(BOB));
    say(&mut team, ANN, admit(MIA));
    say(&mut team, BOB, admit(NED));
    team
}

fn all_of(team: &Team) -> Vec<SignedOperation> {
    team.operations().into_iter().cloned().collect()
}

/// The team of these operations, given at once.
fn team_of(operations: &[SignedOperation]) -> Team {
    let mut team = empty();
    team.merge(operations.to_vec());
    team
}
