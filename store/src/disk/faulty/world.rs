//! The file system itself: files, directories, and which of their changes are durable.
//!
//! Owns: the rules of what a sync covers and what a power cut leaves. Refuses: paths beyond
//! one component; those are resolved in [`super`].

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::io;

use super::bytes::{BLOCK, Bytes, Change};
use super::fate::{Dice, Fate};
use crate::disk::{FileIdentity, FileKind};

pub(super) type Number = u64;

/// The number of the directory `/`.
pub(super) const TOP: Number = 1;

#[derive(Debug, Clone)]
pub(super) enum Thing {
    File(FileState),
    Directory(Names),
    Symlink(String),
}

/// The names in a directory.
pub(super) type Names = BTreeMap<OsString, Number>;

#[derive(Debug, Clone, Default)]
pub(super) struct FileState {
    pub(super) bytes: Bytes,
    pub(super) executable: bool,
    durable: Bytes,
    changes: Vec<Change>,
}

#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) thing: Thing,
    modified_ns: i128,
    changed_ns: i128,
}

/// A change of names that happens as one: each name then stands for a thing or for nothing.
#[derive(Debug, Clone)]
struct NameChange(Vec<(Number, OsString, Option<Number>)>);

/// A state of the whole file system. Copies share the bytes of files.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) nodes: BTreeMap<Number, Node>,
    next_number: Number,
    clock_ns: i128,
    /// The names that are durable, by directory.
    durable: BTreeMap<Number, Names>,
    /// Those that are not yet, in order.
    name_changes: Vec<NameChange>,
    /// Bytes that may be written in all.
    pub(super) room: Option<u64>,
    pub(super) locked: HashSet<Number>,
    /// How many power cuts there have been.
    pub(super) cuts: u64,
    /// When the power came back.
    pub(super) booted_ns: i128,
}

impl World {
    pub(super) fn new() -> Self {
        let mut world = Self {
            nodes: BTreeMap::new(),
            next_number: TOP,
            // Not a whole second, which would look like a coarse clock.
            clock_ns: 1_000_000_000_123_457,
            durable: BTreeMap::new(),
            name_changes: Vec::new(),
            room: None,
            locked: HashSet::new(),
            cuts: 0,
            booted_ns: 0,
        };
        world.make(Thing::Directory(Names::new()));
        world
    }

    fn tick(&mut self) -> i128 {
        self.clock_ns += 1_000_003;
        self.clock_ns
    }

    pub(super) fn make(&mut self, thing: Thing) -> Number {
        let number = self.next_number;
        self.next_number += 1;
        let now = self.tick();
        if matches!(thing, Thing::Directory(_)) {
            self.durable.insert(number, Names::new());
        }
        let node = Node {
            thing,
            modified_ns: now,
            changed_ns: now,
        };
        self.nodes.insert(number, node);
        number
    }

