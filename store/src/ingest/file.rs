//! Takes one file in: opens it, has it cut and its chunks put on the shelf, and makes sure that
//! all of that was one state of the file.
//!
//! Owns: the identity before and after, and trying again. Refuses: threads; the segments of a
//! big file are shared out by [`big`](super::big).

use std::sync::Arc;

use shoal_protocol::chunking::Stitcher;
use shoal_protocol::manifest::{Content, ContentBuilder};
use shoal_protocol::paged_list::ChunkRef;
use shoal_protocol::path::ManifestPath;

use super::AddMode;
use super::clone::{CLONE_BYTES_MIN, Cloned};
use super::cut::{Bytes, CutError, Cutter, Piece, Stretch};
use super::shelf::Place;
use super::work::{ATTEMPTS_MAX, Trouble, Work};
use crate::disk::{DiskFile, FileIdentity};
use crate::index::{FileId, FileRow};

/// A file that was taken in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taken {
    pub content: Content,
    pub identity: FileIdentity,
}

/// What one thread reuses from file to file.
pub(super) struct Worker {
    cutter: Cutter,
    guessed: Vec<Piece>,
    pieces: Vec<Piece>,
}

/// A file while it is read.
pub(super) struct Reading {
    pub path: ManifestPath,
    pub identity: FileIdentity,
    source: Arc<dyn DiskFile>,
    id: FileId,
    cloned: Option<Cloned>,
    place: Place,
}

impl Reading {
    /// Opens the file at `path` and decides where its bytes go.
    pub(super) fn begin(work: &Work<'_>, path: &ManifestPath) -> Result<Self, Trouble> {
        let (source, identity) = work.open(path)?;
        if work.stopped() {
            return Err(Trouble::Skipped);
        }
        let id = work.shelf.new_file();
        let mut reading = Self {
            path: path.clone(),
            identity,
            source,
            id,
            cloned: None,
            place: Place::External(id),
        };
        if work.mode == AddMode::Keep {
            reading.place = Place::Pack;
            if identity.size >= CLONE_BYTES_MIN {
                reading.clone_source(work)?;
            }
        }
        Ok(reading)
    }

    /// From here on the clone is read, which nobody else writes to.
    fn clone_source(&mut self, work: &Work<'_>) -> Result<(), Trouble> {
        let id = work.shelf.new_file();
        if let Some(cloned) = work.clones.make(&*self.source, id)? {
            self.place = Place::Owned(id);
            self.cloned = Some(cloned);
            let same = self.is_unchanged()?;
            if !same {
                self.abandon(work);
                return Err(Trouble::Changed);
            }
        }
        Ok(())
    }

    fn is_unchanged(&self) -> Result<bool, Trouble> {
        let now = self.source.identity().map_err(Trouble::of_source)?;
        Ok(now == self.identity)
    }

    fn file(&self) -> &dyn DiskFile {
        match &self.cloned {
            Some(cloned) => &*cloned.file,
            None => &*self.source,
        }
    }

    /// How many segments it is cut in.
    pub(super) fn segments(&self, work: &Work<'_>) -> u64 {
        self.identity.size.div_ceil(work.segment_bytes)
    }

    fn stretch(&self, work: &Work<'_>, segment: u64) -> Stretch {
        let start = segment * work.segment_bytes;
        Stretch {
            size: self.identity.size,
            start,
            end: (start + work.segment_bytes).min(self.identity.size),
            sparse: self.identity.allocated < self.identity.size,
        }
    }

    fn bytes(&self) -> Bytes {
        match self.place {
            Place::Pack => Bytes::Stay,
            Place::Owned(_) | Place::External(_) => Bytes::Go,
        }
    }

    /// Ends the reading: the file must still be in the state that it was opened in. `placed` is
    /// how many bytes were put where this file's bytes go.
    pub(super) fn end(
        &self,
        work: &Work<'_>,
        content: Content,
        placed: u64,
    ) -> Result<Taken, Trouble> {
        match &self.cloned {
            None if !self.is_unchanged()? => return Err(Trouble::Changed),
            None => {}
            Some(cloned) if placed == 0 => work.clones.remove(cloned)?,
            Some(cloned) => work.clones.keep(cloned, content, &work.shelf)?,
        }
        work.record(self.id, &self.path, self.identity, content);
        Ok(Taken {
            content,
            identity: self.identity,
        })
    }

