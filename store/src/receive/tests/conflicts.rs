//! Into a destination where something stands.

use super::*;

fn folder() -> Things {
    things([
        ("a", Thing::File(noise(1, 100))),
        ("b/c", Thing::File(noise(2, 200_000))),
        ("link", Thing::Link("a")),
    ])
}

#[test]
fn a_folder_with_the_users_own_files_is_refused_and_left_alone() {
    let world = World::new();
    world.put("mine", b"precious");
    let error = world
        .get(&Artifact::folder(&folder()))
        .expect_err("it is not shoal's");
    let ReceiveError::NotEmpty { paths, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(paths.listed, ["mine"]);
    let expected = things([("mine", Thing::File(b"precious".to_vec()))]);
    assert_eq!(world.found(), expected);
}

#[test]
fn force_writes_beside_the_users_files() {
    let world = World::new();
    world.put("mine", b"precious");
    world.put("a", b"old");
    let artifact = Artifact::folder(&folder());
    let mut request = world.request(&artifact);
    request.force = true;
    world.get_as(&artifact, request).expect("forced");
    let mut expected = folder();
    expected.insert(path("mine"), Thing::File(b"precious".to_vec()));
    assert_eq!(world.found(), expected);
}

#[test]
fn an_edited_file_stops_the_receive_before_anything_is_written() {
    let world = World::new();
    world.get(&Artifact::folder(&folder())).expect("received");
    world.put("a", b"my edit");
    let before = world.found();
    let mut new = folder();
    new.insert(path("a"), Thing::File(noise(9, 100)));
    new.insert(path("b/c"), Thing::File(noise(8, 200_000)));
    let new = Artifact::folder(&new);
    let error = world.get(&new).expect_err("edited");
    let ReceiveError::Edited { paths, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(paths.listed, ["a"]);
    assert_eq!(world.found(), before);

    let mut request = world.request(&new);
    request.force = true;
    world.get_as(&new, request).expect("forced");
    assert_eq!(world.found()[&path("a")], Thing::File(noise(9, 100)));
}

#[test]
fn an_error_lists_twenty_paths_and_counts_the_rest() {
    let world = World::new();
    let many: Things = (0..50)
        .map(|n| (path(&format!("{n:02}")), Thing::File(noise(n, 100))))
        .collect();
    world.get(&Artifact::folder(&many)).expect("received");
    for n in 0..50 {
        world.put(&format!("{n:02}"), b"edited");
    }
    let new: Things = (0..50)
        .map(|n| (path(&format!("{n:02}")), Thing::File(noise(n + 50, 100))))
        .collect();
    let error = world.get(&Artifact::folder(&new)).expect_err("edited");
    let text = error.to_string();
    assert!(text.ends_with("17, 18, 19 and 30 more"), "{text}");
}

#[test]
fn a_file_that_has_the_right_bytes_already_is_no_conflict() {
    let world = World::new();
    world.get(&Artifact::folder(&folder())).expect("received");
    let mut new = folder();
    new.insert(path("a"), Thing::File(noise(9, 100)));
    // The user made the same change by hand.
    world.put("a", &noise(9, 100));
    let (_, sent) = world.get(&Artifact::folder(&new)).expect("received");
    assert_eq!(sent, 0);
    assert_eq!(world.found(), new);
}

#[test]
fn a_lone_file_never_replaces_a_folder_nor_a_folder_a_file() {
    let world = World::new();
    world.put("x", b"x");
    let error = world
        .get(&Artifact::file("f", noise(1, 10)))
        .expect_err("a folder stands there");
    assert!(matches!(error, ReceiveError::WrongShape { .. }), "{error}");

    let world = World::new();
    world
        .root(&world.base)
        .open(Path::new("dest"), OpenMode::CreateNew)
        .expect("a file");
    let error = world
        .get(&Artifact::folder(&folder()))
        .expect_err("a file stands there");
    assert!(matches!(error, ReceiveError::WrongShape { .. }), "{error}");
}

#[test]
fn a_lone_file_of_the_user_is_replaced_only_by_force() {
    let world = World::new();
    let root = world.root(&world.base);
    let file = root.open(Path::new("dest"), OpenMode::CreateNew);
    file.expect("a file")
        .write_at(0, b"precious")
        .expect("room");
    let artifact = Artifact::file("f", noise(1, 10));
    let error = world.get(&artifact).expect_err("it is the user's");
    assert!(matches!(error, ReceiveError::Edited { .. }), "{error}");
    assert_eq!(read(&*root, Path::new("dest")), b"precious");
    assert_eq!(root.list(Path::new("")).expect("readable").len(), 2);

    let mut request = world.request(&artifact);
    request.force = true;
    world.get_as(&artifact, request).expect("forced");
    assert_eq!(read(&*root, Path::new("dest")), noise(1, 10));
}

#[test]
fn a_destination_inside_the_store_is_refused() {
    let world = World::new();
    let artifact = Artifact::folder(&folder());
    for inside in ["home", "home/x/y"] {
        let mut request = world.request(&artifact);
        request.dest = world.base.join(inside);
        let error = world.get_as(&artifact, request).expect_err("the store's");
        assert!(matches!(error, ReceiveError::InsideStore { .. }), "{error}");
    }
}

#[test]
fn a_destination_that_is_a_symlink_is_what_it_points_to() {
    let world = World::new();
    let root = world.root(&world.base);
    root.create_dir(Path::new("real")).expect("room");
    root.symlink("real", Path::new("dest")).expect("room");
    let artifact = Artifact::folder(&folder());
    world.get(&artifact).expect("received");
    let mut things = Things::new();
    collect(&*world.root(&world.base.join("real")), "", &mut things);
    assert_eq!(things, folder());
}

#[test]
fn two_receives_never_write_to_one_destination() {
    let world = World::new();
    let artifact = Artifact::folder(&folder());
    world.announce(&artifact);
    let first = world.receive(world.request(&artifact)).expect("begun");
    first.next().expect("begun");
    let second = world.receive(world.request(&artifact)).expect("known");
    let error = second.next().expect_err("the first holds it");
    assert!(
        matches!(error, ReceiveError::DestinationBusy { .. }),
        "{error}"
    );
}
