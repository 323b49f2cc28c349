//! Frames: `header length u32 LE | body length u32 LE | header | body`.
//!
//! The header is MessagePack ([`crate::wire`]), the body raw bytes. Both lengths are compared with
//! the limits as soon as the eight bytes of the prefix are there.
//!
//! Invariant: nothing here takes memory for a frame. [`decode`] says how many bytes are needed,
//! never more than the limits allow, and hands out slices of the buffer that the caller filled.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::limits::{MAX_FRAME_BYTES, MAX_FRAME_BYTES_BEFORE_LOGIN};

/// Bytes before the header: two lengths.
pub const PREFIX_BYTES: usize = 8;

/// One frame as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// MessagePack, not yet looked at.
    pub header: Bytes,
    /// Raw bytes; empty in most frames.
    pub body: Bytes,
}

/// Most bytes of a frame's two parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameLimits {
    /// Bytes of the header.
    pub header: usize,
    /// Bytes of the body.
    pub body: usize,
}

impl FrameLimits {
    /// What a stranger may send (HARDENING S12).
    pub const BEFORE_LOGIN: Self =
        Self { header: MAX_FRAME_BYTES_BEFORE_LOGIN, body: MAX_FRAME_BYTES_BEFORE_LOGIN };

    /// What an account may send.
    pub const AFTER_LOGIN: Self = Self { header: MAX_FRAME_BYTES, body: MAX_FRAME_BYTES };

    /// Most bytes of a whole frame.
    pub const fn frame_bytes(self) -> usize {
        PREFIX_BYTES + self.header + self.body
    }
}

/// A part of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The MessagePack part.
    Header,
    /// The raw part.
    Body,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Header => "header",
            Self::Body => "body",
        })
    }
}

/// A frame's prefix claims more than the limits allow. The connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame's {part} of {length} bytes is over the limit of {limit} bytes")]
pub struct TooLong {
    /// Which part.
    pub part: Part,
    /// Bytes that the prefix claims.
    pub length: usize,
    /// Bytes that are allowed.
    pub limit: usize,
}

/// What a buffer holds at its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// Not a whole frame yet.
    Incomplete {
        /// Bytes that are missing, at least 1: to the end of the prefix, then to the frame's end.
        needed: usize,
    },
    /// A whole frame, taken off the buffer.
    Frame(Frame),
}

/// Takes the next frame off `buffer`, without copying it.
pub fn decode(buffer: &mut BytesMut, limits: FrameLimits) -> Result<Decoded, TooLong> {
    let Some(prefix) = buffer.first_chunk::<PREFIX_BYTES>() else {
        return Ok(Decoded::Incomplete { needed: PREFIX_BYTES - buffer.len() });
    };
    let [h0, h1, h2, h3, b0, b1, b2, b3] = *prefix;
    let header = bounded(Part::Header, [h0, h1, h2, h3], limits.header)?;
    let body = bounded(Part::Body, [b0, b1, b2, b3], limits.body)?;

    let whole = PREFIX_BYTES + header + body;
    if buffer.len() < whole {
        return Ok(Decoded::Incomplete { needed: whole - buffer.len() });
    }
    buffer.advance(PREFIX_BYTES);
    let header = buffer.split_to(header).freeze();
    let body = buffer.split_to(body).freeze();
    Ok(Decoded::Frame(Frame { header, body }))
}

fn bounded(part: Part, length: [u8; 4], limit: usize) -> Result<usize, TooLong> {
    let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
    if length > limit { Err(TooLong { part, length, limit }) } else { Ok(length) }
}

/// Appends prefix and header to `out`; a body of `body_length` bytes must follow them, and need not
/// be copied to do so.
pub fn encode_head(
    header: &[u8],
    body_length: usize,
    limits: FrameLimits,
    out: &mut BytesMut,
) -> Result<(), TooLong> {
    let check = |part, length, limit| match u32::try_from(length) {
        Ok(wire) if length <= limit => Ok(wire),
        _ => Err(TooLong { part, length, limit }),
    };
    let header_length = check(Part::Header, header.len(), limits.header)?;
    let body_length = check(Part::Body, body_length, limits.body)?;
    out.reserve(PREFIX_BYTES + header.len());
    out.put_u32_le(header_length);
    out.put_u32_le(body_length);
    out.put_slice(header);
    Ok(())
}

impl Frame {
    /// A frame without a body.
    pub fn bare(header: impl Into<Bytes>) -> Self {
        Self { header: header.into(), body: Bytes::new() }
    }

