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
    most_busy: usize,
    /// When there was no point in waiting any more.
    settled_after: Option<Duration>,
    ended_after: Duration,
    silent: Vec<PeerKey>,
}

/// What an answer takes, in these models.
const ROUND_TRIP: Duration = Duration::from_millis(2);

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
    let began = Instant::now();
    let mut now = began;
    let mut search = Search::new(config, keys);
    let (mut asked, mut seen, mut lookups, mut most_busy) = (Vec::new(), Vec::new(), 0, 0);
    let mut inputs = VecDeque::from([SearchInput::Timeout]);
    let mut settled_after = None;
    loop {
        let input = match inputs.pop_front() {
            Some(input) => {
                now += ROUND_TRIP;
                input
            }
            None => {
                let next = search.next_timeout().expect("it goes on");
                assert!(next > now, "it wakes when nothing is to be done");
                now = next;
                SearchInput::Timeout
            }
        };
        search.handle(now, input);
        while let Some(output) = search.poll() {
            match output {
                SearchOutput::Lookup { lookup, .. } => {
                    let peers = near.get(lookups).cloned();
                    lookups += 1;
                    // Without an answer, the lookup is silent as well.
                    inputs.extend(peers.map(|peers| SearchInput::Located {
                        lookup,
                        peers: peers.into_iter().map(peer).collect(),
                    }));
                }
                SearchOutput::Ask { ask, peer, .. } => {
                    asked.push(peer);
                    inputs.extend(answers.get(&peer).map(|named| SearchInput::Answered {
                        ask,
                        found: answer(named),
                    }));
                    most_busy = most_busy.max(inputs.len());
                }
                SearchOutput::Seen(found) => seen.push(found),
                SearchOutput::Ended(ended) => {
                    assert_eq!(search.next_timeout(), None);
                    assert!(search.is_settled(now));
                    return Outcome {
                        asked,
                        lookups,
                        seen,
                        ended,
                        most_busy,
                        settled_after: settled_after.or(Some(now - began)),
                        ended_after: now - began,
                        silent: search.silent().collect(),
                    };
                }
            }
        }
        if search.is_settled(now) {
            settled_after.get_or_insert(now - began);
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
        outcome.asked.len() < 10 && outcome.most_busy <= 4,
        "{}",
        outcome.asked.len()
    );
    assert_eq!(outcome.seen.len(), 7, "the first names two");
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
fn ten_liars_cannot_end_a_search_either() {
    let mut answers: Answers = (11..=20).map(|n| (peer(n), vec![vec![500]])).collect();
    for n in 1..=10 {
        let invented = 1000 + 32 * n..1032 + 32 * n;
        answers.insert(peer(n), vec![invented.collect()]);
    }
    let near = [(1..=20).collect()];
    let outcome = run(SearchConfig::default(), vec![key(1)], &near, &answers);
    let is_found = |seen: &Seen| seen.provider.peer == peer(500);
    assert!(outcome.seen.iter().any(is_found));
}

#[test]
fn silent_peers_hold_nobody_up() {
    // Every second one is silent, and so are the first three.
    let alive = (4..=20).filter(|n| n % 2 == 0);
    let answers: Answers = alive.map(|n| (peer(n), vec![vec![100 + n]])).collect();
    let near = [(1..=20).collect()];
    let config = SearchConfig::default();
    let outcome = run(config.clone(), vec![key(1)], &near, &answers);
    assert_eq!((outcome.asked.len(), outcome.seen.len()), (20, 9));
    assert_eq!(outcome.silent.len(), 11);
    let settled = outcome.settled_after.expect("some answered");
    assert!(settled < 12 * *config.hedge.start(), "{settled:?}");
    assert!(
        outcome.ended_after >= config.timeout,
        "they may still answer"
    );
}

#[test]
fn where_nobody_answers_a_search_is_not_settled_before_all_are_given_up() {
    let near = [(1..=20).collect()];
    let config = SearchConfig::default();
    let outcome = run(config.clone(), vec![key(1)], &near, &Answers::new());
    assert_eq!((outcome.asked.len(), outcome.silent.len()), (20, 20));
    assert_eq!(outcome.settled_after, Some(outcome.ended_after));
}

#[test]
fn a_lookup_that_hangs_does_not_keep_those_from_being_asked_who_were_met() {
    let mut search = Search::new(SearchConfig::default(), vec![key(1)]);
    let mut now = Instant::now();
    let peers = (0..100).map(peer).collect();
    search.handle(now, SearchInput::Met { peers });
    let mut asked = Vec::new();
    let mut answers = VecDeque::new();
    while !search.is_settled(now) {
        while let Some(output) = search.poll() {
            match output {
                SearchOutput::Ask { ask, peer, .. } => {
                    asked.push(peer);
                    answers.push_back(ask);
                }
                SearchOutput::Lookup { .. } | SearchOutput::Seen(_) => {}
                SearchOutput::Ended(_) => panic!("the lookup may still come back"),
            }
        }
        let input = match answers.pop_front() {
            Some(ask) => SearchInput::Answered {
                ask,
                found: answer(&[vec![7]]),
            },
            None => {
                now = search.next_timeout().expect("the lookup is open");
                SearchInput::Timeout
            }
        };
        now += Duration::from_millis(1);
        search.handle(now, input);
    }
    let mut nearest: Vec<_> = (0..100).map(peer).collect();
    nearest.sort_by_key(|p| Position::of_peer(p).distance(&Position::of_key(&key(1))));
    nearest.truncate(SearchConfig::default().met_max);
    assert_eq!(asked, nearest, "those closest to the key, and no others");
    assert_eq!(search.answered(), asked.len());
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
