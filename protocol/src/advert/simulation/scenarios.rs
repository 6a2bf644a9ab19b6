//! What can go wrong in a network, and what it may cost.

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

/// A pace at which time does not matter, so that the model's hours are few events.
fn fast() -> AdvertConfig {
    AdvertConfig {
        bytes_per_s: 64 << 20,
        ..AdvertConfig::default()
    }
}

#[test]
fn after_a_sweep_every_key_is_at_all_of_its_closest_peers() {
    for (peers, keys, lookups_max) in [
        (1, 1000, 1),
        (19, 5000, 1),
        (20, 5000, 4),
        (30, 100_000, 8),
        (300, 100_000, 60),
    ] {
        let mut world = World::with(peers, keys, fast());
        world.sweep();
        let share = world.share_of_copies(if peers > 100 { 20 } else { 5 });
        assert_eq!(share, 1.0, "{peers} peers");
        let sent = world.advert.sent();
        assert!(sent.lookups <= lookups_max, "{peers} peers: {sent:?}");
        assert_eq!(sent.keys, keys * peers.min(20));
        assert!(world.most_keys <= 16_384 * 20 + 16_384);
    }
}

#[test]
fn batches_grow_with_bytes_and_regions_not_with_keys() {
    let mut batches = Vec::new();
    for keys in [100, 10_000, 100_000] {
        let mut world = World::with(300, keys, fast());
        world.sweep();
        batches.push(world.advert.sent().batches);
    }
    // A region has some dozens of peers, and each gets one batch, however many keys are in it.
    assert!(batches[2] <= 800, "{batches:?}");
    assert!(batches[2] < 2 * batches[1], "{batches:?}");
}

#[test]
fn the_pace_is_kept() {
    let config = AdvertConfig {
        bytes_per_s: 100_000,
        ..AdvertConfig::default()
    };
    let mut world = World::with(8, 50_000, config);
    let start = world.now;
    world.sweep();
    let rate = world.bytes as f64 / (world.now - start).as_secs_f64();
    assert!(
        (80_000.0..101_000.0).contains(&rate),
        "{rate} bytes a second"
    );
}

#[test]
fn a_restart_goes_on_where_the_sweep_was() {
    let mut world = World::new(300, 20_000);
    let half = Position::from_bytes([0x80; 32]);
    world.run_until(|w| {
        w.progress
            .is_some_and(|(_, p)| p.next.is_some_and(|at| at > half))
    });
    let before: usize = world.peers.iter().map(|peer| peer.kept.len()).sum();
    let lookups = world.advert.sent().lookups;
    world.restart(HOUR);
    world.sweep();
    let after: usize = world.peers.iter().map(|peer| peer.kept.len()).sum();
    let again = world.advert.sent();
    assert_eq!(world.share_of_copies(7), 1.0);
    assert!(
        again.keys as usize - (after - before) < 20 * 20_000 / 20,
        "little is sent twice"
    );
    assert!(
        again.lookups < lookups + 5,
        "{} then {}",
        lookups,
        again.lookups
    );
    // The interval counts from when the sweep began, not from the restart.
    let began = world.now - world.progress.expect("it is through").1.began_ago;
    world.run_until(|w| w.advert.sent().lookups > again.lookups);
    assert_eq!(world.now - began, 12 * HOUR);
}

#[test]
fn a_finished_sweep_is_not_repeated_by_a_restart() {
    let mut world = World::with(10, 500, fast());
    world.sweep();
    world.restart(HOUR);
    world.run_for(10 * HOUR);
    assert_eq!(world.advert.sent().batches, 0);
    world.run_for(HOUR);
    assert_eq!(world.advert.sent().batches, 10);
}

#[test]
fn lost_acknowledgements_cost_a_repetition() {
    let mut world = World::with(30, 5000, fast());
    for peer in world.peers.iter_mut().take(10) {
        peer.conduct = Conduct::LosesAcks(1);
    }
    world.sweep();
    world.run_for(HOUR);
    assert_eq!(world.share_of_copies(1), 1.0);
    let sent = world.advert.sent();
    assert_eq!(sent.given_up, 0);
    assert!(sent.keys > 20 * 5000 && sent.keys < 30 * 5000, "{sent:?}");
}

#[test]
fn a_peer_that_refuses_everything_stops_nobody_and_is_left_alone() {
    let mut world = World::with(30, 100_000, fast());
    world.peers[3].conduct = Conduct::Refuses;
    world.sweep();
    let sent = world.advert.sent();
    assert!(sent.refused > 0 && sent.refused <= 16_384, "{sent:?}");
    assert!(world.fewest_copies(50) >= 19);
    assert!(world.most_keys <= 16_384 * 20 + 65_536 + 16_384);
}

