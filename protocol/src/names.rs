//! What people call things: artifact names, and references to a state or a file of one.
//!
//! Owns: the grammar of `lab/x`, `lab/x@v3`, `lab/x@1f3a9c`, `snap_1f3a…` and
//! `…:path/inside`. Refuses: looking them up.

use std::fmt;
use std::str::FromStr;

use crate::path::{ManifestPath, PathError};

/// The most bytes of the group, of the name and of a tag.
pub const NAME_BYTES_MAX: usize = 64;

/// The name of an artifact, `group/name`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArtifactName(String);

/// A tag of an artifact, or something that may be the beginning of a version's id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(String);

/// The beginning of an id, or all of it, as hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdPrefix(String);

/// What a reference begins from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Base {
    /// `lab/x`: the newest version of an artifact.
    Head(ArtifactName),
    /// `lab/x@v3` or `lab/x@1f3a9c`: a tag of it, or else a version by its id.
    At(ArtifactName, Label),
    /// `snap_1f3a…`: a snapshot by its id.
    Snapshot(IdPrefix),
    /// `ver_1f3a…`: a version by its id.
    Version(IdPrefix),
}

/// A reference to a state of an artifact, or to something inside it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ArtifactRef {
    /// The state.
    pub base: Base,
    /// The file or directory inside; nothing for the whole.
    pub inside: Option<ManifestPath>,
}

/// Why a text is no name or reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not of the form `group/name`.
    #[error("an artifact is called `group/name`")]
    NotGroupAndName,
    /// A part with other characters, of no or too many bytes.
    #[error(
        "`{0}` cannot be (part of) a name: 1 to {NAME_BYTES_MAX} of `A-Z a-z 0-9 . _ -`, beginning with a letter or digit"
    )]
    Word(String),
    /// An id whose digits are not 1 to 64 lower-case hex digits.
    #[error("`{0}` is not the beginning of an id: 1 to 64 lower-case hex digits")]
    NotHex(String),
    /// What follows the colon is no path inside an artifact.
    #[error("the path behind the colon cannot be: {0}")]
    Path(#[from] PathError),
}

impl ArtifactName {
    /// The name with this text.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let _ = text;
        todo!()
    }

    /// `group/name`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before the slash.
    pub fn group(&self) -> &str {
        todo!()
    }

    /// What stands behind the slash.
    pub fn name(&self) -> &str {
        todo!()
    }
}

impl Label {
    /// The label with this text.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let _ = text;
        todo!()
    }

    /// The label as text: first look for a tag of this name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The label as the beginning of a version's id, if it can be one.
    pub fn id_prefix(&self) -> Option<IdPrefix> {
        todo!()
    }
}

impl IdPrefix {
    /// The prefix with these hex digits.
    pub fn new(hex: &str) -> Result<Self, NameError> {
        let _ = hex;
        todo!()
    }

    /// The hex digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The whole hash, if all of its digits are there.
    pub fn whole(&self) -> Option<[u8; 32]> {
        todo!()
    }

    /// The lowest and the highest hash with this beginning, for a range scan.
    pub fn range(&self) -> std::ops::RangeInclusive<[u8; 32]> {
        todo!()
    }
}

impl fmt::Display for ArtifactName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ArtifactName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl fmt::Display for ArtifactRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let _ = f;
        todo!()
    }
}

impl FromStr for ArtifactRef {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let _ = text;
        todo!()
    }
}
