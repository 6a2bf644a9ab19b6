//! Adding what was added before.

use super::*;
use crate::index::Coverage;

const MODES: [AddMode; 2] = [AddMode::Keep, AddMode::InPlace];

#[test]
fn unchanged_files_are_not_read_again() {
    for mode in MODES {
        let world = World::new();
        for i in 0..300 {
            world.write(&format!("{}/{i}", i % 7), noise(i, 5_000));
        }
        world.write("big", noise(1000, 20 << 20));
        settle(&world);
        let first = world.add(mode);
        assert_eq!((first.files_read, first.bytes_new), (301, first.bytes));
        let world = world.reopen();
        let second = world.add(mode);
        assert_eq!(second.snapshot, first.snapshot);
        assert_eq!((second.files_read, second.bytes_new), (0, 0));
        assert!(second.lost.is_empty());
    }
}

#[test]
fn files_that_just_changed_are_read_again_to_be_sure() {
    let world = World::new();
    world.write("a", "1");
    let racy = world.add(AddMode::Keep);
    std::fs::write(world.path("a"), "2").unwrap();
    let second = world.add(AddMode::Keep);
    assert_ne!(second.snapshot, racy.snapshot);
    assert_eq!(world.bytes_of(&second.snapshot, "a"), b"2");
}

/// What happens to a file of 600,000 bytes, and what that costs a snapshot that lives in it.
struct Change {
    name: &'static str,
    make: fn(&World),
    lost_bytes: std::ops::RangeInclusive<u64>,
}

const CHANGES: [Change; 6] = [
    Change {
        name: "edited",
        make: |world| {
            let mut bytes = noise(1, 600_000);
            bytes[300_000..300_010].fill(0);
            std::fs::write(world.path("a"), bytes).unwrap();
        },
        // The chunk of the edit, and perhaps one on each side.
        lost_bytes: 10..=3 * 262_144,
    },
    Change {
        name: "appended to",
        make: |world| {
            let mut bytes = noise(1, 600_000);
            bytes.extend(noise(2, 100_000));
            std::fs::write(world.path("a"), bytes).unwrap();
        },
        // The last chunk has become longer.
        lost_bytes: 1..=262_144,
    },
    Change {
        name: "truncated",
        make: |world| {
            std::fs::write(world.path("a"), &noise(1, 600_000)[..10]).unwrap();
        },
        lost_bytes: 600_000..=600_000,
    },
    Change {
        name: "replaced",
        make: |world| {
            std::fs::write(world.path("new"), noise(3, 600_000)).unwrap();
            std::fs::rename(world.path("new"), world.path("a")).unwrap();
        },
        lost_bytes: 600_000..=600_000,
    },
    Change {
        name: "deleted",
        make: |world| std::fs::remove_file(world.path("a")).unwrap(),
        lost_bytes: 600_000..=600_000,
    },
    Change {
        name: "renamed",
        make: |world| std::fs::rename(world.path("a"), world.path("c")).unwrap(),
        lost_bytes: 0..=0,
    },
];

#[test]
fn kept_history_outlives_every_change() {
    for change in CHANGES {
        let world = World::new();
        world.write("a", noise(1, 600_000));
        world.write("b", "other");
        let first = world.add(AddMode::Keep);
        (change.make)(&world);
        let second = world.add(AddMode::Keep);
        assert_ne!(second.snapshot, first.snapshot, "{}", change.name);
        assert!(second.lost.is_empty(), "{}", change.name);
        assert!(world.bytes_of(&first.snapshot, "a") == noise(1, 600_000));
        assert!(world.store.history_at_risk(&Silent).unwrap().is_empty());
    }
}

#[test]
fn history_in_place_is_named_when_it_goes() {
    for Change {
        name,
        make,
        lost_bytes,
    } in CHANGES
    {
        let world = World::new();
        world.write("a", noise(1, 600_000));
        world.write("b", "other");
        let first = world.add(AddMode::InPlace);
        let risk = world.store.history_at_risk(&Silent).unwrap();
        assert_eq!(risk[0].bytes_volatile, 600_005, "{name}");
        assert_eq!(risk[0].bytes_gone + risk[0].bytes_changed, 0, "{name}");

        make(&world);
        // Before anything is read, the change is seen.
        let risk = world.store.history_at_risk(&Silent).unwrap();
        assert_eq!(risk[0].bytes_changed, 600_000, "{name}");
        assert_eq!(risk[0].gone.named[0].as_str(), "a", "{name}");

        let second = world.add(AddMode::InPlace);
        let row = world.store.view().snapshot(&first.snapshot).unwrap();
        let row = row.unwrap();
        if *lost_bytes.end() == 0 {
            assert!(second.lost.is_empty(), "{name}");
            assert_eq!(row.held, Coverage::Complete, "{name}");
            assert!(world.bytes_of(&first.snapshot, "a") == noise(1, 600_000));
            continue;
        }
        let [loss] = &second.lost[..] else {
            panic!("{name}: {:?}", second.lost);
        };
        assert_eq!(loss.snapshot, first.snapshot, "{name}");
        assert!(lost_bytes.contains(&loss.bytes), "{name}: {}", loss.bytes);
        assert_eq!(loss.paths.named[0].as_str(), "a", "{name}");
        let left = row.held.to_set(row.snapshot.bytes).total_bytes();
        assert_eq!(left, 600_005 - loss.bytes, "{name}");
        assert_eq!(row.held, row.offered, "{name}");

        // It is said once, and `status` goes on saying it.
        assert!(world.add(AddMode::InPlace).lost.is_empty(), "{name}");
        let risk = world.store.history_at_risk(&Silent).unwrap();
        let risk = risk.iter().find(|risk| risk.snapshot == first.snapshot);
        assert_eq!(risk.unwrap().bytes_gone, loss.bytes, "{name}");
    }
}

