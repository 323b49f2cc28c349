//! What each operation comes to in the model.

use super::operation::{At, Call, Meant};
use super::reference::{Account, Checked, Node, Sum, Target, Upload, is_below};
use crate::store::Situation;

impl Account {
    pub(super) fn open(&mut self, slot: u64, wish: Upload) -> Checked<u32> {
        if let Some(upload) = self.uploads.get_mut(&slot) {
            if (&upload.at, upload.size) != (&wish.at, wish.size) {
                return Err(Situation::UploadDiffers);
            }
            upload.epoch += 1;
            upload.target = wish.target;
            upload.parents = wish.parents;
            upload.touched = wish.touched;
            return Ok(upload.epoch);
        }
        let missing = self.missing(&wish.at)?;
        if missing > 0 && !wish.parents {
            return Err(Situation::NotFound);
        }
        let victim = Self::check(wish.target, self.tree.get(&wish.at).copied())?;
        // "The old version as a credit that only one upload can hold."
        let victim = victim.filter(|(state, _)| self.claim(*state).is_none());
        let new = Sum::new(wish.size, 1 + missing);
        let credit = victim.map(|(state, size)| (state.number, new.min(Sum::new(size, 1))));
        // "Overwrite reserves max(0, new − old)."
        let reserved = new.less(credit.map_or(Sum::default(), |(_, credit)| credit));
        Self::fits(reserved, self.available())?;
        let victim = victim.map(|(_, size)| size);
        self.uploads.insert(slot, Upload { reserved, credit, victim, ..wish });
        Ok(1)
    }

    pub(super) fn commit(&mut self, call: &Call, slot: u64) -> Checked<()> {
        let now = self.now;
        let Meant { born, epoch, .. } = call.upload.ok_or(Situation::UploadNotFound)?;
        let upload = self.uploads.get_mut(&slot).filter(|upload| upload.born == born);
        let upload = upload.ok_or(Situation::UploadNotFound)?;
        if upload.epoch != epoch {
            return Err(Situation::UploadTaken);
        }
        if upload.size > 0 {
            // Its bytes were sent.
            upload.touched = now;
        }
        let upload = upload.clone();
        let missing = self.missing(&upload.at)?;
        if missing > 0 && !upload.parents {
            return Err(Situation::NotFound);
        }
        let victim = Self::check(upload.target, self.tree.get(&upload.at).copied())?;
        let new = Sum::new(upload.size, 1 + missing);
        let frees = victim.map_or(Sum::default(), |(state, size)| {
            let claimed = self.claim(state).filter(|(holder, _)| *holder != slot);
            // What another counts on moves to it, and is not free.
            Sum::new(size, 1).less(claimed.map_or(Sum::default(), |(_, credit)| credit))
        });
        // Most often nothing: it was reserved when the upload was opened.
        Self::fits(new.less(frees).less(upload.reserved), self.available())?;
        self.uploads.remove(&slot);
        self.make_ways(&upload.at);
        self.put(&upload.at, (call.number, 0), upload.size);
        // Both are charged for a moment: use that a hand made too small is not cut twice.
        if let Some((state, size)) = victim {
            let is_counted_on = upload.credit.is_some_and(|(number, _)| number == state.number);
            self.scan_due |= is_counted_on && upload.victim != Some(size);
            self.gone(Node::File { state, size });
        }
        Ok(())
    }

    pub(super) fn mkdir(&mut self, at: &str, parents: bool) -> Checked<()> {
        let missing = self.missing(at)?;
        if missing > 0 && !parents {
            return Err(Situation::NotFound);
        }
        match self.tree.get(at) {
            Some(Node::Folder) if parents => return Ok(()),
            Some(Node::File { .. }) if parents => return Err(Situation::NotAFolder),
            Some(_) => return Err(Situation::Exists),
            None => {}
        }
        Self::fits(Sum::new(0, 1 + missing), self.available())?;
        self.make_ways(at);
        self.tree.insert(at.to_owned(), Node::Folder);
        self.used.entries += 1;
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &str, to: &str, target: Target) -> Checked<()> {
        let moved = self.look(from)?.ok_or(Situation::NotFound)?;
        if to == from || is_below(to, from) {
            return Err(Situation::InvalidTarget);
        }
        let there = self.look(to)?;
        let victim = match (moved, target, there) {
            (Node::File { .. }, ..) => Self::check(target, there)?,
            (_, Target::This(_), None) => return Err(Situation::VersionChanged),
            (_, _, None) => None,
            (_, Target::Absent, Some(_)) | (_, _, Some(Node::Folder)) => {
                return Err(Situation::Exists);
            }
            (_, _, Some(Node::File { .. })) => return Err(Situation::NotAFolder),
        };
        // "Rename inside a home is free; replacing by rename credits the victim."
        if let Some((state, size)) = victim {
            self.gone(Node::File { state, size });
        }
        self.move_names(from, to);
        Ok(())
    }

    pub(super) fn remove(&mut self, number: u64, at: &str, recursive: bool) -> Checked<Sum> {
        let node = self.look(at)?.ok_or(Situation::NotFound)?;
        let below: Vec<At> =
            self.tree.keys().filter(|there| is_below(there, at)).cloned().collect();
        if !recursive && !below.is_empty() {
            return Err(Situation::NotEmpty);
        }
        self.tree.remove(at);
        let went = below.iter().map(|at| self.tree.remove(at).expect("just found"));
        let went: Vec<Node> = std::iter::once(node).chain(went).collect();
        let removed = went.iter().fold(Sum::default(), |sum, node| sum.plus(node.sum()));
        if node == Node::Folder && recursive {
            self.purges.insert(number, went);
        } else {
            for node in went {
                self.gone(node);
            }
        }
        Ok(removed)
    }
}
