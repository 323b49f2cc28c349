//! The ledger: what each account uses, reserves and may hold.
//!
//! Invariant: `reserved` is the sum over the account's uploads and intents; a reservation is one
//! conditional update, so two that race for the last byte cannot both win.

use rusqlite::{Connection, OptionalExtension, params};

use super::failed;
use crate::quota::{self, Charge};
use crate::store::{AccountId, QuotaLimits, Result, Situation};

/// SQLite counts to 2⁶³ − 1; so does the largest file.
pub(crate) fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// What is stored is never negative.
pub(crate) fn loaded(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// One account's ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ledger {
    pub(crate) limits: QuotaLimits,
    pub(crate) used: Charge,
    pub(crate) reserved: Charge,
}

pub(crate) fn ledger(connection: &Connection, account: AccountId) -> Result<Ledger> {
    let sql = "SELECT limit_bytes, limit_entries, used_bytes, used_entries, reserved_bytes, \
               reserved_entries FROM accounts WHERE id = ?1";
    let ledger = || {
        connection.prepare_cached(sql)?.query_row([account.0], |row| {
            let limit = |number: Option<i64>| number.map(loaded);
            Ok(Ledger {
                limits: QuotaLimits { bytes: limit(row.get(0)?), entries: limit(row.get(1)?) },
                used: Charge { bytes: loaded(row.get(2)?), entries: loaded(row.get(3)?) },
                reserved: Charge { bytes: loaded(row.get(4)?), entries: loaded(row.get(5)?) },
            })
        })
    };
    ledger()
        .optional()
        .map_err(failed("reading the ledger"))?
        .ok_or_else(|| Situation::AccountNotFound.into())
}

/// Reserves, if the limits leave so much. Nothing is always left.
pub(crate) fn reserve(connection: &Connection, account: AccountId, charge: Charge) -> Result<()> {
    let sql = "UPDATE accounts SET \
               reserved_bytes = reserved_bytes + ?2, reserved_entries = reserved_entries + ?3 \
               WHERE id = ?1 \
               AND (?2 = 0 OR ?2 <= coalesce(limit_bytes, ?4) - used_bytes - reserved_bytes) \
               AND (?3 = 0 OR ?3 <= coalesce(limit_entries, ?4) - used_entries - reserved_entries)";
    let changed = || {
        connection.prepare_cached(sql)?.execute(params![
            account.0,
            stored(charge.bytes),
            stored(charge.entries),
            i64::MAX
        ])
    };
    if changed().map_err(failed("reserving"))? == 1 {
        return Ok(());
    }
    let Ledger { limits, used, reserved } = ledger(connection, account)?;
    let bytes = quota::available(limits.bytes, used.bytes, reserved.bytes);
    let entries = quota::available(limits.entries, used.entries, reserved.entries);
    Err(if charge.bytes > 0 && charge.bytes > bytes {
        Situation::OverQuota { needed: charge.bytes, available: bytes }
    } else {
        Situation::TooManyFiles { needed: charge.entries, available: entries }
    }
    .into())
}

/// Gives a reservation back.
pub(crate) fn release(connection: &Connection, account: AccountId, charge: Charge) -> Result<()> {
    let sql = "UPDATE accounts SET reserved_bytes = reserved_bytes - ?2, \
               reserved_entries = reserved_entries - ?3 WHERE id = ?1";
    execute(connection, sql, account, charge, "releasing a reservation")
}

/// Charges what was published.
pub(crate) fn charge(connection: &Connection, account: AccountId, charge: Charge) -> Result<()> {
    let sql = "UPDATE accounts SET used_bytes = used_bytes + ?2, \
               used_entries = used_entries + ?3 WHERE id = ?1";
    execute(connection, sql, account, charge, "charging")
}

/// Credits what went. If an upload counted on `inode`, its part moves into that reservation: never
/// more than went, for another hand may have cut the file meanwhile.
pub(crate) fn credit(
    connection: &Connection,
    account: AccountId,
    inode: Option<u64>,
    charge: Charge,
) -> Result<()> {
    let sql = "UPDATE accounts SET \
               scan_due = scan_due OR used_bytes < ?2 OR used_entries < ?3, \
               used_bytes = max(0, used_bytes - ?2), used_entries = max(0, used_entries - ?3) \
               WHERE id = ?1";
    execute(connection, sql, account, charge, "crediting")?;
    let Some(inode) = inode else { return Ok(()) };
    let Some((upload, claimed)) = claim(connection, account, inode)? else { return Ok(()) };
    let claimed = claimed.min(charge);
    let sql = "UPDATE uploads SET credit_inode = NULL, credit_bytes = 0, credit_entries = 0, \
               reserved_bytes = reserved_bytes + ?2, reserved_entries = reserved_entries + ?3 \
               WHERE id = ?1";
    connection
        .prepare_cached(sql)
        .and_then(|mut update| {
            update.execute(params![upload, stored(claimed.bytes), stored(claimed.entries)])
        })
        .map_err(failed("moving a credit"))?;
    let sql = "UPDATE accounts SET reserved_bytes = reserved_bytes + ?2, \
               reserved_entries = reserved_entries + ?3 WHERE id = ?1";
    execute(connection, sql, account, claimed, "moving a credit")
}

/// The upload that counts on a file, and with how much.
pub(crate) fn claim(
    connection: &Connection,
    account: AccountId,
    inode: u64,
) -> Result<Option<(i64, Charge)>> {
    let sql = "SELECT id, credit_bytes, credit_entries FROM uploads \
               WHERE account = ?1 AND credit_inode = ?2";
    let claim = || {
        connection.prepare_cached(sql)?.query_row(params![account.0, inode.cast_signed()], |row| {
            let charge = Charge { bytes: loaded(row.get(1)?), entries: loaded(row.get(2)?) };
            Ok((row.get(0)?, charge))
        })
    };
    claim().optional().map_err(failed("looking for a credit"))
}

fn execute(
    connection: &Connection,
    sql: &str,
    account: AccountId,
    charge: Charge,
    doing: &'static str,
) -> Result<()> {
    if charge.is_none() {
        return Ok(());
    }
    connection
        .prepare_cached(sql)
        .and_then(|mut update| {
            update.execute(params![account.0, stored(charge.bytes), stored(charge.entries)])
        })
        .map(|_| ())
        .map_err(failed(doing))
}
