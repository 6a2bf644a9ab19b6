//! What can go wrong among peers, and what it may cost.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn seconds(bytes: u64, rate_mib: u64) -> f64 {
    bytes as f64 / (rate_mib * MIB) as f64
}

#[test]
fn one_fast_peer_is_never_left_waiting() {
    let bytes = 2048 * MIB;
    let mut world = World::new(bytes, vec![peer(1000, bytes)]);
    let time = world.run().as_secs_f64();
    assert!(time < 1.02 * seconds(bytes, 1000), "{time} s");
    assert_eq!(world.repeated, 0);
}

#[test]
fn peers_share_the_work_by_their_rates() {
    let bytes = 512 * MIB;
    let peers = [6, 12, 25].map(|rate| peer(rate, bytes));
    let mut world = World::new(bytes, peers.into());
    let time = world.run().as_secs_f64();
    let best = seconds(bytes, 6 + 12 + 25);
    assert!(time < 1.12 * best, "{time} s against {best} s");
    assert!(world.repeated < 8 * MIB, "{} repeated", world.repeated);
}

#[test]
fn parts_that_nobody_has_alone_make_a_whole() {
    let bytes = 192 * MIB;
    let mut peers = [50, 50, 50].map(|rate| peer(rate, bytes));
    // Offers that end inside runs, on chunk boundaries.
    peers[0].offered = RangeSet::of(0..70 * MIB + CHUNK);
    peers[1].offered = RangeSet::of(60 * MIB - CHUNK..130 * MIB + 3 * CHUNK);
    peers[2].offered = [0..MIB, 130 * MIB..bytes].into_iter().collect();
    let mut world = World::new(bytes, peers.into());
    world.run();
    assert_eq!(world.delivered, RangeSet::of(0..bytes));
}

#[test]
fn a_liar_costs_little_and_is_dropped() {
    let bytes = 256 * MIB;
    let mut peers = [50, 50, 50].map(|rate| peer(rate, bytes));
    peers[1].lies_percent = 30;
    let mut world = World::new(bytes, peers.into());
    let time = world.run().as_secs_f64();
    assert_eq!(world.dropped, [(1, DropReason::BadChunks)]);
    assert!(time < 1.05 * seconds(bytes, 100), "{time} s");
    assert_eq!(world.delivered, RangeSet::of(0..bytes));
}

#[test]
fn a_staller_costs_seconds_and_none_of_its_bytes() {
    let bytes = 256 * MIB;
    let mut peers = [50, 50, 50].map(|rate| peer(rate, bytes));
    peers[2].stalls_after = 30 * MIB + 3 * FRAME;
    let mut world = World::new(bytes, peers.into());
    let time = world.run().as_secs_f64();
    let without = seconds(bytes - 30 * MIB, 100);
    assert!(time < without + 5.0, "{time} s against {without} s");
    assert!(world.repeated < 4 * MIB, "{} repeated", world.repeated);
}

#[test]
fn who_leaves_and_who_comes_late_change_nothing_but_the_time() {
    let bytes = 256 * MIB;
    let mut peers = [40, 20, 40].map(|rate| peer(rate, bytes));
    peers[0].leaves = Some(Duration::from_millis(1500));
    peers[2].joins = Duration::from_secs(2);
    let mut world = World::new(bytes, peers.into());
    let time = world.run();
    assert_eq!(world.delivered, RangeSet::of(0..bytes));
    assert!(time < Duration::from_secs(7), "{time:?}");
}

#[test]
fn a_busy_peer_is_asked_for_what_it_can_take() {
    let bytes = 128 * MIB;
    let mut peers = [50, 10].map(|rate| peer(rate, bytes));
    peers[0].queue_max = 2;
    let mut world = World::new(bytes, peers.into());
    let time = world.run().as_secs_f64();
    assert!(time < 2.0 * seconds(bytes, 60), "{time} s");
}

#[test]
fn a_far_peer_sends_only_what_no_near_one_has() {
    let bytes = 256 * MIB;
    let mut peers = [50, 10].map(|rate| peer(rate, bytes));
    peers[1].distance = Distance::Wan;
    peers[0].offered = RangeSet::of(0..200 * MIB);
    let mut world = World::new(bytes, peers.into());
    world.run();
    // The last runs may be asked of both.
    assert!(world.peers[1].sent < 64 * MIB, "{}", world.peers[1].sent);
}

#[test]
fn all_gone_and_one_back_goes_on() {
    let bytes = 64 * MIB;
    let mut peers = [20, 20].map(|rate| peer(rate, bytes));
    peers[0].leaves = Some(Duration::from_secs(1));
    peers[1].joins = Duration::from_secs(60);
    let mut world = World::new(bytes, peers.into());
    let time = world.run();
    assert!(time > Duration::from_secs(60));
    assert_eq!(world.repeated, 0, "what came before stays");
}

/// An answer that never comes is not waited for when all else is there, however many there are,
/// near or far, who send none.
#[test]
fn who_keeps_a_request_open_and_who_turns_it_down_at_once_hold_nobody_up() {
    let manners = [
        Manner::Cancels,
        Manner::Busy,
        Manner::Dribbles,
        Manner::DribblesAfter(MIB),
    ];
    let near = [Distance::Host, Distance::Lan];
    let cases = manners
        .into_iter()
        .flat_map(|manner| near.map(|distance| (manner, distance)));
    for (manner, distance) in cases {
        let bytes = 32 * MIB;
        let mut peers = [20, 20, 20, 20].map(|rate| peer(rate, bytes));
        for other in &mut peers[..3] {
            other.manner = manner;
            other.distance = distance;
        }
        let mut world = World::new(bytes, peers.into());
        let time = world.run();
        // Of one peer it takes 1.6 s.
        assert!(
            time < Duration::from_secs(10),
            "{manner:?}, {distance:?}: {time:?}"
        );
    }
}

fn manner() -> impl Strategy<Value = Manner> {
    prop_oneof![
        5 => Just(Manner::Sends),
        1 => Just(Manner::Cancels),
        1 => Just(Manner::Busy),
        1 => Just(Manner::Dribbles),
        1 => Just(Manner::DribblesAfter(5 * MIB)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn whatever_others_do_one_honest_peer_is_enough(
        others in vec(
            (1u64..60, 0u64..3000, 0u64..5000, 0u64..60, 0u64..40, 1usize..9, 0u64..4, manner()),
            0..6,
        )
    ) {
        let bytes = 96 * MIB;
        let mut peers = vec![peer(20, bytes)];
        for (rate, joins, leaves, stalls, lies, queue, offer, manner) in others {
            peers.push(Model {
                manner,
                joins: Duration::from_millis(joins),
                leaves: (leaves > joins).then(|| Duration::from_millis(leaves)),
                stalls_after: if stalls < 30 { stalls * MIB } else { u64::MAX },
                lies_percent: lies.saturating_sub(20),
                queue_max: queue,
                offered: RangeSet::of(offer * 20 * MIB + CHUNK..bytes - offer * CHUNK),
                distance: if offer == 1 { Distance::Host } else { Distance::Lan },
                ..peer(rate, bytes)
            });
        }
        let mut world = World::new(bytes, peers);
        let time = world.run();
        prop_assert_eq!(&world.delivered, &RangeSet::of(0..bytes));
        // Alone it takes 4.8 s; stalls and busy peers may each cost their pause.
        prop_assert!(time < Duration::from_secs(30), "{:?}", time);
    }
}
