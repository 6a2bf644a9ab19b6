//! `du`: sizes, of what is in an artifact or of the whole store.

use std::collections::HashSet;

use shoal_protocol::manifest::{SnapshotCursor, Step};
use shoal_store::Store;
use tokio_util::sync::CancellationToken;

use super::ls::directory_of;
use super::source::Source;
use crate::api::{ApiError, Du, DuRequest, DuRow, StoreUsage};
use crate::node::{Node, blocking};

/// How long to wait for lists from far away without progress.
const PATIENCE_S: u64 = 60;

impl Node {
    /// Sizes.
    pub async fn du(&self, request: DuRequest) -> Result<Du, ApiError> {
        // Dropped with this future, which ends what the request would wait for.
        let cancelled = CancellationToken::new();
        let _cancel = cancelled.clone().drop_guard();
        let Some(what) = request.what else {
            return self.du_store().await;
        };
        let source = self
            .source(&what, Some(PATIENCE_S), &cancelled, |_| {})
            .await?;
        blocking(move || of_artifact(&source, &cancelled)).await
    }

    async fn du_store(&self) -> Result<Du, ApiError> {
        let mut du = Du {
            store: Some(self.usage().await?),
            ..Du::default()
        };
        let mut rows = self.snapshots().await?;
        rows.sort_by_key(|info| std::cmp::Reverse(info.bytes_held));
        for info in rows {
            du.bytes += info.bytes_held;
            du.entries += info.entries;
            du.rows.push(DuRow {
                path: info
                    .names
                    .first()
                    .cloned()
                    .unwrap_or_else(|| info.snapshot.to_string()),
                bytes: info.bytes_held,
                entries: info.entries,
            });
        }
        let store = self.store()?;
        du.bytes_distinct = blocking(move || distinct(&store)).await?;
        Ok(du)
    }

    /// What the store takes on disk.
    pub(super) async fn usage(&self) -> Result<StoreUsage, ApiError> {
        let (store, home) = (self.store()?, self.home().to_owned());
        blocking(move || {
            let count = store.view().snapshots()?.len() as u64;
            let free = store
                .home()
                .file_system()
                .map_err(|error| ApiError::io(&home, &error))?
                .free;
            Ok::<_, ApiError>(StoreUsage {
                index_bytes: allocated(&home.join("index.redb")),
                pack_bytes: allocated(&home.join("packs")),
                owned_bytes: allocated(&home.join("files")),
                free_bytes: free,
                snapshots: count,
            })
        })
        .await
    }
}

/// Bytes of all chunks that the store knows.
fn distinct(store: &Store) -> Result<u64, ApiError> {
    let view = store.view();
    let mut bytes = 0;
    for chunk in view.chunks()? {
        bytes += u64::from(chunk?.1.length);
    }
    Ok(bytes)
}

/// Disk blocks of a file, or of everything beneath a directory, in bytes; what cannot be
/// looked at counts nothing.
fn allocated(path: &std::path::Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(meta) = path.symlink_metadata() else {
        return 0;
    };
    if !meta.is_dir() {
        return meta.blocks() * 512;
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| allocated(&entry.path())).sum()
}

fn of_artifact(source: &Source, cancelled: &CancellationToken) -> Result<Du, ApiError> {
    let mut du = Du::default();
    let mut seen = HashSet::new();
    let mut cursor = SnapshotCursor::new(&source.snapshot);
    if let Some(inside) = &source.inside {
        source.entry_at(inside)?;
        cursor.seek_path(inside);
    }
    while let Some(step) = cursor.next(source)? {
        if cancelled.is_cancelled() {
            return Err(ApiError::interrupted());
        }
        match step {
            Step::Entry { entry, .. } => {
                let inside = source.inside.as_ref();
                if inside.is_some_and(|inside| !entry.path.is_within(inside)) {
                    break;
                }
                let row = directory_of(&entry.path, inside).unwrap_or_else(|| entry.path.clone());
                du.entries += 1;
                du.bytes += entry.size();
                match du.rows.last_mut().filter(|last| last.path == row.as_str()) {
                    Some(last) => {
                        last.entries += 1;
                        last.bytes += entry.size();
                    }
                    None => du.rows.push(DuRow {
                        path: row.to_string(),
                        bytes: entry.size(),
                        entries: 1,
                    }),
                }
            }
            Step::Chunk { chunk, .. } => {
                if seen.insert(chunk.id) {
                    du.bytes_distinct += u64::from(chunk.length);
                }
            }
        }
    }
    Ok(du)
}
