//! The search machine: whom to ask who has something.
//!
//! Owns: who was asked, who was named, when it is enough. Refuses: to believe it. A provider
//! is a hint, and no one peer's answer can end a search: of those that it names, a third of
//! the wanted number count.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use super::config::SearchConfig;
use super::events::LookupId;
use super::key::AdvertKey;
use super::message::{FIND_KEYS_MAX, Found, Provider};
use crate::peer::PeerKey;

/// The most providers that one search tells of.
const PROVIDERS_MAX: usize = 256;

/// The number of a question, unique within one search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskId(pub u64);

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SearchInput {
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

/// The machine of one search. It wants to be started by an input: [`SearchInput::Timeout`].
#[derive(Debug)]
pub struct Search {
    config: SearchConfig,
    keys: Vec<AdvertKey>,
    /// How many of the keys were looked up.
    looked_up: usize,
    lookup: Option<(LookupId, Instant)>,
    to_ask: VecDeque<PeerKey>,
    known: BTreeSet<PeerKey>,
    asked: usize,
    open: BTreeMap<AskId, (PeerKey, Instant)>,
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
            config,
            keys,
            looked_up: 0,
            lookup: None,
            to_ask: VecDeque::new(),
            known: BTreeSet::new(),
            asked: 0,
            open: BTreeMap::new(),
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
            SearchInput::Located { lookup, peers } => self.locate(lookup, peers),
            SearchInput::LookupFailed { lookup } => {
                self.lookup = self.lookup.filter(|(open, _)| *open != lookup);
            }
            SearchInput::Answered { ask, found } => {
                if let Some((peer, _)) = self.open.remove(&ask) {
                    self.take(peer, found);
                }
            }
            SearchInput::AskFailed { ask } => drop(self.open.remove(&ask)),
            SearchInput::Timeout => {}
        }
        self.lookup = self.lookup.filter(|(_, deadline)| *deadline > now);
        self.open.retain(|_, (_, deadline)| *deadline > now);
        self.go_on(now);
    }

    /// What to do next; nothing until the next input.
    pub fn poll(&mut self) -> Option<SearchOutput> {
        self.outputs.pop_front()
    }

    /// When to wake the machine if nothing happens.
    pub fn next_timeout(&self) -> Option<Instant> {
        let asks = self.open.values().map(|(_, deadline)| *deadline);
        let lookup = self.lookup.map(|(_, deadline)| deadline);
        asks.chain(lookup).min().filter(|_| !self.ended)
    }

    fn locate(&mut self, lookup: LookupId, peers: Vec<PeerKey>) {
        if self.lookup.is_none_or(|(open, _)| open != lookup) {
            return;
        }
        self.lookup = None;
        for peer in peers.into_iter().take(self.config.asked_max) {
            if Some(peer) != self.config.me && self.known.insert(peer) {
                self.to_ask.push_back(peer);
            }
        }
    }

    fn take(&mut self, told_by: PeerKey, found: Found) {
        let mut counts = self.config.wanted.div_ceil(3);
        for (key, hits) in self.keys.iter().zip(found.keys.iter()) {
            for hit in hits.iter() {
                let Some(provider) = found.providers.get(usize::from(hit.provider)) else {
                    continue;
                };
                let is_me = Some(provider.peer) == self.config.me;
                let has_room = self.seen.len() < PROVIDERS_MAX;
                if is_me || !has_room || !self.seen.insert(provider.peer) {
                    continue;
                }
                if counts > 0 {
                    counts -= 1;
                    self.counted += 1;
                }
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
        let is_idle = self.to_ask.is_empty() && self.open.is_empty();
        if is_idle && self.lookup.is_none() && may_ask {
            self.look_up(now);
        }
        while self.open.len() < self.config.parallel && self.asked < self.config.asked_max {
            let Some(peer) = self.to_ask.pop_front() else {
                break;
            };
            self.asked += 1;
            let ask = AskId(self.asked as u64);
            self.open.insert(ask, (peer, now + self.config.timeout));
            self.outputs.push_back(SearchOutput::Ask {
                ask,
                peer,
                keys: self.keys.clone(),
            });
        }
        if self.open.is_empty() && self.lookup.is_none() {
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
        self.lookup = Some((lookup, now + self.config.timeout));
        self.outputs
            .push_back(SearchOutput::Lookup { lookup, target });
    }

    fn end(&mut self, how: Ended) {
        self.ended = true;
        self.outputs.push_back(SearchOutput::Ended(how));
    }
}
