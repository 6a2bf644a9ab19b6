//! What the plane does about what members say, behind the gate.
//!
//! Owns: one function for each kind of event. Refuses: keeping anything.

use std::collections::HashSet;
use std::time::Instant;

use libp2p::swarm::{ConnectionId, StreamUpgradeError};
use libp2p::{Multiaddr, PeerId, autonat, identify, kad, ping, relay};

use super::behaviour::TeamEvent;
use super::events::ControlEvent;
use super::identified;
use super::names::Protocol;
use super::peers::PeerContact;
use super::plane::{Plane, give};
use super::seen::{self, Seen};
use super::streams::is_relayed;

/// The most addresses that a lookup adds to what is known of a peer.
const FOUND_ADDRESSES_MAX: usize = 8;

impl Plane {
    pub(super) fn on_team_event(&mut self, event: TeamEvent) {
        match event {
            TeamEvent::Kad(event) => self.on_kad_event(event),
            TeamEvent::Identify(event) => self.on_identify_event(event),
            TeamEvent::Ping(event) => match event.result {
                Ok(rtt) => self.peers.measured(event.peer, rtt),
                // Said by whoever takes this node for a stranger.
                Err(ping::Failure::Unsupported) => {}
                Err(error) => {
                    // A connection that carries nothing any more would else stay for hours.
                    tracing::debug!(peer = %event.peer, %error, "a ping is lost; the connection ends");
                    self.swarm.close_connection(event.connection);
                }
            },
            TeamEvent::Autonat(event) => self.on_autonat_event(event),
            TeamEvent::Relay(event) => self.on_relay_event(event),
            TeamEvent::Advert(event) => self.on_exchanged(Protocol::Advert, event),
            TeamEvent::Find(event) => self.on_exchanged(Protocol::Find, event),
            TeamEvent::Locate(event) => self.on_exchanged(Protocol::Locate, event),
            TeamEvent::Punch(event) => match event.result {
                Ok(_) => {
                    tracing::info!(peer = %event.remote_peer_id, "a relayed peer is reached directly now")
                }
                Err(error) => {
                    tracing::debug!(peer = %event.remote_peer_id, %error, "no direct way")
                }
            },
            TeamEvent::RelayClient(event) => tracing::debug!(?event, "relayed"),
            TeamEvent::DialBack(event) => tracing::debug!(?event, "dialled back for a member"),
            TeamEvent::Streams(()) => {}
            TeamEvent::Candidates(impossible) => match impossible {},
        }
    }

    fn on_kad_event(&mut self, event: kad::Event) {
        match event {
            kad::Event::InboundRequest { .. } => self.counters.dht_asked(),
            kad::Event::OutboundQueryProgressed {
                id,
                result,
                stats,
                step,
            } if step.last => {
                self.counters.dht_asks(stats.num_requests());
                if let kad::QueryResult::GetClosestPeers(result) = result {
                    self.on_looked_up(id, result);
                }
            }
            _ => {}
        }
    }

    fn on_looked_up(&mut self, id: kad::QueryId, result: kad::GetClosestPeersResult) {
        let found = match result {
            Ok(found) => found.peers,
            Err(kad::GetClosestPeersError::Timeout { peers, .. }) => peers,
        };
        let Some(reply) = self.lookups.remove(&id) else {
            return;
        };
        let mut contacts = Vec::new();
        for info in found {
            if !self.swarm.behaviour().gate.is_member(&info.peer_id) {
                continue;
            }
            // libp2p names what the lookup was told, not what the table knew before.
            let mut addresses = self.routed(info.peer_id);
            addresses.extend(info.addrs.into_iter().take(FOUND_ADDRESSES_MAX));
            let mut seen = HashSet::new();
            addresses.retain(|address| seen.insert(address.clone()));
            contacts.push(PeerContact {
                peer: info.peer_id,
                addresses,
            });
        }
        give(reply, Some(contacts));
    }

    /// What the routing table knows of `peer`.
    fn routed(&mut self, peer: PeerId) -> Vec<Multiaddr> {
        let Some(bucket) = self.swarm.behaviour_mut().team().kad.kbucket(peer) else {
            return Vec::new();
        };
        let mut entries = bucket.iter();
        let entry = entries.find(|entry| *entry.node.key.preimage() == peer);
        entry.map_or(Vec::new(), |entry| {
            entry.node.value.iter().cloned().collect()
        })
    }

