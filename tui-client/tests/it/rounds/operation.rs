//! What a round does: what it starts from, what people order, what must be there in the end.

use std::path::PathBuf;

use sampan_client::step::Step as ClientStep;
use sampan_server::store::local::Step as ServerStep;

use super::checks::{Manifest, below, manifest, of_any_time};
use super::dice::{self, Dice};
use super::drive::Errand;
use super::stage::Stage;
use super::world::World;

/// What is cut short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Operation {
    PutTree,
    PutOver,
    PutBoth,
    PutDeep,
    GetTree,
    GetOver,
    Move,
    MoveOver,
    RemoveFile,
    RemoveFolder,
    RemoveTree,
    MakeFolders,
    Abort,
    Expire,
    Crowd,
    Queue,
    Scan,
    RemoveAccount,
}

/// What a round starts from and has to come to.
pub(super) struct Setting {
    /// Ordered one after the other; those of one group at the same time.
    pub(super) phases: Vec<Vec<Errand>>,
    /// What lies where in the end.
    pub(super) expected: Vec<(PathBuf, Manifest)>,
}

impl Operation {
    pub(super) const ALL: [Self; 18] = [
        Self::PutTree,
        Self::PutOver,
        Self::PutBoth,
        Self::PutDeep,
        Self::GetTree,
        Self::GetOver,
        Self::Move,
        Self::MoveOver,
        Self::RemoveFile,
        Self::RemoveFolder,
        Self::RemoveTree,
        Self::MakeFolders,
        Self::Abort,
        Self::Expire,
        Self::Crowd,
        Self::Queue,
        Self::Scan,
        Self::RemoveAccount,
    ];

