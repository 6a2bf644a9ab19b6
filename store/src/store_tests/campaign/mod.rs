//! One store's whole life, with the power cut at every write and sync of it.
//!
//! Owns: what may be expected at any moment of it ([`Moment`]), and the looking. What happens
//! in that life is in [`life`]; how the power is cut is in [`crate::testing`].
//!
//! `SHOAL_CAMPAIGN=large` (see `just crash-campaign`) makes the files bigger and more of them,
//! and loses what was not synced in more ways.

mod life;
mod look;

use std::time::Instant;

use self::life::{Life, Step, Tale};
use self::look::{check_offers, check_promises, check_verify};
use crate::disk::faulty::{Fate, FaultyDisk};
use crate::testing::cut_often;

/// What has happened when the power is cut.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    /// Steps that were acknowledged.
    done: usize,
    /// Whether the next one had begun.
    begun: bool,
}

impl Moment {
    /// Whether a step was acknowledged.
    fn is_done(self, step: Step) -> bool {
        (step as usize) < self.done
    }

    /// Whether a step may have had effects.
    fn is_begun(self, step: Step) -> bool {
        (step as usize) < self.done + usize::from(self.begun)
    }

    /// The moment after the step that was under way was repeated.
    fn after(self) -> Self {
        Self {
            done: self.done + usize::from(self.begun),
            begun: false,
        }
    }
}

enum Event {
    Begun,
    Done,
}

fn moment(events: &[&Event]) -> Moment {
    let count = |begun: bool| {
        let same = |event: &&&Event| matches!(event, Event::Begun) == begun;
        events.iter().filter(same).count()
    };
    let done = count(false);
    Moment {
        done,
        begun: count(true) > done,
    }
}

#[test]
fn a_crash_at_any_write_and_sync_of_a_whole_life_breaks_no_promise() {
    let large = std::env::var_os("SHOAL_CAMPAIGN").is_some_and(|size| size == "large");
    let tale = Tale::new(large);
    let began = Instant::now();
    let tried = cut_often(
        if large { 12 } else { 1 },
        |disk, events| {
            let life = Life::new(disk, &tale);
            for step in Step::ALL {
                events.note(Event::Begun);
                life.live(step).expect("nothing stands in the way");
                events.note(Event::Done);
            }
        },
        |disk, events| survives(disk, &tale, moment(events)),
    );
    assert!(tried.cuts > 100, "{tried:?}");
    println!("{tried:?} in {:?}", began.elapsed());
}

/// Looks at what a power cut left, repeats what it interrupted, and looks at that.
fn survives(disk: &FaultyDisk, tale: &Tale, moment: Moment) {
    let _told = TellOnPanic(moment);
    let life = Life::new(disk, tale);
    check_offers(&life);
    check_promises(&life, moment);
    check_verify(&life, moment);
    check_promises(&life, moment);
    for step in Step::ALL {
        if moment.is_begun(step) && (!moment.is_done(step) || step.is_undone_by_a_cut()) {
            life.live(step)
                .unwrap_or_else(|why| panic!("{step:?} cannot be repeated: {why}"));
        }
    }
    let moment = moment.after();
    check_promises(&life, moment);
    // What the cut left behind does not stand in the way of a collection.
    life.live(Step::Collect).expect("it can be collected");
    drop(life);
    let life = Life::new(&disk.after_cut(Fate::Lost), tale);
    check_promises(&life, moment);
    if tale.large {
        check_verify(&life, moment);
    }
}

struct TellOnPanic(Moment);

impl Drop for TellOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let during = Step::ALL.get(self.0.done);
            eprintln!("it was in the midst of {during:?}");
        }
    }
}
