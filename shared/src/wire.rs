//! The header of a frame: an envelope that everyone can read, around arguments that only those who
//! know the operation can.
//!
//! A header is a MessagePack map `{id, op, flags, args}` and is read in two passes. The first knows
//! no message: it walks the bytes without taking memory, checks every length that they claim, finds
//! the four fields and leaves `args` as bytes. The second reads `args` as the type that `op` names.
//! So an unknown operation can be refused with its own id, and an unknown field costs nothing.
//!
//! Invariant: nothing here allocates on behalf of a length that the bytes do not back, and no
//! value is read by a typed decoder that the walker has not seen to its end.

use std::fmt;
use std::ops::BitOr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::id::RequestId;
use crate::limits::MAX_NESTING;

/// What a frame is about. A newtype, so that an unknown operation survives to be refused by number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Op(pub u16);

impl fmt::Debug for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Op({:#06x})", self.0)
    }
}

/// Bits beside an operation. Unknown bits are carried and mean nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Flags(pub u8);

impl Flags {
    /// No bit set: a frame of a request that more frames follow.
    pub const NONE: Self = Self(0);
    /// No more frames of this request, or of this answer, follow.
    pub const LAST: Self = Self(1);
    /// The frame answers the request of its id.
    pub const ANSWER: Self = Self(2);
    /// The answer is a refusal. Always with [`Self::LAST`] and [`Self::ANSWER`].
    pub const ERROR: Self = Self(4);

    /// What a request in one frame carries.
    pub const REQUEST: Self = Self::LAST;
    /// What the one or the last frame of an answer carries.
    pub const LAST_ANSWER: Self = Self(Self::LAST.0 | Self::ANSWER.0);
    /// What a refusal carries.
    pub const REFUSAL: Self = Self(Self::LAST.0 | Self::ANSWER.0 | Self::ERROR.0);

    /// Whether every bit of `other` is set here.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether no more frames of this request or answer follow.
    pub const fn is_last(self) -> bool {
        self.contains(Self::LAST)
    }

    /// Whether the frame answers a request.
    pub const fn is_answer(self) -> bool {
        self.contains(Self::ANSWER)
    }

    /// Whether the frame refuses a request.
    pub const fn is_error(self) -> bool {
        self.contains(Self::ERROR)
    }
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A header after the first pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// Pairs answer and request.
    pub id: RequestId,
    /// Says what `args` are.
    pub op: Op,
    /// Missing ones are [`Flags::NONE`].
    pub flags: Flags,
    /// One walked MessagePack value; an empty map if the header had none.
    pub args: &'a [u8],
}

/// Why bytes are no header, or no arguments of their operation.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// A length or count claims more bytes than there are.
    #[error("a value claims more bytes than the header has")]
    Truncated,
    /// Maps and arrays nested deeper than [`MAX_NESTING`].
    #[error("maps and arrays are nested deeper than {MAX_NESTING}")]
    TooDeep,
    /// An extension type, or the marker that MessagePack never uses.
    #[error("type {marker:#04x} is not allowed")]
    ForbiddenType {
        /// The value's first byte.
        marker: u8,
    },
    /// Bytes after the one value.
    #[error("{count} bytes follow the value")]
    TrailingBytes {
        /// How many.
        count: usize,
    },
    /// The header is another value than a map.
    #[error("the header is no map")]
    NotAMap,
    /// A key of the header's map is no string.
    #[error("a key of the header is no string")]
    KeyNotString,
    /// A field stands twice.
    #[error("the field `{field}` stands twice")]
    Duplicate {
        /// Its name.
        field: &'static str,
    },
    /// A field that every header has is missing.
    #[error("the field `{field}` is missing")]
    Missing {
        /// Its name.
        field: &'static str,
    },
    /// A field of the envelope is no whole number, or one out of its range.
    #[error("the field `{field}` is no number in its range")]
    NotInRange {
        /// Its name.
        field: &'static str,
    },
    /// The arguments do not fit their operation.
    #[error("the arguments do not fit the operation: {0}")]
    Args(#[source] rmp_serde::decode::Error),
}

/// An empty map: what missing arguments stand for.
const NO_ARGS: &[u8] = &[0x80];

