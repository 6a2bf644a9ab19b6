//! What people call things: artifact names, and references to a state or a file of one.
//!
//! Owns: the grammar of `lab/x`, `lab/x@v3`, `lab/x@1f3a9c`, `snap_1f3a…` and
//! `…:path/inside`. Refuses: looking them up.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::id::{SnapshotId, VersionId};
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
        let (group, name) = text.split_once('/').ok_or(NameError::NotGroupAndName)?;
        if name.contains('/') {
            return Err(NameError::NotGroupAndName);
        }
        check_word(group)?;
        check_word(name)?;
        Ok(Self(text.to_owned()))
    }

    /// `group/name`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before the slash.
    pub fn group(&self) -> &str {
        self.parts().0
    }

    /// What stands behind the slash.
    pub fn name(&self) -> &str {
        self.parts().1
    }

    fn parts(&self) -> (&str, &str) {
        self.0.split_once('/').expect("a name has a slash")
    }
}

impl Label {
    /// The label with this text.
    pub fn new(text: &str) -> Result<Self, NameError> {
        check_word(text)?;
        Ok(Self(text.to_owned()))
    }

    /// The label as text: first look for a tag of this name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The label as the beginning of a version's id, if it can be one.
    pub fn id_prefix(&self) -> Option<IdPrefix> {
        IdPrefix::new(&self.0).ok()
    }
}

impl IdPrefix {
    /// The prefix with these hex digits.
    pub fn new(hex: &str) -> Result<Self, NameError> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if !(1..=64).contains(&hex.len()) || !hex.bytes().all(is_digit) {
            return Err(NameError::NotHex(hex.to_owned()));
        }
        Ok(Self(hex.to_owned()))
    }

    /// The hex digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The whole hash, if all of its digits are there.
    pub fn whole(&self) -> Option<[u8; 32]> {
        (self.0.len() == 64).then(|| self.filled('0'))
    }

    /// The lowest and the highest hash with this beginning, for a range scan.
    pub fn range(&self) -> RangeInclusive<[u8; 32]> {
        self.filled('0')..=self.filled('f')
    }

    fn filled(&self, digit: char) -> [u8; 32] {
        let mut hex = self.0.clone();
        hex.extend(std::iter::repeat_n(digit, 64 - hex.len()));
        data_encoding::HEXLOWER
            .decode(hex.as_bytes())
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .expect("64 hex digits are 32 bytes")
    }
}

/// Whether a group, a name or a tag can be called so. The characters are those that need
/// no quoting in a shell, a URL or a file name.
fn check_word(word: &str) -> Result<(), NameError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let good = word.len() <= NAME_BYTES_MAX
        && word.bytes().all(plain)
        && word.starts_with(|first: char| first.is_ascii_alphanumeric());
    match good {
        true => Ok(()),
        false => Err(NameError::Word(word.to_owned())),
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

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head(name) => write!(f, "{name}"),
            Self::At(name, label) => write!(f, "{name}@{label}"),
            Self::Snapshot(id) => write!(f, "{}_{}", SnapshotId::PREFIX, id.0),
            Self::Version(id) => write!(f, "{}_{}", VersionId::PREFIX, id.0),
        }
    }
}

impl fmt::Display for ArtifactRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.inside {
            None => write!(f, "{}", self.base),
            Some(path) => write!(f, "{}:{path}", self.base),
        }
    }
}

impl FromStr for Base {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let id = |prefix| text.strip_prefix(prefix)?.strip_prefix('_');
        if let Some(hex) = id(SnapshotId::PREFIX).filter(|_| !text.contains('/')) {
            return Ok(Self::Snapshot(IdPrefix::new(hex)?));
        }
        if let Some(hex) = id(VersionId::PREFIX).filter(|_| !text.contains('/')) {
            return Ok(Self::Version(IdPrefix::new(hex)?));
        }
        match text.split_once('@') {
            None => Ok(Self::Head(ArtifactName::new(text)?)),
            Some((name, label)) => Ok(Self::At(ArtifactName::new(name)?, Label::new(label)?)),
        }
    }
}

