//! The sizes that decide where chunks end. They are part of a snapshot's identity.

use crate::snapshot::ProfileId;

/// The longest chunk that any profile may give, in bytes. Manifests and content lists that
/// name a longer one are refused.
pub const CHUNK_BYTES_MAX: u32 = 1024 * 1024;

/// Profile 1: 16, 64 and 256 KiB.
pub const PROFILE_1: Profile = Profile::new(ProfileId(1), 16 * 1024, 64 * 1024, 256 * 1024);

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
    /// A chunk shorter than `average` ends where the rolling hash has none of these bits,
    /// which is rarer than `mask_long` by normalization level 1.
    pub(super) mask_short: u64,
    /// As `mask_short`, from `average` on.
    pub(super) mask_long: u64,
}

impl Profile {
    /// Checks what `fastcdc` only asserts in debug builds. Used for constants alone, so
    /// that wrong sizes do not compile.
    const fn new(id: ProfileId, min: usize, average: usize, max: usize) -> Self {
        use fastcdc::v2020::{MASKS, MINIMUM_MIN};
        assert!(MINIMUM_MIN <= min && min < average && average < max);
        assert!(max <= CHUNK_BYTES_MAX as usize);
        assert!(min.is_multiple_of(2) && max.is_multiple_of(2) && average.is_power_of_two());
        let bits = average.ilog2() as usize;
        Self {
            id,
            min,
            average,
            max,
            mask_short: MASKS[bits + 1],
            mask_long: MASKS[bits - 1],
        }
    }

    /// The profile that snapshots name by this number, if this build knows it.
    pub fn of(id: ProfileId) -> Option<Profile> {
        (id == PROFILE_1.id).then_some(PROFILE_1)
    }
}
