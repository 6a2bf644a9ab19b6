//! What the swarm does, composed: doors for everybody, everything else behind the gate.
//!
//! Owns: which protocols there are and how each is bounded. Refuses: acting on what they
//! tell (the plane's).

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use libp2p::identity::Keypair;
use libp2p::kad::store::{MemoryStore, MemoryStoreConfig};
use libp2p::request_response::{self, ProtocolSupport};
use libp2p::swarm::NetworkBehaviour;
use libp2p::{
    PeerId, autonat, connection_limits, dcutr, identify, kad, memory_connection_limits, ping, relay,
};
use tokio::sync::mpsc;

use super::candidates::Candidates;
use super::codec::{Codec, Room};
use super::config::{ControlConfig, Limits, RelayLimits};
use super::doors::Doors;
use super::gate::Gate;
use super::names::{NetworkNames, Protocol};
use super::requests::Membership;
use super::streams::{DataStream, Streams};
use super::switch::Switch;

/// How often a connection is measured, and found to be dead.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// How often the routing table is refreshed.
const BOOTSTRAP_INTERVAL: Duration = Duration::from_secs(300);
/// The largest message of the DHT.
const KAD_MESSAGE_BYTES_MAX: usize = 32 << 10;
/// The most requests of one kind on one connection, both ways together.
const STREAMS_PER_CONNECTION_MAX: usize = 16;
/// The same, of requests for admission.
const ADMIT_STREAMS_MAX: usize = 2;

/// Everything. The order matters: who is refused at the doors never reaches the gate.
#[derive(NetworkBehaviour)]
#[behaviour(prelude = "libp2p::swarm::derive_prelude")]
pub(super) struct Behaviour {
    doors: Doors,
    limits: connection_limits::Behaviour,
    memory: memory_connection_limits::Behaviour,
    pub mdns: Switch,
    pub admit: request_response::Behaviour<Codec>,
    pub gate: Gate<Team>,
}

/// What members only have.
#[derive(NetworkBehaviour)]
#[behaviour(prelude = "libp2p::swarm::derive_prelude")]
pub(super) struct Team {
    pub kad: kad::Behaviour<MemoryStore>,
    pub identify: identify::Behaviour,
    pub ping: ping::Behaviour,
    pub autonat: autonat::v2::client::Behaviour,
    dial_back: autonat::v2::server::Behaviour,
    pub relay: relay::Behaviour,
    pub relay_client: relay::client::Behaviour,
    pub punch: dcutr::Behaviour,
    pub candidates: Candidates,
    pub advert: request_response::Behaviour<Codec>,
    pub find: request_response::Behaviour<Codec>,
    pub locate: request_response::Behaviour<Codec>,
    pub streams: Streams,
}

impl Behaviour {
    pub(super) fn new(
        keypair: &Keypair,
        config: &ControlConfig,
        membership: Arc<dyn Membership>,
        relay_client: relay::client::Behaviour,
        incoming: mpsc::Sender<DataStream>,
    ) -> Self {
        let local = keypair.public().to_peer_id();
        let limits = &config.limits;
        let names = NetworkNames::new(&config.network);
        let requests = Room::new(limits.request_bytes_max, 1 << 20);
        let answers = Room::new(limits.request_bytes_max, 4 << 20);
        // What strangers send has none of the members' room, and enough for all who may be
        // there: who announces a request and never sends it keeps nobody else out.
        let admit_bytes = ADMIT_STREAMS_MAX * Protocol::Admit.request_bytes_max();
        let admissions = Room::new(2 * limits.strangers_max * admit_bytes, admit_bytes);
        let team = Team {
            kad: kademlia(local, &names, limits),
            identify: identify::Behaviour::new(
                identify::Config::new(names.identify, keypair.public())
                    .with_agent_version(config.agent.clone())
                    .with_push_listen_addr_updates(true)
                    // It would have everything dialled that a peer names, unfiltered.
                    .with_cache_size(0),
            ),
            ping: ping::Behaviour::new(ping::Config::new().with_interval(PING_INTERVAL)),
            autonat: autonat::v2::client::Behaviour::default(),
            dial_back: autonat::v2::server::Behaviour::default(),
            relay: relay_server(local, &config.relay),
            relay_client,
            punch: dcutr::Behaviour::new(local),
            candidates: Candidates::default(),
            advert: exchange(Protocol::Advert, limits, &requests, &answers),
            find: exchange(Protocol::Find, limits, &requests, &answers),
            locate: exchange(Protocol::Locate, limits, &requests, &answers),
            streams: Streams::new(incoming, limits.kept_max),
        };
        Self {
            doors: Doors::new(limits.connections_per_address_max),
            limits: connection_limits::Behaviour::new(connection_bounds(limits)),
            memory: memory_connection_limits::Behaviour::with_max_bytes(limits.memory_bytes_max),
            mdns: Switch::new(local),
            admit: exchange(Protocol::Admit, limits, &admissions, &answers),
            gate: Gate::new(team, membership, limits.clone()),
        }
    }