#[test]
fn a_busy_peer_is_sent_its_keys_when_it_asked_for_them() {
    let mut world = World::with(10, 3000, fast());
    world.peers[3].conduct = Conduct::IsBusy(600);
    world.sweep();
    assert!(world.peers[3].kept.is_empty());
    world.run_for(Duration::from_secs(590));
    assert!(world.peers[3].kept.is_empty());
    world.run_for(Duration::from_secs(20));
    assert_eq!(world.peers[3].kept.len(), 3000);
}

#[test]
fn a_peer_that_is_busy_for_a_second_is_sent_to_after_a_second() {
    let mut world = World::with(10, 3000, fast());
    world.peers[3].conduct = Conduct::IsBusy(1);
    world.sweep();
    world.run_for(Duration::from_secs(2));
    assert_eq!(world.peers[3].kept.len(), 3000);
}

#[test]
fn peers_that_leave_in_the_middle_are_given_up_and_replaced_by_the_next_sweep() {
    let mut world = World::with(200, 10_000, fast());
    let third = Position::from_bytes([0x55; 32]);
    world.run_until(|w| {
        w.progress
            .is_some_and(|(_, p)| p.next.is_some_and(|at| at > third))
    });
    for peer in world.peers.iter_mut().skip(7).step_by(5) {
        peer.conduct = Conduct::Gone;
    }
    (1000..1040).for_each(|number| world.join(number));
    world.sweep();
    let share = world.share_of_copies(10);
    assert!(share > 0.75 && share < 1.0, "{share}");
    assert!(world.fewest_copies(10) >= 10);
    world.run_for(11 * HOUR);
    world.sweep();
    assert_eq!(world.share_of_copies(10), 1.0);
}

#[test]
fn what_is_announced_goes_at_once_even_in_the_middle_of_a_sweep() {
    let mut world = World::new(100, 100_000);
    world.run_for(Duration::from_secs(30));
    assert_eq!(world.advert.sent().sweeps, 0);
    let keys: Vec<_> = (500_000..500_010).map(advert_key).collect();
    world.tell(Input::Announce(keys.clone()));
    world.run_for(Duration::from_secs(60));
    assert_eq!(world.advert.sent().sweeps, 0);
    for key in keys {
        for i in world.closest(&Position::of_key(&key), COPIES) {
            assert!(world.peers[i].kept.contains(&key));
        }
    }
}

#[test]
fn who_is_connected_is_told_while_it_is_looked_up_who_is_closest() {
    let mut world = World::with(100, 0, fast());
    world.lookups_take = Duration::from_secs(10);
    world.connected = (0..30).collect();
    let key = advert_key(7);
    world.tell(Input::Announce(vec![key]));
    world.run_for(Duration::from_secs(1));
    let at = Position::of_key(&key);
    let mut nearest = world.connected.clone();
    nearest.sort_by_key(|i| world.peers[*i].position.distance(&at));
    for i in 0..100 {
        let is_told = nearest[..8].contains(&i);
        assert_eq!(world.peers[i].kept.contains(&key), is_told);
    }
    world.run_for(Duration::from_secs(60));
    let mut closest = world.closest(&at, COPIES).into_iter();
    assert!(closest.all(|i| world.peers[i].kept.contains(&key)));

    let before = world.advert.sent().keys;
    world.tell(Input::Announce(vec![key]));
    world.run_for(Duration::from_secs(60));
    let after = world.advert.sent().keys;
    assert_eq!(after - before, 20, "it is known who is closest");
}

#[test]
fn who_is_connected_is_told_of_what_waits_behind_another_lookup_too() {
    let mut world = World::with(100, 0, fast());
    world.connected = (0..30).collect();
    world.lookups_take = Duration::from_secs(10);
    world.sweep();
    // Half of what was looked up, ten seconds apart, is too old now.
    world.run_for(world.config.region_age_max - Duration::from_secs(35));
    let keys: Vec<_> = (100..110).map(advert_key).collect();
    world.tell(Input::Announce(keys.clone()));
    world.run_for(Duration::from_secs(5));
    let is_told = |key| world.peers.iter().any(|peer| peer.kept.contains(key));
    assert!(keys.iter().all(is_told));
}

#[test]
fn those_who_are_connected_are_told_of_no_more_than_there_is_room_for() {
    let config = AdvertConfig {
        bytes_per_s: 10_000,
        urgent_keys_max: 200,
        ..fast()
    };
    let mut world = World::with(100, 0, config);
    world.lookups_fail = true;
    world.connected = (0..30).collect();
    for number in 0..500 {
        world.tell(Input::Announce(vec![advert_key(number)]));
        world.run_for(Duration::from_millis(10));
    }
    let (announced, greeted) = (500, 200 + 16 * 8);
    assert!(
        world.most_keys <= announced + greeted + 8,
        "{}",
        world.most_keys
    );
}

