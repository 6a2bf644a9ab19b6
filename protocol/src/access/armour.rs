//! Bytes as one line of text that survives being pasted.
//!
//! Owns: a word and a version digit in front, base32, a checksum, and telling apart what
//! happens to pasted text. Refuses: to know what the bytes mean; who uses it says in the
//! words of its own errors what to do next.

use data_encoding::BASE32_NOPAD;

const CHECKSUM_BYTES: usize = 4;

/// The text form of one kind of thing.
pub(super) struct Armour {
    /// What every text of the kind begins with, in lower case.
    pub word: &'static str,
    /// The digit behind the word.
    pub version: char,
    /// The `derive_key` context of the checksum.
    pub checksum_context: &'static str,
    /// The longest text, in characters.
    pub chars_max: usize,
}

/// Why a text does not have the form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ArmourError {
    /// It does not begin with the word and a digit.
    AnotherWord,
    /// Another digit stands behind the word.
    Version(char),
    /// Longer than the form allows; it was not decoded.
    TooLong,
    /// A character that cannot be in it.
    Character {
        /// What it is.
        character: char,
        /// Which one, from 1, not counting white space.
        at: usize,
    },
    /// Characters are missing or wrong.
    Checksum,
}

impl Armour {
    /// The most bytes that fit into the text.
    pub(super) const fn payload_bytes_max(&self) -> usize {
        (self.chars_max - self.word.len() - 1) * 5 / 8 - CHECKSUM_BYTES
    }

    /// The text of `payload`.
    pub(super) fn text_of(&self, payload: &[u8]) -> String {
        let bytes = [payload, &self.checksum(payload)[..]].concat();
        let mut text = format!("{}{}", self.word, self.version);
        text.push_str(&BASE32_NOPAD.encode(&bytes).to_ascii_lowercase());
        text
    }

    /// The bytes in `text`, with white space around or inside it (wrapped lines) left out.
    pub(super) fn payload_of(&self, text: &str) -> Result<Vec<u8>, ArmourError> {
        let digits = self.digits(text)?;
        let mut bytes = BASE32_NOPAD
            .decode(digits.as_bytes())
            .map_err(|_| ArmourError::Checksum)?;
        let payload_bytes =
            (bytes.len().checked_sub(CHECKSUM_BYTES)).ok_or(ArmourError::Checksum)?;
        let found = bytes.split_off(payload_bytes);
        if found != self.checksum(&bytes) {
            return Err(ArmourError::Checksum);
        }
        Ok(bytes)
    }

    /// Whether `text` can be nothing but of this kind, good or bad, of this version or another.
    pub(super) fn is_meant(&self, text: &str) -> bool {
        let text = text.trim_start().as_bytes();
        let word = text.get(..self.word.len());
        word.is_some_and(|word| word.eq_ignore_ascii_case(self.word.as_bytes()))
            && text.get(self.word.len()).is_some_and(u8::is_ascii_digit)
    }

    /// What stands behind word and version, upper-case, without white space; read no further
    /// than a text can be long.
    fn digits(&self, text: &str) -> Result<String, ArmourError> {
        let mut characters = text.chars().filter(|c| !c.is_whitespace());
        for expected in self.word.chars() {
            let found = characters.next().ok_or(ArmourError::AnotherWord)?;
            if found.to_ascii_lowercase() != expected {
                return Err(ArmourError::AnotherWord);
            }
        }
        match characters.next() {
            Some(version) if version == self.version => {}
            Some(other) if other.is_ascii_digit() => return Err(ArmourError::Version(other)),
            _ => return Err(ArmourError::AnotherWord),
        }
        let mut digits = String::new();
        for (i, character) in characters.enumerate() {
            let at = self.word.len() + 1 + i + 1;
            if at > self.chars_max {
                return Err(ArmourError::TooLong);
            }
            match character.to_ascii_uppercase() {
                digit @ ('A'..='Z' | '2'..='7') => digits.push(digit),
                _ => return Err(ArmourError::Character { character, at }),
            }
        }
        Ok(digits)
    }

    fn checksum(&self, payload: &[u8]) -> [u8; CHECKSUM_BYTES] {
        let hash = blake3::derive_key(self.checksum_context, payload);
        [hash[0], hash[1], hash[2], hash[3]]
    }
}