impl<'a> Envelope<'a> {
    /// Reads a whole header. Unknown fields are skipped; known ones may stand once, in any order.
    pub fn decode(header: &'a [u8]) -> Result<Self, DecodeError> {
        // The whole value first: after it, every slice below is known to be there.
        refuse_trailing(header, value_length(header, MAX_NESTING)?)?;
        let mut walker = Walker { bytes: header, at: 0 };
        let Head::Map(count) = walker.head()? else { return Err(DecodeError::NotAMap) };

        let (mut id, mut op, mut flags, mut args) = (None, None, None, None);
        for _ in 0..count {
            let key = walker.string_key()?;
            let start = walker.at;
            walker.value(MAX_NESTING)?;
            let value = &header[start..walker.at];
            match key {
                b"id" => set_once(&mut id, "id", number(value, "id")?)?,
                b"op" => set_once(&mut op, "op", number(value, "op")?)?,
                b"flags" => set_once(&mut flags, "flags", number(value, "flags")?)?,
                b"args" => set_once(&mut args, "args", value)?,
                _ => {}
            }
        }
        Ok(Self {
            id: RequestId(id.ok_or(DecodeError::Missing { field: "id" })?),
            op: Op(op.ok_or(DecodeError::Missing { field: "op" })?),
            flags: Flags(flags.unwrap_or_default()),
            args: args.unwrap_or(NO_ARGS),
        })
    }
}

/// Writes a header.
///
/// # Panics
/// If `args` refuses to be serialised; no message of this crate does.
pub fn encode_header<T: Serialize + ?Sized>(
    id: RequestId,
    op: Op,
    flags: Flags,
    args: &T,
) -> Vec<u8> {
    #[derive(Serialize)]
    struct Header<'a, T: ?Sized> {
        id: RequestId,
        op: Op,
        flags: Flags,
        args: &'a T,
    }
    rmp_serde::to_vec_named(&Header { id, op, flags, args })
        .expect("messages have known lengths and are written to memory")
}

/// Writes arguments alone, as [`decode_args`] reads them.
///
/// # Panics
/// If `args` refuses to be serialised; no message of this crate does.
pub fn encode_args<T: Serialize + ?Sized>(args: &T) -> Vec<u8> {
    rmp_serde::to_vec_named(args).expect("messages have known lengths and are written to memory")
}

/// Reads arguments as the type that their operation names.
pub fn decode_args<T: DeserializeOwned>(args: &[u8]) -> Result<T, DecodeError> {
    // The header's own map is the first level.
    refuse_trailing(args, value_length(args, MAX_NESTING - 1)?)?;
    let mut deserializer = rmp_serde::Deserializer::from_read_ref(args);
    // rmp-serde counts levels of its own (options, newtypes); the walker has bounded the real ones.
    deserializer.set_max_depth(4 * MAX_NESTING);
    T::deserialize(&mut deserializer).map_err(DecodeError::Args)
}

/// Bytes that the first value of `bytes` takes, with at most `max_nesting` maps and arrays inside
/// each other. Takes no memory and never looks past the end.
pub fn value_length(bytes: &[u8], max_nesting: usize) -> Result<usize, DecodeError> {
    let mut walker = Walker { bytes, at: 0 };
    walker.value(max_nesting)?;
    Ok(walker.at)
}

fn refuse_trailing(bytes: &[u8], length: usize) -> Result<(), DecodeError> {
    match bytes.len() - length {
        0 => Ok(()),
        count => Err(DecodeError::TrailingBytes { count }),
    }
}

fn set_once<T>(slot: &mut Option<T>, field: &'static str, value: T) -> Result<(), DecodeError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(DecodeError::Duplicate { field }),
    }
}

fn number<T: TryFrom<u64>>(value: &[u8], field: &'static str) -> Result<T, DecodeError> {
    let mut walker = Walker { bytes: value, at: 0 };
    match walker.head()? {
        Head::Unsigned(number) => {
            T::try_from(number).map_err(|_| DecodeError::NotInRange { field })
        }
        _ => Err(DecodeError::NotInRange { field }),
    }
}

/// What stands at the start of a value.
enum Head {
    /// Nil, a boolean, a float or a negative number; its bytes are passed.
    Scalar,
    Unsigned(u64),
    /// Bytes of text that follow.
    Text(usize),
    /// Bytes of `bin` that follow.
    Bin(usize),
    /// Values that follow.
    Array(usize),
    /// Pairs of values that follow.
    Map(usize),
}

