//! Accounts and their homes.
//!
//! ```text
//! remove with its home: noted, closed → home into staging → row deleted → swept
//! ```
//!
//! Invariant: an account's row is made after its home. Where both go, the row says so from before
//! the home goes until after it: a crash between is rolled forward at the next start.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::io::Errno;
use sampan_protocol::Mode;

use super::Inner;
use super::db::accounts::{self, Removal};
use super::db::{intents, uploads};
use super::disk::Open;
use super::encoding::decode;
use super::failure::{if_there, while_doing};
use super::home::Home;
use super::intent::Intent;
use super::staging;
use super::step::Step;
use super::walking::Walk;
use crate::quota::Charge;
use crate::store::{Account, AccountId, HomeFound, NewAccount, Result, Situation, StoreError};

/// Whether `name` is `[a-z0-9_][a-z0-9_.-]{0,31}`: safe as a folder's name everywhere.
fn is_account_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let inside = |byte: &u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'.' | b'-')
    };
    (1..=32).contains(&bytes.len()) && !matches!(bytes[0], b'.' | b'-') && bytes.iter().all(inside)
}

/// Whether an account's home cannot be opened because it is none: gone, or something else by hand.
pub(super) fn is_without_home(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV))
}

impl Inner {
    pub(super) fn add_account(&self, new: NewAccount) -> Result<(Account, HomeFound)> {
        if !is_account_name(&new.name) {
            return Err(Situation::BadAccountName.into());
        }
        let name = new.name.clone();
        if self.db.read(|connection| accounts::find(connection, &name))?.is_some() {
            return Err(Situation::AccountExists.into());
        }
        let homes = &self.layout.homes;
        let failed = while_doing("making a home");
        let now = self.now();
        let made = self.disk.make_folder(homes, name.as_bytes(), Mode::new(0o700));
        let is_new = made.is_ok();
        let found = match made {
            Ok(()) => HomeFound::default(),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if !new.take_home {
                    return Err(Situation::HomeExists.into());
                }
                self.count_home(&name)?
            }
            Err(error) => return Err(failed(error)),
        };
        let used = Charge { bytes: found.bytes, entries: found.entries };
        let inserted = self.disk.flush_folder(homes).map_err(&failed).and_then(|()| {
            self.db.write("making an account", move |connection| {
                accounts::insert(connection, &new, now, used)
            })
        });
        match inserted {
            Ok(account) => Ok((account, found)),
            Err(error) => {
                if is_new {
                    // The home that was made for it; never one that was there.
                    if let Err(error) = self.disk.remove_folder(homes, name.as_bytes()) {
                        tracing::warn!(%error, name, "cannot remove a home that is not needed");
                    }
                }
                Err(error)
            }
        }
    }

    /// What a home holds that lies there already.
    fn count_home(&self, name: &str) -> Result<HomeFound> {
        let home = self
            .disk
            .open_beneath(&self.layout.homes, name.as_bytes(), Open::Folder)
            .map_err(while_doing("opening a home"))?;
        let mut walk = Walk::new(home, Arc::default());
        while self.walk_on(&mut walk).map_err(while_doing("counting a home"))? {}
        let Walk { counted: Charge { bytes, entries }, oddities, .. } = walk;
        Ok(HomeFound { bytes, entries, oddities })
    }

    /// The account's open home.
    pub(super) fn open_home(&self, account: AccountId) -> Result<Arc<Home>> {
        let account = self.db.read(|connection| accounts::get(connection, account))?;
        let folder = self
            .disk
            .open_beneath(&self.layout.homes, account.name.as_bytes(), Open::FolderToLook)
            .map_err(while_doing("opening a home"))?;
        let home = Home::new(account.id, folder);
        // An earlier failure may have left an intent; memory of that may have been given up.
        let left = self.db.read(|connection| intents::all(connection, Some(account.id)))?;
        for stored in left {
            if !matches!(decode(&stored.body)?, Intent::Purge(_)) {
                home.unsettled.store(true, Ordering::Relaxed);
            }
        }
        Ok(self.homes.keep(home))
    }

    /// Forgets an account. The caller has its turn, unless it has no home.
    pub(super) fn remove_account(
        &self,
        id: AccountId,
        home: Option<&Home>,
        purge: bool,
    ) -> Result<()> {
        if let Some(home) = home.filter(|_| !purge) {
            // A change that was cut short may have a file of the home in staging.
            self.settle_left_over(home)?;
        }
        let account = self.db.read(|connection| accounts::get(connection, id))?;
        let rows = self.db.read(|connection| uploads::all(connection, Some(id)))?;
        let left = self.db.read(|connection| intents::all(connection, Some(id)))?;
        if purge {
            let fresh = staging::fresh(staging::GONE);
            let staged = self.db.write("removing an account", move |connection| {
                accounts::begin_removal(connection, id, &fresh)
            })?;
            self.step(Step::RemovalWritten)?;
            self.finish_removal(&Removal { id, name: account.name, staged })?;
        } else {
            self.forget_account(id)?;
        }
        for row in rows {
            if let Some(upload) = self.uploads.get(row.slot_key()) {
                upload.lock().state.set_phase(crate::upload::Phase::Gone);
            }
            self.uploads.forget(row.slot_key());
            self.sweep(row.staging());
        }
        for stored in left {
            self.sweep_intent(&decode(&stored.body)?);
        }
        Ok(())
    }

    /// Takes the home of an account away, unless that is done already, and forgets the account.
    pub(super) fn finish_removal(&self, removal: &Removal) -> Result<()> {
        let (homes, staging) = (&self.layout.homes, &self.layout.staging);
        let failed = while_doing("deleting a home");
        let (home, staged) = (removal.name.as_bytes(), removal.staged.as_bytes());
        match self.disk.rename((homes, home), (staging, staged)) {
            // It lies in staging; what has its name now was put there by hand since then.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            // Taken away already, or there never was one.
            taken => drop(if_there(taken).map_err(&failed)?),
        }
        self.disk
            .flush_folder(staging)
            .and_then(|()| self.disk.flush_folder(homes))
            .map_err(&failed)?;
        self.step(Step::HomeTaken)?;
        self.forget_account(removal.id)?;
        self.sweep(removal.staged.clone());
        Ok(())
    }

    fn forget_account(&self, id: AccountId) -> Result<()> {
        self.db.write("removing an account", move |connection| accounts::remove(connection, id))?;
        self.homes.forget(id);
        self.step(Step::AccountRemoved)
    }

    /// Goes on with removals that were cut short. One that cannot be finished stays closed.
    pub(super) fn finish_removals(&self) -> Result<()> {
        for removal in self.db.read(accounts::removals)? {
            if let Err(error) = self.finish_removal(&removal) {
                tracing::error!(%error, account = removal.name, "cannot finish removing an account; it stays closed");
            }
        }
        Ok(())
    }

    fn sweep_intent(&self, intent: &Intent) {
        if let Some(staged) = intent.staged() {
            self.sweep(staged);
        }
    }

    /// 32 secret bytes of this store.
    pub(super) fn login_secret(&self) -> Result<[u8; 32]> {
        let fresh: [u8; 32] = rand::random();
        self.db.write("reading the login secret", move |connection| {
            if let Some(secret) = accounts::setting(connection, "login secret")? {
                return secret
                    .try_into()
                    .map_err(|_| StoreError::Corrupt("the login secret has another size".into()));
            }
            accounts::set_setting(connection, "login secret", &fresh)?;
            Ok(fresh)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::is_account_name;

    #[test]
    fn account_names_are_those_of_the_contract() {
        for name in ["a", "0", "_x", "anna.b-c_9", &"x".repeat(32)] {
            assert!(is_account_name(name), "{name}");
        }
        for name in ["", ".", "..", ".a", "-a", "A", "a/b", "ä", "a b", "a\n", &"x".repeat(33)] {
            assert!(!is_account_name(name), "{name:?}");
        }
    }
}
