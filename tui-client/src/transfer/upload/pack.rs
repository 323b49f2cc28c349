//! Many small files and folders up in one request.
//!
//! All members are read, hashed and checked before the first is sent, straight into the frames that
//! carry them; the same frames and the same change key are sent again if the link breaks.
//!
//! Invariant: a member's root is that of bytes read from a file that stood still.

use std::sync::Arc;

use bytes::Bytes;
use sampan_protocol::limits::{MAX_PACK_BYTES, MAX_PACK_MEMBER_BYTES};
use sampan_protocol::message::{self, Pack, PackMemberKind, PackResult};
use sampan_protocol::{Attributes, ChangeKey, EntryKind, Root};

use crate::failure::{Failure, Side, Situation};
use crate::remote::{AskedResults, CallError, Session, persist, refused};
use crate::step::{self, Step};
use crate::transfer::event::{Outcome, Phase};
use crate::transfer::item::{Ends, FilePlan, FolderPlan, FolderTarget, LocalSource, Settled};
use crate::transfer::job::{Context, Control, blocking};

/// How often a file that changes is read again before it is given up.
const SOURCE_TRIES: u32 = 3;
/// Bytes of a frame's header kept for names; the body holds the files.
const HEADER_BYTES: usize = 512 << 10;
/// About what a member takes in a header beside its path: root, sizes, times, field names.
const MEMBER_BYTES: usize = 192;
/// Frames of the answer that may wait.
const ANSWERS: usize = 8;

/// What a pack may carry.
#[derive(Clone, Debug)]
pub(in crate::transfer) enum PackMember {
    File(FilePlan),
    Folder(FolderPlan),
}

/// What became of a pack.
#[derive(Debug, Default)]
pub(in crate::transfer) struct PackReport {
    /// Files that are done with, for better or worse.
    pub(in crate::transfer) settled: Vec<(FilePlan, Settled)>,
    /// Folders that could not be made.
    pub(in crate::transfer) folders: Vec<(FolderPlan, Failure)>,
    /// Files that are too large for this pack by now.
    pub(in crate::transfer) grown: Vec<FilePlan>,
}

/// Carries a pack up.
pub(in crate::transfer) async fn upload_pack(
    context: &Context,
    control: &Control,
    lane: usize,
    members: Vec<PackMember>,
) -> PackReport {
    control.gauge.begin(0);
    control.gate().await;
    control.gauge.phase(Phase::Running);
    let bytes: u64 = members.iter().map(PackMember::bytes).sum();
    let blocks = usize::try_from(bytes >> 20).unwrap_or(usize::MAX).saturating_add(1);
    let _memory = context.memory.reserve(blocks).await;
    context.pace.take(bytes).await;

    let limits = context.remote.limits();
    let most = usize::try_from(limits.body_bytes).unwrap_or(usize::MAX);
    let room = limits.pack_bytes.min(MAX_PACK_BYTES);
    let gathered = match blocking(move || Ok(gather(members, most, room))).await {
        Ok(gathered) => gathered,
        Err(failure) => unreachable!("reading a pack names its failures: {failure:?}"),
    };
    let Gathered { frames, sent, mut report } = gathered;
    if sent.is_empty() {
        return report;
    }
    let frames: Arc<[Frame]> = frames.into();
    let change = context.remote.begin_change();
    let key = change.key();
    let send = |session| {
        let frames = Arc::clone(&frames);
        async move { send(&session, key, &frames, control).await }
    };
    let answered = persist(context.remote.retry_for(), || context.session(lane), send).await;
    match answered {
        Ok(results) => {
            step::at(Step::PackAnswered);
            report.take_results(context, control, sent, results);
            report.merge_folders(context).await;
        }
        Err(error) => report.take_error(context, sent, &error),
    }
    report
}

impl PackMember {
    /// Bytes of its content.
    pub(in crate::transfer) fn bytes(&self) -> u64 {
        match self {
            Self::File(plan) => plan.source.size,
            Self::Folder(_) => 0,
        }
    }
}

