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
use super::way::{Way, Why};

/// How soon a better way is looked for; doubles up to the second.
const LOOK: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// How long an old session may take to bring what is on its way.
const DRAIN: Duration = Duration::from_secs(5);

/// A session with the same source by a better way, as soon as there is one; never ends where
/// the way is as good as any.
pub(super) async fn better(hub: &Arc<Hub>, source: &Source, session: &Session) -> Entered {
    let is_relayed = match session.path.way {
        Way::Tcp | Way::Quic => return std::future::pending().await,
        Way::Stream => false,
        Way::Relayed => true,
    };
    tokio::select! {
        entered = by_address(hub, source) => entered,
        entered = by_punched_hole(hub, source, &session.path.why), if is_relayed => entered,
    }
}

async fn by_address(hub: &Arc<Hub>, source: &Source) -> Entered {
    let (endpoint, mut pause) = (&hub.endpoint, LOOK.0);
    loop {
        sleep(pause).await;
        pause = (pause * 2).min(LOOK.1);
        let traffic = endpoint.connection(&hub.traffic);
        let dialled = dial_directly(endpoint, source.peer, &source.addresses, &traffic).await;
        if let Ok(dialled) = dialled
            && let Ok(entered) = enter(hub, dialled, traffic).await
        {
            return entered;
        }
    }
}

/// By the direct connection that the control plane makes beside a relayed one, if it can. No
/// address is known to lead to the source, for the reason `why`.
async fn by_punched_hole(hub: &Arc<Hub>, source: &Source, why: &Why) -> Entered {
    let (endpoint, mut pause) = (&hub.endpoint, LOOK.0);
    let why = match why {
        Why::NothingDirect(why) => why.clone(),
        why => why.to_string(),
    };
    while let Some(detours) = endpoint.detours() {
        detours.until_direct(source.peer).await;
        let traffic = endpoint.connection(&hub.traffic);
        let dialled = dial_by_stream(endpoint, source.peer, &traffic, why.clone()).await;
        if let Ok(dialled) = dialled
            && dialled.path.way == Way::Stream
            && let Ok(entered) = enter(hub, dialled, traffic).await
        {
            return entered;
        }
        sleep(pause).await;
        pause = (pause * 2).min(LOOK.1);
    }
    std::future::pending().await
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
