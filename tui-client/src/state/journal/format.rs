//! The bytes of a journal.
//!
//! ```text
//! sampan journal 1 process 0000001234 seed 64 hexadecimal digits⏎
//! then records: u32 LE length | 4 bytes of BLAKE3 over the rest | batch id u64 LE | kind | bytes
//! ```
//!
//! Kinds: a batch begun, with what the engine keeps of it; a batch finished; a download staged, with
//! where; a staged download gone, with its name. The last two belong to no batch (0).
//!
//! Invariant: a torn record, and all behind it, count as not written.

use std::collections::BTreeMap;

use super::staged::StagedFile;

const MAGIC: &str = "sampan journal 1 process ";
pub(super) const HEADER_BYTES: usize = MAGIC.len() + 10 + " seed ".len() + 64 + 1;
const HEX_DIGITS: &[u8; 16] = b"0123456789abcdef";
pub(super) const BEGUN: u8 = b'+';
pub(super) const FINISHED: u8 = b'-';
pub(super) const STAGED: u8 = b's';
pub(super) const GONE: u8 = b'g';
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

/// What the records of a journal come to.
#[derive(Debug, Default)]
pub(in crate::state) struct Kept {
    /// Batches that were begun and not finished, in order.
    pub(in crate::state) batches: Vec<(u64, Vec<u8>)>,
    /// Downloads that were staged and not published or removed, by the names of their files.
    pub(in crate::state) staged: BTreeMap<String, StagedFile>,
}

impl Kept {
    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty() && self.staged.is_empty()
    }

    pub(super) fn apply(&mut self, batch: u64, kind: u8, content: &[u8]) {
        match kind {
            BEGUN | FINISHED => {
                self.batches.retain(|(id, _)| *id != batch);
                if kind == BEGUN {
                    self.batches.push((batch, content.to_vec()));
                }
            }
            STAGED => {
                if let Some(file) = StagedFile::read(content) {
                    self.staged.insert(file.staging.as_str().to_owned(), file);
                }
            }
            GONE => {
                if let Ok(name) = std::str::from_utf8(content) {
                    self.staged.remove(name);
                }
            }
            _ => {}
        }
    }
}

/// What a journal of this content keeps; `None` if this program cannot read it, for then it may
/// keep anything. One whose first writing was cut off keeps nothing: nothing was begun under it.
pub(in crate::state) fn kept(content: &[u8]) -> Option<Kept> {
    if read_header(content).is_some() {
        return Some(replay(content).kept);
    }
    let begins = content.len() < HEADER_BYTES
        && content.iter().zip(MAGIC.as_bytes()).all(|(there, wanted)| there == wanted);
    (begins || content.iter().all(|byte| *byte == 0)).then(Kept::default)
}

/// What the records of a journal come to, and where they end.
#[derive(Debug)]
pub(super) struct Replayed {
    pub(super) kept: Kept,
    /// The end of the last record that is whole.
    pub(super) end: usize,
    /// The end of the last one that must last: of a batch begun or finished.
    pub(super) lasting: usize,
}

pub(super) fn replay(content: &[u8]) -> Replayed {
    let (end, lasting) = (HEADER_BYTES, HEADER_BYTES);
    let mut replayed = Replayed { kept: Kept::default(), end, lasting };
    while let Some((payload, end)) = record(content, replayed.end) {
        let (batch, rest) = payload.split_at(8);
        let batch = u64::from_le_bytes(batch.try_into().unwrap_or_default());
        replayed.kept.apply(batch, rest[0], &rest[1..]);
        replayed.end = end;
        if matches!(rest[0], BEGUN | FINISHED) {
            replayed.lasting = end;
        }
    }
    replayed
}

/// A record, as it is written; `None` for one that is too long to be believed.
pub(super) fn write_record(batch: u64, kind: u8, content: &[u8]) -> Option<Vec<u8>> {
    let mut payload = batch.to_le_bytes().to_vec();
    payload.push(kind);
    payload.extend_from_slice(content);
    if payload.len() > MAX_RECORD_BYTES {
        return None;
    }
    let mut record = u32::try_from(payload.len()).ok()?.to_le_bytes().to_vec();
    record.extend_from_slice(&blake3::hash(&payload).as_bytes()[..4]);
    record.extend_from_slice(&payload);
    Some(record)
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
