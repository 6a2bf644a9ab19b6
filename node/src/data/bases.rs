//! What is here that resembles what is still to be fetched.
//!
//! Owns: the bases of all runs that are not done, and which of them go with a request.
//! Refuses: to find them (the destination does), and to say who may be told of them (the
//! session does).

use std::collections::BTreeMap;
use std::ops::Range;

use shoal_protocol::have::RangeSet;
use shoal_protocol::wire::Base;
use shoal_protocol::wire::limits::BASE_BYTES_MAX;
use shoal_store::receive::Likeness;

// Whatever the destination finds can be named to a peer.
const _: () = assert!(shoal_store::receive::LIKENESS_BYTES_MAX <= BASE_BYTES_MAX);

/// The bases of a fetch.
#[derive(Default)]
pub(crate) struct Bases {
    by_position: BTreeMap<u64, Base>,
    given_up: bool,
}

impl Bases {
    /// Adds what resembles the bytes of a run.
    pub(crate) fn add(&mut self, likenesses: Vec<Likeness>) {
        if self.given_up {
            return;
        }
        let bases = likenesses.into_iter().map(|likeness| Base {
            position: likeness.position,
            snapshot: likeness.snapshot,
            start: likeness.old.start,
            end: likeness.old.end,
        });
        self.by_position
            .extend(bases.map(|base| (base.position, base)));
    }

    /// What resembles these positions of the run that begins at `run`, in order.
    pub(crate) fn of(&self, run: u64, ranges: &RangeSet) -> Vec<Base> {
        let mut found: Vec<Base> = Vec::new();
        for range in ranges.iter() {
            // The one that reaches into the range begins before it.
            let into = self.by_position.range(run..=range.start).next_back();
            let from = into.map_or(range.start, |(position, _)| *position);
            for (_, base) in self.by_position.range(from..range.end) {
                if found
                    .last()
                    .is_none_or(|last| last.position < base.position)
                {
                    found.push(*base);
                }
            }
        }
        found
    }

    /// Forgets what resembled the bytes of a run that is done.
    pub(crate) fn forget(&mut self, run: Range<u64>) {
        self.by_position
            .retain(|position, _| !run.contains(position));
    }

    /// Forgets all, now and later: they turned out not to be here.
    pub(crate) fn give_up(&mut self) {
        self.given_up = true;
        self.by_position.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shoal_protocol::id::SnapshotId;

    fn likeness(position: u64) -> Likeness {
        Likeness {
            position,
            snapshot: SnapshotId::of(b"old"),
            old: position..position + 10,
        }
    }

    #[test]
    fn a_request_goes_with_the_bases_that_reach_into_it() {
        let mut bases = Bases::default();
        bases.add([0, 100, 200, 300].map(likeness).to_vec());
        let positions = |run, ranges: &RangeSet| {
            let found = bases.of(run, ranges);
            found.iter().map(|b| b.position).collect::<Vec<_>>()
        };
        let some: RangeSet = [110..120, 130..140, 350..360].into_iter().collect();
        assert_eq!(positions(0, &RangeSet::of(0..400)), [0, 100, 200, 300]);
        assert_eq!(positions(0, &RangeSet::of(150..250)), [100, 200]);
        assert_eq!(positions(0, &some), [100, 300]);
        // The base of another run says nothing about this one.
        assert_eq!(positions(150, &RangeSet::of(150..160)), [0; 0]);
    }

    #[test]
    fn what_is_done_or_given_up_is_forgotten() {
        let mut bases = Bases::default();
        bases.add([0, 100, 200].map(likeness).to_vec());
        bases.forget(100..200);
        let all = RangeSet::of(0..300);
        assert_eq!(bases.of(0, &all).len(), 2);
        bases.give_up();
        bases.add(vec![likeness(0)]);
        assert!(bases.of(0, &all).is_empty());
    }
}
