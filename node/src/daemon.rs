//! `up`: a node that runs until it is told to stop.

use std::path::Path;

use crate::api::{ApiError, Status};
use crate::config::Config;

/// Runs the node of this home until SIGINT, SIGTERM or `down`, then closes it cleanly. Calls
/// `ready` once its sockets are open. `Busy` if another process holds the store.
pub async fn run(
    _home: &Path,
    _config: Config,
    _ready: impl FnOnce(Status),
) -> Result<(), ApiError> {
    todo!()
}
