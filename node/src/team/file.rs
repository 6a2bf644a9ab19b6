//! The file in a home that remembers the team.
//!
//! Owns: its format, and writing it whole or not at all, readable by its owner alone: the
//! discovery secret stands in it. Refuses: a file that others may read, and one that this
//! version did not write.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use bincode::{Decode, Encode};
use shoal_protocol::access::team::{
    EpochSecret, InvitationRecord, SignedOperation, TEAM_BYTES_MAX, TeamName,
};
use shoal_protocol::bounded::List;
use shoal_protocol::codec;
use shoal_protocol::peer::PeerKey;

/// The name of the file in a home.
const TEAM_FILE: &str = "team";
/// What it begins with; the number is its format.
const HEADER: &[u8] = b"shoal team 1\n";
/// Invitations that are remembered at once.
pub(super) const INVITATIONS_MAX: usize = 256;
/// Secrets that are remembered: of the epoch in force, and of some before it.
pub(super) const SECRETS_MAX: usize = 4;
/// More than a well-formed file has: the operations, the rest, and lengths.
const FILE_BYTES_MAX: usize = 2 * TEAM_BYTES_MAX;

/// What is remembered.
#[derive(Debug, Clone, Encode, Decode)]
pub(super) struct Remembered {
    pub(super) root: PeerKey,
    pub(super) name: TeamName,
    /// In the order in which they merge.
    pub(super) operations: Vec<SignedOperation>,
    /// By the number of their epochs.
    pub(super) secrets: List<(u64, EpochSecret), SECRETS_MAX>,
    /// That this node made.
    pub(super) invitations: List<InvitationRecord, INVITATIONS_MAX>,
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TeamFileError {
    /// It cannot be read or written.
    #[error("cannot use the team file {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It holds something else.
    #[error("{path} is not a team file of this version, or is damaged")]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// Other users of this machine may read or write it.
    #[error("{path} is open to other users (mode {mode:03o}); it must be 600")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

fn io_error(path: &Path) -> impl Fn(io::Error) -> TeamFileError + '_ {
    move |source| TeamFileError::Io {
        path: path.to_owned(),
        source,
    }
}

/// What the home remembers; nothing if it is in no team.
pub(super) fn load(home: &Path) -> Result<Option<Remembered>, TeamFileError> {
    let path = home.join(TEAM_FILE);
    let file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(io_error(&path))?,
    };
    let mode = file
        .metadata()
        .map_err(io_error(&path))?
        .permissions()
        .mode()
        & 0o777;
    if mode & 0o077 != 0 {
        return Err(TeamFileError::Exposed { path, mode });
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX as u64)
        .read_to_end(&mut bytes)
        .map_err(io_error(&path))?;
    let body = bytes.strip_prefix(HEADER);
    let remembered = body.and_then(|body| codec::decode_canonical::<_, FILE_BYTES_MAX>(body).ok());
    remembered
        .map(Some)
        .ok_or(TeamFileError::Malformed { path })
}

/// Replaces what the home remembers; it survives a power cut when this returns.
pub(super) fn save(home: &Path, remembered: &Remembered) -> Result<(), TeamFileError> {
    let path = home.join(TEAM_FILE);
    let write = || {
        let draft = home.join(format!("{TEAM_FILE}.new"));
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)?;
        file.write_all(HEADER)?;
        file.write_all(&codec::encode(remembered))?;
        file.sync_all()?;
        std::fs::rename(&draft, &path)?;
        File::open(home)?.sync_all()
    };
    write().map_err(io_error(&path))
}
