//! The house rules that the compiler does not keep.

#![allow(missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests lies in the workspace")
        .to_owned()
}

fn rust_files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten() {
        let path = entry.expect("a listing").path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// The product's sources of a crate: its `src` without the modules that only tests have.
fn sources(crate_dir: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    rust_files(&workspace().join(crate_dir).join("src"), &mut found);
    found.retain(|file| !is_for_tests(file));
    assert!(!found.is_empty(), "no sources in {crate_dir}");
    found
}

fn is_for_tests(file: &Path) -> bool {
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    let dirs = file.parent().into_iter().flat_map(Path::components);
    name == "tests"
        || name.ends_with("_tests")
        || dirs
            .map(|dir| dir.as_os_str().to_string_lossy())
            .any(|dir| dir == "tests" || dir.ends_with("_tests") || dir == "simulation")
}

/// Lines of code with what is forbidden in them; comment lines do not count.
fn lines_with(files: &[PathBuf], forbidden: &[&str]) -> Vec<String> {
    let mut hits = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(file).expect("sources are text");
        for (number, line) in text.lines().enumerate() {
            let code = line.trim_start();
            if code.starts_with("//") {
                continue;
            }
            if let Some(word) = forbidden.iter().find(|word| code.contains(**word)) {
                hits.push(format!(
                    "{}:{}: `{word}`: {code}",
                    file.display(),
                    number + 1
                ));
            }
        }
    }
    hits
}

#[test]
fn protocol_has_no_io_clock_runtime_or_chance() {
    let forbidden = [
        "tokio",
        "std::fs",
        "std::net",
        "std::thread",
        "Instant::now",
        "SystemTime::now",
        "rand::",
        "thread_rng",
        "getrandom",
        "std::env",
        "println!",
        "eprintln!",
    ];
    let hits = lines_with(&sources("protocol"), &forbidden);
    assert!(hits.is_empty(), "{}", hits.join("\n"));
}

#[test]
fn the_search_for_forbidden_words_finds_them() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("bad.rs");
    std::fs::write(&file, "// Instant::now in prose\nlet t = Instant::now();\n").expect("written");
    assert_eq!(lines_with(&[file], &["Instant::now"]).len(), 1);
}

#[test]
fn store_touches_files_only_through_its_disk() {
    let product: Vec<_> = sources("store")
        .into_iter()
        .filter(|file| !file.ends_with("disk/real.rs"))
        .filter(|file| !file.components().any(|c| c.as_os_str() == "real"))
        .collect();
    let hits: Vec<_> = lines_with(
        &product,
        &[
            "std::fs::",
            "File::open",
            "File::create",
            "tokio",
            "std::net",
        ],
    )
    .into_iter()
    .filter(|hit| !hit.contains("DiskFile::"))
    .collect();
    assert!(hits.is_empty(), "{}", hits.join("\n"));
}

#[test]
fn only_the_codec_names_bincodes_functions() {
    let mut hits = Vec::new();
    for dir in ["protocol", "store", "control", "node", "cli"] {
        let files: Vec<_> = sources(dir)
            .into_iter()
            .filter(|f| !f.ends_with("codec.rs"))
            .collect();
        hits.extend(lines_with(
            &files,
            &[
                "bincode::encode",
                "bincode::decode_from",
                "bincode::config",
                "bincode::serde",
            ],
        ));
    }
    assert!(hits.is_empty(), "{}", hits.join("\n"));
}

/// The table in docs/ARCHITECTURE.md: `| crate | may use | … |`.
fn arrows_on_the_page() -> BTreeMap<String, BTreeSet<String>> {
    let page = std::fs::read_to_string(workspace().join("docs/ARCHITECTURE.md")).expect("the page");
    let mut arrows = BTreeMap::new();
    for line in page.lines() {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        if let ["", name, uses, _, ""] = cells[..]
            && name.starts_with('`')
            && name.contains("shoal")
        {
            let names = |text: &str| -> BTreeSet<String> {
                text.split('`')
                    .skip(1)
                    .step_by(2)
                    .map(str::to_owned)
                    .collect()
            };
            arrows.extend(names(name).into_iter().map(|name| (name, names(uses))));
        }
    }
    arrows
}

