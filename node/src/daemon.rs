//! `up`: a node that runs until it is told to stop.

use std::path::Path;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::api::embedded::Embedded;
use crate::api::{ApiError, Status};
use crate::config::Config;
use crate::node::{Node, NodeOptions};

/// How often shares whose tickets have ended are taken down.
const TIDY_EVERY: Duration = Duration::from_secs(60);

/// Runs the node of this home until SIGINT, SIGTERM or `down`, then closes it cleanly. Calls
/// `ready` once its sockets are open. `Busy` if another process holds the store.
pub async fn run(home: &Path, config: Config, ready: impl FnOnce(Status)) -> Result<(), ApiError> {
    // Before the node opens: a signal from now on closes it in good order.
    let listen = |kind| signal(kind).map_err(|error| ApiError::our_fault(&error));
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let options = NodeOptions {
        config,
        daemon: true,
    };
    let embedded = Embedded::open(home, options).await?;
    let node = embedded.node().clone();
    match node.status().await {
        Ok(status) => ready(status),
        Err(error) => {
            embedded.close().await?;
            return Err(error);
        }
    }
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        () = node.stop().cancelled() => {}
        () = tidy(&node) => {}
    }
    drop(node);
    embedded.close().await
}

async fn tidy(node: &Node) {
    let mut tick = tokio::time::interval(TIDY_EVERY);
    loop {
        tick.tick().await;
        node.shares().end_what_is_over();
    }
}
