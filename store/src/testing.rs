//! Cutting the power at every operation of a workload.
//!
//! Owns: running a workload once on a disk that remembers what every operation would have
//! left, and what had been acknowledged by then; opening each of those disks again. Refuses:
//! to know what must hold; the test says so.

use std::path::Path;

use crate::disk::faulty::{Fate, FaultyDisk};
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
pub(crate) fn cut_everywhere<A>(
    workload: impl FnOnce(&FaultyDisk, &mut Acknowledged<A>),
    check: impl Fn(&FaultyDisk, &[&A]),
) {
    let disk = FaultyDisk::new();
    let mut acknowledged = Acknowledged {
        disk: disk.clone(),
        all: Vec::new(),
    };
    disk.record();
    workload(&disk, &mut acknowledged);
    let images = disk.images();
    assert!(!images.is_empty(), "the workload does something");
    for (before, image) in images.iter().enumerate() {
        let before = before as u64;
        let by_then = acknowledged.all.iter().filter(|(at, _)| *at <= before);
        let by_then: Vec<&A> = by_then.map(|(_, what)| what).collect();
        let seed = before * 2;
        let mixed = [Fate::Mixed(seed), Fate::Mixed(seed + 1)];
        for fate in [Fate::Lost, Fate::Kept].into_iter().chain(mixed) {
            let _told = TellOnPanic {
                operation: before + 1,
                fate,
            };
            check(&image.found(fate), &by_then);
        }
    }
}

struct TellOnPanic {
    operation: u64,
    fate: Fate,
}

impl Drop for TellOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { operation, fate } = self;
            eprintln!("the power was cut in operation {operation}, fate {fate:?}");
        }
    }
}
