//! Packs, both ways (HARDENING S22): the frames as a session reads them, arriving in pieces of any
//! size, against a reader that has the whole stream before it and is written another way. Both must
//! come to the same members with the same bytes, and end for the same reason.
//!
//! Both decode headers by the same function, which has targets of its own; what is compared is
//! framing, cutting and counting.

use bytes::{Bytes, BytesMut};
use sampan_protocol::block::Root;
use sampan_protocol::frame::{Decoded, Frame, FrameLimits, Part, TooLong, decode};
use sampan_protocol::limits::{MAX_FRAME_BYTES, MAX_PACK_BYTES, MAX_PACK_MEMBERS};
use sampan_protocol::message::{
    Member, MemberOutcome, Op, Pack, PackMember, PackMemberKind, Precondition, ReadPackPage,
};
use sampan_protocol::pack::{PackError, PackReader, ReadPackReader};
use sampan_protocol::wire::{Envelope, Flags, decode_args, encode_header};
use sampan_protocol::{
    ChangeKey, ErrorCode, InstanceId, Mode, Refusal, RemotePath, RequestId, Timestamp,
};

const LIMITS: FrameLimits = FrameLimits::AFTER_LOGIN;

/// What a stream of frames comes to, however it is read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Came {
    /// Each member, written down, with its bytes.
    pub(crate) members: Vec<(String, Bytes)>,
    pub(crate) end: End,
}

/// Why reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The frame that says that it is the last one.
    Last,
    /// The stream ended before.
    Cut,
    TooLong(TooLong),
    /// A header that is none, or is about something else.
    Header,
    Pack(PackError),
}

/// What is expected of a stream.
#[derive(Clone, Copy, Debug)]
enum Way {
    Up,
    /// So many files, with so many bytes, were asked for.
    Down {
        files: u8,
        bytes: u16,
    },
}

/// The first four bytes say which way, whether the rest is the stream itself or how to build one,
/// and in which pieces it arrives; two more what was asked for.
pub(crate) fn pack(data: &[u8]) {
    came(data);
}

/// What both readers came to.
pub(crate) fn came(data: &[u8]) -> Option<Came> {
    let (&[mode, seed @ .., files, low, high], rest) = data.split_first_chunk::<7>()?;
    let bytes = u16::from_le_bytes([low, high]);
    let way = if mode & 1 == 0 { Way::Up } else { Way::Down { files, bytes } };
    let stream = if mode & 2 == 0 { rest.to_vec() } else { built(way, rest) };
    let seed = u32::from_le_bytes([1, seed[0], seed[1], seed[2]]);
    let came = streamed(way, &stream, seed);
    assert_eq!(came, whole(way, &stream));

    let total: u64 = came.members.iter().map(|(_, bytes)| bytes.len() as u64).sum();
    match way {
        Way::Up => {
            assert!(total <= MAX_PACK_BYTES && came.members.len() <= MAX_PACK_MEMBERS);
        }
        Way::Down { files, bytes } => {
            assert!(total <= u64::from(bytes) && came.members.len() <= usize::from(files));
        }
    }
    Some(came)
}

enum Reader {
    Up(PackReader),
    Down(ReadPackReader),
}

/// As a session does it.
fn streamed(way: Way, stream: &[u8], mut seed: u32) -> Came {
    let mut reader = match way {
        Way::Up => Reader::Up(PackReader::default()),
        Way::Down { files, bytes } => Reader::Down(ReadPackReader::new(files.into(), bytes.into())),
    };
    let (mut rest, mut buffer, mut members) = (stream, BytesMut::new(), Vec::new());
    let end = loop {
        let frame = match decode(&mut buffer, LIMITS) {
            Err(error) => break End::TooLong(error),
            Ok(Decoded::Frame(frame)) => frame,
            Ok(Decoded::Incomplete { needed }) => {
                assert!(needed > 0 && buffer.len() + needed <= LIMITS.frame_bytes());
                if rest.is_empty() {
                    break End::Cut;
                }
                let piece = piece_bytes(&mut seed).min(rest.len());
                buffer.extend_from_slice(&rest[..piece]);
                rest = &rest[piece..];
                continue;
            }
        };
        match take(&mut reader, frame) {
            Ok((taken, is_last)) => {
                members.extend(taken);
                if is_last {
                    break End::Last;
                }
            }
            Err(end) => break end,
        }
    };
    Came { members, end }
}

/// One byte, or some, or many (xorshift; Marsaglia 2003).
fn piece_bytes(seed: &mut u32) -> usize {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    1 + (*seed >> (12 + (*seed & 15))) as usize
}

/// Members, written down, with their bytes, and whether no more come.
type Taken = (Vec<(String, Bytes)>, bool);

