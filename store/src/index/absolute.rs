//! A place in the file system as the index keeps it.
//!
//! Owns: the type that says a path is absolute. Refuses: to look at the file system.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use bincode::de::Decoder;
use bincode::enc::Encoder;
use bincode::error::{DecodeError, EncodeError};
use bincode::{Decode, Encode};

/// An absolute path of any bytes, without `.` and `..`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AbsolutePath(PathBuf);

impl AbsolutePath {
    /// The path, if it is absolute and has no `..`. Double slashes and `.` are dropped.
    pub fn new(path: &Path) -> Option<Self> {
        let plain = path.is_absolute()
            && !path
                .components()
                .any(|part| matches!(part, std::path::Component::ParentDir));
        plain.then(|| Self(path.components().collect()))
    }

    /// The path.
    pub fn as_path(&self) -> &Path {
        &self.0
    }

    /// The bytes of the path.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_os_str().as_bytes()
    }

    /// The path with these bytes.
    pub fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
        Self::new(Path::new(&OsString::from_vec(bytes)))
    }
}

impl AsRef<Path> for AbsolutePath {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl fmt::Debug for AbsolutePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for AbsolutePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

impl Encode for AbsolutePath {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.as_bytes().encode(encoder)
    }
}

impl<Context> Decode<Context> for AbsolutePath {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        Self::from_bytes(Vec::decode(decoder)?)
            .ok_or_else(|| DecodeError::OtherString("the path is not absolute".to_owned()))
    }
}

bincode::impl_borrow_decode!(AbsolutePath);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_absolute_paths_are_taken() {
        assert!(AbsolutePath::new(Path::new("a/b")).is_none());
        assert!(AbsolutePath::new(Path::new("/a/../b")).is_none());
        let path = AbsolutePath::new(Path::new("//a/./b/")).expect("absolute");
        assert_eq!(path.as_path(), Path::new("/a/b"));
        assert_eq!(path.as_bytes(), b"/a/b");
        let odd = AbsolutePath::from_bytes(b"/a/\xff".to_vec()).expect("any bytes");
        let bytes = shoal_protocol::codec::encode(&odd);
        let back: AbsolutePath =
            shoal_protocol::codec::decode::<_, 4096>(&bytes).expect("round trip");
        assert_eq!(back, odd);
    }
}
