//! Times adding a big file and a folder of small ones, beside `cp` of the same.
//!
//! `cargo run --release -p shoal-store --example ingest_bench -- DIR [MIB] [FILES]`
//! makes its data in DIR (deterministic), a fresh store for each run, and prints seconds.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use shoal_store::disk::real::RealDisk;
use shoal_store::ingest::{AddMode, AddRequest};
use shoal_store::progress::Silent;
use shoal_store::{Store, StoreOptions};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let dir = PathBuf::from(arguments.next().ok_or("which directory?")?);
    let mib: usize = arguments.next().map_or(Ok(2048), |text| text.parse())?;
    let files: usize = arguments.next().map_or(Ok(20_000), |text| text.parse())?;
    let file = dir.join("file/big");
    let folder = dir.join("folder");
    if !file.exists() {
        std::fs::create_dir_all(dir.join("file"))?;
        make_file(&file, 1, mib << 20)?;
    }
    if !folder.exists() {
        for i in 0..files {
            let sub = folder.join(format!("{:03}", i % 100));
            std::fs::create_dir_all(&sub)?;
            make_file(
                &sub.join(format!("{i}")),
                1000 + i as u64,
                (i % 4 * 2 + 1) * 13_421,
            )?;
        }
    }
    Command::new("sync").status()?;
    for round in 0..3 {
        println!("round {round}");
        time("cp file", || {
            shell(&format!("cp {file:?} {dir:?}/copy && rm {dir:?}/copy"))
        })?;
        add(&dir, &file, AddMode::InPlace, "in place, file")?;
        time("dd file conv=fsync", || {
            shell(&format!(
                "dd if={file:?} of={dir:?}/copy bs=4M conv=fsync status=none"
            ))
        })?;
        shell(&format!("rm {dir:?}/copy"))?;
        add(&dir, &file, AddMode::Keep, "keep, file")?;
        time("cp -r folder, sync -f", || {
            shell(&format!(
                "cp -r {folder:?} {dir:?}/copies && sync -f {dir:?}"
            ))
        })?;
        shell(&format!("rm -r {dir:?}/copies; sync -f {dir:?}"))?;
        add(&dir, &folder, AddMode::Keep, "keep, folder")?;
        add(&dir, &folder, AddMode::InPlace, "in place, folder")?;
    }
    Ok(())
}

/// Adds to a fresh store, twice.
fn add(dir: &Path, path: &Path, mode: AddMode, name: &str) -> Outcome<()> {
    let home = dir.join("home");
    if home.exists() {
        std::fs::remove_dir_all(&home)?;
        shell(&format!("sync -f {dir:?}"))?;
    }
    let request = AddRequest {
        path: path.to_owned(),
        all: false,
        mode,
        kept: true,
        audience: None,
    };
    for again in [name.to_owned(), format!("{name}, again")] {
        time(&again, || {
            let store = Store::open(RealDisk::shared(), &home, StoreOptions::default())?;
            store.add(&request, &Silent)?;
            Ok(store.close()?)
        })?;
    }
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find(|line| line.starts_with("VmHWM"));
    println!("{:>30}  {}", "", peak.unwrap_or_default());
    shell(&format!("du -sh --apparent-size {home:?}"))?;
    Ok(())
}

fn time(name: &str, run: impl FnOnce() -> Outcome<()>) -> Outcome<()> {
    let start = Instant::now();
    run()?;
    println!("{name:>30}  {:.3} s", start.elapsed().as_secs_f64());
    Ok(())
}

fn shell(command: &str) -> Outcome<()> {
    let status = Command::new("sh").arg("-c").arg(command).status()?;
    status.success().then_some(()).ok_or_else(|| command.into())
}

fn make_file(path: &Path, seed: u64, length: usize) -> Outcome<()> {
    let mut reader = blake3::Hasher::new()
        .update(&seed.to_le_bytes())
        .finalize_xof();
    let mut out = std::fs::File::create(path)?;
    let mut buffer = vec![0; 1 << 20];
    let mut left = length;
    while left > 0 {
        let part = left.min(buffer.len());
        reader.fill(&mut buffer[..part]);
        out.write_all(&buffer[..part])?;
        left -= part;
    }
    Ok(())
}
