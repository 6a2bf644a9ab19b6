//! Lists and texts that cannot be longer than their type says.
//!
//! Owns: the check, made before anything is allocated, that what a peer sent fits. Refuses:
//! control characters in texts, because they end up on somebody's terminal.

use std::fmt;
use std::ops::Deref;

use bincode::de::{BorrowDecode, BorrowDecoder, Decoder};
use bincode::enc::Encoder;
use bincode::error::{DecodeError, EncodeError};
use bincode::{Decode, Encode};

/// Why a value does not fit its bounded type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BoundError {
    /// More items, or bytes, than allowed.
    #[error("{length} are more than the {max} allowed")]
    TooMany {
        /// Items or bytes given.
        length: u64,
        /// Items or bytes allowed.
        max: usize,
    },
    /// A text with control characters.
    #[error("the text has control characters")]
    Control,
}

impl From<BoundError> for DecodeError {
    fn from(error: BoundError) -> Self {
        DecodeError::OtherString(error.to_string())
    }
}

fn fits(length: u64, max: usize) -> Result<usize, BoundError> {
    match usize::try_from(length) {
        Ok(length) if length <= max => Ok(length),
        _ => Err(BoundError::TooMany { length, max }),
    }
}

/// At most `MAX` items.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct List<T, const MAX: usize>(Vec<T>);

impl<T, const MAX: usize> List<T, MAX> {
    /// A list of nothing.
    pub const fn empty() -> Self {
        Self(Vec::new())
    }

    /// These items, if they are few enough.
    pub fn new(items: Vec<T>) -> Result<Self, BoundError> {
        fits(items.len() as u64, MAX)?;
        Ok(Self(items))
    }

    /// The items.
    pub fn into_vec(self) -> Vec<T> {
        self.0
    }
}

impl<T, const MAX: usize> Default for List<T, MAX> {
    fn default() -> Self {
        Self::empty()
    }
}

impl<T, const MAX: usize> Deref for List<T, MAX> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: fmt::Debug, const MAX: usize> fmt::Debug for List<T, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: Encode, const MAX: usize> Encode for List<T, MAX> {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        (self.0.len() as u64).encode(encoder)?;
        self.0.iter().try_for_each(|item| item.encode(encoder))
    }
}

impl<C, T: Decode<C>, const MAX: usize> Decode<C> for List<T, MAX> {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let count = fits(u64::decode(decoder)?, MAX)?;
        let items: Result<Vec<T>, _> = (0..count).map(|_| T::decode(decoder)).collect();
        Ok(Self(items?))
    }
}

impl<'de, C, T: Decode<C>, const MAX: usize> BorrowDecode<'de, C> for List<T, MAX> {
    fn borrow_decode<D: BorrowDecoder<'de, Context = C>>(
        decoder: &mut D,
    ) -> Result<Self, DecodeError> {
        Self::decode(decoder)
    }
}

/// A text of at most `MAX` bytes without control characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Encode)]
pub struct Text<const MAX: usize>(String);

impl<const MAX: usize> Text<MAX> {
    /// This text, if it fits.
    pub fn new(text: impl Into<String>) -> Result<Self, BoundError> {
        let text = text.into();
        fits(text.len() as u64, MAX)?;
        if text.chars().any(char::is_control) {
            return Err(BoundError::Control);
        }
        Ok(Self(text))
    }

    /// As much of the text as fits, with control characters left out.
    pub fn cut(text: &str) -> Self {
        let mut kept = String::new();
        for c in text.chars().filter(|c| !c.is_control()) {
            if kept.len() + c.len_utf8() > MAX {
                break;
            }
            kept.push(c);
        }
        Self(kept)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> fmt::Display for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<const MAX: usize> fmt::Debug for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<C, const MAX: usize> Decode<C> for Text<MAX> {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let bytes = List::<u8, MAX>::decode(decoder)?.into_vec();
        let text = String::from_utf8(bytes).map_err(|e| DecodeError::Utf8 {
            inner: e.utf8_error(),
        })?;
        Ok(Self::new(text)?)
    }
}

impl<'de, C, const MAX: usize> BorrowDecode<'de, C> for Text<MAX> {
    fn borrow_decode<D: BorrowDecoder<'de, Context = C>>(
        decoder: &mut D,
    ) -> Result<Self, DecodeError> {
        Self::decode(decoder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;

    #[test]
    fn a_longer_list_is_refused_by_its_count_alone() {
        let count_without_items = codec::encode(&(u64::MAX));
        assert!(codec::decode::<List<u64, 4>, 1024>(&count_without_items).is_err());
        assert!(List::<u8, 2>::new(vec![1, 2, 3]).is_err());
        let bytes = codec::encode(&vec![1u64, 2, 3]);
        let list: List<u64, 3> = codec::decode::<_, 1024>(&bytes).expect("fits");
        assert_eq!(&*list, [1, 2, 3]);
        assert_eq!(codec::encode(&list), bytes);
        assert!(codec::decode::<List<u64, 2>, 1024>(&bytes).is_err());
    }

    #[test]
    fn texts_keep_terminals_safe() {
        assert_eq!(Text::<8>::new("a\x1b[2J"), Err(BoundError::Control));
        assert!(codec::decode::<Text<8>, 64>(&codec::encode(&"a\x07".to_owned())).is_err());
        assert!(codec::decode::<Text<8>, 64>(&codec::encode(&vec![0xffu8, 0xfe])).is_err());
        assert_eq!(Text::<4>::cut("a\x1bäöx").as_str(), "aä");
    }
}
