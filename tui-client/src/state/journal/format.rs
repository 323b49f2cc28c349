//! The bytes of a journal.
//!
//! ```text
//! sampan journal 1 process 0000001234 seed 64 hexadecimal digits⏎
//! then records: u32 LE length | 4 bytes of BLAKE3 over the rest | batch id u64 LE | kind | bytes
//! ```
//!
//! Invariant: a torn record, and all behind it, count as not written.

const MAGIC: &str = "sampan journal 1 process ";
pub(super) const HEADER_BYTES: usize = MAGIC.len() + 10 + " seed ".len() + 64 + 1;
const HEX_DIGITS: &[u8; 16] = b"0123456789abcdef";
pub(super) const BEGUN: u8 = b'+';
pub(super) const FINISHED: u8 = b'-';
/// Longest record that is believed: a batch of many thousand sources.
pub(super) const MAX_RECORD_BYTES: usize = 16 << 20;

pub(super) fn write_header(process: u32, seed: &[u8; 32]) -> String {
    let mut header = format!("{MAGIC}{process:010} seed ");
    for byte in seed {
        header.push(char::from(HEX_DIGITS[usize::from(byte >> 4)]));
        header.push(char::from(HEX_DIGITS[usize::from(byte & 15)]));
    }
    header.push('\n');
    header
}

pub(super) fn read_header(content: &[u8]) -> Option<(u32, [u8; 32])> {
    let header = std::str::from_utf8(content.get(..HEADER_BYTES)?).ok()?;
    let rest = header.strip_prefix(MAGIC)?.strip_suffix('\n')?;
    let (process, digits) = rest.split_once(" seed ")?;
    let mut seed = [0; 32];
    for (index, byte) in seed.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some((process.parse().ok()?, seed))
}

/// Whether a journal of this content keeps no batch that is not finished. One that this program
/// cannot read may keep some.
pub(in crate::state) fn keeps_nothing(content: &[u8]) -> bool {
    content.is_empty() || (read_header(content).is_some() && replay(content).0.is_empty())
}

/// The open batches, and how many bytes of the file are whole records.
pub(super) fn replay(content: &[u8]) -> (Vec<(u64, Vec<u8>)>, usize) {
    let mut open = Vec::new();
    let mut at = HEADER_BYTES;
    while let Some((payload, end)) = record(content, at) {
        let (batch, rest) = payload.split_at(8);
        let batch = u64::from_le_bytes(batch.try_into().unwrap_or_default());
        apply(&mut open, batch, rest[0], &rest[1..]);
        at = end;
    }
    (open, at)
}

fn record(content: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let rest = content.get(at..)?;
    let length = usize::try_from(u32::from_le_bytes(*rest.first_chunk()?)).ok()?;
    if !(9..=MAX_RECORD_BYTES).contains(&length) {
        return None;
    }
    let payload = rest.get(8..8 + length)?;
    (blake3::hash(payload).as_bytes()[..4] == rest[4..8]).then_some((payload, at + 8 + length))
}

pub(super) fn apply(open: &mut Vec<(u64, Vec<u8>)>, batch: u64, kind: u8, content: &[u8]) {
    open.retain(|(id, _)| *id != batch);
    if kind == BEGUN {
        open.push((batch, content.to_vec()));
    }
}
