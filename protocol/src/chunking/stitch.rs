//! Joins segments that were cut apart from each other.

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
/// Each segment was cut with [`cuts`](super::cuts) as though a chunk began at its start.
/// That is a guess: the chunk before it may reach into it. Given the segments in order, the
/// stitcher cuts again from the true boundary until it meets one of the segment's own, from
/// where on the guess was right, because a cut depends only on where its chunk begins.
/// In most data they meet after a few chunks.
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

    /// Takes the guessed `pieces` of the next segment, which ends at `end` (or, if it is the
    /// last one, of the file), and hands the true pieces to `emit`, in order. The last one
    /// may reach beyond `end`.
    ///
    /// `recut` is asked for the piece that begins at an offset, always within this segment;
    /// it needs the same bytes behind it as [`next_cut`](super::next_cut).
    pub fn segment<T, E>(
        &mut self,
        pieces: impl IntoIterator<Item = Piece<T>>,
        end: u64,
        mut recut: impl FnMut(u64) -> Result<Piece<T>, E>,
        mut emit: impl FnMut(Piece<T>) -> Result<(), E>,
    ) -> Result<(), E> {
        for piece in pieces {
            while self.at < piece.offset {
                self.take(recut(self.at)?, &mut emit)?;
            }
            if self.at == piece.offset {
                self.take(piece, &mut emit)?;
            }
        }
        while self.at < end {
            self.take(recut(self.at)?, &mut emit)?;
        }
        Ok(())
    }

    fn take<T, E>(
        &mut self,
        piece: Piece<T>,
        emit: &mut impl FnMut(Piece<T>) -> Result<(), E>,
    ) -> Result<(), E> {
        assert!(
            piece.offset == self.at && piece.length > 0,
            "a piece begins where the one before it ended"
        );
        self.at = piece.end();
        emit(piece)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::super::{PROFILE_1, cuts, next_cut};
    use super::*;
    use proptest::prelude::*;

    fn stitched(data: &[u8], segment_bytes: usize) -> Vec<(u64, u32)> {
        let mut stitcher = Stitcher::new();
        let mut joined = Vec::new();
        for start in (0..data.len()).step_by(segment_bytes) {
            let until = segment_bytes.min(data.len() - start);
            let reach = (start + until + PROFILE_1.max).min(data.len());
            let guessed = cuts(&PROFILE_1, &data[start..reach], until).map(|range| Piece {
                offset: (start + range.start) as u64,
                length: range.len() as u32,
                value: (),
            });
            let recut = |offset: u64| {
                assert!((start as u64..(start + until) as u64).contains(&offset));
                Ok::<_, Infallible>(Piece {
                    offset,
                    length: next_cut(&PROFILE_1, &data[offset as usize..]) as u32,
                    value: (),
                })
            };
            stitcher
                .segment(guessed, (start + until) as u64, recut, |piece| {
                    joined.push((piece.offset, piece.length));
                    Ok(())
                })
                .expect("infallible");
        }
        assert_eq!(stitcher.at(), data.len() as u64);
        joined
    }

    fn sequential(data: &[u8]) -> Vec<(u64, u32)> {
        cuts(&PROFILE_1, data, data.len())
            .map(|range| (range.start as u64, range.len() as u32))
            .collect()
    }

    fn patterned(seed: &[u8], length: usize, period: usize) -> Vec<u8> {
        let mut block = vec![0; length.min(period)];
        blake3::Hasher::new()
            .update(seed)
            .finalize_xof()
            .fill(&mut block);
        block.iter().copied().cycle().take(length).collect()
    }

    #[test]
    fn zeros_which_never_meet_are_cut_as_in_sequence() {
        for segment_bytes in [262_144, 262_145, 300_000, 1 << 20] {
            let data = vec![0; 2_000_003];
            assert_eq!(stitched(&data, segment_bytes), sequential(&data));
        }
    }

    #[test]
    fn segments_meet_soon_in_noise() {
        let data = patterned(b"noise", 8 << 20, usize::MAX);
        let mut recuts = 0;
        let mut stitcher = Stitcher::new();
        for start in (0..data.len()).step_by(1 << 20) {
            let guessed = cuts(&PROFILE_1, &data[start..], 1 << 20).map(|range| Piece {
                offset: (start + range.start) as u64,
                length: range.len() as u32,
                value: (),
            });
            let recut = |offset: u64| {
                recuts += 1;
                Ok::<_, Infallible>(Piece {
                    offset,
                    length: next_cut(&PROFILE_1, &data[offset as usize..]) as u32,
                    value: (),
                })
            };
            stitcher
                .segment(guessed, (start + (1 << 20)) as u64, recut, |_| Ok(()))
                .expect("infallible");
        }
        assert!(recuts < 7 * 8, "{recuts} pieces were cut twice");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn segments_join_to_the_sequential_cut(
            seed: [u8; 8],
            length in prop_oneof![0usize..50_000, 0usize..1_500_000],
            period in prop_oneof![Just(usize::MAX), 1usize..300, 10_000usize..400_000],
            segment_bytes in prop_oneof![10_000usize..100_000, 100_000usize..900_000],
        ) {
            let data = patterned(&seed, length, period);
            prop_assert_eq!(stitched(&data, segment_bytes), sequential(&data));
        }
    }
}
