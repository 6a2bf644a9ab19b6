//! How long members stay, by what is seen of them.

use std::time::{Duration, Instant};

use crate::advert::Lifetimes;
use crate::peer::PeerKey;

const HOUR: Duration = Duration::from_secs(3600);
const DEFAULT: Duration = Duration::from_secs(12 * 3600);

fn peer(number: u64) -> PeerKey {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    PeerKey::from_bytes(bytes)
}

fn hours(duration: Duration) -> f64 {
    duration.as_secs_f64() / 3600.0
}

/// Numbers from 0 to 1 that look random and follow from the seed.
fn random(seed: u64) -> impl FnMut() -> f64 {
    let mut next = seed << 32;
    move || {
        next += 1;
        let hash = blake3::hash(&next.to_le_bytes());
        let front = hash.as_bytes().first_chunk().expect("it has 32 bytes");
        u64::from_le_bytes(*front) as f64 / u64::MAX as f64
    }
}

/// The estimate after `days` with `peers` members, each of whom leaves for good after a random
/// time with this half-life, and is followed by another.
fn estimate(half_life: Duration, peers: u64, days: u64) -> Duration {
    let mut now = Instant::now();
    let mut random = random(peers);
    let mut lives = Lifetimes::new(now, DEFAULT);
    let mut here: Vec<u64> = (0..peers).collect();
    let mut gone = Vec::new();
    let mut last = peers;
    here.iter().for_each(|number| lives.met(now, peer(*number)));
    let step = HOUR / 12;
    let stays = (-step.as_secs_f64() / half_life.as_secs_f64()).exp2();
    for _ in 0..days * 24 * 12 {
        now += step;
        for slot in &mut here {
            if random() > stays {
                lives.lost(now, peer(*slot));
                gone.push(*slot);
                (*slot, last) = (last, last + 1);
                lives.met(now, peer(*slot));
            }
        }
        for doubtful in lives.doubtful(now) {
            match gone.iter().any(|number| peer(*number) == doubtful) {
                true => lives.silent(now, &doubtful),
                false => lives.answered(now, &doubtful),
            }
        }
    }
    lives.half_life(now)
}

#[test]
fn the_half_life_is_the_default_while_nothing_is_known() {
    let now = Instant::now();
    assert_eq!(Lifetimes::new(now, DEFAULT).half_life(now), DEFAULT);
    let mut lives = Lifetimes::new(now, DEFAULT);
    assert_eq!(lives.half_life(now + 100 * HOUR), DEFAULT, "alone");
}

#[test]
fn the_half_life_is_found_whatever_it_is() {
    for (half_life_h, peers) in [(1, 30), (4, 30), (24, 30), (4, 8), (4, 1000)] {
        let half_life = half_life_h * HOUR;
        let ratio = hours(estimate(half_life, peers, 4)) / f64::from(half_life_h);
        assert!((0.7..1.4).contains(&ratio), "{half_life_h} h: {ratio}");
    }
}

#[test]
fn where_nobody_leaves_the_half_life_grows() {
    let mut now = Instant::now();
    let mut lives = Lifetimes::new(now, DEFAULT);
    (0..29).for_each(|number| lives.met(now, peer(number)));
    now += HOUR;
    let first = lives.half_life(now);
    assert!(first > 2 * DEFAULT && first < 3 * DEFAULT, "{first:?}");
    assert!(lives.half_life(now + 24 * HOUR) > 20 * DEFAULT);
}

#[test]
fn a_connection_that_ends_is_no_member_that_left() {
    let mut now = Instant::now();
    let mut lives = Lifetimes::new(now, DEFAULT);
    (0..10).for_each(|number| lives.met(now, peer(number)));
    lives.lost(now, peer(3));
    now += HOUR / 2;
    assert_eq!(lives.doubtful(now), []);
    now += HOUR / 2;
    assert_eq!(lives.doubtful(now), [peer(3)]);
    lives.answered(now, &peer(3));
    assert_eq!(lives.doubtful(now), [], "it was just asked");
    // As if it had been connected all the time.
    let all: f64 = hours(DEFAULT) + 10.0 * std::f64::consts::LN_2;
    assert!((hours(lives.half_life(now)) / all - 1.0).abs() < 0.01);
    // It left then: the hour that passed since counts for nobody.
    now += HOUR;
    assert_eq!(lives.doubtful(now), [peer(3)]);
    lives.silent(now, &peer(3));
    let all = (all + 9.0 * std::f64::consts::LN_2) / 2.0;
    assert!((hours(lives.half_life(now)) / all - 1.0).abs() < 0.02);
    assert_eq!(lives.doubtful(now + 2 * HOUR), []);
}

#[test]
fn one_that_came_back_before_it_was_asked_never_left() {
    let now = Instant::now();
    let mut lives = Lifetimes::new(now, DEFAULT);
    (0..2).for_each(|number| lives.met(now, peer(number)));
    lives.lost(now, peer(0));
    lives.met(now + HOUR, peer(0));
    // The question was under way.
    lives.silent(now + HOUR, &peer(0));
    assert!(lives.half_life(now + HOUR) > DEFAULT);
}

#[test]
fn who_is_alone_has_left_itself() {
    let mut now = Instant::now();
    let mut lives = Lifetimes::new(now, DEFAULT);
    (0..10).for_each(|number| lives.met(now, peer(number)));
    (0..10).for_each(|number| lives.lost(now, peer(number)));
    now += 5 * HOUR;
    assert_eq!(lives.doubtful(now), []);
    assert_eq!(lives.half_life(now), DEFAULT);
    // The network is there again, and so is whoever is asked.
    lives.met(now, peer(0));
    assert_eq!(lives.doubtful(now).len(), 9);
}

#[test]
fn what_was_missed_is_caught_up_with() {
    let now = Instant::now();
    let mut lives = Lifetimes::new(now, DEFAULT);
    (0..4).for_each(|number| lives.met(now, peer(number)));
    lives.lost(now, peer(1));
    lives.only(now, &[peer(0), peer(1), peer(9)]);
    assert_eq!(lives.doubtful(now + HOUR), [peer(2), peer(3)]);
}

#[test]
fn what_was_long_ago_is_forgotten() {
    let mut now = Instant::now();
    let mut lives = Lifetimes::new(now, DEFAULT);
    lives.met(now, peer(999));
    for number in 0..50 {
        lives.met(now, peer(number));
        lives.lost(now, peer(number));
        lives.silent(now, &peer(number));
    }
    assert!(lives.half_life(now) < HOUR);
    now += 30 * 24 * HOUR;
    assert!(lives.half_life(now) > 2 * DEFAULT);
}

#[test]
fn a_bounded_number_is_followed() {
    let now = Instant::now();
    let mut lives = Lifetimes::new(now, DEFAULT);
    (0..1000).for_each(|number| lives.met(now, peer(number)));
    (1..1000).for_each(|number| lives.lost(now, peer(number)));
    assert_eq!(lives.doubtful(now + 2 * HOUR).len(), 63);
}
