//! The advert machine: one step at a time, the urgent ones first.
//!
//! Owns: the face of the machine, and which lane goes on when. Refuses: what is known of the
//! network (the atlas's), the pace (the outbox's), the time of sweeps (the sweep's).

use std::collections::VecDeque;
use std::time::Instant;

use super::atlas::{Atlas, Known};
use super::config::AdvertConfig;
use super::events::{Input, LookupId, Output, Progress, Sent, Sweeping};
use super::key::AdvertKey;
use super::lookup::Lookups;
use super::outbox::{Lane, Outbox};
use super::plan;
use super::position::{Position, Region};
use super::room::Room;
use super::sweep::{Step, Sweep};
use super::waiting::Waiting;
use crate::peer::PeerKey;

/// The machine. See the [module](super) for how it decides.
#[derive(Debug)]
pub struct Advert {
    config: AdvertConfig,
    atlas: Atlas,
    lookups: Lookups,
    announced: Waiting,
    /// Those of them of which the connected members are to be told meanwhile.
    ungreeted: Vec<AdvertKey>,
    /// Whether it was asked who is connected.
    is_meeting: bool,
    new_keys: Waiting,
    /// When the new keys go.
    new_keys_due: Option<Instant>,
    /// When the last of them went.
    new_keys_went: Option<Instant>,
    sweep: Sweep,
    outbox: Outbox,
    /// Whether a lookup waits for its turn.
    wants_lookup: bool,
    room: Room,
    outputs: VecDeque<Output>,
    sent: Sent,
}

impl Advert {
    /// A machine that knows nobody. Its sweep goes on as `resume` says, or begins.
    pub fn new(now: Instant, config: AdvertConfig, resume: Option<Progress>) -> Self {
        Self {
            atlas: Atlas::default(),
            lookups: Lookups::new(config.seed),
            announced: Waiting::new(config.announced_max),
            ungreeted: Vec::new(),
            is_meeting: false,
            new_keys: Waiting::new(config.new_keys_max),
            new_keys_due: None,
            new_keys_went: None,
            sweep: Sweep::new(now, &config, resume),
            outbox: Outbox::default(),
            wants_lookup: false,
            room: Room::default(),
            outputs: VecDeque::new(),
            sent: Sent::default(),
            config,
        }
    }

