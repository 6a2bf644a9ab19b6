//! Whom a fetch is in touch with, of all those that it is told of.
//!
//! Owns: how many these are at once, who makes room for whom, and how often somebody who was
//! left is taken up again. Refuses: to connect, and chance (a random number is passed in).
//!
//! A room of more than [`NEIGHBOURS_MAX`] does not fit. If everybody kept to those that it was
//! told of first, all would ask those who came first, and nobody those who came last, whose
//! links would idle: `docs/simulations.md` has the figures. So everybody keeps a fair sample of
//! those that it was told of: the k-th of them takes the place of another with the chance
//! [`NEIGHBOURS_MAX`] / k (J. Vitter, "Random sampling with a reservoir", algorithm R, 1985).
//! It does so when it has let this node in, not before: whoever tells of others that do not
//! exist pushes nobody out.

use std::collections::BTreeMap;

use crate::peer::PeerKey;
use crate::wire::limits::NEIGHBOURS_MAX;

/// So many are remembered, those included who were left: somebody who invents others cannot
/// have this node dial for ever.
const KNOWN_MAX: usize = 256;
/// So many are tried at once beyond those that fit.
const CANDIDATES_MAX: usize = 32;
/// Somebody who was left is taken up again so often, if he is told of again.
const TAKEN_UP_MAX: u32 = 3;

/// Whom a fetch is in touch with: connected to, or trying to be.
#[derive(Debug, Clone, Default)]
pub struct Company {
    known: BTreeMap<PeerKey, Known>,
    members: usize,
    candidates: usize,
    /// How many others told of, each counted once.
    told_of: u64,
}

/// Somebody who is remembered.
#[derive(Debug, Clone, Copy)]
struct Known {
    /// Whether the user named it. It never makes room.
    is_named: bool,
    place: Place,
    taken_up: u32,
}

/// How somebody stands with a fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It is not in touch with it.
    None,
    /// It is, and somebody else goes when it lets this node in.
    Candidate,
    /// It is.
    Member,
}

impl Company {
    /// In touch with those whom the user named.
    pub fn of(named: impl IntoIterator<Item = PeerKey>) -> Self {
        let one = Known {
            is_named: true,
            place: Place::Member,
            taken_up: 1,
        };
        let known: BTreeMap<_, _> = named.into_iter().map(|peer| (peer, one)).collect();
        Self {
            members: known.len(),
            known,
            ..Self::default()
        }
    }

    /// How many it is in touch with.
    pub fn in_touch(&self) -> usize {
        self.members + self.candidates
    }

    /// Whether it is in touch with `peer`.
    pub fn is_in_touch(&self, peer: &PeerKey) -> bool {
        let known = self.known.get(peer);
        known.is_some_and(|known| known.place != Place::None)
    }

    /// Whether the user named `peer`.
    pub fn is_named(&self, peer: &PeerKey) -> bool {
        self.known.get(peer).is_some_and(|known| known.is_named)
    }

    /// Somebody told of `peer`: whether to take it up, that is, to try to connect to it.
    /// `random` is any number, another one each time.
    pub fn told_of(&mut self, peer: PeerKey, random: u64) -> bool {
        let known = self.known.get(&peer).copied();
        let place = match known {
            Some(known) if known.is_named || known.place != Place::None => return false,
            Some(known) if known.taken_up >= TAKEN_UP_MAX => return false,
            None if self.known.len() >= KNOWN_MAX => return false,
            known => {
                self.told_of += u64::from(known.is_none());
                self.place_for(known.is_none(), random)
            }
        };
        let taken_up = known.map_or(0, |known| known.taken_up);
        match place {
            Place::None => {}
            Place::Candidate => self.candidates += 1,
            Place::Member => self.members += 1,
        }
        let now = Known {
            is_named: false,
            place,
            taken_up: taken_up + u32::from(place != Place::None),
        };
        self.known.insert(peer, now);
        place != Place::None
    }

    fn place_for(&self, is_new: bool, random: u64) -> Place {
        if self.members < NEIGHBOURS_MAX {
            return Place::Member;
        }
        let is_drawn = is_new && random % self.told_of < NEIGHBOURS_MAX as u64;
        match is_drawn && self.candidates < CANDIDATES_MAX {
            true => Place::Candidate,
            false => Place::None,
        }
    }

    /// `peer` let this node in. Gives who is to be left for it, if anybody is; it is not in
    /// touch with that one any more. `random` as above.
    pub fn let_in(&mut self, peer: &PeerKey, random: u64) -> Option<PeerKey> {
        let known = self.known.get(peer)?;
        if known.place != Place::Candidate {
            return None;
        }
        let leaves = match self.members < NEIGHBOURS_MAX {
            true => None,
            // Where all are named, it is the one who comes.
            false => Some(self.who_makes_room(random).unwrap_or(*peer)),
        };
        self.known.get_mut(peer)?.place = Place::Member;
        self.candidates -= 1;
        self.members += 1;
        if let Some(leaves) = &leaves {
            self.left(leaves);
        }
        leaves
    }

    fn who_makes_room(&self, random: u64) -> Option<PeerKey> {
        let others = || {
            let all = self.known.iter();
            all.filter(|(_, known)| known.place == Place::Member && !known.is_named)
        };
        let which = random.checked_rem(others().count() as u64)?;
        let (peer, _) = others().nth(usize::try_from(which).ok()?)?;
        Some(*peer)
    }

