//! Sizes as people read them.
//!
//! Owns: the units and the rounding. Sizes are decimal (1 MB is 10⁶ bytes), as disks and
//! networks count.

use std::fmt;

const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];

/// So many bytes, shown as `512 MB`, `1.5 GB`, `0 B`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// One of `B`, `kB`, …, `EB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unit(usize);

impl Size {
    /// The unit in which it has at most three digits before the point.
    pub fn unit(self) -> Unit {
        let mut unit = Unit(0);
        // The limit is where three digits would round up into four.
        while unit.0 + 1 < UNITS.len() && self.0 as f64 / unit.bytes() >= 999.5 {
            unit.0 += 1;
        }
        unit
    }

    /// Its number in this unit, to three digits that matter.
    pub fn in_unit(self, unit: Unit) -> String {
        let value = self.0 as f64 / unit.bytes();
        if unit.0 == 0 || value >= 99.95 {
            return format!("{value:.0}");
        }
        let text = format!("{value:.1}");
        text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
    }
}

impl Unit {
    fn bytes(self) -> f64 {
        1000f64.powi(self.0 as i32)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = self.unit();
        write!(f, "{} {unit}", self.in_unit(unit))
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(UNITS[self.0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_at_most_three_digits_that_matter() {
        let check = |count, expect| assert_eq!(Size(count).to_string(), expect);
        check(0, "0 B");
        check(999, "999 B");
        check(1_000, "1 kB");
        check(1_540, "1.5 kB");
        check(512_000_000, "512 MB");
        check(999_600_000, "1 GB");
        check(2_147_483_648, "2.1 GB");
        check(64_000_000, "64 MB");
        check(u64::MAX, "18.4 EB");
    }
}
