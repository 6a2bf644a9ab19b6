//! Which file systems lie on another machine.
//!
//! Owns: the list. Refuses: to guess; what is not on the list counts as local. Recognised by
//! the number that `statfs` gives: NFS, SMB and CIFS, Ceph, Lustre, AFS, Coda, 9P, NCP, GPFS,
//! BeeGFS, PanFS, OrangeFS, VirtualBox shared folders. FUSE has one number for all, so there
//! the type in `/proc/self/mountinfo` decides: sshfs, GlusterFS, Ceph, s3fs, rclone and
//! others are refused, local ones (mergerfs, ntfs-3g, virtiofs) are not.

use std::io;
use std::os::fd::BorrowedFd;

#[cfg(target_os = "linux")]
const MAGICS: [(u64, &str); 18] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x00c3_6400, "Ceph"),
    (0x0bd0_0bd0, "Lustre"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x0102_1997, "9P"),
    (0x564c, "NCP"),
    (0x4750_4653, "GPFS"),
    (0x1983_0326, "BeeGFS"),
    (0xaad7_aaea, "PanFS"),
    (0x2003_0528, "OrangeFS"),
    (0x786f_4256, "VirtualBox shared folder"),
    (0x7461_636f, "OCFS2"),
    (0x0116_1970, "GFS2"),
];

#[cfg(target_os = "linux")]
const FUSE: u64 = 0x6573_5546;

#[cfg(target_os = "linux")]
const FUSE_TYPES: [(&str, &str); 14] = [
    ("fuse.sshfs", "sshfs"),
    ("fuse.glusterfs", "GlusterFS"),
    ("fuse.ceph", "Ceph"),
    ("fuse.ceph-fuse", "Ceph"),
    ("fuse.s3fs", "s3fs"),
    ("fuse.rclone", "rclone"),
    ("fuse.gcsfuse", "gcsfuse"),
    ("fuse.goofys", "goofys"),
    ("fuse.juicefs", "JuiceFS"),
    ("fuse.mfs", "MooseFS"),
    ("fuse.davfs", "davfs"),
    ("fuse.seaweedfs", "SeaweedFS"),
    ("fuse.blobfuse", "blobfuse"),
    ("fuse.cvmfs2", "CernVM-FS"),
];

/// The name of the network file system that `fd` is on; nothing if it is on none.
#[cfg(target_os = "linux")]
pub(super) fn kind(fd: BorrowedFd<'_>) -> io::Result<Option<&'static str>> {
    // The kernel's word may be sign-extended on some machines.
    let magic = rustix::fs::fstatfs(fd)?.f_type as u64 & 0xffff_ffff;
    if magic == FUSE {
        let device = rustix::fs::fstat(fd)?.st_dev;
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        return Ok(fuse_kind(
            &mounts,
            rustix::fs::major(device),
            rustix::fs::minor(device),
        ));
    }
    Ok(name_of(magic))
}

#[cfg(target_os = "linux")]
fn name_of(magic: u64) -> Option<&'static str> {
    let found = MAGICS.iter().find(|(number, _)| *number == magic);
    found.map(|(_, name)| *name)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn kind(_fd: BorrowedFd<'_>) -> io::Result<Option<&'static str>> {
    Ok(None)
}

/// Finds the mount of a device in the text of mountinfo (proc(5)): the third field is the
/// device, the type is the first field behind a lone hyphen.
#[cfg(target_os = "linux")]
fn fuse_kind(mounts: &str, major: u32, minor: u32) -> Option<&'static str> {
    let device = format!("{major}:{minor}");
    let kind = mounts.lines().find_map(|line| {
        let (mount, file_system) = line.split_once(" - ")?;
        (mount.split(' ').nth(2)? == device).then(|| file_system.split(' ').next())?
    })?;
    FUSE_TYPES
        .iter()
        .find(|(name, _)| *name == kind)
        .map(|(_, name)| *name)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn far_file_systems_are_known_by_their_number_and_near_ones_are_not_on_the_list() {
        // As in linux/magic.h: NFS, SMB2, Ceph; ext4, XFS, Btrfs, tmpfs, overlayfs.
        for (magic, name) in [
            (0x6969, "NFS"),
            (0xfe53_4d42, "SMB2"),
            (0x00c3_6400, "Ceph"),
        ] {
            assert_eq!(name_of(magic), Some(name));
        }
        for magic in [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630] {
            assert_eq!(name_of(magic), None);
        }
    }

    #[test]
    fn fuse_mounts_are_told_apart_by_their_type() {
        let mounts = "\
            36 25 0:32 / /mnt/far rw,relatime shared:1 - fuse.sshfs me@far:/ rw\n\
            37 25 0:33 / /mnt/union rw - fuse.mergerfs a:b rw\n";
        assert_eq!(fuse_kind(mounts, 0, 32), Some("sshfs"));
        assert_eq!(fuse_kind(mounts, 0, 33), None);
        assert_eq!(fuse_kind(mounts, 0, 34), None);
    }
}
