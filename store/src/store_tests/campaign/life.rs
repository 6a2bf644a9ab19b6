//! What happens to a store from its first add to its last get.
//!
//! Owns: the files of the user and of others, and what the user does with them, step by step;
//! every step can be repeated. Refuses: to judge.

use std::error::Error;
use std::path::{Path, PathBuf};

use shoal_protocol::id::VersionId;

use crate::Store;
use crate::collect::Collected;
use crate::disk::OpenMode;
use crate::disk::faulty::FaultyDisk;
use crate::index::{AbsolutePath, AudienceId, Coverage, Origin, SnapshotRow};
use crate::ingest::tests::request;
use crate::ingest::{AddMode, Added};
use crate::progress::Silent;
use crate::receive::ReceiveRequest;
use crate::receive::tests::artifact::{Artifact, Thing, Things, noise, path, read, things};
use crate::receive::tests::send_all;
use crate::testing::open;

/// The artifact whose versions are added.
pub(super) const NAME: &str = "lab/owned";
/// The user's folder that is copied into the store.
pub(super) const OWNED: &str = "/data/owned";
/// The user's folder that is added where it stands.
pub(super) const PLACED: &str = "/data/placed";
/// Where another node's artifact is got to, and updated.
pub(super) const GOT: &str = "/data/got";
/// Where one is got to without waiting for the disk.
pub(super) const LOOSE: &str = "/data/loose";

const PEER: AudienceId = AudienceId(7);

/// What the user does, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// `add` of a folder, as the first version of an artifact.
    Add,
    /// `add --in-place` of another.
    AddInPlace,
    /// `get --sync` of an artifact that was made elsewhere.
    GetSync,
    /// `add --in-place` of what was got: it is kept from now on.
    KeepGot,
    /// `get --sync` of its next version to the same place.
    UpdateSync,
    /// `add` of the first folder after it was edited, as the next version.
    AddAgain,
    /// The first version is forgotten.
    Forget,
    /// What nothing needs is collected.
    Collect,
    /// `get` of another artifact, not waiting for the disk.
    GetLoose,
    /// The disk catches up.
    Sync,
}

impl Step {
    /// All of them.
    pub(super) const ALL: [Self; 10] = [
        Self::Add,
        Self::AddInPlace,
        Self::GetSync,
        Self::KeepGot,
        Self::UpdateSync,
        Self::AddAgain,
        Self::Forget,
        Self::Collect,
        Self::GetLoose,
        Self::Sync,
    ];

    /// Whether nothing was promised about a power cut, so that the user does it again.
    pub(super) fn is_undone_by_a_cut(self) -> bool {
        self == Self::GetLoose
    }
}

/// All the files that there are.
pub(super) struct Tale {
    pub(super) owned: [Artifact; 2],
    pub(super) placed: Artifact,
    pub(super) got: [Artifact; 2],
    pub(super) loose: Artifact,
    pub(super) large: bool,
    pub(super) things: AllThings,
}

/// The same, as they stand in folders.
pub(super) struct AllThings {
    pub(super) owned: [Things; 2],
    pub(super) placed: Things,
    pub(super) got: [Things; 2],
    pub(super) loose: Things,
}

impl Tale {
    /// What CI runs, or, `large`, what takes minutes: bigger files and more of them.
    pub(super) fn new(large: bool) -> Self {
        let (size, many) = if large { (4, 40) } else { (1, 2) };
        let file = |seed, length| Thing::File(noise(seed, length));
        let with_small = |mut folder: Things, seed: u64| {
            for n in 0..many {
                let name = path(&format!("small/{n:02}"));
                folder.insert(name, file(seed + n, 700 + 40 * n as usize));
            }
            folder
        };
        // Long enough for a clone, and mostly a hole.
        let mut sparse = noise(100, 60_000);
        sparse.resize(1_100_000 * size, 0);
        let first = things([
            ("big", file(101, 150_000 * size)),
            ("empty", Thing::Folder),
            ("sparse", Thing::File(sparse)),
        ]);
        let first = with_small(first, 1_000);
        let mut second = first.clone();
        second.insert(path("big"), file(102, 90_000 * size));
        second.insert(path("more"), file(103, 30_000));
        second.remove(&path("small/00"));

        let placed = with_small(things([("a/x", file(104, 70_000 * size))]), 2_000);

        let got = things([
            ("gone/x", file(105, 2_000)),
            ("link", Thing::Link("model")),
            ("model", file(106, 130_000 * size)),
            ("run", Thing::Program(noise(107, 300))),
        ]);
        let got = with_small(got, 3_000);
        let mut update = got.clone();
        update.remove(&path("gone/x"));
        update.insert(path("model"), file(108, 110_000 * size));
        update.insert(path("new"), file(109, 2_000));
        update.insert(path("run"), Thing::Program(noise(110, 300)));

        let loose = with_small(things([("y", file(111, 80_000 * size))]), 4_000);
        Self {
            owned: [Artifact::folder(&first), Artifact::folder(&second)],
            placed: Artifact::folder(&placed),
            got: [Artifact::folder(&got), Artifact::folder(&update)],
            loose: Artifact::folder(&loose),
            large,
            things: AllThings {
                owned: [first, second],
                placed,
                got: [got, update],
                loose,
            },
        }
    }

