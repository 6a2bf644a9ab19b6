//! What the machine does, as facts, one peer's step at a time.

// Lists of one range are what is looked at here.
#![allow(clippy::single_range_in_vec_init)]

mod choices;
mod findings;
mod troubles;

use std::ops::Range;
use std::time::{Duration, Instant};

use super::*;
use crate::have::RangeSet;
use crate::peer::PeerKey;
use crate::wire::RequestId;

const MIB: u64 = 1 << 20;
const RUN: u64 = 4 * MIB;

struct Rig {
    fetch: Fetch,
    now: Instant,
}

/// A request, as the tests look at it.
#[derive(Debug, Clone, PartialEq)]
struct Asked {
    peer: PeerKey,
    request: RequestId,
    run: u64,
    ranges: Vec<Range<u64>>,
}

fn key(number: u8) -> PeerKey {
    PeerKey::from_bytes([number; 32])
}

fn run(number: u64) -> Run {
    Run {
        id: RunId(number),
        start: number * RUN,
        end: (number + 1) * RUN,
    }
}

impl Rig {
    /// A machine that wants so many runs, and asks whom it does not know for four at once.
    fn new(runs: u64) -> Self {
        let config = FetchConfig {
            window_bytes_initial: 4 * RUN,
            ..FetchConfig::default()
        };
        Self::with(config, runs)
    }

    fn with(config: FetchConfig, runs: u64) -> Self {
        let mut rig = Self {
            fetch: Fetch::new(config),
            now: Instant::now(),
        };
        for number in 0..runs {
            rig.tell(Input::Wanted(run(number)));
        }
        rig
    }

    fn tell(&mut self, input: Input) -> Vec<Output> {
        self.fetch.handle(self.now, input);
        self.fetch.check_findings(self.now);
        std::iter::from_fn(|| self.fetch.poll()).collect()
    }

    fn after(&mut self, time: Duration) -> Vec<Output> {
        self.now += time;
        self.tell(Input::Timeout)
    }

    fn join_at(&mut self, peer: u8, distance: Distance, offered: RangeSet) -> Vec<Output> {
        let peer = key(peer);
        self.tell(Input::PeerJoined {
            peer,
            distance,
            offered,
            is_seed: false,
        })
    }

    /// One that has everything and fetches nothing.
    fn join_seed(&mut self, peer: u8, runs: u64) -> Vec<Asked> {
        asked(&self.tell(Input::PeerJoined {
            peer: key(peer),
            distance: Distance::Lan,
            offered: RangeSet::of(0..runs * RUN),
            is_seed: true,
        }))
    }

    fn join(&mut self, peer: u8, offered: Range<u64>) -> Vec<Asked> {
        asked(&self.join_at(peer, Distance::Lan, RangeSet::of(offered)))
    }

    fn deliver(&mut self, peer: u8, range: Range<u64>) -> Vec<Output> {
        let peer = key(peer);
        self.tell(Input::Delivered { peer, range })
    }

    /// Delivers all that was asked, in a second, and ends it.
    fn answer(&mut self, asked: &Asked) -> Vec<Output> {
        self.now += Duration::from_secs(1);
        let mut outputs = Vec::new();
        for range in asked.ranges.clone() {
            let peer = asked.peer;
            outputs.extend(self.tell(Input::Delivered { peer, range }));
        }
        outputs.extend(self.end(asked));
        outputs
    }

    fn end(&mut self, asked: &Asked) -> Vec<Output> {
        self.tell(Input::Ended {
            peer: asked.peer,
            request: asked.request,
        })
    }

    fn bad(&mut self, peer: u8, range: Range<u64>) -> Vec<Output> {
        let peer = key(peer);
        self.tell(Input::BadChunk { peer, range })
    }
}

fn asked(outputs: &[Output]) -> Vec<Asked> {
    let requests = outputs.iter().filter_map(|output| match output {
        Output::Request {
            peer,
            request,
            run,
            ranges,
            ..
        } => Some(Asked {
            peer: *peer,
            request: *request,
            run: run.0,
            ranges: ranges.iter().collect(),
        }),
        _ => None,
    });
    requests.collect()
}

fn runs(asked: &[Asked]) -> Vec<u64> {
    asked.iter().map(|a| a.run).collect()
}
