//! Builds what an entry says of its file's bytes.
//!
//! Owns: the rule that no bytes need nothing, one chunk needs no list. Refuses: cutting.

use crate::id::PageId;
use crate::paged_list::{BuildError, Builder, ChunkRef, Item};

use super::Content;

/// Builds the content of a file from its chunks in order, in bounded memory.
#[derive(Debug, Default)]
pub struct ContentBuilder {
    so_far: SoFar,
    size: u64,
}

#[derive(Debug, Default)]
enum SoFar {
    #[default]
    Nothing,
    One(ChunkRef),
    More(Box<Builder<ChunkRef>>),
}

impl ContentBuilder {
    /// A file without bytes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a chunk behind the others, and hands on the pages that this completes.
    pub fn push(
        &mut self,
        chunk: ChunkRef,
        emit: &mut dyn FnMut(PageId, Vec<u8>),
    ) -> Result<(), BuildError> {
        chunk.check()?;
        self.so_far = match std::mem::take(&mut self.so_far) {
            SoFar::Nothing => SoFar::One(chunk),
            SoFar::One(first) => {
                let mut list = Box::new(Builder::new());
                list.push(&first, emit)?;
                list.push(&chunk, emit)?;
                SoFar::More(list)
            }
            SoFar::More(mut list) => {
                list.push(&chunk, emit)?;
                SoFar::More(list)
            }
        };
        self.size += u64::from(chunk.length);
        Ok(())
    }

    /// Hands on the open pages; gives the content of the file and its size in bytes.
    pub fn finish(self, emit: &mut dyn FnMut(PageId, Vec<u8>)) -> (Content, u64) {
        let content = match self.so_far {
            SoFar::Nothing => Content::Empty,
            SoFar::One(ChunkRef { id, .. }) => Content::Chunk(id),
            SoFar::More(list) => {
                let root = list.finish(emit).expect("a list of two chunks or more");
                Content::List(root.page)
            }
        };
        (content, self.size)
    }
}
