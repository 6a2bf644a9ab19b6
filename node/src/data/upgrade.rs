//! Leaving a stream of the control plane for a better way.
//!
//! Owns: looking for one now and then while a session is carried by a stream, and letting the
//! old session finish what is on its way beside the new one. Refuses: to leave a way that is
//! as good as any.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use shoal_protocol::access::Source;
use shoal_protocol::wire::ByeReason;
use tokio::time::{sleep, timeout};

use super::dial::{dial_by_stream, dial_directly};
use super::hub::Hub;
use super::session::{Session, SessionError};
use super::swarm::{Entered, enter};
use super::way::Way;

/// How soon a better way is looked for; doubles up to the second.
const LOOK: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// How long an old session may take to bring what is on its way.
const DRAIN: Duration = Duration::from_secs(5);

/// A session with the same source by a better way, as soon as there is one; never ends where
/// the way is as good as any.
pub(super) async fn better(hub: &Arc<Hub>, source: &Source, session: &Session) -> Entered {
    if matches!(session.path.way, Way::Tcp | Way::Quic) {
        return std::future::pending().await;
    }
    let mut pause = LOOK.0;
    loop {
        sleep(pause).await;
        pause = (pause * 2).min(LOOK.1);
        if let Some(entered) = look(hub, source, session.path.way).await {
            return entered;
        }
    }
}

async fn look(hub: &Arc<Hub>, source: &Source, now: Way) -> Option<Entered> {
    let (endpoint, peer) = (&hub.endpoint, source.peer);
    let traffic = endpoint.connection(&hub.traffic);
    let direct = dial_directly(endpoint, peer, &source.addresses, &traffic).await;
    let dialled = match direct {
        Ok(dialled) => dialled,
        Err(error) if now == Way::Relayed => {
            if !endpoint.detours()?.is_direct(peer).await {
                return None;
            }
            let stream = dial_by_stream(endpoint, peer, &traffic, error.to_string()).await;
            stream
                .ok()
                .filter(|dialled| dialled.path.way == Way::Stream)?
        }
        Err(_) => return None,
    };
    enter(hub, dialled, traffic).await.ok()
}

/// Ends a session whose place another has taken: what it was asked for and has not sent is
/// taken back, what is on its way is waited for.
pub(super) async fn retire(
    hub: Arc<Hub>,
    session: Arc<Session>,
    running: Pin<Box<impl Future<Output = SessionError>>>,
) {
    let leave = async {
        session.cancel_all_runs();
        tokio::select! {
            _ = timeout(DRAIN, session.drained()) => {}
            () = hub.leaving.cancelled() => {}
        }
        session.leave(ByeReason::Done, "");
    };
    tokio::join!(running, leave);
}