#[test]
fn crates_depend_on_each_other_as_the_architecture_page_says() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(workspace())
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let ours: BTreeSet<&str> = packages.iter().filter_map(|p| p["name"].as_str()).collect();
    let mut arrows = BTreeMap::new();
    for package in packages {
        let uses: BTreeSet<String> = package["dependencies"]
            .as_array()
            .expect("dependencies")
            .iter()
            .filter_map(|d| d["name"].as_str())
            .filter(|name| ours.contains(name))
            .map(str::to_owned)
            .collect();
        arrows.insert(package["name"].as_str().expect("a name").to_owned(), uses);
    }
    assert_eq!(arrows, arrows_on_the_page());
}

/// The public fields of a struct of the API.
fn fields_of(name: &str) -> Vec<String> {
    let mut files = Vec::new();
    rust_files(&workspace().join("node/src/api/types"), &mut files);
    let head = format!("pub struct {name} {{\n");
    let text = (files.iter())
        .map(|file| std::fs::read_to_string(file).expect("sources are text"))
        .find(|text| text.contains(&head))
        .unwrap_or_else(|| panic!("no {name} in the API"));
    let (_, body) = text.split_once(&head).expect("just found");
    let (body, _) = body.split_once("\n}").expect("a struct ends");
    let field = |line: &str| line.trim().strip_prefix("pub ")?.split_once(':').map(first);
    body.lines().filter_map(field).collect()
}

fn first((first, _): (&str, &str)) -> String {
    first.to_owned()
}

#[test]
fn every_field_that_json_has_is_in_the_table_of_its_command() {
    let page = std::fs::read_to_string(workspace().join("docs/cli.md")).expect("it is there");
    let row = |command: &str| {
        let begins = format!("| {command} |");
        let mut rows = page.lines().filter(|line| line.starts_with(&begins));
        rows.next()
            .unwrap_or_else(|| panic!("no row for {command}"))
    };
    let mut missing = Vec::new();
    for (command, structs) in [
        ("`add`", &["Added"][..]),
        ("`share`", &["Shared"]),
        ("`get`", &["Got"]),
        ("`ls`", &["SnapshotInfo"]),
        ("`ls WHAT`", &["LsEntry"]),
        ("`du`", &["Du", "DuRow", "StoreUsage"]),
        ("`diff`", &["Difference"]),
        ("`verify`", &["Problem"]),
        (
            "`up`, `status`",
            &[
                "Status",
                "ShareInfo",
                "Activity",
                "Risk",
                "ControlStatus",
                "AdvertStatus",
            ],
        ),
        ("`peers`", &["PeerInfo", "LinkInfo"]),
        ("`whereis`", &["Whereis", "Holder"]),
        ("`team invite`", &["Invited"]),
        (
            "`team members`, `join`, `revoke`, `admin`, `leave`",
            &["TeamInfo", "MemberInfo"],
        ),
        ("`progress`", &["Progress"]),
        ("`note`", &["Note"]),
    ] {
        let said: BTreeSet<_> = row(command)
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .collect();
        let fields = structs.iter().flat_map(|name| fields_of(name));
        let unsaid = fields.filter(|field| !said.contains(field.as_str()));
        missing.extend(unsaid.map(|field| format!("{command}: {field}")));
    }
    assert!(missing.is_empty(), "docs/cli.md leaves out {missing:#?}");
}

#[test]
fn every_source_file_opens_with_what_it_owns() {
    let mut silent = Vec::new();
    for dir in ["protocol", "store", "control", "node", "cli"] {
        for file in sources(dir) {
            let text = std::fs::read_to_string(&file).expect("sources are text");
            if !text.starts_with("//!") {
                silent.push(file.display().to_string());
            }
        }
    }
    assert!(
        silent.is_empty(),
        "no opening prose:\n{}",
        silent.join("\n")
    );
}

#[test]
fn no_work_is_left_for_later() {
    let mut hits = Vec::new();
    for dir in ["protocol", "store", "control", "node", "cli"] {
        hits.extend(lines_with(
            &sources(dir),
            &[
                concat!("todo", "!("),
                concat!("unimplemented", "!("),
                concat!("#[ig", "nore"),
            ],
        ));
    }
    assert!(hits.is_empty(), "{}", hits.join("\n"));
}
