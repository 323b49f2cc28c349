//! Unfinished uploads as rows.
//!
//! Invariant: a row and its reservation come and go in one transaction; the staged bytes follow.

use rusqlite::{Connection, OptionalExtension, Row, params};
use sampan_protocol::{Epoch, Mode, RemotePath, Timestamp, UploadId, UploadKey};

use super::accounts::time;
use super::failed;
use super::ledger::{self, loaded, stored};
use crate::quota::{Charge, Hold};
use crate::store::local::encoding::{decode, encode};
use crate::store::local::staging;
use crate::store::{AccountId, Result, Situation, Target};

/// An upload as it lies in the database.
#[derive(Clone, Debug)]
pub(crate) struct UploadRow {
    pub(crate) id: UploadId,
    pub(crate) account: AccountId,
    pub(crate) key: UploadKey,
    pub(crate) path: RemotePath,
    pub(crate) size: u64,
    pub(crate) mode: Mode,
    pub(crate) mtime: Timestamp,
    pub(crate) target: Target,
    pub(crate) parents: bool,
    pub(crate) epoch: Epoch,
    pub(crate) hold: Hold,
    /// The file that its credit is for.
    pub(crate) credit_inode: Option<u64>,
    /// Bytes that this file has, as far as is known.
    pub(crate) victim_bytes: Option<u64>,
    /// When it was made.
    pub(crate) victim_born: Option<Timestamp>,
    pub(crate) opened: Timestamp,
    /// Seconds.
    pub(crate) touched: i64,
    pub(crate) proved: bool,
    /// Which of its staging folders counts.
    pub(crate) generation: u64,
}

impl UploadRow {
    /// Where it is found in memory.
    pub(crate) fn slot_key(&self) -> (AccountId, UploadId) {
        (self.account, self.id)
    }

    /// The name of its folder in staging.
    pub(crate) fn staging(&self) -> String {
        staging::of_upload(self.id, self.generation)
    }
}

const COLUMNS: &str = "id, account, key, path, size, mode, mtime_s, mtime_ns, target, parents, \
                       epoch, reserved_bytes, reserved_entries, credit_inode, credit_bytes, \
                       credit_entries, opened_s, opened_ns, touched, proved, generation, \
                       victim_bytes, victim_born_s, victim_born_ns";

/// A moment in two columns from `first` on, if there is one.
pub(crate) fn moment(row: &Row<'_>, first: usize) -> rusqlite::Result<Option<Timestamp>> {
    let Some(seconds) = row.get::<_, Option<i64>>(first)? else { return Ok(None) };
    Ok(Some(time(seconds, row.get(first + 1)?)))
}

fn read(row: &Row<'_>) -> rusqlite::Result<Result<UploadRow>> {
    let (path, target): (Vec<u8>, Vec<u8>) = (row.get(3)?, row.get(8)?);
    let (path, target) = match (decode(&path), decode(&target)) {
        (Ok(path), Ok(target)) => (path, target),
        (Err(error), _) | (_, Err(error)) => return Ok(Err(error)),
    };
    Ok(Ok(UploadRow {
        id: UploadId(loaded(row.get(0)?)),
        account: AccountId(row.get(1)?),
        key: UploadKey(row.get(2)?),
        path,
        size: loaded(row.get(4)?),
        mode: Mode::new(row.get(5)?),
        mtime: time(row.get(6)?, row.get(7)?),
        target,
        parents: row.get(9)?,
        epoch: Epoch(row.get(10)?),
        hold: Hold {
            reserve: Charge { bytes: loaded(row.get(11)?), entries: loaded(row.get(12)?) },
            credit: Charge { bytes: loaded(row.get(14)?), entries: loaded(row.get(15)?) },
        },
        credit_inode: row.get::<_, Option<i64>>(13)?.map(i64::cast_unsigned),
        victim_bytes: row.get::<_, Option<i64>>(21)?.map(loaded),
        victim_born: moment(row, 22)?,
        opened: time(row.get(16)?, row.get(17)?),
        touched: row.get(18)?,
        proved: row.get(19)?,
        generation: loaded(row.get(20)?),
    }))
}

/// An upload that is to be opened.
pub(crate) struct Opening {
    /// Its id is given by the database.
    pub(crate) row: UploadRow,
    /// Most unfinished uploads of the account.
    pub(crate) most: u64,
}

