//! What a run must remember to be finished by a later one.
//!
//! A journal holds one secret number, its seed; upload keys and the names of staged downloads follow
//! from it and from what is carried where. So nothing need be written for each file: whoever opens
//! the same journal again finds the same uploads and the same staged files. The queue of the screen
//! also keeps which batches are not finished.
//!
//! ```text
//! sampan journal 1 process 0000001234 seed 64 hexadecimal digits⏎
//! then records: u32 LE length | 4 bytes of BLAKE3 over the rest | batch id u64 LE | kind | bytes
//! ```
//!
//! Invariant: a journal is held by one process at a time, by a lock on its file; a torn record at
//! its end, and all behind it, count as not written.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sampan_protocol::UploadKey;

use super::{State, make_private_folder, own_file};
use crate::address::Account;
use crate::failure::{Failure, Situation};
use crate::step::{self, Step};

/// What a journal belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JournalScope {
    /// One headless command, by what it does and its absolute operands, without flags.
    Command {
        /// `put` or `get`.
        verb: &'static str,
        /// Absolute local paths and remote paths, in order.
        operands: Vec<Vec<u8>>,
    },
    /// The queue of the screen.
    Queue,
}

/// Names a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalKey {
    name: String,
    /// A command is given again by the person; a queue must remember what was ordered.
    keeps_batches: bool,
}

impl JournalKey {
    /// The journal of `scope` for transfers with `account`.
    pub fn new(account: &Account, scope: &JournalScope) -> Self {
        let mut hasher = blake3::Hasher::new();
        feed(&mut hasher, account.user.as_bytes());
        feed(&mut hasher, account.server.to_string().as_bytes());
        match scope {
            JournalScope::Queue => feed(&mut hasher, b"queue"),
            JournalScope::Command { verb, operands } => {
                feed(&mut hasher, verb.as_bytes());
                for operand in operands {
                    feed(&mut hasher, operand);
                }
            }
        }
        let name = hasher.finalize().to_hex()[..32].to_owned();
        Self { name, keeps_batches: *scope == JournalScope::Queue }
    }
}

/// Lengths keep two rows of parts apart that are equal when joined.
fn feed(hasher: &mut blake3::Hasher, part: &[u8]) {
    hasher.update(&(part.len() as u64).to_le_bytes());
    hasher.update(part);
}

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    seed: [u8; 32],
    /// An earlier run left it.
    continued: bool,
    /// `None`: kept in memory only.
    on_disk: Option<OnDisk>,
}

#[derive(Debug)]
struct OnDisk {
    path: PathBuf,
    file: File,
    /// Bytes of it that are whole; what lies behind them counts as not written.
    length: u64,
    keeps_batches: bool,
    /// Batches that were begun and not finished, in order.
    open: Vec<(u64, Vec<u8>)>,
}

const MAGIC: &str = "sampan journal 1 process ";
/// How the names of journals end.
pub(super) const JOURNAL: &str = "journal";
const HEADER_BYTES: usize = MAGIC.len() + 10 + " seed ".len() + 64 + 1;
const HEX_DIGITS: &[u8; 16] = b"0123456789abcdef";
const BEGUN: u8 = b'+';
const FINISHED: u8 = b'-';
/// Longest record that is believed: a batch of many thousand sources.
const MAX_RECORD_BYTES: usize = 16 << 20;

impl Journal {
    /// Opens the journal of `key`, or makes it with `fresh_seed`. Held by another process, it ends
    /// as [`Situation::AlreadyRunning`].
    pub fn open(
        state: &State,
        key: &JournalKey,
        fresh_seed: [u8; 32],
        process: u32,
    ) -> Result<Self, Failure> {
        let folder = state.journals();
        let path = folder.join(format!("{}.{JOURNAL}", key.name));
        let failed = |error: io::Error| own_file(&path, &error);
        make_private_folder(&folder).map_err(failed)?;
        let mut file = loop {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&path)
                .map_err(failed)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let process = holder(&file).map_err(failed)?;
                    return Err(Failure::new(Situation::AlreadyRunning { process }, ""));
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
            // Whoever finished just now may have unlinked it between our open and our lock.
            if is_at(&file, &path).map_err(failed)? {
                break file;
            }
        };
        step::at(Step::JournalMade);
        let mut content = Vec::new();
        file.read_to_end(&mut content).map_err(failed)?;
        let left = read_header(&content).map(|(_, seed)| seed);
        let continued = left.is_some();
        let seed = left.unwrap_or(fresh_seed);
        let (open, valid) = if continued { replay(&content) } else { (Vec::new(), HEADER_BYTES) };
        // A queue's journal is never removed: what is finished needs no room in it.
        let valid = if open.is_empty() { HEADER_BYTES } else { valid };
        let header = write_header(process, &seed);
        file.write_all_at(header.as_bytes(), 0).map_err(failed)?;
        file.set_len(valid as u64).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        // Its name as well: without the journal nobody finds what was begun under its seed. An
        // earlier run may have died before it came to this.
        File::open(&folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        step::at(Step::JournalOpened);
        let (length, keeps_batches) = (valid as u64, key.keeps_batches);
        let on_disk = Some(OnDisk { path, file, length, keeps_batches, open });
        Ok(Self { seed, continued, on_disk })
    }

