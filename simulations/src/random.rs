//! Chance that follows from a seed.
//!
//! Owns: one stream of numbers (splitmix64, Steele et al. 2014), and streams that branch off
//! it by name, so that a new draw in one place does not change all others.

/// A stream of numbers that follows from a seed.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        Self(mix(seed ^ 0x5eed))
    }

    /// A stream of its own, which follows from this one's seed and a name.
    pub fn branch(&self, name: &str) -> Self {
        let hash = name
            .bytes()
            .fold(self.0, |hash, byte| mix(hash ^ u64::from(byte)));
        Self(hash)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `end`, which is not zero.
    pub fn below(&mut self, end: u64) -> u64 {
        let wide = u128::from(self.number()) * u128::from(end);
        u64::try_from(wide >> 64).expect("below `end`")
    }

    /// An index below `end`, which is not zero.
    pub fn index(&mut self, end: usize) -> usize {
        usize::try_from(self.below(end as u64)).expect("below a usize")
    }

    /// A number from 0 up to, and without, 1.
    pub fn fraction(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Whether something of this probability happens.
    pub fn happens(&mut self, probability: f64) -> bool {
        self.fraction() < probability
    }

    /// The time until something happens that happens once in `mean` on average (exponential).
    pub fn waiting_s(&mut self, mean_s: f64) -> f64 {
        -mean_s * (1.0 - self.fraction()).ln()
    }

    /// Up to `count` of `all`, each as likely as another.
    pub fn choose<T: Copy>(&mut self, all: &[T], count: usize) -> Vec<T> {
        let mut left = all.to_vec();
        let count = count.min(left.len());
        for i in 0..count {
            let other = i + self.index(left.len() - i);
            left.swap(i, other);
        }
        left.truncate(count);
        left
    }
}

fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_and_a_branch_others() {
        let (mut a, mut b) = (Random::new(7), Random::new(7));
        let mut other = a.branch("other");
        let numbers: Vec<_> = (0..100).map(|_| a.number()).collect();
        assert!(numbers.iter().all(|n| *n == b.number()));
        assert_ne!(numbers[0], other.number());
        assert!((0..1000).all(|_| a.below(3) < 3 && a.fraction() < 1.0));
        let mut chosen = a.choose(&[1, 2, 3, 4, 5], 3);
        chosen.sort_unstable();
        chosen.dedup();
        assert_eq!(chosen.len(), 3);
    }
}