/// Everything behind the first colon is the path, so a path may have colons itself; names
/// and ids have none. A single `/` at the end of the path, as completion gives it for
/// directories, is left out.
impl FromStr for ArtifactRef {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (base, inside) = match text.split_once(':') {
            None => (text, None),
            Some((base, path)) => {
                let path = path.strip_suffix('/').unwrap_or(path);
                (base, Some(ManifestPath::new(path)?))
            }
        };
        Ok(Self {
            base: base.parse()?,
            inside,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(text: &str) -> ArtifactName {
        ArtifactName::new(text).expect("a name")
    }

    fn label(text: &str) -> Label {
        Label::new(text).expect("a label")
    }

    fn prefix(hex: &str) -> IdPrefix {
        IdPrefix::new(hex).expect("hex")
    }

    #[test]
    fn references_are_read() {
        let check = |text: &str, base: Base, inside: Option<&str>| {
            let inside = inside.map(|path| ManifestPath::new(path).expect("safe"));
            assert_eq!(text.parse(), Ok(ArtifactRef { base, inside }), "{text}");
        };
        check("lab/imagenet", Base::Head(name("lab/imagenet")), None);
        check("lab/x@v3", Base::At(name("lab/x"), label("v3")), None);
        check(
            "lab/x@1f3a9c",
            Base::At(name("lab/x"), label("1f3a9c")),
            None,
        );
        check("lab/x:a/b", Base::Head(name("lab/x")), Some("a/b"));
        check("lab/x:a:b@c/", Base::Head(name("lab/x")), Some("a:b@c"));
        check(
            "lab/x@v3:a",
            Base::At(name("lab/x"), label("v3")),
            Some("a"),
        );
        check("snap_1f3a", Base::Snapshot(prefix("1f3a")), None);
        check("snap_1f3a:a/b", Base::Snapshot(prefix("1f3a")), Some("a/b"));
        check("ver_00", Base::Version(prefix("00")), None);
        check("snap_x/y", Base::Head(name("snap_x/y")), None);
        check(
            "meta-llama/Llama-3.1-8B",
            Base::Head(name("meta-llama/Llama-3.1-8B")),
            None,
        );
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        let too_long = format!("lab/{}", "x".repeat(65));
        for text in [
            "",
            "lab",
            "/x",
            "lab/",
            "lab/x/y",
            "./x",
            "../x",
            "lab/.x",
            "lab/-x",
            "lab/x@",
            "lab/x@v 3",
            "lab/x:",
            "lab/x:/etc",
            "lab/x:../y",
            "snap_",
            "snap_1F",
            "snap_xyz",
            "lab/é",
            "~/x",
            "page_00",
            &too_long,
        ] {
            assert!(text.parse::<ArtifactRef>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_label_may_be_the_beginning_of_an_id() {
        assert_eq!(label("1f3a9c").id_prefix(), Some(prefix("1f3a9c")));
        assert_eq!(label("v3").id_prefix(), None);
    }

    #[test]
    fn a_prefix_spans_the_ids_that_begin_with_it() {
        let id = SnapshotId::of(b"x");
        let hex = data_encoding::HEXLOWER.encode(id.as_bytes());
        for digits in 1..=64 {
            assert!(prefix(&hex[..digits]).range().contains(id.as_bytes()));
        }
        assert_eq!(prefix(&hex).whole(), Some(*id.as_bytes()));
        assert_eq!(prefix(&hex[..63]).whole(), None);
        let (low, high) = prefix("a").range().into_inner();
        assert_eq!((low[0], low[31], high[0], high[31]), (0xa0, 0, 0xaf, 0xff));
    }

    proptest! {
        #[test]
        fn whatever_is_read_prints_as_it_was(text in "[a-z0-9_]{1,5}(/[a-z0-9.]{1,5})?(@[a-f0-9v]{1,4})?(:[a-z/]{1,6})?|\\PC*") {
            if let Ok(read) = text.parse::<ArtifactRef>() {
                let printed = read.to_string();
                prop_assert_eq!(&printed, text.strip_suffix('/').unwrap_or(&text));
                prop_assert_eq!(printed.parse(), Ok(read));
            }
        }
    }
}
