//! `ls`: what is in an artifact, a level or everything beneath.

use shoal_protocol::manifest::{Entry, EntryKind};
use shoal_protocol::paged_list::Placed;
use shoal_protocol::path::ManifestPath;

use super::source::Source;
use crate::api::{ApiError, EntryType, Events, Listed, LsEntry, LsRequest, Phase};
use crate::node::{Node, blocking};
use crate::resolve::subject;

impl Node {
    /// Lists what is in an artifact.
    pub fn ls(&self, request: LsRequest) -> Events<Listed, LsEntry> {
        self.operation("ls", subject(&request.what), |node, reporter| async move {
            reporter.progress(|p| p.phase = Phase::Connecting);
            let source = node
                .source(&request.what, request.timeout_s, reporter.token(), |_| {})
                .await?;
            blocking(move || {
                let mut listed = Listed {
                    snapshot: source.id,
                    entries: 0,
                    bytes: 0,
                };
                each(&source, request.recursive, |entry| {
                    listed.entries += 1;
                    listed.bytes += entry.bytes;
                    reporter.item_blocking(entry)
                })?;
                Ok::<_, ApiError>(listed)
            })
            .await
        })
    }
}

/// Tells `tell` the lines for what was asked for. Directories are passed over by a seek, not
/// read, unless everything is asked for.
pub(super) fn each(
    source: &Source,
    recursive: bool,
    mut tell: impl FnMut(LsEntry) -> Result<(), ApiError>,
) -> Result<(), ApiError> {
    let mut cursor = source.entries();
    if let Some(inside) = &source.inside {
        source.entry_at(inside)?;
        cursor.seek_path(inside.clone());
    }
    let is_within = |found: &Placed<Entry>| {
        let inside = source.inside.as_ref();
        inside.is_none_or(|inside| found.item.path.is_within(inside))
    };
    let mut next = cursor.next(source)?;
    while let Some(found) = next.take().filter(is_within) {
        let directory = directory_of(&found.item.path, source.inside.as_ref());
        match directory.filter(|_| !recursive) {
            None => {
                tell(line(&found.item))?;
                next = cursor.next(source)?;
            }
            Some(directory) => {
                cursor.seek_past(directory.clone());
                next = cursor.next(source)?;
                let end = next
                    .as_ref()
                    .map_or(source.snapshot.bytes, |next| next.position);
                tell(LsEntry {
                    path: directory.to_string(),
                    kind: EntryType::Directory,
                    bytes: end - found.position,
                    target: None,
                })?;
            }
        }
    }
    Ok(())
}

/// The directory directly beneath `inside` that `path` lies in; nothing if it lies in none.
pub(super) fn directory_of(
    path: &ManifestPath,
    inside: Option<&ManifestPath>,
) -> Option<ManifestPath> {
    let depth = inside.map_or(0, |inside| inside.components().count());
    let text = path.as_str();
    let mut slashes = text.match_indices('/').map(|(at, _)| at);
    let end = slashes.nth(depth)?;
    Some(ManifestPath::new(&text[..end]).expect("the beginning of a path is a path"))
}

fn line(entry: &Entry) -> LsEntry {
    let (kind, target) = match &entry.kind {
        EntryKind::File {
            executable: true, ..
        } => (EntryType::Executable, None),
        EntryKind::File { .. } => (EntryType::File, None),
        EntryKind::Symlink { target } => (EntryType::Symlink, Some(target.as_str().to_owned())),
        EntryKind::EmptyDirectory => (EntryType::Directory, None),
    };
    LsEntry {
        path: entry.path.to_string(),
        kind,
        bytes: entry.size(),
        target,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_level_is_what_is_directly_beneath() {
        let path = |text: &str| ManifestPath::new(text).expect("a path");
        let directory = |text, inside: Option<&str>| {
            directory_of(&path(text), inside.map(path).as_ref()).map(|d| d.to_string())
        };
        assert_eq!(directory("a", None), None);
        assert_eq!(directory("a/b/c", None), Some("a".to_owned()));
        assert_eq!(directory("a/b", Some("a")), None);
        assert_eq!(directory("a/b/c/d", Some("a")), Some("a/b".to_owned()));
        assert_eq!(directory("a", Some("a")), None);
    }
}
