//! Asking for pages and runs, and the answers.
//!
//! Owns: the messages that move data and the rules that make one self-consistent. Refuses:
//! bare chunk ids. A request names a snapshot and positions, because the right to read is a
//! right to a snapshot.

use bincode::{Decode, Encode};

use super::limits::{
    BASE_BYTES_MAX, BASES_BYTES_MAX, PAGE_BYTES_MAX, PAGES_PLAIN_BYTES_MAX, REQUEST_PAGES_MAX,
    RUN_BASES_MAX, RUN_BYTES_MAX, RUN_DATA_PLAIN_BYTES_MAX, RUN_RANGES_MAX,
};
use crate::bounded::List;
use crate::have::RangeSet;
use crate::id::{PageId, SnapshotId};

/// A request's number, chosen by the asker, unique among the connection's open requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct RequestId(pub u64);

/// What a message says about itself cannot be.
pub type Inconsistent = &'static str;

/// Asks for pages of a snapshot's lists.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct PageRequest {
    /// Comes back in the answers.
    pub request: RequestId,
    /// The snapshot that they belong to. A page of another is answered as one not held.
    pub snapshot: SnapshotId,
    /// Which pages.
    pub pages: List<PageId, REQUEST_PAGES_MAX>,
}

/// Some of the pages that were asked for; the payload is their bytes one behind the other.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Pages {
    /// From the request.
    pub request: RequestId,
    /// Whether this is the last answer: pages that no answer had are not here.
    pub last: bool,
    /// What the payload consists of.
    pub pages: List<PageHead, REQUEST_PAGES_MAX>,
}

/// One page in the payload of [`Pages`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct PageHead {
    /// Which.
    pub page: PageId,
    /// How its bytes travel.
    pub codec: PageCodec,
    /// Length of the page.
    pub plain_length: u32,
    /// Length in the payload.
    pub length: u32,
}

/// How the bytes of a page travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum PageCodec {
    /// As they are.
    Raw,
    /// A zstd frame.
    Zstd,
    /// A zstd frame with another page as its dictionary.
    ZstdWithBase(PageId),
}

impl Pages {
    /// Each page with its part of `payload`, which has the length that the frame said.
    pub fn split<'a>(
        &'a self,
        payload: &'a [u8],
    ) -> impl Iterator<Item = (&'a PageHead, &'a [u8])> + 'a {
        let mut rest = payload;
        self.pages.iter().map_while(move |head| {
            let (page, behind) = rest.split_at_checked(head.length as usize)?;
            rest = behind;
            Some((head, page))
        })
    }

    pub(super) fn check(&self, payload_bytes: usize) -> Result<(), Inconsistent> {
        let mut sum = 0u64;
        let mut plain = 0u64;
        for head in self.pages.iter() {
            check_lengths(head.codec == PageCodec::Raw, head.plain_length, head.length)?;
            if head.plain_length as usize > PAGE_BYTES_MAX {
                return Err("a page is too long");
            }
            sum += u64::from(head.length);
            plain += u64::from(head.plain_length);
        }
        if sum != payload_bytes as u64 {
            return Err("the pages' lengths are not the payload's");
        }
        if plain > PAGES_PLAIN_BYTES_MAX as u64 {
            return Err("the pages are too long together");
        }
        Ok(())
    }
}

/// Asks for the bytes of a snapshot at some positions.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct RunRequest {
    /// Comes back in the answers.
    pub request: RequestId,
    /// Of which snapshot.
    pub snapshot: SnapshotId,
    /// Which positions; they begin and end where chunks do.
    pub ranges: RangeSet,
    /// How the bytes may travel.
    pub codecs: Codecs,
    /// Higher is answered earlier, among the requests of this peer.
    pub priority: u8,
    /// What the asker has that resembles what it asks for, for [`Codec::ZstdWithBase`], in
    /// the order of positions. Each counts up to the position of the next.
    pub bases: List<Base, RUN_BASES_MAX>,
}

impl RunRequest {
    pub(super) fn check(&self) -> Result<(), Inconsistent> {
        if self.ranges.is_empty() {
            return Err("a run request asks for nothing");
        }
        if self.ranges.range_count() > RUN_RANGES_MAX {
            return Err("a run request has too many ranges");
        }
        if self.ranges.total_bytes() > RUN_BYTES_MAX {
            return Err("a run request asks for too much");
        }
        self.bases.iter().try_for_each(Base::check)?;
        if !self.bases.is_sorted_by(|a, b| a.position < b.position) {
            return Err("the bases are not in the order of positions");
        }
        if self.bases.iter().map(Base::bytes).sum::<u64>() > BASES_BYTES_MAX {
            return Err("the bases are too long together");
        }
        Ok(())
    }
}