/// Writes a new upload and reserves what it holds.
pub(crate) fn insert(connection: &Connection, opening: &Opening) -> Result<UploadId> {
    let row = &opening.row;
    let count: i64 = connection
        .prepare_cached("SELECT count(*) FROM uploads WHERE account = ?1")
        .and_then(|mut count| count.query_row([row.account.0], |row| row.get(0)))
        .map_err(failed("counting uploads"))?;
    if loaded(count) >= opening.most {
        return Err(Situation::TooManyUploads { limit: opening.most }.into());
    }
    ledger::reserve(connection, row.account, row.hold.reserve)?;
    let insert = || {
        connection
            .prepare_cached(
                "INSERT INTO uploads (account, key, path, size, mode, mtime_s, mtime_ns, target, \
                 parents, epoch, reserved_bytes, reserved_entries, credit_inode, credit_bytes, \
                 credit_entries, opened_s, opened_ns, touched, victim_bytes, \
                 victim_born_s, victim_born_ns) VALUES (?1, ?2, ?3, \
                 ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)",
            )?
            .execute(params![
                row.account.0,
                row.key.0,
                encode(&row.path),
                stored(row.size),
                row.mode.bits(),
                row.mtime.seconds(),
                row.mtime.nanos(),
                encode(&row.target),
                row.parents,
                row.epoch.0,
                stored(row.hold.reserve.bytes),
                stored(row.hold.reserve.entries),
                row.credit_inode.map(u64::cast_signed),
                stored(row.hold.credit.bytes),
                stored(row.hold.credit.entries),
                row.opened.seconds(),
                row.opened.nanos(),
                row.touched,
                row.victim_bytes.map(stored),
                row.victim_born.map(Timestamp::seconds),
                row.victim_born.map_or(0, Timestamp::nanos)
            ])?;
        Ok(UploadId(loaded(connection.last_insert_rowid())))
    };
    insert().map_err(failed("opening an upload"))
}

pub(crate) fn find(
    connection: &Connection,
    account: AccountId,
    key: &UploadKey,
) -> Result<Option<UploadRow>> {
    let sql = format!("SELECT {COLUMNS} FROM uploads WHERE account = ?1 AND key = ?2");
    let find =
        || connection.prepare_cached(&sql)?.query_row(params![account.0, key.0], read).optional();
    find().map_err(failed("looking for an upload"))?.transpose()
}

/// The account's upload of this id.
pub(crate) fn get(
    connection: &Connection,
    account: AccountId,
    id: UploadId,
) -> Result<Option<UploadRow>> {
    let sql = format!("SELECT {COLUMNS} FROM uploads WHERE account = ?1 AND id = ?2");
    let get = || {
        connection
            .prepare_cached(&sql)?
            .query_row(params![account.0, stored(id.0)], read)
            .optional()
    };
    get().map_err(failed("reading an upload"))?.transpose()
}

/// Uploads in order of their ids; of one account if given.
pub(crate) fn all(connection: &Connection, account: Option<AccountId>) -> Result<Vec<UploadRow>> {
    let sql = format!("SELECT {COLUMNS} FROM uploads WHERE ?1 IS NULL OR account = ?1 ORDER BY id");
    let all = || {
        connection
            .prepare_cached(&sql)?
            .query_map([account.map(|account| account.0)], read)?
            .collect::<rusqlite::Result<Vec<_>>>()
    };
    all().map_err(failed("reading uploads"))?.into_iter().collect()
}

/// At most `most` uploads of an account in order of their ids, from the one behind `after` on.
pub(crate) fn page(
    connection: &Connection,
    account: AccountId,
    after: Option<UploadId>,
    most: usize,
) -> Result<Vec<UploadRow>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM uploads WHERE account = ?1 AND id > ?2 ORDER BY id LIMIT ?3"
    );
    let (after, most) = (after.map_or(-1, |id| stored(id.0)), i64::try_from(most).unwrap_or(-1));
    let page = || {
        connection
            .prepare_cached(&sql)?
            .query_map(params![account.0, after, most], read)?
            .collect::<rusqlite::Result<Vec<_>>>()
    };
    page().map_err(failed("reading uploads"))?.into_iter().collect()
}

/// Whether there are any.
pub(crate) fn any(connection: &Connection) -> Result<bool> {
    let any = || connection.prepare_cached("SELECT 1 FROM uploads")?.exists([]);
    any().map_err(failed("looking for uploads"))
}

