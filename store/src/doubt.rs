//! What may not be offered until it has been hashed again.
//!
//! Owns: the withdrawing of offers when the machine stopped before files were synced. Refuses:
//! to hash; [`VerifyScope::Suspect`](crate::check::VerifyScope::Suspect) does, and offers again
//! what is right.

use std::collections::HashSet;

use crate::Store;
use crate::error::StoreError;
use crate::held::Holdings;
use crate::index::{FileId, FileState, RootId, View};
use crate::progress::Silent;
use crate::survey::Survey;

/// Withdraws the offers of what lies in suspect files alone. Called when files have become so.
pub(crate) fn withdraw(store: &Store) -> Result<(), StoreError> {
    let view = store.view();
    let suspects = suspects(&view)?;
    if suspects.is_empty() {
        return Ok(());
    }
    let mut survey = Survey::new(store, Holdings::with_changed(view.clone(), suspects));
    let batch = store.begin();
    for mut row in view.snapshots()? {
        let findings = survey.snapshot(&row, &row.offered, &Silent)?;
        let doubtful = findings.map_or_else(Default::default, |findings| findings.doubtful);
        if !doubtful.is_empty() {
            row.offered = row.offered.without(&doubtful, row.snapshot.bytes);
            batch.put_snapshot(row);
        }
    }
    match batch.commit(true) {
        // Whoever opens a store on a full disk wants to make room. What is read is hashed in
        // any case.
        Err(StoreError::Io { source, .. }) if crate::is_no_space(&source) => {
            tracing::warn!("no room to note which files must be hashed before they are offered");
            Ok(())
        }
        done => done,
    }
}

/// The files that must be hashed before anything relies on them.
pub(crate) fn suspects(view: &View) -> Result<HashSet<FileId>, StoreError> {
    let mut suspects = HashSet::new();
    let roots = view.roots().into_iter().map(|(root, _)| root);
    for root in roots.chain([RootId::HOME]) {
        for row in view.files(root, None)? {
            let row = row?;
            if row.state == FileState::Suspect {
                suspects.insert(row.id);
            }
        }
    }
    Ok(suspects)
}
