//! Scans of homes, as the ledger sees them: which are due, and what they correct.
//!
//! Invariant: a correction is one transaction; what is reserved only grows by credits whose files are
//! gone or smaller by now, and so stays the sum over uploads and intents.

use std::collections::HashSet;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};
use sampan_protocol::{Timestamp, UploadId};

use super::failed;
use super::ledger::{self, Inode, loaded, stored};
use super::uploads::moment;
use crate::quota::Charge;
use crate::store::{AccountId, Result, Situation};

/// Whether a scan of the account is due.
pub(crate) fn is_due(connection: &Connection, account: AccountId) -> Result<bool> {
    let sql = "SELECT scan_due FROM accounts WHERE id = ?1";
    let due = || connection.prepare_cached(sql)?.query_row([account.0], |row| row.get(0));
    Ok(due().optional().map_err(failed("asking whether a scan is due"))?.unwrap_or(false))
}

/// The accounts of which a scan is due.
pub(crate) fn all_due(connection: &Connection) -> Result<Vec<AccountId>> {
    let due = || {
        connection
            .prepare_cached("SELECT id FROM accounts WHERE scan_due ORDER BY id")?
            .query_map([], |row| Ok(AccountId(row.get(0)?)))?
            .collect::<rusqlite::Result<_>>()
    };
    due().map_err(failed("looking for scans that are due"))
}

/// A file that an upload counts on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Credit {
    pub(crate) upload: UploadId,
    pub(crate) file: Inode,
}

/// A file that a scan looked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) file: Inode,
    pub(crate) bytes: u64,
}

/// All credits of an account.
pub(crate) fn credits(connection: &Connection, account: AccountId) -> Result<Vec<Credit>> {
    let sql = "SELECT id, credit_inode, victim_born_s, victim_born_ns FROM uploads \
               WHERE account = ?1 AND credit_inode IS NOT NULL";
    let credits = || {
        let read = |row: &Row<'_>| {
            let number = row.get::<_, i64>(1)?.cast_unsigned();
            let file = Inode { number, born: moment(row, 2)? };
            Ok(Credit { upload: UploadId(loaded(row.get(0)?)), file })
        };
        connection
            .prepare_cached(sql)?
            .query_map([account.0], read)?
            .collect::<rusqlite::Result<_>>()
    };
    credits().map_err(failed("reading credits"))
}

/// The numbers of the inodes that credits are for.
pub(crate) fn files(credits: &[Credit]) -> Arc<HashSet<u64>> {
    Arc::new(credits.iter().map(|credit| credit.file.number).collect())
}

/// What a scan found.
#[derive(Debug)]
pub(crate) struct Counted {
    /// What is charged: the home, and what was removed from it and is not deleted yet.
    pub(crate) used: Charge,
    /// The credits that it looked for.
    pub(crate) credits: Vec<Credit>,
    /// The files of these inodes; one that is not among them is gone.
    pub(crate) found: Vec<Found>,
    pub(crate) as_of: Timestamp,
}

/// Corrects what is used to what was counted. A credit for what is gone, or smaller by now, moves
/// into its upload's reservation, as if the server had removed it.
pub(crate) fn correct(
    connection: &Connection,
    account: AccountId,
    counted: &Counted,
) -> Result<()> {
    let sql = "UPDATE accounts SET used_bytes = ?2, used_entries = ?3, scan_due = 0, \
               scanned_s = ?4, scanned_ns = ?5 WHERE id = ?1";
    let corrected = connection
        .execute(
            sql,
            params![
                account.0,
                stored(counted.used.bytes),
                stored(counted.used.entries),
                counted.as_of.seconds(),
                counted.as_of.nanos()
            ],
        )
        .map_err(failed("correcting the ledger"))?;
    if corrected == 0 {
        return Err(Situation::AccountNotFound.into());
    }
    for Credit { upload, file } in &counted.credits {
        // It may have ended meanwhile.
        let Some(held) = ledger::credit_of(connection, account, *upload)? else { continue };
        let holder = stored(upload.0);
        // Another file of the same inode is not the one that was there.
        let found = counted.found.iter().find(|found| found.file.is(*file));
        let Some(Found { bytes, .. }) = found.copied() else {
            ledger::move_credit(connection, account, holder, held, None)?;
            continue;
        };
        let moved = held.less(Charge::entry(bytes));
        ledger::move_credit(connection, account, holder, moved, Some(*file))?;
        connection
            .execute(
                "UPDATE uploads SET victim_bytes = ?2 WHERE id = ?1",
                params![holder, stored(bytes)],
            )
            .map_err(failed("moving a credit"))?;
    }
    Ok(())
}
