//! Swarms in which much goes wrong.
//!
//! Owns: what goes wrong in each, as it follows from a seed. Every scenario checks what is
//! promised at every step, and that all fetches come to their end once nothing goes wrong any more.

use std::time::Duration;

use super::setup::{Conduct, Fault, MIB, Nat, Setup, mbit};
use crate::random::Random;

/// What can be gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// Nodes die and come back, three in ten a minute; some lose power; some have no room.
    Churn,
    /// Some lie, some fall silent, some have no right, many have a wrong clock.
    Liars,
    /// Two sites are cut off from each other, for a while or for long.
    Partition,
    /// Half stand behind home NATs and a quarter behind symmetric ones; the relay dies twice.
    Nats,
}

/// The size of what is fetched in these.
pub const BYTES: u64 = 64 * MIB;
/// The slowest and the fastest link, in Mbit/s.
const RATES: (f64, f64) = (50.0, 250.0);
/// The share of nodes that die in a minute.
const CHURN_A_MINUTE: f64 = 0.3;

impl Scenario {
    /// The setup that follows from a seed, for so many receivers.
    pub fn setup(self, seed: u64, receivers: usize) -> Setup {
        let mut random = Random::new(seed).branch("scenario");
        let mut setup = Setup::room(seed, BYTES, receivers, mbit(RATES.1));
        setup.linger = None;
        for node in setup.nodes.iter_mut().skip(1) {
            let rate = RATES.0 + (RATES.1 - RATES.0) * random.fraction();
            (node.up, node.down) = (mbit(rate), mbit(rate));
            node.starts = Duration::from_secs_f64(10.0 * random.fraction());
        }
        match self {
            Self::Churn => churn(&mut setup, &mut random),
            Self::Liars => lie(&mut setup, &mut random),
            Self::Partition => part(&mut setup, &mut random),
            Self::Nats => hide(&mut setup, &mut random),
        }
        setup
    }

    /// How long the faults last.
    pub fn faults_last(self, setup: &Setup) -> Duration {
        let ends = setup.faults.iter().map(|(at, fault)| match fault {
            Fault::Partition(_, time) => *at + *time,
            Fault::Kill(_, back) | Fault::PowerCut(_, back) => *at + back.unwrap_or_default(),
            Fault::Room(..) | Fault::Conduct(..) => *at,
        });
        ends.max().unwrap_or_default()
    }

    /// By when all must have everything: a hundred times what one copy takes over the slowest
    /// link after the last fault, and ten minutes.
    pub fn deadline(self, setup: &Setup) -> Duration {
        let copy = setup.bytes as f64 / mbit(RATES.0);
        self.faults_last(setup) + Duration::from_secs_f64(100.0 * copy + 600.0)
    }
}

fn churn(setup: &mut Setup, random: &mut Random) {
    let minutes = 1.0;
    for node in 0..setup.nodes.len() {
        let mut at = random.waiting_s(60.0 / CHURN_A_MINUTE);
        while at < 60.0 * minutes {
            let back = Some(Duration::from_secs_f64(2.0 + 18.0 * random.fraction()));
            let fault = match random.happens(0.5) {
                true => Fault::Kill(node, back),
                false => Fault::PowerCut(node, back),
            };
            setup.faults.push((Duration::from_secs_f64(at), fault));
            at += random.waiting_s(60.0 / CHURN_A_MINUTE);
        }
        if node > 0 && random.happens(0.1) {
            setup.nodes[node].room = random.below(setup.bytes);
            let at = Duration::from_secs_f64(60.0 * random.fraction());
            setup.faults.push((at, Fault::Room(node, u64::MAX)));
        }
    }
}

fn lie(setup: &mut Setup, random: &mut Random) {
    for node in setup.nodes.iter_mut().skip(1) {
        node.conduct = match random.below(10) {
            0 | 1 => Conduct::Liar(0.02 + 0.6 * random.fraction()),
            2 => Conduct::Staller(random.below(16 * MIB)),
            3 => Conduct::Stranger,
            _ => Conduct::Honest,
        };
        // The tolerance is ten minutes.
        node.clock_ahead_s = random.below(1081) as i64 - 540;
    }
    // A second source, and a third that lies.
    let more = [Conduct::Honest, Conduct::Liar(0.3)];
    for conduct in more {
        let mut node = setup.nodes[0].clone();
        node.conduct = conduct;
        setup.nodes.push(node);
    }
}

