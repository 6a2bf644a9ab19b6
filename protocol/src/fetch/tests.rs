//! What the machine does, as facts, one peer's step at a time.

use std::ops::Range;
use std::time::{Duration, Instant};

use super::*;
use crate::have::RangeSet;
use crate::peer::PeerKey;
use crate::wire::{Outcome, RequestId};

const MIB: u64 = 1 << 20;
const RUN: u64 = 4 * MIB;

struct Rig {
    fetch: Fetch,
    now: Instant,
}

/// A request, as the tests look at it.
#[derive(Debug, Clone, PartialEq)]
struct Asked {
    peer: PeerKey,
    request: RequestId,
    run: u64,
    ranges: Vec<Range<u64>>,
}

fn key(number: u8) -> PeerKey {
    PeerKey::from_bytes([number; 32])
}

fn run(number: u64) -> Run {
    Run {
        id: RunId(number),
        start: number * RUN,
        end: (number + 1) * RUN,
    }
}

impl Rig {
    /// A machine that wants so many runs.
    fn new(runs: u64) -> Self {
        Self::with(FetchConfig::default(), runs)
    }

    fn with(config: FetchConfig, runs: u64) -> Self {
        let mut rig = Self {
            fetch: Fetch::new(config),
            now: Instant::now(),
        };
        for number in 0..runs {
            rig.tell(Input::Wanted(run(number)));
        }
        rig
    }

    fn tell(&mut self, input: Input) -> Vec<Output> {
        self.fetch.handle(self.now, input);
        std::iter::from_fn(|| self.fetch.poll()).collect()
    }

    fn after(&mut self, time: Duration) -> Vec<Output> {
        self.now += time;
        self.tell(Input::Timeout)
    }

    fn join_at(&mut self, peer: u8, distance: Distance, offered: RangeSet) -> Vec<Output> {
        let peer = key(peer);
        self.tell(Input::PeerJoined {
            peer,
            distance,
            offered,
        })
    }

    fn join(&mut self, peer: u8, offered: Range<u64>) -> Vec<Asked> {
        asked(&self.join_at(peer, Distance::Lan, RangeSet::of(offered)))
    }

    fn deliver(&mut self, peer: u8, range: Range<u64>) -> Vec<Output> {
        let peer = key(peer);
        self.tell(Input::Delivered { peer, range })
    }

    /// Delivers all that was asked, in a second, and ends it.
    fn answer(&mut self, asked: &Asked) -> Vec<Output> {
        self.now += Duration::from_secs(1);
        let mut outputs = Vec::new();
        for range in asked.ranges.clone() {
            let peer = asked.peer;
            outputs.extend(self.tell(Input::Delivered { peer, range }));
        }
        outputs.extend(self.end(asked, Outcome::Complete));
        outputs
    }

    fn end(&mut self, asked: &Asked, outcome: Outcome) -> Vec<Output> {
        self.tell(Input::Ended {
            peer: asked.peer,
            request: asked.request,
            outcome,
        })
    }

    fn bad(&mut self, peer: u8, range: Range<u64>) -> Vec<Output> {
        let peer = key(peer);
        self.tell(Input::BadChunk { peer, range })
    }
}

fn asked(outputs: &[Output]) -> Vec<Asked> {
    let requests = outputs.iter().filter_map(|output| match output {
        Output::Request {
            peer,
            request,
            run,
            ranges,
            ..
        } => Some(Asked {
            peer: *peer,
            request: *request,
            run: run.0,
            ranges: ranges.iter().collect(),
        }),
        _ => None,
    });
    requests.collect()
}

fn runs(asked: &[Asked]) -> Vec<u64> {
    asked.iter().map(|a| a.run).collect()
}

#[test]
fn a_lone_peer_is_asked_in_order_up_to_its_window() {
    let mut rig = Rig::new(20);
    let first = rig.join(1, 0..20 * RUN);
    assert_eq!(
        runs(&first),
        [0, 1, 2, 3],
        "16 MiB before its rate is known"
    );
    let next = asked(&rig.deliver(1, 0..RUN));
    assert_eq!(runs(&next), [4]);
}

