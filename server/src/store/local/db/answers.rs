//! What changes answered, kept for those who ask again.
//!
//! Kept for a day at least, unless the client said that it heard the answer, and never more than a
//! bound for each account (the oldest go first).
//!
//! Invariant: a key that is known is never carried out again: it gives its first answer, or is
//! refused if it names another change or one whose answer was heard.

use rusqlite::{Connection, OptionalExtension, params};
use sampan_protocol::{ChangeKey, InstanceId};
use serde::{Deserialize, Serialize};

use super::failed;
use super::ledger::stored;
use crate::store::{AccountId, Result, Situation};

/// Seconds for which an answer is kept at least.
const KEPT_SECONDS: i64 = 24 * 60 * 60;
/// Answers of one account that are kept. A client that says what it heard never has as many.
const KEPT_ANSWERS: i64 = 10_000;
/// The bound is enforced at every so many sequences.
const TRIM_EVERY: u64 = 256;

/// What a change is: its key and a digest of all it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) account: AccountId,
    pub(crate) key: ChangeKey,
    pub(crate) digest: Digest,
}

/// Tells one change from another under the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Digest(pub(crate) [u8; 16]);

/// The stored answer of `request`, still encoded.
pub(crate) fn find(connection: &Connection, request: &Request) -> Result<Option<Vec<u8>>> {
    let sql = "SELECT digest, answer FROM answers \
               WHERE account = ?1 AND instance = ?2 AND sequence = ?3";
    let (account, instance, sequence) = parts(request);
    let found = || {
        connection.prepare_cached(sql)?.query_row(params![account, instance, sequence], |row| {
            Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?))
        })
    };
    match found().optional().map_err(failed("looking for an answer"))? {
        Some((digest, _)) if digest != request.digest.0 => Err(Situation::ChangeKeyReused.into()),
        Some((_, answer)) => Ok(Some(answer)),
        None if heard(connection, request.account, &request.key.instance)? >= sequence => {
            Err(Situation::ChangeKeyReused.into())
        }
        None => Ok(None),
    }
}

/// Whether an answer is kept under this key, whatever the change was.
pub(crate) fn exists(connection: &Connection, account: AccountId, key: &ChangeKey) -> Result<bool> {
    let sql = "SELECT 1 FROM answers WHERE account = ?1 AND instance = ?2 AND sequence = ?3";
    let exists = || {
        let key = params![account.0, key.instance.0, stored(key.sequence)];
        connection.prepare_cached(sql)?.exists(key)
    };
    exists().map_err(failed("looking for an answer"))
}

/// Keeps an answer, and forgets those that the client heard.
pub(crate) fn keep(
    connection: &Connection,
    request: &Request,
    answer: &[u8],
    now: i64,
) -> Result<()> {
    let (account, instance, sequence) = parts(request);
    let keep = || {
        connection
            .prepare_cached(
                "INSERT OR REPLACE INTO answers (account, instance, sequence, digest, answer, made) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![account, instance, sequence, request.digest.0, answer, now])?;
        if request.key.answered > 0 {
            connection
                .prepare_cached(
                    "DELETE FROM answers WHERE account = ?1 AND instance = ?2 \
                     AND sequence <= ?3 AND sequence <> ?4",
                )?
                .execute(params![account, instance, stored(request.key.answered), sequence])?;
            connection
                .prepare_cached(
                    "INSERT INTO instances (account, instance, answered, made) \
                     VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE \
                     SET answered = max(answered, excluded.answered), made = excluded.made",
                )?
                .execute(params![account, instance, stored(request.key.answered), now])?;
        }
        if request.key.sequence.is_multiple_of(TRIM_EVERY) {
            trim(connection, request.account)?;
        }
        Ok(())
    };
    keep().map_err(failed("keeping an answer"))
}

/// Forgets what is older than a day.
pub(crate) fn forget_old(connection: &Connection, now: i64) -> Result<()> {
    let forget = || {
        connection.execute("DELETE FROM answers WHERE made < ?1", [now - KEPT_SECONDS])?;
        connection.execute("DELETE FROM instances WHERE made < ?1", [now - KEPT_SECONDS])
    };
    forget().map(|_| ()).map_err(failed("forgetting answers"))
}

/// The highest sequence whose answer an instance heard.
fn heard(connection: &Connection, account: AccountId, instance: &InstanceId) -> Result<i64> {
    let sql = "SELECT answered FROM instances WHERE account = ?1 AND instance = ?2";
    let heard = || {
        connection.prepare_cached(sql)?.query_row(params![account.0, instance.0], |row| row.get(0))
    };
    Ok(heard().optional().map_err(failed("looking for an instance"))?.unwrap_or(0))
}

fn trim(connection: &Connection, account: AccountId) -> rusqlite::Result<()> {
    let sql = "DELETE FROM answers WHERE account = ?1 AND (instance, sequence) IN \
               (SELECT instance, sequence FROM answers WHERE account = ?1 \
                ORDER BY made DESC, sequence DESC LIMIT -1 OFFSET ?2)";
    connection.prepare_cached(sql)?.execute(params![account.0, KEPT_ANSWERS])?;
    let sql = "DELETE FROM instances WHERE account = ?1 AND instance IN \
               (SELECT instance FROM instances WHERE account = ?1 \
                ORDER BY made DESC LIMIT -1 OFFSET ?2)";
    connection.prepare_cached(sql)?.execute(params![account.0, KEPT_ANSWERS])?;
    Ok(())
}

fn parts(request: &Request) -> (i64, [u8; 16], i64) {
    (request.account.0, request.key.instance.0, stored(request.key.sequence))
}