struct Frame {
    members: Vec<message::PackMember>,
    body: Bytes,
}

/// A member that was sent, in the order of their numbers.
enum Sent {
    File { plan: FilePlan, source: Attributes, root: Root },
    Folder(FolderPlan),
}

struct Gathered {
    frames: Vec<Frame>,
    sent: Vec<Sent>,
    report: PackReport,
}

/// Reads everything into frames of at most `most` bytes, all together of at most `room`.
fn gather(members: Vec<PackMember>, most: usize, room: u64) -> Gathered {
    let mut gathering = Gathering::new(most, room);
    for member in members {
        match member {
            PackMember::Folder(folder) => gathering.add_folder(folder),
            PackMember::File(plan) => gathering.add_file(plan),
        }
    }
    gathering.cut();
    gathering.gathered
}

struct Gathering {
    most: usize,
    /// Bytes that the pack may still take.
    room: u64,
    members: Vec<message::PackMember>,
    header: usize,
    body: Vec<u8>,
    gathered: Gathered,
}

enum Read {
    Whole(Attributes, Root),
    /// It is too large for a pack by now, or for what this one may still take.
    Grown(Attributes),
}

impl Gathering {
    fn new(most: usize, room: u64) -> Self {
        let report = PackReport::default();
        let gathered = Gathered { frames: Vec::new(), sent: Vec::new(), report };
        Self { most, room, members: Vec::new(), header: 0, body: Vec::new(), gathered }
    }

    fn add_folder(&mut self, folder: FolderPlan) {
        let FolderTarget::Remote(path) = &folder.target else {
            unreachable!("the engine gives remote folders to this job");
        };
        let member = message::PackMember {
            path: path.clone(),
            mode: folder.source.mode,
            kind: PackMemberKind::Folder {},
        };
        self.push(member);
        self.gathered.sent.push(Sent::Folder(folder));
    }

    fn add_file(&mut self, mut plan: FilePlan) {
        let Ends::Up { from, to } = &plan.ends else {
            unreachable!("the engine gives uploads to this job");
        };
        let (from, to) = (from.clone(), to.clone());
        match self.read(&from) {
            Ok(Read::Whole(source, root)) => {
                let kind = PackMemberKind::File {
                    size: source.size,
                    mtime: source.mtime,
                    root,
                    if_target: plan.replace.precondition(),
                };
                let member = message::PackMember { path: to, mode: source.mode, kind };
                self.push(member);
                self.gathered.sent.push(Sent::File { plan, source, root });
            }
            Ok(Read::Grown(source)) => {
                plan.source = source;
                self.gathered.report.grown.push(plan);
            }
            Err(failure) => {
                let settled = settle(&plan, None, Outcome::Failed(failure));
                self.gathered.report.settled.push((plan, settled));
            }
        }
    }

    fn read(&mut self, from: &LocalSource) -> Result<Read, Failure> {
        for _ in 0..SOURCE_TRIES {
            let source = from.open()?;
            let attributes = source.attributes();
            if attributes.size > MAX_PACK_MEMBER_BYTES.min(self.room) {
                return Ok(Read::Grown(attributes));
            }
            let size = usize::try_from(attributes.size).unwrap_or(usize::MAX);
            let read = |buffer: &mut [u8]| {
                source.read_at(buffer, 0)?;
                source.is_proven(|| Root(*blake3::hash(buffer).as_bytes()))
            };
            match self.fill(size, read) {
                Ok(Some(root)) => {
                    self.room -= attributes.size;
                    return Ok(Read::Whole(attributes, root));
                }
                Ok(None) => {}
                Err(failure) if matches!(failure.situation, Situation::SourceChanged(_)) => {}
                Err(failure) => return Err(failure),
            }
        }
        Err(Failure::new(Situation::SourceChanged(Side::Local), crate::place::shown(&from.path())))
    }

