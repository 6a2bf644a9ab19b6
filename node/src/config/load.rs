//! Puts a config together: defaults, then the file, then the environment, then flags.
//!
//! Owns: the order, and the memory of which layer a value came from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, de::Error};
use toml::{Table, Value};

use crate::api::{ApiError, ErrorKind};
use crate::config::{ByteSize, Config, KEYS, Span};

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

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => path.display().fmt(f),
            Self::Environment(name) => f.write_str(name),
            Self::Flag => f.write_str("flag"),
        }
    }
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
    /// Where the config of a home is, unless `SHOAL_CONFIG` says otherwise.
    pub fn path(home: &Path) -> PathBuf {
        std::env::var_os("SHOAL_CONFIG").map_or_else(|| home.join("config.toml"), PathBuf::from)
    }

    /// Reads the file of this home, the environment (`SHOAL_<KEY>`), and `flags`, pairs of key
    /// and value as they would stand in the environment. A file that is not there is empty.
    pub fn load(home: &Path, flags: &[(String, String)]) -> Result<Loaded, ApiError> {
        let path = Self::path(home);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => {
                let message = format!("cannot read the config {}: {error}", path.display());
                if error.kind() == std::io::ErrorKind::PermissionDenied {
                    return Err(ApiError::new(ErrorKind::NotPermitted, message)
                        .hint("a home is one user's: set SHOAL_HOME to a directory of yours"));
                }
                return Err(ApiError::new(ErrorKind::Usage, message)
                    .hint("it is a text file (TOML, UTF-8): correct it, or move it away"));
            }
        };
        let environment = KEYS.iter().filter_map(|(key, _)| {
            let name = format!("SHOAL_{}", key.to_uppercase());
            // An empty variable is one that is not set.
            let value = std::env::var(&name)
                .ok()
                .filter(|value| !value.is_empty())?;
            Some((*key, name, value))
        });
        Layers::default()
            .file(&path, &text)?
            .environment(environment)?
            .flags(flags)?
            .finish()
    }
}

/// What the layers so far say.
#[derive(Default)]
struct Layers {
    values: Table,
    origins: BTreeMap<String, Origin>,
}

impl Layers {
    fn file(mut self, path: &Path, text: &str) -> Result<Self, ApiError> {
        // Parsed as a whole config first: its errors name the line.
        toml::from_str::<Config>(text).map_err(|error| wrong(path.display(), &error))?;
        let table: Table = toml::from_str(text).map_err(|error| wrong(path.display(), &error))?;
        for (key, value) in table {
            self.put(key, value, Origin::File(path.to_owned()));
        }
        Ok(self)
    }

    fn environment(
        self,
        variables: impl Iterator<Item = (&'static str, String, String)>,
    ) -> Result<Self, ApiError> {
        variables
            .into_iter()
            .try_fold(self, |layers, (key, name, value)| {
                layers.word(key, &value, Origin::Environment(name))
            })
    }

    fn flags(self, flags: &[(String, String)]) -> Result<Self, ApiError> {
        flags.iter().try_fold(self, |layers, (key, value)| {
            layers.word(key, value, Origin::Flag)
        })
    }

    /// A value as it stands in the environment: TOML where it reads as the key wants it, else
    /// the text itself.
    fn word(mut self, key: &str, text: &str, origin: Origin) -> Result<Self, ApiError> {
        let fits = |value: &Value| {
            let table = Table::from_iter([(key.to_owned(), value.clone())]);
            Config::deserialize(Value::Table(table)).map(|_| ())
        };
        let as_toml = toml::from_str::<Table>(&format!("value = {text}"))
            .ok()
            .and_then(|mut table| table.remove("value"))
            .filter(|value| fits(value).is_ok());
        let value = match as_toml {
            Some(value) => value,
            None => {
                let value = Value::String(text.to_owned());
                let source = match &origin {
                    Origin::Environment(name) => name.clone(),
                    _ => format!("the flag for `{key}`"),
                };
                fits(&value).map_err(|error| wrong(source, &error))?;
                value
            }
        };
        self.put(key.to_owned(), value, origin);
        Ok(self)
    }

    fn put(&mut self, key: String, value: Value, origin: Origin) {
        self.origins.insert(key.clone(), origin);
        self.values.insert(key, value);
    }

    fn finish(mut self) -> Result<Loaded, ApiError> {
        let config = Config::deserialize(Value::Table(self.values))
            .map_err(|error| wrong("the configuration", &error))?;
        let values = Table::try_from(&config).expect("a config is a TOML table");
        let settings = KEYS
            .iter()
            .map(|&(key, doc)| Setting {
                key,
                value: values[key].to_string(),
                origin: self.origins.remove(key).unwrap_or(Origin::Default),
                doc: doc.trim(),
            })
            .collect();
        Ok(Loaded { config, settings })
    }
}

fn wrong(source: impl fmt::Display, error: &toml::de::Error) -> ApiError {
    // Its own text is a picture of several lines; messages here are one.
    let why = error.message().trim().replace('\n', " ");
    ApiError::new(ErrorKind::Usage, format!("{source}: {why}"))
        .hint("correct it; `shoal config show` prints every key with its meaning then")
}

/// A list, or a text with commas, as the environment has it.
pub(super) fn list<'de, T, D>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    T: FromStr<Err: fmt::Display>,
    D: Deserializer<'de>,
{
    #[derive(Deserialize, Serialize)]
    #[serde(untagged)]
    enum ListOrText {
        List(Vec<String>),
        Text(String),
    }
    let words = match ListOrText::deserialize(deserializer)? {
        ListOrText::List(words) => words,
        ListOrText::Text(text) => text.split(',').map(|word| word.trim().to_owned()).collect(),
    };
    words
        .iter()
        .filter(|word| !word.is_empty())
        .map(|word| {
            let told = |error| D::Error::custom(format!("`{word}`: {error}"));
            word.parse().map_err(told)
        })
        .collect()
}

/// A time that is not over at once.
pub(super) fn some_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
    let span = Span::deserialize(deserializer)?;
    if span.as_seconds() == 0 {
        return Err(D::Error::custom("0 is no time at all"));
    }
    Ok(span)
}

