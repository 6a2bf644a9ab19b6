//! What a word on the command line stands for.
//!
//! Owns: the order in which a text is taken for a ticket, an id, a name or a path, and the
//! lookup of the last three here. Refuses: the network; a ticket names its snapshot itself.

use std::path::{Component, Path, PathBuf};

use shoal_protocol::access::ticket::is_meant_as_ticket;
use shoal_protocol::access::{Scope, Ticket, TicketError};
use shoal_protocol::id::{ChunkId, SnapshotId};
use shoal_protocol::names::{ArtifactRef, Base, IdPrefix};
use shoal_protocol::path::ManifestPath;
use shoal_store::index::{Origin, SnapshotRow, View};

use crate::api::{ApiError, ErrorKind, What};
use crate::versions::History;

/// What a text stands for.
#[derive(Debug)]
pub(crate) enum Target {
    /// A ticket, which may be for something that is not here.
    Ticket {
        ticket: Box<Ticket>,
        inside: Option<ManifestPath>,
    },
    /// A snapshot that is known here.
    Snapshot {
        row: Box<SnapshotRow>,
        inside: Option<ManifestPath>,
        /// What people call it: an artifact's name.
        name: Option<String>,
    },
    /// A snapshot that is not known here, by its whole id: others may have it.
    Unknown {
        snapshot: SnapshotId,
        inside: Option<ManifestPath>,
    },
    /// A place in the file system; absolute. Whether anything is there was not looked at.
    Path(PathBuf),
}

impl Target {
    /// Looks `what` up.
    pub(crate) fn of(view: &View, what: &What) -> Result<Self, ApiError> {
        let text = what.text.trim();
        if text.is_empty() {
            return Err(ApiError::new(ErrorKind::Usage, "nothing is named")
                .hint("name a ticket, an id, a name or a path"));
        }
        if is_meant_as_ticket(text) {
            return ticket(text);
        }
        if text.parse::<ChunkId>().is_ok() {
            let message = format!("{text} is a chunk, a piece of files");
            return Err(ApiError::new(ErrorKind::Usage, message).hint(format!(
                "`shoal cat {text} > FILE` writes its bytes, `shoal whereis {text}` says who has it"
            )));
        }
        let path = absolute(&what.cwd, Path::new(text));
        if is_plainly_a_path(text) {
            return Ok(Self::Path(path));
        }
        let reference = text.trim_end_matches('/').parse::<ArtifactRef>();
        match reference {
            Ok(reference) => match known(view, &reference) {
                // A word that is no name here may still be a path, as in `shoal share data/x`.
                Err(error) if error.kind == ErrorKind::NotFound && exists(&path) => {
                    Ok(Self::Path(path))
                }
                found => found,
            },
            Err(_) if exists(&path) => Ok(Self::Path(path)),
            Err(error) => {
                let message = format!(
                    "`{}` is no ticket, id, name or path that is known here",
                    shortened(text)
                );
                let hint = match text.starts_with("chunk_") {
                    true => "a chunk is named by its whole id, of 64 hex digits".to_owned(),
                    false => format!("{error}; `shoal ls` shows what is here"),
                };
                Err(ApiError::new(ErrorKind::NotFound, message).hint(hint))
            }
        }
    }

    /// As [`of`](Self::of), with a path taken for what was last added from there or got to
    /// there.
    pub(crate) fn of_artifact(view: &View, what: &What) -> Result<Self, ApiError> {
        let path = match Self::of(view, what)? {
            Self::Path(path) => path,
            artifact => return Ok(artifact),
        };
        let mut places = Vec::new();
        for row in view.snapshots()? {
            let at = place(&row.origin).to_owned();
            places.push(Place::new(at, None, row.id(), row.at_unix_s));
        }
        for row in view.destinations()? {
            let at = row.dest.as_path().to_owned();
            places.push(Place::new(at, row.inside, row.snapshot, row.at_unix_s));
        }
        let nearest = places
            .iter()
            .filter_map(|place| Some((place.inside(&path)?, place)))
            .max_by_key(|(_, place)| (place.at.components().count(), place.at_unix_s));
        let found = match nearest {
            Some((inside, place)) => view.snapshot(&place.snapshot)?.map(|row| (row, inside)),
            None => None,
        };
        match found {
            Some((row, inside)) => Ok(Self::Snapshot {
                row: Box::new(row),
                inside,
                name: None,
            }),
            None => Err(ApiError::new(
                ErrorKind::NotFound,
                format!("nothing was added from {} or got to it", path.display()),
            )
            .hint(format!("`shoal add {}` does", path.display()))),
        }
    }

