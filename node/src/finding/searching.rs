//! Searching for who has something.
//!
//! Owns: carrying out what the search machine decides, with whoever is connected and whoever
//! becomes so meanwhile. Refuses: to believe what it finds: who is named is dialled, proves
//! itself, and says what it offers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use shoal_protocol::advert::{
    AdvertKey, Find, Found, Search, SearchConfig, SearchInput, SearchOutput, Subject,
};
use shoal_protocol::bounded::List;
use shoal_protocol::peer::PeerKey;
use shoal_protocol::wire::Neighbour;
use shoal_protocol::wire::limits::NEIGHBOUR_ADDRESSES_MAX;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};
use tokio::task::spawn_blocking;

use super::{Finding, discovery, key_of};
use crate::node::unix_now_s;
use shoal_control::{ControlEvent, Protocol};

/// How long a search waits for somebody who can be asked, when nobody is connected yet.
const CONTACT: Duration = Duration::from_secs(2);
/// How long what was just added somewhere may take until it is found: whoever looks for it at
/// once should not be told that nobody has it.
const SPREADING: Duration = Duration::from_secs(2);
/// How soon a search that found nobody is made again meanwhile; doubles.
const AGAIN: Duration = Duration::from_millis(100);
/// How many are asked at a time when somebody waits for the whole answer.
const PARALLEL: usize = 8;

/// When a search is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// When there is no point in waiting: what is found then is what is known. If nobody is
    /// connected yet, somebody is waited for.
    Settled,
    /// The same; and if nobody is found, only when what was just added would have been.
    Found,
    /// When nobody who was asked may answer any more, or enough is found.
    Ended,
}

/// How a search went.
#[derive(Debug)]
pub(crate) struct Searched {
    /// Members who were asked and did not answer (in time).
    pub(crate) silent: Vec<PeerKey>,
    /// How long a member may take to answer, going by those who did.
    pub(crate) patience: Duration,
}

/// Somebody who is said to have something.
#[derive(Debug, Clone)]
pub(crate) struct Sighting {
    /// Who, and where.
    pub(crate) neighbour: Neighbour,
    /// Who says so; this node, if it was told before.
    pub(crate) told_by: PeerKey,
    /// How many seconds ago it said so itself.
    pub(crate) age_s: u32,
}

