//! Reading files: blocks, rows of hashes, whole small files, roots.
//!
//! A file is read by version: it is compared when the file is opened and again after the last byte
//! that is answered. Each step of a stream is a short job; a reader that is slow holds no thread
//! and at most a few pieces.
//!
//! Invariant: the end of a stream without an error means that all of it is of one version.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::Bytes;
use sampan_protocol::block::{BlockHasher, BlockIndex, Blocks, grains_of_block};
use sampan_protocol::limits::{
    BLOCK_BYTES, MAX_BLOCKS_PER_REQUEST, MAX_PACK_BYTES, MAX_PACK_MEMBER_BYTES, MAX_PACK_MEMBERS,
    PIECE_BYTES,
};
use sampan_protocol::{Attributes, BlockHash, RemotePath, Root, Version};
use tokio::sync::mpsc;

use super::Inner;
use super::attributes::Meta;
use super::failure::about;
use super::home::Home;
use super::uploads::blocks_of;
use crate::store::{PackedFile, ReadPiece, Result, RowPart, Situation, StoreError, Stream};

/// Pieces that may wait for their reader: two blocks.
const PIECES_AHEAD: usize = 8;
/// Blocks that are hashed in one job: some milliseconds.
const BLOCKS_A_JOB: u64 = 16;
/// Bytes of small files that are read in one job.
const PACK_BYTES_A_JOB: u64 = 1 << 20;
/// Small files that are read in one job.
const PACK_FILES_A_JOB: usize = 64;

/// A file that is being read.
pub(super) struct Reading {
    file: OwnedFd,
    path: RemotePath,
    version: Version,
    blocks: Blocks,
    next: u64,
    end: u64,
}

impl Reading {
    fn is_done(&self) -> bool {
        self.next >= self.end
    }
}

impl Inner {
    /// Opens a file to read `count` blocks of it from `first` on.
    pub(super) fn open_reading(
        &self,
        home: &Home,
        path: &RemotePath,
        version: &Version,
        first: u64,
        count: u64,
    ) -> Result<Reading> {
        let (file, meta) = home.open_file(&self.disk, path)?;
        if meta.version() != *version {
            return Err(Situation::VersionChanged.about(path));
        }
        let blocks = blocks_of(meta.size)?;
        let end = first
            .checked_add(count)
            .filter(|end| count <= MAX_BLOCKS_PER_REQUEST && *end <= blocks.count())
            .ok_or_else(|| {
                let what = "blocks of the file, or of one request".to_owned();
                Situation::LimitExceeded { what }.about(path)
            })?;
        let version = version.clone();
        Ok(Reading { file, path: path.clone(), version, blocks, next: first, end })
    }

    fn check_version(&self, reading: &Reading) -> Result<()> {
        let meta = self.disk.stat_open(&reading.file);
        let meta = meta.map_err(about(&reading.path, "reading attributes"))?;
        if meta.version() == reading.version {
            Ok(())
        } else {
            Err(Situation::VersionChanged.about(&reading.path))
        }
    }

    /// Exactly these bytes; fewer mean that the file was cut.
    fn read_exactly(&self, reading: &Reading, length: usize, offset: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(length);
        self.disk
            .read_at(&reading.file, &mut bytes, length, offset)
            .map_err(about(&reading.path, "reading a file"))?;
        if bytes.len() < length {
            return Err(Situation::VersionChanged.about(&reading.path));
        }
        Ok(bytes)
    }

