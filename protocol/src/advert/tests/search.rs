//! Searches in a small model: who is asked, and when it ends.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::super::*;
use crate::bounded::List;
use crate::peer::PeerKey;

fn peer(number: u16) -> PeerKey {
    let mut bytes = [0; 32];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    PeerKey::from_bytes(bytes)
}

fn key(byte: u8) -> AdvertKey {
    AdvertKey::from_bytes([byte; 16])
}

/// Who answers what: for each key, the providers that it names.
type Answers = BTreeMap<PeerKey, Vec<Vec<u16>>>;

struct Outcome {
    asked: Vec<PeerKey>,
    lookups: usize,
    seen: Vec<Seen>,
    ended: Ended,
    most_open: usize,
}

fn answer(named: &[Vec<u16>]) -> Found {
    let mut all: Vec<u16> = named.concat();
    all.sort();
    all.dedup();
    let hits = |names: &Vec<u16>| {
        let hits = names.iter().map(|name| Hit {
            provider: all.binary_search(name).expect("it is one of them") as u16,
            age_s: 5,
        });
        List::new(hits.collect()).expect("few")
    };
    let keys = List::new(named.iter().map(hits).collect()).expect("few");
    let providers = all.iter().map(|name| Provider {
        peer: peer(*name),
        addresses: List::empty(),
    });
    Found {
        providers: List::new(providers.collect()).expect("few"),
        keys,
    }
}

/// Runs a search to its end: lookups tell `near` of their number; who has no answers is silent.
fn run(
    config: SearchConfig,
    keys: Vec<AdvertKey>,
    near: &[Vec<u16>],
    answers: &Answers,
) -> Outcome {
    let mut now = Instant::now();
    let mut search = Search::new(config, keys);
    let (mut asked, mut seen, mut lookups, mut most_open) = (Vec::new(), Vec::new(), 0, 0);
    let mut inputs = VecDeque::from([SearchInput::Timeout]);
    let mut silent = 0usize;
    loop {
        let input = inputs.pop_front().unwrap_or_else(|| {
            now = search.next_timeout().expect("it goes on");
            silent = 0;
            SearchInput::Timeout
        });
        search.handle(now, input);
        while let Some(output) = search.poll() {
            match output {
                SearchOutput::Lookup { lookup, .. } => {
                    let peers = near.get(lookups).cloned().unwrap_or_default();
                    lookups += 1;
                    let peers = peers.into_iter().map(peer).collect();
                    inputs.push_back(SearchInput::Located { lookup, peers });
                }
                SearchOutput::Ask { ask, peer, .. } => {
                    asked.push(peer);
                    match answers.get(&peer) {
                        Some(named) => inputs.push_back(SearchInput::Answered {
                            ask,
                            found: answer(named),
                        }),
                        None => silent += 1,
                    }
                    most_open = most_open.max(silent + inputs.len());
                }
                SearchOutput::Seen(found) => seen.push(found),
                SearchOutput::Ended(ended) => {
                    assert_eq!(search.next_timeout(), None);
                    return Outcome {
                        asked,
                        lookups,
                        seen,
                        ended,
                        most_open,
                    };
                }
            }
        }
    }
}

#[test]
fn providers_that_several_peers_name_end_a_search() {
    let answers: Answers = (1..=20)
        .map(|n| (peer(n), vec![vec![100 + n, 101 + n]]))
        .collect();
    let config = SearchConfig {
        wanted: 6,
        ..SearchConfig::default()
    };
    let near = [(1..=20).collect()];
    let outcome = run(config, vec![key(1)], &near, &answers);
    assert_eq!(outcome.ended, Ended::Enough);
    assert!(
        outcome.asked.len() < 10 && outcome.most_open <= 4,
        "{}",
        outcome.asked.len()
    );
    assert_eq!(outcome.seen.len(), 6);
    assert_eq!(outcome.seen[0].key, key(1));
}

#[test]
fn one_liar_cannot_end_a_search() {
    let mut answers: Answers = (2..=20).map(|n| (peer(n), vec![vec![500]])).collect();
    answers.insert(peer(1), vec![(1000..1032).collect()]);
    let near = [(1..=20).collect()];
    let outcome = run(SearchConfig::default(), vec![key(1)], &near, &answers);
    assert_eq!(outcome.ended, Ended::Exhausted);
    assert_eq!(outcome.asked.len(), 20);
    assert!(
        outcome
            .seen
            .iter()
            .any(|seen| seen.provider.peer == peer(500))
    );
}

#[test]
fn silent_peers_are_passed_over() {
    let answers: Answers = [(peer(20), vec![vec![7]])].into();
    let near = [(1..=20).collect()];
    let outcome = run(SearchConfig::default(), vec![key(1)], &near, &answers);
    assert_eq!((outcome.asked.len(), outcome.seen.len()), (20, 1));
    assert!(outcome.most_open <= 4);
}

#[test]
fn further_keys_lead_to_further_peers_and_nobody_is_asked_twice() {
    let mut answers = Answers::new();
    answers.insert(peer(3), vec![vec![], vec![42]]);
    let near = [vec![1, 2], vec![2, 3], vec![3, 1]];
    let outcome = run(
        SearchConfig::default(),
        vec![key(1), key(2), key(3)],
        &near,
        &answers,
    );
    assert_eq!(outcome.asked, [peer(1), peer(2), peer(3)]);
    assert_eq!(outcome.lookups, 3);
    assert_eq!(
        (outcome.seen[0].key, outcome.seen[0].told_by),
        (key(2), peer(3))
    );
}

#[test]
fn a_search_is_bounded() {
    let near: Vec<Vec<u16>> = (0..200).map(|n| (n * 20..n * 20 + 20).collect()).collect();
    let keys = (0..200).map(key).collect();
    let config = SearchConfig {
        timeout: Duration::from_secs(1),
        ..SearchConfig::default()
    };
    let outcome = run(config.clone(), keys, &near, &Answers::new());
    assert_eq!(outcome.asked.len(), config.asked_max);
    assert!(outcome.lookups <= config.lookups_max);
    assert_eq!(
        run(config, Vec::new(), &near, &Answers::new()).ended,
        Ended::Exhausted
    );
}
