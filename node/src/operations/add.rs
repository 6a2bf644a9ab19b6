//! `add`: files become a snapshot, and with a name a version.

use std::path::PathBuf;

use shoal_protocol::names::ArtifactName;
use shoal_protocol::peer::PeerKey;
use shoal_protocol::size::Size;
use shoal_store::Store;
use shoal_store::history::HistoryLoss;
use shoal_store::ingest::{self, AddMode};

use super::progress::Relay;
use crate::api::{AddRequest, Added, ApiError, ErrorKind, Events, Reporter};
use crate::node::{Node, blocking};
use crate::operations::source::holders;
use crate::resolve::absolute;
use crate::team::{Ended, TeamError};
use crate::versions::{self, History};

/// How many of the paths left out are named.
const LEFT_OUT_MAX: usize = 20;

impl Node {
    /// Keeps a snapshot of a file or folder.
    pub fn add(&self, request: AddRequest) -> Events<Added> {
        let subject = request.path.display().to_string();
        self.operation("add", subject, |node, reporter| async move {
            let name = match &request.name {
                Some(name) => Some(name.parse::<ArtifactName>()?),
                None if request.message.is_some() => {
                    let message = "a message needs a version to stand in";
                    return Err(
                        ApiError::new(ErrorKind::Usage, message).hint("add `--name GROUP/NAME`")
                    );
                }
                None => None,
            };
            let files = Files {
                path: absolute(&request.cwd, &request.path),
                all: request.all,
                mode: if request.in_place {
                    AddMode::InPlace
                } else {
                    AddMode::Keep
                },
                kept: true,
                audience: node
                    .team()
                    .root()
                    .filter(|_| !request.private && node.team().is_in()),
            };
            let added = node.add_files(files, &reporter).await?;
            node.announce(added.snapshot).await;
            if !request.private
                && let Err(out @ TeamError::Ended(_, Ended::Revoked | Ended::Expired)) =
                    node.team().check_in()
            {
                let ApiError { message, hint, .. } = out.into();
                reporter.warn(format!("{message}: nobody else finds what was added"), hint);
            }
            let Some(name) = name else {
                return Ok(reply(added, None));
            };
            let (store, who, snapshot) = (node.store()?, node.peer(), added.snapshot);
            let message = request.message.unwrap_or_default();
            let (version, is_new) =
                blocking(move || versions::record(&store, &name, snapshot, who, message)).await?;
            if !is_new {
                reporter.info(format!("nothing changed since {version}"));
            }
            Ok(reply(added, Some(version)))
        })
    }

    /// Adds files and tells what a person should know about it.
    pub(super) async fn add_files<I: Send + 'static>(
        &self,
        files: Files,
        reporter: &Reporter<I>,
    ) -> Result<ingest::Added, ApiError> {
        let (store, relay) = (self.store()?, Relay(reporter.clone()));
        let request = ingest::AddRequest {
            path: files.path,
            all: files.all,
            mode: files.mode,
            kept: files.kept,
            audience: files.audience,
        };
        // Copies of the same bytes that come at once would be kept twice.
        let _turn = match files.mode {
            AddMode::Keep => Some(self.copying().lock().await),
            AddMode::InPlace => None,
        };
        let node = self.clone();
        let (added, losses) = blocking(move || {
            let added = store.add(&request, &relay)?;
            let losses = losses(&node, &store, &added.lost)?;
            Ok::<_, ApiError>((added, losses))
        })
        .await?;
        for warning in &added.warnings {
            reporter.warn(warning.to_string(), None);
        }
        for (message, hint) in losses {
            reporter.warn(message, Some(hint));
        }
        Ok(added)
    }
}

/// What to add, and how.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) path: PathBuf,
    pub(super) all: bool,
    pub(super) mode: AddMode,
    pub(super) kept: bool,
    /// The team that may read it, by its root key.
    pub(super) audience: Option<PeerKey>,
}

/// Which versions lost bytes because files were overwritten, and who may still have them.
fn losses(
    node: &Node,
    store: &Store,
    lost: &[HistoryLoss],
) -> Result<Vec<(String, String)>, ApiError> {
    if lost.is_empty() {
        return Ok(Vec::new());
    }
    let view = store.view();
    let histories = History::all(&view)?;
    let tell = |loss: &HistoryLoss| {
        let names = versions::names_of(&histories, &loss.snapshot);
        let who = if names.is_empty() {
            loss.snapshot.short()
        } else {
            names.join(", ")
        };
        let message = format!(
            "{who} lost {}: the files that held them have changed ({})",
            Size(loss.bytes),
            loss.paths
        );
        let holders = holders(node, &view, &loss.snapshot)?;
        let hint = if holders.is_empty() {
            "nobody else is known to hold them; plain `add` keeps copies that edits do not touch"
                .to_owned()
        } else {
            format!(
                "{} may hold them: `shoal verify --repair` asks",
                holders.join(", ")
            )
        };
        Ok((message, hint))
    };
    lost.iter().map(tell).collect()
}

fn reply(added: ingest::Added, version: Option<String>) -> Added {
    Added {
        snapshot: added.snapshot,
        version,
        entries: added.entries,
        bytes: added.bytes,
        bytes_new: added.bytes_new,
        left_out: added
            .left_out
            .iter()
            .take(LEFT_OUT_MAX)
            .map(ToString::to_string)
            .collect(),
        left_out_count: added.left_out_total,
    }
}