struct Walker<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Walker<'a> {
    /// Passes one whole value.
    fn value(&mut self, max_nesting: usize) -> Result<(), DecodeError> {
        // `open[..depth]` are the values still to come in each open container.
        let mut open = [0_usize; MAX_NESTING];
        let max_nesting = max_nesting.min(MAX_NESTING);
        let mut depth = 0;
        loop {
            let children = match self.head()? {
                Head::Scalar | Head::Unsigned(_) => None,
                Head::Text(length) | Head::Bin(length) => {
                    self.take(length)?;
                    None
                }
                Head::Array(count) => Some(count),
                Head::Map(count) => Some(count.checked_mul(2).ok_or(DecodeError::Truncated)?),
            };
            if let Some(children) = children {
                if depth == max_nesting {
                    return Err(DecodeError::TooDeep);
                }
                // Each value takes a byte at least, so a count is backed by bytes or a lie.
                if children > self.bytes.len() - self.at {
                    return Err(DecodeError::Truncated);
                }
                open[depth] = children;
                depth += 1;
            }
            while depth > 0 && open[depth - 1] == 0 {
                depth -= 1;
            }
            if depth == 0 {
                return Ok(());
            }
            open[depth - 1] -= 1;
        }
    }

    fn string_key(&mut self) -> Result<&'a [u8], DecodeError> {
        match self.head()? {
            Head::Text(length) => self.take(length),
            _ => Err(DecodeError::KeyNotString),
        }
    }

    /// Passes the marker and the number or length behind it.
    fn head(&mut self) -> Result<Head, DecodeError> {
        let marker = self.take(1)?[0];
        Ok(match marker {
            0x00..=0x7f => Head::Unsigned(u64::from(marker)),
            0x80..=0x8f => Head::Map(usize::from(marker & 0x0f)),
            0x90..=0x9f => Head::Array(usize::from(marker & 0x0f)),
            0xa0..=0xbf => Head::Text(usize::from(marker & 0x1f)),
            0xc0 | 0xc2 | 0xc3 | 0xe0..=0xff => Head::Scalar,
            0xc4 => Head::Bin(self.length(1)?),
            0xc5 => Head::Bin(self.length(2)?),
            0xc6 => Head::Bin(self.length(4)?),
            0xca => self.scalar(4)?,
            0xcb => self.scalar(8)?,
            0xcc => Head::Unsigned(self.unsigned(1)?),
            0xcd => Head::Unsigned(self.unsigned(2)?),
            0xce => Head::Unsigned(self.unsigned(4)?),
            0xcf => Head::Unsigned(self.unsigned(8)?),
            0xd0 => self.signed(1)?,
            0xd1 => self.signed(2)?,
            0xd2 => self.signed(4)?,
            0xd3 => self.signed(8)?,
            0xd9 => Head::Text(self.length(1)?),
            0xda => Head::Text(self.length(2)?),
            0xdb => Head::Text(self.length(4)?),
            0xdc => Head::Array(self.length(2)?),
            0xdd => Head::Array(self.length(4)?),
            0xde => Head::Map(self.length(2)?),
            0xdf => Head::Map(self.length(4)?),
            0xc1 | 0xc7..=0xc9 | 0xd4..=0xd8 => return Err(DecodeError::ForbiddenType { marker }),
        })
    }

    fn scalar(&mut self, width: usize) -> Result<Head, DecodeError> {
        self.take(width).map(|_| Head::Scalar)
    }

    /// A signed number that is not negative counts as the unsigned one.
    fn signed(&mut self, width: usize) -> Result<Head, DecodeError> {
        let number = self.unsigned(width)?;
        let negative = number >> (8 * width - 1) == 1;
        Ok(if negative { Head::Scalar } else { Head::Unsigned(number) })
    }

    fn length(&mut self, width: usize) -> Result<usize, DecodeError> {
        usize::try_from(self.unsigned(width)?).map_err(|_| DecodeError::Truncated)
    }

    fn unsigned(&mut self, width: usize) -> Result<u64, DecodeError> {
        Ok(self.take(width)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let end = self.at.checked_add(count).ok_or(DecodeError::Truncated)?;
        let taken = self.bytes.get(self.at..end).ok_or(DecodeError::Truncated)?;
        self.at = end;
        Ok(taken)
    }
}

#[cfg(test)]
#[path = "wire/tests.rs"]
mod tests;