    /// It is not in touch with `peer` any more.
    pub fn left(&mut self, peer: &PeerKey) {
        let Some(known) = self.known.get_mut(peer) else {
            return;
        };
        match std::mem::replace(&mut known.place, Place::None) {
            Place::None => {}
            Place::Candidate => self.candidates -= 1,
            Place::Member => self.members -= 1,
        }
    }

    /// The same, and `peer` is not taken up again whoever tells of it.
    pub fn left_for_good(&mut self, peer: &PeerKey) {
        if let Some(known) = self.known.get_mut(peer) {
            known.taken_up = TAKEN_UP_MAX;
        }
        self.left(peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u16) -> PeerKey {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&number.to_be_bytes());
        PeerKey::from_bytes(bytes)
    }

    /// A generator of the kind that tests need (splitmix64).
    fn random(state: &mut u64) -> u64 {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Company of somebody named and of as many as fit beside it, numbered from 1.
    fn full() -> Company {
        let mut company = Company::of([key(0)]);
        for number in 1..NEIGHBOURS_MAX as u16 {
            assert!(company.told_of(key(number), 0));
            assert_eq!(company.let_in(&key(number), 0), None, "there is room");
        }
        assert_eq!(company.in_touch(), NEIGHBOURS_MAX);
        company
    }

    #[test]
    fn all_of_a_small_room_are_taken_up_once() {
        let mut company = full();
        assert!(!company.told_of(key(1), 0), "it is in touch");
        assert!(!company.told_of(key(0), 0), "it is named");
    }

    #[test]
    fn of_a_large_room_everybody_is_as_likely_to_be_kept() {
        const ROOM: u16 = 200;
        const TIMES: u32 = 2000;
        let mut state = 1;
        let mut kept = [0_u32; ROOM as usize];
        for _ in 0..TIMES {
            let mut company = Company::of([key(999)]);
            for number in 0..ROOM {
                if company.told_of(key(number), random(&mut state)) {
                    let left = company.let_in(&key(number), random(&mut state));
                    assert!(left.is_none_or(|left| !company.is_in_touch(&left)));
                }
                assert!(company.in_touch() <= NEIGHBOURS_MAX);
            }
            assert!(company.is_in_touch(&key(999)));
            for number in 0..ROOM {
                kept[usize::from(number)] += u32::from(company.is_in_touch(&key(number)));
            }
        }
        // 31 of 200, and five standard deviations of a binomial distribution about that.
        let expected = f64::from(TIMES) * 31.0 / f64::from(ROOM);
        let slack = 5.0 * (expected * (1.0 - 31.0 / f64::from(ROOM))).sqrt();
        for (number, kept) in kept.iter().enumerate() {
            let off = (f64::from(*kept) - expected).abs();
            assert!(off <= slack, "{number} was kept {kept} times of {TIMES}");
        }
    }

    #[test]
    fn nobody_makes_room_for_those_who_do_not_exist() {
        let mut company = full();
        let mut taken_up = 0;
        for number in 100..10_000 {
            taken_up += usize::from(company.told_of(key(number), 0));
            if number % 2 == 0 {
                company.left(&key(number));
            }
        }
        assert!((1..KNOWN_MAX).contains(&taken_up), "{taken_up}");
        assert!(company.in_touch() <= NEIGHBOURS_MAX + CANDIDATES_MAX);
        assert!(company.known.len() <= KNOWN_MAX);
        let stay = 0..NEIGHBOURS_MAX as u16;
        assert!(
            stay.into_iter()
                .all(|number| company.is_in_touch(&key(number)))
        );
    }

    #[test]
    fn who_was_left_is_taken_up_again_twice_and_never_if_for_good() {
        let mut company = Company::default();
        for _ in 0..TAKEN_UP_MAX {
            assert!(company.told_of(key(1), 0));
            company.left(&key(1));
            company.left(&key(1));
            assert_eq!(company.in_touch(), 0);
        }
        assert!(!company.told_of(key(1), 0));
        assert!(company.told_of(key(2), 0));
        company.left_for_good(&key(2));
        assert!(!company.told_of(key(2), 0));
        assert_eq!(company.in_touch(), 0);
    }

    #[test]
    fn who_was_not_drawn_is_taken_up_when_there_is_room() {
        let mut company = full();
        let not_drawn = NEIGHBOURS_MAX as u64;
        company.told_of += 1;
        assert!(!company.told_of(key(500), not_drawn));
        assert!(!company.told_of(key(500), 0), "it had its chance");
        company.left(&key(3));
        assert!(company.told_of(key(500), 0));
        assert_eq!(company.let_in(&key(500), 0), None);
    }

    #[test]
    fn those_who_are_named_do_not_make_room() {
        let mut company = Company::of((0..NEIGHBOURS_MAX as u16).map(key));
        assert!(company.told_of(key(500), 0));
        assert_eq!(company.let_in(&key(500), 0), Some(key(500)));
        assert!(!company.is_in_touch(&key(500)));
        assert_eq!(company.in_touch(), NEIGHBOURS_MAX);
    }
}
