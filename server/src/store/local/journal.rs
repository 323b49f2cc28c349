//! Which blocks of an upload are staged, on disk.
//!
//! An appended row of records: block, state, hash, checksum. A block's record follows its bytes; a
//! block that is sent again is first noted as absent. Nothing is flushed until its upload is
//! forgotten: after an unclean stop the journal is only a claim, and blocks are hashed again. One that is much longer than its blocks
//! need is written anew beside it and takes its place.
//!
//! Invariant: reading stops at the first record that is not whole and right; what is behind it is
//! absent.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;

use sampan_protocol::{BlockHash, UploadId};

use super::disk::Disk;

/// Block (8), state (1), hash (32), checksum (7).
const RECORD: usize = 48;
const STAGED: u8 = 1;
const ABSENT: u8 = 2;

/// Records that a journal may have for each block, and beside that, before it is written anew.
const RECORDS_A_BLOCK: u64 = 4;
const SPARE_RECORDS: u64 = 1024;

/// Records that are read at once.
const PAGE: usize = 4096 * RECORD;

/// An open journal, and where its next record goes.
pub(super) struct Journal {
    upload: UploadId,
    file: OwnedFd,
    end: u64,
}

impl Journal {
    /// An empty journal.
    pub(super) fn new(upload: UploadId, file: OwnedFd) -> Self {
        Self { upload, file, end: 0 }
    }

    /// Reads a journal; what follows its last good record is cut off. A record
    /// of a block outside the file's `blocks` is a bad one.
    pub(super) fn read(
        disk: &Disk,
        upload: UploadId,
        file: OwnedFd,
        blocks: u64,
    ) -> io::Result<(Self, BTreeMap<u64, BlockHash>)> {
        let (staged, end) = Self::look(disk, upload, &file, blocks)?;
        disk.truncate(&file, end)?;
        Ok((Self { upload, file, end }, staged))
    }

    /// What a journal says, and where its last good record ends.
    pub(super) fn look(
        disk: &Disk,
        upload: UploadId,
        file: &OwnedFd,
        blocks: u64,
    ) -> io::Result<(BTreeMap<u64, BlockHash>, u64)> {
        let mut staged = BTreeMap::new();
        let mut end = 0;
        'pages: loop {
            let mut page = Vec::new();
            disk.read_at(file, &mut page, PAGE, end)?;
            for bytes in page.chunks_exact(RECORD) {
                let Some((block, hash)) = decode(upload, bytes).filter(|read| read.0 < blocks)
                else {
                    break 'pages;
                };
                match hash {
                    Some(hash) => staged.insert(block, hash),
                    None => staged.remove(&block),
                };
                end += RECORD as u64;
            }
            if page.len() < PAGE {
                break;
            }
        }
        Ok((staged, end))
    }

    /// Notes that a block is there.
    pub(super) fn staged(&mut self, disk: &Disk, block: u64, hash: &BlockHash) -> io::Result<()> {
        self.append(disk, &encode(self.upload, block, STAGED, hash.as_bytes()))
    }

    /// Notes that a block is no longer there.
    pub(super) fn absent(&mut self, disk: &Disk, block: u64) -> io::Result<()> {
        self.append(disk, &encode(self.upload, block, ABSENT, &[0; 32]))
    }

    /// Whether most of its records say nothing any more: blocks that were sent again and again.
    pub(super) fn is_overgrown(&self, blocks: u64) -> bool {
        self.end / RECORD as u64 > SPARE_RECORDS + RECORDS_A_BLOCK * blocks
    }

    /// A new journal in `file`, which is empty, that says only what is `staged`.
    pub(super) fn compacted(
        &self,
        disk: &Disk,
        file: OwnedFd,
        staged: &[(u64, BlockHash)],
    ) -> io::Result<Self> {
        let mut end = 0;
        for page in staged.chunks(PAGE / RECORD) {
            let records = page
                .iter()
                .flat_map(|(block, hash)| encode(self.upload, *block, STAGED, hash.as_bytes()));
            let records: Vec<u8> = records.collect();
            disk.write_at(&file, &records, end)?;
            end += records.len() as u64;
        }
        Ok(Self { upload: self.upload, file, end })
    }

    /// Puts what it says on the disk.
    pub(super) fn flush(&self, disk: &Disk) -> io::Result<()> {
        disk.flush_bytes(&self.file)
    }

    fn append(&mut self, disk: &Disk, record: &[u8; RECORD]) -> io::Result<()> {
        disk.write_at(&self.file, record, self.end)?;
        self.end += RECORD as u64;
        Ok(())
    }
}

