//! Who offers which run.
//!
//! Owns: for a peer, one bit a run for whether it offers some of it, and one for whether it offers
//! all. They are kept while runs and offers change, so that nobody has to look into the offers of
//! all peers to compare runs. Refuses: positions; runs are known by their slot in the table.

/// How much of a run a peer offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Share {
    Nothing,
    Some,
    All,
}

/// A set of slots of the table of runs, one bit each.
#[derive(Debug, Default)]
pub(super) struct Slots {
    words: Vec<u64>,
}

impl Slots {
    pub(super) fn contains(&self, slot: usize) -> bool {
        let word = self.words.get(slot / 64);
        word.is_some_and(|word| word >> (slot % 64) & 1 == 1)
    }

    pub(super) fn set(&mut self, slot: usize, is_in: bool) {
        let (index, bit) = (slot / 64, 1 << (slot % 64));
        if index >= self.words.len() {
            self.words.resize(index + 1, 0);
        }
        match is_in {
            true => self.words[index] |= bit,
            false => self.words[index] &= !bit,
        }
    }

    pub(super) fn clear(&mut self) {
        self.words.fill(0);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.within(self)
    }

    /// The slots that are in both.
    pub(super) fn within<'a>(&'a self, other: &'a Slots) -> impl Iterator<Item = usize> + 'a {
        let mut both = self.words.iter().zip(&other.words).map(|(a, b)| a & b);
        let (mut left, mut first) = (both.next().unwrap_or(0), 0);
        std::iter::from_fn(move || {
            while left == 0 {
                left = both.next()?;
                first += 64;
            }
            let slot = first + left.trailing_zeros() as usize;
            left &= left - 1;
            Some(slot)
        })
    }
}

/// What a peer offers, by run.
#[derive(Debug, Default)]
pub(super) struct Shares {
    some: Slots,
    all: Slots,
}

impl Shares {
    /// How much of the run in this slot is on offer.
    pub(super) fn of(&self, slot: usize) -> Share {
        match (self.some.contains(slot), self.all.contains(slot)) {
            (_, true) => Share::All,
            (true, false) => Share::Some,
            (false, false) => Share::Nothing,
        }
    }

    pub(super) fn set(&mut self, slot: usize, share: Share) {
        self.some.set(slot, share != Share::Nothing);
        self.all.set(slot, share == Share::All);
    }

    /// The runs of which some is on offer. Slots that no run has any more may be among them.
    pub(super) fn some(&self) -> &Slots {
        &self.some
    }
}
