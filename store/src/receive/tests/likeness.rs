//! What of an earlier version resembles what must be fetched.

use std::collections::HashSet;

use shoal_protocol::have::RangeSet;
use shoal_protocol::manifest::{SnapshotCursor, Step};

use super::*;
use crate::receive::Likeness;

/// Inserts `extra` bytes at each of `places`, which ascend.
fn with_insertions(old: &[u8], places: &[usize], extra: usize) -> Vec<u8> {
    let mut new = Vec::new();
    let mut from = 0;
    for (number, place) in places.iter().enumerate() {
        new.extend_from_slice(&old[from..*place]);
        new.extend_from_slice(&noise(1000 + number as u64, extra));
        from = *place;
    }
    new.extend_from_slice(&old[from..]);
    new
}

/// Receives `old`, then asks what `new` needs: for each run its likenesses.
fn likenesses(old: &Artifact, new: &Artifact) -> (World, Vec<(Run, Vec<Likeness>)>) {
    let world = World::new();
    world.get(old).expect("received");
    world.announce(new);
    let receive = world.receive(world.request(new)).expect("opened");
    let mut found = Vec::new();
    loop {
        match receive.next().expect("nothing stands in the way") {
            Next::Pages(pages) => send_pages(&world.store, new, &pages).expect("room"),
            Next::Run(run) => {
                found.push((run, receive.likenesses(run.id)));
                send_run(&receive, new, run).expect("written");
            }
            Next::Wait | Next::WaitForLast => panic!("every run was sent"),
            Next::Done => break,
        }
    }
    receive.finish(false).expect("whole");
    (world, found)
}

/// Positions at which a chunk of the artifact begins or ends.
fn boundaries(artifact: &Artifact) -> HashSet<u64> {
    let mut cursor = SnapshotCursor::new(&artifact.snapshot);
    let mut all = HashSet::new();
    while let Some(step) = cursor.next(&artifact.pages).expect("whole") {
        if let Step::Chunk {
            position, chunk, ..
        } = step
        {
            all.extend([position, position + u64::from(chunk.length)]);
        }
    }
    all
}

/// How much of each run stands byte for byte, in stretches of 64, in what is said to
/// resemble it.
fn resemblance(old: &Artifact, new: &Artifact, runs: &[(Run, Vec<Likeness>)]) -> f64 {
    let edges = boundaries(old);
    let (mut same, mut all) = (0, 0);
    for (run, found) in runs {
        assert!(found.is_sorted_by(|a, b| a.position < b.position));
        for (number, likeness) in found.iter().enumerate() {
            let Likeness {
                position, old: at, ..
            } = likeness;
            assert_eq!(likeness.snapshot, old.id());
            assert!(edges.contains(&at.start) && edges.contains(&at.end));
            assert!(at.end - at.start <= 1 << 20, "{at:?}");
            let until = found.get(number + 1).map_or(run.end, |next| next.position);
            let known: HashSet<&[u8]> = old.bytes[at.start as usize..at.end as usize]
                .windows(64)
                .collect();
            for part in new.bytes[*position as usize..until as usize]
                .windows(64)
                .step_by(64)
            {
                same += usize::from(known.contains(part));
            }
        }
        all += (run.end - run.start) as usize / 64;
    }
    same as f64 / all.max(1) as f64
}

#[test]
fn an_edited_file_resembles_the_one_that_it_replaces() {
    let old = noise(1, 6_000_000);
    let places = [
        0, 100_000, 1_000_000, 1_030_000, 2_500_000, 4_000_000, 5_999_000,
    ];
    let mut shorter = old.clone();
    shorter.drain(2_000_000..2_900_000);
    let mut cut = old[..3_000_000].to_vec();
    cut.extend_from_slice(&noise(2, 700));
    for (what, new) in [
        (
            "bytes inserted all over",
            with_insertions(&old, &places, 40),
        ),
        ("bytes taken out", shorter),
        ("cut off, with a new end", cut),
    ] {
        let (old, new) = (Artifact::file("a", old.clone()), Artifact::file("a", new));
        let (_, runs) = likenesses(&old, &new);
        assert!(!runs.is_empty(), "{what}");
        let resemblance = resemblance(&old, &new, &runs);
        assert!(resemblance > 0.8, "{what}: {resemblance}");
    }
}

