//! The machine against a modelled network: peers at their positions, lookups that tell the
//! truth, acknowledgements that get lost, peers that refuse, come and go, on one event heap
//! with the clock in the model.
//!
//! What holds at every step: a load is within what was listed, a batch is within its bounds
//! and goes to a peer that is idle, and what is in memory is bounded.

mod scenarios;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashSet};
use std::time::{Duration, Instant};

use super::*;
use crate::peer::PeerKey;

const COPIES: usize = 20;
const DELAY: Duration = Duration::from_millis(50);

/// What a peer does with batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Conduct {
    /// Takes and acknowledges them.
    Takes,
    /// Takes them, and so many acknowledgements get lost.
    LosesAcks(u32),
    /// Has no room.
    Refuses,
    /// Does not know yet which epoch is in force.
    Lags,
    /// Wants to be left alone for so many seconds, once.
    IsBusy(u32),
    /// Is not there.
    Gone,
}

struct Model {
    key: PeerKey,
    position: Position,
    conduct: Conduct,
    kept: HashSet<AdvertKey>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Located(u64, AdvertKey),
    Loaded(Position, Position, usize),
    Arrived(u64, usize, Vec<AdvertKey>),
    Wake,
    Met,
}

struct World {
    now: Instant,
    heap: BinaryHeap<Reverse<(Instant, u64, Event)>>,
    events: u64,
    advert: Advert,
    config: AdvertConfig,
    peers: Vec<Model>,
    by_key: BTreeMap<PeerKey, usize>,
    keys: BTreeMap<Position, AdvertKey>,
    progress: Option<(Instant, Progress)>,
    is_listed: bool,
    /// Which keys are on the list.
    listed: Selection,
    /// How many records of this node each peer has room for.
    share: u32,
    open: BTreeSet<usize>,
    lookups_fail: bool,
    lookups_take: Duration,
    /// Who is connected with this node, which is asked for nothing else.
    connected: Vec<usize>,
    loads_fail: bool,
    bytes: u64,
    most_keys: usize,
}

fn peer_key(number: u64) -> PeerKey {
    PeerKey::from_bytes(blake3::derive_key(
        "a peer of a test",
        &number.to_le_bytes(),
    ))
}

fn advert_key(number: u64) -> AdvertKey {
    let secret = DiscoveryKey::from_bytes([7; 32]);
    let id = crate::id::ChunkId::of(&number.to_le_bytes());
    secret.key(Subject::Chunk(id))
}

fn model(number: u64) -> Model {
    let key = peer_key(number);
    Model {
        key,
        position: Position::of_peer(&key),
        conduct: Conduct::Takes,
        kept: HashSet::new(),
    }
}

impl World {
    fn new(peers: u64, keys: u64) -> Self {
        Self::with(peers, keys, AdvertConfig::default())
    }

    fn with(peers: u64, keys: u64, config: AdvertConfig) -> Self {
        let now = Instant::now();
        let mut world = Self {
            now,
            heap: BinaryHeap::new(),
            events: 0,
            advert: Advert::new(now, config.clone(), None),
            config,
            peers: Vec::new(),
            by_key: BTreeMap::new(),
            keys: BTreeMap::new(),
            progress: None,
            is_listed: false,
            listed: Selection::ALL,
            share: 100_000,
            open: BTreeSet::new(),
            lookups_fail: false,
            lookups_take: DELAY,
            connected: Vec::new(),
            loads_fail: false,
            bytes: 0,
            most_keys: 0,
        };
        (0..peers).for_each(|number| world.join(number));
        world.keys = (0..keys)
            .map(advert_key)
            .map(|key| (Position::of_key(&key), key))
            .collect();
        world
    }

    fn join(&mut self, number: u64) {
        let model = model(number);
        self.by_key.insert(model.key, self.peers.len());
        self.peers.push(model);
    }

    fn schedule(&mut self, after: Duration, event: Event) {
        self.events += 1;
        self.heap
            .push(Reverse((self.now + after, self.events, event)));
    }

    /// The peers that are there, closest first.
    fn closest(&self, position: &Position, count: usize) -> Vec<usize> {
        let mut there: Vec<usize> = (0..self.peers.len())
            .filter(|i| self.peers[*i].conduct != Conduct::Gone)
            .collect();
        let far = |i: &usize| self.peers[*i].position.distance(position);
        if there.len() > count {
            there.select_nth_unstable_by_key(count, far);
            there.truncate(count);
        }
        there.sort_by_key(far);
        there
    }

    /// Of the copies that the keys (every `step`th) should have, the share that is there.
    fn share_of_copies(&self, step: usize) -> f64 {
        let (mut there, mut wanted) = (0, 0);
        for (position, key) in self.keys.iter().step_by(step) {
            for i in self.closest(position, COPIES) {
                wanted += 1;
                there += usize::from(self.peers[i].kept.contains(key));
            }
        }
        there as f64 / wanted as f64
    }

    fn lowest(&self, keys_max: u64) -> Selection {
        Selection::new(self.keys.len() as u64, keys_max)
    }

    /// The fewest copies that any key (every `step`th) has.
    fn fewest_copies(&self, step: usize) -> usize {
        let copies = |key: &AdvertKey| {
            let has = |peer: &&Model| peer.kept.contains(key);
            self.peers.iter().filter(has).count()
        };
        let keys = self.keys.values().step_by(step);
        keys.map(copies).min().expect("there are keys")
    }

    fn tell(&mut self, input: Input) {
        self.advert.handle(self.now, input);
        self.most_keys = self.most_keys.max(self.advert.keys_in_memory());
        while let Some(output) = self.advert.poll() {
            self.obey(output);
        }
    }

