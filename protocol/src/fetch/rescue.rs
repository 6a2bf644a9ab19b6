//! What to ask for twice at the end, when all that is left is asked of somebody.
//!
//! Owns: who takes so long that another would be faster, and how often that is looked at. Refuses:
//! to change anything; like the rest of the picker it looks at the tables and answers.
//!
//! At the end something comes all the time for which every neighbour that has nothing to do might
//! be asked, and mostly nobody takes long. So it is not looked at every byte that comes, what is
//! the same for all neighbours is worked out once, and only as far as somebody needs it.

use std::cell::OnceCell;
use std::cmp::Reverse;
use std::time::Duration;

use super::peers::Peer;
use super::picker::{Pick, Picker, pick};
use super::run::WantedRun;
use crate::have::RangeSet;
use crate::wire::RequestId;

/// Asking twice must save at least this much time.
const RESCUE_MIN: Duration = Duration::from_millis(100);
/// What an idle peer is taken to need while nothing is known of it.
const UNMEASURED: Duration = Duration::from_secs(1);
/// The most peers that are asked for the same bytes.
const COPIES_MAX: usize = 2;

/// After a look in vain, the next is no sooner: less than this is hardly worth it.
pub(super) const RESCUE_AGAIN: Duration = Duration::from_millis(50);

/// One round in which work is given out, as far as asking twice is concerned.
#[derive(Default)]
pub(super) struct Rescue {
    is_allowed: bool,
    late: Option<Late>,
    /// Whether something was asked of somebody since.
    is_in_use: bool,
}

impl Rescue {
    pub(super) fn new(is_allowed: bool) -> Self {
        Self {
            is_allowed,
            ..Self::default()
        }
    }

    /// Who takes how long, if it may be looked.
    pub(super) fn late(&mut self, picker: &Picker<'_>) -> Option<&Late> {
        match self.is_allowed {
            true => Some(self.late.get_or_insert_with(|| picker.late())),
            false => None,
        }
    }

    /// Somebody was asked for something.
    pub(super) fn forget(&mut self) {
        self.late = None;
        self.is_in_use = true;
    }

    /// Whether it was looked, and nobody was asked for anything.
    pub(super) fn was_in_vain(&self) -> bool {
        self.late.is_some() && !self.is_in_use
    }
}

/// How long everybody takes for what it was asked for. Holds until somebody is asked for
/// something, or something comes.
pub(super) struct Late {
    /// By index; nothing of those who were asked for nothing.
    times: Vec<Option<Duration>>,
    longest: Duration,
    /// The open requests, those first that take longest.
    requests: OnceCell<Vec<(Duration, RequestId)>>,
}

/// Whether so much time is worth asking for twice, rather than to wait so long.
fn is_helped(time: Duration, late: Duration) -> bool {
    time + time / 2 + RESCUE_MIN < late
}

impl Picker<'_> {
    /// Works out who takes how long.
    pub(super) fn late(&self) -> Late {
        let time_left = |peer: &Peer| (peer.pace).time_left_for(self.now, peer.expected_bytes);
        let peers = self.peers.iter();
        let times: Vec<_> = peers
            .map(|peer| (peer.requests > 0).then(|| time_left(peer)))
            .collect();
        Late {
            longest: times.iter().flatten().copied().max().unwrap_or_default(),
            times,
            requests: OnceCell::new(),
        }
    }

    /// What to ask of `peer` although another was asked, because that one will take longer:
    /// the last request of whoever needs the most time.
    pub(super) fn rescue(&self, peer: &Peer, late: &Late) -> Option<Pick> {
        // Most of the time nobody takes so long, and then this is all.
        let least = self.time_for(peer, 0)?;
        if !is_helped(least, late.longest) {
            return None;
        }
        let requests = late.requests.get_or_init(|| self.latest_first(late));
        let requests = requests.iter();
        let mut helped = requests.take_while(|(late, _)| is_helped(least, *late));
        helped.find_map(|(late, id)| {
            let request = self.requests.at(*id)?;
            let (slot, wanted) = self.runs.with_slot(request.run)?;
            if request.peer == peer.key || !peer.shares.some().contains(slot) {
                return None;
            }
            let ranges = self.trusted(peer, wanted, &request.ranges);
            let time = self.time_for(peer, ranges.total_bytes())?;
            let helps = is_helped(time, *late)
                && !ranges.is_empty()
                && self.copies(peer, wanted, &ranges) < COPIES_MAX;
            helps.then(|| pick(request.run, ranges, false))
        })
    }

    fn latest_first(&self, late: &Late) -> Vec<(Duration, RequestId)> {
        let time = |key| late.times[self.peers.index_of(key)?];
        let open = self.requests.iter();
        let mut open: Vec<_> = open
            .filter_map(|(id, request)| Some((time(&request.peer)?, id)))
            .filter(|(late, _)| is_helped(Duration::ZERO, *late))
            .collect();
        open.sort_unstable_by_key(|request| Reverse(*request));
        open
    }

    /// How long `peer` will take for so much more. One that was never measured is given a
    /// try when it has nothing else to do.
    fn time_for(&self, peer: &Peer, bytes: u64) -> Option<Duration> {
        let measured = peer.pace.time_for(peer.expected_bytes + bytes);
        measured.or((peer.requests == 0).then_some(UNMEASURED))
    }

    /// How many peers were asked for some of `ranges` and do send something; too many if `peer`
    /// is one of those who were asked.
    fn copies(&self, peer: &Peer, wanted: &WantedRun, ranges: &RangeSet) -> usize {
        let open = wanted
            .requests
            .iter()
            .filter_map(|id| self.requests.at(*id));
        let holders = open.filter(|request| !request.ranges.intersect(ranges).is_empty());
        holders
            .map(|request| {
                let holder = self.peers.at(&request.peer);
                let sends = holder.is_some_and(|holder| !holder.is_unproductive(self.now));
                match request.peer == peer.key {
                    true => COPIES_MAX,
                    false => usize::from(sends),
                }
            })
            .sum()
    }
}