fn part(setup: &mut Setup, random: &mut Random) {
    setup.line.rate = mbit(100.0);
    setup.line.delay = Duration::from_millis(random.below(40));
    setup.line.loss = 0.002 * random.fraction();
    let first = 1 + random.index(setup.nodes.len());
    for (number, node) in setup.nodes.iter_mut().enumerate() {
        node.site = usize::from(number >= first);
    }
    let mut at = 15.0 * random.fraction();
    for _ in 0..3 {
        let time = match random.happens(0.3) {
            true => 60.0 + 60.0 * random.fraction(),
            false => 20.0 * random.fraction(),
        };
        let fault = Fault::Partition(first, Duration::from_secs_f64(time));
        setup.faults.push((Duration::from_secs_f64(at), fault));
        at += time + 10.0 * random.fraction();
    }
}

fn hide(setup: &mut Setup, random: &mut Random) {
    for node in setup.nodes.iter_mut().skip(1) {
        node.nat = match random.below(4) {
            0 | 1 => Nat::Home,
            2 => Nat::Symmetric,
            _ => Nat::None,
        };
    }
    // So little that many a circuit is spent.
    setup.circuit_bytes = (4 + random.below(60)) * MIB;
    let mut at = 0.0;
    for _ in 0..2 {
        at += 2.0 + 10.0 * random.fraction();
        let back = 1.0 + 10.0 * random.fraction();
        let fault = match random.happens(0.5) {
            true => Fault::Kill(0, Some(Duration::from_secs_f64(back))),
            false => Fault::PowerCut(0, Some(Duration::from_secs_f64(back))),
        };
        setup.faults.push((Duration::from_secs_f64(at), fault));
        at += back;
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Planted, World};
    use super::*;

    fn run(scenario: Scenario, seed: u64, receivers: usize, planted: Option<Planted>) -> bool {
        let mut setup = scenario.setup(seed, receivers);
        setup.planted = planted;
        let deadline = scenario.deadline(&setup);
        match World::new(setup).run(deadline) {
            Ok(_) => true,
            Err(violation) => {
                assert!(planted.is_some(), "{violation}");
                false
            }
        }
    }

    fn all_hold(scenario: Scenario) {
        for seed in 0..20 {
            run(scenario, seed, 3 + seed as usize % 10, None);
        }
    }

    #[test]
    fn whatever_dies_comes_to_its_end() {
        all_hold(Scenario::Churn);
    }

    #[test]
    fn nobody_is_deceived_by_liars_or_held_up_by_stallers() {
        all_hold(Scenario::Liars);
    }

    #[test]
    fn what_was_cut_off_goes_on_when_it_is_joined_again() {
        all_hold(Scenario::Partition);
    }

    #[test]
    fn who_stands_behind_a_nat_gets_it_too_though_the_relay_dies() {
        all_hold(Scenario::Nats);
    }

    /// Each planted bug is found within a hundred seeds.
    fn is_found(planted: Planted, scenario: Scenario) {
        let found = (0..100).find(|seed| !run(scenario, *seed, 8, Some(planted)));
        assert!(found.is_some(), "{planted:?} was not found");
    }

    #[test]
    fn a_node_that_does_not_verify_is_found() {
        is_found(Planted::NoVerification, Scenario::Liars);
    }

    #[test]
    fn a_node_that_offers_what_it_lacks_is_found() {
        is_found(Planted::OffersTooSoon, Scenario::Churn);
    }

    #[test]
    fn a_window_that_never_shrinks_is_found() {
        is_found(Planted::WindowNeverShrinks, Scenario::Partition);
    }

    #[test]
    fn a_seed_gives_the_same_course_again() {
        let once = || {
            let setup = Scenario::Churn.setup(7, 12);
            World::new(setup)
                .run(Duration::from_secs(3600))
                .expect("it ends")
        };
        let (a, b) = (once(), once());
        assert_eq!((a.events, a.fetches), (b.events, b.fetches));
    }

    #[test]
    fn after_a_right_has_ended_nothing_is_served() {
        for seed in 0..5 {
            let mut setup = Setup::room(seed, 4096 * MIB, 4, mbit(5.0));
            setup.rights_end = Some(Duration::from_secs(60));
            for node in &mut setup.nodes {
                node.clock_ahead_s = 120 * (seed as i64 - 2);
            }
            let ended = World::new(setup).run(Duration::from_secs(1800));
            let violation = ended.expect_err("it cannot come to its end");
            assert!(violation.what.contains("did not end"), "{violation}");
        }
    }
}
