//! Who this node is: one Ed25519 key, made once and kept in its home.
//!
//! Owns: the secret key, its file, signing. Refuses: other people's keys. The file is text,
//! so that it can be looked at and moved; it is readable by its owner alone, and a file that
//! others may read is refused rather than used.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use libp2p_identity::ed25519;
use shoal_protocol::peer::{PeerKey, Signature};

/// The name of the identity file in a home.
pub const IDENTITY_FILE: &str = "identity";
/// What the file begins with; the number is its format.
const HEADER: &str = "shoal identity 1\n";
/// More than a well-formed file has.
const FILE_BYTES_MAX: u64 = 256;

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file cannot be read or written.
    #[error("cannot use the identity file {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file is there and holds something else.
    #[error("{path} is not an identity file of this version")]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// Other users of this machine may read or write the file.
    #[error("{path} is open to other users (mode {mode:03o}); it must be 600")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

/// The key of this node.
#[derive(Clone)]
pub struct Identity {
    keypair: ed25519::Keypair,
}

impl Identity {
    /// A fresh identity that is kept nowhere.
    pub fn generate() -> Self {
        Self {
            keypair: ed25519::Keypair::generate(),
        }
    }

    /// The identity with this secret (RFC 8032).
    pub fn from_secret(mut secret: [u8; 32]) -> Self {
        let secret = ed25519::SecretKey::try_from_bytes(&mut secret)
            .expect("any 32 bytes are an Ed25519 secret");
        Self {
            keypair: secret.into(),
        }
    }

    /// The identity of the node whose home this is; made if the home has none. The home
    /// must exist.
    pub fn load_or_create(home: &Path) -> Result<Self, IdentityError> {
        let path = home.join(IDENTITY_FILE);
        match Self::load(&path) {
            Err(IdentityError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                let identity = Self::generate();
                match identity.create(home, &path) {
                    // Another process was first: its key is the home's.
                    Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Self::load(&path),
                    Err(source) => Err(IdentityError::Io { path, source }),
                    Ok(()) => Ok(identity),
                }
            }
            loaded => loaded,
        }
    }

    fn load(path: &Path) -> Result<Self, IdentityError> {
        let io_error = |source| IdentityError::Io {
            path: path.to_owned(),
            source,
        };
        let malformed = || IdentityError::Malformed {
            path: path.to_owned(),
        };
        let file = File::open(path).map_err(io_error)?;
        let mode = file.metadata().map_err(io_error)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(IdentityError::Exposed {
                path: path.to_owned(),
                mode,
            });
        }
        let mut text = String::new();
        file.take(FILE_BYTES_MAX)
            .read_to_string(&mut text)
            .map_err(|_| malformed())?;
        let secret = text
            .strip_prefix(HEADER)
            .and_then(|rest| HEXLOWER.decode(rest.trim_end().as_bytes()).ok())
            .and_then(|secret| secret.try_into().ok())
            .ok_or_else(malformed)?;
        Ok(Self::from_secret(secret))
    }

    /// Writes the file whole or not at all, and never over another.
    fn create(&self, home: &Path, path: &Path) -> io::Result<()> {
        let draft = home.join(format!("{IDENTITY_FILE}.{}.new", std::process::id()));
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)?;
        let secret = self.keypair.secret();
        writeln!(file, "{HEADER}{}", HEXLOWER.encode(secret.as_ref()))?;
        file.sync_all()?;
        let linked = std::fs::hard_link(&draft, path);
        std::fs::remove_file(&draft)?;
        linked?;
        File::open(home)?.sync_all()
    }

    /// The public half, which others know this node by.
    pub fn peer_key(&self) -> PeerKey {
        PeerKey::of(&self.keypair)
    }

    /// Signs `message` as the kind of thing that `domain` names.
    pub fn sign(&self, domain: &str, message: &[u8]) -> Signature {
        Signature::new(&self.keypair, domain, message)
    }

    /// The key pair, for what takes one: grants, presentations, TLS.
    pub fn keypair(&self) -> &ed25519::Keypair {
        &self.keypair
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.peer_key())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_home_keeps_its_identity() {
        let home = tempfile::tempdir().unwrap();
        let first = Identity::load_or_create(home.path()).unwrap();
        let again = Identity::load_or_create(home.path()).unwrap();
        assert_eq!(first.peer_key(), again.peer_key());
        let names: Vec<_> = std::fs::read_dir(home.path()).unwrap().collect();
        assert_eq!(names.len(), 1, "no draft is left behind");
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let home = tempfile::tempdir().unwrap();
        Identity::load_or_create(home.path()).unwrap();
        let path = home.path().join(IDENTITY_FILE);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(
            Identity::load_or_create(home.path()),
            Err(IdentityError::Exposed { mode: 0o640, .. })
        ));
    }

    #[test]
    fn a_damaged_file_is_an_error_and_never_replaced() {
        let home = tempfile::tempdir().unwrap();
        Identity::load_or_create(home.path()).unwrap();
        let path = home.path().join(IDENTITY_FILE);
        std::fs::write(&path, "shoal identity 2\nabc").unwrap();
        assert!(matches!(
            Identity::load_or_create(home.path()),
            Err(IdentityError::Malformed { .. })
        ));
        assert!(std::fs::read_to_string(&path).unwrap().ends_with("abc"));
    }

    #[test]
    fn the_secret_is_not_in_debug_text() {
        let identity = Identity::from_secret([7; 32]);
        assert!(!format!("{identity:?}").contains("0707"));
        assert!(
            identity
                .peer_key()
                .verifies("d", b"m", &identity.sign("d", b"m"))
        );
    }
}
