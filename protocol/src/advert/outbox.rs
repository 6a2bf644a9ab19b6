//! What is to be sent, is on its way, and is to be sent again.
//!
//! Owns: the order of parcels, the pace, how often one is tried. Refuses: what is in them.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::config::AdvertConfig;
use super::events::{BatchId, Sent};
use super::key::{ADVERT_KEY_BYTES, AdvertKey};
use super::message::{AdvertAck, Refusal};
use super::rest::Resting;
use crate::peer::PeerKey;

/// What a batch costs beyond its keys: addresses, framing, the acknowledgement.
const BATCH_OVERHEAD_BYTES: usize = 512;
/// How long a peer without room for more is not sent anything.
const FULL_REST: Duration = Duration::from_secs(3600);

/// Keys for one peer.
#[derive(Debug, Clone)]
pub(super) struct Parcel {
    pub(super) peer: PeerKey,
    pub(super) keys: Vec<AdvertKey>,
    attempts: u32,
}

impl Parcel {
    pub(super) fn new(peer: PeerKey, keys: Vec<AdvertKey>) -> Self {
        Self {
            peer,
            keys,
            attempts: 0,
        }
    }
}

/// What goes before what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    Urgent,
    Sweep,
    Again,
}

#[derive(Debug)]
struct Open {
    parcel: Parcel,
    lane: Lane,
    since: Instant,
}

#[derive(Debug, Default)]
pub(super) struct Outbox {
    urgent: VecDeque<Parcel>,
    sweep: VecDeque<Parcel>,
    again: BTreeMap<(Instant, u64), Parcel>,
    again_keys: usize,
    open: BTreeMap<BatchId, Open>,
    resting: Resting,
    /// Nothing is sent before, so that the pace is kept.
    free_at: Option<Instant>,
    /// When this was last told what time it is.
    woken: Option<Instant>,
    last: u64,
}

impl Outbox {
    pub(super) fn put(&mut self, lane: Lane, parcels: Vec<Parcel>) {
        match lane {
            Lane::Urgent => self.urgent.extend(parcels),
            Lane::Sweep | Lane::Again => self.sweep.extend(parcels),
        }
    }

    /// Whether nothing of the sweep waits to be sent or acknowledged for the first time.
    pub(super) fn sweep_is_through(&self) -> bool {
        let mut open = self.open.values();
        self.sweep.is_empty() && open.all(|open| open.lane != Lane::Sweep)
    }

    /// Whether more may be planned that is urgent. What is on its way does not count, nor what
    /// waits for one peer that does not answer, as long as it is little.
    pub(super) fn has_room(&self, config: &AdvertConfig) -> bool {
        let waiting = self.urgent.iter().map(|parcel| parcel.keys.len());
        waiting.sum::<usize>() < config.urgent_keys_max
    }

    /// Whether one more batch may go, as far as those on their way are concerned.
    fn may_open(&self, now: Instant, config: &AdvertConfig) -> bool {
        let soon = self.open.values();
        let soon = soon.filter(|open| now < open.since + config.ack_soon);
        soon.count() < config.open_max && self.open.len() < config.open_all_max
    }

    /// The next batch that may go now.
    pub(super) fn next(
        &mut self,
        now: Instant,
        config: &AdvertConfig,
        sent: &mut Sent,
    ) -> Option<(BatchId, &Parcel)> {
        if !self.may_open(now, config) || self.free_at.is_some_and(|at| at > now) {
            return None;
        }
        let (lane, parcel) = self.take(now, config, sent)?;
        self.last += 1;
        let id = BatchId(self.last);
        let bytes = parcel.keys.len() * ADVERT_KEY_BYTES + BATCH_OVERHEAD_BYTES;
        let time = Duration::from_secs_f64(bytes as f64 / config.bytes_per_s.max(1) as f64);
        self.free_at = Some(now + time);
        sent.batches += 1;
        sent.keys += parcel.keys.len() as u64;
        let open = Open {
            parcel,
            lane,
            since: now,
        };
        Some((id, &self.open.entry(id).or_insert(open).parcel))
    }

    /// The first parcel whose peer has nothing open and does not rest: of the urgent ones,
    /// of those that failed and are due, of the sweep's. What is for a peer that rests waits
    /// for the end of that rest, if there is room for it.
    fn take(
        &mut self,
        now: Instant,
        config: &AdvertConfig,
        sent: &mut Sent,
    ) -> Option<(Lane, Parcel)> {
        if let Some(parcel) = self.take_from(Lane::Urgent, now, config, sent) {
            return Some((Lane::Urgent, parcel));
        }
        let is_free = |peer: &PeerKey| !self.is_open(peer);
        let due = self.again.range(..=(now, u64::MAX));
        let due = due.filter(|(_, parcel)| is_free(&parcel.peer));
        if let Some(at) = due.map(|(at, _)| *at).next() {
            let parcel = self.again.remove(&at).expect("it was just found");
            self.again_keys -= parcel.keys.len();
            return Some((Lane::Again, parcel));
        }
        let parcel = self.take_from(Lane::Sweep, now, config, sent)?;
        Some((Lane::Sweep, parcel))
    }

