//! What moves when an edited artifact is fetched by someone who has the old version.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use shoal_protocol::chunking::{PROFILE_1, cuts};
use shoal_protocol::id::ChunkId;
use shoal_tests::shoal::binary;

use crate::sets::{self, Sets};
use crate::transfer::share;

/// Prints a row for each data set.
pub fn run(sets: &Sets) -> io::Result<()> {
    println!("\n### Bytes on the wire for an edit\n");
    println!("| what | really new MB | new chunks MB | moved MB | × new | × new chunks |");
    println!("|---|---|---|---|---|---|");
    edited(
        sets,
        "2 GiB model, 10 % of tensors rewritten, one inserted",
        &sets.model,
        |work| sets.model_spec.write_edited(work),
    )?;
    edited(
        sets,
        "20,000 files: 2 % changed, 1 % added, removed, renamed",
        &sets.folder,
        |work| sets.folder_spec.edit(work),
    )?;
    edited(
        sets,
        "512 MiB CSV, 3,000 rows inserted",
        &sets.csv,
        |work| sets.csv_spec.write_with_rows(&sets.csv, work, 3000),
    )
}

fn edited(
    sets: &Sets,
    what: &str,
    source: &Path,
    edit: impl FnOnce(&PathBuf) -> io::Result<u64>,
) -> io::Result<()> {
    let dir = sets.fresh("edits")?;
    let work = dir.join("work");
    Command::new("cp")
        .arg("-r")
        .arg(source)
        .arg(&work)
        .status()?;
    let (home, reader, copy) = (dir.join("home"), dir.join("reader"), dir.join("copy"));
    let (ticket, sharer) = share(&home, &work)?;
    get(&reader, &ticket, &copy)?;
    drop(sharer);
    let fresh = edit(&work)?;
    let (ticket, sharer) = share(&home, &work)?;
    let moved = get(&reader, &ticket, &copy)?;
    drop(sharer);
    let same = Command::new("diff")
        .arg("-r")
        .arg(&work)
        .arg(&copy)
        .status()?;
    if !same.success() {
        return Err(io::Error::other(
            "what was got differs from what was shared",
        ));
    }
    let chunks = new_chunk_bytes(source, &work)?;
    println!(
        "| {what} | {:.2} | {:.2} | {:.2} | {:.3} | {:.3} |",
        fresh as f64 / 1e6,
        chunks as f64 / 1e6,
        moved as f64 / 1e6,
        moved as f64 / fresh as f64,
        moved as f64 / chunks as f64
    );
    sets::remove(&sets.scratch)
}

/// Gets and gives the socket payload in both directions.
fn get(home: &Path, ticket: &str, to: &Path) -> io::Result<u64> {
    let output = Command::new(binary())
        .env("SHOAL_HOME", home)
        .args(["--json", "--progress", "none", "get", ticket])
        .arg(to)
        .output()?;
    if !output.status.success() {
        return Err(io::Error::other(
            String::from_utf8_lossy(&output.stderr).into_owned(),
        ));
    }
    let said: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let wire = |field: &str| {
        said[field]
            .as_u64()
            .unwrap_or_else(|| panic!("get --json has no {field}: {said}"))
    };
    Ok(wire("wire_in") + wire("wire_out"))
}

/// Bytes of the chunks that `new` has and `old` has not, each counted once.
fn new_chunk_bytes(old: &Path, new: &Path) -> io::Result<u64> {
    let mut known = HashMap::new();
    chunks(old, &mut known)?;
    let before: u64 = known.values().sum();
    chunks(new, &mut known)?;
    Ok(known.values().sum::<u64>() - before)
}

fn chunks(path: &Path, known: &mut HashMap<ChunkId, u64>) -> io::Result<()> {
    if path.is_dir() {
        for entry in std::fs::read_dir(path)? {
            chunks(&entry?.path(), known)?;
        }
        return Ok(());
    }
    let bytes = std::fs::read(path)?;
    for range in cuts(&PROFILE_1, &bytes, bytes.len()) {
        let chunk = &bytes[range];
        known.insert(ChunkId::of(chunk), chunk.len() as u64);
    }
    Ok(())
}