#[test]
fn a_fast_peer_gets_a_wide_window_and_a_slow_one_a_narrow_one() {
    for (seconds, open) in [(0.02, 8), (40.0, 2)] {
        let mut rig = Rig::new(40);
        let mut open_now = rig.join(1, 0..40 * RUN);
        for _ in 0..12 {
            rig.now += Duration::from_secs_f64(seconds);
            let answered = open_now.remove(0);
            let range = answered.ranges[0].clone();
            open_now.extend(asked(&rig.deliver(1, range)));
        }
        assert_eq!(open_now.len(), open, "{seconds} s a run");
    }
}

#[test]
fn a_run_that_fewer_have_goes_first() {
    let mut rig = Rig::new(6);
    rig.join(1, 0..0);
    rig.join(2, 0..0);
    let mut offer = |peer, runs| {
        let (peer, offered) = (key(peer), RangeSet::of(0..runs * RUN));
        asked(&rig.tell(Input::PeerOffers { peer, offered }))
    };
    let of_both = runs(&offer(1, 5));
    assert_eq!(of_both.len(), 4, "the window of the first");
    let left = (0..5)
        .find(|run| !of_both.contains(run))
        .expect("one of five");
    let next = runs(&offer(2, 6));
    assert_eq!(next, [5, left], "run 5 is the second peer's alone");
}

#[test]
fn two_nodes_break_ties_differently_and_each_can_be_replayed() {
    let order = |seed| {
        let config = FetchConfig {
            seed,
            ..FetchConfig::default()
        };
        let mut rig = Rig::with(config, 64);
        rig.join(1, 0..0);
        runs(&rig.join(2, 0..64 * RUN))
    };
    assert_ne!(order(1), order(2));
    assert_eq!(order(3), order(3));
}

#[test]
fn what_a_reader_waits_for_goes_before_everything_even_beyond_the_window() {
    let mut rig = Rig::new(20);
    rig.join(1, 0..20 * RUN);
    let position = 13 * RUN + 5;
    let outputs = rig.tell(Input::Urgent(vec![position..position + 1]));
    assert_eq!(runs(&asked(&outputs)), [13]);
    assert!(matches!(outputs[0], Output::Request { urgent: true, .. }));
}

#[test]
fn a_wrong_chunk_is_asked_of_another_peer_and_never_again_of_the_same() {
    let mut rig = Rig::new(1);
    let first = rig.join(1, 0..RUN);
    assert!(rig.join(2, 0..RUN).is_empty(), "nothing is asked twice");
    let chunk = MIB..MIB + 65536;
    let again = asked(&rig.bad(1, chunk.clone()));
    assert_eq!(again.len(), 1);
    assert_eq!((again[0].peer, &again[0].ranges), (key(2), &vec![chunk]));
    assert!(
        asked(&rig.end(&first[0], Outcome::Complete))
            .iter()
            .all(|a| a.peer == key(2))
    );
}

#[test]
fn a_chunk_that_all_sent_wrong_is_waited_for() {
    let mut rig = Rig::new(1);
    rig.join(1, 0..RUN);
    rig.bad(1, 0..65536);
    let outputs = rig.deliver(1, 65536..RUN);
    assert!(asked(&outputs).is_empty());
    let first = RequestId(0);
    rig.tell(Input::Ended {
        peer: key(1),
        request: first,
        outcome: Outcome::Complete,
    });
    let waiting = Waiting::IntactCopy { bytes: 65536 };
    assert_eq!(rig.fetch.state(), &State::Waiting(waiting));
    assert_eq!(
        asked(&rig.join_at(2, Distance::Wan, RangeSet::of(0..RUN))).len(),
        1
    );
}

