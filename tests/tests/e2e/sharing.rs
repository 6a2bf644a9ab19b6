//! One shares, another gets.

use std::path::Path;
use std::process::Command;

use shoal_tests::data;
use shoal_tests::shoal::Home;

/// Asserts that two trees are the same in names, bytes, links and executable bits.
pub(crate) fn assert_same_tree(a: &Path, b: &Path) {
    let diff = Command::new("diff")
        .args(["-r", "--no-dereference"])
        .arg(a)
        .arg(b)
        .output()
        .expect("diff runs");
    assert!(
        diff.status.success(),
        "{}",
        String::from_utf8_lossy(&diff.stdout)
    );
    let modes = |root: &Path| {
        let output = Command::new("find")
            .args([
                ".", "-type", "f", "-perm", "-u+x", "-o", "-type", "l", "-o", "-type", "d",
            ])
            .current_dir(root)
            .output()
            .expect("find runs");
        let mut lines: Vec<_> = output
            .stdout
            .split(|b| *b == b'\n')
            .map(<[u8]>::to_vec)
            .collect();
        lines.sort();
        lines
    };
    if a.is_dir() {
        assert_eq!(modes(a), modes(b), "kinds or executable bits differ");
    }
}

#[test]
fn a_folder_with_every_oddity_arrives_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("odd things");
    data::write_oddities(&source).unwrap();
    let (alice, bob) = (Home::new(), Home::new());
    let (ticket, _sharer) = alice.share(&source);
    let copy = dir.path().join("copy");
    bob.run(&["get", &ticket, copy.to_str().unwrap()]).ok();
    assert_same_tree(&source, &copy);
    let sparse = shoal_tests::shoal::disk_bytes(&copy.join("sparse"));
    assert!(
        sparse < 1 << 20,
        "a hole came out as {sparse} bytes on disk"
    );
}

#[test]
fn a_shared_file_becomes_dest_or_lands_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("weights.bin");
    std::fs::write(&source, data::bytes("weights", 5 << 20)).unwrap();
    let (alice, bob) = (Home::new(), Home::new());
    let (ticket, _sharer) = alice.share(&source);
    let named = dir.path().join("model.bin");
    bob.run(&["get", &ticket, named.to_str().unwrap()]).ok();
    assert_same_tree(&source, &named);
    let folder = dir.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    bob.run(&["get", &ticket, folder.to_str().unwrap()]).ok();
    assert_same_tree(&source, &folder.join("weights.bin"));
}

#[test]
fn without_dest_the_artifact_gets_its_own_name() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("lab-data");
    data::Folder {
        seed: 1,
        files: 20,
        bytes: 1 << 20,
    }
    .write(&source)
    .unwrap();
    let (alice, bob) = (Home::new(), Home::new());
    let (ticket, _sharer) = alice.share(&source);
    let here = dir.path().join("here");
    std::fs::create_dir(&here).unwrap();
    let status = bob
        .command(&["get", &ticket])
        .current_dir(&here)
        .status()
        .unwrap();
    assert!(status.success());
    assert_same_tree(&source, &here.join("lab-data"));
}

#[test]
fn share_prints_exactly_one_line_on_stdout() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("f");
    std::fs::write(&source, b"hello").unwrap();
    let alice = Home::new();
    let (ticket, sharer) = alice.share(&source);
    assert!(ticket.starts_with("shoal1"), "{ticket}");
    sharer.signal(rustix::process::Signal::INT);
    let finished = sharer.wait();
    assert_eq!(finished.stdout, "", "nothing behind the ticket");
}

#[test]
fn a_getter_serves_on_after_the_sharer_left() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("data");
    data::Folder {
        seed: 2,
        files: 50,
        bytes: 8 << 20,
    }
    .write(&source)
    .unwrap();
    let (alice, bob, carol) = (Home::new(), Home::new(), Home::new());
    let (ticket, sharer) = alice.share(&source);
    let at_bob = dir.path().join("bob");
    bob.run(&["get", &ticket, at_bob.to_str().unwrap()]).ok();
    sharer.kill();
    let (ticket, _sharer) = bob.share(&at_bob);
    let at_carol = dir.path().join("carol");
    carol
        .run(&["get", &ticket, at_carol.to_str().unwrap()])
        .ok();
    assert_same_tree(&source, &at_carol);
}

#[test]
fn a_ticket_can_come_from_stdin() {
    use std::io::Write;
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("f");
    std::fs::write(&source, b"hello").unwrap();
    let (alice, bob) = (Home::new(), Home::new());
    let (ticket, _sharer) = alice.share(&source);
    let copy = dir.path().join("copy");
    let mut child = bob
        .command(&["get", "-", copy.to_str().unwrap()])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(child.stdin.take().unwrap(), "{ticket}").unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(std::fs::read(copy).unwrap(), b"hello");
}

#[test]
fn a_read_only_source_is_never_written_to() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("data");
    data::Folder {
        seed: 3,
        files: 20,
        bytes: 1 << 20,
    }
    .write(&source)
    .unwrap();
    let before = listing(&source);
    for path in [source.join("class000"), source.clone()] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o555)).unwrap();
    }
    let (alice, bob) = (Home::new(), Home::new());
    let (ticket, _sharer) = alice.share(&source);
    bob.run(&["get", &ticket, dir.path().join("copy").to_str().unwrap()])
        .ok();
    assert_eq!(listing(&source), before);
}

/// Names, sizes and modification times of everything beneath a folder.
fn listing(root: &Path) -> Vec<String> {
    let output = Command::new("find")
        .args([".", "-printf", "%p %s %T@\n"])
        .current_dir(root)
        .output()
        .unwrap();
    let mut lines: Vec<_> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect();
    lines.sort();
    lines
}