    /// The snapshot that it stands for, unless it is a path.
    pub(crate) fn snapshot(&self) -> Option<SnapshotId> {
        match self {
            Self::Ticket { ticket, .. } => {
                let Scope::Snapshot(id) = ticket.grant().grant.scope;
                Some(id)
            }
            Self::Snapshot { row, .. } => Some(row.id()),
            Self::Unknown { snapshot, .. } => Some(*snapshot),
            Self::Path(_) => None,
        }
    }
}

/// A text that somebody typed, cut to what a message has room for: it may have been a ticket
/// with a letter wrong, which nobody is to read in a log.
fn shortened(text: &str) -> String {
    const CHARS_MAX: usize = 60;
    match text.char_indices().nth(CHARS_MAX) {
        Some(_) => format!("{}…", text.chars().take(12).collect::<String>()),
        None => text.to_owned(),
    }
}

/// Somewhere that a snapshot, or a part of one, was added from or got to.
struct Place {
    at: PathBuf,
    part: Option<ManifestPath>,
    snapshot: SnapshotId,
    at_unix_s: u64,
}

impl Place {
    fn new(at: PathBuf, part: Option<ManifestPath>, snapshot: SnapshotId, at_unix_s: u64) -> Self {
        Self {
            at,
            part,
            snapshot,
            at_unix_s,
        }
    }

    /// What of the snapshot stands at `path` (`Some(None)` is all of it); nothing if `path` is
    /// not beneath this place.
    fn inside(&self, path: &Path) -> Option<Option<ManifestPath>> {
        let beneath = path.strip_prefix(&self.at).ok()?.to_str()?;
        let inside = match (&self.part, beneath) {
            (part, "") => return Some(part.clone()),
            (None, beneath) => beneath.to_owned(),
            (Some(part), beneath) => format!("{part}/{beneath}"),
        };
        ManifestPath::new(inside).ok().map(Some)
    }
}

/// What an operation works on, for people and logs: never a ticket.
pub(crate) fn subject(what: &What) -> String {
    if what.is_ticket() {
        "a ticket".to_owned()
    } else {
        what.text.clone()
    }
}

/// `path` as seen from `cwd`, without `.` and `..` (taken by their text).
pub(crate) fn absolute(cwd: &Path, path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in cwd.join(path).components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}

/// Where a snapshot was added from or got to.
pub(crate) fn place(origin: &Origin) -> &Path {
    match origin {
        Origin::Added { path, .. } => path.as_path(),
        Origin::Received { dest } => dest.as_path(),
    }
}

fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

fn is_plainly_a_path(text: &str) -> bool {
    matches!(text, "." | "..")
        || ["/", "./", "../"]
            .iter()
            .any(|start| text.starts_with(start))
}

fn ticket(text: &str) -> Result<Target, ApiError> {
    let (text, inside) = match text.split_once(':') {
        Some((ticket, inside)) => (ticket, inside.trim_matches('/')),
        None => (text, ""),
    };
    let inside = match inside {
        "" => None,
        inside => Some(ManifestPath::new(inside).map_err(|error| {
            let message = format!("`{inside}` is no path inside an artifact: {error}");
            ApiError::new(ErrorKind::Usage, message)
        })?),
    };
    let ticket = Ticket::from_text(text).map_err(|error| match error {
        TicketError::NotATicket => ApiError::from(error).hint("a path of that name is `./shoal…`"),
        error => error.into(),
    })?;
    Ok(Target::Ticket {
        ticket: Box::new(ticket),
        inside,
    })
}

fn known(view: &View, reference: &ArtifactRef) -> Result<Target, ApiError> {
    let (row, name) = match &reference.base {
        Base::Head(name) | Base::At(name, _) => {
            let history = History::of(view, name.as_str())?.ok_or_else(|| {
                ApiError::new(
                    ErrorKind::NotFound,
                    format!("no artifact {name} is known here"),
                )
                .hint("`shoal ls` shows what is here; `./` in front makes it a path")
            })?;
            let version = match &reference.base {
                Base::At(_, label) => history.at(label)?,
                _ => history.head()?,
            };
            let snapshot = version.version.snapshot;
            let row = view.snapshot(&snapshot)?.ok_or_else(|| {
                let message = format!(
                    "{name}@v{} is {snapshot}, which is not here any more",
                    version.number
                );
                ApiError::new(ErrorKind::NotFound, message).hint("get it again with a ticket")
            })?;
            (row, Some(name.as_str().to_owned()))
        }
        Base::Snapshot(prefix) => match prefix.whole().map(SnapshotId::from_bytes) {
            Some(snapshot) if view.snapshot(&snapshot)?.is_none() => {
                let inside = reference.inside.clone();
                return Ok(Target::Unknown { snapshot, inside });
            }
            _ => (by_prefix(view, prefix)?, None),
        },
        Base::Version(prefix) => by_version(view, prefix)?,
    };
    Ok(Target::Snapshot {
        row: Box::new(row),
        inside: reference.inside.clone(),
        name,
    })
}