    /// Appends what `read` reads, if it stood still. Nothing of anything else stays.
    fn fill(
        &mut self,
        size: usize,
        read: impl FnOnce(&mut [u8]) -> Result<bool, Failure>,
    ) -> Result<Option<Root>, Failure> {
        if self.body.len() + size > self.most {
            self.cut();
        }
        let start = self.body.len();
        self.body.resize(start + size, 0);
        let stood_still = read(&mut self.body[start..]);
        if let Ok(true) = stood_still {
            return Ok(Some(Root(*blake3::hash(&self.body[start..]).as_bytes())));
        }
        self.body.truncate(start);
        stood_still.map(|_| None)
    }

    fn push(&mut self, member: message::PackMember) {
        let header = MEMBER_BYTES
            + member.path.names().iter().map(|name| name.as_bytes().len() + 3).sum::<usize>();
        self.header += header;
        self.members.push(member);
        if self.header > HEADER_BYTES {
            self.cut();
        }
    }

    /// Ends a frame.
    fn cut(&mut self) {
        self.header = 0;
        if self.members.is_empty() {
            return;
        }
        let members = std::mem::take(&mut self.members);
        let body = Bytes::from(std::mem::take(&mut self.body));
        self.gathered.frames.push(Frame { members, body });
    }
}

async fn send(
    session: &Session,
    change: ChangeKey,
    frames: &[Frame],
    control: &Control,
) -> Result<Vec<Option<PackResult>>, CallError> {
    let mut call = session.begin::<Pack>(ANSWERS)?;
    for (number, frame) in frames.iter().enumerate() {
        let pack = Pack { change, members: frame.members.clone() };
        call.send(&pack, frame.body.clone(), number + 1 == frames.len()).await?;
        control.gauge.add_moved(frame.body.len() as u64);
    }
    control.gauge.phase(Phase::Committing);
    step::at(Step::PackSent);
    let mut answers = call.answers();
    let mut asked = AskedResults::new(frames.iter().map(|frame| frame.members.len()).sum());
    while let Some((answer, _)) = answers.next().await? {
        asked.take(answer.results.into_iter().map(|result| (result.index, result)))?;
    }
    Ok(asked.into_results())
}

fn settle(plan: &FilePlan, source: Option<Attributes>, outcome: Outcome) -> Settled {
    Settled { from: plan.ends.from(), to: plan.ends.to(), source, outcome }
}

impl PackReport {
    fn take_results(
        &mut self,
        context: &Context,
        control: &Control,
        sent: Vec<Sent>,
        results: Vec<Option<PackResult>>,
    ) {
        for (sent, answer) in sent.into_iter().zip(results) {
            let failure = match answer {
                Some(PackResult { attributes: Some(_), .. }) => None,
                Some(PackResult { refusal: Some(refusal), .. }) => Some(refused(&refusal)),
                Some(_) | None => {
                    let text = "the server did not say what became of it".to_owned();
                    Some(Situation::Unexpected(text))
                }
            };
            match (sent, failure) {
                (Sent::Folder(_), None) => {}
                (Sent::Folder(folder), Some(situation)) => {
                    let failure = about_folder(context, &folder, situation);
                    self.folders.push((folder, failure));
                }
                (Sent::File { plan, source, root }, None) => {
                    control.gauge.add_acknowledged(source.size);
                    let outcome = Outcome::Done { moved: source.size, root: Some(root) };
                    let settled = settle(&plan, Some(source), outcome);
                    self.settled.push((plan, settled));
                }
                (Sent::File { plan, source, .. }, Some(situation)) => {
                    let failure = about_file(context, &plan, situation);
                    let settled = settle(&plan, Some(source), Outcome::Failed(failure));
                    self.settled.push((plan, settled));
                }
            }
        }
    }

    /// Folders that came to be meanwhile, by another source or another client, are merged like those
    /// that were there.
    async fn merge_folders(&mut self, context: &Context) {
        for (folder, failure) in std::mem::take(&mut self.folders) {
            if failure.situation == Situation::Exists(Side::Remote)
                && let FolderTarget::Remote(path) = &folder.target
                && let Ok(Some(there)) = context.remote.stat_if_there(path).await
                && there.kind == EntryKind::Folder
            {
                continue;
            }
            self.folders.push((folder, failure));
        }
    }