    /// The server's steps that it comes to, about in this order.
    pub(super) fn server_steps(self) -> &'static [ServerStep] {
        use ServerStep as S;
        match self {
            Self::PutTree | Self::PutOver => &[
                S::UploadWritten,
                S::StagingMade,
                S::PieceWritten,
                S::UploadResumed,
                S::BlockJournalled,
                S::PackMemberStaged,
                S::PackFlushed,
                S::IntentWritten,
                S::IntentFound,
                S::PackMemberPublished,
                S::PackPublished,
                S::FoldersFlushed,
                S::FileFinished,
                S::DataFlushed,
                S::Renamed,
                S::FolderFlushed,
                S::StepsDone,
                S::Settled,
                S::AttributesSet,
                S::Swept,
            ],
            Self::PutBoth => &[S::UploadWritten, S::PieceWritten, S::Renamed, S::Settled],
            Self::PutDeep => &[
                S::FlushFailed,
                S::StagingGivenUp,
                S::IntentWritten,
                S::FolderMade,
                S::IntentFound,
                S::Settled,
            ],
            Self::Move => {
                &[S::IntentWritten, S::IntentFound, S::Renamed, S::FolderFlushed, S::StepsDone]
            }
            Self::MoveOver => &[S::Renamed, S::Displaced, S::FolderFlushed, S::Settled, S::Swept],
            Self::RemoveFile => &[S::IntentWritten, S::Renamed, S::FolderFlushed, S::Swept],
            Self::RemoveFolder => &[S::Removed, S::FolderFlushed, S::StepsDone, S::Settled],
            Self::RemoveTree => &[
                S::IntentWritten,
                S::Renamed,
                S::FolderFlushed,
                S::TreeTaken,
                S::IntentFound,
                S::BatchWrittenDown,
                S::BatchUnlinked,
                S::Settled,
                S::Swept,
            ],
            Self::MakeFolders => &[S::IntentWritten, S::FolderMade, S::StepsDone, S::Settled],
            Self::Abort => &[S::UploadGivenUp, S::Swept],
            Self::Expire => &[S::UploadExpired, S::UploadGivenUp, S::Swept],
            Self::Scan => &[S::ScanBegun, S::ScanCounts, S::ScanCounted, S::ScanSettled],
            Self::RemoveAccount => &[S::RemovalWritten, S::HomeTaken, S::AccountRemoved, S::Swept],
            Self::GetTree | Self::GetOver | Self::Crowd | Self::Queue => &[],
        }
    }

    /// Whether a step is come to only after a flush of a file failed.
    pub(super) fn follows_failed_flush(step: ServerStep) -> bool {
        matches!(step, ServerStep::FlushFailed | ServerStep::StagingGivenUp)
    }

    /// The client's steps that it comes to, about in this order.
    pub(super) fn client_steps(self) -> &'static [ClientStep] {
        use ClientStep as S;
        match self {
            Self::PutTree | Self::PutOver | Self::Crowd => &[
                S::JournalMade,
                S::JournalOpened,
                S::UploadOpened,
                S::BlockAcknowledged,
                S::PackSent,
                S::UploadSent,
                S::UploadCommitted,
                S::PackAnswered,
                S::FolderFinished,
                S::JournalRemoved,
            ],
            Self::PutBoth => &[S::BlockAcknowledged, S::UploadCommitted],
            Self::PutDeep => &[S::UploadOpened, S::UploadSent, S::UploadCommitted],
            Self::GetTree | Self::GetOver => &[
                S::FolderMade,
                S::DownloadStaged,
                S::BlockWritten,
                S::MemberStaged,
                S::FilesFlushed,
                S::TargetRenamed,
                S::TargetFolderFlushed,
                S::LocalFolderFinished,
            ],
            Self::Queue => &[S::BatchWritten, S::UploadCommitted, S::BatchFinished],
            _ => &[],
        }
    }

    /// Whether it comes to its client's steps only where nothing is there yet.
    pub(super) fn misses(self, step: ClientStep) -> bool {
        self == Self::GetOver && step == ClientStep::FolderMade
    }

    /// Makes what the round starts from, in a folder of its own on both sides.
    pub(super) fn prepare(self, world: &mut World, dice: &mut Dice, folder: &str) -> Setting {
        let mut at = Stage { world, dice, folder };
        match self {
            Self::PutTree => {
                let tree = at.tree(0);
                at.setting(vec![at.put(0, "tree", &[])], [(0, below("tree", &tree))])
            }
            Self::PutOver | Self::PutBoth => at.put_again(self == Self::PutBoth),
            Self::PutDeep | Self::Queue => {
                at.big(0);
                let to = if self == Self::PutDeep { "made/by/us" } else { "" };
                let file = below(to, &at.local(0));
                let words =
                    vec!["put".into(), "--json".into(), at.here("big"), at.there(0, to) + "/"];
                at.setting(vec![Errand { person: 0, words }], [(0, file)])
            }
            Self::GetTree => {
                let tree = at.tree(0);
                at.order(&at.put(0, "tree", &[]));
                let words =
                    vec!["get".into(), "--json".into(), at.there(0, "tree"), at.here("back/")];
                let expected = [(0, below("tree", &tree))];
                let back = (at.here_path(0).join("back"), below("tree", &tree));
                let mut setting = at.setting(vec![Errand { person: 0, words }], expected);
                setting.expected.push(back);
                setting
            }
            Self::GetOver => {
                let _ = at.tree(0);
                at.order(&at.put(0, "tree", &[]));
                dice::change_some(at.dice, &at.here_path(0).join("tree"));
                let words = ["get", "--json", "--on-conflict", "overwrite"];
                let mut words: Vec<String> = words.map(Into::into).into();
                words.extend([at.there(0, "tree"), at.here("")]);
                let there = manifest(&at.there_path(0));
                at.know(0);
                let here = (at.here_path(0).join("tree"), manifest(&at.there_path(0).join("tree")));
                let mut setting = at.setting(vec![Errand { person: 0, words }], [(0, there)]);
                setting.expected.push(here);
                setting
            }
            Self::Move | Self::MoveOver => at.rename(self == Self::MoveOver),
            Self::RemoveFile | Self::RemoveFolder | Self::RemoveTree => {
                let _ = at.tree(0);
                at.order(&at.put(0, "tree", &[]));
                let what = match self {
                    Self::RemoveFile => "tree/kept/gone",
                    Self::RemoveFolder => "tree/empty",
                    // Sometimes of more names than are deleted in one batch.
                    _ => *at.dice.one_of(&["tree/kept", "tree"]),
                };
                let recursive = if self == Self::RemoveTree { "-rf" } else { "-f" };
                let words = vec!["rm".into(), recursive.into(), at.there(0, what)];
                let mut left = of_any_time(manifest(&at.there_path(0)));
                left.retain(|path, _| !path.starts_with(what));
                at.setting(vec![Errand { person: 0, words }], [(0, left)])
            }
            Self::MakeFolders => {
                let words = vec!["mkdir".into(), "-p".into(), at.there(0, "x/y/z/\u{fc}")];
                let made = below("x/y/z/\u{fc}", &Manifest::new());
                at.setting(vec![Errand { person: 0, words }], [(0, made)])
            }
            Self::Abort | Self::Expire => {
                let put = at.leave_an_upload();
                let file = at.local(0);
                let mut phases = vec![vec![put]];
                if self == Self::Abort {
                    let mut words: Vec<String> = vec!["uploads".into(), "--abort".into()];
                    words.extend(at.world.uploads(0).ids.iter().map(ToString::to_string));
                    words.push(at.world.place(0, ""));
                    phases.insert(0, vec![Errand { person: 0, words }]);
                }
                Setting { phases, expected: vec![(at.there_path(0), file)] }
            }
            Self::Scan => {
                let _ = at.tree(0);
                at.order(&at.put(0, "tree", &[]));
                at.change_by_hand();
                let there = manifest(&at.there_path(0));
                at.setting(Vec::new(), [(0, there)])
            }
            Self::RemoveAccount => {
                at.add_guest();
                at.setting(Vec::new(), [])
            }
            Self::Crowd => {
                let mine = at.tree(0);
                let theirs = at.tree(1);
                let _ = at.tree(2);
                at.order(&at.put(1, "tree", &[]));
                at.order(&at.put(2, "tree", &[]));
                let get = ["get".into(), "--json".into(), at.there(1, "tree"), at.here("back/")];
                let remove = ["rm".into(), "-rf".into(), at.there(2, "tree/kept")];
                let mut left = of_any_time(manifest(&at.there_path(2)));
                left.retain(|path, _| !path.starts_with("tree/kept"));
                let errands = vec![
                    at.put(0, "tree", &[]),
                    Errand { person: 1, words: get.into() },
                    Errand { person: 2, words: remove.into() },
                ];
                let expected = [(0, below("tree", &mine)), (2, left)];
                let back = (at.here_path(1).join("back"), below("tree", &theirs));
                let mut setting = at.setting(errands, expected);
                setting.expected.push(back);
                setting
            }
        }
    }
}
