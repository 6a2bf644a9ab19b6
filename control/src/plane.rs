//! The task that owns the swarm: carries out commands, and acts on what happens.
//!
//! Owns: the order of things. Everything that it keeps is a table of one of the other files,
//! with a bound there. Finishes what the swarm has before it takes another command.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use libp2p::multiaddr::Protocol as Part;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, DialError};
use libp2p::{Multiaddr, PeerId, Swarm, kad};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::{Interval, MissedTickBehavior};

use super::behaviour::Behaviour;
use super::codec::Answer;
use super::command::Command;
use super::config::{ControlConfig, Limits};
use super::contacts::{Contacts, Target, peer_of};
use super::doors::AdmissionRate;
use super::errors::{RequestError, StreamError};
use super::events::ControlEvent;
use super::exchange::{Done, Incoming, Outgoing, Reply};
use super::names::{NetworkNames, Protocol};
use super::peers::{PeerContact, PeerTable, Reachability, Way};
use super::relays::Relays;
use super::requests::Requests;
use super::streams::{StreamReply, is_relayed};
use super::traffic::Counters;

/// How often it is looked whether somebody has to be dialled.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// The most dials for want of neighbours that are under way. One that ends makes room for the
/// next at once: after a start, nobody waits for those who are not there any more.
const DIALS_MAX: usize = 16;
/// The most dials, and waits for a stream, that somebody waits for.
const WAITING_MAX: usize = 256;
/// The most peers that are told apart in `known_peers`.
const KNOWN_MAX: usize = 256;

/// What the plane works with, and starts with.
pub(super) struct Environment {
    pub orders: mpsc::Receiver<Command>,
    pub events: broadcast::Sender<ControlEvent>,
    pub requests: Arc<dyn Requests>,
    pub counters: Counters,
    pub now: Instant,
}

/// All that the task has.
pub(super) struct Plane {
    pub(super) swarm: Swarm<Behaviour>,
    pub(super) limits: Limits,
    pub(super) names: NetworkNames,
    orders: mpsc::Receiver<Command>,
    events: broadcast::Sender<ControlEvent>,
    heart: Interval,
    pub(super) counters: Counters,
    pub(super) rng: StdRng,
    pub(super) peers: PeerTable,
    pub(super) contacts: Contacts,
    pub(super) relays: Relays,
    /// Whether this node relays for others while it is reachable.
    pub(super) relaying: bool,
    pub(super) reachability: Reachability,
    pub(super) incoming: Incoming,
    pub(super) outgoing: Outgoing,
    pub(super) admissions: AdmissionRate,
    pub(super) lookups: HashMap<kad::QueryId, oneshot::Sender<Option<Vec<PeerContact>>>>,
    pub(super) dials: HashMap<ConnectionId, oneshot::Sender<Result<PeerId, String>>>,
    pub(super) streams: Vec<WaitingStream>,
    /// Who is dialled again once it is disconnected, and where.
    pub(super) reconnecting: HashMap<PeerId, Vec<Multiaddr>>,
}

/// A stream to a peer that is not connected.
pub(super) struct WaitingStream {
    pub(super) peer: PeerId,
    /// The dial that it waits for; nothing where that is none of its own. Any connection to the
    /// peer will do.
    pub(super) dial: Option<ConnectionId>,
    pub(super) reply: StreamReply,
}

impl Plane {
    pub(super) fn new(
        mut swarm: Swarm<Behaviour>,
        config: ControlConfig,
        environment: Environment,
    ) -> Self {
        let Environment {
            orders,
            events,
            requests,
            counters,
            now,
        } = environment;
        let local = *swarm.local_peer_id();
        let listens = !config.listen.is_empty();
        // Until it listens somewhere.
        let kad = &mut swarm.behaviour_mut().team().kad;
        kad.set_mode(Some(kad::Mode::Client));
        for address in &config.advertise {
            swarm.add_external_address(address.clone());
        }
        if config.mdns
            && let Err(error) = swarm.behaviour_mut().mdns.set(true)
        {
            tracing::warn!(%error, "there is no discovery on the LAN");
        }
        let mut heart = tokio::time::interval(HEARTBEAT);
        heart.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut plane = Self {
            swarm,
            names: NetworkNames::new(&config.network),
            orders,
            events,
            heart,
            counters,
            rng: StdRng::from_os_rng(),
            peers: PeerTable::default(),
            contacts: Contacts::new(local, &config.bootstrap, &config.known, now),
            relays: Relays::new(config.relay.reserve, listens),
            relaying: config.relay.serve && config.relay.circuits_per_peer_hour_max > 0,
            reachability: Reachability::default(),
            incoming: Incoming::new(requests, &config.limits),
            outgoing: Outgoing::default(),
            admissions: AdmissionRate::new(config.limits.admissions_per_minute_max),
            lookups: HashMap::new(),
            dials: HashMap::new(),
            streams: Vec::new(),
            reconnecting: HashMap::new(),
            limits: config.limits,
        };
        plane.on_external_addresses();
        plane
    }

