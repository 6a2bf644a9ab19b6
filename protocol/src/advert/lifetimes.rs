//! How long members of the team stay, estimated from those that come and go.
//!
//! Owns: whom is followed, who has to be asked whether it is still there, and the estimate.
//! Refuses: to ask. A connection that ends says nothing by itself: those that carry nothing are
//! closed, and a node that starts again keeps the records that it had.
//!
//! If members leave at random, as many in any hour, the best estimate of the rate is how many
//! left, divided by the time that all were there together; the half-life is ln 2 divided by that.
//! Before anything is known it is a default, which counts as one that left.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::peer::PeerKey;

/// The most members that are followed; they stand for the others.
const FOLLOWED_MAX: usize = 64;
/// Who is not connected for so long is asked whether it is still there, and again after so long.
const ABSENCE: Duration = Duration::from_secs(3600);
/// What was observed so long ago counts half.
const MEMORY: Duration = Duration::from_secs(3 * 24 * 3600);

/// See the top of this file. Every `now` is no earlier than the one before.
#[derive(Debug)]
pub struct Lifetimes {
    followed: BTreeMap<PeerKey, Followed>,
    /// Up to when time is counted.
    counted: Instant,
    /// What members who are not doubtful were there together, in seconds.
    lived_s: f64,
    /// How many have gone.
    gone: f64,
    default_s: f64,
}

#[derive(Debug, Clone, Copy)]
struct Followed {
    /// Since when it is not connected, or has not been asked again.
    away: Option<Instant>,
    /// What was counted for it while nobody knew whether it was there, in seconds.
    doubtful_s: f64,
}

impl Lifetimes {
    /// Nobody is known yet.
    pub fn new(now: Instant, default: Duration) -> Self {
        Self {
            followed: BTreeMap::new(),
            counted: now,
            lived_s: 0.0,
            gone: 0.0,
            default_s: default.as_secs_f64(),
        }
    }

    /// A member is connected.
    pub fn met(&mut self, now: Instant, peer: PeerKey) {
        self.count(now);
        if self.followed.len() < FOLLOWED_MAX || self.followed.contains_key(&peer) {
            let followed = self.followed.entry(peer).or_insert(Followed {
                away: None,
                doubtful_s: 0.0,
            });
            followed.away = None;
            self.lived_s += std::mem::take(&mut followed.doubtful_s);
        }
    }

    /// A member has no connection left.
    pub fn lost(&mut self, now: Instant, peer: PeerKey) {
        self.count(now);
        if let Some(followed) = self.followed.get_mut(&peer) {
            followed.away.get_or_insert(now);
        }
    }

    /// These members are connected and no others: what came and went meanwhile was missed.
    pub fn only(&mut self, now: Instant, here: &[PeerKey]) {
        let gone: Vec<_> = self.followed.keys().copied().collect();
        for peer in gone.into_iter().filter(|peer| !here.contains(peer)) {
            self.lost(now, peer);
        }
        here.iter().for_each(|peer| self.met(now, *peer));
    }

    /// Who has to be asked whether it is still there. Nobody while none is connected: then
    /// it is this node that has left.
    pub fn doubtful(&self, now: Instant) -> Vec<PeerKey> {
        if self
            .followed
            .values()
            .all(|followed| followed.away.is_some())
        {
            return Vec::new();
        }
        let is_late = |away: Instant| now.saturating_duration_since(away) >= ABSENCE;
        let late = self.followed.iter();
        late.filter(|(_, followed)| followed.away.is_some_and(is_late))
            .map(|(peer, _)| *peer)
            .collect()
    }

    /// One that was asked is still there.
    pub fn answered(&mut self, now: Instant, peer: &PeerKey) {
        self.count(now);
        if let Some(followed) = self.followed.get_mut(peer) {
            self.lived_s += std::mem::take(&mut followed.doubtful_s);
            followed.away = followed.away.map(|_| now);
        }
    }

    /// One that was asked is not there. It left when it was lost.
    pub fn silent(&mut self, now: Instant, peer: &PeerKey) {
        self.count(now);
        // It may have come back meanwhile.
        if self
            .followed
            .get(peer)
            .is_some_and(|followed| followed.away.is_some())
        {
            self.followed.remove(peer);
            self.gone += 1.0;
        }
    }

    /// After this time, half of the members of today are gone.
    pub fn half_life(&mut self, now: Instant) -> Duration {
        self.count(now);
        // The default as a time that was lived: until one left.
        let lived_s = self.lived_s * std::f64::consts::LN_2 + self.default_s;
        Duration::try_from_secs_f64(lived_s / (self.gone + 1.0)).unwrap_or(Duration::MAX)
    }

    /// Counts the time up to `now`.
    fn count(&mut self, now: Instant) {
        let time = now.saturating_duration_since(self.counted);
        self.counted = now;
        let time_s = time.as_secs_f64();
        let faded = (-time_s / MEMORY.as_secs_f64()).exp2();
        self.lived_s *= faded;
        self.gone *= faded;
        let is_alone = self
            .followed
            .values()
            .all(|followed| followed.away.is_some());
        for followed in self.followed.values_mut() {
            match followed.away {
                None => self.lived_s += time_s,
                Some(_) if is_alone => {}
                Some(_) => followed.doubtful_s += time_s,
            }
        }
    }
}