    fn take_error(&mut self, context: &Context, sent: Vec<Sent>, error: &CallError) {
        for sent in sent {
            let situation = error.clone().about("").situation;
            match sent {
                Sent::Folder(folder) => {
                    let failure = about_folder(context, &folder, situation);
                    self.folders.push((folder, failure));
                }
                Sent::File { plan, source, .. } => {
                    let failure = about_file(context, &plan, situation);
                    let settled = settle(&plan, Some(source), Outcome::Failed(failure));
                    self.settled.push((plan, settled));
                }
            }
        }
    }
}

fn about_file(context: &Context, plan: &FilePlan, situation: Situation) -> Failure {
    // What was decided about is not there any more, or something else is.
    let situation = match situation {
        Situation::Exists(Side::Remote) => Situation::TargetChanged(Side::Remote),
        other => other,
    };
    match &plan.ends {
        Ends::Up { to, .. } => Failure::new(situation, context.remote.show(to)),
        Ends::Down { from, .. } => Failure::new(situation, context.remote.show(from)),
    }
}

fn about_folder(context: &Context, folder: &FolderPlan, situation: Situation) -> Failure {
    let subject = match &folder.target {
        FolderTarget::Remote(path) => context.remote.show(path),
        FolderTarget::Local(place) => crate::place::shown(&place.path()).to_string(),
    };
    Failure::new(situation, subject)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use sampan_protocol::RemotePath;

    use super::*;
    use crate::transfer::command::Links;
    use crate::transfer::decide::Replace;

    fn file(folder: &Path, name: &str, bytes: &[u8]) -> PackMember {
        std::fs::write(folder.join(name), bytes).unwrap();
        let path = folder.join(name);
        let from = LocalSource::new(path.as_path().into(), RemotePath::home(), Links::Skip);
        let source = from.open().unwrap().attributes();
        let ends = Ends::Up { from, to: RemotePath::parse(name.as_bytes()).unwrap() };
        PackMember::File(FilePlan { source, ends, replace: Replace::Nothing, credit: 0 })
    }

    #[test]
    fn what_one_grown_file_pushes_out_of_a_pack_goes_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let members: Vec<_> =
            ["a", "b", "c", "d"].iter().map(|name| file(folder.path(), name, b"12")).collect();
        std::fs::write(folder.path().join("b"), b"123456").unwrap();
        let gathered = gather(members, 1 << 20, 10);
        let sent: usize = gathered.frames.iter().map(|frame| frame.body.len()).sum();
        assert_eq!((sent, gathered.sent.len()), (10, 3));
        let grown: Vec<_> = gathered.report.grown.iter().map(|plan| plan.ends.to()).collect();
        assert_eq!(grown, [crate::place::Location::Remote(RemotePath::parse(b"d").unwrap())]);
        assert!(gathered.report.settled.is_empty());
    }

    #[test]
    fn a_file_that_cannot_be_read_leaves_nothing_in_the_frame_after_a_cut() {
        let folder = tempfile::tempdir().unwrap();
        let mut gathering = Gathering::new(10, 100);
        let PackMember::File(first) = file(folder.path(), "first", b"12345678") else { panic!() };
        gathering.add_file(first);
        let broken = |buffer: &mut [u8]| {
            buffer.fill(1);
            Err(Failure::new(Situation::DiskFailed(Side::Local, "broken".to_owned()), ""))
        };
        assert!(gathering.fill(5, broken).is_err());
        assert!(gathering.body.is_empty(), "{:?}", gathering.body);
        let moved = gathering.fill(5, |_| Ok(false));
        assert!(matches!(moved, Ok(None)) && gathering.body.is_empty());
        let PackMember::File(next) = file(folder.path(), "next", b"next") else { panic!() };
        gathering.add_file(next);
        gathering.cut();
        let bodies: Vec<_> =
            gathering.gathered.frames.iter().map(|frame| &frame.body[..]).collect();
        assert_eq!(bodies, [&b"12345678"[..], b"next"]);
    }
}