fn take(reader: &mut Reader, frame: Frame) -> Result<Taken, End> {
    let envelope = Envelope::decode(&frame.header).map_err(|_| End::Header)?;
    let taken = match reader {
        Reader::Up(reader) => {
            let args: Pack = args(&envelope, Op::PACK)?;
            let taken = reader.take(args, frame.body).map_err(End::Pack)?;
            taken.into_iter().map(|(member, bytes)| (format!("{member:?}"), bytes)).collect()
        }
        Reader::Down(reader) => {
            let page: ReadPackPage = args(&envelope, Op::READ_PACK)?;
            let taken = reader.take(page, frame.body).map_err(End::Pack)?;
            let told = |(index, arrived)| match arrived {
                Ok((bytes, root)) => (told_file(index, root), bytes),
                Err(refusal) => (told_refusal(index, &refusal), Bytes::new()),
            };
            taken.into_iter().map(told).collect()
        }
    };
    Ok((taken, envelope.flags.is_last()))
}

fn args<T: serde::de::DeserializeOwned>(envelope: &Envelope<'_>, op: Op) -> Result<T, End> {
    if envelope.op != op {
        return Err(End::Header);
    }
    decode_args(envelope.args).map_err(|_| End::Header)
}

fn told_file(index: usize, root: Root) -> String {
    format!("{index} {root:?}")
}

fn told_refusal(index: usize, refusal: &Refusal) -> String {
    format!("{index} {refusal:?}")
}

/// With the whole stream at hand: every place in it is a sum of lengths from its start.
fn whole(way: Way, stream: &[u8]) -> Came {
    let mut came = Came { members: Vec::new(), end: End::Cut };
    let (mut at, mut frames, mut bodies) = (0_u128, 0_u128, 0_u128);
    let (mut first_change, mut indexes) = (None, Vec::new());
    let slice = |from: u128, length: u128| {
        let (from, to) = (usize::try_from(from).ok()?, usize::try_from(from + length).ok()?);
        stream.get(from..to)
    };
    loop {
        let Some(prefix) = slice(at, 8) else { return came };
        let length =
            |four: &[u8]| four.iter().rev().fold(0, |sum, byte| sum << 8 | u128::from(*byte));
        let (head_length, body_length) = (length(&prefix[..4]), length(&prefix[4..]));
        for (part, length) in [(Part::Header, head_length), (Part::Body, body_length)] {
            if length > MAX_FRAME_BYTES as u128 {
                let length = usize::try_from(length).expect("four bytes of length");
                came.end = End::TooLong(TooLong { part, length, limit: MAX_FRAME_BYTES });
                return came;
            }
        }
        let Some(head) = slice(at + 8, head_length) else { return came };
        let Some(body) = slice(at + 8 + head_length, body_length) else { return came };
        at += 8 + head_length + body_length;
        frames += 1;
        bodies += body_length;

        let Ok(envelope) = Envelope::decode(head) else { return Came { end: End::Header, ..came } };
        // What each member is, where it is one of those asked for, and the bytes that it claims.
        let mut rows: Vec<(String, Option<u32>, u64)> = Vec::new();
        match way {
            Way::Up => {
                let Ok(pack) = args::<Pack>(&envelope, Op::PACK) else {
                    return Came { end: End::Header, ..came };
                };
                for member in &pack.members {
                    let size = match &member.kind {
                        PackMemberKind::File { size, .. } => *size,
                        PackMemberKind::Folder {} => 0,
                    };
                    rows.push((format!("{member:?}"), None, size));
                }
                let wrong = if *first_change.get_or_insert(pack.change) != pack.change {
                    Some(PackError::OtherChange)
                } else if came.members.len() + rows.len() > MAX_PACK_MEMBERS {
                    Some(PackError::TooManyMembers)
                } else if bodies > u128::from(MAX_PACK_BYTES) {
                    Some(PackError::TooManyBytes)
                } else {
                    None
                };
                if let Some(error) = wrong {
                    return Came { end: End::Pack(error), ..came };
                }
            }
            Way::Down { files, bytes } => {
                let Ok(page) = args::<ReadPackPage>(&envelope, Op::READ_PACK) else {
                    return Came { end: End::Header, ..came };
                };
                for Member { index, outcome } in &page.members {
                    let at = usize::try_from(*index).expect("32 bits");
                    let (told, size) = match outcome {
                        MemberOutcome::File { size, root } => (told_file(at, *root), *size),
                        MemberOutcome::Refused(refusal) => (told_refusal(at, refusal), 0),
                    };
                    rows.push((told, Some(*index), size));
                }
                if bodies > u128::from(bytes) {
                    return Came { end: End::Pack(PackError::LongerThanAsked), ..came };
                }
                if frames > u128::from(files) + 1 {
                    return Came { end: End::Pack(PackError::TooManyFrames), ..came };
                }
            }
        }
        let (mut from, mut cut) = (0_u128, Vec::new());
        let mut wrong = None;
        for (told, index, size) in rows {
            if let (Some(index), Way::Down { files, .. }) = (index, way) {
                if index >= u32::from(files) {
                    wrong = Some(PackError::NotAskedFor);
                    break;
                }
                if indexes.contains(&index) {
                    wrong = Some(PackError::Twice);
                    break;
                }
                indexes.push(index);
            }
            let to = from + u128::from(size);
            if to > body_length {
                wrong = Some(PackError::Uneven);
                break;
            }
            let place = |place| usize::try_from(place).expect("within the body");
            cut.push((told, Bytes::copy_from_slice(&body[place(from)..place(to)])));
            from = to;
        }
        if wrong.is_none() && from != body_length {
            wrong = Some(PackError::Uneven);
        }
        if let Some(error) = wrong {
            return Came { end: End::Pack(error), ..came };
        }
        came.members.extend(cut);
        if envelope.flags.is_last() {
            return Came { end: End::Last, ..came };
        }
    }
}

