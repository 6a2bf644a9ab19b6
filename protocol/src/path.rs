//! Paths inside an artifact: relative, contained, ordered so that a directory's content is
//! contiguous.
//!
//! Owns: the only type that may become a file name at export. Once a [`ManifestPath`]
//! exists nothing needs to check it again. Refuses: absolute paths, `.` and `..`, empty
//! components, NUL, and lengths that file systems do not take.

use std::cmp::Ordering;
use std::fmt;

use bincode::{Decode, Encode};

use crate::codec;

/// The longest path, in bytes.
pub const PATH_BYTES_MAX: usize = 4096;
/// The longest component, in bytes.
pub const COMPONENT_BYTES_MAX: usize = 255;
/// The most components.
pub const DEPTH_MAX: usize = 256;

/// Why a text is not a path inside an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Nothing at all.
    #[error("the path is empty")]
    Empty,
    /// Longer than [`PATH_BYTES_MAX`].
    #[error("the path is longer than {PATH_BYTES_MAX} bytes")]
    TooLong,
    /// A component longer than [`COMPONENT_BYTES_MAX`].
    #[error("a component is longer than {COMPONENT_BYTES_MAX} bytes")]
    ComponentTooLong,
    /// More than [`DEPTH_MAX`] components.
    #[error("the path is deeper than {DEPTH_MAX}")]
    TooDeep,
    /// Begins with `/`.
    #[error("the path is absolute")]
    Absolute,
    /// `//`, or a `/` at the end.
    #[error("the path has an empty component")]
    EmptyComponent,
    /// `.` or `..`.
    #[error("the path has a `.` or `..` component")]
    DotComponent,
    /// A NUL byte.
    #[error("the path has a NUL byte")]
    Nul,
}

/// A relative path of `/`-separated components, kept byte for byte as it was given.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ManifestPath(String);