fn encode(upload: UploadId, block: u64, state: u8, hash: &[u8; 32]) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    record[..8].copy_from_slice(&block.to_le_bytes());
    record[8] = state;
    record[9..41].copy_from_slice(hash);
    let checksum = checksum(upload, &record[..41]);
    record[41..].copy_from_slice(&checksum);
    record
}

/// Block, and its hash if it is staged.
fn decode(upload: UploadId, record: &[u8]) -> Option<(u64, Option<BlockHash>)> {
    let (content, found) = record.split_at_checked(41)?;
    if checksum(upload, content) != found {
        return None;
    }
    let block = u64::from_le_bytes(content[..8].try_into().ok()?);
    let hash = BlockHash(content[9..41].try_into().ok()?);
    match content[8] {
        STAGED => Some((block, Some(hash))),
        ABSENT => Some((block, None)),
        _ => None,
    }
}

/// Of the upload too, so that no record of another one passes.
fn checksum(upload: UploadId, content: &[u8]) -> [u8; 7] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&upload.0.to_le_bytes()).update(content);
    let mut checksum = [0; 7];
    checksum.copy_from_slice(&hasher.finalize().as_bytes()[..7]);
    checksum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(bytes: &[u8]) -> OwnedFd {
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, bytes).unwrap();
        file.into()
    }

    fn read(bytes: &[u8]) -> BTreeMap<u64, BlockHash> {
        Journal::read(&Disk::new(None, false), UploadId(7), open(bytes), 10).unwrap().1
    }

    #[test]
    fn hardening_2_2_replay_stops_at_the_first_bad_record() {
        let record = |block: u8| encode(UploadId(7), block.into(), STAGED, &[block; 32]);
        let mut journal: Vec<u8> = (0..4).flat_map(record).collect();
        assert_eq!(read(&journal).len(), 4);
        for cut in [0, 1, 47] {
            assert_eq!(read(&journal[..3 * RECORD + cut]).len(), 3, "{cut}");
        }
        journal[RECORD + 20] ^= 1;
        assert_eq!(read(&journal).into_keys().collect::<Vec<_>>(), [0]);
        assert!(read(&encode(UploadId(8), 0, STAGED, &[0; 32])).is_empty(), "another upload's");
        assert!(read(&record(10)).is_empty(), "outside the file");
        assert!(read(&[0; 4 * RECORD]).is_empty(), "zeros of a file that grew");
    }

    #[test]
    fn a_journal_goes_on_after_its_last_good_record() {
        let disk = Disk::new(None, false);
        let hash = BlockHash([3; 32]);
        let mut bytes = encode(UploadId(7), 1, STAGED, &[3; 32]).to_vec();
        bytes.extend([9; 30]);
        let file = open(&bytes);
        let again = file.try_clone().unwrap();
        let (mut journal, staged) = Journal::read(&disk, UploadId(7), file, 10).unwrap();
        assert_eq!(staged, BTreeMap::from([(1, hash)]));
        journal.staged(&disk, 2, &hash).unwrap();
        journal.absent(&disk, 1).unwrap();
        let (_, staged) = Journal::read(&disk, UploadId(7), again, 10).unwrap();
        assert_eq!(staged, BTreeMap::from([(2, hash)]));
    }
}
