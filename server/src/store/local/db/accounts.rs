//! Accounts and their keys as rows.
//!
//! Invariant: what voids sessions (password, disabling) also deletes the account's keys and raises
//! its generation, in one transaction.

use rusqlite::{Connection, OptionalExtension, Row, params};
use sampan_protocol::Timestamp;
use sampan_protocol::scram::{Challenge, Verifier};

use super::failed;
use super::ledger::{loaded, stored};
use crate::quota::Charge;
use crate::store::{Account, AccountId, EnrolledKey, NewAccount, QuotaLimits, Result, Situation};

const COLUMNS: &str = "id, name, salt, iterations, stored_key, server_key, disabled, generation, \
                       created_s, created_ns, limit_bytes, limit_entries";

fn read(row: &Row<'_>) -> rusqlite::Result<Account> {
    let challenge = Challenge { salt: row.get(2)?, iterations: row.get(3)? };
    let limit = |number: Option<i64>| number.map(loaded);
    Ok(Account {
        id: AccountId(row.get(0)?),
        name: row.get(1)?,
        verifier: Verifier::from_parts(challenge, row.get(4)?, row.get(5)?),
        disabled: row.get(6)?,
        generation: loaded(row.get(7)?),
        created: time(row.get(8)?, row.get(9)?),
        limits: QuotaLimits { bytes: limit(row.get(10)?), entries: limit(row.get(11)?) },
    })
}

/// A stored time; its fraction was checked when it was stored.
pub(crate) fn time(seconds: i64, nanos: u32) -> Timestamp {
    Timestamp::new(seconds, nanos).unwrap_or_default()
}

pub(crate) fn find(connection: &Connection, name: &str) -> Result<Option<Account>> {
    let sql = format!("SELECT {COLUMNS} FROM accounts WHERE name = ?1");
    let find = || connection.prepare_cached(&sql)?.query_row([name], read).optional();
    find().map_err(failed("looking for an account"))
}

pub(crate) fn get(connection: &Connection, id: AccountId) -> Result<Account> {
    let sql = format!("SELECT {COLUMNS} FROM accounts WHERE id = ?1");
    let get = || connection.prepare_cached(&sql)?.query_row([id.0], read).optional();
    get().map_err(failed("reading an account"))?.ok_or_else(|| Situation::AccountNotFound.into())
}

pub(crate) fn all(connection: &Connection) -> Result<Vec<Account>> {
    let sql = format!("SELECT {COLUMNS} FROM accounts ORDER BY name");
    let all = || {
        connection.prepare_cached(&sql)?.query_map([], read)?.collect::<rusqlite::Result<Vec<_>>>()
    };
    all().map_err(failed("reading accounts"))
}

/// Makes an account whose home held `used` when it was `created`.
pub(crate) fn insert(
    connection: &Connection,
    account: &NewAccount,
    created: Timestamp,
    used: Charge,
) -> Result<Account> {
    let NewAccount { name, verifier, limits, take_home: _ } = account;
    let sql = "INSERT INTO accounts (name, salt, iterations, stored_key, server_key, created_s, \
               created_ns, limit_bytes, limit_entries, used_bytes, used_entries, scanned_s, \
               scanned_ns) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?6, ?7) \
               ON CONFLICT DO NOTHING";
    let inserted = connection
        .execute(
            sql,
            params![
                name,
                verifier.challenge().salt,
                verifier.challenge().iterations,
                verifier.stored_key(),
                verifier.server_key(),
                created.seconds(),
                created.nanos(),
                limits.bytes.map(stored),
                limits.entries.map(stored),
                stored(used.bytes),
                stored(used.entries),
            ],
        )
        .map_err(failed("making an account"))?;
    if inserted == 0 {
        return Err(Situation::AccountExists.into());
    }
    get(connection, AccountId(connection.last_insert_rowid()))
}

pub(crate) fn set_verifier(
    connection: &Connection,
    id: AccountId,
    verifier: &Verifier,
) -> Result<Account> {
    let set = || {
        connection.execute(
            "UPDATE accounts SET salt = ?2, iterations = ?3, stored_key = ?4, server_key = ?5 \
             WHERE id = ?1",
            params![
                id.0,
                verifier.challenge().salt,
                verifier.challenge().iterations,
                verifier.stored_key(),
                verifier.server_key()
            ],
        )
    };
    set().map_err(failed("setting a password"))?;
    void_keys(connection, id)?;
    get(connection, id)
}

pub(crate) fn set_disabled(
    connection: &Connection,
    id: AccountId,
    disabled: bool,
) -> Result<Account> {
    let changed = connection
        .execute(
            "UPDATE accounts SET disabled = ?2 WHERE id = ?1 AND (?2 OR removing IS NULL)",
            params![id.0, disabled],
        )
        .map_err(failed("disabling an account"))?;
    if changed == 0 {
        get(connection, id)?;
        return Err(Situation::AccountBeingRemoved.into());
    }
    if disabled {
        void_keys(connection, id)?;
    }
    get(connection, id)
}

pub(crate) fn set_limits(
    connection: &Connection,
    id: AccountId,
    limits: QuotaLimits,
) -> Result<Account> {
    connection
        .execute(
            "UPDATE accounts SET limit_bytes = ?2, limit_entries = ?3 WHERE id = ?1",
            params![id.0, limits.bytes.map(stored), limits.entries.map(stored)],
        )
        .map_err(failed("setting limits"))?;
    get(connection, id)
}

