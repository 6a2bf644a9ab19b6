//! Whose turn it is, as facts.

use std::time::{Duration, Instant};

use super::*;
use crate::have::RangeSet;
use crate::id::SnapshotId;
use crate::peer::PeerKey;
use crate::wire::RequestId;

const MIB: u64 = 1 << 20;

struct Rig {
    serve: Serve,
    now: Instant,
}

fn key(number: u8) -> PeerKey {
    PeerKey::from_bytes([number; 32])
}

/// A machine that answers one at a time, unless told otherwise.
fn rig() -> Rig {
    with(ServeConfig {
        active_max: 1,
        ..ServeConfig::default()
    })
}

fn with(config: ServeConfig) -> Rig {
    Rig {
        serve: Serve::new(config),
        now: Instant::now(),
    }
}

impl Rig {
    fn tell(&mut self, input: Input) -> Vec<Output> {
        self.serve.handle(self.now, input);
        std::iter::from_fn(|| self.serve.poll()).collect()
    }

    /// Peer asks, under `request`, for the MiB with the number `position`.
    fn ask(&mut self, peer: u8, request: u64, position: u64) -> Vec<Output> {
        self.ask_urgently(peer, request, position, 0)
    }

    fn ask_urgently(&mut self, peer: u8, id: u64, position: u64, priority: u8) -> Vec<Output> {
        // Everybody comes from elsewhere.
        self.ask_from(peer.into(), peer, id, position, priority)
    }

    fn ask_from(
        &mut self,
        origin: u64,
        peer: u8,
        id: u64,
        position: u64,
        priority: u8,
    ) -> Vec<Output> {
        self.tell(Input::Request {
            peer: key(peer),
            origin,
            request: RequestId(id),
            snapshot: SnapshotId::of(b"served"),
            ranges: RangeSet::of(position * MIB..(position + 1) * MIB),
            priority,
        })
    }

    fn end(&mut self, peer: u8, request: u64) -> Vec<Output> {
        self.tell(Input::Ended {
            peer: key(peer),
            request: RequestId(request),
            bytes: MIB,
        })
    }

    /// Ends what was started, one after the other, and lists who was started.
    fn drain(&mut self, mut outputs: Vec<Output>) -> Vec<(u8, u64)> {
        let mut order = Vec::new();
        while let Some((peer, request)) = started(&outputs).first().copied() {
            order.push((peer, request));
            outputs = self.end(peer, request);
        }
        order
    }
}

fn started(outputs: &[Output]) -> Vec<(u8, u64)> {
    let starts = outputs.iter().filter_map(|output| match output {
        Output::Start { peer, request, .. } => Some((peer.as_bytes()[0], request.0)),
        _ => None,
    });
    starts.collect()
}

#[test]
fn peers_take_turns_however_much_one_asks_for() {
    let mut rig = rig();
    let first = rig.ask(1, 0, 0);
    for request in 1..4 {
        rig.ask(1, request, request);
    }
    rig.ask(2, 0, 10);
    rig.ask(3, 0, 20);
    rig.ask(3, 1, 21);
    let order = rig.drain(first);
    assert_eq!(
        order,
        [(1, 0), (2, 0), (3, 0), (1, 1), (3, 1), (1, 2), (1, 3)]
    );
}

#[test]
fn few_answers_run_at_once_in_all_and_for_one_peer() {
    let mut rig = with(ServeConfig::default());
    let of_one: Vec<_> = (0..5).flat_map(|i| rig.ask(1, i, i)).collect();
    assert_eq!(started(&of_one).len(), 2);
    let of_many: Vec<_> = (2..9).flat_map(|peer| rig.ask(peer, 0, 50)).collect();
    assert_eq!(started(&of_many).len(), 6, "eight in all");
    assert_eq!((rig.serve.active(), rig.serve.waiting()), (8, 4));
}

#[test]
fn what_nobody_was_sent_goes_before_what_somebody_was() {
    let mut rig = rig();
    let first = rig.ask(1, 0, 0);
    rig.ask(1, 1, 1);
    // The second peer wants the same, in the same order; then something new.
    rig.ask(2, 0, 0);
    rig.ask(2, 1, 1);
    rig.ask(2, 2, 2);
    rig.ask(3, 0, 0);
    let order = rig.drain(first);
    // 0 went to the first peer, so the second is sent 1, which leaves the first to wait.
    assert_eq!(order, [(1, 0), (2, 1), (2, 2), (3, 0), (1, 1), (2, 0)]);
}

#[test]
fn nobody_waits_for_ever_for_a_second_copy() {
    let mut rig = rig();
    rig.ask(1, 0, 0);
    rig.ask(2, 0, 0);
    for request in 1..30 {
        rig.ask(1, request, request);
    }
    assert_eq!(started(&rig.end(1, 0)), [(1, 1)]);
    rig.now += Duration::from_secs(2);
    assert_eq!(started(&rig.end(1, 1)), [(2, 0)]);
}

#[test]
fn a_waiting_reader_goes_first_among_its_peers_requests() {
    let mut rig = rig();
    rig.ask(1, 0, 0);
    rig.ask(1, 1, 1);
    rig.ask_urgently(1, 2, 0, 1);
    assert_eq!(
        started(&rig.end(1, 0)),
        [(1, 2)],
        "although it was sent before"
    );
}

