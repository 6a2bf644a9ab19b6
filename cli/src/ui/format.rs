//! Numbers, times and names as people read them.
//!
//! Owns: every rounding and every unit that is shown; those of sizes are
//! [`Size`]'s. Refuses: layout.

use std::fmt::Write;
use std::time::Duration;

use shoal_protocol::size::Size;

/// A size: `512 MB`, `1.5 GB`, `0 B`.
pub fn bytes(count: u64) -> String {
    Size(count).to_string()
}

/// A part of a whole in the unit of the whole: `0.3 of 512 MB`. A part that would round to
/// nothing keeps its own unit: `12 kB of 512 MB`.
pub fn bytes_of(part: u64, whole: u64) -> String {
    let (part, whole) = (Size(part), Size(whole));
    let unit = whole.unit();
    let shown = part.in_unit(unit);
    if part.unit() > unit || (part > Size(0) && shown == "0") {
        return format!("{part} of {whole}");
    }
    format!("{shown} of {whole}")
}

/// A rate: `312 MB/s`.
pub fn rate(bytes_per_second: f64) -> String {
    format!("{}/s", bytes(bytes_per_second.max(0.0) as u64))
}

/// A count with thousands set apart: `3,112`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count and its noun: `1 file`, `3,112 files`, `2 entries`, `2 keys`.
pub fn counted(number: u64, noun: &str) -> String {
    let stem = noun.strip_suffix('y').filter(|stem| !stem.ends_with('e'));
    match (number, stem) {
        (1, _) => format!("1 {noun}"),
        (_, Some(stem)) => format!("{} {stem}ies", count(number)),
        (_, None) => format!("{} {noun}s", count(number)),
    }
}

/// A percentage that says 100 only when everything is there.
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "100 %".to_owned();
    }
    let value = u128::from(part.min(whole)) * 100 / u128::from(whole);
    format!("{value} %")
}

/// How long something took: `0.04 s`, `1.2 s`, `45 s`, `3 min 12 s`, `2 h 05 min`, `4 d 3 h`.
pub fn elapsed(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 0.095 {
        return format!("{seconds:.2} s");
    }
    if seconds < 9.95 {
        return format!("{seconds:.1} s");
    }
    coarse(seconds.round() as u64)
}

/// How long something may take or last, in whole seconds.
pub fn coarse(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => two_units(seconds / 60, "min", seconds % 60, "s"),
        3600..86_400 => two_units(seconds / 3600, "h", seconds % 3600 / 60, "min"),
        _ => two_units(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

/// A moment, as `2026-11-23 06:09 UTC`.
pub fn utc(unix_seconds: u64) -> String {
    let (days, second) = (unix_seconds / 86_400, unix_seconds % 86_400);
    let (year, month, day) = civil(days);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02} UTC",
        second / 3600,
        second % 3600 / 60
    )
}

/// A name from outside, safe on a terminal and on one line: control and direction-changing
/// characters are shown escaped, so that no peer's file name can move the cursor.
pub fn name(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        let turns = matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if character.is_control() || turns {
            let _ = write!(safe, "{}", character.escape_default());
        } else {
            safe.push(character);
        }
    }
    safe
}

/// An id cut to its kind and 12 digits: `snap_1f3a9c0b22d4`. Other texts stay whole.
pub fn short_id(text: &str) -> &str {
    match text.find('_') {
        Some(at) => text.get(..at + 13).unwrap_or(text),
        None => text,
    }
}

fn two_units(major: u64, major_unit: &str, minor: u64, minor_unit: &str) -> String {
    if minor == 0 {
        format!("{major} {major_unit}")
    } else {
        format!("{major} {major_unit} {minor:02} {minor_unit}")
    }
}

/// Year, month and day of a day since 1970. After Howard Hinnant's `civil_from_days`,
/// <https://howardhinnant.github.io/date_algorithms.html>.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_shown_in_the_unit_of_its_whole() {
        let check = |part, whole, expect| assert_eq!(bytes_of(part, whole), expect);
        check(300_000, 512_000_000, "0.3 of 512 MB");
        check(12_000, 512_000_000, "12 kB of 512 MB");
        check(0, 512_000_000, "0 of 512 MB");
        check(512_000_000, 512_000_000, "512 of 512 MB");
        check(513_000_000, 512_000_000, "513 of 512 MB");
        check(0, 0, "0 of 0 B");
        check(1_200, 100, "1.2 kB of 100 B");
    }

    #[test]
    fn counts_are_grouped_and_nouns_agree() {
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(12), "12");
        assert_eq!(counted(1, "file"), "1 file");
        assert_eq!(counted(3_112, "file"), "3,112 files");
        assert_eq!(counted(0, "entry"), "0 entries");
        assert_eq!(counted(2, "key"), "2 keys");
    }

    #[test]
    fn only_everything_is_a_hundred_percent() {
        assert_eq!(percent(999, 1000), "99 %");
        assert_eq!(percent(1000, 1000), "100 %");
        assert_eq!(percent(0, 0), "100 %");
        assert_eq!(percent(u64::MAX - 1, u64::MAX), "99 %");
    }

    #[test]
    fn times_have_one_or_two_units() {
        let check = |ms, expect| assert_eq!(elapsed(Duration::from_millis(ms)), expect);
        check(40, "0.04 s");
        check(1_234, "1.2 s");
        check(9_960, "10 s");
        check(45_400, "45 s");
        check(192_000, "3 min 12 s");
        check(180_000, "3 min");
        check(7_500_000, "2 h 05 min");
        check(4 * 86_400_000 + 3 * 3_600_000, "4 d 03 h");
    }

    #[test]
    fn moments_are_utc() {
        assert_eq!(utc(0), "1970-01-01 00:00 UTC");
        assert_eq!(utc(1_795_414_143), "2026-11-23 06:09 UTC");
        assert_eq!(utc(951_782_400), "2000-02-29 00:00 UTC");
    }

    #[test]
    fn names_cannot_move_the_cursor() {
        assert_eq!(name("ä/日本.txt"), "ä/日本.txt");
        assert_eq!(name("a\x1b[2Jb\n"), "a\\u{1b}[2Jb\\n");
        assert_eq!(name("gpj.\u{202e}exe"), "gpj.\\u{202e}exe");
    }

    #[test]
    fn ids_are_cut_and_other_texts_are_not() {
        assert_eq!(short_id("snap_1f3a9c0b22d4ffff"), "snap_1f3a9c0b22d4");
        assert_eq!(short_id("snap_1f"), "snap_1f");
        assert_eq!(short_id("lab/x"), "lab/x");
    }
}
