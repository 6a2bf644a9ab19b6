//! What becomes of bytes and names that were not synced when the power went.
//!
//! Owns: the chance, from a seed, so that a failure can be replayed.

/// What a power cut does to what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// All of it is lost.
    Lost,
    /// All of it is there.
    Kept,
    /// Some is, some is not, some is torn; another seed gives another choice.
    Mixed(u64),
}

/// Decides, once for each thing.
pub(super) struct Dice {
    fate: Fate,
    state: u64,
}

impl Dice {
    pub(super) fn new(fate: Fate) -> Self {
        let state = match fate {
            Fate::Mixed(seed) => seed,
            Fate::Lost | Fate::Kept => 0,
        };
        Self { fate, state }
    }

    /// Whether the next thing is there.
    pub(super) fn keeps(&mut self) -> bool {
        match self.fate {
            Fate::Lost => false,
            Fate::Kept => true,
            Fate::Mixed(_) => self.next() & 1 == 0,
        }
    }

    /// Whether the next block is torn.
    pub(super) fn tears(&mut self) -> bool {
        matches!(self.fate, Fate::Mixed(_)) && self.next().is_multiple_of(8)
    }

    /// splitmix64 (Steele, Lea, Flood 2014).
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) >> 1
    }
}