    fn obey(&mut self, output: Output) {
        match output {
            Output::Lookup { lookup, target } => {
                self.schedule(self.lookups_take, Event::Located(lookup.0, target));
            }
            Output::Meet => self.schedule(Duration::ZERO, Event::Met),
            Output::List { keys_max } => {
                self.is_listed = true;
                self.listed = self.lowest(keys_max.unwrap_or(u64::MAX));
            }
            Output::Limit { keys_max } => self.listed = self.lowest(keys_max),
            Output::Load { from, to, keys_max } => {
                assert!(self.is_listed, "loads from no list");
                self.schedule(DELAY, Event::Loaded(from, to, keys_max));
            }
            Output::Send {
                batch,
                peer,
                keys,
                ttl_s,
            } => {
                assert!((1..=BATCH_KEYS_MAX).contains(&keys.len()));
                assert!((1..=TTL_S_MAX).contains(&ttl_s));
                let peer = self.by_key[&peer];
                assert!(self.open.insert(peer), "two batches to one peer");
                assert!(self.open.len() <= self.config.open_max);
                self.bytes += 16 * keys.len() as u64;
                self.schedule(DELAY, Event::Arrived(batch.0, peer, keys));
            }
            Output::Progress(progress) => self.progress = Some((self.now, progress)),
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Wake => self.tell(Input::Timeout),
            Event::Met => {
                let peers = self.connected.iter().map(|i| self.peers[*i].key);
                let peers = peers.collect();
                self.tell(Input::Met { peers });
            }
            Event::Located(lookup, target) => {
                let lookup = LookupId(lookup);
                if self.lookups_fail {
                    return self.tell(Input::LookupFailed { lookup });
                }
                let closest = self.closest(&Position::of_key(&target), COPIES);
                let peers = closest.into_iter().map(|i| self.peers[i].key).collect();
                self.tell(Input::Located { lookup, peers });
            }
            Event::Loaded(..) if self.loads_fail => {
                self.is_listed = false;
                self.tell(Input::LoadFailed);
            }
            Event::Loaded(from, to, keys_max) => {
                let range = self.keys.range(from..=to).map(|(_, key)| *key);
                let mut range = range.filter(|key| self.listed.has(key));
                let keys: Vec<_> = range.by_ref().take(keys_max).collect();
                let is_all = range.next().is_none();
                self.tell(Input::Loaded { keys, is_all });
            }
            Event::Arrived(batch, peer, keys) => self.arrive(BatchId(batch), peer, keys),
        }
    }

    fn arrive(&mut self, batch: BatchId, peer: usize, keys: Vec<AdvertKey>) {
        self.open.remove(&peer);
        let model = &mut self.peers[peer];
        let count = keys.len() as u32;
        let answer = |accepted, refusal| AdvertAck {
            accepted,
            refusal,
            ttl_s: 86_400,
            share: self.share,
        };
        let room = (self.share as usize).saturating_sub(model.kept.len());
        let ack = match model.conduct {
            Conduct::Takes if room < keys.len() => answer(room as u32, Some(Refusal::Full)),
            Conduct::Takes => answer(count, None),
            Conduct::LosesAcks(0) => answer(count, None),
            Conduct::LosesAcks(left) => {
                model.conduct = Conduct::LosesAcks(left - 1);
                model.kept.extend(keys);
                // Nobody says anything: the machine's own clock has to notice.
                return;
            }
            Conduct::Refuses => answer(0, Some(Refusal::Full)),
            Conduct::Lags => AdvertAck {
                share: 0,
                ..answer(0, Some(Refusal::Epoch))
            },
            Conduct::IsBusy(retry_s) => {
                model.conduct = Conduct::Takes;
                answer(0, Some(Refusal::Rate { retry_s }))
            }
            Conduct::Gone => return self.tell(Input::Failed { batch }),
        };
        let taken = keys.into_iter().take(ack.accepted as usize);
        model.kept.extend(taken);
        self.tell(Input::Acked { batch, ack });
    }

    /// One event; false if nothing is ever going to happen.
    fn step(&mut self) -> bool {
        let wake = self.advert.next_timeout();
        let next = self.heap.peek().map(|Reverse((at, ..))| *at);
        match (wake, next) {
            (None, None) => return false,
            (Some(wake), next) if next.is_none_or(|next| wake < next) => {
                self.now = self.now.max(wake);
                self.happen(Event::Wake);
            }
            _ => {
                let Reverse((at, _, event)) = self.heap.pop().expect("it was just seen");
                self.now = at;
                self.happen(event);
            }
        }
        self.events += 1;
        assert!(self.events < 2_000_000, "runs for ever");
        true
    }

    fn run_until(&mut self, mut done: impl FnMut(&Self) -> bool) {
        self.tell(Input::Timeout);
        while !done(self) {
            assert!(self.step(), "stuck: {:?}", self.advert.sent());
        }
    }

    fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        self.tell(Input::Timeout);
        loop {
            let wake = self.advert.next_timeout();
            let next = self.heap.peek().map(|Reverse((at, ..))| *at);
            match wake.into_iter().chain(next).min() {
                Some(at) if at <= end => self.step(),
                _ => break,
            };
        }
        self.now = end;
    }

    fn sweep(&mut self) {
        let before = self.advert.sent().sweeps;
        self.run_until(|world| world.advert.sent().sweeps > before);
    }

    /// The node stops and starts again after `pause`, with what it had written down.
    fn restart(&mut self, pause: Duration) {
        self.now += pause;
        self.heap.clear();
        self.open.clear();
        self.is_listed = false;
        let resume = self.progress.map(|(at, progress)| Progress {
            began_ago: progress.began_ago + (self.now - at),
            ..progress
        });
        self.advert = Advert::new(self.now, self.config.clone(), resume);
    }
}
