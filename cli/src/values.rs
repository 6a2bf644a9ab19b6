//! Words of the command line that stand for numbers.
//!
//! Owns: `90s`, `24h`, `7d` and `64KiB`, parsed in one place. Refuses: fractions and
//! numbers without a unit where two units would be likely.

use std::time::Duration;

/// A span of time: `60s`, `10m`, `24h`, `7d`, `1h30m`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a time: write it like 60s, 10m, 24h, 7d or 1h30m");
    let mut seconds = 0u64;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        let unit = rest[digits..].chars().next().ok_or_else(wrong)?;
        let scale = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            'w' => 7 * 86_400,
            _ => return Err(wrong()),
        };
        let part = number.checked_mul(scale).ok_or_else(wrong)?;
        seconds = seconds.checked_add(part).ok_or_else(wrong)?;
        rest = &rest[digits + unit.len_utf8()..];
    }
    if seconds > 1000 * 366 * 86_400 {
        return Err(format!("`{text}` is more than a thousand years"));
    }
    Ok(Duration::from_secs(seconds))
}

/// A span of time that is not none.
pub fn some_time(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("it would be over at once".to_owned()),
        time => Ok(time),
    }
}

/// A number of bytes: `4096`, `64KiB`, `1MB`, `2GiB`.
pub fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a size: write it like 4096, 64KiB, 1MB or 2GiB");
    let text_trimmed = text.trim();
    let digits = text_trimmed.len()
        - text_trimmed
            .trim_start_matches(|c: char| c.is_ascii_digit())
            .len();
    let number: u64 = text_trimmed[..digits].parse().map_err(|_| wrong())?;
    let scale = match text_trimmed[digits..]
        .trim_start()
        .to_ascii_lowercase()
        .as_str()
    {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return Err(wrong()),
    };
    number.checked_mul(scale).ok_or_else(wrong)
}

/// A number of bytes a second: `10MB`, `512KiB/s`; 0 for no limit.
pub fn rate(text: &str) -> Result<u64, String> {
    let rate = size(text.trim().trim_end_matches("/s"))
        .map_err(|_| format!("`{text}` is not a rate: write it like 10MB or 512KiB"))?;
    match rate {
        1..16_384 => Err("less than 16KiB a second keeps no connection open".to_owned()),
        rate => Ok(rate),
    }
}

/// A setting and its value: `listen=10.0.0.5:4747`.
pub fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err(format!(
            "`{text}` is not a setting: write it like listen=10.0.0.5:4747"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        let check = |text, seconds| assert_eq!(duration(text), Ok(Duration::from_secs(seconds)));
        check("60s", 60);
        check("10m", 600);
        check("24h", 86_400);
        check("7d", 604_800);
        check("2w", 1_209_600);
        check("1h30m", 5_400);
        check("0s", 0);
    }

    #[test]
    fn what_is_no_time_is_refused_with_an_example() {
        for text in [
            "",
            "60",
            "1.5h",
            "h",
            "10x",
            "-5m",
            "5 m",
            "99999999999999999999s",
            "5é",
        ] {
            let error = duration(text).expect_err(text);
            assert!(error.contains("60s"), "{error}");
        }
        assert!(duration("999999999999d").is_err());
        assert!(duration("18446744073709551615s").is_err());
    }

    #[test]
    fn sizes_may_have_units() {
        let check = |text, bytes| assert_eq!(size(text), Ok(bytes));
        check("0", 0);
        check("4096", 4096);
        check("64KiB", 65_536);
        check("64k", 65_536);
        check("1MB", 1_000_000);
        check("2 GiB", 2 << 30);
        for text in ["", "MB", "1.5MB", "-1", "1XB", "99999999999TiB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