    /// The whole frame as bytes: for tests and examples, since it copies the body.
    pub fn to_bytes(&self, limits: FrameLimits) -> Result<Bytes, TooLong> {
        let mut out = BytesMut::new();
        encode_head(&self.header, self.body.len(), limits, &mut out)?;
        out.put_slice(&self.body);
        Ok(out.freeze())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SMALL: FrameLimits = FrameLimits { header: 100, body: 200 };

    fn frame(header: &[u8], body: &[u8]) -> Frame {
        Frame { header: Bytes::copy_from_slice(header), body: Bytes::copy_from_slice(body) }
    }

    #[test]
    fn a_frame_is_these_bytes() {
        let bytes = frame(b"head", b"body!").to_bytes(SMALL).unwrap();
        assert_eq!(&bytes[..], b"\x04\0\0\0\x05\0\0\0headbody!");
    }

    #[test]
    fn a_frame_comes_out_once_it_is_whole() {
        let whole = frame(b"head", b"body!").to_bytes(SMALL).unwrap();
        let mut buffer = BytesMut::new();
        for (index, byte) in whole.iter().enumerate() {
            let needed = if index < 8 { 8 - index } else { whole.len() - index };
            assert_eq!(decode(&mut buffer, SMALL), Ok(Decoded::Incomplete { needed }));
            buffer.put_u8(*byte);
        }
        buffer.put_slice(b"next");
        let expected = frame(b"head", b"body!");
        assert_eq!(decode(&mut buffer, SMALL), Ok(Decoded::Frame(expected)));
        assert_eq!(&buffer[..], b"next");
    }

    /// HARDENING S5, S12: the claim alone is enough to refuse, and costs no memory.
    #[test]
    fn s12_a_frame_over_the_limit_is_refused_by_its_prefix() {
        let cases: [(&[u8; 8], TooLong); 3] = [
            (b"\x65\0\0\0\0\0\0\0", TooLong { part: Part::Header, length: 101, limit: 100 }),
            (b"\x01\0\0\0\xc9\0\0\0", TooLong { part: Part::Body, length: 201, limit: 200 }),
            (
                b"\xff\xff\xff\xff\xff\xff\xff\xff",
                TooLong { part: Part::Header, length: 0xffff_ffff, limit: 100 },
            ),
        ];
        for (prefix, expected) in cases {
            let mut buffer = BytesMut::from(&prefix[..]);
            let capacity = buffer.capacity();
            assert_eq!(decode(&mut buffer, SMALL), Err(expected));
            assert_eq!(buffer.capacity(), capacity);
        }
        let too_long = frame(&[0; 101], b"").to_bytes(SMALL);
        assert_eq!(too_long, Err(TooLong { part: Part::Header, length: 101, limit: 100 }));
    }

    #[test]
    fn the_largest_frame_passes() {
        let largest = frame(&[1; 100], &[2; 200]);
        let mut buffer = BytesMut::from(&largest.to_bytes(SMALL).unwrap()[..]);
        assert_eq!(buffer.len(), SMALL.frame_bytes());
        assert_eq!(decode(&mut buffer, SMALL), Ok(Decoded::Frame(largest)));
    }

    proptest! {
        #[test]
        fn frames_survive_any_cut(
            frames in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..100), proptest::collection::vec(any::<u8>(), 0..200)), 0..6),
            cut in 1_usize..64,
        ) {
            let mut wire = BytesMut::new();
            for (header, body) in &frames {
                wire.put_slice(&frame(header, body).to_bytes(SMALL).unwrap());
            }
            let mut buffer = BytesMut::new();
            let mut seen = Vec::new();
            for piece in wire.chunks(cut) {
                buffer.put_slice(piece);
                while let Decoded::Frame(frame) = decode(&mut buffer, SMALL).unwrap() {
                    seen.push((frame.header.to_vec(), frame.body.to_vec()));
                }
            }
            prop_assert_eq!(seen, frames);
            prop_assert!(buffer.is_empty());
        }

        #[test]
        fn arbitrary_bytes_never_panic_nor_ask_beyond_the_limits(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let mut buffer = BytesMut::from(&bytes[..]);
            if let Ok(Decoded::Incomplete { needed }) = decode(&mut buffer, SMALL) {
                prop_assert!(needed >= 1 && buffer.len() + needed <= SMALL.frame_bytes());
            }
        }
    }
}
