//! Two who meet.

use proptest::prelude::*;

use super::merging::life;
use super::*;

/// What `from` sends to `to`, merged there one operation at a time if `singly`.
fn tell(from: &Team, to: &mut Team, singly: bool) -> usize {
    let mut told = 0;
    for batch in from.lacking(&to.heads()) {
        let batch = Batch::from_bytes(&batch.to_bytes()).expect("as it was sent");
        told += batch.count();
        let operations = batch.into_operations();
        if singly {
            for signed in operations {
                to.merge([signed]);
            }
        } else {
            to.merge(operations);
        }
    }
    told
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn after_telling_each_other_both_know_the_same(
        (said, sides) in life().prop_flat_map(|said| {
            let count = said.len();
            (Just(said), prop::collection::vec(0..3u8, count))
        }),
        singly: bool,
    ) {
        let heard = |side: u8| -> Vec<_> {
            let pairs = said.iter().zip(&sides);
            pairs.filter(|(_, s)| **s == side || **s == 2).map(|(o, _)| o.clone()).collect()
        };
        let (mut a, mut b) = (team_of(&heard(0)), team_of(&heard(1)));
        let (before_a, before_b) = (a.clone(), b.clone());
        // Both speak from what they knew when they met.
        tell(&before_b, &mut a, singly);
        tell(&before_a, &mut b, singly);
        prop_assert_eq!(&a, &b);
        prop_assert_eq!(a.members(), b.members());
        prop_assert_eq!(a.heads(), b.heads());
        prop_assert_eq!(tell(&a, &mut b, singly), 0, "nothing is told twice");
        let both = [all_of(&before_a), all_of(&before_b)].concat();
        prop_assert_eq!(&a, &team_of(&both));
    }

    #[test]
    fn heads_come_back_as_they_were_sent(said in life()) {
        let heads = team_of(&said).heads();
        prop_assert_eq!(Heads::from_bytes(&heads.to_bytes()), Ok(heads));
    }

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>, ids in prop::collection::vec(any::<[u8; 32]>(), 0..5)) {
        let team = lab();
        for bytes in [bytes, ids.concat()] {
            if let Ok(heads) = Heads::from_bytes(&bytes) {
                prop_assert_eq!(heads.to_bytes(), bytes);
                team.lacking(&heads);
            } else {
                let _ = Batch::from_bytes(&bytes);
            }
        }
    }
}

#[test]
fn heads_of_no_whole_length_or_order_are_refused() {
    assert_eq!(Heads::from_bytes(&[0; 33]), Err(HeadsError::Length(33)));
    assert_eq!(Heads::from_bytes(&[0; 64]), Err(HeadsError::Order));
    let long = vec![0; 32 * (HEADS_MAX + 1)];
    assert_eq!(
        Heads::from_bytes(&long),
        Err(HeadsError::Length(long.len()))
    );
}

/// Ann says so many admissions one behind the other, given at once.
fn long_lab(admissions: u64) -> Team {
    let mut team = lab();
    let mut last = said(&team, ANN, admit(OLA));
    let mut chain = vec![last.clone()];
    for end in 1..admissions {
        last = branch(ANN, Some(&last), admit_until(OLA, Some(end)));
        chain.push(last.clone());
    }
    assert_eq!(team.merge(chain).new.len() as u64, admissions);
    team
}

#[test]
fn who_is_a_little_behind_is_sent_little_and_sends_nothing() {
    let mut team = long_lab(1000);
    let behind = team.clone();
    say(&mut team, ANN, admit(CARL));
    say(&mut team, ANN, admit(CARL));
    assert!(team.heads().count() < 20);
    assert_eq!(tell(&team, &mut behind.clone(), false), 2);
    assert_eq!(tell(&behind, &mut team.clone(), false), 0);
}

#[test]
fn a_whole_team_is_told_in_batches_that_fit() {
    let team = long_lab(2000);
    let batches = team.lacking(&Heads::default());
    assert!(batches.len() > 1);
    for batch in &batches {
        assert!(batch.to_bytes().len() <= BATCH_BYTES_MAX);
    }
    let mut other = empty();
    assert_eq!(tell(&team, &mut other, false), 2004);
    assert_eq!(other, team);
    assert_eq!(
        team.lacking(&other.heads()),
        [Batch::default()],
        "one, and empty"
    );
}

/// Mia knows the team as it was when she was admitted.
#[test]
fn who_was_revoked_is_told_that_and_nothing_that_came_after_it() {
    let mut team = empty();
    say(&mut team, ROOT, name_admin(ANN));
    say(&mut team, ANN, admit(MIA));
    let mut mias = team.clone();
    assert_eq!(told(&team.parting(&key(MIA), &mias.heads())), []);
    say(&mut team, ROOT, name_admin(BOB));
    let before = say(&mut team, BOB, admit(NED));
    let end = say(&mut team, BOB, revoke(MIA, None));
    say(&mut team, BOB, admit(OLA));
    say(&mut team, ANN, admit(PIA));
    let parting = told(&team.parting(&key(MIA), &mias.heads()));
    let ids: Vec<_> = parting.iter().map(SignedOperation::id).collect();
    assert_eq!(
        ids.len(),
        3,
        "the naming of who revoked her, and that one's word until then"
    );
    assert!(ids.contains(&before.id()) && ids.contains(&end.id()));
    mias.merge(parting);
    assert_eq!(mias.standing(&key(MIA), NOW), Standing::Revoked);
    assert_eq!(told(&team.parting(&key(MIA), &mias.heads())), []);
}

fn told(batches: &[Batch]) -> Vec<SignedOperation> {
    let batches = batches.iter().cloned();
    batches.flat_map(Batch::into_operations).collect()
}
