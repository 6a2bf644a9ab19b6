//! `add` beside copying and beside the tools that version data.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use shoal_tests::shoal::binary;

use crate::contender::{Cost, installed, time};
use crate::report::{self, Contender};
use crate::sets::{self, Sets};

/// Prints the two tables: the file and the folder.
pub fn run(sets: &Sets, rounds: usize, quick: bool) -> io::Result<()> {
    sets::warm(&sets.model)?;
    sets::warm(&sets.folder)?;
    file(sets, rounds, quick)?;
    folder(sets, rounds, quick)
}

fn file(sets: &Sets, rounds: usize, quick: bool) -> io::Result<()> {
    let source = &sets.model;
    let mut contenders = vec![
        contender("cp", move || {
            let to = sets.fresh("cp")?;
            sets::settle(&to)?;
            time(Command::new("cp").arg(source).arg(to.join("copy")))
        }),
        contender("shoal add --in-place", move || {
            add(&sets.fresh("home")?, source, &["--in-place"])
        }),
        contender("dd conv=fsync", move || {
            let to = sets.fresh("dd")?;
            sets::settle(&to)?;
            let to = to.join("copy");
            time(
                Command::new("dd")
                    .arg(format!("if={}", source.display()))
                    .arg(format!("of={}", to.display()))
                    .args(["bs=4M", "conv=fsync"]),
            )
        }),
        contender("shoal add", move || add(&sets.fresh("home")?, source, &[])),
    ];
    if !quick {
        contenders.extend(versioning_tools(sets, source));
    }
    let rows = report::interleave(&mut contenders, rounds)?;
    report::print("Ingest of the 2 GiB file", &rows, &["cp", "dd conv=fsync"]);
    clean(sets)
}

fn folder(sets: &Sets, rounds: usize, quick: bool) -> io::Result<()> {
    let source = &sets.folder;
    let again = sets.fresh("home-again")?;
    add(&again, source, &[])?;
    let mut contenders = vec![
        contender("cp -r, sync -f", move || {
            let to = sets.unused("cp")?;
            sets::settle(&to)?;
            let script = "cp -r \"$0\" \"$1/copy\" && sync -f \"$1\"";
            time(Command::new("sh").args(["-c", script]).arg(source).arg(to))
        }),
        contender("shoal add", move || add(&sets.fresh("home")?, source, &[])),
        contender("shoal add, nothing changed", move || {
            add(&again, source, &[])
        }),
    ];
    if !quick {
        contenders.extend(versioning_tools(sets, source));
    }
    let rows = report::interleave(&mut contenders, rounds)?;
    report::print(
        "Ingest of the folder (20,000 files, 1 GiB)",
        &rows,
        &["cp -r, sync -f"],
    );
    clean(sets)
}

fn contender<'a>(name: &str, run: impl FnMut() -> io::Result<Cost> + 'a) -> Contender<'a> {
    Contender {
        name: name.to_owned(),
        run: Box::new(run),
    }
}

fn add(home: &Path, source: &Path, flags: &[&str]) -> io::Result<Cost> {
    sets::settle(home)?;
    time(
        Command::new(binary())
            .env("SHOAL_HOME", home)
            .args(["--progress", "none", "add"])
            .args(flags)
            .arg(source),
    )
}

/// The versioning tools that are installed, each into a repository of its own.
fn versioning_tools<'a>(sets: &'a Sets, source: &'a PathBuf) -> Vec<Contender<'a>> {
    let mut tools = Vec::new();
    for (name, program, script) in [
        (
            "borg",
            "borg",
            "borg init -e none \"$1/repo\" && borg create -C none \"$1/repo::a\" \"$0\"",
        ),
        (
            "restic",
            "restic",
            "export RESTIC_PASSWORD=x; restic -q init -r \"$1/repo\" && restic -q -r \"$1/repo\" backup \"$0\"",
        ),
        (
            "dvc add",
            "dvc",
            "cd \"$1\" && cp -r \"$0\" data && git init -q && dvc -q init && dvc -q add data",
        ),
    ] {
        if installed(program) {
            tools.push(contender(name, move || {
                let to = sets.fresh("tool")?;
                sets::settle(&to)?;
                time(Command::new("sh").args(["-c", script]).arg(source).arg(to))
            }));
        } else {
            eprintln!("  {name} is not installed");
        }
    }
    tools
}

fn clean(sets: &Sets) -> io::Result<()> {
    sets::remove(&sets.scratch)
}