/// Positions in another snapshot whose bytes resemble wanted ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Base {
    /// Where the resembling wanted bytes begin.
    pub position: u64,
    /// In this snapshot, which the asker has and may read,
    pub snapshot: SnapshotId,
    /// from here, where a chunk begins,
    pub start: u64,
    /// to before here, where one ends.
    pub end: u64,
}

impl Base {
    /// How long it is. Checked when it was read: it begins before it ends.
    pub const fn bytes(&self) -> u64 {
        self.end - self.start
    }

    fn check(&self) -> Result<(), Inconsistent> {
        check_base(self.start, self.end)
    }
}

fn check_base(start: u64, end: u64) -> Result<(), Inconsistent> {
    if start >= end || end - start > BASE_BYTES_MAX {
        return Err("a base is empty or too long");
    }
    Ok(())
}

/// How the bytes of a RunData travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Codec {
    /// As they are. Always a legal answer.
    Raw,
    /// A zstd frame.
    Zstd,
    /// A zstd frame with bytes of a snapshot, which the asker named as base, as its
    /// dictionary.
    ZstdWithBase {
        /// Of this snapshot,
        snapshot: SnapshotId,
        /// from this position
        start: u64,
        /// to before this one.
        end: u64,
    },
}

/// A set of codecs; raw is always in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Codecs(u8);

impl Codecs {
    /// Raw alone.
    pub const RAW: Codecs = Codecs(1);
    /// Zstd, and raw.
    pub const ZSTD: Codecs = Codecs(1 | 1 << 1);
    /// Zstd with a base, and raw.
    pub const ZSTD_WITH_BASE: Codecs = Codecs(1 | 1 << 2);

    /// What is in either.
    #[must_use]
    pub const fn and(self, other: Codecs) -> Codecs {
        Codecs(self.0 | other.0)
    }

    /// Whether an answer may travel by `codec`.
    pub const fn allows(self, codec: &Codec) -> bool {
        match codec {
            Codec::Raw => true,
            Codec::Zstd => self.0 & 1 << 1 != 0,
            Codec::ZstdWithBase { .. } => self.0 & 1 << 2 != 0,
        }
    }
}

/// Whole chunks of a run; the payload is their bytes, as `codec` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct RunData {
    /// From the request.
    pub request: RequestId,
    /// Where they begin; that is where a chunk begins.
    pub position: u64,
    /// How the bytes travel.
    pub codec: Codec,
    /// How many positions they cover: whatever the codec, exactly so many bytes come out.
    pub plain_length: u32,
}

impl RunData {
    /// The positions that it covers.
    pub fn range(&self) -> std::ops::Range<u64> {
        self.position..self.position + u64::from(self.plain_length)
    }

    pub(super) fn check(&self, payload_bytes: usize) -> Result<(), Inconsistent> {
        let length = u32::try_from(payload_bytes).map_err(|_| "a payload is too long")?;
        check_lengths(self.codec == Codec::Raw, self.plain_length, length)?;
        if self.plain_length as usize > RUN_DATA_PLAIN_BYTES_MAX {
            return Err("run data stands for too much");
        }
        if (self.position.checked_add(u64::from(self.plain_length))).is_none() {
            return Err("run data ends beyond every position");
        }
        match self.codec {
            Codec::ZstdWithBase { start, end, .. } => check_base(start, end),
            Codec::Raw | Codec::Zstd => Ok(()),
        }
    }
}

fn check_lengths(raw: bool, plain_length: u32, length: u32) -> Result<(), Inconsistent> {
    match () {
        () if plain_length == 0 || length == 0 => Err("data of no length"),
        () if raw && length != plain_length => Err("raw bytes have another length than they say"),
        () if length > plain_length => Err("compressed bytes are longer than plain ones"),
        () => Ok(()),
    }
}

/// The last answer to a [`RunRequest`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct RunEnd {
    /// From the request.
    pub request: RequestId,
    /// How it went.
    pub outcome: Outcome,
}

/// How a request for a run went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Outcome {
    /// Everything was sent.
    Complete,
    /// What was not sent is not on offer (any more).
    NotHeld,
    /// The asker cancelled it.
    Cancelled,
    /// This node could not read what it offers; it will look into it.
    Failed,
}

/// Not now. Ends the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Busy {
    /// From the request.
    pub request: RequestId,
    /// When to ask again, in milliseconds.
    pub retry_ms: u32,
}

/// The answer is not wanted any more. What is on its way still comes, then a
/// [`RunEnd`] with [`Outcome::Cancelled`] (or what it was, if it was over by then).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Cancel {
    /// From the request.
    pub request: RequestId,
}
