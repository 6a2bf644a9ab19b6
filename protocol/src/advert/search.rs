//! The search machine: whom to ask who has something.
//!
//! Owns: who was asked, who was named, when it is enough. Refuses: to believe it. A provider
//! is a hint, and no few peers' answers can end a search: of those that one names, one
//! counts, and no more than are wanted in all are told, so that they do not crowd out others.
//!
//! Nobody holds a search up: who does not answer within a few times what the others took is
//! *silent*. It may still answer, but the next is asked in its place, and a search is
//! *settled* when only silent ones are left.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use super::config::SearchConfig;
use super::events::LookupId;
use super::key::AdvertKey;
use super::message::{FIND_KEYS_MAX, Found, Provider};
use super::patience::Patience;
use super::position::Position;
use crate::peer::PeerKey;

/// The most providers that one search tells of.
const PROVIDERS_MAX: usize = 256;

/// The number of a question, unique within one search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskId(pub u64);

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SearchInput {
    /// These peers can be asked without being looked for: they are connected. Those closest
    /// to the first key are asked while a lookup goes on.
    Met {
        /// Who, in any order.
        peers: Vec<PeerKey>,
    },
    /// The answer to [`SearchOutput::Lookup`], closest first.
    Located {
        /// Which lookup.
        lookup: LookupId,
        /// Who lies closest to the key.
        peers: Vec<PeerKey>,
    },
    /// A lookup came to nothing.
    LookupFailed {
        /// Which.
        lookup: LookupId,
    },
    /// A peer answered.
    Answered {
        /// Which question.
        ask: AskId,
        /// What it knows.
        found: Found,
    },
    /// A peer did not answer.
    AskFailed {
        /// Which question.
        ask: AskId,
    },
    /// The time of [`Search::next_timeout`] has come.
    Timeout,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SearchOutput {
    /// Find the peers closest to a key.
    Lookup {
        /// The lookup's number, unique within one search.
        lookup: LookupId,
        /// The key.
        target: AdvertKey,
    },
    /// Ask a peer for providers of all the keys.
    Ask {
        /// The question's number.
        ask: AskId,
        /// Whom.
        peer: PeerKey,
        /// The keys, in the order that they were given in.
        keys: Vec<AdvertKey>,
    },
    /// Somebody has something; told once for each provider.
    Seen(Seen),
    /// The search is over. Nothing follows.
    Ended(Ended),
}

/// A provider that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Who, and where.
    pub provider: Provider,
    /// The first of the keys that it has.
    pub key: AdvertKey,
    /// How many seconds ago it said so.
    pub age_s: u32,
    /// Who told it.
    pub told_by: PeerKey,
}

/// Why a search is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// As many providers were found as were wanted.
    Enough,
    /// Everybody was asked that should know, or as many as may be.
    Exhausted,
}

/// A question that is open.
#[derive(Debug, Clone, Copy)]
struct Open {
    peer: PeerKey,
    since: Instant,
}

/// The machine of one search. It wants to be started by an input: [`SearchInput::Timeout`].
#[derive(Debug)]
pub struct Search {
    config: SearchConfig,
    keys: Vec<AdvertKey>,
    /// How many of the keys were looked up.
    looked_up: usize,
    lookups: BTreeMap<LookupId, Instant>,
    to_ask: VecDeque<PeerKey>,
    known: BTreeSet<PeerKey>,
    /// How many of those were met who may be asked without a lookup.
    met: usize,
    asked: usize,
    open: BTreeMap<AskId, Open>,
    /// When the machine was last told anything.
    woken: Option<Instant>,
    /// Who did not answer, and will not.
    failed: Vec<PeerKey>,
    answered: usize,
    patience: Patience,
    seen: BTreeSet<PeerKey>,
    /// How many of them count towards the wanted number.
    counted: usize,
    ended: bool,
    outputs: VecDeque<SearchOutput>,
}

impl Search {
    /// A search for any of `keys`, in order of preference; those beyond [`FIND_KEYS_MAX`] are
    /// left out. Of chunks, give the lowest keys first: these are advertised by most.
    pub fn new(config: SearchConfig, mut keys: Vec<AdvertKey>) -> Self {
        keys.truncate(FIND_KEYS_MAX);
        Self {
            patience: Patience::new(config.hedge.clone()),
            config,
            keys,
            looked_up: 0,
            lookups: BTreeMap::new(),
            to_ask: VecDeque::new(),
            known: BTreeSet::new(),
            met: 0,
            asked: 0,
            open: BTreeMap::new(),
            woken: None,
            failed: Vec::new(),
            answered: 0,
            seen: BTreeSet::new(),
            counted: 0,
            ended: false,
            outputs: VecDeque::new(),
        }
    }

    /// Takes note of what happened at `now`, which never goes back.
    pub fn handle(&mut self, now: Instant, input: SearchInput) {
        if self.ended {
            return;
        }
        match input {
            SearchInput::Met { peers } => self.meet(peers),
            SearchInput::Located { lookup, peers } => self.locate(lookup, peers),
            SearchInput::LookupFailed { lookup } => drop(self.lookups.remove(&lookup)),
            SearchInput::Answered { ask, found } => {
                if let Some(open) = self.open.remove(&ask) {
                    self.answered += 1;
                    self.patience.learn(now - open.since);
                    self.take(open.peer, found);
                }
            }
            SearchInput::AskFailed { ask } => {
                self.failed.extend(self.open.remove(&ask).map(|o| o.peer));
            }
            SearchInput::Timeout => {}
        }
        self.expire(now);
        self.go_on(now);
    }

    /// What to do next; nothing until the next input.
    pub fn poll(&mut self) -> Option<SearchOutput> {
        self.outputs.pop_front()
    }

