//! Where a file is cut into chunks.
//!
//! Owns: FastCDC (Xia et al., "The Design of Fast Content-Defined Chunking", IEEE TPDS
//! 2020), with exactly the boundaries of the `fastcdc` crate's `v2020` module, and the
//! rule by which segments that were cut apart from each other are joined to the sequential
//! result. Refuses: reading and hashing; it sees slices and gives back lengths.

use std::ops::Range;

use crate::snapshot::ProfileId;

/// The longest chunk that any profile may give, in bytes. Manifests and content lists that
/// name a longer one are refused.
pub const CHUNK_BYTES_MAX: u32 = 1024 * 1024;

/// The sizes that decide where chunks end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// The number under which snapshots name this profile.
    pub id: ProfileId,
    /// The shortest chunk in bytes, but for the last of a file.
    pub min: usize,
    /// About the mean length in bytes.
    pub average: usize,
    /// The longest chunk in bytes.
    pub max: usize,
}

/// Profile 1: 16, 64 and 256 KiB, normalization level 1.
pub const PROFILE_1: Profile = Profile {
    id: ProfileId(1),
    min: 16 * 1024,
    average: 64 * 1024,
    max: 256 * 1024,
};

impl Profile {
    /// The profile that snapshots name by this number, if this build knows it.
    pub fn of(id: ProfileId) -> Option<Profile> {
        (id == PROFILE_1.id).then_some(PROFILE_1)
    }
}

/// Length of the chunk at the start of `data`.
///
/// `data` must reach to the end of the file or hold at least `profile.max` bytes;
/// it gives 0 only for no data.
pub fn next_cut(profile: &Profile, data: &[u8]) -> usize {
    let _ = (profile, data);
    todo!()
}

/// The chunks of `data` that begin within its first `until` bytes, as ranges of `data`.
///
/// For a whole file in memory `until` is its length. For a segment of a file `data` must
/// reach `profile.max` bytes beyond `until` (or to the end of the file), because the last
/// chunk may; cutting then begins as though a chunk began at the start of the segment,
/// which [`Stitcher`] repairs.
pub fn cuts<'a>(profile: &'a Profile, data: &'a [u8], until: usize) -> Cuts<'a> {
    Cuts {
        profile,
        data,
        at: 0,
        until: until.min(data.len()),
    }
}

/// See [`cuts`].
#[derive(Debug, Clone)]
pub struct Cuts<'a> {
    profile: &'a Profile,
    data: &'a [u8],
    at: usize,
    until: usize,
}

impl Iterator for Cuts<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        if self.at >= self.until {
            return None;
        }
        let start = self.at;
        self.at += next_cut(self.profile, &self.data[start..]);
        Some(start..self.at)
    }
}

/// A chunk of a file, with what its cutter found out about it (its id, its bytes' place).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<T> {
    /// Where the chunk begins, in bytes from the start of the file.
    pub offset: u64,
    /// Its length in bytes.
    pub length: u32,
    /// Whatever the caller wants to have carried along.
    pub value: T,
}

impl<T> Piece<T> {
    /// Where the next chunk begins.
    pub fn end(&self) -> u64 {
        self.offset + u64::from(self.length)
    }
}

/// Joins segments that were cut apart from each other into the chunks that one sequential
/// pass gives.
///
/// Each segment was cut with [`cuts`] as though a chunk began at its start. That is a
/// guess: the chunk before it may reach into it. Given the segments in order, the stitcher
/// cuts again from the true boundary until it meets one of the segment's own, from where
/// on the guess was right, because a cut depends only on where its chunk begins.
#[derive(Debug, Default)]
pub struct Stitcher {
    at: u64,
}

impl Stitcher {
    /// At the start of a file.
    pub fn new() -> Self {
        Self::default()
    }

    /// The true boundary reached so far.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Takes the guessed `pieces` of the next segment, which ends at `end`, and hands the
    /// true pieces to `emit`, in order. The last one may reach beyond `end`.
    ///
    /// `recut` is asked for the piece that begins at an offset, always within this segment.
    pub fn segment<T, E>(
        &mut self,
        pieces: impl IntoIterator<Item = Piece<T>>,
        end: u64,
        mut recut: impl FnMut(u64) -> Result<Piece<T>, E>,
        mut emit: impl FnMut(Piece<T>) -> Result<(), E>,
    ) -> Result<(), E> {
        let _ = (pieces.into_iter().count(), end, &mut recut, &mut emit);
        todo!()
    }
}
