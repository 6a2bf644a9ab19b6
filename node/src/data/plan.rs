//! What a fetch still needs, asked of the destination ahead of time.
//!
//! Owns: the task that asks, and fetches the pages that the answer depends on. Refuses: to
//! run far ahead: a handful of runs wait, and the destination bounds what is outstanding.

use std::sync::Arc;
use std::time::Duration;

use shoal_protocol::fetch::{Run, RunId};
use shoal_store::receive::{Likeness, Next, Receive, ReceiveError};
use tokio::sync::{Notify, mpsc};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::hub::Hub;
use super::{FetchError, pages};

/// Runs that are planned and not yet handed to the machine.
const PLANNED_MAX: usize = 16;

/// What a destination needs.
pub(crate) enum Need {
    /// These bytes, and what is here that resembles them.
    Run(Run, Vec<Likeness>),
    /// No more than it said, unless something goes wrong.
    NoMore,
}

/// The task that asks the destination what it needs.
pub(crate) struct Plan {
    /// What is needed, in order; ends when nothing is any more.
    pub(crate) needs: mpsc::Receiver<Result<Need, FetchError>>,
    /// A run is done, so that more may be handed out.
    pub(crate) go_on: Arc<Notify>,
    _task: AbortOnDropHandle<()>,
}

impl Plan {
    /// Begins to ask.
    pub(crate) fn begin(hub: &Arc<Hub>, receive: &Arc<Receive>) -> Self {
        let (sender, needs) = mpsc::channel(PLANNED_MAX);
        let go_on = Arc::new(Notify::new());
        let (hub, receive, wake) = (Arc::clone(hub), Arc::clone(receive), Arc::clone(&go_on));
        let task = tokio::spawn(async move {
            if let Err(error) = make_plan(&hub, &receive, &wake, &sender).await {
                // Whoever is not there any more does not want to know.
                let _ = sender.send(Err(error)).await;
            }
        });
        Self {
            needs,
            go_on,
            _task: AbortOnDropHandle::new(task),
        }
    }
}

async fn make_plan(
    hub: &Arc<Hub>,
    receive: &Arc<Receive>,
    go_on: &Notify,
    needs: &mpsc::Sender<Result<Need, FetchError>>,
) -> Result<(), FetchError> {
    loop {
        let (next, likenesses) = look_ahead(hub, receive).await?;
        match next {
            Next::Pages(wanted) => pages::fetch(hub, wanted).await?,
            Next::Run(run) => {
                let run = Run {
                    id: RunId(run.id),
                    start: run.start,
                    end: run.end,
                };
                if needs.send(Ok(Need::Run(run, likenesses))).await.is_err() {
                    return Ok(());
                }
            }
            Next::Wait => go_on.notified().await,
            Next::WaitForLast => {
                if needs.send(Ok(Need::NoMore)).await.is_err() {
                    return Ok(());
                }
                go_on.notified().await;
            }
            Next::Done => return Ok(()),
        }
    }
}

/// Asks the destination, which may read and hash local files before it answers: progress of
/// its own, however long it takes.
async fn look_ahead(
    hub: &Hub,
    receive: &Arc<Receive>,
) -> Result<(Next, Vec<Likeness>), FetchError> {
    let (asked, has_bases) = (Arc::clone(receive), hub.may_name_bases());
    let mut looking = spawn_blocking(move || {
        let next = asked.next()?;
        let likenesses = match &next {
            Next::Run(run) if has_bases => asked.likenesses(run.id),
            _ => Vec::new(),
        };
        Ok::<_, ReceiveError>((next, likenesses))
    });
    loop {
        hub.progressed();
        if let Ok(next) = timeout(Duration::from_secs(1), &mut looking).await {
            return Ok(next.expect("planning does not panic")?);
        }
    }
}
