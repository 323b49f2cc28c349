//! Which source goes by which name, where several would go by one.
//!
//! Invariant: no two sources that are carried have one name, but for those whose contents are meant.

use std::collections::HashMap;
use std::hash::Hash;

use sampan_protocol::{EntryKind, Name};

use crate::failure::Situation;
use crate::local::numbered;
use crate::transfer::command::OnConflict;

/// The names that sources of one batch have taken.
pub(super) struct Claims<P> {
    on_conflict: OnConflict,
    /// By target: which source, shown, and what it is.
    taken: HashMap<P, (String, EntryKind)>,
}

impl<P: Clone + Eq + Hash> Claims<P> {
    pub(super) fn new(on_conflict: OnConflict) -> Self {
        Self { on_conflict, taken: HashMap::new() }
    }

    /// Takes `to` for a source. Where another one has it, two files are both kept if that is the
    /// policy: the second takes the first name like it that no source has, made by `named`.
    pub(super) fn take(
        &mut self,
        to: P,
        name: &Name,
        shown: String,
        kind: EntryKind,
        named: impl Fn(&Name) -> Option<P>,
    ) -> Result<Option<P>, Situation> {
        let Some((first, first_kind)) = self.taken.get(&to) else {
            self.taken.insert(to, (shown, kind));
            return Ok(None);
        };
        let are_files = kind == EntryKind::File && *first_kind == EntryKind::File;
        if self.on_conflict == OnConflict::Rename && are_files {
            // As many names as there are sources, and one more, hold one that is free.
            let numbers = 2..self.taken.len() as u64 + 3;
            let mut beside = numbers.filter_map(|number| named(&numbered(name, number)));
            if let Some(to) = beside.find(|to| !self.taken.contains_key(to)) {
                self.taken.insert(to.clone(), (shown, kind));
                return Ok(Some(to));
            }
        }
        Err(Situation::SameTarget { first: first.clone(), second: shown })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(claims: &mut Claims<Vec<u8>>, kind: EntryKind) -> Result<Vec<u8>, Situation> {
        let name = Name::new(b"a.txt").unwrap();
        let named = |name: &Name| Some(name.as_bytes().to_vec());
        let shown = format!("/{}", claims.taken.len());
        let to = name.as_bytes().to_vec();
        let beside = claims.take(to.clone(), &name, shown, kind, named)?;
        Ok(beside.unwrap_or(to))
    }

    #[test]
    fn files_are_both_kept_only_where_that_is_the_policy() {
        let same = Situation::SameTarget { first: "/0".into(), second: "/1".into() };
        let policies = [
            OnConflict::Ask,
            OnConflict::Overwrite,
            OnConflict::Skip,
            OnConflict::Newer,
            OnConflict::Fail,
        ];
        for policy in policies {
            let mut claims = Claims::new(policy);
            assert_eq!(take(&mut claims, EntryKind::File), Ok(b"a.txt".to_vec()));
            assert_eq!(take(&mut claims, EntryKind::File), Err(same.clone()));
        }
        let mut claims = Claims::new(OnConflict::Rename);
        for name in ["a.txt", "a (2).txt", "a (3).txt"] {
            assert_eq!(take(&mut claims, EntryKind::File), Ok(name.as_bytes().to_vec()));
        }
        let folder = take(&mut claims, EntryKind::Folder);
        assert!(matches!(folder, Err(Situation::SameTarget { .. })), "{folder:?}");
    }
}
