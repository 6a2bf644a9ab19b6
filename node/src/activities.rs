//! The operations that run now, for `status`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::api::{Activity, Progress};

/// A list of what runs. Clones are the same list.
#[derive(Debug, Clone, Default)]
pub(crate) struct Activities(Arc<Mutex<Running>>);

#[derive(Debug, Default)]
struct Running {
    next: u64,
    listed: BTreeMap<u64, (&'static str, String, watch::Receiver<Progress>)>,
}

/// Takes its operation off the list when it is dropped.
#[derive(Debug)]
pub(crate) struct Listed {
    list: Activities,
    id: u64,
}

impl Activities {
    /// Puts an operation on the list until what is returned is dropped.
    pub(crate) fn list(
        &self,
        operation: &'static str,
        subject: String,
        progress: watch::Receiver<Progress>,
    ) -> Listed {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let id = running.next;
        running.next += 1;
        running.listed.insert(id, (operation, subject, progress));
        Listed {
            list: self.clone(),
            id,
        }
    }

    /// What runs, longest-running first.
    pub(crate) fn now(&self) -> Vec<Activity> {
        let running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let activity =
            |(operation, subject, progress): &(&str, String, watch::Receiver<Progress>)| Activity {
                operation: (*operation).to_owned(),
                subject: subject.clone(),
                progress: progress.borrow().clone(),
            };
        running.listed.values().map(activity).collect()
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut running = self.list.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.listed.remove(&self.id);
    }
}