#[test]
fn peers_that_do_not_answer_hold_no_announcement_up() {
    let mut world = World::with(15, 0, fast());
    for peer in &mut world.peers[..6] {
        peer.conduct = Conduct::LosesAcks(u32::MAX);
    }
    for number in 1..4 {
        let key = advert_key(number);
        world.tell(Input::Announce(vec![key]));
        world.run_for(Duration::from_secs(5));
        let answering = &world.peers[6..];
        assert!(answering.iter().all(|peer| peer.kept.contains(&key)));
    }
}

#[test]
fn the_first_new_keys_go_at_once_and_those_that_follow_go_together() {
    let mut world = World::with(15, 100, fast());
    world.sweep();
    let before = world.advert.sent().batches;
    world.tell(Input::Added(vec![advert_key(900_000)]));
    world.run_for(Duration::from_secs(2));
    assert_eq!(world.advert.sent().batches, before + 15);
    for number in 1..50 {
        world.tell(Input::Added(vec![advert_key(900_000 + number)]));
        world.run_for(Duration::from_secs(2));
    }
    assert_eq!(world.advert.sent().batches, before + 15);
    world.run_for(Duration::from_secs(60));
    assert_eq!(world.advert.sent().batches, before + 30);
    assert!(world.peers.iter().all(|peer| peer.kept.len() == 150));
}

#[test]
fn more_new_keys_than_are_collected_bring_the_next_sweep_forward() {
    let mut world = World::with(15, 100, fast());
    world.sweep();
    let new: Vec<_> = (0..20_000).map(|n| advert_key(700_000 + n)).collect();
    world
        .keys
        .extend(new.iter().map(|key| (Position::of_key(key), *key)));
    world.tell(Input::Added(new));
    world.run_for(2 * HOUR);
    assert_eq!(world.advert.sent().sweeps, 2);
    assert_eq!(world.share_of_copies(9), 1.0);
}

#[test]
fn churn_sets_the_interval_within_its_bounds() {
    for (half_life, hours) in [(1, 1), (5 * 3600, 5), (1_000_000_000, 24)] {
        let mut world = World::with(5, 10, fast());
        world.tell(Input::Churn {
            half_life: Duration::from_secs(half_life),
        });
        world.sweep();
        world.run_for(hours * HOUR - Duration::from_secs(60));
        assert_eq!(world.advert.sent().sweeps, 1, "{half_life}");
        world.run_for(Duration::from_secs(120));
        assert_eq!(world.advert.sent().sweeps, 2, "{half_life}");
    }
}

#[test]
fn a_network_that_is_not_reached_is_asked_again_with_pauses() {
    let mut world = World::with(5, 100, fast());
    world.lookups_fail = true;
    world.run_for(HOUR);
    let lookups = world.advert.sent().lookups;
    assert!((4..=12).contains(&lookups), "{lookups}");
    world.lookups_fail = false;
    world.sweep();
    assert_eq!(world.share_of_copies(1), 1.0);
}

#[test]
fn what_was_told_to_the_first_who_came_is_told_to_the_others_at_once() {
    let mut world = World::with(1, 0, fast());
    world.tell(Input::Announce(vec![AdvertKey::from_bytes([7; 16])]));
    world.run_for(Duration::from_secs(60));
    assert_eq!(world.advert.sent().keys, 1);
    (1..10).for_each(|number| world.join(number));
    world.tell(Input::Grown);
    world.tell(Input::Announce(vec![AdvertKey::from_bytes([7; 16])]));
    world.run_for(Duration::from_secs(60));
    assert_eq!(world.advert.sent().keys, 11, "the first and all ten");
}

#[test]
fn nobody_waits_for_the_next_attempt_at_a_lookup_when_members_come() {
    let mut world = World::with(5, 0, fast());
    world.lookups_fail = true;
    world.tell(Input::Announce(vec![AdvertKey::from_bytes([7; 16])]));
    world.run_for(HOUR);
    world.lookups_fail = false;
    let before = world.advert.sent().keys;
    world.tell(Input::Grown);
    world.run_for(Duration::from_secs(5));
    assert_eq!(world.advert.sent().keys - before, 5);
}

#[test]
fn peers_tell_how_many_keys_there_is_room_for() {
    let mut world = World::with(30, 1000, fast());
    assert_eq!(world.advert.capacity(), None);
    world.sweep();
    assert_eq!(world.advert.capacity(), Some(100_000 * 30 / 20));
}