    /// Runs until it is told to stop, or nobody is left who could.
    pub(super) async fn run(mut self) {
        loop {
            tokio::select! {
                event = self.swarm.select_next_some() => self.on_swarm_event(event),
                Some(done) = self.incoming.done() => self.answer(done),
                _ = self.heart.tick() => self.beat(),
                order = self.orders.recv() => match order {
                    None | Some(Command::Stop) => break,
                    Some(command) => self.carry_out(command),
                },
            }
        }
        tracing::debug!("the control plane stops");
    }

    pub(super) fn tell(&self, event: ControlEvent) {
        // Nobody has to listen.
        self.events.send(event).ok();
    }

    fn answer(&mut self, done: Done) {
        let Done { asked, answer } = done;
        if answer.is_ok() {
            // A stranger that has proved something may read the answer.
            self.swarm.behaviour_mut().gate.extend(asked.connection);
        }
        self.respond(asked.protocol, asked.channel, answer);
    }

    pub(super) fn respond(
        &mut self,
        protocol: Protocol,
        channel: libp2p::request_response::ResponseChannel<Answer>,
        answer: Answer,
    ) {
        let answer = answer.and_then(|parcel| {
            if parcel.bytes.len() <= protocol.answer_bytes_max() {
                return Ok(parcel);
            }
            tracing::error!(%protocol, bytes = parcel.bytes.len(), "an answer is too large");
            Err(super::requests::Refusal::Refused)
        });
        let exchange = self.swarm.behaviour_mut().exchange(protocol);
        if exchange.send_response(channel, answer).is_err() {
            tracing::debug!(%protocol, "whoever asked is gone");
        }
    }

    /// What has to be looked after from time to time.
    fn beat(&mut self) {
        let now = Instant::now();
        self.streams.retain(|waiting| !waiting.reply.is_closed());
        self.dials.retain(|_, reply| !reply.is_closed());
        self.seek_neighbours(now);
        for (peer, address) in self.relays.wanted(&self.reachability, now) {
            let listener = self.swarm.listen_on(address.clone());
            if let Err(error) = &listener {
                tracing::debug!(%peer, %error, "cannot ask for a relay");
            }
            self.relays.listening(peer, listener.ok(), now);
            self.widen(peer);
        }
    }

    /// Has this node connected with a relay over QUIC too. Where a relay sees it is where holes
    /// are punched, for TCP and for QUIC, as far as they were spoken.
    fn widen(&mut self, relay: PeerId) {
        if self.peers.has(relay, Way::Quic) {
            return;
        }
        let rows = self.peers.rows().into_iter();
        let addresses = rows
            .filter(|row| row.peer == relay)
            .flat_map(|row| row.addresses);
        let mut direct = addresses.filter(|address| !is_relayed(address));
        let quic = direct.find(|address| address.iter().any(|part| part == Part::QuicV1));
        let Some(address) = quic else { return };
        let opts = DialOpts::peer_id(relay).condition(PeerCondition::NotDialing);
        let opts = opts.addresses(vec![address]).build();
        if let Err(error) = self.swarm.dial(opts) {
            tracing::debug!(%relay, %error, "cannot be dialled over QUIC");
        }
    }

    /// Dials whoever is known and due, while there are too few neighbours.
    pub(super) fn seek_neighbours(&mut self, now: Instant) {
        let neighbours = self.swarm.behaviour().gate.neighbours();
        if neighbours.len() >= self.limits.neighbours_wanted {
            return;
        }
        let room = DIALS_MAX.saturating_sub(self.contacts.under_way());
        for (place, target) in self.contacts.due(now, &neighbours, room) {
            self.dial_contact(place, target, now);
        }
    }

