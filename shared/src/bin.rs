//! Reading MessagePack `bin` and arrays into bounded memory: the one way that bytes and rows from
//! the wire become ours.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

/// Reads a `bin` of at most `MAX` bytes.
pub(crate) fn bounded<'de, D: Deserializer<'de>, const MAX: usize>(
    deserializer: D,
) -> Result<Box<[u8]>, D::Error> {
    deserializer.deserialize_bytes(BytesVisitor { max: MAX })
}

/// Reads a `bin` of exactly `N` bytes.
pub(crate) fn array<'de, D: Deserializer<'de>, const N: usize>(
    deserializer: D,
) -> Result<[u8; N], D::Error> {
    let bytes = deserializer.deserialize_bytes(BytesVisitor { max: N })?;
    <[u8; N]>::try_from(&*bytes)
        .map_err(|_| D::Error::invalid_length(bytes.len(), &"the fixed number of bytes"))
}

struct BytesVisitor {
    max: usize,
}

impl<'de> Visitor<'de> for BytesVisitor {
    type Value = Box<[u8]>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {} bytes", self.max)
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        if bytes.len() > self.max {
            return Err(E::invalid_length(bytes.len(), &self));
        }
        Ok(bytes.into())
    }

    fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Self::Value, E> {
        self.visit_bytes(&bytes)
    }

    // Formats without a byte type (JSON in tests) write bytes as a sequence of numbers.
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut bytes = Vec::new();
        while let Some(byte) = seq.next_element()? {
            if bytes.len() == self.max {
                return Err(A::Error::invalid_length(bytes.len() + 1, &self));
            }
            bytes.push(byte);
        }
        Ok(bytes.into())
    }
}

/// Reads an array of at most `MAX` elements.
pub(crate) fn row<'de, D, T, const MAX: usize>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_seq(RowVisitor::<T> { max: MAX, element: PhantomData })
}

struct RowVisitor<T> {
    max: usize,
    element: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for RowVisitor<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {} elements", self.max)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut row = Vec::with_capacity(seq.size_hint().unwrap_or(0).min(self.max));
        while let Some(element) = seq.next_element()? {
            if row.len() == self.max {
                return Err(A::Error::invalid_length(self.max + 1, &self));
            }
            row.push(element);
        }
        Ok(row)
    }
}
