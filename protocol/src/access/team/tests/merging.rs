//! Whatever is said, and in whatever order it comes: the same operations make the same team.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

const AUTHORS: [u8; 7] = [ROOT, ANN, BOB, CARL, MIA, NED, OLA];

/// One thing that somebody says; indices are taken among what there is.
#[derive(Debug, Clone)]
pub(super) struct Line {
    author: usize,
    what: u8,
    about: usize,
    cut: Option<Index>,
    /// Where it hangs in the author's operations, if not behind the last.
    behind: Option<Index>,
}

fn line() -> impl Strategy<Value = Line> {
    // The root and the admins speak more than others.
    let author = prop_oneof![3 => 0..1usize, 5 => 1..4usize, 2 => 4..7usize];
    let (what, about) = (0..12u8, 1..7usize);
    let cut = prop::option::weighted(0.8, any::<Index>());
    let behind = prop::option::weighted(0.08, any::<Index>());
    (author, what, about, cut, behind).prop_map(|(author, what, about, cut, behind)| Line {
        author,
        what,
        about,
        cut,
        behind,
    })
}

/// What is said in a team's life: much of it allowed, some of it not, some with copied keys.
pub(super) fn life() -> impl Strategy<Value = Vec<SignedOperation>> {
    vec(line(), 1..50).prop_map(|lines| {
        let mut said: Vec<SignedOperation> = Vec::new();
        for first in [ANN, BOB] {
            let last = said.last().cloned();
            said.push(branch(ROOT, last.as_ref(), name_admin(first)));
        }
        for line in lines {
            let author = AUTHORS[line.author];
            let action = action(&line, author, &said);
            let own: Vec<_> = by(&said, author).collect();
            let previous = match line.behind {
                Some(at) if !own.is_empty() => own.get(at.index(own.len() + 1)).copied(),
                _ => own.last().copied(),
            };
            let signed = branch(author, previous, action);
            if !said.contains(&signed) {
                said.push(signed);
            }
        }
        said
    })
}

fn by(said: &[SignedOperation], author: u8) -> impl Iterator<Item = &SignedOperation> {
    let author = key(author);
    said.iter().filter(move |s| s.operation.author == author)
}

fn action(line: &Line, author: u8, said: &[SignedOperation]) -> Action {
    let about = AUTHORS[line.about];
    let theirs: Vec<_> = by(said, about).collect();
    let cut =
        (line.cut.filter(|_| !theirs.is_empty())).map(|at| cut_at(theirs[at.index(theirs.len())]));
    match line.what {
        0..=2 if author == ROOT => name_admin(about),
        3 => revoke(about, cut),
        4 | 5 if author == ROOT => revoke(about, cut),
        5 => revoke(author, None),
        6 => epoch(line.about as u64, author),
        7 => later_action(50 + u32::from(author)),
        8 => name_admin(about),
        9 => admit_until(about, Some(NOW + 5)),
        _ => admit(about),
    }
}

/// Gives `operations` in parts, again and again until nothing more is kept.
fn in_parts(operations: &[SignedOperation], part: usize) -> Team {
    let mut team = empty();
    loop {
        let before = team.clone();
        for part in operations.chunks(part) {
            team.merge(part.to_vec());
        }
        if team == before {
            return team;
        }
    }
}

fn same(a: &Team, b: &Team) -> Result<(), TestCaseError> {
    prop_assert_eq!(a, b);
    prop_assert_eq!(a.bytes(), b.bytes());
    prop_assert_eq!(a.members(), b.members());
    prop_assert_eq!(a.epoch(), b.epoch());
    for author in AUTHORS {
        for now in [0, NOW, u64::MAX] {
            let key = key(author);
            prop_assert_eq!(a.standing(&key, now), b.standing(&key, now));
            prop_assert_eq!(a.forked_at(&key), b.forked_at(&key));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn order_repetition_and_parts_do_not_matter(
        (said, shuffled) in life().prop_flat_map(|said| (Just(said.clone()), Just(said).prop_shuffle())),
        part in 1..9usize,
    ) {
        let at_once = team_of(&said);
        same(&at_once, &team_of(&shuffled))?;
        same(&at_once, &in_parts(&shuffled, part))?;
        let mut again = at_once.clone();
        let merged = again.merge(shuffled);
        prop_assert!(merged.new.is_empty() && merged.dropped.is_empty());
        same(&at_once, &again)?;
    }

    #[test]
    fn what_is_kept_makes_the_same_team_one_by_one(said in life()) {
        let team = team_of(&said);
        let mut again = empty();
        for signed in all_of(&team) {
            let merged = again.merge([signed]);
            prop_assert!(merged.refused.is_empty(), "{:?}", merged.refused);
        }
        same(&team, &again)?;
    }

    #[test]
    fn a_merge_tells_all_that_it_changed(said in life(), part in 1..9usize) {
        let mut team = empty();
        for part in said.chunks(part) {
            let before = team.clone();
            let merged = team.merge(part.to_vec());
            for id in &merged.new {
                prop_assert!(before.operation(id).is_none() && team.operation(id).is_some());
            }
            for id in &merged.dropped {
                prop_assert!(before.operation(id).is_some() && team.operation(id).is_none());
            }
            let count = |team: &Team| team.operations().len();
            prop_assert_eq!(count(&before) + merged.new.len() - merged.dropped.len(), count(&team));
            for author in AUTHORS {
                let key = key(author);
                let is_same = [0, NOW, u64::MAX]
                    .iter()
                    .all(|now| before.standing(&key, *now) == team.standing(&key, *now));
                prop_assert!(is_same || merged.changed.contains(&key));
            }
            prop_assert_eq!(before.epoch() != team.epoch(), merged.epoch_changed);
        }
    }

    #[test]
    fn nobody_but_the_root_brings_a_revoked_node_back(said in life(), part in 1..9usize) {
        let (roots, others): (Vec<_>, Vec<_>) =
            said.into_iter().partition(|s| s.operation.author == key(ROOT));
        let admins_only = roots.into_iter().filter(|s| {
            !matches!(s.operation.action, Action::Revoke { .. })
        });
        // Their chain, with the revocations left out.
        let mut last: Option<SignedOperation> = None;
        let mut team = empty();
        for signed in admins_only {
            let signed = branch(ROOT, last.as_ref(), signed.operation.action);
            team.merge([signed.clone()]);
            last = Some(signed);
        }
        let mut revoked: Vec<u8> = Vec::new();
        for part in others.chunks(part) {
            team.merge(part.to_vec());
            for node in &revoked {
                prop_assert_eq!(standing(&team, *node), Standing::Revoked);
            }
            revoked = AUTHORS.into_iter()
                .filter(|node| standing(&team, *node) == Standing::Revoked)
                .collect();
        }
    }
}

/// The properties above are about something: lives have members, revoked ones, forks.
#[test]
fn lives_are_eventful() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut members, mut revoked, mut forked, mut dropped) = (0, 0, 0, 0);
    for _ in 0..100 {
        let said = life().new_tree(&mut runner).expect("a life").current();
        let mut team = empty();
        for signed in &said {
            dropped += team.merge([signed.clone()]).dropped.len();
        }
        for node in AUTHORS {
            members += usize::from(standing(&team, node) == Standing::Member);
            revoked += usize::from(standing(&team, node) == Standing::Revoked);
            forked += usize::from(team.forked_at(&key(node)).is_some());
        }
    }
    let counts = (members, revoked, forked, dropped);
    assert!(
        members > 50 && revoked > 50 && forked > 10 && dropped > 10,
        "{counts:?}"
    );
}
