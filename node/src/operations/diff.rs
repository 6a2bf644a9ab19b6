//! `diff`: how two artifacts differ, path by path. Pages that both have are not read.

use std::collections::HashSet;

use shoal_protocol::id::{PageId, SnapshotId};
use shoal_protocol::manifest::{Entry, EntryKind};
use shoal_protocol::paged_list::{self, PageSource};
use shoal_store::index::SnapshotRow;
use shoal_store::ingest::AddMode;

use super::add::Files;
use super::renames::Renames;
use super::source::Source;
use crate::api::{
    ApiError, Change, DiffRequest, Diffed, Difference, Events, Phase, Reporter, What,
};
use crate::node::{Node, blocking};
use crate::resolve::{Target, subject};

/// How long to wait for lists from far away without progress.
const PATIENCE_S: u64 = 60;

impl Node {
    /// How two artifacts differ, path by path.
    pub fn diff(&self, request: DiffRequest) -> Events<Diffed, Difference> {
        let both = format!("{} {}", subject(&request.a), subject(&request.b));
        self.operation("diff", both, |node, reporter| async move {
            let mut made = Vec::new();
            let diffed = node.compared(&request, &reporter, &mut made).await;
            for snapshot in made.into_iter().filter(|id| !node.shares().knows(id)) {
                node.forget_unkept(snapshot).await?;
            }
            diffed
        })
    }

    async fn compared(
        &self,
        request: &DiffRequest,
        reporter: &Reporter<Difference>,
        made: &mut Vec<SnapshotId>,
    ) -> Result<Diffed, ApiError> {
        let a = self.side(&request.a, reporter, made).await?;
        let b = self.side(&request.b, reporter, made).await?;
        reporter.progress(|p| p.phase = Phase::Planning);
        let reporter = reporter.clone();
        blocking(move || compare(a, b, &reporter)).await
    }

    /// One side. A path is read where it is, as it is now; what is known of it afterwards and
    /// was not before is added to `made`.
    async fn side(
        &self,
        what: &What,
        reporter: &Reporter<Difference>,
        made: &mut Vec<SnapshotId>,
    ) -> Result<Source, ApiError> {
        let (store, asked) = (self.store()?, what.clone());
        let view = store.view();
        let target = blocking(move || Target::of(&view, &asked)).await?;
        let what = match target {
            Target::Path(path) => {
                let files = Files {
                    path,
                    all: false,
                    mode: AddMode::InPlace,
                    kept: false,
                    audience: None,
                };
                let store = self.store()?;
                let known = blocking(move || store.view().snapshots()).await?;
                let known: HashSet<_> = known.iter().map(SnapshotRow::id).collect();
                let added = self.add_files(files, reporter).await?;
                if !known.contains(&added.snapshot) {
                    made.push(added.snapshot);
                }
                What {
                    text: added.snapshot.to_string(),
                    cwd: what.cwd.clone(),
                }
            }
            _ => what.clone(),
        };
        self.source(&what, Some(PATIENCE_S), reporter.token(), |_| {})
            .await
    }
}

/// Pages of either side.
struct Both(Source, Source);

impl PageSource for Both {
    type Error = ApiError;

    fn page(&self, id: &PageId) -> Result<Option<std::sync::Arc<[u8]>>, ApiError> {
        // A page that one side has never heard of is asked of the other.
        match self.0.store.page(id)? {
            Some(page) => Ok(Some(page)),
            None => match self.0.page(id) {
                Ok(Some(page)) => Ok(Some(page)),
                _ => self.1.page(id),
            },
        }
    }
}

fn compare(a: Source, b: Source, reporter: &Reporter<Difference>) -> Result<Diffed, ApiError> {
    let (inside_a, inside_b) = (a.inside.clone(), b.inside.clone());
    let roots = (a.snapshot.manifest, b.snapshot.manifest);
    let both = Both(a, b);
    let (mut diffed, mut renames) = (Diffed::default(), Renames::default());
    let within = |entry: &Entry, inside: &Option<_>| {
        inside
            .as_ref()
            .is_none_or(|inside| entry.path.is_within(inside))
    };
    let mut changes = paged_list::Diff::new(roots.0, roots.1);
    while let Some(change) = changes.next(&both)? {
        let (old, new) = match &change {
            paged_list::Change::Added(new) => (None, Some(&new.item)),
            paged_list::Change::Removed(old) => (Some(&old.item), None),
            paged_list::Change::Changed { old, new } => (Some(&old.item), Some(&new.item)),
        };
        let old = old.filter(|entry| within(entry, &inside_a));
        let new = new.filter(|entry| within(entry, &inside_b));
        let Some(difference) = difference(old, new) else {
            continue;
        };
        for difference in renames.push(difference, old.xor(new)) {
            tell(difference, &mut diffed, reporter)?;
        }
    }
    for difference in renames.rest() {
        tell(difference, &mut diffed, reporter)?;
    }
    Ok(diffed)
}

fn tell(
    difference: Difference,
    diffed: &mut Diffed,
    reporter: &Reporter<Difference>,
) -> Result<(), ApiError> {
    match difference.change {
        Change::Added => diffed.added += 1,
        Change::Removed => diffed.removed += 1,
        Change::Content | Change::Kind => diffed.changed += 1,
        Change::Renamed => diffed.renamed += 1,
    }
    reporter.item_blocking(difference)
}

fn difference(old: Option<&Entry>, new: Option<&Entry>) -> Option<Difference> {
    let change = match (old, new) {
        (None, None) => return None,
        (None, Some(_)) => Change::Added,
        (Some(_), None) => Change::Removed,
        (Some(old), Some(new)) => match (&old.kind, &new.kind) {
            (EntryKind::File { content: a, .. }, EntryKind::File { content: b, .. }) if a != b => {
                Change::Content
            }
            _ => Change::Kind,
        },
    };
    Some(Difference {
        path: old.or(new).map(|entry| entry.path.to_string())?,
        path_a: None,
        change,
        bytes_a: old.map(Entry::size),
        bytes_b: new.map(Entry::size),
    })
}
