//! What a state has room for.

use super::*;

/// Operations of `author` behind the last that `team` knows, as long as operations may be.
fn bulky(team: &Team, author: u8, count: usize) -> Vec<SignedOperation> {
    let mut last = team.last_of(&key(author));
    let mut chain = Vec::new();
    for _ in 0..count {
        let body = vec![0; ACTION_BYTES_MAX];
        let unknown = UnknownAction::new(99, body).expect("as long as may be");
        let operation = Operation {
            team: team.id(),
            author: key(author),
            sequence: last.map_or(0, |last| last.sequence + 1),
            previous: last.map(|last| last.operation),
            when_unix_s: NOW,
            action: Action::Unknown(unknown),
        };
        let signed = SignedOperation::sign(operation, &keypair(author));
        last = Some(cut_at(&signed));
        chain.push(signed);
    }
    chain
}

#[test]
fn the_longest_operation_is_within_the_bound() {
    let longest = &bulky(&lab(), ANN, 1)[0];
    assert!(longest.to_bytes().len() <= OPERATION_BYTES_MAX);
    assert!(UnknownAction::new(99, vec![0; ACTION_BYTES_MAX + 1]).is_err());
    assert_eq!(
        UnknownAction::new(3, Vec::new()),
        Err(UnknownActionError::Known(3))
    );
}

#[test]
fn who_fills_the_state_can_be_revoked_and_that_makes_room() {
    let mut team = lab();
    let cut = team.last_of(&key(ANN));
    let each = bulky(&team, ANN, 1)[0].to_bytes().len();
    let fit = (TEAM_BYTES_MAX - REVOCATIONS_ROOM_BYTES - team.bytes()) / each;
    let flood = bulky(&team, ANN, fit + 10);
    let merged = team.merge(flood);
    assert_eq!(merged.new.len(), fit);
    let full = |reason: &&Reason| **reason == Reason::Full;
    assert_eq!(reasons(&merged).iter().filter(full).count(), 10);

    let more = bulky(&team, BOB, 1);
    assert_eq!(reasons(&team.merge(more)), [Reason::Full]);
    say(&mut team, BOB, revoke(NED, None));
    say(&mut team, ROOT, revoke(ANN, cut));
    assert!(team.bytes() < 4096);
    assert_eq!(standing(&team, MIA), Standing::Member);
    say(&mut team, BOB, admit(OLA));
}

#[test]
fn a_mere_member_cannot_fill_the_state() {
    let mut team = lab();
    let chain = bulky(&team, MIA, MEMBER_OPERATIONS_MAX + 1);
    let merged = team.merge(chain);
    assert_eq!(merged.new.len(), MEMBER_OPERATIONS_MAX);
    assert_eq!(reasons(&merged), [Reason::MemberFull]);
    let crowd = (0..50).map(|number| branch(NED, None, later_action(1000 + number)));
    assert_eq!(team.merge(crowd).new.len(), MEMBER_OPERATIONS_MAX);
    say(&mut team, MIA, revoke(MIA, None));
    assert_eq!(
        standing(&team, MIA),
        Standing::Revoked,
        "leaving has room of its own"
    );
}

#[test]
fn strangers_take_no_room_however_much_they_say() {
    let mut team = lab();
    let crowd = (0..100).map(|number| branch(OLA, None, later_action(1000 + number)));
    let merged = team.merge(crowd);
    assert_eq!(merged.refused.len(), 100);
    assert_eq!(team, lab());
    assert_eq!(team.bytes(), lab().bytes());
}