    fn take_from(
        &mut self,
        lane: Lane,
        now: Instant,
        config: &AdvertConfig,
        sent: &mut Sent,
    ) -> Option<Parcel> {
        let mut queue = match lane {
            Lane::Urgent => std::mem::take(&mut self.urgent),
            Lane::Sweep | Lane::Again => std::mem::take(&mut self.sweep),
        };
        let mut passed = VecDeque::new();
        let mut found = None;
        while let Some(parcel) = queue.pop_front() {
            if let Some(until) = self.resting.until(now, &parcel.peer) {
                self.put_off(parcel, until, config, sent);
            } else if self.is_open(&parcel.peer) {
                passed.push_back(parcel);
            } else {
                found = Some(parcel);
                break;
            }
        }
        passed.append(&mut queue);
        match lane {
            Lane::Urgent => self.urgent = passed,
            Lane::Sweep | Lane::Again => self.sweep = passed,
        }
        found
    }

    fn is_open(&self, peer: &PeerKey) -> bool {
        self.open.values().any(|open| open.parcel.peer == *peer)
    }

    /// Keeps a parcel to be sent at `due`, or gives it up if too much is kept so.
    fn put_off(&mut self, parcel: Parcel, due: Instant, config: &AdvertConfig, sent: &mut Sent) {
        let keys = parcel.keys.len();
        if self.again_keys + keys > config.retry_keys_max {
            sent.given_up += keys as u64;
            return;
        }
        self.again_keys += keys;
        self.last += 1;
        self.again.insert((due, self.last), parcel);
    }

    /// A peer answered. Gives back who.
    pub(super) fn ack(
        &mut self,
        now: Instant,
        id: BatchId,
        ack: &AdvertAck,
        config: &AdvertConfig,
        sent: &mut Sent,
    ) -> Option<PeerKey> {
        let mut parcel = self.open.remove(&id)?.parcel;
        let peer = parcel.peer;
        let refused = parcel.keys.len().saturating_sub(ack.accepted as usize);
        match ack.refusal {
            Some(Refusal::Rate { retry_s }) if refused > 0 => {
                let time = Duration::from_secs(retry_s.max(1).into());
                self.resting.wish(now, peer, time);
                parcel.attempts += 1;
                self.try_again(now, parcel, config, sent);
            }
            Some(_) if ack.accepted == 0 => {
                sent.refused += refused as u64;
                self.resting.wish(now, peer, FULL_REST);
            }
            _ => {
                sent.refused += refused as u64;
                self.resting.praise(&peer);
            }
        }
        Some(peer)
    }

    /// A batch did not arrive.
    pub(super) fn fail(
        &mut self,
        now: Instant,
        id: BatchId,
        config: &AdvertConfig,
        sent: &mut Sent,
    ) {
        let Some(open) = self.open.remove(&id) else {
            return;
        };
        let mut parcel = open.parcel;
        self.resting.fail(now, parcel.peer, config.retry);
        parcel.attempts += 1;
        self.try_again(now, parcel, config, sent);
    }

    fn try_again(&mut self, now: Instant, parcel: Parcel, config: &AdvertConfig, sent: &mut Sent) {
        if parcel.attempts >= config.attempts_max {
            sent.given_up += parcel.keys.len() as u64;
            return;
        }
        let due = self.resting.until(now, &parcel.peer);
        self.put_off(parcel, due.unwrap_or(now + config.retry), config, sent);
    }

    /// Batches whose acknowledgement is overdue have failed.
    pub(super) fn expire(&mut self, now: Instant, config: &AdvertConfig, sent: &mut Sent) {
        self.woken = Some(now);
        let late = |open: &Open| open.since + config.ack_timeout <= now;
        let late = self.open.iter().filter(|(_, open)| late(open));
        let late: Vec<_> = late.map(|(id, _)| *id).collect();
        for id in late {
            self.fail(now, id, config, sent);
        }
    }

    /// When something changes here if nobody says anything.
    pub(super) fn next_timeout(&self, config: &AdvertConfig) -> Option<Instant> {
        let open = self.open.values();
        let deadlines = open.clone().map(|open| open.since + config.ack_timeout);
        if let Some(now) = self.woken
            && !self.may_open(now, config)
        {
            let soon = open.map(|open| open.since + config.ack_soon);
            return deadlines.chain(soon.filter(|at| *at > now)).min();
        }
        // A parcel whose peer has a batch open waits for that one to end.
        let is_free = |parcel: &&Parcel| !self.is_open(&parcel.peer);
        let first = self.urgent.iter().chain(&self.sweep).find(is_free);
        let first = first.and(self.free_at);
        let again = self.again.iter().find(|(_, parcel)| is_free(parcel));
        let again = again.map(|((due, _), _)| self.free_at.map_or(*due, |at| at.max(*due)));
        deadlines.chain(first).chain(again).min()
    }

    /// How many keys are in memory here, each copy counted.
    pub(super) fn keys(&self) -> usize {
        let waiting = self.urgent.iter().chain(&self.sweep);
        let open = self.open.values().map(|open| &open.parcel);
        let again = self.again.values();
        (waiting.chain(open).chain(again))
            .map(|parcel| parcel.keys.len())
            .sum()
    }
}
