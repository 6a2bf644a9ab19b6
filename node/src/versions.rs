//! The history of artifacts as this store knows it.
//!
//! Owns: walking it, numbering it (`v1`, `v2`, … count from the first version on; where a
//! history has forked, two versions may have one number), finding a version by label, and
//! recording the next one. Refuses: names that come from elsewhere; those are stage D's signed refs.

use std::collections::{BTreeMap, HashMap};

use shoal_protocol::id::{SnapshotId, VersionId};
use shoal_protocol::names::{ArtifactName, Label};
use shoal_protocol::peer::PeerKey;
use shoal_protocol::version::{VERSION_PARENTS_MAX, Version};
use shoal_store::index::View;
use shoal_store::{Store, StoreError};

use crate::api::{ApiError, ErrorKind};
use crate::node::unix_now_s;

/// One version with its place in history.
#[derive(Debug, Clone)]
pub(crate) struct Numbered {
    pub(crate) id: VersionId,
    pub(crate) number: u64,
    pub(crate) version: Version,
}

/// All that is known of one artifact, oldest first.
#[derive(Debug)]
pub(crate) struct History {
    pub(crate) name: String,
    pub(crate) heads: Vec<VersionId>,
    pub(crate) versions: Vec<Numbered>,
}

impl History {
    /// The history of an artifact; nothing if it is not known here.
    pub(crate) fn of(view: &View, name: &str) -> Result<Option<Self>, ApiError> {
        let heads = view.heads(name)?;
        if heads.is_empty() {
            return Ok(None);
        }
        Self::from_heads(view, name.to_owned(), heads).map(Some)
    }

    /// The histories of all artifacts, by name.
    pub(crate) fn all(view: &View) -> Result<Vec<Self>, ApiError> {
        view.artifacts()?
            .into_iter()
            .map(|(name, heads)| Self::from_heads(view, name, heads))
            .collect()
    }

    fn from_heads(view: &View, name: String, heads: Vec<VersionId>) -> Result<Self, ApiError> {
        let mut known: BTreeMap<VersionId, Version> = BTreeMap::new();
        let mut ahead = heads.clone();
        while let Some(id) = ahead.pop() {
            if known.contains_key(&id) {
                continue;
            }
            // A past that is not here is where the walk ends.
            let Some(bytes) = view.version(&id)? else {
                continue;
            };
            let version = Version::from_bytes(&bytes).map_err(|error| {
                let message = format!("version {id} of {name} cannot be read: {error}");
                ApiError::new(ErrorKind::Integrity, message)
            })?;
            ahead.extend(&version.parents);
            known.insert(id, version);
        }
        let numbers = numbers(&known);
        let mut versions: Vec<_> = known
            .into_iter()
            .map(|(id, version)| Numbered {
                number: numbers[&id],
                id,
                version,
            })
            .collect();
        versions.sort_by_key(|numbered| (numbered.number, numbered.id));
        Ok(Self {
            name,
            heads,
            versions,
        })
    }

    /// The newest version. An error where two are, neither made from the other.
    pub(crate) fn head(&self) -> Result<&Numbered, ApiError> {
        let heads = self.versions.iter().filter(|v| self.heads.contains(&v.id));
        self.the_one(heads.collect(), "heads")?
            .ok_or_else(|| self.none("newest version"))
    }

    /// The version that `label` means: `v3` by its number, else by the beginning of its id.
    pub(crate) fn at(&self, label: &Label) -> Result<&Numbered, ApiError> {
        let text = label.as_str();
        let number = text.strip_prefix('v').and_then(|n| n.parse::<u64>().ok());
        let numbered = self.versions.iter().filter(|v| Some(v.number) == number);
        if let Some(found) = self.the_one(numbered.collect(), text)? {
            return Ok(found);
        }
        let prefix = label.id_prefix();
        let named = self.versions.iter().filter(|v| {
            prefix
                .as_ref()
                .is_some_and(|p| p.range().contains(v.id.as_bytes()))
        });
        self.the_one(named.collect(), text)?
            .ok_or_else(|| self.none(text))
    }

