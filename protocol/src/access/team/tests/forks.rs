//! One author, one sequence, two operations: a key that was copied.

use super::*;
use Standing::{Admin, Member, Revoked, Stranger};

/// Ann's home was copied after she admitted Mia: here is what each copy says next.
fn forked() -> (Team, SignedOperation, SignedOperation) {
    let mut team = lab();
    let first = team.last_of(&key(ANN)).expect("she spoke");
    let first = team.operation(&first.operation).expect("kept").clone();
    let here = branch(ANN, Some(&first), admit(OLA));
    let there = branch(ANN, Some(&first), admit(CARL));
    let merged = team.merge([here.clone(), there.clone()]);
    assert_eq!(merged.new.len(), 2, "both are kept, to be told on");
    assert_eq!(merged.forked, [key(ANN)]);
    (team, here, there)
}

#[test]
fn from_the_fork_on_admissions_do_not_count() {
    let (mut team, here, _) = forked();
    assert_eq!(team.forked_at(&key(ANN)), Some(1));
    let behind = branch(ANN, Some(&here), epoch(5, 5));
    team.merge([behind]);
    for (node, expected) in [
        (ANN, Admin),
        (MIA, Member),
        (OLA, Stranger),
        (CARL, Stranger),
    ] {
        assert_eq!(standing(&team, node), expected, "{node}");
    }
    assert_eq!(team.epoch(), None);
    say(&mut team, BOB, admit(OLA));
    assert_eq!(standing(&team, OLA), Member, "another admin mends it");
}

#[test]
fn revocations_count_on_every_branch() {
    let (mut team, here, there) = forked();
    team.merge([
        branch(ANN, Some(&here), revoke(MIA, None)),
        branch(ANN, Some(&there), revoke(NED, None)),
    ]);
    assert_eq!(standing(&team, MIA), Revoked);
    assert_eq!(standing(&team, NED), Revoked);
}

#[test]
fn the_root_heals_a_fork_by_saying_which_branch_counts() {
    let (mut team, here, there) = forked();
    say(&mut team, ROOT, revoke(ANN, Some(cut_at(&here))));
    assert_eq!(team.forked_at(&key(ANN)), None);
    assert_eq!(standing(&team, OLA), Member);
    assert_eq!(standing(&team, CARL), Stranger);
    assert_eq!(reasons(&team.merge([there])), [Reason::Cut]);
}

#[test]
fn the_roots_word_counts_on_every_branch() {
    let mut team = empty();
    let merged = team.merge([
        branch(ROOT, None, name_admin(ANN)),
        branch(ROOT, None, name_admin(BOB)),
    ]);
    assert_eq!(merged.forked, [key(ROOT)], "though people are told");
    assert_eq!(standing(&team, ANN), Admin);
    assert_eq!(standing(&team, BOB), Admin);
}
