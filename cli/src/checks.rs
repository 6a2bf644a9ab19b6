//! What `doctor` can see of this machine without a node.
//!
//! Owns: the checks, what is enough, and the next step where it is not. Refuses: to change
//! anything but a file that it makes in the home and removes again.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::process::{Resource, getrlimit};
use shoal_node::api::{Check, Verdict};
use shoal_node::config::Config;

use crate::ui::format;

/// Open files that a busy node needs, with room to spare.
const FILES_ENOUGH: u64 = 4096;
/// With fewer open files than this a node cannot work.
const FILES_MIN: u64 = 256;
/// Free room below which the next download is likely to fail.
const ROOM_SCARCE: u64 = 5_000_000_000;
/// Free room below which the store itself is in danger.
const ROOM_MIN: u64 = 200_000_000;
/// No shoal was built before this moment (2026-01-01), so no clock should show less.
const BUILT_AFTER_UNIX_S: u64 = 1_767_225_600;
/// The port of `shoal up` where the configuration names none.
const PORT: u16 = 4747;

/// File systems that several machines share, by their magic number (statfs(2)).
const NETWORK: [(u64, &str); 10] = [
    (0x6969, "NFS"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB"),
    (0x517b, "SMB"),
    (0x00c3_6400, "Ceph"),
    (0x0bd0_0bd0, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0x1983_0326, "BeeGFS"),
    (0x0102_1997, "9P"),
    (0x5346_414f, "AFS"),
];

/// All of them, for this home and with what the flags say about the settings.
pub fn all(home: &Path, flags: &[(String, String)], node_runs: bool) -> Vec<Check> {
    let mut checks = vec![
        configuration(home, flags),
        place(home),
        identity(home),
        index(home),
        file_system(home),
        room(home),
    ];
    checks.extend(reflinks(home));
    checks.extend([open_files(), clock(home), runtime_dir()]);
    if !node_runs {
        let listen = Config::load(home, flags).map(|loaded| loaded.config.listen);
        checks.extend(ports(&listen.unwrap_or_default()));
    }
    checks
}

fn check(name: &str, verdict: Verdict, finding: impl Into<String>) -> Check {
    Check {
        name: name.to_owned(),
        verdict,
        finding: finding.into(),
        hint: None,
    }
}

fn good(name: &str, finding: impl Into<String>) -> Check {
    check(name, Verdict::Good, finding)
}

fn warning(name: &str, finding: impl Into<String>, hint: impl Into<String>) -> Check {
    Check {
        hint: Some(hint.into()),
        ..check(name, Verdict::Warning, finding)
    }
}

fn bad(name: &str, finding: impl Into<String>, hint: impl Into<String>) -> Check {
    Check {
        hint: Some(hint.into()),
        ..check(name, Verdict::Bad, finding)
    }
}

fn configuration(home: &Path, flags: &[(String, String)]) -> Check {
    let path = Config::path(home);
    match Config::load(home, flags) {
        Err(error) => bad("config", error.message, format!("edit {}", path.display())),
        Ok(_) if path.exists() => good("config", path.display().to_string()),
        Ok(_) => good(
            "config",
            format!("defaults ({} is not there)", path.display()),
        ),
    }
}

/// The home, or of one that is yet to be made the nearest folder that exists.
fn existing(home: &Path) -> PathBuf {
    let exists = home.ancestors().find(|path| path.is_dir());
    exists.unwrap_or(Path::new("/")).to_owned()
}

fn place(home: &Path) -> Check {
    let shown = home.display();
    let hint = "give another place with --home or SHOAL_HOME";
    let meta = match home.metadata() {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = existing(home);
            return match rustix::fs::access(&parent, rustix::fs::Access::WRITE_OK) {
                Ok(()) => good("home", format!("{shown} will be made when it is needed")),
                Err(_) => bad(
                    "home",
                    format!("{} cannot be written to", parent.display()),
                    hint,
                ),
            };
        }
        Err(error) => return bad("home", format!("{shown}: {error}"), hint),
    };
    if !meta.is_dir() {
        return bad("home", format!("{shown} is not a folder"), hint);
    }
    if meta.uid() != rustix::process::geteuid().as_raw() {
        return bad("home", format!("{shown} belongs to another user"), hint);
    }
    if let Err(error) = probe(home) {
        return bad(
            "home",
            format!("{shown} cannot be written to: {error}"),
            hint,
        );
    }
    if meta.permissions().mode() & 0o022 != 0 {
        return warning(
            "home",
            format!("other users may write to {shown}"),
            format!("chmod go-w {shown}"),
        );
    }
    good("home", shown.to_string())
}

/// Whether the secret key is this user's alone, as every command wants it.
fn identity(home: &Path) -> Check {
    let name = "identity";
    let path = home.join("identity");
    match path.metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            good(name, "will be made when it is needed")
        }
        Err(error) => bad(
            name,
            format!("{}: {error}", path.display()),
            "make it readable for this user",
        ),
        Ok(meta) if meta.permissions().mode() & 0o077 != 0 => bad(
            name,
            format!("{} is open to other users", path.display()),
            format!("chmod 600 {}", path.display()),
        ),
        Ok(_) => good(name, "this user's alone"),
    }
}

/// Whether the index is there where there are packs.
fn index(home: &Path) -> Check {
    let packs = std::fs::read_dir(home.join("packs"));
    let has_packs = packs.is_ok_and(|mut packs| packs.next().is_some());
    if has_packs && !home.join("index.redb").exists() {
        return warning(
            "index",
            "it is missing",
            "the next command rebuilds it from the packs; add in-place files again then",
        );
    }
    good("index", "in its place")
}