    fn on_identify_event(&mut self, event: identify::Event) {
        match event {
            identify::Event::Received {
                connection_id,
                peer_id,
                info,
            } => self.on_identified(peer_id, connection_id, &info),
            identify::Event::Error {
                peer_id,
                connection_id,
                error: StreamUpgradeError::NegotiationFailed,
            } => {
                tracing::info!(peer = %peer_id, "a member does not take this node for one");
                self.peers.refused(connection_id);
                let now = Instant::now();
                self.contacts.refused(peer_id, now, &mut self.rng);
                self.tell(ControlEvent::NotAdmitted { peer: peer_id });
            }
            identify::Event::Error { peer_id, error, .. } => {
                tracing::debug!(peer = %peer_id, %error, "a peer does not say what it is");
            }
            _ => {}
        }
    }

    fn on_identified(&mut self, peer: PeerId, connection: ConnectionId, info: &identify::Info) {
        if info.protocol_version != self.names.identify {
            tracing::info!(%peer, "a member is of another team; its connection ends");
            let now = Instant::now();
            self.contacts.refused(peer, now, &mut self.rng);
            self.swarm.close_connection(connection);
            return;
        }
        self.contacts.settled(peer);
        let Some((remote, dialled)) = self.peers.endpoint(connection) else {
            return;
        };
        let remote = remote.clone();
        let addresses = identified::kept(peer, &remote, dialled, &info.listen_addrs);
        for address in &addresses {
            // The next dial tries it.
            self.swarm.add_peer_address(peer, address.clone());
        }
        self.on_seen(&info.observed_addr, (!dialled).then_some(&remote));
        let relays = info.protocols.contains(&relay::HOP_PROTOCOL_NAME);
        let routable = info.protocols.contains(&self.names.kad);
        self.peers
            .identified(peer, &info.agent_version, addresses.clone());
        match addresses.iter().find(|address| !is_relayed(address)) {
            Some(address) if relays => {
                let now = Instant::now();
                self.relays.offered(peer, address.clone(), now);
            }
            _ => self.relays.withdrawn(peer),
        }
        if routable {
            self.route(peer, &addresses);
            self.tell(ControlEvent::Identified { peer });
        } else {
            self.swarm.behaviour_mut().team().kad.remove_peer(&peer);
        }
    }

    /// A member that came from an address, or was dialled, says where it sees this node.
    fn on_seen(&mut self, observed: &Multiaddr, from: Option<&Multiaddr>) {
        let observed = identified::bare(observed);
        match seen::judged(&observed, from, self.swarm.listeners()) {
            Seen::Reachable if !self.reachability.external.contains(&observed) => {
                tracing::info!(address = %observed, "members come to an address of this machine");
                self.swarm.add_external_address(observed);
                self.on_external_addresses();
            }
            Seen::Mapped => {
                if !self.reachability.translated {
                    tracing::info!(address = %observed, "there is a NAT in between");
                    self.reachability.translated = true;
                    self.tell(ControlEvent::Reachability);
                }
                let team = self.swarm.behaviour_mut().team();
                team.candidates.mapped(observed);
            }
            Seen::Reachable | Seen::Nothing => {}
        }
    }

    /// What the routing table knows of `peer` becomes `addresses`, and nothing else: the
    /// list that libp2p keeps would grow without end.
    fn route(&mut self, peer: PeerId, addresses: &[Multiaddr]) {
        let known = self.routed(peer);
        let kad = &mut self.swarm.behaviour_mut().team().kad;
        for address in addresses {
            kad.add_address(&peer, address.clone());
        }
        for address in known {
            if !addresses.contains(&identified::bare(&address)) {
                kad.remove_address(&peer, &address);
            }
        }
    }

    fn on_autonat_event(&mut self, event: autonat::v2::client::Event) {
        let tried = event.tested_addr;
        match event.result {
            Ok(()) => {
                tracing::info!(address = %tried, by = %event.server, "reachable from elsewhere")
            }
            Err(error) => {
                tracing::debug!(address = %tried, by = %event.server, %error, "not reachable");
                if is_relayed(&tried) {
                    return;
                }
                self.reachability.failures = self.reachability.failures.saturating_add(1);
                self.tell(ControlEvent::Reachability);
            }
        }
    }

    fn on_relay_event(&mut self, event: relay::Event) {
        match event {
            relay::Event::CircuitClosed {
                src_peer_id,
                dst_peer_id,
                error,
            } => {
                let error = error.map(|error| error.to_string());
                tracing::debug!(from = %src_peer_id, to = %dst_peer_id, ?error, "a circuit has ended");
                self.tell(ControlEvent::CircuitEnded {
                    source: src_peer_id,
                    target: dst_peer_id,
                    error,
                });
            }
            other => tracing::debug!(event = ?other, "relaying"),
        }
    }
}
