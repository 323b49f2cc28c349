//! Changes under way.
//!
//! An intent is written, with what it reserves, before the first visible step; it goes in the same
//! transaction that charges the change and keeps its answer.
//!
//! Invariant: between any two steps of a change either no step is visible or an intent says it.

use rusqlite::{Connection, OptionalExtension, Row, params};
use sampan_protocol::{ChangeKey, InstanceId};

use super::answers::{Digest, Request};
use super::failed;
use super::ledger::{self, loaded, stored};
use crate::quota::Charge;
use crate::store::{AccountId, Result};

/// An intent as it lies in the database; its body is still encoded.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) id: i64,
    pub(crate) request: Request,
    pub(crate) body: Vec<u8>,
}

/// Writes an intent and reserves what it needs.
pub(crate) fn insert(
    connection: &Connection,
    request: &Request,
    body: &[u8],
    reserve: Charge,
) -> Result<i64> {
    ledger::reserve(connection, request.account, reserve)?;
    let insert = || {
        connection
            .prepare_cached(
                "INSERT INTO intents (account, instance, sequence, digest, body, reserved_bytes, \
                 reserved_entries) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                request.account.0,
                request.key.instance.0,
                stored(request.key.sequence),
                request.digest.0,
                body,
                stored(reserve.bytes),
                stored(reserve.entries)
            ])?;
        Ok(connection.last_insert_rowid())
    };
    insert().map_err(failed("writing an intent"))
}

/// Replaces what an intent says.
pub(crate) fn update(connection: &Connection, id: i64, body: &[u8]) -> Result<()> {
    connection
        .prepare_cached("UPDATE intents SET body = ?2 WHERE id = ?1")
        .and_then(|mut update| update.execute(params![id, body]))
        .map(|_| ())
        .map_err(failed("updating an intent"))
}

/// Ends an intent and gives back what it reserved.
pub(crate) fn remove(connection: &Connection, account: AccountId, id: i64) -> Result<()> {
    let removed = || {
        connection
            .prepare_cached(
                "DELETE FROM intents WHERE id = ?1 RETURNING reserved_bytes, reserved_entries",
            )?
            .query_row([id], |row| {
                Ok(Charge { bytes: loaded(row.get(0)?), entries: loaded(row.get(1)?) })
            })
    };
    ledger::release(connection, account, removed().map_err(failed("ending an intent"))?)
}

/// All intents, of one account if given, in the order they were written.
pub(crate) fn all(connection: &Connection, account: Option<AccountId>) -> Result<Vec<Stored>> {
    let sql = "SELECT id, account, instance, sequence, digest, body FROM intents WHERE ?1 IS NULL OR account = ?1 ORDER BY id";
    let all = || {
        connection
            .prepare_cached(sql)?
            .query_map([account.map(|account| account.0)], read)?
            .collect::<rusqlite::Result<Vec<_>>>()
    };
    all().map_err(failed("reading intents"))
}

/// The intent of a change that is under way.
pub(crate) fn find(connection: &Connection, request: &Request) -> Result<Option<Stored>> {
    let sql = "SELECT id, account, instance, sequence, digest, body FROM intents \
               WHERE account = ?1 AND instance = ?2 AND sequence = ?3";
    let find = || {
        let key = &request.key;
        let named = params![request.account.0, key.instance.0, stored(key.sequence)];
        connection.prepare_cached(sql)?.query_row(named, read).optional()
    };
    find().map_err(failed("looking for an intent"))
}

/// The intent of this id, unless it is settled.
pub(crate) fn get(connection: &Connection, id: i64) -> Result<Option<Stored>> {
    let sql = "SELECT id, account, instance, sequence, digest, body FROM intents WHERE id = ?1";
    let get = || connection.prepare_cached(sql)?.query_row([id], read).optional();
    get().map_err(failed("reading an intent"))
}

fn read(row: &Row<'_>) -> rusqlite::Result<Stored> {
    let key =
        ChangeKey { instance: InstanceId(row.get(2)?), sequence: loaded(row.get(3)?), answered: 0 };
    let request = Request { account: AccountId(row.get(1)?), key, digest: Digest(row.get(4)?) };
    Ok(Stored { id: row.get(0)?, request, body: row.get(5)? })
}