/// Makes a file in `home` that is gone when the handle is.
fn probe(home: &Path) -> io::Result<File> {
    let path = home.join(format!(".doctor-{}", std::process::id()));
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

fn file_system(home: &Path) -> Check {
    let Ok(stat) = rustix::fs::statfs(existing(home)) else {
        return warning("file system", "cannot be asked", "look at it with `df -T`");
    };
    // The width of the field differs between platforms; magic numbers have 32 bits.
    let magic = stat.f_type as u64 & 0xffff_ffff;
    match NETWORK.iter().find(|(number, _)| *number == magic) {
        Some((_, name)) => bad(
            "file system",
            format!("the home is on {name}, which other machines may write to as well"),
            "put it on a local disk: SHOAL_HOME=/var/tmp/$USER/shoal",
        ),
        None => good("file system", "local"),
    }
}

fn room(home: &Path) -> Check {
    let Ok(stat) = rustix::fs::statvfs(existing(home)) else {
        return warning("room", "cannot be asked", "look at it with `df -h`");
    };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let total = stat.f_blocks.saturating_mul(stat.f_frsize);
    let finding = format!("{} free of {}", format::bytes(free), format::bytes(total));
    match free {
        0..ROOM_MIN => bad(
            "room",
            finding,
            "free some, or move the home to another disk",
        ),
        ROOM_MIN..ROOM_SCARCE => warning("room", finding, "a large `get` may not fit"),
        _ => good("room", finding),
    }
}

/// Whether `add` must copy. Nothing where there is no home to try it in.
fn reflinks(home: &Path) -> Option<Check> {
    let (source, target) = (probe(home).ok()?, probe(home).ok()?);
    let cloned = rustix::fs::ioctl_ficlone(&target, &source);
    Some(match cloned {
        Ok(()) => good(
            "reflinks",
            "yes: `add` takes no room for bytes that are on this disk",
        ),
        Err(_) => good(
            "reflinks",
            "no: `add` copies; `share`, `get` and `add --in-place` do not",
        ),
    })
}

fn open_files() -> Check {
    let limit = getrlimit(Resource::Nofile);
    let hint = "raise it: `ulimit -n 65536`, or LimitNOFILE= in a unit";
    match limit.current {
        None => good("open files", "no limit"),
        Some(files) if files < FILES_MIN => bad("open files", format!("at most {files}"), hint),
        Some(files) if files < FILES_ENOUGH => warning(
            "open files",
            format!("at most {}", format::count(files)),
            hint,
        ),
        Some(files) => good("open files", format!("at most {}", format::count(files))),
    }
}

/// Tickets expire by the clock, so a wrong one refuses good tickets or honours old ones.
fn clock(home: &Path) -> Check {
    let now = SystemTime::now();
    let unix_s = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let hint = "set it, best by NTP: `timedatectl set-ntp true`";
    if unix_s < BUILT_AFTER_UNIX_S {
        return bad(
            "clock",
            format!("shows {}, which is past", format::utc(unix_s)),
            hint,
        );
    }
    let newest = std::fs::read_dir(home)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.metadata().ok()?.modified().ok())
        .max();
    match newest.and_then(|newest| newest.duration_since(now).ok()) {
        Some(ahead) if ahead > Duration::from_secs(60) => warning(
            "clock",
            format!(
                "files in the home are {} younger than now",
                format::coarse(ahead.as_secs())
            ),
            hint,
        ),
        _ => good("clock", format::utc(unix_s)),
    }
}

fn runtime_dir() -> Check {
    let name = "socket";
    let Some(dir) = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from) else {
        return good(name, "in the home (XDG_RUNTIME_DIR is not set)");
    };
    let fallback = "the socket will lie in the home; nothing else is affected";
    match dir.metadata() {
        Ok(meta) if !meta.is_dir() => warning(
            name,
            format!("XDG_RUNTIME_DIR={} is not a folder", dir.display()),
            fallback,
        ),
        Ok(meta) if meta.uid() != rustix::process::geteuid().as_raw() => warning(
            name,
            format!("XDG_RUNTIME_DIR={} belongs to another user", dir.display()),
            fallback,
        ),
        Ok(_) => good(name, format!("in {}", dir.display())),
        Err(error) => warning(
            name,
            format!("XDG_RUNTIME_DIR={}: {error}", dir.display()),
            fallback,
        ),
    }
}

/// Whether `up` could listen where it will try to.
fn ports(listen: &[SocketAddr]) -> Vec<Check> {
    let default = [SocketAddr::from(([0, 0, 0, 0], PORT))];
    let addresses = if listen.is_empty() { &default } else { listen };
    addresses.iter().map(|address| port(*address)).collect()
}

fn port(address: SocketAddr) -> Check {
    match TcpListener::bind(address) {
        Ok(_) => good("port", format!("{address} is free for `shoal up`")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => warning(
            "port",
            format!("{address} is in use by another program"),
            format!(
                "find it with `ss -ltnp 'sport = :{}'`, or set `listen`",
                address.port()
            ),
        ),
        Err(error) => bad(
            "port",
            format!("cannot listen on {address}: {error}"),
            "set `listen` to an address of this machine",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ok_comes_with_a_next_step() {
        let home = std::env::temp_dir().join("there-is-no-such-home");
        for check in all(&home, &[], false) {
            assert!(
                check.verdict == Verdict::Good || check.hint.is_some(),
                "{check:?}"
            );
        }
    }

    #[test]
    fn a_port_in_use_is_noticed() {
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = holder.local_addr().unwrap();
        assert_eq!(port(address).verdict, Verdict::Warning);
        drop(holder);
    }

    #[test]
    fn a_file_is_no_home() {
        let file = std::env::current_exe().unwrap();
        assert_eq!(place(&file).verdict, Verdict::Bad);
    }
}
