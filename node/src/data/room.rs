//! Who makes room once as many peers are let in as may be.
//!
//! Owns: the choice, by where they come from, so that nobody who has a right keeps out others
//! who have one. Refuses: ending connections, and strangers ([`strangers`](super::strangers)).

use std::cmp::Reverse;
use std::collections::HashMap;

use super::strangers::Origin;

/// Which of `guests`, who are numbered by age, goes for one more from `newcomer`: the oldest
/// of those who have most, if they have more than the newcomer would. Nobody otherwise: whoever
/// has as many as the others does not push them out.
pub(super) fn gives_way(guests: &[(u64, Origin)], newcomer: Origin) -> Option<u64> {
    let mut by_origin: HashMap<Origin, (usize, u64)> = HashMap::new();
    for (number, origin) in guests {
        let (count, oldest) = by_origin.entry(*origin).or_insert((0, *number));
        *count += 1;
        *oldest = (*oldest).min(*number);
    }
    let theirs = by_origin.get(&newcomer).map_or(0, |(count, _)| *count);
    let most = by_origin.into_values();
    let (count, oldest) = most.max_by_key(|(count, oldest)| (*count, Reverse(*oldest)))?;
    (count > theirs + 1).then_some(oldest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn ip(last: u8) -> Origin {
        Origin::Address(Ipv4Addr::new(10, 0, 0, last).into())
    }

    fn guests(origins: &[u8]) -> Vec<(u64, Origin)> {
        (0..).zip(origins.iter().map(|last| ip(*last))).collect()
    }

    #[test]
    fn the_oldest_of_those_who_have_most_goes() {
        let check = |origins: &[u8], newcomer: u8, expected| {
            let goes = gives_way(&guests(origins), ip(newcomer));
            assert_eq!(goes, expected, "{origins:?} and {newcomer}");
        };
        check(&[1, 2, 2, 2], 3, Some(1));
        check(&[1, 2, 2, 2], 1, Some(1));
        check(&[1, 2, 2, 2], 2, None);
        check(&[1, 1, 2, 2], 3, Some(0));
        check(&[1, 1, 2, 2], 2, None);
        check(&[1, 2, 3, 4], 5, None);
        check(&[], 1, None);
    }

    #[test]
    fn two_who_push_come_to_rest() {
        let mut guests = guests(&[1; 8]);
        for (number, last) in (8..).zip([2, 1].into_iter().cycle()).take(100) {
            if let Some(goes) = gives_way(&guests, ip(last)) {
                guests.retain(|(number, _)| *number != goes);
                guests.push((number, ip(last)));
            }
        }
        assert_eq!(guests.iter().filter(|(_, o)| *o == ip(1)).count(), 4);
        let newest = guests.iter().map(|(number, _)| *number).max();
        assert!(newest.is_some_and(|newest| newest < 20), "{newest:?}");
    }
}
