//! The ledger: what each account uses, reserves and may hold.
//!
//! What hands change in a home is not in it until a scan; where the ledger comes to see such a
//! change (a *surprise*), it notes that a scan is due.
//!
//! Invariant: `reserved` is the sum over the account's uploads and intents; a reservation is one
//! conditional update, so two that race for the last byte cannot both win. Use is never below 0.

use rusqlite::{Connection, OptionalExtension, params};
use sampan_protocol::{Timestamp, UploadId};

use super::failed;
use super::uploads::moment;
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

/// A file, as a credit names it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inode {
    pub(crate) number: u64,
    /// When it was made, if the file system says so: a hand may delete a file, and its number be
    /// given to another one.
    pub(crate) born: Option<Timestamp>,
}

impl Inode {
    /// Whether both are one file. Without its birth one of this number is taken for it.
    pub(crate) fn is(self, other: Self) -> bool {
        let born = self.born.zip(other.born);
        self.number == other.number && born.is_none_or(|(one, other)| one == other)
    }
}

/// The same in the database: of ?2, born at the seconds ?3 and nanoseconds ?4.
macro_rules! credited {
    () => {
        "credit_inode = ?2 AND (?3 IS NULL OR victim_born_s IS NULL \
         OR (victim_born_s = ?3 AND victim_born_ns = ?4))"
    };
}

/// One account's ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ledger {
    pub(crate) limits: QuotaLimits,
    pub(crate) used: Charge,
    pub(crate) reserved: Charge,
    /// When the home was last counted.
    pub(crate) as_of: Option<Timestamp>,
    /// Something that was not expected came to light since then.
    pub(crate) scan_due: bool,
}

pub(crate) fn ledger(connection: &Connection, account: AccountId) -> Result<Ledger> {
    let sql = "SELECT limit_bytes, limit_entries, used_bytes, used_entries, reserved_bytes, \
               reserved_entries, scanned_s, scanned_ns, scan_due FROM accounts WHERE id = ?1";
    let ledger = || {
        connection.prepare_cached(sql)?.query_row([account.0], |row| {
            let limit = |number: Option<i64>| number.map(loaded);
            Ok(Ledger {
                limits: QuotaLimits { bytes: limit(row.get(0)?), entries: limit(row.get(1)?) },
                used: Charge { bytes: loaded(row.get(2)?), entries: loaded(row.get(3)?) },
                reserved: Charge { bytes: loaded(row.get(4)?), entries: loaded(row.get(5)?) },
                as_of: moment(row, 6)?,
                scan_due: row.get(8)?,
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
    let Ledger { limits, used, reserved, .. } = ledger(connection, account)?;
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

/// Credits what went. If an upload counted on the file `inode`, its part moves into that reservation:
/// never more than went, for another hand may have cut the file meanwhile.
pub(crate) fn credit(
    connection: &Connection,
    account: AccountId,
    inode: Option<Inode>,
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
    check_victim(connection, account, UploadId(loaded(upload)), inode, charge.bytes)?;
    move_credit(connection, account, upload, claimed, None)
}

/// Moves a part of an upload's credit into its reservation: `still` is what it still counts on.
pub(crate) fn move_credit(
    connection: &Connection,
    account: AccountId,
    upload: i64,
    moved: Charge,
    still: Option<Inode>,
) -> Result<()> {
    let sql = "UPDATE uploads SET credit_inode = ?4, \
               credit_bytes = iif(?4 IS NULL, 0, credit_bytes - ?2), \
               credit_entries = iif(?4 IS NULL, 0, credit_entries - ?3), \
               reserved_bytes = reserved_bytes + ?2, reserved_entries = reserved_entries + ?3 \
               WHERE id = ?1";
    let (bytes, entries) = (stored(moved.bytes), stored(moved.entries));
    connection
        .prepare_cached(sql)
        .and_then(|mut update| {
            let still = still.map(|inode| inode.number.cast_signed());
            update.execute(params![upload, bytes, entries, still])
        })
        .map_err(failed("moving a credit"))?;
    let sql = "UPDATE accounts SET reserved_bytes = reserved_bytes + ?2, \
               reserved_entries = reserved_entries + ?3 WHERE id = ?1";
    execute(connection, sql, account, moved, "moving a credit")
}

/// Notes that a scan is due if the file `inode`, which an upload counts on, has other `bytes` than
/// it had: the server itself never writes into a file.
pub(crate) fn check_victim(
    connection: &Connection,
    account: AccountId,
    upload: UploadId,
    inode: Inode,
    bytes: u64,
) -> Result<()> {
    let sql = concat!(
        "UPDATE accounts SET scan_due = 1 WHERE id = ?1 AND EXISTS (SELECT 1 FROM uploads \
         WHERE id = ?5 AND account = ?1 AND victim_bytes <> ?6 AND ",
        credited!(),
        ")"
    );
    let (seconds, nanos) = birth(inode);
    connection
        .prepare_cached(sql)
        .and_then(|mut update| {
            update.execute(params![
                account.0,
                inode.number.cast_signed(),
                seconds,
                nanos,
                stored(upload.0),
                stored(bytes)
            ])
        })
        .map(|_| ())
        .map_err(failed("looking at a replaced file"))
}

/// Notes that something came to light which only another hand can have done.
pub(crate) fn note_surprise(connection: &Connection, account: AccountId) -> Result<()> {
    connection
        .prepare_cached("UPDATE accounts SET scan_due = 1 WHERE id = ?1")
        .and_then(|mut update| update.execute([account.0]))
        .map(|_| ())
        .map_err(failed("noting that a scan is due"))
}

/// The upload that counts on a file, and with how much.
pub(crate) fn claim(
    connection: &Connection,
    account: AccountId,
    inode: Inode,
) -> Result<Option<(i64, Charge)>> {
    let sql = concat!(
        "SELECT id, credit_bytes, credit_entries FROM uploads WHERE account = ?1 AND ",
        credited!()
    );
    let (seconds, nanos) = birth(inode);
    let claim = || {
        let file = params![account.0, inode.number.cast_signed(), seconds, nanos];
        connection.prepare_cached(sql)?.query_row(file, |row| {
            let charge = Charge { bytes: loaded(row.get(1)?), entries: loaded(row.get(2)?) };
            Ok((row.get(0)?, charge))
        })
    };
    claim().optional().map_err(failed("looking for a credit"))
}

/// With how much an upload counts on a file; `None`: it counts on none any more.
pub(crate) fn credit_of(
    connection: &Connection,
    account: AccountId,
    upload: UploadId,
) -> Result<Option<Charge>> {
    let sql = "SELECT credit_bytes, credit_entries FROM uploads \
               WHERE account = ?1 AND id = ?2 AND credit_inode IS NOT NULL";
    let credit = || {
        connection.prepare_cached(sql)?.query_row(params![account.0, stored(upload.0)], |row| {
            Ok(Charge { bytes: loaded(row.get(0)?), entries: loaded(row.get(1)?) })
        })
    };
    credit().optional().map_err(failed("looking for a credit"))
}

fn birth(inode: Inode) -> (Option<i64>, u32) {
    (inode.born.map(Timestamp::seconds), inode.born.map_or(0, Timestamp::nanos))
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
