//! Setting mode and time of a file or folder.
//!
//! Needs no intent: doing it twice is doing it once.

use sampan_protocol::{ChangeKey, EntryKind, Mode, RemotePath, Timestamp};

use super::Inner;
use super::attributes::kept_mode;
use super::change::{Answer, request};
use super::db::answers;
use super::disk::Open;
use super::encoding::encode;
use super::failure::about;
use super::home::Home;
use super::step::Step;
use crate::store::{Changed, Result, Situation};

impl Inner {
    pub(super) fn set_attributes(
        &self,
        home: &Home,
        change: ChangeKey,
        path: &RemotePath,
        mode: Option<Mode>,
        mtime: Option<Timestamp>,
    ) -> Result<Changed> {
        let request = request(home.account, change, "set attributes", &(path, mode, mtime));
        let answer = self.change(home, &request, || {
            let meta = home.stat(&self.disk, path)?;
            let failed = about(path, "setting attributes");
            let file = match meta.kind {
                EntryKind::Folder => {
                    home.folder_at(&self.disk, path, Open::Folder).map_err(&failed)?
                }
                EntryKind::File => home.open_file(&self.disk, path)?.0,
                EntryKind::Link => return Err(Situation::IsALink.about(path)),
                EntryKind::Other => return Err(Situation::NotAFile.about(path)),
            };
            if path.is_home() && mode.is_some() {
                return Err(Situation::InvalidTarget.about(path));
            }
            if let Some(mode) = mode {
                let mode = kept_mode(mode, meta.is_folder());
                self.disk.set_mode(&file, mode).map_err(&failed)?;
            }
            if let Some(mtime) = mtime {
                self.disk.set_mtime(&file, mtime).map_err(&failed)?;
            }
            self.disk.flush_file(&file).map_err(&failed)?;
            self.step(Step::AttributesSet)?;
            let meta = self.disk.stat_open(&file).map_err(&failed)?;
            let answer = Answer::Changed(meta.attributes());
            let (kept, encoded, now) = (request, encode(&answer), self.now_seconds());
            self.db.write("keeping an answer", move |connection| {
                answers::keep(connection, &kept, &encoded, now)
            })?;
            Ok(answer)
        });
        answer?.changed()
    }
}