/// Resumes: the next epoch, and what its opener now says of the file. Answers the new epoch.
pub(crate) fn resume(connection: &Connection, row: &UploadRow, now: i64) -> Result<Epoch> {
    let sql = "UPDATE uploads SET epoch = epoch + 1, mode = ?2, mtime_s = ?3, mtime_ns = ?4, \
               target = ?5, parents = ?6, touched = ?7 WHERE id = ?1 RETURNING epoch";
    let resume = || {
        connection.prepare_cached(sql)?.query_row(
            params![
                stored(row.id.0),
                row.mode.bits(),
                row.mtime.seconds(),
                row.mtime.nanos(),
                encode(&row.target),
                row.parents,
                now
            ],
            |row| row.get(0),
        )
    };
    match resume().optional().map_err(failed("resuming an upload"))? {
        Some(epoch) => Ok(Epoch(epoch)),
        None => Err(Situation::UploadNotFound.into()),
    }
}

/// Notes that bytes came.
pub(crate) fn touch(connection: &Connection, id: UploadId, now: i64) -> Result<()> {
    let sql = "UPDATE uploads SET touched = ?2 WHERE id = ?1";
    set(connection, sql, id, now, "noting an upload's progress")
}

/// Sets whether what its journal says can be trusted.
pub(crate) fn set_proved(connection: &Connection, id: UploadId, proved: bool) -> Result<()> {
    let sql = "UPDATE uploads SET proved = ?2 WHERE id = ?1";
    set(connection, sql, id, i64::from(proved), "noting an upload's proof")
}

fn set(
    connection: &Connection,
    sql: &str,
    id: UploadId,
    value: i64,
    doing: &'static str,
) -> Result<()> {
    connection
        .prepare_cached(sql)
        .and_then(|mut update| update.execute(params![stored(id.0), value]))
        .map(|_| ())
        .map_err(failed(doing))
}

/// Gives up an upload's staging of `generation`: the next opener finds an empty one. `false`: it was
/// given up before, or the upload is gone.
pub(crate) fn lose_staging(
    connection: &Connection,
    account: AccountId,
    id: UploadId,
    generation: u64,
) -> Result<bool> {
    let sql = "UPDATE uploads SET generation = generation + 1, proved = 1 \
               WHERE account = ?1 AND id = ?2 AND generation = ?3";
    let raised = connection
        .prepare_cached(sql)
        .and_then(|mut raise| raise.execute(params![account.0, stored(id.0), stored(generation)]));
    Ok(raised.map_err(failed("giving staged bytes up"))? > 0)
}

/// After an unclean stop: no journal can be trusted.
pub(crate) fn doubt_all(connection: &Connection) -> Result<()> {
    connection
        .execute("UPDATE uploads SET proved = 0", [])
        .map(|_| ())
        .map_err(failed("doubting uploads"))
}

/// Ends an upload, whatever ended it, and gives back what it reserved. `false`: there is none.
pub(crate) fn remove(connection: &Connection, account: AccountId, id: UploadId) -> Result<bool> {
    let removed = || {
        connection
            .prepare_cached(
                "DELETE FROM uploads WHERE account = ?1 AND id = ?2 \
                 RETURNING reserved_bytes, reserved_entries",
            )?
            .query_row(params![account.0, stored(id.0)], |row| {
                Ok(Charge { bytes: loaded(row.get(0)?), entries: loaded(row.get(1)?) })
            })
            .optional()
    };
    let Some(reserved) = removed().map_err(failed("ending an upload"))? else { return Ok(false) };
    ledger::release(connection, account, reserved)?;
    Ok(true)
}

/// An upload that nothing was sent to for long.
pub(crate) struct Idle {
    pub(crate) touched: i64,
    pub(crate) account: AccountId,
    pub(crate) id: UploadId,
}

/// Some uploads that nothing was sent to since `before`, the longest idle first, from the one
/// `after` on.
pub(crate) fn idle(
    connection: &Connection,
    before: i64,
    after: Option<(i64, UploadId)>,
) -> Result<Vec<Idle>> {
    let sql = "SELECT touched, account, id FROM uploads \
               WHERE touched <= ?1 AND (touched, id) > (?2, ?3) ORDER BY touched, id LIMIT 1000";
    let (touched, id) = after.map_or((i64::MIN, 0), |(touched, id)| (touched, stored(id.0)));
    let idle = || {
        let read = |row: &Row<'_>| {
            let (account, id) = (AccountId(row.get(1)?), UploadId(loaded(row.get(2)?)));
            Ok(Idle { touched: row.get(0)?, account, id })
        };
        connection
            .prepare_cached(sql)?
            .query_map([before, touched, id], read)?
            .collect::<rusqlite::Result<_>>()
    };
    idle().map_err(failed("looking for idle uploads"))
}