/// Ways that there are, one at least.
pub(super) fn ways<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let ways: Vec<String> = list(deserializer)?;
    let known = ["tcp", "quic", "stream"];
    if let Some(unknown) = ways.iter().find(|way| !known.contains(&way.as_str())) {
        let message = format!("`{unknown}` is no way to carry bytes; there are tcp, quic, stream");
        return Err(D::Error::custom(message));
    }
    match ways.is_empty() {
        true => Err(D::Error::custom("one of tcp, quic and stream is needed")),
        false => Ok(ways),
    }
}

/// A size from which packs are worth their files.
pub(super) fn pack_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ByteSize, D::Error> {
    let size = ByteSize::deserialize(deserializer)?;
    if size < ByteSize::mib(1) {
        return Err(D::Error::custom("a pack has 1 MiB or more"));
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(
        file: &str,
        environment: &[(&'static str, &str)],
        flags: &[(&str, &str)],
    ) -> Result<Loaded, ApiError> {
        let owned = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
        Layers::default()
            .file(Path::new("/home/config.toml"), file)?
            .environment(environment.iter().map(|(key, value)| {
                (
                    *key,
                    format!("SHOAL_{}", key.to_uppercase()),
                    (*value).to_owned(),
                )
            }))?
            .flags(&flags.iter().map(owned).collect::<Vec<_>>())?
            .finish()
    }

    fn origin(loaded: &Loaded, key: &str) -> Origin {
        let setting = loaded.settings.iter().find(|s| s.key == key);
        setting.expect("every key is listed").origin.clone()
    }

    #[test]
    fn flags_win_over_the_environment_over_the_file_over_defaults() {
        let file = "strangers_max = 1\nconnections_max = 1\nindex_cache = \"1 MiB\"";
        let loaded = layers(
            file,
            &[("strangers_max", "2"), ("connections_max", "2")],
            &[("strangers_max", "3")],
        )
        .expect("all good");
        assert_eq!(loaded.config.strangers_max.get(), 3);
        assert_eq!(loaded.config.connections_max.get(), 2);
        assert_eq!(loaded.config.index_cache, ByteSize::mib(1));
        assert_eq!(loaded.config.share_expires, Span::hours(24));
        assert_eq!(origin(&loaded, "strangers_max"), Origin::Flag);
        assert_eq!(
            origin(&loaded, "connections_max"),
            Origin::Environment("SHOAL_CONNECTIONS_MAX".into())
        );
        assert_eq!(
            origin(&loaded, "index_cache"),
            Origin::File("/home/config.toml".into())
        );
        assert_eq!(origin(&loaded, "share_expires"), Origin::Default);
    }

    #[test]
    fn the_environment_takes_lists_with_commas_and_words_without_quotes() {
        let loaded = layers(
            "",
            &[
                ("listen", "127.0.0.1:1, [::1]:2"),
                ("share_expires", "7d"),
                ("log", "debug"),
            ],
            &[],
        )
        .expect("all good");
        assert_eq!(loaded.config.listen.len(), 2);
        assert_eq!(loaded.config.share_expires, Span::hours(7 * 24));
        assert_eq!(loaded.config.log, "debug");
    }

    #[test]
    fn unknown_keys_and_wrong_values_are_errors_that_name_their_place() {
        for (file, environment, flags, named) in [
            ("lisen = []", &[][..], &[][..], "lisen"),
            ("strangers_max = \"many\"", &[], &[], "config.toml"),
            ("", &[("strangers_max", "many")], &[], "SHOAL_STRANGERS_MAX"),
            ("", &[("listen", "here")], &[], "here"),
            ("", &[], &[("lisen", "x")], "lisen"),
        ] {
            let error = layers(file, environment, flags).expect_err(named);
            assert_eq!(error.kind, ErrorKind::Usage);
            assert!(error.message.contains(named), "{}", error.message);
        }
    }

    #[test]
    fn every_key_has_a_value_and_documentation() {
        let loaded = layers("", &[], &[]).expect("defaults are good");
        assert!(
            loaded
                .settings
                .iter()
                .all(|s| !s.doc.is_empty() && !s.value.is_empty())
        );
        let text: String = loaded
            .settings
            .iter()
            .map(|s| format!("{} = {}\n", s.key, s.value))
            .collect();
        assert_eq!(
            toml::from_str::<Config>(&text).expect("what is shown can be a file"),
            loaded.config
        );
    }
}