    /// Takes note of what happened at `now`, which never goes back.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Announce(keys) => self.announce(keys),
            Input::Met { peers } => self.greet(&peers),
            Input::Added(keys) => self.collect(now, keys),
            Input::Located { lookup, peers } => self.learn(now, lookup, peers),
            Input::LookupFailed { lookup } => self.lookups.fail(now, lookup),
            Input::Loaded { keys, is_all } => self.plan_sweep(keys, is_all),
            Input::LoadFailed => {
                if matches!(self.sweep.step, Step::Loading(..)) {
                    self.sweep.pause(now);
                }
            }
            Input::Acked { batch, ack } => {
                let (config, sent) = (&self.config, &mut self.sent);
                if let Some(peer) = self.outbox.ack(now, batch, &ack, config, sent) {
                    self.room.note(peer, &ack);
                }
            }
            Input::Failed { batch } => {
                self.outbox.fail(now, batch, &self.config, &mut self.sent);
            }
            Input::Grown => {
                self.atlas = Atlas::default();
                self.lookups.hasten();
            }
            Input::Churn { half_life } => self.sweep.adapt(half_life),
            Input::Timeout => {}
        }
        self.go_on(now);
    }

    /// What to do next; nothing until the next input.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to wake the machine if nothing happens.
    pub fn next_timeout(&self) -> Option<Instant> {
        let new_keys = self.new_keys_due.filter(|_| !self.new_keys.is_empty());
        // Until there is room for what is urgent, nothing becomes of them.
        let new_keys = new_keys.filter(|_| self.outbox.has_room(&self.config));
        let new_keys = new_keys.filter(|_| !self.wants_lookup);
        [
            new_keys,
            self.lookups.next_timeout(self.wants_lookup),
            self.sweep.next_timeout(),
            self.outbox.next_timeout(&self.config),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// What has been done so far.
    pub fn sent(&self) -> Sent {
        self.sent
    }

    /// How far the sweep is, and when the next is due.
    pub fn sweeping(&self, now: Instant) -> Sweeping {
        self.sweep.sweeping(now)
    }

    /// How many keys the network has room for, as far as peers have told in this sweep or,
    /// until they have, in the one before. Nothing until somebody told.
    pub fn capacity(&self) -> Option<u64> {
        self.room.keys()
    }

    /// How many keys are in memory, those on their way counted once for each copy.
    pub fn keys_in_memory(&self) -> usize {
        self.announced.len() + self.new_keys.len() + self.outbox.keys()
    }

    fn announce(&mut self, keys: Vec<AdvertKey>) {
        self.ungreeted.extend(&keys);
        if !self.announced.add(keys) {
            self.sweep.hasten();
        }
    }

    /// Asks who is connected if something announced has to wait for a lookup, and there is room
    /// to tell them.
    fn meet(&mut self) {
        self.ungreeted.retain(|key| self.announced.contains(key));
        self.ungreeted.truncate(self.config.greeted_keys_max);
        let has_room = self.outbox.has_room(&self.config);
        if !self.ungreeted.is_empty() && !self.is_meeting && has_room {
            self.is_meeting = true;
            self.outputs.push_back(Output::Meet);
        }
    }

    /// Tells the connected members that are closest to announced keys of them. A lookup may take
    /// as long as a peer that does not answer, and whoever searches now asks these.
    fn greet(&mut self, peers: &[PeerKey]) {
        self.is_meeting = false;
        if !self.outbox.has_room(&self.config) {
            return;
        }
        let keys = std::mem::take(&mut self.ungreeted).into_iter();
        let others = peers.iter().filter(|peer| Some(**peer) != self.config.me);
        let others: Vec<_> = others
            .map(|peer| (Position::of_peer(peer), *peer))
            .collect();
        let mut keys: Vec<_> = keys.map(|key| (Position::of_key(&key), key)).collect();
        keys.sort_unstable();
        let (most, batch) = (self.config.greeted_max, self.config.batch_keys_max);
        let parcels = plan::parcels(&keys, &others, most, batch);
        self.outbox.put(Lane::Urgent, parcels);
    }

    fn collect(&mut self, now: Instant, keys: Vec<AdvertKey>) {
        if keys.is_empty() {
            return;
        }
        if self.new_keys.is_empty() {
            let paused = self.new_keys_went.map(|at| at + self.config.new_keys_pause);
            let soon = now + self.config.new_keys_delay;
            self.new_keys_due = Some(paused.map_or(soon, |at| at.max(soon)));
        }
        if !self.new_keys.add(keys) {
            self.sweep.hasten();
        }
        if self.new_keys.is_full() {
            self.new_keys_due = Some(now);
        }
    }

    fn learn(&mut self, now: Instant, lookup: LookupId, mut peers: Vec<PeerKey>) {
        let Some(target) = self.lookups.target(lookup) else {
            return;
        };
        let is_all = peers.len() < self.config.lookup_peers;
        peers.truncate(self.config.lookup_peers);
        peers.retain(|peer| Some(*peer) != self.config.me);
        if peers.is_empty() {
            return self.lookups.fail(now, lookup);
        }
        let charted = self.atlas.learn(now, &target, &peers, is_all);
        self.lookups.succeed(&charted);
    }

    fn go_on(&mut self, now: Instant) {
        self.outbox.expire(now, &self.config, &mut self.sent);
        self.lookups.expire(now);
        self.atlas.expire(now, self.config.region_age_max);
        let is_held_up = !self.outbox.has_room(&self.config);
        let urgent = self.send_waiting(now);
        self.meet();
        let sweep = self.go_on_sweeping(now);
        let missing = urgent.or(sweep);
        self.wants_lookup = missing.is_some();
        if let Some(at) = missing {
            self.look_up(now, &at);
        }
        while let Some((batch, parcel)) = self.outbox.next(now, &self.config, &mut self.sent) {
            self.outputs.push_back(Output::Send {
                batch,
                peer: parcel.peer,
                keys: parcel.keys.clone(),
                ttl_s: self.sweep.ttl_s(),
            });
        }
        if is_held_up && self.outbox.has_room(&self.config) {
            return self.go_on(now);
        }
        self.end_step(now);
    }

    /// Plans what is announced, or the new keys if they are due, as far as the peers are
    /// known; gives the position where they are not.
    fn send_waiting(&mut self, now: Instant) -> Option<Position> {
        if !self.outbox.has_room(&self.config) {
            return None;
        }
        let new_keys_go = self.new_keys_due.is_some_and(|due| due <= now);
        loop {
            let waiting = match new_keys_go {
                true if self.announced.is_empty() => &mut self.new_keys,
                _ => &mut self.announced,
            };
            let first = waiting.first()?;
            match self.atlas.around(&first, self.config.copies) {
                Known::Missing(at) => return Some(at),
                Known::Region(region) => {
                    let keys = waiting.take(&region);
                    if new_keys_go {
                        self.new_keys_went = Some(now);
                    }
                    let peers = self.peers_in(&region);
                    self.put(Lane::Urgent, &keys, &peers);
                }
            }
        }
    }

    /// Takes the sweep's next step; gives the position whose surroundings it must know first.
    fn go_on_sweeping(&mut self, now: Instant) -> Option<Position> {
        match &self.sweep.step {
            Step::Loading(..) | Step::Sending(_) => return None,
            Step::Pausing(until) if *until > now => return None,
            Step::Pausing(_) | Step::Idle => self.sweep.step = Step::Idle,
        }
        let from = self.sweep.position(now)?;
        let region = match self.atlas.around(&from, self.config.copies) {
            Known::Missing(at) => return Some(at),
            Known::Region(region) => region,
        };
        if !self.sweep.is_listed {
            self.sweep.is_listed = true;
            if from == Position::FIRST {
                self.room.begin();
            }
            let keys_max = self.room.bound();
            self.outputs.push_back(Output::List { keys_max });
        }
        self.room.survey(&region);
        self.sweep.step = Step::Loading(region, self.peers_in(&region));
        self.outputs.push_back(Output::Load {
            from,
            to: region.last(),
            keys_max: self.config.loaded_keys_max,
        });
        None
    }

    fn plan_sweep(&mut self, mut keys: Vec<AdvertKey>, is_all: bool) {
        let Step::Loading(region, peers) = &mut self.sweep.step else {
            return;
        };
        let (region, peers) = (*region, std::mem::take(peers));
        keys.truncate(self.config.loaded_keys_max);
        let placed = keys.iter().map(|key| (Position::of_key(key), *key));
        let placed: Vec<_> = placed.collect();
        let end = match placed.last() {
            Some((last, _)) if !is_all => *last,
            _ => region.last(),
        };
        self.put(Lane::Sweep, &placed, &peers);
        self.sweep.step = Step::Sending(end.next());
    }

    /// Goes on with the sweep once nothing of this step is left to be sent or acknowledged.
    fn end_step(&mut self, now: Instant) {
        let Step::Sending(next) = self.sweep.step else {
            return;
        };
        if !self.outbox.sweep_is_through() {
            return;
        }
        if let Some(keys_max) = self.room.reckon(self.config.copies)
            && next.is_some()
        {
            self.outputs.push_back(Output::Limit { keys_max });
        }
        let progress = self.sweep.advance(now, next);
        self.sent.sweeps += u64::from(next.is_none());
        self.outputs.push_back(Output::Progress(progress));
        self.go_on(now);
    }

    fn look_up(&mut self, now: Instant, at: &Position) {
        let timeout = self.config.lookup_timeout;
        if let Some((lookup, target)) = self.lookups.start(now, at, timeout) {
            self.sent.lookups += 1;
            self.outputs.push_back(Output::Lookup { lookup, target });
        }
    }

    fn peers_in(&self, region: &Region) -> Vec<(Position, PeerKey)> {
        let peers = self.atlas.peers_in(region);
        peers.map(|(at, peer)| (*at, *peer)).collect()
    }

    fn put(&mut self, lane: Lane, keys: &[(Position, AdvertKey)], peers: &[(Position, PeerKey)]) {
        let AdvertConfig {
            copies,
            batch_keys_max,
            ..
        } = self.config;
        let parcels = plan::parcels(keys, peers, copies, batch_keys_max);
        self.outbox.put(lane, parcels);
    }
}
