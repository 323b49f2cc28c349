//! Login keys that `sampan login` enrolled: one file an account, 0600.
//!
//! Invariant: a seed is wiped from memory when it is dropped.

use std::path::PathBuf;

use rustix::io::Errno;
use zeroize::Zeroizing;

use super::State;
use super::private::{PrivateFolder, own_file, parts, read, replace};
use crate::address::Account;
use crate::failure::{Failure, Situation};
use crate::place::shown;

/// A key's secret: what an Ed25519 key is made from.
pub type StoredKey = Zeroizing<[u8; 32]>;

impl State {
    /// The key that is enrolled for `account`, if there is one.
    pub fn login_key(&self, account: &Account) -> Result<Option<StoredKey>, Failure> {
        let path = self.key_path(account);
        let content = read(&self.disk, &path).map_err(|error| own_file(&path, error))?;
        let Some(content) = content.map(Zeroizing::new) else { return Ok(None) };
        let text = std::str::from_utf8(&content).unwrap_or_default();
        let seed = text.lines().nth(1).and_then(from_hex);
        if seed.is_none() {
            let text = "it holds no login key; remove it and run `sampan login`".to_owned();
            return Err(Failure::new(Situation::Unexpected(text), shown(&path)));
        }
        Ok(seed)
    }

    /// Keeps `seed` as the key of `account`.
    pub fn store_login_key(&self, account: &Account, seed: &[u8; 32]) -> Result<(), Failure> {
        let path = self.key_path(account);
        let mut content = Zeroizing::new(format!("{}\n", whole_name(account)));
        for digit in seed.iter().flat_map(|byte| [byte >> 4, byte & 15]) {
            content.push(char::from_digit(u32::from(digit), 16).unwrap_or_default());
        }
        content.push('\n');
        replace(&self.disk, &path, content.as_bytes()).map_err(|error| own_file(&path, error))
    }

    /// Removes the key of `account`; one that is not there is no error.
    pub fn remove_login_key(&self, account: &Account) -> Result<(), Failure> {
        let path = self.key_path(account);
        let (folder, name) = parts(&path);
        let removed = PrivateFolder::open(&self.disk, folder).and_then(|folder| {
            match folder.unlink(name) {
                // An earlier run may have died, or failed, before its flush.
                Ok(()) | Err(Errno::NOENT) => folder.flush(),
                Err(error) => Err(error),
            }
        });
        match removed {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(own_file(&path, error)),
        }
    }

    /// Named by a hash, for a user's name may hold what a file's cannot.
    fn key_path(&self, account: &Account) -> PathBuf {
        let name = blake3::hash(whole_name(account).as_bytes()).to_hex();
        self.keys().join(format!("{}.key", &name[..32]))
    }
}

fn whole_name(account: &Account) -> String {
    format!("{}@{}", account.user, account.server)
}

fn from_hex(digits: &str) -> Option<StoredKey> {
    let mut seed = Zeroizing::new([0; 32]);
    if digits.len() != 64 || !digits.is_ascii() {
        return None;
    }
    for (index, byte) in seed.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(seed)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::address::Place;

    #[test]
    fn a_key_is_kept_for_its_account_only_and_for_this_user_only() {
        let home = tempfile::tempdir().unwrap();
        let state = State::under(home.path());
        let account = |written: &str| Place::parse(written.as_ref(), None).unwrap().account;
        state.store_login_key(&account("a@h"), &[0xab; 32]).unwrap();

        assert_eq!(state.login_key(&account("a@h")).unwrap().as_deref(), Some(&[0xab; 32]));
        assert_eq!(state.login_key(&account("b@h")).unwrap(), None);
        let mode = fs::metadata(state.key_path(&account("a@h"))).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let folder = fs::metadata(state.keys()).unwrap().permissions().mode();
        assert_eq!(folder & 0o777, 0o700);

        state.remove_login_key(&account("a@h")).unwrap();
        state.remove_login_key(&account("a@h")).unwrap();
        assert_eq!(state.login_key(&account("a@h")).unwrap(), None);
    }

    #[test]
    fn a_damaged_key_is_an_error() {
        let home = tempfile::tempdir().unwrap();
        let state = State::under(home.path());
        let account = Place::parse("a@h".as_ref(), None).unwrap().account;
        state.store_login_key(&account, &[1; 32]).unwrap();
        fs::write(state.key_path(&account), "a@h:7227\nabc\n").unwrap();
        state.login_key(&account).unwrap_err();
    }
}
