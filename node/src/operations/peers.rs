//! `peers`: who was met, and how members are reached.

use crate::api::{ApiError, PeerInfo};
use crate::node::{Node, unix_now_s};
use crate::plane::unknown;
use shoal_control::Way;

impl Node {
    /// Peers the node has met, connected ones first.
    pub async fn peers(&self) -> Result<Vec<PeerInfo>, ApiError> {
        let mut peers = self.plane().peers().await;
        if let Some(finding) = self.found().await {
            for (key, near) in finding.peers().await {
                let at = peers.iter().position(|peer| peer.peer == key);
                let at = at.unwrap_or_else(|| {
                    peers.push(unknown(key));
                    peers.len() - 1
                });
                let peer = &mut peers[at];
                peer.connected = true;
                peer.seen_unix_s = unix_now_s();
                peer.address.get_or_insert_with(|| near.remote.to_string());
                peer.way = Some(match near.way {
                    Way::Quic => "quic".to_owned(),
                    Way::Tcp => "tcp".to_owned(),
                    Way::Relayed => "relayed".to_owned(),
                });
                let rtt = near.rtt.and_then(|rtt| u64::try_from(rtt.as_micros()).ok());
                peer.rtt_us = rtt;
            }
        }
        let members = self.team().members();
        for peer in &mut peers {
            let member = members.iter().find(|member| member.node == peer.peer);
            peer.member = member.map(|member| member.name.clone());
        }
        // As the plane lists them: who is connected first, then who was last.
        peers.sort_by_key(|peer| (!peer.connected, std::cmp::Reverse(peer.seen_unix_s)));
        Ok(peers)
    }
}
