//! `peers`: who was met.

use crate::api::{ApiError, PeerInfo};
use crate::node::Node;

impl Node {
    /// Peers the node has met, connected ones first.
    pub async fn peers(&self) -> Result<Vec<PeerInfo>, ApiError> {
        Ok(self.plane().peers().await)
    }
}
