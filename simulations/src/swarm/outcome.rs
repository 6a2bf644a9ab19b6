//! How it went.

use std::time::Duration;

use super::setup::Conduct;
use super::world::World;

/// What a world tells when everybody has everything.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What each fetch took, shortest first.
    pub fetches: Vec<Duration>,
    /// From the first start to the end of the last fetch.
    pub wall: Duration,
    /// Bytes of chunks that the sources sent.
    pub sources_sent: u64,
    /// The most that any other node sent.
    pub most_sent: u64,
    /// Bytes that came more than once.
    pub repeated: u64,
    /// Bytes that came by relays.
    pub relayed: u64,
    /// Bytes that crossed lines into each site; loss included.
    pub crossed: Vec<u64>,
    /// The most that crossed any one line between two sites.
    pub most_on_a_line: u64,
    /// How many events there were.
    pub events: u64,
}

impl Outcome {
    pub(super) fn of(world: &World) -> Self {
        let honest = |node: &&super::node::Node| node.setup.conduct != Conduct::Stranger;
        let fetching = world.nodes.iter().filter(|node| !node.setup.is_source);
        let times = fetching.clone().filter(honest).filter_map(|node| {
            let starts = world.start + node.setup.starts;
            Some(node.finished?.saturating_duration_since(starts))
        });
        let mut fetches: Vec<_> = times.collect();
        fetches.sort_unstable();
        let sites = world.setup.sites();
        let carried = |from: usize, to: usize| world.network.lines[from][to].pipe.carried;
        let crossed = |to: usize| (0..sites).map(|from| carried(from, to)).sum();
        let lines = (0..sites).flat_map(|to| (0..sites).map(move |from| carried(from, to)));
        let sources = world.nodes.iter().filter(|node| node.setup.is_source);
        Self {
            fetches,
            wall: world.now - world.start,
            sources_sent: sources.map(|node| node.sent).sum(),
            most_sent: fetching.clone().map(|node| node.sent).max().unwrap_or(0),
            repeated: fetching.map(|node| node.repeated).sum(),
            relayed: world.nodes.iter().map(|node| node.relayed).sum(),
            crossed: (0..sites).map(crossed).collect(),
            most_on_a_line: lines.max().unwrap_or(0),
            events: world.heap.count(),
        }
    }

    /// The time within which this share of the fetches ended.
    pub fn quantile(&self, share: f64) -> Duration {
        let last = self.fetches.len().saturating_sub(1);
        let index = (share * last as f64).ceil() as usize;
        self.fetches
            .get(index.min(last))
            .copied()
            .unwrap_or_default()
    }
}
