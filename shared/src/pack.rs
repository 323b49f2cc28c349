//! Packs as they arrive: whose the bytes of each frame's body are. The one parser of them, for both
//! directions (HARDENING S22).
//!
//! A frame's members name sizes, its body is their bytes, one after the other and nothing else.
//! Whoever receives a pack hands its frames to [`PackReader`] (up) or [`ReadPackReader`] (down) in
//! the order in which they came.
//!
//! Invariant: a reader keeps counts and no bytes. What it gives are slices of the body that it was
//! handed, in their order, without a gap, up to the body's end. After an error the pack is over.

use bytes::Bytes;

use crate::block::Root;
use crate::error::Refusal;
use crate::id::ChangeKey;
use crate::limits::{MAX_PACK_BYTES, MAX_PACK_MEMBERS};
use crate::message::{Member, MemberOutcome, Pack, PackMember, PackMemberKind, ReadPackPage};

/// Why a pack's frames are no pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PackError {
    /// Frames under one id name different changes.
    #[error("a pack has one change key")]
    OtherChange,
    /// More than [`MAX_PACK_MEMBERS`].
    #[error("more than {MAX_PACK_MEMBERS} members of a pack")]
    TooManyMembers,
    /// More than [`MAX_PACK_BYTES`].
    #[error("more than {MAX_PACK_BYTES} bytes of a pack")]
    TooManyBytes,
    /// The members of a frame want more bytes than its body has, or fewer.
    #[error("the sizes do not add up to the body")]
    Uneven,
    /// A member that the request does not name.
    #[error("a pack holds a member that was not asked for")]
    NotAskedFor,
    /// A member that came already.
    #[error("a pack holds a member twice")]
    Twice,
    /// More bytes than the files that were asked for have.
    #[error("a pack is longer than its files")]
    LongerThanAsked,
    /// More frames than members, and one that ends the answer.
    #[error("a pack has more parts than files")]
    TooManyFrames,
}

/// Reads the frames of a [`Pack`].
#[derive(Debug, Default)]
pub struct PackReader {
    change: Option<ChangeKey>,
    members: usize,
    bytes: u64,
}

impl PackReader {
    /// Takes one frame. Gives its members, each with its bytes; a folder has none.
    pub fn take(
        &mut self,
        frame: Pack,
        mut body: Bytes,
    ) -> Result<Vec<(PackMember, Bytes)>, PackError> {
        if *self.change.get_or_insert(frame.change) != frame.change {
            return Err(PackError::OtherChange);
        }
        self.members = self.members.saturating_add(frame.members.len());
        if self.members > MAX_PACK_MEMBERS {
            return Err(PackError::TooManyMembers);
        }
        self.bytes = self.bytes.saturating_add(body.len() as u64);
        if self.bytes > MAX_PACK_BYTES {
            return Err(PackError::TooManyBytes);
        }
        let mut taken = Vec::with_capacity(frame.members.len());
        for member in frame.members {
            let size = match member.kind {
                PackMemberKind::Folder {} => 0,
                PackMemberKind::File { size, .. } => size,
            };
            let bytes = split(&mut body, size)?;
            taken.push((member, bytes));
        }
        if body.is_empty() { Ok(taken) } else { Err(PackError::Uneven) }
    }

    /// Bytes of all frames so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// What came of one file that was asked for: its bytes and the root that the sender read, or why it
/// was refused.
pub type Arrived = Result<(Bytes, Root), Refusal>;

/// Reads the frames that answer a [`crate::message::ReadPack`].
///
/// Whoever keeps a member's bytes keeps the whole frame in memory, so the frames are bounded, and
/// not only what is kept of them: an honest one brings a member, but for one that ends the answer.
#[derive(Debug)]
pub struct ReadPackReader {
    /// Which of the request's files came.
    came: Vec<bool>,
    /// Bytes that may still come.
    room: u64,
    /// Frames that may still come.
    frames: usize,
}

impl ReadPackReader {
    /// For a request of so many files, which have so many bytes together.
    pub fn new(files: usize, bytes: u64) -> Self {
        Self { came: vec![false; files], room: bytes, frames: files.saturating_add(1) }
    }