    /// Leaves nothing behind of a reading that failed. A clone that cannot be removed is found
    /// by the next collection.
    pub(super) fn abandon(&self, work: &Work<'_>) {
        if let Some(cloned) = &self.cloned {
            let _ = work.clones.remove(cloned);
        }
    }
}

impl Worker {
    pub(super) fn new(work: &Work<'_>) -> Self {
        Self {
            cutter: Cutter::new(work.profile),
            guessed: Vec::new(),
            pieces: Vec::new(),
        }
    }

    /// The file at `path`: as `known`, if it is unchanged since, else as it is now.
    pub(super) fn take(
        &mut self,
        work: &Work<'_>,
        path: &ManifestPath,
        walked: &FileIdentity,
        known: Option<&FileRow>,
    ) -> Result<Taken, Trouble> {
        if let Some(row) = known
            && work.is_unchanged(row, walked)?
        {
            work.progress.bytes(walked.size);
            return Ok(Taken {
                content: row.content,
                identity: *walked,
            });
        }
        self.retry(work, path, 1)
    }

    /// Reads the file, for the time that is `attempt` and as often as may be.
    pub(super) fn retry(
        &mut self,
        work: &Work<'_>,
        path: &ManifestPath,
        mut attempt: u32,
    ) -> Result<Taken, Trouble> {
        loop {
            match self.read(work, path) {
                Err(Trouble::Changed) if attempt < ATTEMPTS_MAX => {
                    work.again(path, attempt);
                    attempt += 1;
                }
                other => return other,
            }
        }
    }

    fn read(&mut self, work: &Work<'_>, path: &ManifestPath) -> Result<Taken, Trouble> {
        let reading = Reading::begin(work, path)?;
        let taken = self.read_segments(work, &reading);
        if taken.is_err() {
            reading.abandon(work);
        }
        taken
    }

    fn read_segments(&mut self, work: &Work<'_>, reading: &Reading) -> Result<Taken, Trouble> {
        let mut stitcher = Stitcher::new();
        let mut content = ContentBuilder::new();
        let mut placed = 0;
        for segment in 0..reading.segments(work) {
            self.cut(work, reading, segment)?;
            self.join(&mut stitcher, reading, work, segment)?;
            placed += self.put(work, reading)?;
            work.shelf.extend(&mut content, self.chunks())?;
        }
        let content = work.shelf.finish(content)?;
        reading.end(work, content, placed)
    }

    /// Reads and cuts a segment as though a chunk began at its start.
    pub(super) fn cut(
        &mut self,
        work: &Work<'_>,
        reading: &Reading,
        segment: u64,
    ) -> Result<(), Trouble> {
        if work.stopped() {
            return Err(Trouble::Skipped);
        }
        let stretch = reading.stretch(work, segment);
        self.cutter
            .cut(reading.file(), stretch, reading.bytes(), &mut self.guessed)?;
        work.progress.bytes(stretch.end - stretch.start);
        Ok(())
    }

    /// Joins the segment that was cut last to the one before it.
    pub(super) fn join(
        &mut self,
        stitcher: &mut Stitcher,
        reading: &Reading,
        work: &Work<'_>,
        segment: u64,
    ) -> Result<(), Trouble> {
        let stretch = reading.stretch(work, segment);
        self.pieces.clear();
        let joined: Result<(), CutError> = stitcher.segment(
            self.guessed.drain(..),
            stretch.end,
            |offset| self.cutter.recut(reading.file(), stretch, offset),
            |piece| {
                self.pieces.push(piece);
                Ok(())
            },
        );
        Ok(joined?)
    }

    /// Puts the chunks that were joined last where they belong.
    pub(super) fn put(&self, work: &Work<'_>, reading: &Reading) -> Result<u64, Trouble> {
        Ok(work.shelf.put(&self.pieces, &self.cutter, reading.place)?)
    }

    /// The chunks that were joined last.
    pub(super) fn chunks(&self) -> impl Iterator<Item = ChunkRef> + '_ {
        self.pieces.iter().map(|piece| ChunkRef {
            id: piece.value,
            length: piece.length,
        })
    }
}
