//! Fetching pages of manifests and content lists.
//!
//! Owns: the choice of the source, asking another for what one does not have or does not
//! send, and putting them into the store in one commit. Refuses: knowing which pages are needed.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use shoal_protocol::id::PageId;
use shoal_protocol::peer::PeerKey;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use super::FetchError;
use super::hub::{Hub, SILENCE};
use super::session::Session;

/// Pages that are asked for at once: about a frame's worth.
const BATCH: usize = 64;
/// Requests that are open at once.
const BATCHES_MAX: usize = 32;
/// Pages that are kept in memory before they are committed.
const COMMIT_PAGES: usize = 256;

/// A source of which not one byte comes for so long, and for a few round trips more, is passed
/// over before [`SILENCE`] while there is another: nothing can be done before the first pages are
/// here. One that sends something may have a slow link.
const HUSH: Duration = Duration::from_millis(300);
const HUSH_ROUND_TRIPS: u32 = 4;

/// How it ended with one source.
enum Ended {
    /// It said all that it had to say, or is gone.
    Through,
    /// It says nothing, and there are others.
    Silent,
}

/// Fetches `pages` into the store.
pub(crate) async fn fetch(hub: &Arc<Hub>, pages: Vec<PageId>) -> Result<(), FetchError> {
    let mut wanted: HashSet<PageId> = pages.into_iter().collect();
    let mut asked_in_vain: HashSet<PeerKey> = HashSet::new();
    let mut changes = hub.changes();
    while !wanted.is_empty() {
        changes.mark_unchanged();
        let (mut sessions, expects_more) = hub.sessions_and_outlook();
        sessions.retain(|_, session| !session.closing.is_cancelled());
        asked_in_vain.retain(|peer| sessions.contains_key(peer));
        // Who offers most has most pages.
        let useful = sessions
            .values()
            .filter(|session| !asked_in_vain.contains(&session.peer))
            .max_by_key(|session| (!session.is_passed_over(), session.offered_bytes()));
        let Some(session) = useful else {
            if let Some(why) = hub.hopeless() {
                return Err(why);
            }
            if !sessions.is_empty() && !expects_more {
                return Err(FetchError::PageNotFound {
                    snapshot: hub.snapshot_id(),
                    page: *wanted.iter().next().expect("not empty"),
                });
            }
            tokio::select! {
                changed = changes.changed() => changed.expect("the hub has the sender"),
                error = hub.out_of_patience() => return Err(error),
            }
            continue;
        };
        let before = wanted.len();
        let is_better = |other: &Arc<Session>| {
            other.peer != session.peer
                && !other.is_passed_over()
                && !asked_in_vain.contains(&other.peer)
        };
        let has_other = || hub.sessions().values().any(&is_better);
        match ask(hub, session, &mut wanted, has_other).await? {
            Ended::Silent => session.pass_over(),
            Ended::Through if wanted.len() == before && !session.closing.is_cancelled() => {
                asked_in_vain.insert(session.peer);
            }
            Ended::Through => {}
        }
    }
    Ok(())
}

/// Asks one source for everything that is wanted; what comes is not wanted any more.
async fn ask(
    hub: &Arc<Hub>,
    session: &Session,
    wanted: &mut HashSet<PageId>,
    has_other: impl Fn() -> bool,
) -> Result<Ended, FetchError> {
    let (sender, mut replies) = mpsc::unbounded_channel();
    let pages: Vec<PageId> = wanted.iter().copied().collect();
    for batch in pages.chunks(BATCH).take(BATCHES_MAX) {
        session.ask_pages(batch, sender.clone());
    }
    drop(sender);
    let mut came = Vec::new();
    let hush = HUSH + HUSH_ROUND_TRIPS * session.round_trip;
    let (mut heard, mut last) = (session.traffic.received(), Instant::now());
    let ended = loop {
        tokio::select! {
            reply = replies.recv() => match reply {
                Some((page, bytes)) => {
                    hub.progressed();
                    last = Instant::now();
                    wanted.remove(&page);
                    came.push((page, bytes));
                }
                None => break Ended::Through,
            },
            () = sleep(hush) => {
                let heard_before = std::mem::replace(&mut heard, session.traffic.received());
                let is_mute = heard == heard_before;
                if (is_mute || last.elapsed() >= SILENCE) && has_other() {
                    break Ended::Silent;
                }
            }
            error = hub.out_of_patience() => return Err(error),
        }
        if came.len() >= COMMIT_PAGES {
            keep(hub, std::mem::take(&mut came)).await?;
        }
    };
    if !came.is_empty() {
        keep(hub, came).await?;
    }
    Ok(ended)
}

/// Puts verified pages into the store.
async fn keep(hub: &Hub, pages: Vec<(PageId, Vec<u8>)>) -> Result<(), FetchError> {
    let store = hub.endpoint.store().clone();
    let kept = spawn_blocking(move || {
        let batch = store.begin();
        for (page, bytes) in &pages {
            batch.put_page(page, bytes)?;
        }
        batch.commit(false)
    });
    Ok(kept.await.expect("the store does not panic")?)
}