#[test]
fn what_does_not_fit_is_turned_down_with_a_time() {
    let mut rig = with(ServeConfig {
        active_max: 1,
        queued_per_peer_max: 2,
        queued_max: 3,
        ..ServeConfig::default()
    });
    let turned_down = |outputs: Vec<Output>| match &outputs[..] {
        [] => None,
        [Output::Busy { retry, .. }] => Some(*retry),
        other => panic!("{other:?}"),
    };
    rig.ask(1, 0, 0);
    assert_eq!(turned_down(rig.ask(1, 1, 1)), None);
    assert_eq!(turned_down(rig.ask(1, 2, 2)), None);
    let retry = turned_down(rig.ask(1, 3, 3)).expect("its queue is full");
    assert!((Duration::from_millis(100)..Duration::from_secs(10)).contains(&retry));
    assert_eq!(turned_down(rig.ask(2, 0, 0)), None, "others have theirs");
    assert!(
        turned_down(rig.ask(3, 0, 0)).is_some(),
        "up to the bound of all"
    );
}

#[test]
fn a_cancelled_request_is_not_started_and_a_started_one_is_stopped() {
    let mut rig = rig();
    let peer = key(1);
    let cancel = |request| Input::Cancel {
        peer,
        request: RequestId(request),
    };
    rig.ask(1, 0, 0);
    rig.ask(1, 1, 1);
    let request = RequestId(1);
    assert_eq!(rig.tell(cancel(1)), [Output::Cancelled { peer, request }]);
    let request = RequestId(0);
    assert_eq!(rig.tell(cancel(0)), [Output::Stop { peer, request }]);
    assert!(
        rig.tell(cancel(7)).is_empty(),
        "what is over cannot be cancelled"
    );
    assert!(rig.end(1, 0).is_empty());
    assert_eq!((rig.serve.active(), rig.serve.waiting()), (0, 0));
}

#[test]
fn who_leaves_makes_room_and_leaves_no_copy_behind() {
    let mut rig = rig();
    rig.ask(1, 0, 0);
    rig.ask(1, 1, 1);
    rig.ask(2, 0, 0);
    rig.ask(3, 0, 5);
    let outputs = rig.tell(Input::PeerLeft { peer: key(1) });
    assert_eq!(
        started(&outputs),
        [(2, 0)],
        "position 0 counts as never sent"
    );
    assert!(
        rig.end(1, 0).is_empty(),
        "what comes late from it changes nothing"
    );
    assert_eq!((rig.serve.active(), rig.serve.waiting()), (1, 1));
}

#[test]
fn what_was_cut_short_counts_as_sent_only_so_far() {
    let mut rig = rig();
    rig.ask(1, 0, 0);
    rig.ask(1, 1, 1);
    rig.ask(2, 0, 0);
    let outputs = rig.tell(Input::Ended {
        peer: key(1),
        request: RequestId(0),
        bytes: 1000,
    });
    assert_eq!(started(&outputs), [(2, 0)]);
}

#[test]
fn a_number_that_is_open_already_is_not_answered_twice() {
    let mut rig = rig();
    assert_eq!(started(&rig.ask(1, 0, 0)), [(1, 0)]);
    assert!(rig.ask(1, 0, 1).is_empty());
    assert!(rig.end(1, 0).is_empty());
}

#[test]
fn what_went_out_long_ago_is_forgotten() {
    let mut rig = rig();
    let config = ServeConfig::default();
    let at = rig.now + config.copies_kept;
    rig.ask(1, 0, 0);
    rig.end(1, 0);
    assert_eq!(rig.serve.next_timeout(), Some(at));
    rig.now = at;
    assert!(rig.tell(Input::Timeout).is_empty());
    assert_eq!(rig.serve.next_timeout(), None);
}

#[test]
fn those_of_one_origin_leave_slots_to_others_however_many_they_are() {
    let mut rig = with(ServeConfig {
        active_max: 4,
        active_per_origin_max: 2,
        ..ServeConfig::default()
    });
    let crowd = (1..9).map(|peer| rig.ask_from(0, peer, peer.into(), 1, 0));
    let answered = crowd.map(|outputs| started(&outputs).len()).sum::<usize>();
    assert_eq!(answered, 2, "of eight");
    // They take nothing, and others are answered all the same.
    assert_eq!(started(&rig.ask_from(1, 20, 1, 2, 0)), [(20, 1)]);
    assert_eq!(started(&rig.ask_from(1, 21, 1, 3, 0)), [(21, 1)]);
    assert_eq!(started(&rig.ask_from(2, 22, 1, 4, 0)), []);
    // One that has ended makes room for the next of its origin, or of another.
    assert_eq!(started(&rig.end(20, 1)).len(), 1);
}

#[test]
fn requests_of_one_origin_fill_a_part_of_the_queue_only() {
    let mut rig = with(ServeConfig {
        active_max: 1,
        queued_max: 20,
        queued_per_origin_max: 10,
        ..ServeConfig::default()
    });
    rig.ask(99, 1, 0);
    let is_busy = |outputs: &[Output]| matches!(outputs[..], [Output::Busy { .. }]);
    let asked = (1..30).map(|peer| rig.ask_from(0, peer, 1, 1, 0));
    let turned_down = asked.filter(|outputs| is_busy(outputs)).count();
    assert_eq!(turned_down, 19);
    assert!(!is_busy(&rig.ask_from(1, 50, 1, 1, 0)));
    assert_eq!(rig.serve.waiting(), 11);
}
