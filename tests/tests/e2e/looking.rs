//! Looking inside artifacts, here and elsewhere.

use shoal_tests::data;
use shoal_tests::shoal::Home;

#[test]
fn a_remote_file_can_be_read_from_any_offset_without_a_get() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("big.bin");
    let content = data::bytes("big", 20 << 20);
    std::fs::write(&source, &content).unwrap();
    let (alice, bob) = (Home::new(), Home::new());
    let (ticket, _sharer) = alice.share(&source);
    for offset in [0, 1, 65_536, 12_345_678, (20 << 20) - 1] {
        let output = bob
            .command(&[
                "cat",
                &ticket,
                "--offset",
                &offset.to_string(),
                "--length",
                "100000",
            ])
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let end = (offset + 100_000).min(content.len());
        assert!(
            output.stdout == content[offset..end],
            "wrong bytes at {offset}"
        );
    }
}

#[test]
fn ls_and_du_show_what_is_shared() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("data");
    std::fs::create_dir_all(source.join("sub")).unwrap();
    std::fs::write(source.join("sub/one"), b"1").unwrap();
    std::fs::write(source.join("two"), b"22").unwrap();
    let (alice, bob) = (Home::new(), Home::new());
    let (ticket, _sharer) = alice.share(&source);
    let listed = bob.run(&["ls", &ticket]).ok().stdout;
    assert!(listed.contains("sub") && listed.contains("two"), "{listed}");
    bob.run(&["du", &ticket]).ok();
}

#[test]
fn diff_ends_with_code_3_when_two_states_differ() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("data");
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("same"), b"same").unwrap();
    std::fs::write(source.join("edited"), b"before").unwrap();
    std::fs::write(source.join("old name"), b"renamed").unwrap();
    let home = Home::new();
    let path = source.to_str().unwrap();
    let before = home.run(&["add", path]).ok().stdout.trim().to_owned();
    std::fs::write(source.join("edited"), b"after!").unwrap();
    std::fs::rename(source.join("old name"), source.join("new name")).unwrap();
    let after = home.run(&["add", path]).ok().stdout.trim().to_owned();
    assert_ne!(before, after);
    assert_eq!(home.run(&["diff", &before, &before]).code(), 0);
    let diff = home.run(&["diff", &before, &after]);
    assert_eq!(diff.code(), 3, "{diff:?}");
    assert_eq!(diff.stdout, "M edited\nR old name -> new name\n");
    assert!(
        diff.stderr.contains("1 modified, 1 renamed"),
        "{}",
        diff.stderr
    );
}

#[test]
fn a_name_leads_to_its_versions() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("data");
    std::fs::create_dir(&source).unwrap();
    let home = Home::new();
    let path = source.to_str().unwrap();
    std::fs::write(source.join("f"), b"one").unwrap();
    home.run(&["add", path, "--name", "lab/set", "-m", "first"])
        .ok();
    std::fs::write(source.join("f"), b"two!").unwrap();
    home.run(&["add", path, "--name", "lab/set", "-m", "second"])
        .ok();
    assert_eq!(home.run(&["cat", "lab/set@v1:f"]).ok().stdout, "one");
    assert_eq!(home.run(&["cat", "lab/set@v2:f"]).ok().stdout, "two!");
    assert_eq!(home.run(&["cat", "lab/set:f"]).ok().stdout, "two!");
    let copy = dir.path().join("v1");
    home.run(&["get", "lab/set@v1", copy.to_str().unwrap()])
        .ok();
    assert_eq!(std::fs::read(copy.join("f")).unwrap(), b"one");
}

#[test]
fn cat_asks_for_what_is_not_here_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("data.bin");
    let bytes = data::bytes("asked again", 1 << 20);
    std::fs::write(&source, &bytes).unwrap();
    let (alice, bob) = (Home::new(), Home::new());
    let (ticket, _sharer) = alice.share(&source);
    let copy = dir.path().join("copy");
    bob.run(&["get", &ticket, copy.to_str().unwrap()]).ok();
    std::fs::remove_file(&copy).unwrap();
    let shown = bob
        .command(&["cat", &ticket, "--offset", "1000"])
        .output()
        .unwrap();
    assert!(shown.status.success(), "{shown:?}");
    assert!(shown.stdout == bytes[1000..]);
}
