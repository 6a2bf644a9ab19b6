//! The bytes of a file in memory: sparse, cheap to copy, and able to lose what was not synced.
//!
//! Owns: blocks shared between states, the writes since the last sync, what a power cut makes
//! of them. Refuses: names.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::fate::Dice;

/// Bytes that one block holds; a block that was never written is a hole.
pub(super) const BLOCK: u64 = 4096;
/// Bytes that a medium writes whole or not at all.
const SECTOR: usize = 512;

/// A state of a file's bytes. Copies share their blocks.
#[derive(Debug, Clone, Default)]
pub(super) struct Bytes {
    blocks: Arc<BTreeMap<u64, Arc<[u8]>>>,
    length: u64,
}

/// Something that was done to a file.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Write { offset: u64, bytes: Arc<[u8]> },
    SetLength(u64),
    Replace(Bytes),
}

impl Bytes {
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Bytes that it takes on the medium.
    pub(super) fn allocated(&self) -> u64 {
        self.blocks.len() as u64 * BLOCK
    }

    pub(super) fn apply(&mut self, change: &Change) {
        match change {
            Change::Write { offset, bytes } => self.write(*offset, bytes),
            Change::SetLength(length) => self.set_length(*length),
            Change::Replace(other) => *self = other.clone(),
        }
    }

    pub(super) fn read(&self, offset: u64, out: &mut [u8]) -> usize {
        let end = self.length.min(offset + out.len() as u64);
        let mut at = offset;
        while at < end {
            let number = at / BLOCK;
            let within = (at % BLOCK) as usize;
            let length = ((number + 1) * BLOCK).min(end) - at;
            let target = &mut out[(at - offset) as usize..][..length as usize];
            match self.blocks.get(&number) {
                Some(block) => target.copy_from_slice(&block[within..][..length as usize]),
                None => target.fill(0),
            }
            at += length;
        }
        end.saturating_sub(offset) as usize
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        let blocks = Arc::make_mut(&mut self.blocks);
        for (number, within, part) in parts(offset, bytes) {
            let mut block = match blocks.get(&number) {
                Some(block) => block.to_vec(),
                None => vec![0; BLOCK as usize],
            };
            block[within..within + part.len()].copy_from_slice(part);
            blocks.insert(number, block.into());
        }
        if !bytes.is_empty() {
            self.length = self.length.max(offset + bytes.len() as u64);
        }
    }

    fn set_length(&mut self, length: u64) {
        if length < self.length {
            let blocks = Arc::make_mut(&mut self.blocks);
            blocks.split_off(&length.div_ceil(BLOCK));
            if let Some(last) = blocks.get_mut(&(length / BLOCK)) {
                let mut cut = last.to_vec();
                cut[(length % BLOCK) as usize..].fill(0);
                *last = cut.into();
            }
        }
        self.length = length;
    }

    /// The first range of written blocks at or behind `offset`.
    pub(super) fn next_data(&self, offset: u64) -> Option<Range<u64>> {
        let first = self
            .blocks
            .range(offset / BLOCK..)
            .next()
            .map(|(n, _)| *n)?;
        let mut end = first;
        while self.blocks.contains_key(&end) {
            end += 1;
        }
        let range = (first * BLOCK).max(offset)..(end * BLOCK).min(self.length);
        (!range.is_empty()).then_some(range)
    }

    /// Blocks that a write would newly take.
    pub(super) fn new_blocks(&self, offset: u64, length: usize) -> u64 {
        if length == 0 {
            return 0;
        }
        let last = (offset + length as u64 - 1) / BLOCK;
        let touched = offset / BLOCK..=last;
        touched.filter(|n| !self.blocks.contains_key(n)).count() as u64
    }

    /// What a power cut leaves of `changes` made to this state since it was synced: any part
    /// of each, sector by sector.
    pub(super) fn after_cut(&self, changes: &[Change], dice: &mut Dice) -> Self {
        let mut left = self.clone();
        for change in changes {
            let Change::Write { offset, bytes } = change else {
                if dice.keeps() {
                    left.apply(change);
                }
                continue;
            };
            for (number, within, part) in parts(*offset, bytes) {
                let at = number * BLOCK + within as u64;
                if dice.tears() {
                    for (i, sector) in part.chunks(SECTOR).enumerate() {
                        if dice.keeps() {
                            left.write(at + (i * SECTOR) as u64, sector);
                        }
                    }
                } else if dice.keeps() {
                    left.write(at, part);
                }
            }
        }
        left
    }
}

/// Cuts a write at the bounds of blocks: block number, offset in the block, bytes.
fn parts(offset: u64, bytes: &[u8]) -> impl Iterator<Item = (u64, usize, &[u8])> {
    let mut rest = bytes;
    let mut at = offset;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let within = at % BLOCK;
        let length = rest.len().min((BLOCK - within) as usize);
        let (part, behind) = rest.split_at(length);
        let number = at / BLOCK;
        rest = behind;
        at += length as u64;
        Some((number, within as usize, part))
    })
}