fn void_keys(connection: &Connection, id: AccountId) -> Result<()> {
    let void = || {
        connection
            .execute("UPDATE accounts SET generation = generation + 1 WHERE id = ?1", [id.0])?;
        connection.execute("DELETE FROM keys WHERE account = ?1", [id.0])
    };
    void().map(|_| ()).map_err(failed("voiding keys"))
}

/// Closes an account for good that goes with its home, and notes where in staging that goes; gives
/// the place that was noted first.
pub(crate) fn begin_removal(
    connection: &Connection,
    id: AccountId,
    staged: &str,
) -> Result<String> {
    let sql = "UPDATE accounts SET disabled = 1, removing = coalesce(removing, ?2) WHERE id = ?1 \
               RETURNING removing";
    let begun =
        || connection.prepare_cached(sql)?.query_row(params![id.0, staged], |row| row.get(0));
    let begun = begun().optional().map_err(failed("removing an account"))?;
    void_keys(connection, id)?;
    begun.ok_or_else(|| Situation::AccountNotFound.into())
}

/// An account whose removal began.
pub(crate) struct Removal {
    pub(crate) id: AccountId,
    pub(crate) name: String,
    /// Where in staging its home goes.
    pub(crate) staged: String,
}

/// The removals that were cut short.
pub(crate) fn removals(connection: &Connection) -> Result<Vec<Removal>> {
    let removals = || {
        let read = |row: &Row<'_>| {
            Ok(Removal { id: AccountId(row.get(0)?), name: row.get(1)?, staged: row.get(2)? })
        };
        connection
            .prepare_cached("SELECT id, name, removing FROM accounts WHERE removing IS NOT NULL")?
            .query_map([], read)?
            .collect::<rusqlite::Result<_>>()
    };
    removals().map_err(failed("looking for removals"))
}

/// Deletes the account and all rows that hang on it.
pub(crate) fn remove(connection: &Connection, id: AccountId) -> Result<()> {
    let removed = connection
        .execute("DELETE FROM accounts WHERE id = ?1", [id.0])
        .map_err(failed("removing an account"))?;
    if removed == 0 { Err(Situation::AccountNotFound.into()) } else { Ok(()) }
}

/// Enrols a key; with a `generation` only if that is still the account's. `false`: it is not.
pub(crate) fn enrol(
    connection: &Connection,
    id: AccountId,
    generation: Option<u64>,
    key: &EnrolledKey,
) -> Result<bool> {
    let account = get(connection, id)?;
    if generation.is_some_and(|generation| generation != account.generation) {
        return Ok(false);
    }
    let sql = "INSERT INTO keys (account, public_key, label, enrolled_s, enrolled_ns, used_s, \
               used_ns) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
               ON CONFLICT DO UPDATE SET label = excluded.label";
    let enrol = || {
        connection.execute(
            sql,
            params![
                id.0,
                key.public_key,
                key.label,
                key.enrolled.seconds(),
                key.enrolled.nanos(),
                key.used.map(Timestamp::seconds),
                key.used.map(Timestamp::nanos)
            ],
        )
    };
    enrol().map(|_| true).map_err(failed("enrolling a key"))
}

pub(crate) fn revoke(
    connection: &Connection,
    id: AccountId,
    public_key: &[u8; 32],
) -> Result<bool> {
    connection
        .execute(
            "DELETE FROM keys WHERE account = ?1 AND public_key = ?2",
            params![id.0, public_key],
        )
        .map(|revoked| revoked > 0)
        .map_err(failed("revoking a key"))
}

pub(crate) fn keys(connection: &Connection, id: AccountId) -> Result<Vec<EnrolledKey>> {
    let sql = "SELECT public_key, label, enrolled_s, enrolled_ns, used_s, used_ns FROM keys \
               WHERE account = ?1 ORDER BY enrolled_s, enrolled_ns, rowid";
    let keys = || {
        let key = |row: &Row<'_>| {
            let used: Option<i64> = row.get(4)?;
            let nanos: Option<u32> = row.get(5)?;
            Ok(EnrolledKey {
                public_key: row.get(0)?,
                label: row.get(1)?,
                enrolled: time(row.get(2)?, row.get(3)?),
                used: used.map(|seconds| time(seconds, nanos.unwrap_or(0))),
            })
        };
        connection.prepare_cached(sql)?.query_map([id.0], key)?.collect::<rusqlite::Result<_>>()
    };
    keys().map_err(failed("reading keys"))
}

pub(crate) fn key_used(
    connection: &Connection,
    id: AccountId,
    public_key: &[u8; 32],
    when: Timestamp,
) -> Result<()> {
    connection
        .execute(
            "UPDATE keys SET used_s = ?3, used_ns = ?4 WHERE account = ?1 AND public_key = ?2",
            params![id.0, public_key, when.seconds(), when.nanos()],
        )
        .map(|_| ())
        .map_err(failed("noting a key's use"))
}

/// A setting of the whole store.
pub(crate) fn setting(connection: &Connection, key: &str) -> Result<Option<Vec<u8>>> {
    let sql = "SELECT value FROM settings WHERE key = ?1";
    connection
        .query_row(sql, [key], |row| row.get(0))
        .optional()
        .map_err(failed("reading a setting"))
}

pub(crate) fn set_setting(connection: &Connection, key: &str, value: &[u8]) -> Result<()> {
    connection
        .execute(
            "INSERT OR REPLACE INTO settings (key, value) VALUES (?1, ?2)",
            params![key, value],
        )
        .map(|_| ())
        .map_err(failed("writing a setting"))
}