impl Finding {
    /// Tells `seen` of each who is said to have any of `subjects`, the more wanted first.
    pub(crate) async fn search(
        &self,
        subjects: &[Subject],
        until: Until,
        mut seen: impl FnMut(Sighting),
    ) -> Searched {
        let Some((_, discovery)) = discovery(&self.team) else {
            return Searched::nothing();
        };
        let keys: Vec<AdvertKey> = subjects.iter().map(|s| discovery.key(*s)).collect();
        let is_known = self.remembered(&keys, &mut seen).await;
        let may_spread = until == Until::Found && !is_known;
        let began = Instant::now();
        let mut pause = AGAIN;
        loop {
            let mut contacts = self.contacts();
            let search = self.search_once(&keys, until, &mut contacts, &mut seen);
            let (machine, searched) = search.await;
            if until == Until::Ended || self.stop.is_cancelled() {
                return searched;
            }
            if machine.answered() == 0 {
                // Nobody could be asked: it is worth another attempt once somebody can.
                if contacts.next_before(began + CONTACT).await.is_none() {
                    return searched;
                }
                continue;
            }
            if !may_spread || machine.found() > 0 || began.elapsed() + pause > SPREADING {
                return searched;
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }

    /// Members who become connected, from now on.
    pub(crate) fn contacts(&self) -> Contacts {
        Contacts(self.handle.events())
    }

    /// One course of the machine, which is given back.
    async fn search_once(
        &self,
        keys: &[AdvertKey],
        until: Until,
        contacts: &mut Contacts,
        seen: &mut impl FnMut(Sighting),
    ) -> (Search, Searched) {
        let me = self.team.me();
        let defaults = SearchConfig::default();
        let config = SearchConfig {
            me: Some(me),
            parallel: match until {
                Until::Settled | Until::Found => PARALLEL,
                Until::Ended => defaults.parallel,
            },
            ..defaults
        };
        let mut machine = Search::new(config, keys.to_vec());
        let (inputs, mut happened) = mpsc::unbounded_channel();
        let connected = self.handle.peers().await;
        let peers = connected.iter().filter_map(|p| key_of(&p.peer)).collect();
        machine.handle(Instant::now(), SearchInput::Met { peers });
        loop {
            while let Some(output) = machine.poll() {
                match output {
                    SearchOutput::Ended(_) => return Searched::of(machine),
                    SearchOutput::Seen(found) if found.provider.peer != me => {
                        seen(Sighting {
                            neighbour: neighbour(found.provider.peer, &found.provider.addresses),
                            told_by: found.told_by,
                            age_s: found.age_s,
                        });
                    }
                    SearchOutput::Seen(_) => {}
                    SearchOutput::Lookup { lookup, target } => {
                        let (handle, inputs) = (self.handle.clone(), inputs.clone());
                        tokio::spawn(async move {
                            let peers = handle.closest_peers(target.as_bytes()).await;
                            let peers = peers.iter().filter_map(|c| key_of(&c.peer)).collect();
                            // The search may be over.
                            let _ = inputs.send(SearchInput::Located { lookup, peers });
                        });
                    }
                    SearchOutput::Ask { ask, peer, keys } => {
                        let (handle, inputs) = (self.handle.clone(), inputs.clone());
                        tokio::spawn(async move {
                            let found = ask_peer(&handle, peer, keys).await;
                            let input = match found {
                                Some(found) => SearchInput::Answered { ask, found },
                                None => SearchInput::AskFailed { ask },
                            };
                            // As above.
                            let _ = inputs.send(input);
                        });
                    }
                }
            }
            if until != Until::Ended && machine.is_settled(Instant::now()) {
                return Searched::of(machine);
            }
            let alarm = crate::until::until(machine.next_timeout().map(Into::into));
            let input = tokio::select! {
                input = happened.recv() => input.expect("a sender is here"),
                () = alarm => SearchInput::Timeout,
                peer = contacts.next() => SearchInput::Met { peers: vec![peer] },
                () = self.stop.cancelled() => return Searched::of(machine),
            };
            machine.handle(Instant::now(), input);
        }
    }

    /// Tells what this node was told itself; whether that was anything.
    async fn remembered(&self, keys: &[AdvertKey], seen: &mut impl FnMut(Sighting)) -> bool {
        let (providers, keys) = (Arc::clone(&self.providers), keys.to_vec());
        let found = spawn_blocking(move || providers.find(&keys, unix_now_s())).await;
        let Ok(Ok(found)) = found else { return false };
        let me = self.team.me();
        for hit in found.keys.iter().flat_map(|hits| hits.iter()) {
            let provider = &found.providers[usize::from(hit.provider)];
            seen(Sighting {
                neighbour: neighbour(provider.peer, &provider.addresses),
                told_by: me,
                age_s: hit.age_s,
            });
        }
        !found.providers.is_empty()
    }
}

impl Searched {
    /// Where there is no team to search.
    fn nothing() -> Self {
        Self {
            silent: Vec::new(),
            patience: Duration::ZERO,
        }
    }

    fn of(machine: Search) -> (Search, Self) {
        let searched = Self {
            silent: machine.silent().collect(),
            patience: machine.patience(),
        };
        (machine, searched)
    }
}

/// Members who become connected.
pub(crate) struct Contacts(broadcast::Receiver<ControlEvent>);

impl Contacts {
    /// The next; never comes back once the control plane has stopped.
    pub(crate) async fn next(&mut self) -> PeerKey {
        loop {
            match self.0.recv().await {
                Ok(ControlEvent::Connected { peer }) => {
                    if let Some(peer) = key_of(&peer) {
                        return peer;
                    }
                }
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }

    async fn next_before(&mut self, deadline: Instant) -> Option<PeerKey> {
        let next = tokio::time::timeout_at(deadline.into(), self.next());
        next.await.ok()
    }
}

async fn ask_peer(
    handle: &shoal_control::ControlHandle,
    peer: PeerKey,
    keys: Vec<AdvertKey>,
) -> Option<Found> {
    let keys = List::new(keys).ok()?;
    let question = Find { keys }.to_bytes();
    let answer = handle
        .request(peer.peer_id()?, Protocol::Find, question.into())
        .await;
    Found::from_bytes(&answer.ok()?).ok()
}

fn neighbour(peer: PeerKey, addresses: &[shoal_protocol::access::Address]) -> Neighbour {
    let some = addresses.iter().take(NEIGHBOUR_ADDRESSES_MAX).cloned();
    Neighbour {
        peer,
        addresses: List::new(some.collect()).expect("taken to fit"),
    }
}