#[test]
fn a_sweep_brings_the_keys_that_there_is_room_for_wherever_they_lie() {
    let mut world = World::with(30, 100_000, fast());
    world.share = 30_000;
    world.sweep();
    assert_eq!(world.advert.capacity(), Some(30_000 * 30 / 20));
    let lowest = world.lowest(45_000);
    let listed: Vec<_> = world
        .keys
        .iter()
        .filter(|(_, key)| lowest.has(key))
        .collect();
    // Not all copies of all: before it knows how much room there is, it sends a sixth of
    // everything. And some peers are among the closest to more keys than others.
    for quarter in listed.chunks(listed.len() / 4 + 1) {
        let copies = |(at, key): &(&Position, &AdvertKey)| {
            let closest = world.closest(at, COPIES).into_iter();
            closest
                .filter(|i| world.peers[*i].kept.contains(key))
                .count()
        };
        let share = quarter.iter().map(copies).sum::<usize>() as f64;
        let share = share / (quarter.len() * COPIES) as f64;
        assert!(share > 0.5, "{share}");
    }
    let sent = world.advert.sent().keys;
    assert!(sent < 20 * 60_000, "{sent}");
}

#[test]
fn what_a_sweep_found_bounds_the_next_from_its_first_key_on() {
    let mut world = World::with(30, 100_000, fast());
    world.share = 30_000;
    world.sweep();
    let before = world.advert.sent().keys;
    world.peers.iter_mut().for_each(|peer| peer.kept.clear());
    world.sweep();
    let sent = world.advert.sent().keys - before;
    assert!((19 * 45_000..=20 * 46_000).contains(&sent), "{sent}");
}

#[test]
fn the_first_regions_of_a_large_network_stand_for_the_others() {
    let mut world = World::with(300, 100_000, fast());
    // All together have room for 300,000 keys, those of the first region for some 20,000.
    world.share = 20_000;
    world.sweep();
    assert_eq!(world.advert.sent().keys, 20 * 100_000);
    let found = world.advert.capacity().expect("peers told");
    assert!((299_000..=300_000).contains(&found), "{found}");
}

#[test]
fn who_comes_during_a_sweep_brings_room_for_more_of_it() {
    let config = AdvertConfig {
        // Many steps: the bound of one that was begun stays.
        loaded_keys_max: 4096,
        bytes_per_s: 1 << 20,
        ..AdvertConfig::default()
    };
    let mut world = World::with(30, 60_000, config);
    world.share = 30_000;
    let late = world.peers.split_off(2);
    // Two alone have room for 30,000 keys each, and so for half.
    world.run_until(|w| w.advert.capacity() == Some(30_000));
    world.peers.extend(late);
    world.tell(Input::Grown);
    world.sweep();
    // Those who are closest to nothing but what is through by then are met in the next.
    let found = world.advert.capacity().expect("peers told");
    assert!((35_000..=45_000).contains(&found), "{found}");
    let lowest = world.lowest(35_000);
    let last = world.keys.iter().rev().take(5_000);
    let (mut all, mut there) = (0, 0);
    for (_, key) in last.filter(|(_, key)| lowest.has(key)) {
        all += 1;
        there += usize::from(world.peers.iter().any(|peer| peer.kept.contains(key)));
    }
    assert_eq!(there, all);
}

#[test]
fn peers_of_another_epoch_say_nothing_about_room() {
    let mut world = World::with(30, 1000, fast());
    world.peers[0].conduct = Conduct::Lags;
    world.sweep();
    assert_eq!(world.advert.capacity(), Some(100_000 * 29 / 20));
}

#[test]
fn the_sweep_says_how_far_it_is_and_when_the_next_is_due() {
    let mut world = World::new(300, 100_000);
    let half = Position::from_bytes([0x80; 32]);
    let is_half = |at: Option<Position>| at.is_some_and(|at| at > half);
    world.run_until(|w| w.progress.is_some_and(|(_, p)| is_half(p.next)));
    let sweeping = world.advert.sweeping(world.now);
    assert!((0.5..0.9).contains(&sweeping.done), "{sweeping:?}");
    assert_eq!((sweeping.took, sweeping.next_in), (None, None));
    world.sweep();
    let sweeping = world.advert.sweeping(world.now);
    assert_eq!(sweeping.done, 1.0);
    let (took, next_in) = (sweeping.took.unwrap(), sweeping.next_in.unwrap());
    assert_eq!(took + next_in, sweeping.interval);
}

#[test]
fn keys_that_cannot_be_loaded_are_listed_and_asked_for_again_later() {
    // What was known of the network is old by then, and has to be asked for again too.
    let config = AdvertConfig {
        region_age_max: Duration::from_secs(30),
        ..fast()
    };
    let mut world = World::with(30, 1000, config);
    world.loads_fail = true;
    world.run_for(Duration::from_secs(600));
    let lookups = world.advert.sent().lookups;
    assert!((5..=25).contains(&lookups), "{lookups}");
    assert!(world.events < 500, "it does not spin: {}", world.events);
    world.loads_fail = false;
    world.sweep();
    assert_eq!(world.share_of_copies(1), 1.0);
}