#[test]
fn repeated_wrong_chunks_drop_a_peer_for_good() {
    let mut rig = Rig::new(4);
    rig.join(1, 0..4 * RUN);
    rig.bad(1, 0..65536);
    rig.bad(1, RUN..RUN + 65536);
    let outputs = rig.bad(1, 2 * RUN..2 * RUN + 65536);
    let dropped = Output::Drop {
        peer: key(1),
        why: DropReason::BadChunks,
    };
    assert!(outputs.contains(&dropped));
    assert_eq!(
        rig.join_at(1, Distance::Lan, RangeSet::of(0..RUN))[0],
        dropped
    );
    assert_eq!(
        runs(&rig.join(2, 0..4 * RUN)),
        [0, 1, 2, 3],
        "its work is free"
    );
}

#[test]
fn a_stalled_peers_work_goes_to_another_without_what_came() {
    let mut rig = Rig::new(1);
    let first = rig.join(1, 0..RUN);
    rig.deliver(1, 0..MIB);
    rig.join(2, 0..RUN);
    let outputs = rig.after(Duration::from_secs(3));
    let taken = asked(&outputs);
    assert_eq!(taken[0].peer, key(2));
    assert_eq!(taken[0].ranges, [MIB..RUN]);
    assert!(outputs.contains(&Output::Cancel {
        peer: key(1),
        request: first[0].request,
    }));
    let outputs = rig.deliver(1, MIB..RUN);
    assert!(
        outputs.contains(&Output::RunDone(RunId(0))),
        "what comes late is welcome"
    );
}

#[test]
fn a_silent_peer_without_rival_is_waited_for_by_name() {
    let mut rig = Rig::new(1);
    let since = rig.now;
    rig.join(1, 0..RUN);
    assert_eq!(
        rig.fetch.next_timeout(),
        Some(since + Duration::from_secs(3))
    );
    let outputs = rig.after(Duration::from_secs(3));
    let peer = key(1);
    let state = State::Waiting(Waiting::SilentPeer { peer, since });
    assert_eq!(
        outputs,
        [Output::State(state)],
        "and its request stays open"
    );
    assert_eq!(
        rig.deliver(1, 0..MIB),
        [Output::State(State::Fetching)],
        "it goes on by itself"
    );
}

#[test]
fn bytes_of_an_unfinished_frame_are_a_sign_of_life() {
    let mut rig = Rig::new(1);
    rig.join(1, 0..RUN);
    rig.now += Duration::from_secs(2);
    rig.tell(Input::Heard { peer: key(1) });
    rig.after(Duration::from_secs(2));
    assert_eq!(rig.fetch.state(), &State::Fetching);
}

#[test]
fn a_busy_peer_is_left_alone_for_as_long_as_it_said() {
    let mut rig = Rig::new(1);
    let first = rig.join(1, 0..RUN);
    let until = rig.now + Duration::from_millis(700);
    rig.tell(Input::Busy {
        peer: key(1),
        request: first[0].request,
        retry: Duration::from_millis(700),
    });
    assert_eq!(
        rig.fetch.state(),
        &State::Waiting(Waiting::BusyPeer { until })
    );
    assert_eq!(rig.fetch.next_timeout(), Some(until));
    assert!(asked(&rig.after(Duration::from_millis(699))).is_empty());
    assert_eq!(runs(&asked(&rig.after(Duration::from_millis(1)))), [0]);
}

#[test]
fn a_far_peer_is_left_alone_while_a_near_one_has_it() {
    let mut rig = Rig::new(12);
    rig.join_at(1, Distance::Host, RangeSet::of(0..6 * RUN));
    let far = rig.join_at(2, Distance::Wan, RangeSet::of(0..12 * RUN));
    let mut far = runs(&asked(&far));
    far.sort_unstable();
    assert!(far.iter().all(|run| *run >= 6), "{far:?}");
    let left = rig.tell(Input::PeerLeft { peer: key(1) });
    assert_eq!(rig.fetch.state(), &State::Fetching);
    assert!(asked(&left).is_empty(), "the far one's window is full");
}

#[test]
fn a_peer_that_has_less_than_it_said_is_not_asked_for_it_again() {
    let mut rig = Rig::new(2);
    let first = rig.join(1, 0..2 * RUN);
    rig.deliver(1, 0..MIB);
    assert!(asked(&rig.end(&first[0], Outcome::NotHeld)).is_empty());
    rig.answer(&first[1]);
    let bytes = RUN - MIB;
    assert_eq!(rig.fetch.state(), &State::Waiting(Waiting::Offer { bytes }));
    let added = RangeSet::of(0..RUN);
    let more = asked(&rig.tell(Input::PeerOffersMore {
        peer: key(1),
        added,
    }));
    assert_eq!(more[0].ranges, [MIB..RUN], "until it offers it anew");
}

