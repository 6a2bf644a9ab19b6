//! Whom it asks for what.

use super::super::peers::Peer;
use super::*;

#[test]
fn a_lone_peer_is_asked_in_order_up_to_its_window() {
    let mut rig = Rig::new(20);
    let first = rig.join(1, 0..20 * RUN);
    assert_eq!(
        runs(&first),
        [0, 1, 2, 3],
        "what the configuration says before its rate is known"
    );
    let next = asked(&rig.deliver(1, 0..RUN));
    assert_eq!(runs(&next), [4]);
}

#[test]
fn a_fast_peer_gets_a_wide_window_and_a_slow_one_a_narrow_one() {
    for (seconds, open) in [(0.02, 8), (40.0, 1)] {
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

/// A node that fetches 48 runs beside others, from a seed that it has not met yet.
fn one_of(fetchers: &[u8], me: u8) -> Rig {
    let config = FetchConfig {
        window_bytes_initial: 32 * RUN,
        me: Some(key(me)),
        seed: me.into(),
        ..FetchConfig::default()
    };
    let mut rig = Rig::with(config, 48);
    for other in fetchers.iter().filter(|other| **other != me) {
        rig.join(*other, 0..0);
    }
    rig
}

#[test]
fn those_who_lack_the_same_share_it_out_between_them() {
    let fetchers = [3, 4, 5];
    let asked_of_seed = |me: &u8| runs(&one_of(&fetchers, *me).join_seed(1, 48));
    let mut all: Vec<u64> = fetchers.iter().flat_map(asked_of_seed).collect();
    all.sort_unstable();
    assert_eq!(all, (0..48).collect::<Vec<_>>(), "each run once");
}

#[test]
fn whoever_has_nothing_else_to_do_takes_the_turns_of_others_after_a_while() {
    let mut rig = one_of(&[3, 4], 3);
    let mine = rig.join_seed(1, 48);
    assert!(mine.len() < 48);
    for asked in &mine {
        let seed = asked.peer;
        for range in asked.ranges.clone() {
            rig.tell(Input::Delivered { peer: seed, range });
        }
        assert!(self::asked(&rig.end(asked)).is_empty());
    }
    assert!(rig.fetch.next_timeout().is_some(), "it will wake by itself");
    assert!(!asked(&rig.after(Duration::from_millis(500))).is_empty());
}

#[test]
fn a_turn_that_ends_while_bytes_come_is_noticed_with_them() {
    let mut rig = one_of(&[3, 4], 3);
    for asked in rig.join_seed(1, 48) {
        for range in asked.ranges.clone() {
            rig.deliver(1, range);
        }
        rig.end(&asked);
    }
    rig.now += Duration::from_millis(500);
    assert!(!asked(&rig.tell(Input::Heard { peer: key(1) })).is_empty());
}

#[test]
fn the_slower_a_seed_the_longer_others_are_given_their_turns() {
    let turn_of = |run_takes: Duration| {
        let mut now = Instant::now();
        let everything = RangeSet::of(0..48 * RUN);
        let config = FetchConfig::default();
        let mut seed = Peer::new(now, key(1), Distance::Lan, everything, true, &config);
        for _ in 0..4 {
            now += run_takes;
            seed.pace.deliver(now, RUN, &config);
        }
        seed.note_spare_time(now);
        let is_over = |ms: &u64| seed.turns_over(now + Duration::from_millis(*ms)) >= 1;
        (0..10_000).find(is_over)
    };
    // Two runs, and the round trip that is assumed.
    assert_eq!(turn_of(Duration::from_secs(2)), Some(4020));
    assert_eq!(turn_of(Duration::from_millis(10)), Some(500));
    assert_eq!(turn_of(Duration::from_secs(60)), Some(5000));
}

#[test]
fn one_that_fetches_nothing_is_waited_for_only_once() {
    let mut rig = one_of(&[3, 4], 3);
    let mut open = rig.join_seed(1, 48);
    let mut waits = 0;
    while rig.fetch.state() != &State::Idle {
        let Some(next) = open.pop() else {
            open = asked(&rig.after(Duration::from_millis(500)));
            waits += 1;
            assert!(waits < 10, "it stands still");
            continue;
        };
        for range in next.ranges.clone() {
            open.extend(asked(&rig.deliver(1, range)));
        }
        open.extend(asked(&rig.end(&next)));
    }
    assert_eq!(waits, 1);
}

#[test]
fn a_seed_is_asked_last_for_what_has_begun_to_spread() {
    let mut rig = one_of(&[3, 4], 3);
    let (peer, offered) = (key(4), RangeSet::of(0..1000));
    rig.tell(Input::PeerOffers { peer, offered });
    let mine = runs(&rig.join_seed(1, 48));
    assert!(!mine.contains(&0), "{mine:?}");
}

#[test]
fn turns_are_yielded_when_others_come() {
    let mut rig = one_of(&[], 3);
    let before = rig.join_seed(1, 48);
    let outputs = rig.join_at(4, Distance::Lan, RangeSet::new());
    let is_cancel = |output: &&Output| matches!(output, Output::Cancel { .. });
    let yielded = outputs.iter().filter(is_cancel).count();
    assert!(yielded > 0 && yielded < before.len(), "{yielded}");
}

#[test]
fn a_peer_is_asked_for_little_until_it_is_known() {
    let mut rig = Rig::with(FetchConfig::default(), 20);
    assert_eq!(runs(&rig.join(1, 0..20 * RUN)), [0]);
    rig.now += Duration::from_millis(20);
    assert_eq!(runs(&asked(&rig.deliver(1, 0..RUN))).len(), 8);
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

#[test]
fn a_seed_is_looked_at_anew_when_another_offers_more() {
    let mut rig = Rig::new(2);
    rig.join(2, 0..0);
    assert_eq!(rig.join_seed(1, 2).len(), 2, "it has room for more");
    rig.tell(Input::Heard { peer: key(1) });
    let added = RangeSet::of(0..RUN);
    rig.tell(Input::PeerOffersMore {
        peer: key(2),
        added,
    });
    let is_idle = |peer: &Peer| peer.idle_since.is_some();
    let seed = rig.fetch.ledger.peers.at(&key(1)).expect("it joined");
    assert!(is_idle(seed), "it was looked at, and noted again");
}

/// A peer that says that it has single bytes here and there is asked for nothing, and what lies
/// between them is asked of others in whole chunks: they could send nothing else.
#[test]
fn nobody_is_asked_for_parts_of_chunks() {
    let mut rig = Rig::new(0);
    let quarter = u32::try_from(RUN / 4).unwrap();
    let ends = (1..=4).map(|n| n * quarter).collect();
    rig.tell(Input::WantedChunks(run(0), ends));
    let scattered = (0..100).map(|n| 2 * n..2 * n + 1).collect();
    let outputs = rig.join_at(1, Distance::Lan, scattered);
    assert_eq!(asked(&outputs), []);
    // This one has the second quarter, and parts of the first and the third.
    let quarter = u64::from(quarter);
    let halves = RangeSet::of(quarter / 2..5 * quarter / 2);
    let of_two = asked(&rig.join_at(2, Distance::Lan, halves));
    assert_eq!(of_two.len(), 1);
    assert_eq!(of_two[0].ranges, [quarter..2 * quarter]);
    let rest = rig.join_seed(3, 1);
    let rest: Vec<_> = rest.iter().flat_map(|asked| asked.ranges.clone()).collect();
    assert_eq!(rest, [0..quarter, 2 * quarter..RUN]);
}