impl ManifestPath {
    /// The path with this text.
    pub fn new(text: impl Into<String>) -> Result<Self, PathError> {
        let text = text.into();
        check(&text)?;
        Ok(Self(text))
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The components, outermost first.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// The last component.
    pub fn file_name(&self) -> &str {
        self.0
            .rsplit('/')
            .next()
            .expect("split gives at least one part")
    }

    /// The path without its last component; nothing for a path of one component.
    pub fn parent(&self) -> Option<ManifestPath> {
        self.0.rsplit_once('/').map(|(dir, _)| Self(dir.to_owned()))
    }

    /// Whether `self` is `dir` or lies inside it.
    pub fn is_within(&self, dir: &ManifestPath) -> bool {
        self.0
            .strip_prefix(&dir.0)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

fn check(text: &str) -> Result<(), PathError> {
    if text.is_empty() {
        return Err(PathError::Empty);
    }
    if text.len() > PATH_BYTES_MAX {
        return Err(PathError::TooLong);
    }
    if text.starts_with('/') {
        return Err(PathError::Absolute);
    }
    if text.contains('\0') {
        return Err(PathError::Nul);
    }
    let mut depth = 0;
    for component in text.split('/') {
        depth += 1;
        match component {
            "" => return Err(PathError::EmptyComponent),
            "." | ".." => return Err(PathError::DotComponent),
            long if long.len() > COMPONENT_BYTES_MAX => return Err(PathError::ComponentTooLong),
            _ => {}
        }
    }
    if depth > DEPTH_MAX {
        return Err(PathError::TooDeep);
    }
    Ok(())
}

/// Bytewise, with `/` lower than every other byte: `a`, `a/b`, `a-b`. A file and a
/// directory of the same name are therefore neighbours.
impl Ord for ManifestPath {
    fn cmp(&self, other: &Self) -> Ordering {
        let rank = |byte: u8| if byte == b'/' { 0 } else { byte };
        let (a, b) = (self.0.as_bytes(), other.0.as_bytes());
        match a.iter().zip(b).find(|(a, b)| a != b) {
            Some((&a, &b)) => rank(a).cmp(&rank(b)),
            None => a.len().cmp(&b.len()),
        }
    }
}

impl PartialOrd for ManifestPath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for ManifestPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ManifestPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl std::str::FromStr for ManifestPath {
    type Err = PathError;
    fn from_str(text: &str) -> Result<Self, PathError> {
        Self::new(text)
    }
}

impl Encode for ManifestPath {
    fn encode<E: bincode::enc::Encoder>(
        &self,
        encoder: &mut E,
    ) -> Result<(), bincode::error::EncodeError> {
        codec::encode_text(&self.0, encoder)
    }
}

impl<Context> Decode<Context> for ManifestPath {
    fn decode<D: bincode::de::Decoder<Context = Context>>(
        decoder: &mut D,
    ) -> Result<Self, bincode::error::DecodeError> {
        let text = codec::decode_text(PATH_BYTES_MAX, decoder)?;
        Self::new(text).map_err(codec::malformed)
    }
}

bincode::impl_borrow_decode!(ManifestPath);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn unsafe_paths_are_refused() {
        let long = "x".repeat(256);
        let deep = vec!["d"; 257].join("/");
        for (text, error) in [
            ("", PathError::Empty),
            ("/etc/passwd", PathError::Absolute),
            ("a//b", PathError::EmptyComponent),
            ("a/", PathError::EmptyComponent),
            ("a/./b", PathError::DotComponent),
            ("../a", PathError::DotComponent),
            ("a/..", PathError::DotComponent),
            ("a\0b", PathError::Nul),
            (long.as_str(), PathError::ComponentTooLong),
            (deep.as_str(), PathError::TooDeep),
        ] {
            assert_eq!(ManifestPath::new(text), Err(error), "{text:?}");
        }
        assert!(ManifestPath::new("a/..b/…/ c\n").is_ok());
    }

    #[test]
    fn a_directory_sorts_directly_behind_a_file_of_its_name() {
        let mut paths: Vec<_> = ["a.b", "a/b", "a", "a-b", "a/b/c"]
            .map(|text| ManifestPath::new(text).expect("safe"))
            .into();
        paths.sort();
        let texts: Vec<_> = paths.iter().map(ManifestPath::as_str).collect();
        assert_eq!(texts, ["a", "a/b", "a/b/c", "a-b", "a.b"]);
    }

    #[test]
    fn what_lies_in_a_directory_is_told_from_what_begins_like_it() {
        let path = |text| ManifestPath::new(text).expect("safe");
        assert!(path("a/b").is_within(&path("a")));
        assert!(path("a").is_within(&path("a")));
        assert!(!path("ab").is_within(&path("a")));
        assert!(!path("a").is_within(&path("a/b")));
        assert_eq!(path("a/b/c").parent(), Some(path("a/b")));
        assert_eq!(path("a").parent(), None);
        assert_eq!(path("a/b").file_name(), "b");
    }

    /// Golden: the bytes of a path in pages.
    #[test]
    fn a_path_is_its_length_and_its_bytes() {
        let path = ManifestPath::new("a/é").expect("safe");
        assert_eq!(codec::encode(&path), b"\x04\x00a/\xc3\xa9");
        let read = codec::decode_canonical::<ManifestPath, 100>;
        assert_eq!(read(b"\x04\x00a/\xc3\xa9").expect("a path"), path);
        assert!(read(b"\x02\x00..").is_err());
        assert!(read(b"\x02\x00\xff\xff").is_err());
        assert!(read(b"\x01\x10a").is_err());
    }

    proptest! {
        #[test]
        fn paths_are_ordered_as_their_components(a in "[a/.-]{1,9}", b in "[a/.-]{1,9}") {
            if let (Ok(a), Ok(b)) = (ManifestPath::new(a), ManifestPath::new(b)) {
                prop_assert_eq!(a.cmp(&b), a.components().cmp(b.components()));
            }
        }

        #[test]
        fn whatever_passes_is_a_plain_relative_path(text in "\\PC*|[a./\0]{0,12}") {
            if let Ok(path) = ManifestPath::new(text) {
                prop_assert!(!path.as_str().starts_with('/'));
                for component in path.components() {
                    prop_assert!(!matches!(component, "" | "." | ".."));
                    prop_assert!(!component.contains('\0'));
                }
            }
        }
    }
}