#[test]
fn a_base_is_what_stands_between_common_chunks_and_no_more() {
    let old = noise(1, 6_000_000);
    let places = [100_000, 1_000_000, 2_500_000, 4_000_000];
    let new = Artifact::file("a", with_insertions(&old, &places, 40));
    let old = Artifact::file("a", old);
    let (_, runs) = likenesses(&old, &new);
    let wanted: u64 = runs.iter().map(|(run, _)| run.end - run.start).sum();
    let named = runs.iter().flat_map(|(_, found)| found);
    let named: u64 = named.map(|base| base.old.end - base.old.start).sum();
    assert_eq!(named + places.len() as u64 * 40, wanted);
    assert!(resemblance(&old, &new, &runs) > 0.9);
}

#[test]
fn a_file_of_a_folder_resembles_its_own_earlier_version() {
    let (a, b) = (noise(1, 2_000_000), noise(2, 2_000_000));
    let old = things([
        ("a", Thing::File(a.clone())),
        ("deep/b", Thing::File(b.clone())),
        ("small", Thing::File(noise(3, 9_000))),
    ]);
    let mut small = noise(3, 9_000);
    small[4_000] ^= 1;
    let new = things([
        ("a", Thing::File(with_insertions(&a, &[700_000], 9))),
        ("deep/b", Thing::File(with_insertions(&b, &[1_500_000], 9))),
        ("small", Thing::File(small)),
    ]);
    let (old, new) = (Artifact::folder(&old), Artifact::folder(&new));
    let (_, runs) = likenesses(&old, &new);
    let named: usize = runs.iter().map(|(_, found)| found.len()).sum();
    assert_eq!(named, 3, "{runs:?}");
    assert!(resemblance(&old, &new, &runs) > 0.8);
}

#[test]
fn what_replaces_nothing_resembles_nothing() {
    let old = Artifact::folder(&things([("a", Thing::File(noise(1, 500_000)))]));
    let new = things([
        ("a", Thing::File(noise(1, 500_000))),
        ("b", Thing::File(noise(2, 500_000))),
    ]);
    let (_, runs) = likenesses(&old, &Artifact::folder(&new));
    assert!(runs.iter().all(|(_, found)| found.is_empty()), "{runs:?}");
}

#[test]
fn a_named_base_can_be_read_while_its_run_is_outstanding() {
    let old = noise(1, 3_000_000);
    let new = Artifact::file("a", with_insertions(&old, &[50_000, 1_500_000], 30));
    let old = Artifact::file("a", old);
    let world = World::new();
    world.get(&old).expect("received");
    world.announce(&new);
    let receive = world.receive(world.request(&new)).expect("opened");
    let mut read = RangeSet::new();
    loop {
        match receive.next().expect("nothing stands in the way") {
            Next::Pages(pages) => send_pages(&world.store, &new, &pages).expect("room"),
            Next::Run(run) => {
                for likeness in receive.likenesses(run.id) {
                    let mut reader = world.store.run_reader(&likeness.snapshot).expect("known");
                    let mut bytes = Vec::new();
                    let range = likeness.old.clone();
                    let got = world
                        .store
                        .read_run(&mut reader, range.clone(), 1 << 20, &mut bytes)
                        .expect("readable");
                    assert_eq!(got, range);
                    assert_eq!(bytes, old.bytes[range.start as usize..range.end as usize]);
                    read.insert(range);
                }
                send_run(&receive, &new, run).expect("written");
            }
            Next::Wait | Next::WaitForLast => panic!("every run was sent"),
            Next::Done => break,
        }
    }
    assert!(read.total_bytes() > 100_000, "{read:?}");
}