    /// A journal that nobody finds again.
    pub fn in_memory(seed: [u8; 32]) -> Self {
        Self { seed, continued: false, on_disk: None }
    }

    /// The keys that follow from it.
    pub fn keys(&self) -> TransferKeys {
        TransferKeys { seed: self.seed, continued: self.continued }
    }

    /// The batches that were begun and not finished, oldest first.
    pub fn unfinished(&self) -> &[(u64, Vec<u8>)] {
        self.on_disk.as_ref().map_or(&[], |disk| &disk.open)
    }

    /// Records a batch, durably, before anything of it is shown or moved. A command's journal keeps
    /// none.
    pub fn begin(&mut self, batch: u64, content: &[u8]) -> Result<(), Failure> {
        self.append(batch, BEGUN, content)
    }

    /// A batch needs no more work.
    pub fn finish(&mut self, batch: u64) -> Result<(), Failure> {
        self.append(batch, FINISHED, &[])
    }

    fn append(&mut self, batch: u64, kind: u8, content: &[u8]) -> Result<(), Failure> {
        let Some(disk) = self.on_disk.as_mut().filter(|disk| disk.keeps_batches) else {
            return Ok(());
        };
        let mut payload = batch.to_le_bytes().to_vec();
        payload.push(kind);
        payload.extend_from_slice(content);
        if payload.len() > MAX_RECORD_BYTES {
            let text = "so much at once is not written down: a restart would forget it".to_owned();
            return Err(Failure::new(Situation::Unexpected(text), ""));
        }
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let mut record = length.to_le_bytes().to_vec();
        record.extend_from_slice(&blake3::hash(&payload).as_bytes()[..4]);
        record.extend_from_slice(&payload);
        let written = disk.file.write_all_at(&record, disk.length);
        if let Err(error) = written.and_then(|()| disk.file.sync_data()) {
            // A part of a record would hide all that is written behind it.
            if let Err(error) = disk.file.set_len(disk.length) {
                tracing::debug!(%error, "a torn record stays until the next is written over it");
            }
            return Err(own_file(&disk.path, &error));
        }
        disk.length += record.len() as u64;
        apply(&mut disk.open, batch, kind, content);
        step::at(if kind == BEGUN { Step::BatchWritten } else { Step::BatchFinished });
        Ok(())
    }

    /// Removes it: nothing is left to be finished.
    pub fn remove(self) -> Result<(), Failure> {
        let Some(disk) = self.on_disk else { return Ok(()) };
        fs::remove_file(&disk.path).map_err(|error| own_file(&disk.path, &error))?;
        step::at(Step::JournalRemoved);
        Ok(())
    }
}

/// Keys and names for transfers, the same whenever the same journal is opened.
#[derive(Clone, Debug)]
pub struct TransferKeys {
    seed: [u8; 32],
    continued: bool,
}

impl TransferKeys {
    /// Whether an earlier run with these keys may have left something behind.
    pub fn are_continued(&self) -> bool {
        self.continued
    }

    /// The key under which `source` is uploaded to `target`, both whole.
    pub fn upload_key(&self, source: &[u8], target: &[u8]) -> UploadKey {
        let hash = self.derive(b"upload", source, target);
        let mut key = [0; 16];
        key.copy_from_slice(&hash.as_bytes()[..16]);
        UploadKey(key)
    }

    /// The sixteen hexadecimal digits in the name of the file in which `source` is staged on its way
    /// to `target`.
    pub fn staging_digits(&self, source: &[u8], target: &[u8]) -> String {
        self.derive(b"download", source, target).to_hex()[..16].to_owned()
    }