    /// When to wake the machine if nothing happens.
    pub fn next_timeout(&self) -> Option<Instant> {
        // First one becomes silent, and later it is given up.
        let (ask, lookup, last) = (
            self.patience.question(),
            self.patience.lookup(),
            self.config.timeout,
        );
        let asks = self.open.values().map(|open| (open.since, ask));
        let lookups = self.lookups.values().map(|since| (*since, lookup));
        let next = |(since, silent): (Instant, Duration)| match self.woken < Some(since + silent) {
            true => since + silent.min(last),
            false => since + last,
        };
        asks.chain(lookups).map(next).min().filter(|_| !self.ended)
    }

    /// Whether there is no point in waiting at `now`: everybody was asked who may know, all
    /// have answered but those who are silent, and somebody has answered at all.
    pub fn is_settled(&self, now: Instant) -> bool {
        let is_quiet = self.busy(now) == 0 && !self.is_looking(now);
        self.ended || (self.answered > 0 && self.to_ask.is_empty() && is_quiet)
    }

    /// How many answered.
    pub fn answered(&self) -> usize {
        self.answered
    }

    /// How many providers were found.
    pub fn found(&self) -> usize {
        self.seen.len()
    }

    /// Who was asked and has not answered.
    pub fn silent(&self) -> impl Iterator<Item = PeerKey> {
        let open = self.open.values().map(|open| open.peer);
        open.chain(self.failed.iter().copied())
    }

    /// How long an answer may take, going by those that came.
    pub fn patience(&self) -> Duration {
        self.patience.question()
    }

    /// Questions that may be answered any moment.
    fn busy(&self, now: Instant) -> usize {
        let silent_since = self.patience.question();
        let open = self.open.values();
        open.filter(|open| now < open.since + silent_since).count()
    }

    /// Whether a lookup may come to its end any moment.
    fn is_looking(&self, now: Instant) -> bool {
        let silent_since = self.patience.lookup();
        (self.lookups.values()).any(|since| now < *since + silent_since)
    }

    /// Gives up who never will answer.
    fn expire(&mut self, now: Instant) {
        self.woken = Some(now);
        let timeout = self.config.timeout;
        self.lookups.retain(|_, since| now < *since + timeout);
        let failed = &mut self.failed;
        self.open.retain(|_, open| {
            let is_open = now < open.since + timeout;
            if !is_open {
                failed.push(open.peer);
            }
            is_open
        });
    }

    fn meet(&mut self, mut peers: Vec<PeerKey>) {
        let Some(key) = self.keys.first().map(Position::of_key) else {
            return;
        };
        peers.sort_by_cached_key(|peer| Position::of_peer(peer).distance(&key));
        for peer in peers {
            let has_room = self.met < self.config.met_max;
            if has_room && Some(peer) != self.config.me && self.known.insert(peer) {
                self.met += 1;
                self.to_ask.push_back(peer);
            }
        }
    }

    fn locate(&mut self, lookup: LookupId, peers: Vec<PeerKey>) {
        if self.lookups.remove(&lookup).is_none() {
            return;
        }
        for peer in peers.into_iter().take(self.config.asked_max) {
            if Some(peer) != self.config.me && self.known.insert(peer) {
                self.to_ask.push_back(peer);
            }
        }
    }

    fn take(&mut self, told_by: PeerKey, found: Found) {
        let mut taken = 0;
        for (key, hits) in self.keys.iter().zip(found.keys.iter()) {
            for hit in hits.iter() {
                let Some(provider) = found.providers.get(usize::from(hit.provider)) else {
                    continue;
                };
                let is_me = Some(provider.peer) == self.config.me;
                let has_room = self.seen.len() < PROVIDERS_MAX;
                let is_welcome = !is_me && has_room && taken < self.config.wanted;
                if !is_welcome || !self.seen.insert(provider.peer) {
                    continue;
                }
                self.counted += usize::from(taken == 0);
                taken += 1;
                self.outputs.push_back(SearchOutput::Seen(Seen {
                    provider: provider.clone(),
                    key: *key,
                    age_s: hit.age_s,
                    told_by,
                }));
            }
        }
    }

    fn go_on(&mut self, now: Instant) {
        if self.counted >= self.config.wanted {
            return self.end(Ended::Enough);
        }
        let may_ask = self.asked < self.config.asked_max;
        let is_idle = self.to_ask.is_empty() && self.busy(now) == 0;
        if may_ask && !self.is_looking(now) && (is_idle || self.looked_up == 0) {
            self.look_up(now);
        }
        let mut busy = self.busy(now);
        while busy < self.config.parallel && self.asked < self.config.asked_max {
            let Some(peer) = self.to_ask.pop_front() else {
                break;
            };
            busy += 1;
            self.asked += 1;
            let ask = AskId(self.asked as u64);
            self.open.insert(ask, Open { peer, since: now });
            self.outputs.push_back(SearchOutput::Ask {
                ask,
                peer,
                keys: self.keys.clone(),
            });
        }
        if self.open.is_empty() && self.lookups.is_empty() {
            self.end(Ended::Exhausted);
        }
    }

    /// Looks up where the next key lies, which may be among peers that were not asked yet.
    fn look_up(&mut self, now: Instant) {
        if self.looked_up >= self.config.lookups_max {
            return;
        }
        let Some(target) = self.keys.get(self.looked_up).copied() else {
            return;
        };
        self.looked_up += 1;
        let lookup = LookupId(self.looked_up as u64);
        self.lookups.insert(lookup, now);
        self.outputs
            .push_back(SearchOutput::Lookup { lookup, target });
    }

    fn end(&mut self, how: Ended) {
        self.ended = true;
        self.outputs.push_back(SearchOutput::Ended(how));
    }
}
