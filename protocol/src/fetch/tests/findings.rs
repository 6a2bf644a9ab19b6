//! What a fetch keeps of what it found out, against looking anew.
//!
//! Every test and every simulation of the machine looks after each thing that happens.

use std::time::Instant;

use super::super::machine::Fetch;
use super::super::peers::Peer;

impl Fetch {
    /// That what is kept is what would be found now.
    pub(in super::super) fn check_findings(&self, now: Instant) {
        self.check_counts();
        let peers = &self.ledger.peers;
        for (index, peer) in peers.iter().enumerate() {
            let has_chance = !peer.is_idle(now, self.chances) && peer.has_room(now, false);
            let is_passed_over = peers.is_settled(index) && self.chances_seen == self.chances;
            assert!(!is_passed_over || !has_chance, "passed over: {peer:?}");
            assert!(peer.spare_since.is_none() || peer.is_seed, "{peer:?}");
        }
        let rests = peers.iter().filter_map(|peer| peer.rest_until);
        let stalls = peers.iter().filter_map(Peer::stalls_at);
        let first = rests.chain(stalls).min();
        let is_quiet = first.is_none_or(|first| self.quiet_until.is_some_and(|q| q <= first));
        assert!(is_quiet, "{first:?} comes before {:?}", self.quiet_until);
        let turns = peers.iter().filter_map(|peer| peer.turn_ends(now));
        let rescue = self.rescue_again.filter(|_| self.rescue_is_due);
        assert!(rescue.is_none_or(|again| again > now), "{rescue:?}");
        let next = first.into_iter().chain(turns).chain(rescue).min();
        let kept = self.next_timeout();
        assert!(
            kept == next || self.ledger.runs.is_empty(),
            "{kept:?} for {next:?}"
        );
    }

    fn check_counts(&self) {
        let (runs, peers) = (&self.ledger.runs, &self.ledger.peers);
        for wanted in runs.iter() {
            let offered = |peer: &Peer| peer.offered.within(wanted.run.range()).next();
            let lacks = |peer: &&Peer| offered(peer) != Some(wanted.run.range());
            let offering = peers.iter().filter(|peer| offered(peer).is_some());
            let offering: Vec<_> = offering.collect();
            assert_eq!(wanted.rarity(), offering.len(), "{wanted:?}");
            let lacking = peers.iter().filter(lacks);
            let before = lacking.filter(|peer| wanted.comes_before(peer)).count();
            let spreads = offering.iter().any(|peer| !peer.is_seed);
            let turn = before.max(usize::from(spreads && self.config.me.is_some()));
            assert_eq!(wanted.turn(), turn, "{wanted:?}");
            for peer in peers.iter().filter(|_| !wanted.free.is_empty()) {
                let mut askable = runs.free_within(peer.shares.some());
                let is_known = askable.any(|run| run.run == wanted.run);
                assert_eq!(is_known, offered(peer).is_some(), "{peer:?} {wanted:?}");
            }
        }
    }
}
