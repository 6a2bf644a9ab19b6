//! Decides for one connection whether what is sent is worth compressing.
//!
//! Owns: how fast the link takes bytes, how fast the encoder makes them, and whether the last
//! bytes became shorter. Compression pays where the link is slower than the encoder and the
//! bytes become shorter by a tenth; bytes that do not are looked at again at growing
//! intervals, by a sample. Refuses: bytes, clocks, and the choice of an encoder.

use std::time::Duration;

/// What a piece that is not known to pay is judged by.
pub const SAMPLE_BYTES: usize = 64 << 10;

/// An encoder is taken to be this fast until one was timed, in nanoseconds a byte.
const ENCODER_NS: f64 = 4.0;
/// What is compressed to less than this part of itself is worth it.
const WORTHWHILE: f64 = 0.9;
/// Weight of the newest measurement.
const NEWEST: f64 = 0.25;
/// Frames shorter than this say nothing about a link.
const TIMED_BYTES_MIN: usize = 32 << 10;
/// The most pieces that go by before another sample.
const SKIPPED_MAX: u32 = 64;

/// What to do with a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// Send it as it is.
    Raw,
    /// Compress [`SAMPLE_BYTES`] of it first, and the rest if that pays.
    Sample,
    /// Compress it.
    Whole,
}

/// See the top of this file.
#[derive(Debug, Clone)]
pub struct Compression {
    /// Nanoseconds that the link takes for a byte; nothing until it was busy once.
    link: Option<f64>,
    /// Nanoseconds that the encoder takes for a plain byte.
    encoder: f64,
    /// Whether the last bytes became shorter.
    pays: bool,
    /// Pieces that still go by.
    skip: u32,
    /// How many go by after the next sample that does not pay.
    skip_next: u32,
}

impl Default for Compression {
    fn default() -> Self {
        Self {
            link: None,
            encoder: ENCODER_NS,
            pays: false,
            skip: 0,
            skip_next: 1,
        }
    }
}

impl Compression {
    /// Notes that the link took `bytes` in `time`, while more was waiting for it.
    pub fn sent(&mut self, bytes: usize, time: Duration) {
        if bytes >= TIMED_BYTES_MIN {
            let sample = nanoseconds_a_byte(bytes, time);
            self.link = Some(self.link.map_or(sample, |link| mix(link, sample)));
        }
    }

    /// What to do with the next piece.
    pub fn attempt(&mut self) -> Attempt {
        if self.skip > 0 {
            self.skip -= 1;
            return Attempt::Raw;
        }
        let Some(link) = self.link else {
            return Attempt::Raw;
        };
        if self.is_slower_than(link) {
            // The encoder may have been slow because others used the processor.
            self.put_off();
            self.encoder = mix(self.encoder, ENCODER_NS);
            return Attempt::Raw;
        }
        match self.pays {
            true => Attempt::Whole,
            false => Attempt::Sample,
        }
    }

    /// Notes that the encoder made `packed` bytes of `plain` ones in `time`; says whether
    /// that is worth it.
    pub fn encoded(&mut self, plain: usize, packed: usize, time: Duration) -> bool {
        self.encoder = mix(self.encoder, nanoseconds_a_byte(plain, time));
        self.pays = is_worthwhile(plain, packed);
        match self.pays && !self.link.is_some_and(|link| self.is_slower_than(link)) {
            true => self.skip_next = 1,
            false => self.put_off(),
        }
        self.pays
    }

    fn is_slower_than(&self, link: f64) -> bool {
        self.encoder >= link * WORTHWHILE
    }

    fn put_off(&mut self) {
        self.skip = self.skip_next;
        self.skip_next = (self.skip_next * 2).min(SKIPPED_MAX);
    }
}

/// Whether `packed` bytes instead of `plain` ones are worth the work of both sides.
pub fn is_worthwhile(plain: usize, packed: usize) -> bool {
    (packed as f64) < plain as f64 * WORTHWHILE
}

fn nanoseconds_a_byte(bytes: usize, time: Duration) -> f64 {
    time.as_nanos() as f64 / bytes.max(1) as f64
}

fn mix(known: f64, newest: f64) -> f64 {
    known * (1.0 - NEWEST) + newest * NEWEST
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECE: usize = 512 << 10;

    /// A connection whose link and encoder take so many nanoseconds for a byte, and bytes
    /// that are compressed to this part of themselves. Gives how many of the last hundred
    /// pieces were compressed.
    fn compressed(link: f64, encoder: f64, ratio: f64) -> usize {
        let mut machine = Compression::default();
        let time = |bytes: usize, each: f64| Duration::from_nanos((bytes as f64 * each) as u64);
        let mut whole = Vec::new();
        for _ in 0..300 {
            let mut bytes = PIECE;
            let mut attempt = machine.attempt();
            if attempt == Attempt::Sample {
                let packed = (SAMPLE_BYTES as f64 * ratio) as usize;
                if machine.encoded(SAMPLE_BYTES, packed, time(SAMPLE_BYTES, encoder)) {
                    attempt = Attempt::Whole;
                }
            }
            if attempt == Attempt::Whole {
                let packed = (PIECE as f64 * ratio) as usize;
                machine.encoded(PIECE, packed, time(PIECE, encoder));
                bytes = packed;
            }
            whole.push(attempt == Attempt::Whole);
            machine.sent(bytes, time(bytes, link));
        }
        whole[200..].iter().filter(|whole| **whole).count()
    }

    #[test]
    fn text_on_a_slow_link_is_compressed_and_nothing_else_is() {
        for (what, link, encoder, ratio, expected) in [
            ("text at 200 Mbit/s", 40.0, 3.0, 0.4, 100),
            ("text at 1 Gbit/s", 8.0, 3.0, 0.4, 100),
            ("text through this machine", 1.0, 3.0, 0.4, 0),
            ("noise at 200 Mbit/s", 40.0, 3.0, 1.0, 0),
            ("text at 200 Mbit/s, no processor left", 40.0, 100.0, 0.4, 0),
        ] {
            let found = compressed(link, encoder, ratio);
            assert!(found.abs_diff(expected) <= 3, "{what}: {found} of 100");
        }
    }

    #[test]
    fn a_link_that_was_never_busy_is_not_judged() {
        let mut machine = Compression::default();
        machine.sent(100, Duration::from_secs(1));
        assert_eq!(machine.attempt(), Attempt::Raw);
        machine.sent(PIECE, Duration::from_millis(30));
        assert_eq!(machine.attempt(), Attempt::Sample);
    }

    #[test]
    fn what_does_not_pay_is_sampled_ever_less_often() {
        let mut machine = Compression::default();
        machine.sent(PIECE, Duration::from_millis(30));
        let mut samples = 0;
        for _ in 0..1000 {
            if machine.attempt() == Attempt::Sample {
                samples += 1;
                machine.encoded(SAMPLE_BYTES, SAMPLE_BYTES, Duration::from_micros(200));
            }
        }
        assert!((10..=25).contains(&samples), "{samples} samples");
    }
}