    /// Takes one frame. Gives for each of its members which of the request's files it is, and what
    /// came of it.
    pub fn take(
        &mut self,
        page: ReadPackPage,
        mut body: Bytes,
    ) -> Result<Vec<(usize, Arrived)>, PackError> {
        let room = self.room.checked_sub(body.len() as u64);
        self.room = room.ok_or(PackError::LongerThanAsked)?;
        self.frames = self.frames.checked_sub(1).ok_or(PackError::TooManyFrames)?;
        let mut taken = Vec::with_capacity(page.members.len().min(self.came.len()));
        for Member { index, outcome } in page.members {
            let index = usize::try_from(index).unwrap_or(usize::MAX);
            let came = self.came.get_mut(index).ok_or(PackError::NotAskedFor)?;
            if std::mem::replace(came, true) {
                return Err(PackError::Twice);
            }
            let arrived = match outcome {
                MemberOutcome::Refused(refusal) => Err(refusal),
                MemberOutcome::File { size, root } => Ok((split(&mut body, size)?, root)),
            };
            taken.push((index, arrived));
        }
        if body.is_empty() { Ok(taken) } else { Err(PackError::Uneven) }
    }
}

fn split(body: &mut Bytes, size: u64) -> Result<Bytes, PackError> {
    let size = usize::try_from(size).ok().filter(|size| *size <= body.len());
    Ok(body.split_to(size.ok_or(PackError::Uneven)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Mode;
    use crate::id::InstanceId;
    use crate::message::Precondition;
    use crate::path::RemotePath;
    use crate::time::Timestamp;

    fn key(sequence: u64) -> ChangeKey {
        ChangeKey { instance: InstanceId([1; 16]), sequence, answered: 0 }
    }

    fn file(size: u64) -> PackMember {
        let (mtime, root) = (Timestamp::default(), Root([0; 32]));
        let kind = PackMemberKind::File { size, mtime, root, if_target: Precondition::Any };
        PackMember { path: RemotePath::parse(b"f").unwrap(), mode: Mode::FILE, kind }
    }

    fn folder() -> PackMember {
        PackMember { kind: PackMemberKind::Folder {}, ..file(0) }
    }

    fn frame(members: Vec<PackMember>) -> Pack {
        Pack { change: key(1), members }
    }

    fn sizes(taken: &[(PackMember, Bytes)]) -> Vec<usize> {
        taken.iter().map(|(_, bytes)| bytes.len()).collect()
    }

    #[test]
    fn s22_a_body_is_cut_exactly() {
        let body = Bytes::from_static(b"12345");
        let mut reader = PackReader::default();
        let taken = reader.take(frame(vec![file(2), folder(), file(3)]), body.clone()).unwrap();
        assert_eq!(sizes(&taken), [2, 0, 3]);
        assert_eq!(reader.bytes(), 5);
        for wrong in [vec![file(2)], vec![file(6)], vec![file(5), file(1)], vec![file(u64::MAX)]] {
            let taken = PackReader::default().take(frame(wrong), body.clone());
            assert_eq!(taken.unwrap_err(), PackError::Uneven);
        }
    }

    #[test]
    fn s22_a_pack_is_bounded_over_all_its_frames() {
        let mut reader = PackReader::default();
        reader.take(frame(vec![folder(); MAX_PACK_MEMBERS]), Bytes::new()).unwrap();
        let more = reader.take(frame(vec![folder()]), Bytes::new());
        assert_eq!(more.unwrap_err(), PackError::TooManyMembers);

        let mut reader = PackReader::default();
        let body = Bytes::from(vec![0; 1 << 20]);
        for _ in 0..MAX_PACK_BYTES >> 20 {
            reader.take(frame(vec![file(1 << 20)]), body.clone()).unwrap();
        }
        let more = reader.take(frame(vec![file(1)]), body.slice(..1));
        assert_eq!(more.unwrap_err(), PackError::TooManyBytes);

        let mut reader = PackReader::default();
        reader.take(frame(Vec::new()), Bytes::new()).unwrap();
        let other = reader.take(Pack { change: key(2), members: Vec::new() }, Bytes::new());
        assert_eq!(other.unwrap_err(), PackError::OtherChange);
    }

    fn page(members: &[(u32, u64)]) -> ReadPackPage {
        let member = |&(index, size): &(u32, u64)| Member {
            index,
            outcome: MemberOutcome::File { size, root: Root([0; 32]) },
        };
        ReadPackPage { members: members.iter().map(member).collect() }
    }

    #[test]
    fn s12_an_answer_cannot_hold_more_than_was_asked_for() {
        let body = |length: usize| Bytes::from(vec![0; length]);
        let reader = || ReadPackReader::new(2, 10);
        let mut honest = reader();
        assert_eq!(honest.take(page(&[(0, 4)]), body(4)).unwrap().len(), 1);
        honest.take(page(&[(1, 6)]), body(6)).unwrap();
        honest.take(page(&[]), body(0)).unwrap();

        let mut long = reader();
        long.take(page(&[(0, 4)]), body(4)).unwrap();
        let taken = long.take(page(&[(1, 7)]), body(7));
        assert_eq!(taken.unwrap_err(), PackError::LongerThanAsked);
        let mut endless = reader();
        for _ in 0..3 {
            endless.take(page(&[]), body(0)).unwrap();
        }
        assert_eq!(endless.take(page(&[]), body(0)).unwrap_err(), PackError::TooManyFrames);

        for (members, error) in [
            (page(&[(2, 0)]), PackError::NotAskedFor),
            (page(&[(u32::MAX, 0)]), PackError::NotAskedFor),
            (page(&[(0, 1), (0, 2)]), PackError::Twice),
            (page(&[(0, 2)]), PackError::Uneven),
            (page(&[(0, 2), (1, 2)]), PackError::Uneven),
        ] {
            assert_eq!(reader().take(members, body(3)).unwrap_err(), error);
        }
    }
}
