//! Looking at what a power cut left.
//!
//! Owns: what each acknowledged step promises, and until when. Refuses: to put anything right.

use std::path::Path;

use shoal_protocol::manifest::{SnapshotCursor, Step as Walked};
use shoal_protocol::paged_list::ChunkRef;

use super::Moment;
use super::life::{GOT, LOOSE, Life, NAME, PLACED, Step, version};
use crate::check::VerifyScope;
use crate::index::{Coverage, Extent, FileClass, Origin, SnapshotRow};
use crate::progress::Silent;
use crate::receive::tests::artifact::{Artifact, Things, collect};
use crate::testing::HOME;

/// The snapshots that must be readable.
fn promised<'a>(life: &Life<'a>, now: Moment) -> Vec<&'a Artifact> {
    let tale = life.tale;
    let mut promised = Vec::new();
    let mut hold = |artifact, holds: bool| promised.extend(holds.then_some(artifact));
    let from = |step| now.is_done(step);
    let until = |step| !now.is_begun(step);
    hold(&tale.owned[0], from(Step::Add) && until(Step::Forget));
    hold(&tale.owned[1], from(Step::AddAgain));
    hold(&tale.placed, from(Step::AddInPlace));
    let kept = from(Step::KeepGot) || until(Step::UpdateSync);
    hold(&tale.got[0], from(Step::GetSync) && kept);
    hold(&tale.got[1], from(Step::UpdateSync));
    hold(&tale.loose, from(Step::Sync));
    promised
}

/// The folders that must stand as they are.
fn folders<'a>(life: &Life<'a>, now: Moment) -> Vec<(&'static str, &'a Things)> {
    let all = &life.tale.things;
    let mut folders = Vec::new();
    let mut hold = |at, things, holds: bool| folders.extend(holds.then_some((at, things)));
    let until = |step| !now.is_begun(step);
    hold(PLACED, &all.placed, now.is_done(Step::AddInPlace));
    let got = now.is_done(Step::GetSync) && until(Step::UpdateSync);
    hold(GOT, &all.got[0], got);
    hold(GOT, &all.got[1], now.is_done(Step::UpdateSync));
    hold(LOOSE, &all.loose, now.is_done(Step::Sync));
    folders
}

/// Everything that was acknowledged is there, byte for byte.
pub(super) fn check_promises(life: &Life<'_>, now: Moment) {
    let view = life.store.view();
    for artifact in promised(life, now) {
        let row = view.snapshot(&artifact.id()).unwrap();
        let row = row.expect("an acknowledged snapshot");
        assert_eq!(row.held, Coverage::Complete);
        // What was found after a cut and nobody knows whose it is is not offered.
        if matches!(row.origin, Origin::Added { .. }) {
            assert_eq!(row.offered, Coverage::Complete);
        }
        let read = check_bytes(life, &row, &row.held, artifact);
        assert_eq!(read, artifact.snapshot.bytes, "bytes were lost");
    }
    for (at, things) in folders(life, now) {
        let root = life.disk.shared().root(Path::new(at), false).unwrap();
        let mut found = Things::new();
        collect(&*root, "", &mut found);
        assert!(found == *things, "{at} is not as it was: {found:?}");
    }
    let heads = view.heads(NAME).unwrap();
    if now.is_done(Step::AddAgain) {
        assert_eq!(heads, [version(1)]);
    } else if now.is_done(Step::Add) {
        let allowed = [version(0), version(1)];
        let next = usize::from(now.is_begun(Step::AddAgain));
        assert!(heads.len() == 1 && allowed[..=next].contains(&heads[0]));
    }
    for head in heads {
        assert!(view.version(&head).unwrap().is_some());
    }
    if now.is_done(Step::Forget) {
        let forgotten = view.snapshot(&life.tale.owned[0].id()).unwrap();
        assert!(forgotten.is_none(), "a forgotten snapshot came back");
    }
}

/// Everything that is offered is there.
pub(super) fn check_offers(life: &Life<'_>) {
    for row in life.store.view().snapshots().unwrap() {
        let artifacts = life.tale.artifacts();
        let artifact = artifacts.into_iter().find(|known| known.id() == row.id());
        let artifact = artifact.expect("a snapshot that there is");
        check_bytes(life, &row, &row.offered, artifact);
    }
}

/// Reads these parts of a snapshot, and compares them; gives how many bytes they are.
fn check_bytes(life: &Life<'_>, row: &SnapshotRow, parts: &Coverage, artifact: &Artifact) -> u64 {
    let parts = parts.to_set(row.snapshot.bytes);
    let mut total = 0;
    for range in parts.iter() {
        let mut cursor = SnapshotCursor::new(&row.snapshot);
        cursor.seek(range.start);
        while let Some(step) = cursor.next(&life.store).expect("the pages are here") {
            let Walked::Chunk {
                position, chunk, ..
            } = step
            else {
                continue;
            };
            if position >= range.end {
                break;
            }
            let right = &artifact.bytes[position as usize..][..chunk.length as usize];
            check_chunk(life, &chunk, right);
            total += u64::from(chunk.length);
        }
    }
    total
}

/// A chunk is readable, and the store was not mistaken about its own places for it.
fn check_chunk(life: &Life<'_>, chunk: &ChunkRef, right: &[u8]) {
    let mut bytes = Vec::new();
    let found = life.store.read_chunk(&chunk.id, &mut bytes);
    let found = found.unwrap_or_else(|why| panic!("it is offered, but {why}"));
    assert!(bytes == right, "other bytes than were added");
    for extent in found.dropped {
        let Extent::File { file, .. } = extent else {
            panic!("a pack does not hold what it should");
        };
        let row = life.store.view().file(file).unwrap();
        let owned = row.is_some_and(|row| row.class == FileClass::Owned);
        assert!(!owned, "an owned file does not hold what it should");
    }
}

/// `verify` finds no damage in what is the store's own or was synced; and once it is through,
/// the store knows what it has.
pub(super) fn check_verify(life: &Life<'_>, now: Moment) {
    let verify = || life.store.verify(VerifyScope::All, &Silent).unwrap();
    let report = verify();
    let at_rest: Vec<_> = folders(life, now).into_iter().map(|(at, _)| at).collect();
    for damaged in &report.damaged.named {
        let own = damaged.path.starts_with(HOME);
        let synced = at_rest.iter().any(|at| damaged.path.starts_with(at));
        assert!(!own && !synced, "{damaged}");
    }
    let promised: Vec<_> = promised(life, now).iter().map(|a| a.id()).collect();
    for health in &report.snapshots {
        let whole = health.is_whole() || !promised.contains(&health.snapshot);
        assert!(whole, "{health:?}");
    }
    assert!(
        verify().damaged.is_empty(),
        "verify did not finish its work"
    );
    check_offers(life);
}