    fn the_one<'a>(
        &self,
        found: Vec<&'a Numbered>,
        label: &str,
    ) -> Result<Option<&'a Numbered>, ApiError> {
        match found.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(one)),
            several => {
                let ids: Vec<_> = several.iter().map(|v| hex(&v.id)).collect();
                let message = format!(
                    "{}: {label} is several versions: {}",
                    self.name,
                    ids.join(", ")
                );
                Err(ApiError::new(ErrorKind::Usage, message)
                    .hint(format!("say which: {}@{}", self.name, ids[0])))
            }
        }
    }

    fn none(&self, label: &str) -> ApiError {
        let message = format!("{} has no version {label}", self.name);
        let last = self.versions.last().map_or(0, |v| v.number);
        ApiError::new(ErrorKind::NotFound, message).hint(format!("it has v1 to v{last}"))
    }
}

/// A number for each: one more than the highest of its parents.
fn numbers(known: &BTreeMap<VersionId, Version>) -> HashMap<VersionId, u64> {
    let mut numbers: HashMap<VersionId, u64> = HashMap::new();
    let mut stack: Vec<VersionId> = known.keys().copied().collect();
    while let Some(id) = stack.last().copied() {
        let parents = known[&id].parents.iter().filter(|p| known.contains_key(p));
        let unnumbered: Vec<_> = parents
            .clone()
            .filter(|p| !numbers.contains_key(p))
            .collect();
        if unnumbered.is_empty() {
            let highest = parents.map(|p| numbers[p]).max().unwrap_or(0);
            numbers.insert(id, highest + 1);
            stack.pop();
        } else {
            stack.extend(unnumbered);
        }
    }
    numbers
}

/// The beginning of a version's id, as people type it.
fn hex(id: &VersionId) -> String {
    let short = id.short();
    short.trim_start_matches("ver_").to_owned()
}

/// The versions, of all artifacts, that are this snapshot: `lab/x@v3`.
pub(crate) fn names_of(histories: &[History], snapshot: &SnapshotId) -> Vec<String> {
    let of = |history: &History| -> Vec<String> {
        let is_it = |v: &&Numbered| v.version.snapshot == *snapshot;
        let versions = history.versions.iter().filter(is_it);
        versions
            .map(|v| format!("{}@v{}", history.name, v.number))
            .collect()
    };
    histories.iter().flat_map(of).collect()
}

/// Records `snapshot` as the next version of `name` and gives `name@vN`. Nothing is recorded
/// if it is the newest version already.
pub(crate) fn record(
    store: &Store,
    name: &ArtifactName,
    snapshot: SnapshotId,
    who: PeerKey,
    message: String,
) -> Result<(String, bool), ApiError> {
    let history = History::of(&store.view(), name.as_str())?;
    let heads = history.as_ref().map_or(&[][..], |history| &history.heads);
    if let Some(history) = &history
        && let [head] = heads
        && let Some(newest) = history.versions.iter().find(|v| v.id == *head)
        && newest.version.snapshot == snapshot
    {
        return Ok((format!("{name}@v{}", newest.number), false));
    }
    let number = history
        .iter()
        .flat_map(|h| &h.versions)
        .map(|v| v.number)
        .max();
    let version = Version {
        snapshot,
        parents: heads.iter().copied().take(VERSION_PARENTS_MAX).collect(),
        who,
        at_unix_s: unix_now_s(),
        message,
        metadata: BTreeMap::new(),
    };
    version
        .check()
        .map_err(|error| ApiError::new(ErrorKind::Usage, error.to_string()))?;
    let id = version.id();
    let commit = || -> Result<(), StoreError> {
        let batch = store.begin();
        batch.put_version(&id, version.to_bytes());
        batch.put_heads(name.as_str(), vec![id]);
        batch.commit(true)
    };
    commit()?;
    Ok((format!("{name}@v{}", number.unwrap_or(0) + 1), true))
}
