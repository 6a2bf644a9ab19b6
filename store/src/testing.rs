//! Cutting the power at every operation of a workload.
//!
//! Owns: running a workload once on a disk that remembers what every operation would have
//! left, and what had been acknowledged by then; opening each of those disks again. Refuses:
//! to know what must hold; the test says so.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::disk::faulty::{Fate, FaultyDisk};
use crate::ingest::workers;
use crate::{Store, StoreOptions};

/// Where the store of a workload lies.
pub(crate) const HOME: &str = "/home/shoal";

/// What has been acknowledged, and when.
pub(crate) struct Acknowledged<A> {
    disk: FaultyDisk,
    all: Vec<(u64, A)>,
}

impl<A> Acknowledged<A> {
    /// Says that from now on `what` must survive a power cut.
    pub(crate) fn note(&mut self, what: A) {
        self.all.push((self.disk.operations(), what));
    }
}

/// How much was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tried {
    /// Operations in the midst of which the power was cut.
    pub(crate) cuts: usize,
    /// Disks that were opened again.
    pub(crate) disks: usize,
}

/// Opens the store of a workload.
pub(crate) fn open(disk: &FaultyDisk) -> Store {
    let options = StoreOptions {
        pack_buffer_bytes: 16 << 10,
        pack_bytes_max: 200 << 10,
        ..StoreOptions::default()
    };
    Store::open(disk.shared(), Path::new(HOME), options).expect("the store opens after a cut")
}

/// Runs `workload`, then shows `check` every disk that a power cut in the midst of one of its
/// operations could leave (for a few fates of what was not synced), with what had been
/// acknowledged before that operation began.
pub(crate) fn cut_everywhere<A: Sync>(
    workload: impl FnOnce(&FaultyDisk, &mut Acknowledged<A>),
    check: impl Fn(&FaultyDisk, &[&A]) + Sync,
) {
    cut_often(2, workload, check);
}

/// As [`cut_everywhere`]: what was not synced is lost, is kept, and is lost in part in as many
/// ways as `mixed` says.
pub(crate) fn cut_often<A: Sync>(
    mixed: u64,
    workload: impl FnOnce(&FaultyDisk, &mut Acknowledged<A>),
    check: impl Fn(&FaultyDisk, &[&A]) + Sync,
) -> Tried {
    let disk = FaultyDisk::new();
    let mut acknowledged = Acknowledged {
        disk: disk.clone(),
        all: Vec::new(),
    };
    disk.record();
    workload(&disk, &mut acknowledged);
    let images = disk.images();
    assert!(!images.is_empty(), "the workload does something");
    let next = AtomicUsize::new(0);
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(image) = images.get(number) else {
                return;
            };
            let before = number as u64;
            let by_then = acknowledged.all.iter().filter(|(at, _)| *at <= before);
            let by_then: Vec<&A> = by_then.map(|(_, what)| what).collect();
            for fate in fates(before, mixed) {
                let _told = TellOnPanic {
                    operation: before + 1,
                    fate,
                };
                check(&image.found(fate), &by_then);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 1..workers() {
            scope.spawn(work);
        }
        work();
    });
    Tried {
        cuts: images.len(),
        disks: images.len() * fates(0, mixed).count(),
    }
}

/// What may become of what was not synced: for every cut, other parts of it are lost.
fn fates(cut: u64, mixed: u64) -> impl Iterator<Item = Fate> {
    let seeds = cut * mixed..(cut + 1) * mixed;
    [Fate::Lost, Fate::Kept]
        .into_iter()
        .chain(seeds.map(Fate::Mixed))
}

struct TellOnPanic {
    operation: u64,
    fate: Fate,
}

impl Drop for TellOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            let Self { operation, fate } = self;
            eprintln!("the power was cut in operation {operation}, fate {fate:?}");
        }
    }
}