    /// The pieces of the next block.
    fn read_block(&self, reading: &mut Reading) -> Result<Vec<ReadPiece>> {
        let block = reading.next;
        let length = reading.blocks.length_of(BlockIndex(block)).unwrap_or(0);
        let mut hasher = BlockHasher::new(reading.blocks, BlockIndex(block))
            .map_err(|error| StoreError::Corrupt(error.to_string()))?;
        let mut pieces = Vec::with_capacity(4);
        let mut at = 0;
        while at < length {
            let wanted = (length - at).min(PIECE_BYTES as u64);
            let wanted = usize::try_from(wanted).expect("a piece has at most 256 KiB");
            let bytes = self.read_exactly(reading, wanted, block * BLOCK_BYTES + at)?;
            hasher.update(&bytes).map_err(|error| StoreError::Corrupt(error.to_string()))?;
            pieces.push(ReadPiece {
                block,
                offset: u32::try_from(at).expect("a block has at most 1 MiB"),
                bytes: Bytes::from(bytes),
                hash: None,
            });
            at += wanted as u64;
        }
        let hash = hasher.finish().map_err(|error| StoreError::Corrupt(error.to_string()))?;
        if let Some(last) = pieces.last_mut() {
            last.hash = Some(hash);
        }
        reading.next += 1;
        if reading.is_done() {
            self.check_version(reading)?;
        }
        Ok(pieces)
    }

    pub(super) fn stream_blocks(self: &Arc<Self>, reading: Reading) -> Stream<ReadPiece> {
        let (pieces, stream) = mpsc::channel(PIECES_AHEAD);
        let inner = self.clone();
        self.spawn(async move {
            let mut reading = reading;
            while !reading.is_done() {
                let worker = inner.clone();
                let read = inner.job(move || {
                    let mut reading = reading;
                    let pieces = worker.read_block(&mut reading)?;
                    Ok((pieces, reading))
                });
                let block = match read.await {
                    Ok((block, rest)) => {
                        reading = rest;
                        block
                    }
                    Err(error) => {
                        drop(pieces.send(Err(error)).await);
                        return;
                    }
                };
                for piece in block {
                    if pieces.send(Ok(piece)).await.is_err() {
                        return;
                    }
                }
            }
        });
        stream
    }

    /// The hashes of some blocks, or of their grains.
    fn hash_blocks(&self, reading: &mut Reading, fine: bool) -> Result<RowPart> {
        let first = reading.next;
        let mut hashes = Vec::new();
        while !reading.is_done() && reading.next - first < BLOCKS_A_JOB {
            let block = BlockIndex(reading.next);
            let length = reading.blocks.length_of(block).unwrap_or(0);
            let length = usize::try_from(length).expect("a block has at most 1 MiB");
            let bytes = self.read_exactly(reading, length, reading.next * BLOCK_BYTES)?;
            let failed =
                |error: sampan_protocol::block::HashError| StoreError::Corrupt(error.to_string());
            if fine {
                let grains = grains_of_block(reading.blocks, block, &bytes).map_err(failed)?;
                hashes.extend(grains.into_iter().map(|grain| BlockHash(grain.0)));
            } else {
                let mut running = BlockHasher::new(reading.blocks, block).map_err(failed)?;
                running.update(&bytes).map_err(failed)?;
                hashes.push(running.finish().map_err(failed)?);
            }
            reading.next += 1;
        }
        if reading.is_done() {
            self.check_version(reading)?;
        }
        Ok(RowPart { first, blocks: reading.next - first, hashes })
    }

    pub(super) fn stream_row(
        self: &Arc<Self>,
        home: Arc<Home>,
        reading: Reading,
        fine: bool,
    ) -> Stream<RowPart> {
        let (parts, stream) = mpsc::channel(PIECES_AHEAD);
        let inner = self.clone();
        self.spawn(async move {
            let mut reading = reading;
            while !reading.is_done() {
                let worker = inner.clone();
                let hashed = inner.hash_job(&home, move || {
                    let mut reading = reading;
                    let part = worker.hash_blocks(&mut reading, fine)?;
                    Ok((part, reading))
                });
                let (part, rest) = match hashed.await {
                    Ok(hashed) => hashed,
                    Err(error) => {
                        drop(parts.send(Err(error)).await);
                        return;
                    }
                };
                reading = rest;
                if parts.send(Ok(part)).await.is_err() {
                    return;
                }
            }
        });
        stream
    }

