//! Hashing again, when a daemon starts, what lay in files that were not synced when the machine
//! stopped: until then it is not offered.

use shoal_store::check::{VerifyError, VerifyScope};
use shoal_store::progress::Progress;
use tokio_util::sync::CancellationToken;

use crate::Node;
use crate::node::blocking;

/// Stops when the node does.
struct UntilStop(CancellationToken);

impl Progress for UntilStop {
    fn cancelled(&self) -> bool {
        self.0.is_cancelled()
    }
}

impl Node {
    /// Does so beside everything else.
    pub(crate) fn recheck_later(&self) {
        let node = self.clone();
        self.tasks().spawn(async move {
            let Ok(store) = node.store() else { return };
            let listener = UntilStop(node.stop().clone());
            let checked = blocking(
                move || match store.verify(VerifyScope::Suspect, &listener) {
                    Err(VerifyError::Cancelled) => Ok(None),
                    report => report.map(Some),
                },
            );
            match checked.await {
                Ok(Some(report)) => {
                    for health in report.snapshots {
                        node.plane().offer_changed(&health.snapshot).await;
                    }
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%error, "files that were not synced are not offered yet");
                }
            }
        });
    }
}