    pub(super) fn names(&self, directory: Number) -> io::Result<&Names> {
        match &self.node(directory).thing {
            Thing::Directory(names) => Ok(names),
            _ => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    pub(super) fn node(&self, number: Number) -> &Node {
        self.nodes
            .get(&number)
            .expect("a node lives as long as the world")
    }

    pub(super) fn file(&self, number: Number) -> &FileState {
        match &self.node(number).thing {
            Thing::File(file) => file,
            _ => panic!("only files are opened"),
        }
    }

    fn file_mut(&mut self, number: Number) -> &mut FileState {
        let changed_ns = self.tick();
        let node = self
            .nodes
            .get_mut(&number)
            .expect("a node lives as long as the world");
        node.changed_ns = changed_ns;
        match &mut node.thing {
            Thing::File(file) => file,
            _ => panic!("only files are opened"),
        }
    }

    pub(super) fn used(&self) -> u64 {
        let files = self.nodes.values().filter_map(|node| match &node.thing {
            Thing::File(file) => Some(file.bytes.allocated()),
            _ => None,
        });
        files.sum()
    }

    /// Does something to a file's bytes, if there is room.
    pub(super) fn change(&mut self, number: Number, change: Change) -> io::Result<()> {
        if let (Some(room), Change::Write { offset, bytes }) = (self.room, &change) {
            let more = self.file(number).bytes.new_blocks(*offset, bytes.len()) * BLOCK;
            if more > 0 && self.used() + more > room {
                return Err(io::ErrorKind::StorageFull.into());
            }
        }
        let file = self.file_mut(number);
        file.bytes.apply(&change);
        file.changes.push(change);
        let node = self.nodes.get_mut(&number).expect("it was changed");
        node.modified_ns = node.changed_ns;
        Ok(())
    }

    pub(super) fn set_executable(&mut self, number: Number, executable: bool) {
        self.file_mut(number).executable = executable;
    }

    /// Harms a byte on the medium itself, without anyone noticing.
    pub(super) fn flip(&mut self, number: Number, offset: u64, mask: u8) {
        let node = self
            .nodes
            .get_mut(&number)
            .expect("a node lives as long as the world");
        let Thing::File(file) = &mut node.thing else {
            panic!("only files have bytes");
        };
        for bytes in [&mut file.bytes, &mut file.durable] {
            let mut byte = [0];
            if bytes.read(offset, &mut byte) == 1 {
                bytes.write(offset, &[byte[0] ^ mask]);
            }
        }
    }

    /// Lets names stand for other things, all at once.
    pub(super) fn rename(&mut self, changes: Vec<(Number, OsString, Option<Number>)>) {
        for (directory, name, thing) in &changes {
            let changed_ns = self.tick();
            let node = self.nodes.get_mut(directory).expect("a directory");
            (node.modified_ns, node.changed_ns) = (changed_ns, changed_ns);
            let Thing::Directory(names) = &mut node.thing else {
                panic!("only directories have names");
            };
            let old = match thing {
                Some(number) => names.insert(name.clone(), *number),
                None => names.remove(name),
            };
            // A file notices that it lost or got a name.
            for number in [old, *thing].into_iter().flatten() {
                if let Some(node) = self.nodes.get_mut(&number) {
                    node.changed_ns = changed_ns;
                }
            }
        }
        self.name_changes.push(NameChange(changes));
    }

    pub(super) fn sync_file(&mut self, number: Number) {
        let node = self
            .nodes
            .get_mut(&number)
            .expect("a node lives as long as the world");
        if let Thing::File(file) = &mut node.thing {
            file.durable = file.bytes.clone();
            file.changes.clear();
        }
    }

    /// Makes the names of a directory durable, and with them whatever changed as one with
    /// them or came before under the same names.
    pub(super) fn sync_names(&mut self, directory: Number) {
        let mut synced = HashSet::new();
        let mut keep = Vec::new();
        let mut durable = Vec::new();
        for change in self.name_changes.drain(..).rev() {
            let touches = |(at, name, _): &(Number, OsString, Option<Number>)| {
                *at == directory || synced.contains(&(*at, name.clone()))
            };
            if change.0.iter().any(touches) {
                let names = change.0.iter().map(|(at, name, _)| (*at, name.clone()));
                synced.extend(names);
                durable.push(change);
            } else {
                keep.push(change);
            }
        }
        keep.reverse();
        self.name_changes = keep;
        for change in durable.into_iter().rev() {
            apply(&mut self.durable, &change);
        }
    }

    pub(super) fn sync_all(&mut self) {
        let files: Vec<_> = self.nodes.keys().copied().collect();
        for number in files {
            self.sync_file(number);
        }
        for change in std::mem::take(&mut self.name_changes) {
            apply(&mut self.durable, &change);
        }
    }

    /// The file system as it is found when the power is back.
    pub(super) fn after_cut(&self, fate: Fate) -> Self {
        let mut dice = Dice::new(fate);
        let mut names = self.durable.clone();
        for change in &self.name_changes {
            if dice.keeps() {
                apply(&mut names, change);
            }
        }
        let mut left = Self {
            nodes: BTreeMap::new(),
            durable: BTreeMap::new(),
            name_changes: Vec::new(),
            locked: HashSet::new(),
            cuts: self.cuts + 1,
            ..self.clone()
        };
        left.booted_ns = left.tick();
        let mut reached = vec![TOP];
        while let Some(number) = reached.pop() {
            if left.nodes.contains_key(&number) {
                continue;
            }
            let node = self.node(number);
            let thing = match &node.thing {
                Thing::File(file) => {
                    let bytes = file.durable.after_cut(&file.changes, &mut dice);
                    Thing::File(FileState {
                        durable: bytes.clone(),
                        bytes,
                        executable: file.executable,
                        changes: Vec::new(),
                    })
                }
                Thing::Directory(_) => {
                    let names = names.get(&number).cloned().unwrap_or_default();
                    reached.extend(names.values().copied());
                    left.durable.insert(number, names.clone());
                    Thing::Directory(names)
                }
                Thing::Symlink(target) => Thing::Symlink(target.clone()),
            };
            left.nodes.insert(number, Node { thing, ..*node });
        }
        left
    }

    pub(super) fn identity(&self, number: Number) -> FileIdentity {
        let node = self.node(number);
        let (kind, size, allocated, executable) = match &node.thing {
            Thing::File(file) => {
                let (size, allocated) = (file.bytes.length(), file.bytes.allocated());
                (FileKind::Regular, size, allocated, file.executable)
            }
            Thing::Directory(names) => (FileKind::Directory, names.len() as u64, 0, true),
            Thing::Symlink(target) => (FileKind::Symlink, target.len() as u64, 0, true),
        };
        FileIdentity {
            kind,
            device: 1,
            inode: number,
            size,
            modified_ns: node.modified_ns,
            changed_ns: node.changed_ns,
            executable,
            owner: 0,
            allocated,
        }
    }
}

fn apply(directories: &mut BTreeMap<Number, Names>, change: &NameChange) {
    for (directory, name, thing) in &change.0 {
        let names = directories.entry(*directory).or_default();
        match thing {
            Some(number) => names.insert(name.clone(), *number),
            None => names.remove(name),
        };
    }
}
