//! Packs that are mostly dead.
//!
//! Owns: which packs are worth rewriting, and moving what is alive in them. Refuses: to decide
//! what is alive; whatever the index points to is.
//!
//! What is alive is appended to the pack that is written now, the commit that says so is
//! durable, and only then the old pack is removed.

use std::collections::{BTreeMap, HashMap, HashSet};

use shoal_protocol::id::{ChunkId, PageId};

use super::{CollectError, Collected};
use crate::index::{AudienceId, Changes, Extent, PackSpot, View};
use crate::progress::Progress;
use crate::{Store, StoreError, rebuild};

/// A pack is rewritten if less than this part of it is alive.
const ALIVE_PERCENT_MIN: u64 = 50;
/// What a record takes beyond its bytes, roughly: its header, or its place in a run's table.
const RECORD_OVERHEAD: u64 = 48;
/// Packs that are rewritten at a time, so that the lists of what is in them stay small.
const PACKS_MAX: usize = 8;

/// Rewrites or removes packs that are mostly dead.
pub(super) fn repack(
    store: &Store,
    progress: &dyn Progress,
    collected: &mut Collected,
) -> Result<(), CollectError> {
    let victims = victims(&store.view())?;
    for victims in victims.chunks(PACKS_MAX) {
        if progress.cancelled() {
            return Err(CollectError::Cancelled);
        }
        let mut retired = HashMap::new();
        for (number, length) in victims {
            // What is still being written to is left for the next time.
            if store.inner().packs.retire(*number)? {
                retired.insert(*number, *length);
            }
        }
        let numbers = retired.keys().copied().collect();
        for (number, alive) in alive_in(&store.view(), &numbers)? {
            let length = retired.remove(&number).unwrap_or(0);
            rewrite(store, number, length, alive, collected)?;
        }
        for (number, length) in retired {
            rewrite(store, number, length, Vec::new(), collected)?;
        }
    }
    Ok(())
}

/// Packs that are mostly dead, with their lengths.
fn victims(view: &View) -> Result<Vec<(u32, u64)>, StoreError> {
    let mut alive: HashMap<u32, u64> = HashMap::new();
    for chunk in view.chunks()? {
        let (_, row) = chunk?;
        for extent in &row.extents {
            if let Extent::Pack(spot) = extent {
                *alive.entry(spot.pack).or_default() += u64::from(row.length) + RECORD_OVERHEAD;
            }
        }
    }
    for page in view.pages()? {
        let (_, spot, length) = page?;
        *alive.entry(spot.pack).or_default() += u64::from(length) + RECORD_OVERHEAD;
    }
    let mut packs = view.packs()?;
    packs.retain(|(number, length)| {
        let alive = alive.get(number).copied().unwrap_or(0);
        alive.saturating_mul(100) < length.saturating_mul(ALIVE_PERCENT_MIN)
    });
    Ok(packs)
}

/// Something alive in a pack.
enum Alive {
    Chunk(ChunkId, AudienceId),
    Page(PageId),
}

/// A living record: where its bytes are, how many, and what they are.
type Living = (PackSpot, u32, Alive);

/// What lives in these packs, in the order of its bytes.
fn alive_in(view: &View, packs: &HashSet<u32>) -> Result<BTreeMap<u32, Vec<Living>>, StoreError> {
    let mut alive: BTreeMap<u32, Vec<Living>> = BTreeMap::new();
    for chunk in view.chunks()? {
        let (id, row) = chunk?;
        let audience = row.audiences.first().copied().unwrap_or(AudienceId::SELF);
        for extent in &row.extents {
            if let Extent::Pack(spot) = extent
                && packs.contains(&spot.pack)
            {
                let living = (*spot, row.length, Alive::Chunk(id, audience));
                alive.entry(spot.pack).or_default().push(living);
            }
        }
    }
    for page in view.pages()? {
        let (id, spot, length) = page?;
        if packs.contains(&spot.pack) {
            let living = (spot, length, Alive::Page(id));
            alive.entry(spot.pack).or_default().push(living);
        }
    }
    for living in alive.values_mut() {
        living.sort_unstable_by_key(|(spot, ..)| *spot);
    }
    Ok(alive)
}

/// Moves what is alive out of a pack and removes it.
fn rewrite(
    store: &Store,
    number: u32,
    length: u64,
    alive: Vec<Living>,
    collected: &mut Collected,
) -> Result<(), StoreError> {
    let batch = store.begin();
    let mut bytes = Vec::new();
    for (spot, length, alive) in alive {
        bytes.resize(length as usize, 0);
        let whole = store.inner().packs.files().read(spot, &mut bytes)?;
        match alive {
            Alive::Chunk(id, audience) => {
                batch.drop_extent(&id, Extent::Pack(spot));
                if whole && ChunkId::of(&bytes) == id {
                    batch.append_run(&[(id, length)], &bytes, audience)?;
                    collected.bytes_moved += u64::from(length);
                }
            }
            Alive::Page(id) => {
                batch.forget_page(&id);
                if whole && PageId::of(&bytes) == id {
                    batch.put_page(&id, &bytes)?;
                    collected.bytes_moved += u64::from(length);
                }
            }
        }
    }
    carry_rows_over(store)?;
    batch.forget_pack(number);
    batch.commit(true)?;
    collected.packs += 1;
    collected.bytes_freed += length;
    Ok(())
}

/// Has the rows written again that packs keep a copy of for a rebuild: the only copy may be in
/// the pack that goes. They are few. The gate is closed so that no newer copy comes first.
fn carry_rows_over(store: &Store) -> Result<(), StoreError> {
    let _closed = store.leases().close();
    let view = store.view();
    let mut rows = Changes::default();
    for row in view.snapshots()? {
        rows.snapshots.insert(row.id(), Some(row));
    }
    for (id, bytes) in view.versions()? {
        rows.versions.insert(id, Some(bytes));
    }
    rows.heads.extend(view.artifacts()?);
    rebuild::append_rows(&rows, &view, &store.inner().packs)
}
