//! Canonical, bounded bytes for everything that is hashed, signed, stored or sent.
//!
//! Owns: the one bincode configuration (fixed-width little-endian integers) and its bounds.
//! No other module names bincode's functions, so that the library can be replaced here.
//! Refuses: unbounded input, trailing bytes, and (in [`decode_canonical`]) bytes that are
//! not exactly what [`encode`] gives for the value, so that one value has one id.

use bincode::config::{Configuration, Fixint, Limit, LittleEndian};
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
    let unlimited = bincode::config::standard()
        .with_little_endian()
        .with_fixed_int_encoding();
    bincode::encode_to_vec(value, unlimited).expect("encoding to memory has no way to fail")
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
    if encode(&value) != bytes {
        return Err(CodecError::NotCanonical);
    }
    Ok(value)
}
