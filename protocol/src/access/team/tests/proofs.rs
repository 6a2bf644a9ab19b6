//! Membership shown to a node that has not heard of it.

use super::*;
use crate::codec::{decode_canonical, encode};

/// A team of which only the root key is known.
fn newcomer() -> Team {
    empty()
}

#[test]
fn from_the_root_key_alone_a_proof_shows_what_a_node_is() {
    let mut team = lab();
    say(&mut team, ROOT, admit(OLA));
    for (node, expected) in [
        (ANN, Standing::Admin),
        (MIA, Standing::Member),
        (OLA, Standing::Member),
    ] {
        let proof = team.proof_of(&key(node)).expect("let in");
        let bytes = encode(&proof);
        assert!(bytes.len() < 1024, "{}", bytes.len());
        let proof: MembershipProof = decode_canonical::<_, 4096>(&bytes).expect("as sent");
        let shown = newcomer().check_proof(&proof, &key(node), NOW);
        assert_eq!(shown, Ok(expected));
    }
    assert_eq!(team.proof_of(&key(CARL)), None);
}

#[test]
fn a_proof_is_nobody_elses() {
    let team = lab();
    let of_mia = team.proof_of(&key(MIA)).expect("let in");
    let of_ann = team.proof_of(&key(ANN)).expect("let in");
    for proof in [of_mia, of_ann] {
        let shown = newcomer().check_proof(&proof, &key(OLA), NOW);
        assert_eq!(shown, Err(ProofError::LeadsNowhere));
        let elsewhere = Team::new(key(CARL)).check_proof(&proof, &key(MIA), NOW);
        assert_eq!(elsewhere, Err(ProofError::OtherTeam));
    }
}

#[test]
fn a_proof_made_without_the_root_shows_nothing() {
    let mut impostors = Team::new(key(CARL));
    let naming = |author: u8| {
        let operation = Operation {
            author: key(author),
            ..branch(ANN, None, name_admin(OLA)).operation
        };
        SignedOperation {
            operation,
            signature: branch(ANN, None, name_admin(OLA)).signature,
        }
    };
    impostors.merge([said(&impostors, CARL, name_admin(OLA))]);
    let bytes = encode(&vec![naming(ROOT)]);
    let forged: MembershipProof = decode_canonical::<_, 4096>(&bytes).expect("well formed");
    let shown = newcomer().check_proof(&forged, &key(OLA), NOW);
    assert_eq!(shown, Err(ProofError::Signature));
    let by_ann = encode(&vec![branch(ANN, None, admit(OLA))]);
    let by_ann: MembershipProof = decode_canonical::<_, 4096>(&by_ann).expect("well formed");
    let shown = newcomer().check_proof(&by_ann, &key(OLA), NOW);
    assert_eq!(shown, Err(ProofError::LeadsNowhere));
    let none: MembershipProof = decode_canonical::<_, 64>(&encode(&0u64)).expect("empty");
    let shown = newcomer().check_proof(&none, &key(OLA), NOW);
    assert_eq!(shown, Err(ProofError::LeadsNowhere));
    let by_self = [
        branch(ROOT, None, name_admin(ANN)),
        branch(BOB, None, admit(OLA)),
    ];
    let by_self: MembershipProof =
        decode_canonical::<_, 4096>(&encode(&by_self.to_vec())).expect("well formed");
    let shown = newcomer().check_proof(&by_self, &key(OLA), NOW);
    assert_eq!(shown, Err(ProofError::LeadsNowhere));
}

#[test]
fn a_revocation_that_is_known_holds_against_every_proof() {
    let team = lab();
    let proof = team.proof_of(&key(MIA)).expect("let in");
    let check = |knows: &Team| knows.check_proof(&proof, &key(MIA), NOW);

    let mut knows = newcomer();
    say(&mut knows, ROOT, revoke(MIA, None));
    assert_eq!(check(&knows), Err(ProofError::Revoked));

    let mut knows = newcomer();
    say(&mut knows, ROOT, name_admin(ANN));
    let cut = team.last_of(&key(ANN));
    knows.merge([said(&knows, ROOT, revoke(ANN, cut))]);
    assert_eq!(check(&knows), Err(ProofError::AdminRevoked));
    let of_ann = team.proof_of(&key(ANN)).expect("let in");
    let shown = knows.check_proof(&of_ann, &key(ANN), NOW);
    assert_eq!(shown, Err(ProofError::Revoked));
    knows.merge(all_of(&team));
    assert_eq!(
        check(&knows),
        Ok(Standing::Member),
        "it is within the cut-off"
    );
}

#[test]
fn an_admission_from_behind_a_fork_shows_nothing_where_the_fork_is_known() {
    let team = lab();
    let proof = team.proof_of(&key(MIA)).expect("let in");
    let mut knows = newcomer();
    say(&mut knows, ROOT, name_admin(ANN));
    let forks = [OLA, CARL].map(|node| branch(ANN, None, admit(node)));
    knows.merge(forks);
    let shown = knows.check_proof(&proof, &key(MIA), NOW);
    assert_eq!(shown, Err(ProofError::AdminForked));
}

#[test]
fn an_admission_that_is_over_shows_nothing() {
    let mut team = lab();
    say(&mut team, ANN, admit_until(OLA, Some(NOW)));
    let proof = team.proof_of(&key(OLA)).expect("let in");
    let at = |now| newcomer().check_proof(&proof, &key(OLA), now);
    assert_eq!(at(NOW + 600), Ok(Standing::Member));
    assert_eq!(at(NOW + 601), Err(ProofError::Expired { ago_s: 601 }));
}