    fn dial_contact(&mut self, place: usize, target: Target, now: Instant) {
        let gate = &self.swarm.behaviour().gate;
        if !target.configured && !target.peer.is_some_and(|peer| gate.is_member(&peer)) {
            return self.contacts.failed_at(place, now, &mut self.rng);
        }
        let opts = match (target.peer, target.addresses.first()) {
            (Some(peer), _) => {
                // Whom this node was told to know may be asked for admission.
                self.swarm.behaviour_mut().gate.court(peer);
                DialOpts::peer_id(peer)
                    .condition(PeerCondition::DisconnectedAndNotDialing)
                    .addresses(target.addresses)
                    .extend_addresses_through_behaviour()
                    .build()
            }
            (None, Some(address)) => DialOpts::unknown_peer_id().address(address.clone()).build(),
            (None, None) => return,
        };
        let connection = opts.connection_id();
        match self.swarm.dial(opts) {
            Ok(()) => self.contacts.dialling(place, connection),
            Err(error) => {
                tracing::debug!(%error, "a known peer cannot be dialled now");
                self.contacts.failed_at(place, now, &mut self.rng);
            }
        }
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            Command::Closest { key, reply } => self.look_up(key, reply),
            Command::Request {
                peer,
                addresses,
                protocol,
                bytes,
                reply,
            } => self.request(peer, addresses, protocol, bytes, reply),
            Command::Stream {
                peer,
                addresses,
                reply,
            } => self.open_stream(peer, addresses, reply),
            Command::Dial { address, reply } => self.dial(address, reply),
            Command::Reconnect { peer, addresses } => self.reconnect(peer, addresses),
            Command::Advertise { address } => {
                self.swarm.add_external_address(address);
                self.on_external_addresses();
            }
            Command::Peers(reply) => give(reply, self.peers.rows()),
            Command::Known(reply) => give(reply, self.known()),
            Command::Listening(reply) => give(reply, self.swarm.listeners().cloned().collect()),
            Command::Reachability(reply) => give(reply, self.reachability.clone()),
            Command::Mdns { on, reply } => give(reply, self.swarm.behaviour_mut().mdns.set(on)),
            Command::MembershipChanged => self.recheck(),
            Command::Stop => {}
        }
    }

    fn look_up(&mut self, key: Vec<u8>, reply: oneshot::Sender<Option<Vec<PeerContact>>>) {
        self.lookups.retain(|_, reply| !reply.is_closed());
        if self.lookups.len() >= self.limits.lookups_max {
            return give(reply, None);
        }
        let query = self.swarm.behaviour_mut().team().kad.get_closest_peers(key);
        self.lookups.insert(query, reply);
    }

    fn request(
        &mut self,
        peer: PeerId,
        addresses: Vec<Multiaddr>,
        protocol: Protocol,
        bytes: bytes::Bytes,
        reply: Reply,
    ) {
        if self.outgoing.len() >= self.limits.outgoing_max {
            return give(reply, Err(RequestError::TooMany));
        }
        if protocol == Protocol::Admit {
            self.swarm.behaviour_mut().gate.court(peer);
        }
        self.counters.asks();
        let exchange = self.swarm.behaviour_mut().exchange(protocol);
        let id = exchange.send_request_with_addresses(&peer, bytes.into(), addresses);
        self.outgoing.sent(protocol, id, reply);
    }

    fn open_stream(&mut self, peer: PeerId, addresses: Vec<Multiaddr>, reply: StreamReply) {
        let Err(reply) = self.swarm.behaviour_mut().team().streams.open(peer, reply) else {
            return;
        };
        if self.streams.len() >= WAITING_MAX {
            return give(reply, Err(StreamError::TooMany));
        }
        match self.dial_for_stream(peer, addresses) {
            Ok(dial) => self.streams.push(WaitingStream { peer, dial, reply }),
            Err(error) => {
                let reason = error.to_string();
                give(reply, Err(StreamError::Unreachable { peer, reason }));
            }
        }
    }

    /// Dials a peer for a stream, unless one that knows as much is waited for; gives what to wait
    /// for. Other dials, such as one at a hole, may take long and tell nothing of a relay.
    fn dial_for_stream(
        &mut self,
        peer: PeerId,
        addresses: Vec<Multiaddr>,
    ) -> Result<Option<ConnectionId>, DialError> {
        let mut waiting = self.streams.iter().filter(|waiting| waiting.peer == peer);
        if addresses.is_empty()
            && let Some(waiting) = waiting.next()
        {
            return Ok(waiting.dial);
        }
        let opts = |condition| {
            DialOpts::peer_id(peer)
                .condition(condition)
                .addresses(addresses.clone())
                .extend_addresses_through_behaviour()
                .build()
        };
        let own = opts(PeerCondition::Disconnected);
        let dial = own.connection_id();
        match self.swarm.dial(own) {
            Ok(()) => Ok(Some(dial)),
            Err(DialError::DialPeerConditionFalse(_)) => Ok(None),
            Err(error) => match self.swarm.dial(opts(PeerCondition::NotDialing)) {
                // Somebody else knows where.
                Err(DialError::DialPeerConditionFalse(_)) => Ok(None),
                _ => Err(error),
            },
        }
    }

    fn dial(&mut self, address: Multiaddr, reply: oneshot::Sender<Result<PeerId, String>>) {
        if self.dials.len() >= WAITING_MAX {
            return give(reply, Err("too many dials are under way".to_owned()));
        }
        let opts = match peer_of(&address) {
            Some(peer) => {
                self.swarm.behaviour_mut().gate.court(peer);
                let opts = DialOpts::peer_id(peer).condition(PeerCondition::Always);
                opts.addresses(vec![address]).build()
            }
            None => DialOpts::unknown_peer_id().address(address).build(),
        };
        let connection = opts.connection_id();
        match self.swarm.dial(opts) {
            Ok(()) => {
                self.dials.insert(connection, reply);
            }
            Err(error) => give(reply, Err(error.to_string())),
        }
    }

    fn reconnect(&mut self, peer: PeerId, mut addresses: Vec<Multiaddr>) {
        addresses.extend(self.peers.dialled(peer));
        let (mut useless, has_others) = self.peers.refused_by(peer);
        useless.extend(self.swarm.behaviour().gate.stranger_connections(peer));
        for connection in &useless {
            self.swarm.close_connection(*connection);
        }
        // The other end wishes the same, and may have been faster.
        if has_others {
            return;
        }
        if useless.is_empty() {
            self.dial_again(peer, addresses);
        } else if self.reconnecting.len() < WAITING_MAX {
            self.reconnecting.insert(peer, addresses);
        }
    }

    pub(super) fn dial_again(&mut self, peer: PeerId, addresses: Vec<Multiaddr>) {
        self.swarm.behaviour_mut().gate.court(peer);
        let opts = DialOpts::peer_id(peer)
            .condition(PeerCondition::DisconnectedAndNotDialing)
            .addresses(addresses)
            .extend_addresses_through_behaviour()
            .build();
        if let Err(error) = self.swarm.dial(opts) {
            tracing::debug!(%peer, %error, "cannot connect again");
        }
    }

    fn recheck(&mut self) {
        for peer in self.swarm.behaviour_mut().gate.recheck() {
            tracing::info!(%peer, "is not a member any more; its connections end");
            self.forget(peer);
        }
        for PeerContact { peer, .. } in self.table() {
            if !self.swarm.behaviour().gate.is_member(&peer) {
                self.forget(peer);
            }
        }
    }

    fn forget(&mut self, peer: PeerId) {
        self.swarm.behaviour_mut().team().kad.remove_peer(&peer);
        self.relays.withdrawn(peer);
    }

    /// Whom the next run should dial: those who are connected first.
    fn known(&mut self) -> Vec<PeerContact> {
        let connected = self.peers.rows().into_iter().map(|row| {
            let mut addresses = row.addresses;
            let dialled = Some(row.remote).filter(|_| row.dialled && row.way != Way::Relayed);
            addresses.extend(dialled.filter(|address| !addresses.contains(address)));
            PeerContact {
                peer: row.peer,
                addresses,
            }
        });
        let mut known: Vec<_> = connected.filter(|c| !c.addresses.is_empty()).collect();
        let connected: HashSet<_> = known.iter().map(|contact| contact.peer).collect();
        let table = self.table().into_iter();
        known.extend(table.filter(|contact| !connected.contains(&contact.peer)));
        known.truncate(KNOWN_MAX);
        known
    }

    /// The routing table.
    fn table(&mut self) -> Vec<PeerContact> {
        let mut contacts = Vec::new();
        for bucket in self.swarm.behaviour_mut().team().kad.kbuckets() {
            contacts.extend(bucket.iter().map(|entry| PeerContact {
                peer: *entry.node.key.preimage(),
                addresses: entry.node.value.iter().cloned().collect(),
            }));
        }
        contacts
    }
}

/// Whoever asked may have given up.
pub(super) fn give<T>(reply: oneshot::Sender<T>, value: T) {
    reply.send(value).ok();
}
