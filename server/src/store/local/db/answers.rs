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
/// Answers of one account that are kept, and instances of which is known what they heard. A client
/// that says what it heard never has as many.
const KEPT_ANSWERS: i64 = 10_000;
/// Bytes that these answers may have: most have some 200, that of a pack up to some megabytes.
const KEPT_BYTES: i64 = 32 << 20;
/// So many of the oldest go at once.
const TRIMMED: i64 = 64;

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
                "INSERT INTO answers (account, instance, sequence, digest, answer, made) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET \
                 digest = excluded.digest, answer = excluded.answer, made = excluded.made",
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
        trim(connection, request)
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

/// Forgets the oldest answers and instances beyond what is kept; never those of `request`.
fn trim(connection: &Connection, request: &Request) -> rusqlite::Result<()> {
    let (account, instance, sequence) = parts(request);
    loop {
        let (answers, bytes, instances): (i64, i64, i64) = connection
            .prepare_cached("SELECT answers, answer_bytes, instances FROM accounts WHERE id = ?1")?
            .query_row([account], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let mut forgotten = 0;
        if answers > KEPT_ANSWERS || bytes > KEPT_BYTES {
            let sql = "DELETE FROM answers WHERE account = ?1 AND (instance, sequence) IN \
                       (SELECT instance, sequence FROM answers WHERE account = ?1 \
                        AND NOT (instance = ?2 AND sequence = ?3) ORDER BY made LIMIT ?4)";
            let oldest = params![account, instance, sequence, TRIMMED];
            forgotten += connection.prepare_cached(sql)?.execute(oldest)?;
        }
        if instances > KEPT_ANSWERS {
            let sql = "DELETE FROM instances WHERE account = ?1 AND instance IN \
                       (SELECT instance FROM instances WHERE account = ?1 AND instance <> ?2 \
                        ORDER BY made LIMIT ?3)";
            let oldest = params![account, instance, TRIMMED];
            forgotten += connection.prepare_cached(sql)?.execute(oldest)?;
        }
        if forgotten == 0 {
            return Ok(());
        }
    }
}

fn parts(request: &Request) -> (i64, [u8; 16], i64) {
    (request.account.0, request.key.instance.0, stored(request.key.sequence))
}

#[cfg(test)]
mod tests {
    use super::super::schema;
    use super::*;

    fn database() -> Connection {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.pragma_update(None, "foreign_keys", true).unwrap();
        schema::migrate(&mut connection).unwrap();
        connection
            .execute_batch(
                "INSERT INTO accounts (id, name, salt, iterations, stored_key, server_key, \
                 created_s, created_ns) VALUES (1, 'anna', x'', 1, x'', x'', 0, 0); BEGIN",
            )
            .unwrap();
        connection
    }

    /// A change of an instance of its own, as each run of a command makes.
    fn request(instance: u64, answered: u64) -> Request {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&instance.to_le_bytes());
        let key = ChangeKey { instance: InstanceId(bytes), sequence: 2, answered };
        Request { account: AccountId(1), key, digest: Digest([0; 16]) }
    }

    fn one(connection: &Connection, sql: &str) -> i64 {
        connection.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    fn check_counts(connection: &Connection) {
        let counted = one(connection, "SELECT count(*) FROM answers");
        assert_eq!(one(connection, "SELECT answers FROM accounts"), counted);
        let bytes = one(connection, "SELECT coalesce(sum(length(answer)), 0) FROM answers");
        assert_eq!(one(connection, "SELECT answer_bytes FROM accounts"), bytes);
        let instances = one(connection, "SELECT count(*) FROM instances");
        assert_eq!(one(connection, "SELECT instances FROM accounts"), instances);
        assert!(counted <= KEPT_ANSWERS && bytes <= KEPT_BYTES && instances <= KEPT_ANSWERS);
    }

    /// HARDENING 2.7: bounded per account, however few changes each instance sends.
    #[test]
    fn answers_of_many_instances_are_bounded() {
        let connection = database();
        let most = u64::try_from(KEPT_ANSWERS).unwrap() + 100;
        for instance in 0..most {
            let now = i64::try_from(instance).unwrap();
            keep(&connection, &request(instance, 1), b"answer", now).unwrap();
        }
        check_counts(&connection);
        let last = find(&connection, &request(most - 1, 1)).unwrap();
        assert_eq!(last.as_deref(), Some(&b"answer"[..]), "the newest stays");
        assert!(one(&connection, "SELECT answers FROM accounts") > KEPT_ANSWERS - 2 * TRIMMED);
    }

    #[test]
    fn bytes_of_answers_are_bounded() {
        let connection = database();
        let long = vec![7; 1 << 20];
        for instance in 0..40 {
            let now = i64::try_from(instance).unwrap();
            keep(&connection, &request(instance, 0), &long, now).unwrap();
            // Again, with another length.
            keep(&connection, &request(instance, 0), &long[1..], now).unwrap();
        }
        check_counts(&connection);
        assert!(find(&connection, &request(39, 0)).unwrap().is_some());
        forget_old(&connection, 100 + KEPT_SECONDS).unwrap();
        check_counts(&connection);
        assert_eq!(one(&connection, "SELECT answers FROM accounts"), 0);
    }

    #[test]
    fn forgetting_looks_only_at_what_it_forgets() {
        let connection = database();
        for table in ["answers", "instances"] {
            let plan: String = connection
                .query_row(
                    &format!("EXPLAIN QUERY PLAN DELETE FROM {table} WHERE made < 1"),
                    [],
                    |row| row.get(3),
                )
                .unwrap();
            assert!(plan.starts_with("SEARCH"), "{plan}");
        }
    }

    /// What an older database holds is counted when it is brought up to date.
    #[test]
    fn answers_of_an_older_database_are_counted() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(include_str!("schema_1.sql")).unwrap();
        connection
            .execute_batch(
                "INSERT INTO accounts (id, name, salt, iterations, stored_key, server_key, \
                 created_s, created_ns) VALUES (1, 'anna', x'', 1, x'', x'', 0, 0); \
                 INSERT INTO answers VALUES (1, x'00', 1, x'00', x'010203', 0); \
                 INSERT INTO instances VALUES (1, x'00', 1, 0); PRAGMA user_version = 1",
            )
            .unwrap();
        schema::migrate(&mut connection).unwrap();
        check_counts(&connection);
        assert_eq!(one(&connection, "SELECT answer_bytes FROM accounts"), 3);
        connection.execute_batch("DELETE FROM accounts").unwrap();
    }
}