    /// One small file, whole, if it has at most `most` bytes: its size is looked at before anything
    /// is read.
    fn read_small(
        &self,
        home: &Home,
        path: &RemotePath,
        version: &Version,
        most: u64,
    ) -> Result<(Bytes, Root)> {
        let (file, meta) = home.open_file(&self.disk, path)?;
        if meta.version() != *version {
            return Err(Situation::VersionChanged.about(path));
        }
        if meta.size > MAX_PACK_MEMBER_BYTES.min(most) {
            return Err(Situation::TooLargeForPack.about(path));
        }
        let length = usize::try_from(meta.size).expect("a pack's member has at most 256 KiB");
        let blocks = blocks_of(meta.size)?;
        let reading =
            Reading { file, path: path.clone(), version: version.clone(), blocks, next: 0, end: 0 };
        let bytes = self.read_exactly(&reading, length, 0)?;
        self.check_version(&reading)?;
        let root = Root(*blake3::hash(&bytes).as_bytes());
        Ok((Bytes::from(bytes), root))
    }

    /// Many small files; a few in each job. Those beyond what a pack may hold are refused unread.
    pub(super) fn stream_pack(
        self: &Arc<Self>,
        home: Arc<Home>,
        files: Vec<(RemotePath, Version)>,
    ) -> Result<mpsc::Receiver<PackedFile>> {
        if files.len() > MAX_PACK_MEMBERS {
            let what = format!("{} files in a pack of at most {MAX_PACK_MEMBERS}", files.len());
            return Err(Situation::LimitExceeded { what }.into());
        }
        let (items, stream) = mpsc::channel(PIECES_AHEAD);
        let inner = self.clone();
        self.spawn(async move {
            let files = Arc::new(files);
            let (mut next, mut room) = (0, MAX_PACK_BYTES);
            while next < files.len() {
                let (worker, home, files) = (inner.clone(), home.clone(), files.clone());
                let read = inner.job(move || {
                    let (mut some, mut bytes) = (Vec::new(), 0);
                    for (path, version) in files[next..].iter().take(PACK_FILES_A_JOB) {
                        let content = worker.read_small(&home, path, version, room - bytes);
                        bytes += content.as_ref().map_or(0, |(bytes, _)| bytes.len() as u64);
                        some.push(content);
                        if bytes >= PACK_BYTES_A_JOB {
                            break;
                        }
                    }
                    Ok((some, room - bytes))
                });
                // The store closes: the reader sees the stream end early.
                let Ok((some, left)) = read.await else { return };
                room = left;
                for content in some {
                    let index = u32::try_from(next).expect("a pack has at most 1024 members");
                    next += 1;
                    if items.send(PackedFile { index, content }).await.is_err() {
                        return;
                    }
                }
            }
        });
        Ok(stream)
    }

    pub(super) fn open_sum(&self, home: &Home, path: &RemotePath) -> Result<Sum> {
        let (file, meta) = home.open_file(&self.disk, path)?;
        let blocks = blocks_of(meta.size)?;
        let reading = Reading {
            file,
            path: path.clone(),
            version: meta.version(),
            blocks,
            next: 0,
            end: blocks.count(),
        };
        Ok(Sum { reading, meta, hasher: blake3::Hasher::new() })
    }

    /// Hashes some more of a file; its root at the end.
    pub(super) fn sum_more(
        &self,
        mut sum: Sum,
    ) -> Result<std::result::Result<(Root, Attributes), Sum>> {
        for _ in 0..BLOCKS_A_JOB {
            if sum.reading.is_done() {
                self.check_version(&sum.reading)?;
                let root = Root(*sum.hasher.finalize().as_bytes());
                return Ok(Ok((root, sum.meta.attributes())));
            }
            let length = sum.reading.blocks.length_of(BlockIndex(sum.reading.next)).unwrap_or(0);
            let length = usize::try_from(length).expect("a block has at most 1 MiB");
            let offset = sum.reading.next * BLOCK_BYTES;
            sum.hasher.update(&self.read_exactly(&sum.reading, length, offset)?);
            sum.reading.next += 1;
        }
        Ok(Err(sum))
    }
}

/// A file whose root is being computed.
pub(super) struct Sum {
    reading: Reading,
    meta: Meta,
    hasher: blake3::Hasher,
}