fn by_prefix(view: &View, prefix: &IdPrefix) -> Result<SnapshotRow, ApiError> {
    let rows = match prefix.whole() {
        Some(hash) => Vec::from_iter(view.snapshot(&SnapshotId::from_bytes(hash))?),
        None => {
            let mut rows = view.snapshots()?;
            rows.retain(|row| prefix.range().contains(row.id().as_bytes()));
            rows
        }
    };
    let ids: Vec<_> = rows.iter().map(|row| row.id().short()).collect();
    the_one(rows, &format!("snap_{}", prefix.as_str()), &ids)
}

fn by_version(view: &View, prefix: &IdPrefix) -> Result<(SnapshotRow, Option<String>), ApiError> {
    let mut found = Vec::new();
    for history in History::all(view)? {
        let name = &history.name;
        let fits = |id: &[u8; 32]| prefix.range().contains(id);
        let versions = history.versions.iter().filter(|v| fits(v.id.as_bytes()));
        found.extend(versions.map(|v| (v.id, v.version.snapshot, name.clone())));
    }
    found.sort_by_key(|(id, _, _)| *id);
    found.dedup_by_key(|(id, _, _)| *id);
    let ids: Vec<_> = found.iter().map(|(id, _, _)| id.short()).collect();
    let text = format!("ver_{}", prefix.as_str());
    let (_, snapshot, name) = the_one(found, &text, &ids)?;
    let row = view.snapshot(&snapshot)?;
    let row = row.ok_or_else(|| {
        let message = format!("{text} is {snapshot}, which is not here any more");
        ApiError::new(ErrorKind::NotFound, message).hint("get it again with a ticket")
    })?;
    Ok((row, Some(name)))
}

/// Nothing of a snapshot is here, and nobody can be asked for it.
pub(crate) fn not_here(id: &SnapshotId) -> ApiError {
    ApiError::new(
        ErrorKind::NotFound,
        format!("{} is not known here", id.short()),
    )
    .hint("`shoal ls` shows what is here; what others hold is got with a ticket, or in a team")
}

fn the_one<T>(mut found: Vec<T>, text: &str, ids: &[String]) -> Result<T, ApiError> {
    match (found.pop(), found.is_empty()) {
        (None, _) => Err(
            ApiError::new(ErrorKind::NotFound, format!("{text} is not known here"))
                .hint("`shoal ls` shows what is here; what others hold is got with a ticket"),
        ),
        (Some(one), true) => Ok(one),
        (Some(_), false) => {
            let message = format!("{text} is the beginning of several ids: {}", ids.join(", "));
            Err(ApiError::new(ErrorKind::Usage, message).hint("give more digits"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_and_paths_are_told_by_how_they_begin() {
        for text in ["shoal1", "shoal1garbage", "SHOAL1ABC", "shoal2x"] {
            assert!(is_meant_as_ticket(text), "{text}");
        }
        for text in ["shoal", "shoal/x", "./shoal1x", "lab/shoal1"] {
            assert!(!is_meant_as_ticket(text), "{text}");
        }
        for text in [".", "..", "/", "./x", "../x", "/x"] {
            assert!(is_plainly_a_path(text), "{text}");
        }
        for text in ["x", "lab/x", "...", ".hidden"] {
            assert!(!is_plainly_a_path(text), "{text}");
        }
    }

    #[test]
    fn paths_become_absolute_and_plain() {
        let check = |path, expect| {
            assert_eq!(
                absolute(Path::new("/a/b"), Path::new(path)),
                Path::new(expect)
            );
        };
        check("c", "/a/b/c");
        check("./c/", "/a/b/c");
        check("../c", "/a/c");
        check("/c/./d", "/c/d");
        check("../../../c", "/c");
        check(".", "/a/b");
    }

    #[test]
    fn a_bad_ticket_is_a_usage_error_and_is_not_repeated() {
        let secret = "shoal1aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
        let error = ticket(secret).expect_err("no ticket");
        assert_eq!(error.kind, ErrorKind::Usage);
        assert!(!error.message.contains("aaaa"));
    }
}
