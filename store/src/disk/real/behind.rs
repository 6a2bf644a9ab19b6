//! Writing bytes that are not read again soon.
//!
//! Owns: the ways that systems have to say so. A page cache that is filled with bytes on
//! their way out takes memory from the files that are in use, and on a virtual machine fresh
//! memory costs more than the copy into it. Refuses: to wait for the medium.

use std::fs::File;
use std::io::{self, IoSlice};

/// Writes all of `parts` at `offset`, one behind the other.
pub(super) fn write(file: &File, offset: u64, parts: &[&[u8]]) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    return linux::write(file, offset, parts);
    #[cfg(not(target_os = "linux"))]
    write_cached(file, offset, parts)
}

fn write_cached(file: &File, mut offset: u64, parts: &[&[u8]]) -> io::Result<()> {
    for part in parts {
        std::os::unix::fs::FileExt::write_all_at(file, part, offset)?;
        offset += part.len() as u64;
    }
    Ok(())
}

#[cfg(target_os = "linux")]
mod linux {
    use std::num::NonZeroU64;
    use std::sync::LazyLock;

    use rustix::fs::Advice;
    use rustix::io::{Errno, ReadWriteFlags, pwritev2};

    use super::{File, IoSlice, io, write_cached};

    /// `RWF_DONTCACHE`: written through the page cache, which lets go of the pages as soon as
    /// they are written (`include/uapi/linux/fs.h`).
    const DONT_CACHE: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x80);

    /// Linux has the flag since 6.14; before 6.16 it could let go of a page that had been
    /// written to again (fixed by "mm/filemap: gate dropbehind invalidate on folio !dirty").
    static CAN: LazyLock<bool> = LazyLock::new(|| {
        let name = rustix::system::uname();
        kernel_version(&name.release().to_string_lossy()) >= (6, 16)
    });

    pub(super) fn write(file: &File, offset: u64, parts: &[&[u8]]) -> io::Result<()> {
        if *CAN && write_uncached(file, offset, parts)? {
            return Ok(());
        }
        write_cached(file, offset, parts)?;
        // Begins with starting the writeback of what is dirty; then it drops what is clean
        // already. (`sync_file_range` would say it better, and has no safe wrapper.)
        let length = parts.iter().map(|part| part.len() as u64).sum();
        if let Some(length) = NonZeroU64::new(length) {
            // A hint: it changes nothing if it fails.
            let _ = rustix::fs::fadvise(file, offset, Some(length), Advice::DontNeed);
        }
        Ok(())
    }

    /// Whether this file system knows the flag; if not, nothing was written.
    fn write_uncached(file: &File, mut offset: u64, parts: &[&[u8]]) -> io::Result<bool> {
        let mut slices: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let mut left = &mut slices[..];
        IoSlice::advance_slices(&mut left, 0);
        let start = offset;
        while !left.is_empty() {
            match pwritev2(file, left, offset, DONT_CACHE) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    offset += written as u64;
                    IoSlice::advance_slices(&mut left, written);
                }
                Err(Errno::INTR) => {}
                Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) if offset == start => {
                    return Ok(false);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    /// Major and minor number of a release such as `6.18.44-generic`; zeros for what cannot
    /// be read.
    fn kernel_version(release: &str) -> (u32, u32) {
        let mut numbers = release
            .split(|c: char| !c.is_ascii_digit())
            .map(|number| number.parse().unwrap_or(0));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
    }

    #[test]
    fn kernel_versions_are_compared_as_numbers() {
        assert_eq!(kernel_version("6.18.44-fc"), (6, 18));
        assert_eq!(kernel_version("10.2"), (10, 2));
        assert_eq!(kernel_version("strange"), (0, 0));
        assert!(kernel_version("6.9.1") < (6, 16));
    }
}