    /// Every snapshot there is.
    pub(super) fn artifacts(&self) -> [&Artifact; 6] {
        let ([a, b], [c, d]) = (&self.owned, &self.got);
        [a, b, c, d, &self.placed, &self.loose]
    }
}

/// A store that lives through it.
pub(super) struct Life<'a> {
    pub(super) disk: FaultyDisk,
    pub(super) store: Store,
    pub(super) tale: &'a Tale,
}

type Outcome<T> = Result<T, Box<dyn Error>>;

impl<'a> Life<'a> {
    /// Opens the store on a disk, however that was left.
    pub(super) fn new(disk: &FaultyDisk, tale: &'a Tale) -> Self {
        Self {
            disk: disk.clone(),
            store: open(disk),
            tale,
        }
    }

    /// Does a step, or does it again.
    pub(super) fn live(&self, step: Step) -> Outcome<()> {
        let tale = self.tale;
        match step {
            Step::Add => self.add_version(0),
            Step::AddInPlace => {
                self.write(PLACED, &tale.things.placed)?;
                let added = self.add(PLACED, AddMode::InPlace)?;
                assert_eq!(added.snapshot, tale.placed.id());
                Ok(())
            }
            Step::GetSync => self.get(&tale.got[0], GOT, true),
            Step::KeepGot => {
                let added = self.add(GOT, AddMode::InPlace)?;
                assert_eq!(added.snapshot, tale.got[0].id());
                Ok(())
            }
            Step::UpdateSync => self.get(&tale.got[1], GOT, true),
            Step::AddAgain => self.add_version(1),
            Step::Forget => {
                self.store.forget(&tale.owned[0].id())?;
                Ok(())
            }
            Step::Collect => self.collect().map(|_| ()),
            Step::GetLoose => self.get(&tale.loose, LOOSE, false),
            Step::Sync => Ok(self.store.sync_unsynced()?),
        }
    }

    /// Collects.
    pub(super) fn collect(&self) -> Outcome<Collected> {
        Ok(self.store.collect(&Silent)?)
    }

    fn add_version(&self, number: usize) -> Outcome<()> {
        self.write(OWNED, &self.tale.things.owned[number])?;
        let added = self.add(OWNED, AddMode::Keep)?;
        assert_eq!(added.snapshot, self.tale.owned[number].id());
        let id = version(number);
        let batch = self.store.begin();
        batch.put_version(&id, version_bytes(number));
        batch.put_heads(NAME, vec![id]);
        Ok(batch.commit(true)?)
    }

    fn add(&self, path: &str, mode: AddMode) -> Outcome<Added> {
        Ok(self.store.add(&request(Path::new(path), mode), &Silent)?)
    }

    fn get(&self, artifact: &Artifact, dest: &str, sync: bool) -> Outcome<()> {
        let dest = PathBuf::from(dest);
        if self.store.view().snapshot(&artifact.id())?.is_none() {
            let origin = Origin::Received {
                dest: AbsolutePath::new(&dest).expect("absolute"),
            };
            let batch = self.store.begin();
            batch.put_snapshot(SnapshotRow {
                snapshot: artifact.snapshot,
                kept: false,
                audience: PEER,
                origin,
                at_unix_s: 0,
                held: Coverage::Ranges(Vec::new()),
                offered: Coverage::Ranges(Vec::new()),
            });
            batch.commit(true)?;
        }
        let receive = self.store.receive(ReceiveRequest {
            snapshot: artifact.id(),
            dest,
            audience: PEER,
            force: false,
            inside: None,
        })?;
        send_all(&self.store, &receive, artifact)?;
        receive.checkpoint()?;
        receive.finish(sync)?;
        Ok(())
    }

    /// Makes a folder of the user's hold these things, and waits for the disk. What is there
    /// already is not written again.
    fn write(&self, folder: &str, wanted: &Things) -> Outcome<()> {
        let root = self.disk.shared().root(Path::new(folder), true)?;
        for name in root.list(Path::new("small")).unwrap_or_default() {
            let name = Path::new("small").join(name);
            if !wanted.contains_key(&path(name.to_str().expect("text"))) {
                root.remove_file(&name)?;
            }
        }
        for (name, thing) in wanted {
            let name = Path::new(name.as_str());
            if let Some(parent) = name.parent() {
                root.create_dir(parent)?;
            }
            match thing {
                Thing::Folder => root.create_dir(name)?,
                Thing::File(bytes) => {
                    let there = root.stat(name)?.is_some();
                    if there && read(&*root, name) == *bytes {
                        continue;
                    }
                    let file = root.open(name, OpenMode::Create)?;
                    file.set_len(0)?;
                    file.write_at(0, bytes)?;
                }
                Thing::Program(_) | Thing::Link(_) => panic!("the user has none"),
            }
        }
        Ok(root.sync_all()?)
    }
}

/// The version that an add of the owned folder records.
pub(super) fn version(number: usize) -> VersionId {
    VersionId::of(&version_bytes(number))
}

fn version_bytes(number: usize) -> Vec<u8> {
    format!("version {number}").into_bytes()
}