    /// The exchange of `protocol`.
    pub(super) fn exchange(
        &mut self,
        protocol: Protocol,
    ) -> &mut request_response::Behaviour<Codec> {
        match protocol {
            Protocol::Admit => &mut self.admit,
            Protocol::Advert => &mut self.gate.inner().advert,
            Protocol::Find => &mut self.gate.inner().find,
            Protocol::Locate => &mut self.gate.inner().locate,
        }
    }

    /// What members only have.
    pub(super) fn team(&mut self) -> &mut Team {
        self.gate.inner()
    }
}

fn connection_bounds(limits: &Limits) -> connection_limits::ConnectionLimits {
    connection_limits::ConnectionLimits::default()
        .with_max_pending_incoming(Some(limits.pending_max))
        .with_max_pending_outgoing(Some(limits.pending_max))
        .with_max_established(Some(limits.connections_max))
        .with_max_established_per_peer(Some(limits.connections_per_peer_max))
}

/// A DHT that finds peers and stores nothing: what others want stored is handed up, where it
/// is dropped.
fn kademlia(local: PeerId, names: &NetworkNames, limits: &Limits) -> kad::Behaviour<MemoryStore> {
    let store = MemoryStore::with_config(
        local,
        MemoryStoreConfig {
            max_records: 0,
            max_value_bytes: 0,
            max_provided_keys: 0,
            max_providers_per_key: 0,
        },
    );
    let mut config = kad::Config::new(names.kad.clone());
    config
        .set_query_timeout(limits.lookup)
        .disjoint_query_paths(true)
        .set_record_filtering(kad::StoreInserts::FilterBoth)
        .set_replication_interval(None)
        .set_publication_interval(None)
        .set_provider_publication_interval(None)
        .set_caching(kad::Caching::Disabled)
        .set_max_packet_size(KAD_MESSAGE_BYTES_MAX)
        // Only what identify says, filtered, gets into the table.
        .set_kbucket_inserts(kad::BucketInserts::Manual)
        .set_periodic_bootstrap_interval(Some(BOOTSTRAP_INTERVAL));
    kad::Behaviour::with_config(local, store, config)
}

fn exchange(
    protocol: Protocol,
    limits: &Limits,
    requests: &Room,
    answers: &Room,
) -> request_response::Behaviour<Codec> {
    let streams_max = match protocol {
        Protocol::Admit => ADMIT_STREAMS_MAX,
        Protocol::Advert | Protocol::Find | Protocol::Locate => STREAMS_PER_CONNECTION_MAX,
    };
    let config = request_response::Config::default()
        .with_request_timeout(limits.request)
        .with_max_concurrent_streams(streams_max);
    request_response::Behaviour::with_codec(
        Codec::new(protocol, requests.clone(), answers.clone()),
        [(protocol.name(), ProtocolSupport::Full)],
        config,
    )
}

fn relay_server(local: PeerId, limits: &RelayLimits) -> relay::Behaviour {
    let circuits_an_hour = NonZeroU32::new(limits.circuits_per_peer_hour_max);
    let config = relay::Config {
        max_reservations: limits.reservations_max,
        // libp2p allows one more than this, and one more of the circuits.
        max_reservations_per_peer: 1,
        reservation_rate_limiters: Vec::new(),
        max_circuits: limits.circuits_max,
        max_circuits_per_peer: limits.circuits_per_peer_max.saturating_sub(1),
        max_circuit_duration: limits.circuit,
        // To libp2p, 0 is no limit.
        max_circuit_bytes: limits.circuit_bytes_max.max(1),
        circuit_src_rate_limiters: Vec::new(),
        ..relay::Config::default()
    };
    // A bucket of that many, which fills by one in that interval.
    let config = config.reservation_rate_per_peer(
        NonZeroU32::new(30).expect("it is not zero"),
        Duration::from_secs(120),
    );
    let config = match circuits_an_hour {
        Some(count) => config.circuit_src_per_peer(count, Duration::from_secs(3600) / count.get()),
        None => config,
    };
    let mut relay = relay::Behaviour::new(local, config);
    // Until the node is known to be reachable.
    relay.set_status(Some(relay::Status::Disable));
    relay
}

#[cfg(test)]
mod tests {
    use libp2p::kad::store::RecordStore;
    use libp2p::kad::{ProviderRecord, Record, RecordKey};

    use super::*;

    #[test]
    fn the_dht_keeps_nothing_that_others_want_stored() {
        let (local, other) = (PeerId::random(), PeerId::random());
        let names = NetworkNames::new(&[7; 32]);
        let mut kad = kademlia(local, &names, &Limits::default());
        let key = RecordKey::new(b"key");
        let record = ProviderRecord::new(key.clone(), other, Vec::new());
        assert!(kad.store_mut().add_provider(record).is_err());
        let value = Record::new(key.clone(), b"value".to_vec());
        assert!(kad.store_mut().put(value).is_err());
        assert!(kad.store_mut().providers(&key).is_empty());
    }
}
