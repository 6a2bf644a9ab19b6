//! Makes bytes short for the wire, and long again.
//!
//! Owns: zstd, its contexts, and the buffers that go with one. There are as many encoders as
//! processors, so that no request can take more of them. Refuses: deciding what is worth it
//! (`shoal_protocol::serve::Compression`), and to believe that what it decodes is what was
//! asked for: that is hashed elsewhere.

use std::num::NonZero;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;

use zstd::zstd_safe::{CCtx, DCtx};

/// For bytes as they are: the fastest level that finds what text repeats.
const LEVEL: i32 = 1;
/// For bytes beside a base: the next one misses few matches, one less misses most.
const LEVEL_WITH_BASE: i32 = 3;
/// More encoders than this are not worth their memory.
const ENCODERS_MAX: usize = 8;

/// An encoder with room for what it works on.
pub(crate) struct Encoder {
    context: CCtx<'static>,
    /// Bytes to encode.
    pub(crate) plain: Vec<u8>,
    /// Bytes that resemble them.
    pub(crate) base: Vec<u8>,
}

impl Encoder {
    fn new() -> Self {
        Self {
            context: CCtx::create(),
            plain: Vec::new(),
            base: Vec::new(),
        }
    }

    /// Puts the first `bytes` of what is to be encoded into `out`, compressed. Says whether
    /// they became shorter.
    pub(crate) fn encode(&mut self, bytes: usize, out: &mut Vec<u8>) -> bool {
        let plain = &self.plain[..bytes];
        out.clear();
        // One byte less than they have: what does not fit is not shorter.
        out.reserve(bytes.saturating_sub(1));
        let packed = self.context.compress(out, plain, LEVEL);
        packed.is_ok_and(|packed| packed < bytes)
    }

    /// As [`Self::encode`], for all of it, with what resembles it as the dictionary.
    pub(crate) fn encode_with_base(&mut self, out: &mut Vec<u8>) -> bool {
        out.clear();
        out.reserve(self.plain.len().saturating_sub(1));
        let (plain, base) = (&self.plain, &self.base);
        let packed = (self.context).compress_using_dict(out, plain, base, LEVEL_WITH_BASE);
        packed.is_ok_and(|packed| packed < plain.len())
    }
}

/// The encoders of a node.
pub(crate) struct Encoders {
    free: Mutex<Free>,
    returned: Condvar,
}

struct Free {
    idle: Vec<Encoder>,
    /// Encoders that may still be made.
    unmade: usize,
}

impl Encoders {
    /// As many as there are processors.
    pub(crate) fn new() -> Self {
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        Self {
            free: Mutex::new(Free {
                idle: Vec::new(),
                unmade: processors.min(ENCODERS_MAX),
            }),
            returned: Condvar::new(),
        }
    }

    /// Has `work` done with an encoder, once one is free.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Encoder) -> T) -> T {
        let mut encoder = self.take();
        let done = work(&mut encoder);
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.idle.push(encoder);
        drop(free);
        self.returned.notify_one();
        done
    }

    fn take(&self) -> Encoder {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let none = |free: &mut Free| free.idle.is_empty() && free.unmade == 0;
        let mut free = (self.returned)
            .wait_while(free, none)
            .unwrap_or_else(PoisonError::into_inner);
        free.idle.pop().unwrap_or_else(|| {
            free.unmade -= 1;
            Encoder::new()
        })
    }
}

/// The bytes are not what an encoder makes of so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotEncoded;

/// Turns compressed bytes back.
pub(crate) struct Decoder(DCtx<'static>);

impl Decoder {
    pub(crate) fn new() -> Self {
        Self(DCtx::create())
    }

    /// Fills `plain`, whose length says how many bytes must come out, with what `packed`
    /// stands for beside `base`. Nothing else is allocated, whatever `packed` claims.
    pub(crate) fn decode(
        &mut self,
        packed: &[u8],
        base: Option<&[u8]>,
        plain: &mut [u8],
    ) -> Result<(), NotEncoded> {
        let length = match base {
            Some(base) => self.0.decompress_using_dict(plain, packed, base),
            None => self.0.decompress(plain, packed),
        };
        match length {
            Ok(length) if length == plain.len() => Ok(()),
            _ => Err(NotEncoded),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(bytes: usize) -> Vec<u8> {
        let words = (0..).map(|n: u64| format!("row {n}, value {}\n", n * n % 977));
        words.flat_map(String::into_bytes).take(bytes).collect()
    }

    fn noise(bytes: usize) -> Vec<u8> {
        let mut state = 1u64;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 56) as u8
        };
        (0..bytes).map(|_| next()).collect()
    }

    fn encoder(plain: Vec<u8>, base: Vec<u8>) -> Encoder {
        Encoder {
            plain,
            base,
            ..Encoder::new()
        }
    }

    #[test]
    fn what_was_encoded_comes_back() {
        let plain = text(300_000);
        let mut out = Vec::new();
        assert!(encoder(plain.clone(), Vec::new()).encode(plain.len(), &mut out));
        assert!(out.len() < plain.len() / 3);
        let mut back = vec![0; plain.len()];
        Decoder::new()
            .decode(&out, None, &mut back)
            .expect("decodes");
        assert!(back == plain);
    }

    #[test]
    fn an_edit_beside_its_base_costs_what_it_is() {
        let base = noise(300_000);
        let mut plain = base.clone();
        plain.splice(100_000..100_010, *b"something else");
        let mut out = Vec::new();
        assert!(encoder(plain.clone(), base.clone()).encode_with_base(&mut out));
        assert!(out.len() < 300, "{} bytes", out.len());
        let mut back = vec![0; plain.len()];
        let mut decoder = Decoder::new();
        decoder
            .decode(&out, Some(&base), &mut back)
            .expect("decodes");
        assert!(back == plain);
        // Beside anything else the same bytes are no answer, or another.
        let other = decoder.decode(&out, Some(&noise(299_999)[1..]), &mut back);
        assert!(other.is_err() || back != plain);
    }

    #[test]
    fn noise_does_not_become_shorter() {
        let mut out = Vec::new();
        assert!(!encoder(noise(100_000), Vec::new()).encode(100_000, &mut out));
        assert!(!encoder(Vec::new(), Vec::new()).encode(0, &mut out));
    }

    #[test]
    fn exactly_the_promised_length_comes_out_or_nothing() {
        let plain = text(100_000);
        let mut out = Vec::new();
        assert!(encoder(plain.clone(), Vec::new()).encode(plain.len(), &mut out));
        for length in [0, 1, plain.len() - 1, plain.len() + 1] {
            let mut back = vec![0; length];
            let decoded = Decoder::new().decode(&out, None, &mut back);
            assert_eq!(decoded, Err(NotEncoded), "{length} instead of 100,000");
        }
    }

    #[test]
    fn encoders_are_lent_to_one_at_a_time() {
        let encoders = Encoders::new();
        thread::scope(|scope| {
            for round in 0..32u8 {
                let encoders = &encoders;
                scope.spawn(move || {
                    encoders.with(|encoder| {
                        encoder.plain = vec![round; 10_000];
                        thread::yield_now();
                        assert!(encoder.plain.iter().all(|byte| *byte == round));
                    });
                });
            }
        });
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_decode_to_nothing_or_to_the_length(
            packed in proptest::collection::vec(any::<u8>(), 0..300),
            base in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..300)),
            length in 0usize..2000,
        ) {
            let mut plain = vec![0; length];
            // Whatever comes of it, nothing else is touched.
            let _ = Decoder::new().decode(&packed, base.as_deref(), &mut plain);
            prop_assert_eq!(plain.len(), length);
        }
    }
}
