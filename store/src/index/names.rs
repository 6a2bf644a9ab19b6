//! Short names for what rows repeat: directories and peers.
//!
//! Owns: the numbers, in memory, from the moment one is given out. Refuses: to forget one;
//! there are as many as folders and peers that the user ever named.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use shoal_protocol::peer::PeerKey;

use super::{AbsolutePath, AudienceId, RootId};

/// All short names of a store.
#[derive(Default)]
pub(crate) struct Names {
    roots: Mutex<Numbered<AbsolutePath>>,
    audiences: Mutex<Numbered<PeerKey>>,
}

impl Names {
    pub(super) fn new(roots: Vec<(u32, AbsolutePath)>, audiences: Vec<(u32, PeerKey)>) -> Self {
        Self {
            roots: Mutex::new(Numbered::new(roots)),
            audiences: Mutex::new(Numbered::new(audiences)),
        }
    }

    pub(crate) fn root_id(&self, path: &AbsolutePath) -> Option<RootId> {
        lock(&self.roots).numbers.get(path).copied().map(RootId)
    }

    pub(crate) fn root_path(&self, root: RootId) -> Option<AbsolutePath> {
        lock(&self.roots).of(root.0)
    }

    pub(crate) fn roots(&self) -> Vec<(RootId, AbsolutePath)> {
        let roots = lock(&self.roots);
        let named = roots.things.iter().enumerate();
        named
            .filter_map(|(i, path)| Some((RootId(i as u32 + 1), path.clone()?)))
            .collect()
    }

    /// The short name of a directory, new if need be.
    pub(crate) fn name_root(&self, path: &AbsolutePath) -> RootId {
        RootId(lock(&self.roots).name(path))
    }

    pub(crate) fn audience_id(&self, peer: &PeerKey) -> Option<AudienceId> {
        lock(&self.audiences)
            .numbers
            .get(peer)
            .copied()
            .map(AudienceId)
    }

    pub(crate) fn audience_peer(&self, audience: AudienceId) -> Option<PeerKey> {
        lock(&self.audiences).of(audience.0)
    }

    /// The short name of a peer, new if need be.
    pub(crate) fn name_audience(&self, peer: &PeerKey) -> AudienceId {
        AudienceId(lock(&self.audiences).name(peer))
    }

    /// Names that no commit has written yet. They stay so until [`Self::saved`].
    pub(super) fn unsaved(&self) -> Unsaved {
        Unsaved {
            roots: lock(&self.roots).unsaved(),
            audiences: lock(&self.audiences).unsaved(),
        }
    }

    /// Says that a commit has written these.
    pub(super) fn saved(&self, names: &Unsaved) {
        lock(&self.roots).saved += names.roots.len();
        lock(&self.audiences).saved += names.audiences.len();
    }
}

/// Names that no commit has written yet.
pub(super) struct Unsaved {
    pub(super) roots: Vec<(u32, AbsolutePath)>,
    pub(super) audiences: Vec<(u32, PeerKey)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Things numbered from 1 on; 0 is what needs no name (the store's directory, this node).
struct Numbered<T> {
    things: Vec<Option<T>>,
    numbers: HashMap<T, u32>,
    /// How many of `things` a commit has written.
    saved: usize,
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self {
            things: Vec::new(),
            numbers: HashMap::new(),
            saved: 0,
        }
    }
}

impl<T: Clone + Eq + Hash> Numbered<T> {
    fn new(rows: Vec<(u32, T)>) -> Self {
        let mut all = Self::default();
        for (number, thing) in rows {
            let at = (number as usize).saturating_sub(1);
            if all.things.len() <= at {
                all.things.resize(at + 1, None);
            }
            all.things[at] = Some(thing.clone());
            all.numbers.insert(thing, number);
        }
        all.saved = all.things.len();
        all
    }

    fn of(&self, number: u32) -> Option<T> {
        let at = (number as usize).checked_sub(1)?;
        self.things.get(at)?.clone()
    }

    fn name(&mut self, thing: &T) -> u32 {
        if let Some(number) = self.numbers.get(thing) {
            return *number;
        }
        self.things.push(Some(thing.clone()));
        let number = u32::try_from(self.things.len()).expect("fewer than 2^32 names");
        self.numbers.insert(thing.clone(), number);
        number
    }

    fn unsaved(&self) -> Vec<(u32, T)> {
        let new = self.things.iter().enumerate().skip(self.saved);
        new.filter_map(|(at, thing)| Some((at as u32 + 1, thing.clone()?)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_given_once_and_saved_once() {
        let names = Names::new(vec![(1, path("/a"))], Vec::new());
        assert_eq!(names.name_root(&path("/a")), RootId(1));
        assert_eq!(names.name_root(&path("/b")), RootId(2));
        assert_eq!(names.name_root(&path("/b")), RootId(2));
        assert_eq!(names.root_path(RootId(2)), Some(path("/b")));
        assert_eq!(names.root_path(RootId::HOME), None);
        let unsaved = names.unsaved();
        assert_eq!(unsaved.roots, [(2, path("/b"))]);
        names.saved(&unsaved);
        assert_eq!(names.unsaved().roots, []);
        assert_eq!(names.roots().len(), 2);
    }

    fn path(text: &str) -> AbsolutePath {
        AbsolutePath::new(std::path::Path::new(text)).expect("absolute")
    }
}