    fn derive(&self, what: &[u8], source: &[u8], target: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.seed);
        feed(&mut hasher, what);
        feed(&mut hasher, source);
        feed(&mut hasher, target);
        hasher.finalize()
    }
}

/// Whether `file` is what lies at `path` now.
pub(super) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match fs::metadata(path) {
        Ok(there) => Ok((ours.dev(), ours.ino()) == (there.dev(), there.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The process that holds a journal; 0 while it has not written itself down yet.
fn holder(file: &File) -> io::Result<u32> {
    let mut header = vec![0; HEADER_BYTES];
    match file.read_exact_at(&mut header, 0) {
        Ok(()) => Ok(read_header(&header).map_or(0, |(process, _)| process)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
        Err(error) => Err(error),
    }
}

fn write_header(process: u32, seed: &[u8; 32]) -> String {
    let mut header = format!("{MAGIC}{process:010} seed ");
    for byte in seed {
        header.push(char::from(HEX_DIGITS[usize::from(byte >> 4)]));
        header.push(char::from(HEX_DIGITS[usize::from(byte & 15)]));
    }
    header.push('\n');
    header
}

fn read_header(content: &[u8]) -> Option<(u32, [u8; 32])> {
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
pub(super) fn keeps_nothing(content: &[u8]) -> bool {
    content.is_empty() || (read_header(content).is_some() && replay(content).0.is_empty())
}

/// The open batches, and how many bytes of the file are whole records.
fn replay(content: &[u8]) -> (Vec<(u64, Vec<u8>)>, usize) {
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

fn apply(open: &mut Vec<(u64, Vec<u8>)>, batch: u64, kind: u8, content: &[u8]) {
    open.retain(|(id, _)| *id != batch);
    if kind == BEGUN {
        open.push((batch, content.to_vec()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(written: &str) -> Account {
        crate::address::Place::parse(written.as_ref(), None).unwrap().account
    }

    fn command(operands: &[&str]) -> JournalScope {
        let operands = operands.iter().map(|operand| operand.as_bytes().to_vec()).collect();
        JournalScope::Command { verb: "put", operands }
    }

    #[test]
    fn a_key_stands_for_one_command_of_one_account() {
        let key = |who: &str, scope: &JournalScope| JournalKey::new(&account(who), scope);
        let first = key("a@h", &command(&["/x", "y"]));
        assert_eq!(first, key("a@h", &command(&["/x", "y"])));
        for other in [
            key("b@h", &command(&["/x", "y"])),
            key("a@i", &command(&["/x", "y"])),
            key("a@h", &command(&["/xy"])),
            key("a@h", &command(&["/x", "y", ""])),
            key("a@h", &JournalScope::Queue),
        ] {
            assert_ne!(first, other);
        }
    }

    #[test]
    fn the_next_run_finds_the_same_keys() {
        let home = tempfile::tempdir().unwrap();
        let state = State::under(home.path());
        let key = JournalKey::new(&account("a@h"), &command(&["/x"]));
        let first = Journal::open(&state, &key, [1; 32], 10).unwrap();
        let upload = first.keys().upload_key(b"/x", b"y");
        let staging = first.keys().staging_digits(b"/x", b"y");
        assert!(!first.keys().are_continued());
        drop(first);

        let second = Journal::open(&state, &key, [2; 32], 11).unwrap();
        assert!(second.keys().are_continued());
        assert_eq!(second.keys().upload_key(b"/x", b"y"), upload);
        assert_eq!(second.keys().staging_digits(b"/x", b"y"), staging);
        assert_ne!(second.keys().upload_key(b"/xy", b""), upload);
        assert_eq!(staging.len(), 16);

        second.remove().unwrap();
        let third = Journal::open(&state, &key, [3; 32], 12).unwrap();
        assert_ne!(third.keys().upload_key(b"/x", b"y"), upload);
    }

    #[test]
    fn a_second_holder_is_told_who_has_it() {
        let home = tempfile::tempdir().unwrap();
        let state = State::under(home.path());
        let key = JournalKey::new(&account("a@h"), &JournalScope::Queue);
        let held = Journal::open(&state, &key, [1; 32], 4321).unwrap();
        let failure = Journal::open(&state, &key, [1; 32], 1).unwrap_err();
        assert_eq!(failure.situation, Situation::AlreadyRunning { process: 4321 });
        drop(held);
        Journal::open(&state, &key, [1; 32], 1).unwrap();
    }

    #[test]
    fn a_command_keeps_no_batches() {
        let home = tempfile::tempdir().unwrap();
        let state = State::under(home.path());
        let key = JournalKey::new(&account("a@h"), &command(&["/x"]));
        let mut journal = Journal::open(&state, &key, [1; 32], 1).unwrap();
        journal.begin(1, b"one").unwrap();
        assert!(journal.unfinished().is_empty());
        drop(journal);
        assert!(Journal::open(&state, &key, [1; 32], 1).unwrap().unfinished().is_empty());
    }

    #[test]
    fn open_batches_survive_and_a_torn_record_does_not() {
        let home = tempfile::tempdir().unwrap();
        let state = State::under(home.path());
        let key = JournalKey::new(&account("a@h"), &JournalScope::Queue);
        let mut journal = Journal::open(&state, &key, [1; 32], 1).unwrap();
        journal.begin(1, b"one").unwrap();
        journal.begin(2, b"two").unwrap();
        journal.finish(1).unwrap();
        journal.begin(3, b"three").unwrap();
        let path = journal.on_disk.as_ref().unwrap().path.clone();
        drop(journal);

        let whole = fs::read(&path).unwrap();
        let both = [(2, b"two".to_vec()), (3, b"three".to_vec())];
        for (length, expected) in [(whole.len(), &both[..]), (whole.len() - 1, &both[..1])] {
            fs::write(&path, &whole[..length]).unwrap();
            let journal = Journal::open(&state, &key, [9; 32], 1).unwrap();
            assert_eq!(journal.unfinished(), expected);
        }
        // The torn record was cut off, so what is written next is found.
        let mut journal = Journal::open(&state, &key, [9; 32], 1).unwrap();
        journal.begin(4, b"four").unwrap();
        drop(journal);
        let journal = Journal::open(&state, &key, [9; 32], 1).unwrap();
        assert_eq!(journal.unfinished(), [both[0].clone(), (4, b"four".to_vec())]);
    }

    #[test]
    fn a_queue_that_is_kept_for_its_keys_does_not_grow() {
        let home = tempfile::tempdir().unwrap();
        let state = State::under(home.path());
        let key = JournalKey::new(&account("a@h"), &JournalScope::Queue);
        let mut lengths = Vec::new();
        for run in 0..3 {
            let mut journal = Journal::open(&state, &key, [run; 32], 1).unwrap();
            let path = journal.on_disk.as_ref().unwrap().path.clone();
            lengths.push(fs::metadata(path).unwrap().len());
            assert_eq!(journal.keys().upload_key(b"a", b"b"), {
                let first = TransferKeys { seed: [0; 32], continued: false };
                first.upload_key(b"a", b"b")
            });
            journal.begin(u64::from(run), b"batch").unwrap();
            journal.finish(u64::from(run)).unwrap();
        }
        assert_eq!(lengths, [HEADER_BYTES as u64; 3]);
    }

    #[test]
    fn what_is_written_after_a_torn_record_is_found() {
        use std::io::{Seek, SeekFrom, Write};
        let home = tempfile::tempdir().unwrap();
        let state = State::under(home.path());
        let key = JournalKey::new(&account("a@h"), &JournalScope::Queue);
        let mut journal = Journal::open(&state, &key, [1; 32], 1).unwrap();
        journal.begin(1, b"one").unwrap();
        // What a disk leaves that is full halfway through a record.
        let disk = journal.on_disk.as_mut().unwrap();
        disk.file.seek(SeekFrom::End(0)).unwrap();
        disk.file.write_all(&[20, 0, 0, 0, 1, 2, 3, 4, 2]).unwrap();
        journal.begin(2, b"two").unwrap();
        drop(journal);
        let journal = Journal::open(&state, &key, [1; 32], 1).unwrap();
        assert_eq!(journal.unfinished(), [(1, b"one".to_vec()), (2, b"two".to_vec())]);
    }

    #[test]
    fn what_would_not_be_believed_is_not_written() {
        let home = tempfile::tempdir().unwrap();
        let state = State::under(home.path());
        let key = JournalKey::new(&account("a@h"), &JournalScope::Queue);
        let mut journal = Journal::open(&state, &key, [1; 32], 1).unwrap();
        let refused = journal.begin(1, &vec![0; MAX_RECORD_BYTES]).unwrap_err();
        assert!(matches!(refused.situation, Situation::Unexpected(_)), "{refused:?}");
        journal.begin(2, b"two").unwrap();
        drop(journal);
        let journal = Journal::open(&state, &key, [1; 32], 1).unwrap();
        assert_eq!(journal.unfinished(), [(2, b"two".to_vec())]);
    }
}
