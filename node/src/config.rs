//! How a node behaves: one typed struct, from defaults, a file, the environment and flags.
//!
//! Owns: keys, their defaults and meaning, and where each value came from. Refuses: keys it
//! does not know.

use std::path::{Path, PathBuf};

use crate::api::ApiError;

/// How a node behaves. See the fields.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {}

/// Where the value of a key came from; later wins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    Default,
    /// The config file.
    File(PathBuf),
    /// This environment variable.
    Environment(String),
    /// A flag.
    Flag,
}

/// One key as `config show --origin` prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The key, as in the file.
    pub key: &'static str,
    /// The value, as in the file (TOML).
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
    /// Effect and cost.
    pub doc: &'static str,
}

/// A config and where each of its values came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The config.
    pub config: Config,
    /// Every key, in the order of the documentation.
    pub settings: Vec<Setting>,
}

impl Config {
    /// Reads `<home>/config.toml` (or `SHOAL_CONFIG`), the environment (`SHOAL_<KEY>`), and
    /// `flags`, pairs of key and TOML value (`("listen", "[\"0.0.0.0:4747\"]")`; a bare word
    /// is a string).
    pub fn load(_home: &Path, _flags: &[(String, String)]) -> Result<Loaded, ApiError> {
        todo!()
    }
}

/// The home to use when `SHOAL_HOME` or `--home` does not say: `$XDG_DATA_HOME/shoal`, else
/// `~/.local/share/shoal`.
pub fn default_home() -> Result<PathBuf, ApiError> {
    todo!()
}
