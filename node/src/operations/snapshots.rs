//! `ls` without an artifact: every snapshot the store knows.

use shoal_store::index::{Origin, SnapshotRow};

use crate::api::{ApiError, SnapshotInfo};
use crate::node::{Node, blocking};
use crate::resolve::place;
use crate::versions::{self, History};

impl Node {
    /// Every snapshot the store knows, newest first.
    pub async fn snapshots(&self) -> Result<Vec<SnapshotInfo>, ApiError> {
        let store = self.store()?;
        blocking(move || {
            let view = store.view();
            let histories = History::all(&view)?;
            let rows = view.snapshots()?;
            // A get that was refused leaves nothing to show.
            let is_there = |row: &&SnapshotRow| {
                row.kept || row.snapshot.bytes == 0 || row.held.bytes(row.snapshot.bytes) > 0
            };
            let there = rows.iter().filter(is_there);
            let mut infos: Vec<_> = there.map(|row| info(row, &histories)).collect();
            infos.sort_by_key(|info| (std::cmp::Reverse(info.at_unix_s), info.snapshot));
            Ok::<_, ApiError>(infos)
        })
        .await
    }
}

fn info(row: &SnapshotRow, histories: &[History]) -> SnapshotInfo {
    let snapshot = row.id();
    SnapshotInfo {
        snapshot,
        names: versions::names_of(histories, &snapshot),
        entries: row.snapshot.entries,
        bytes: row.snapshot.bytes,
        bytes_held: row.held.bytes(row.snapshot.bytes),
        path: Some(place(&row.origin).to_owned()),
        in_place: matches!(
            row.origin,
            Origin::Added { in_place: true, .. } | Origin::Received { .. }
        ),
        at_unix_s: row.at_unix_s,
    }
}