#[test]
fn bytes_that_lie_elsewhere_too_are_not_lost() {
    let world = World::new();
    world.write("a", noise(1, 600_000));
    world.write("copy/a", noise(1, 600_000));
    let first = world.add(AddMode::InPlace);
    std::fs::remove_file(world.path("a")).unwrap();
    assert!(world.add(AddMode::InPlace).lost.is_empty());
    assert!(world.bytes_of(&first.snapshot, "a") == noise(1, 600_000));
    std::fs::remove_file(world.path("copy/a")).unwrap();
    let lost = world.add(AddMode::InPlace).lost;
    let loss = lost.iter().find(|loss| loss.snapshot == first.snapshot);
    assert_eq!(loss.unwrap().bytes, 1_200_000);
}

#[test]
fn keeping_what_was_in_place_makes_it_safe() {
    let world = World::new();
    world.write("a", noise(1, 600_000));
    settle(&world);
    let in_place = world.add(AddMode::InPlace);
    let kept = world.add(AddMode::Keep);
    assert_eq!(kept.snapshot, in_place.snapshot);
    assert_eq!((kept.bytes_new, kept.bytes_copied), (0, 600_000));
    assert!(world.store.history_at_risk(&Silent).unwrap().is_empty());
    std::fs::write(world.path("a"), "overwritten").unwrap();
    assert!(world.add(AddMode::InPlace).lost.is_empty());
    assert!(world.bytes_of(&kept.snapshot, "a") == noise(1, 600_000));
}

#[test]
fn what_is_left_out_the_second_time_is_not_forgotten() {
    let world = World::new();
    world.write("a", noise(1, 100_000));
    world.write("b", noise(2, 100_000));
    let first = world.add(AddMode::InPlace);
    world.write(".shoalignore", "a\n");
    assert!(world.add(AddMode::InPlace).lost.is_empty());
    assert!(world.bytes_of(&first.snapshot, "a") == noise(1, 100_000));
}

#[test]
fn a_lone_file_does_not_make_its_neighbours_vanish() {
    let world = World::new();
    world.write("a", noise(1, 100_000));
    world.write("b", noise(2, 100_000));
    let folder = world.add(AddMode::InPlace);
    world.try_add(&world.path("a"), AddMode::InPlace).unwrap();
    assert!(world.bytes_of(&folder.snapshot, "b") == noise(2, 100_000));
}

#[test]
fn files_become_folders_and_folders_files() {
    for mode in MODES {
        let world = World::new();
        world.write("x", noise(1, 50_000));
        world.write("y/z", noise(2, 50_000));
        world.add(mode);
        std::fs::remove_file(world.path("x")).unwrap();
        std::fs::remove_dir_all(world.path("y")).unwrap();
        world.write("x/z", noise(2, 50_000));
        world.write("y", noise(1, 50_000));
        let second = world.add(mode);
        assert_eq!(world.listing(&second.snapshot), ["x/z 50000", "y 50000"]);
        assert_eq!(second.bytes_new, 0);
        assert!(second.lost.is_empty());
    }
}

#[test]
fn an_edit_costs_what_changed() {
    let world = World::new();
    let bytes = noise(1, 40 << 20);
    world.write("big", &bytes);
    world.add(AddMode::Keep);
    let mut edited = bytes[..10 << 20].to_vec();
    edited.extend(noise(2, 1 << 20));
    edited.extend(&bytes[10 << 20..]);
    world.write("big", &edited);
    let second = world.add(AddMode::Keep);
    assert!(second.bytes_copied < (1 << 20) + 3 * 262_144, "{second:?}");
    assert!(world.bytes_of(&second.snapshot, "big") == edited);
}
