//! What it does when peers lie, stall, or have too much to do.

use super::*;

#[test]
fn a_wrong_chunk_is_asked_of_another_peer_and_never_again_of_the_same() {
    let mut rig = Rig::new(1);
    let first = rig.join(1, 0..RUN);
    assert!(rig.join(2, 0..RUN).is_empty(), "nothing is asked twice");
    let chunk = MIB..MIB + 65536;
    let again = asked(&rig.bad(1, chunk.clone()));
    assert_eq!(again.len(), 1);
    assert_eq!((again[0].peer, &again[0].ranges), (key(2), &vec![chunk]));
    assert!(asked(&rig.end(&first[0])).iter().all(|a| a.peer == key(2)));
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
fn a_peer_that_has_less_than_it_said_is_not_asked_for_it_again() {
    let mut rig = Rig::new(2);
    let first = rig.join(1, 0..2 * RUN);
    rig.deliver(1, 0..MIB);
    assert!(asked(&rig.end(&first[0])).is_empty());
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
    assert!(rig.end(&first[0]).is_empty());
}

#[test]
fn at_the_end_a_newcomer_that_was_never_measured_is_given_a_try() {
    let mut rig = Rig::new(4);
    let slow = rig.join(1, 0..4 * RUN);
    rig.now += Duration::from_secs(2);
    rig.deliver(1, 0..MIB);
    rig.tell(Input::NoMoreRuns);
    let tried = rig.join(2, 0..4 * RUN);
    assert_eq!(runs(&tried), [slow[3].run]);
}

#[test]
fn whoever_had_nothing_to_do_before_the_end_takes_over_in_it() {
    let mut rig = Rig::with(FetchConfig::default(), 2);
    rig.tell(Input::NoMoreRuns);
    let everything = || RangeSet::of(0..2 * RUN);
    let first = asked(&rig.join_at(1, Distance::Host, everything()));
    assert_eq!(runs(&first), [0]);
    let kept = rig.join_at(2, Distance::Wan, everything());
    assert!(asked(&kept).is_empty(), "it is left to the nearer one");
    rig.now += Duration::from_secs(2);
    let next = asked(&rig.deliver(1, 0..3 * MIB + 1));
    assert_eq!((next[0].peer, next[0].run), (key(1), 1), "the last");
    let taken_over = asked(&rig.deliver(1, 3 * MIB + 1..3 * MIB + 2));
    assert_eq!((taken_over[0].peer, taken_over[0].run), (key(2), 1));
}

#[test]
fn what_nobody_can_send_is_stranded_until_it_comes_from_elsewhere() {
    let mut rig = Rig::new(2);
    assert_eq!(
        rig.fetch.stranded(),
        RangeSet::of(0..2 * RUN),
        "nobody is here"
    );
    let first = rig.join(1, 0..RUN + MIB);
    assert_eq!(
        rig.fetch.stranded(),
        RangeSet::default(),
        "some of it may come"
    );
    for asked in &first {
        rig.answer(asked);
    }
    let left = RUN + MIB..2 * RUN;
    assert_eq!(rig.fetch.stranded(), RangeSet::of(left.clone()));
    // Whoever brings it need not be known here.
    rig.deliver(9, left.start..left.start + MIB);
    let left = left.start + MIB..left.end;
    assert_eq!(rig.fetch.stranded(), RangeSet::of(left.clone()));
    let outputs = rig.deliver(9, left);
    assert!(outputs.contains(&Output::RunDone(RunId(1))), "{outputs:?}");
    assert_eq!(rig.fetch.state(), &State::Idle);
    assert_eq!(rig.fetch.stranded(), RangeSet::default());
}

#[test]
fn what_all_sent_wrong_is_stranded_too() {
    let mut rig = Rig::new(1);
    let first = rig.join(1, 0..RUN);
    rig.bad(1, 0..65536);
    rig.deliver(1, 65536..RUN);
    rig.end(&first[0]);
    assert_eq!(rig.fetch.stranded(), RangeSet::of(0..65536));
}