/// Builds a stream: each byte of `program` does one thing, some with the byte behind it.
fn built(way: Way, program: &[u8]) -> Vec<u8> {
    let mut building = Building { way, stream: Vec::new(), rows: Vec::new(), body: Vec::new() };
    let mut program = program.iter().copied();
    let (mut change, mut large) = (1, 0);
    while let Some(step) = program.next() {
        let mut next = || program.next().unwrap_or(0);
        match step & 15 {
            0 => building.add(step >> 4, 0, 0),
            1 => {
                let size = usize::from(next());
                building.add(step >> 4, size as u64, size);
            }
            // Sizes and bodies that do not fit each other.
            2 => building.add(step >> 4, u64::from(next()), usize::from(step >> 4)),
            3 => building.add(next(), u64::MAX >> (step >> 4), 0),
            4 => building.flush(Flags::NONE, change),
            5 => building.flush(Flags::LAST, change),
            6 => change = u64::from(step >> 4),
            7 => (0..255).for_each(|index| building.add(index, 0, 0)),
            8 if large < 10 => {
                large += 1;
                building.add(step >> 4, 1 << 20, 1 << 20);
                building.flush(Flags::NONE, change);
            }
            9 => building.refuse(step >> 4),
            10 => {
                let at = building.stream.len().saturating_sub(1 + usize::from(next()));
                building.stream.truncate(at);
            }
            11 => {
                let at = building.stream.len().saturating_sub(1 + usize::from(next()));
                if let Some(byte) = building.stream.get_mut(at) {
                    *byte ^= 1 << (step >> 5);
                }
            }
            12 => return building.stream,
            _ => {}
        }
    }
    building.flush(Flags::LAST, change);
    building.stream
}

struct Building {
    way: Way,
    stream: Vec<u8>,
    rows: Vec<Row>,
    body: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Row {
    File {
        index: u8,
        size: u64,
    },
    /// A folder on its way up.
    Refused {
        index: u8,
    },
}

impl Building {
    /// A file that claims so many bytes and has others.
    fn add(&mut self, index: u8, size: u64, length: usize) {
        self.rows.push(Row::File { index, size });
        self.body.resize(self.body.len() + length, index);
    }

    fn refuse(&mut self, index: u8) {
        self.rows.push(Row::Refused { index });
    }

    fn flush(&mut self, flags: Flags, sequence: u64) {
        let rows = std::mem::take(&mut self.rows);
        let header = match self.way {
            Way::Up => {
                let change = ChangeKey { instance: InstanceId([1; 16]), sequence, answered: 0 };
                let members = rows.into_iter().map(member_up).collect();
                encode_header(RequestId(1), Op::PACK, flags, &Pack { change, members })
            }
            Way::Down { .. } => {
                let members = rows.into_iter().map(member_down).collect();
                let flags = flags | Flags::ANSWER;
                encode_header(RequestId(1), Op::READ_PACK, flags, &ReadPackPage { members })
            }
        };
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("none so long is built");
        self.stream.extend(length(&header).to_le_bytes());
        self.stream.extend(length(&self.body).to_le_bytes());
        self.stream.extend(header);
        self.stream.append(&mut self.body);
    }
}

fn member_up(row: Row) -> PackMember {
    let path = RemotePath::parse(b"f").expect("a plain name");
    match row {
        Row::Refused { .. } => {
            PackMember { path, mode: Mode::FOLDER, kind: PackMemberKind::Folder {} }
        }
        Row::File { index, size } => {
            let (mtime, root) = (Timestamp::default(), Root([index; 32]));
            let kind = PackMemberKind::File { size, mtime, root, if_target: Precondition::Any };
            PackMember { path, mode: Mode::FILE, kind }
        }
    }
}

fn member_down(row: Row) -> Member {
    match row {
        Row::Refused { index } => {
            let refusal = Refusal::new(ErrorCode::NOT_FOUND, "gone");
            Member { index: index.into(), outcome: MemberOutcome::Refused(refusal) }
        }
        Row::File { index, size } => {
            let root = Root([index; 32]);
            Member { index: index.into(), outcome: MemberOutcome::File { size, root } }
        }
    }
}
