//! Which peers lie where, as far as lookups have told lately.
//!
//! Owns: what an answer proves, and what is known well enough to advertise by. Refuses: to
//! ask; it says what is missing.
//!
//! The twenty peers closest to a target are *all* the peers of some region around it: if the
//! farthest of them has `d` bits in common with the target, then a peer that has more and is
//! not in the answer would be closer than that one. So every answer charts a region. A key's
//! closest peers are known if it lies in a charted region (which may be pieced together) with at least as many peers.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::position::{Position, Region};
use crate::peer::PeerKey;

/// The most regions that are remembered, of some ten peers each; beyond them, the one that was
/// charted longest ago is forgotten.
const CHARTS_MAX: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Atlas {
    peers: BTreeMap<Position, PeerKey>,
    /// The charted regions, apart from each other, by their first positions.
    charts: BTreeMap<Position, (Region, Instant)>,
}

/// What is known about the surroundings of a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// The smallest region that has enough peers, or the whole space; all its peers are known.
    Region(Region),
    /// To know it, somebody near this position must be asked for.
    Missing(Position),
}

impl Atlas {
    /// Takes note of the peers closest to `target`, and whether these are all that there are.
    /// Gives back the region that is charted now.
    pub(super) fn learn(
        &mut self,
        now: Instant,
        target: &Position,
        peers: &[PeerKey],
        is_all: bool,
    ) -> Region {
        let places: BTreeMap<_, _> = (peers.iter())
            .map(|peer| (Position::of_peer(peer), *peer))
            .collect();
        let bits = if is_all {
            0
        } else {
            let farthest = places.keys().map(|place| place.common_bits(target)).min();
            farthest.map_or(0, |bits| (bits + 1).min(256))
        };
        let region = Region::around(target, bits);
        if self.chart_at(target).is_some_and(|c| c.bits() < bits) {
            return region;
        }
        self.forget(region);
        let within = places.into_iter().filter(|(at, _)| region.contains(at));
        self.peers.extend(within);
        self.charts.insert(region.first(), (region, now));
        while self.charts.len() > CHARTS_MAX {
            let oldest = self.charts.values().min_by_key(|(_, since)| *since);
            let oldest = oldest.expect("there are many").0;
            self.forget(oldest);
        }
        region
    }

    /// Forgets what was learnt longer than `age_max` ago.
    pub(super) fn expire(&mut self, now: Instant, age_max: Duration) {
        let old = |(region, since): &(Region, Instant)| {
            let age = now.saturating_duration_since(*since);
            (age > age_max).then_some(*region)
        };
        let old: Vec<_> = self.charts.values().filter_map(old).collect();
        old.into_iter().for_each(|region| self.forget(region));
    }

    /// What is known around `at`, if a key is to go to `copies` peers.
    pub(super) fn around(&self, at: &Position, copies: usize) -> Known {
        let Some(chart) = self.chart_at(at) else {
            return Known::Missing(*at);
        };
        for bits in (0..=chart.bits()).rev() {
            let region = Region::around(at, bits);
            if let Some(gap) = self.gap(&region) {
                return Known::Missing(gap);
            }
            if bits == 0 || self.peers_in(&region).count() >= copies {
                return Known::Region(region);
            }
        }
        unreachable!("the whole space is a region that suffices")
    }

    /// The known peers of a region.
    pub(super) fn peers_in(&self, region: &Region) -> impl Iterator<Item = (&Position, &PeerKey)> {
        self.peers.range(region.first()..=region.last())
    }

    fn chart_at(&self, at: &Position) -> Option<Region> {
        let (region, _) = self.charts.range(..=at).next_back()?.1;
        region.contains(at).then_some(*region)
    }

    /// The first position of a region that lies in no chart.
    fn gap(&self, region: &Region) -> Option<Position> {
        let mut at = region.first();
        while let Some(chart) = self.chart_at(&at) {
            match chart.last().next() {
                Some(next) if region.contains(&next) => at = next,
                _ => return None,
            }
        }
        Some(at)
    }

    fn forget(&mut self, region: Region) {
        let range = region.first()..=region.last();
        let charts: Vec<_> = self
            .charts
            .range(range.clone())
            .map(|(at, _)| *at)
            .collect();
        for at in charts {
            self.charts.remove(&at);
        }
        let peers: Vec<_> = self.peers.range(range).map(|(at, _)| *at).collect();
        for at in peers {
            self.peers.remove(&at);
        }
    }
}
