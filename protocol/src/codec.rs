//! Canonical, bounded bytes for everything that is hashed, signed, stored or sent.
//!
//! Owns: the one bincode configuration (fixed-width little-endian integers) and its bounds.
//! No other module names bincode's functions, so that the library can be replaced here.
//! Refuses: unbounded input, trailing bytes, and (in [`decode_canonical`]) bytes that are
//! not exactly what [`encode`] gives for the value, so that one value has one id.

use bincode::config::{Configuration, Fixint, Limit, LittleEndian};
use bincode::de::{Decoder, read::Reader};
use bincode::enc::{Encoder, write::Writer};
use bincode::error::{DecodeError, EncodeError};
use bincode::{Decode, Encode};

/// Why bytes are not a value.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// The bytes are longer than any value of this kind may be.
    #[error("{length} bytes are more than the {limit} allowed")]
    TooLong {
        /// Bytes given.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The bytes are not a value of this type.
    #[error("malformed bytes: {0}")]
    Malformed(String),
    /// Bytes are left over behind the value.
    #[error("{0} trailing bytes")]
    Trailing(usize),
    /// The value has another encoding than these bytes.
    #[error("not the canonical encoding of its value")]
    NotCanonical,
}

fn config<const LIMIT: usize>() -> Configuration<LittleEndian, Fixint, Limit<LIMIT>> {
    bincode::config::standard()
        .with_little_endian()
        .with_fixed_int_encoding()
        .with_limit::<LIMIT>()
}

/// The canonical bytes of `value`.
pub fn encode<T: Encode>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_into(value, &mut bytes);
    bytes
}

/// Appends the canonical bytes of `value` to `bytes`.
pub fn encode_into<T: Encode>(value: &T, bytes: &mut Vec<u8>) {
    let unlimited = bincode::config::standard()
        .with_little_endian()
        .with_fixed_int_encoding();
    bincode::encode_into_std_write(value, bytes, unlimited)
        .expect("encoding to memory has no way to fail");
}

/// The value that `bytes` encode; at most `LIMIT` bytes are read or allocated.
pub fn decode<T: Decode<()>, const LIMIT: usize>(bytes: &[u8]) -> Result<T, CodecError> {
    if bytes.len() > LIMIT {
        return Err(CodecError::TooLong {
            length: bytes.len(),
            limit: LIMIT,
        });
    }
    let (value, read) = bincode::decode_from_slice(bytes, config::<LIMIT>())
        .map_err(|e| CodecError::Malformed(e.to_string()))?;
    match bytes.len() - read {
        0 => Ok(value),
        left => Err(CodecError::Trailing(left)),
    }
}

/// As [`decode`], and refuses bytes that differ from the value's own encoding.
/// Use it for everything that is hashed or signed.
pub fn decode_canonical<T: Encode + Decode<()>, const LIMIT: usize>(
    bytes: &[u8],
) -> Result<T, CodecError> {
    let value = decode::<T, LIMIT>(bytes)?;
    let mut again = Vec::with_capacity(bytes.len());
    encode_into(&value, &mut again);
    if again != bytes {
        return Err(CodecError::NotCanonical);
    }
    Ok(value)
}

/// Text of at most 65,535 bytes, as paths and the like are encoded: its length in two
/// bytes, then its UTF-8 bytes.
pub(crate) fn encode_text<E: Encoder>(text: &str, encoder: &mut E) -> Result<(), EncodeError> {
    let length = u16::try_from(text.len()).expect("the type of the text bounds its length");
    length.encode(encoder)?;
    encoder.writer().write(text.as_bytes())
}

/// Reads what [`encode_text`] wrote. Nothing is allocated for more than `bytes_max`.
pub(crate) fn decode_text<D: Decoder>(
    bytes_max: usize,
    decoder: &mut D,
) -> Result<String, DecodeError> {
    let length = usize::from(u16::decode(decoder)?);
    if length > bytes_max {
        return Err(malformed(format_args!(
            "a text of {length} bytes, at most {bytes_max} are allowed"
        )));
    }
    decoder.claim_bytes_read(length)?;
    let mut bytes = vec![0; length];
    decoder.reader().read(&mut bytes)?;
    String::from_utf8(bytes).map_err(|_| malformed("a text that is not UTF-8"))
}

/// The error of a decoder that refuses a value.
pub(crate) fn malformed(why: impl std::fmt::Display) -> DecodeError {
    DecodeError::OtherString(why.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, PartialEq, Encode, Decode)]
    struct Sample {
        flag: bool,
        number: u32,
        text: String,
        list: Vec<u64>,
        choice: Option<[u8; 4]>,
    }

    fn sample() -> Sample {
        Sample {
            flag: true,
            number: 7,
            text: "hé".to_owned(),
            list: vec![1, 2],
            choice: Some(*b"abcd"),
        }
    }

    /// Golden: everything hashed or signed is encoded in this manner.
    #[test]
    fn integers_are_fixed_width_and_little_endian() {
        let hex = data_encoding::HEXLOWER.encode(&encode(&sample()));
        assert_eq!(
            hex,
            "01\
             07000000\
             0300000000000000\
             68c3a9\
             0200000000000000\
             01000000000000000200000000000000\
             0161626364"
        );
        let back: Sample = decode_canonical::<_, 100>(&encode(&sample())).expect("canonical");
        assert_eq!(back, sample());
    }

    #[test]
    fn trailing_bytes_and_long_input_are_refused() {
        let mut bytes = encode(&sample());
        bytes.push(0);
        assert!(matches!(
            decode::<Sample, 100>(&bytes),
            Err(CodecError::Trailing(1))
        ));
        assert!(matches!(
            decode::<Sample, 10>(&bytes),
            Err(CodecError::TooLong {
                length: 46,
                limit: 10
            })
        ));
    }

    #[test]
    fn a_value_with_two_encodings_is_read_from_one_only() {
        let map: std::collections::BTreeMap<u8, u8> = [(1, 1), (2, 2)].into();
        let straight = encode(&map);
        let mut swapped = straight.clone();
        swapped[8..].rotate_left(2);
        type Map = std::collections::BTreeMap<u8, u8>;
        assert_eq!(decode::<Map, 100>(&swapped).expect("a map"), map);
        assert!(matches!(
            decode_canonical::<Map, 100>(&swapped),
            Err(CodecError::NotCanonical)
        ));
    }

    #[test]
    fn a_claimed_length_is_not_believed() {
        let bytes = encode(&(u64::MAX / 2));
        assert!(decode::<Vec<u64>, 1000>(&bytes).is_err());
        assert!(decode::<String, 1000>(&bytes).is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_a_value_or_an_error(bytes: Vec<u8>) {
            if let Ok(value) = decode_canonical::<Sample, 1000>(&bytes) {
                prop_assert_eq!(encode(&value), bytes);
            }
        }
    }
}