#[test]
fn at_the_end_a_fast_peer_takes_over_from_a_slow_one_and_the_loser_is_told() {
    let mut rig = Rig::new(8);
    let slow = rig.join(1, 0..4 * RUN);
    let fast = rig.join(2, 4 * RUN..8 * RUN);
    assert_eq!((slow.len(), fast.len()), (4, 4));
    // Two seconds: one has sent 1 MiB, the other nearly all.
    rig.now += Duration::from_secs(2);
    let first = slow[0].ranges[0].start;
    rig.deliver(1, first..first + MIB);
    rig.deliver(2, fast[0].ranges[0].start..fast[0].ranges[0].end);
    for a in &fast[1..] {
        rig.deliver(2, a.ranges[0].clone());
    }
    let offered = RangeSet::of(0..8 * RUN);
    let peer = key(2);
    let early = rig.tell(Input::PeerOffers { peer, offered });
    assert!(
        asked(&early).is_empty(),
        "more may come: nothing is asked twice"
    );
    let twice = asked(&rig.tell(Input::NoMoreRuns));
    assert_eq!(twice.last().map(|a| a.peer), Some(key(2)));
    assert_eq!(
        twice[0].run, slow[3].run,
        "the run that the slow one gets to last"
    );
    let outputs = rig.deliver(2, twice[0].ranges[0].clone());
    assert!(outputs.contains(&Output::Cancel {
        peer: key(1),
        request: slow[3].request,
    }));
    assert!(outputs.contains(&Output::RunDone(RunId(slow[3].run))));
}

#[test]
fn a_run_that_is_not_wanted_any_more_is_cancelled() {
    let mut rig = Rig::new(1);
    let first = rig.join(1, 0..RUN);
    let outputs = rig.tell(Input::Unwanted(RunId(0)));
    let cancel = Output::Cancel {
        peer: key(1),
        request: first[0].request,
    };
    assert_eq!(outputs, [cancel, Output::State(State::Idle)]);
    assert!(rig.end(&first[0], Outcome::Cancelled).is_empty());
}

#[test]
fn a_nearer_newcomer_takes_the_place_of_a_farther_neighbour() {
    let mut rig = Rig::new(0);
    for number in 0..32 {
        let distance = if number == 7 {
            Distance::Wan
        } else {
            Distance::Lan
        };
        assert!(rig.join_at(number, distance, RangeSet::new()).is_empty());
    }
    let why = DropReason::TooMany;
    let drop = |number| Output::Drop {
        peer: key(number),
        why,
    };
    assert_eq!(rig.join_at(40, Distance::Host, RangeSet::new()), [drop(7)]);
    assert_eq!(rig.join_at(41, Distance::Lan, RangeSet::new()), [drop(41)]);
}

#[test]
fn without_peers_it_waits_for_one_and_looks_ahead_within_bounds() {
    let mut rig = Rig::new(1);
    assert_eq!(rig.fetch.state(), &State::Waiting(Waiting::Peer));
    assert_eq!(rig.fetch.next_timeout(), None, "until one comes");
    for number in 1..64 {
        assert!(rig.fetch.wants_runs());
        rig.tell(Input::Wanted(run(number)));
    }
    assert!(!rig.fetch.wants_runs(), "one peer's worth");
    rig.join(1, 0..RUN);
    rig.join(2, 0..RUN);
    assert!(rig.fetch.wants_runs(), "two peers, more choice");
}

#[test]
fn an_empty_run_is_done_at_once() {
    let mut rig = Rig::new(0);
    let empty = Run {
        id: RunId(9),
        start: 5,
        end: 5,
    };
    assert_eq!(rig.tell(Input::Wanted(empty)), [Output::RunDone(RunId(9))]);
}
