//! Finds files that were moved aside just before the process or the machine stopped.
//!
//! Owns: the looking into the side areas when a store is opened. Refuses: to remove anything;
//! what no version needs goes in a collection.
//!
//! Between the move and the commit, the index has such a file where it stood, and it is not
//! there any more. Its new name says which row it belongs to.

use std::io;
use std::path::Path;
use std::sync::Arc;

use shoal_protocol::path::ManifestPath;

use super::{Aside, SIDE_AREA, STORE_AREA, kept_id};
use crate::Store;
use crate::disk::{FileIdentity, Root};
use crate::error::StoreError;
use crate::index::{AbsolutePath, FileRow, View};

/// A folder for files that were moved aside.
struct Area {
    root: Arc<dyn Root>,
    at: Option<AbsolutePath>,
    name: &'static str,
}

/// Tells the index of such files.
pub(crate) fn adopt(store: &Store) -> Result<(), StoreError> {
    let view = store.view();
    for area in areas(store, &view)? {
        let listed = area.root.list(Path::new(area.name));
        let names = match listed {
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            listed => listed.map_err(StoreError::io(area.root.path().join(area.name)))?,
        };
        for name in names {
            let Some(row) = kept_id(&name).map(|id| view.file(id)).transpose()? else {
                continue;
            };
            let path = format!("{}/{}", area.name, name.to_string_lossy());
            let aside = Aside {
                root: area.root.clone(),
                at: area.at.clone(),
                path: ManifestPath::new(path).expect("a plain name"),
            };
            if let Some(row) = row
                && !is_known(&view, &row, &aside)
                && aside.is_file_of(&row)?
            {
                aside.record(store, row)?;
            }
        }
    }
    Ok(())
}

fn is_known(view: &View, row: &FileRow, aside: &Aside) -> bool {
    view.root_path(row.root) == aside.at && row.path == aside.path
}

impl Aside {
    /// Whether it is the file that a row speaks of. A short name that a power cut took back is
    /// given again, to another.
    fn is_file_of(&self, row: &FileRow) -> Result<bool, StoreError> {
        let found = self.root.stat(self.name()).map_err(self.failed())?;
        let place = |one: &FileIdentity| (one.device, one.inode);
        Ok(found.is_some_and(|found| place(&found) == place(&row.identity)))
    }
}

/// The areas that a receive which did not end may have used.
fn areas(store: &Store, view: &View) -> Result<Vec<Area>, StoreError> {
    let mut areas = vec![Area {
        root: store.home().clone(),
        at: None,
        name: STORE_AREA,
    }];
    for receive in view.receives()? {
        // In the folder, or that of the lone file, and in the one above.
        for path in receive.dest.as_path().ancestors().take(3) {
            if let Ok(root) = store.disk().root(path, false) {
                areas.push(Area {
                    root,
                    at: AbsolutePath::new(path),
                    name: SIDE_AREA,
                });
            }
        }
    }
    Ok(areas)
}
