//! The tables, and how older ones become them.
//!
//! Invariant: a migration that was released is never changed; a newer database than this program
//! knows is refused, not guessed at.

use rusqlite::{Connection, TransactionBehavior};

/// Each brings the database one version further.
const MIGRATIONS: [&str; FORMAT as usize] = [
    include_str!("schema_1.sql"),
    include_str!("schema_2.sql"),
    include_str!("schema_3.sql"),
    include_str!("schema_4.sql"),
    include_str!("schema_5.sql"),
];

/// The version of the database that this program writes.
pub(crate) const FORMAT: u32 = 5;

/// Brings the database up to date. A newer one fails; see [`version`].
pub(super) fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = version(&transaction)?;
    if found > FORMAT {
        return Err(rusqlite::Error::InvalidQuery);
    }
    for migration in MIGRATIONS.iter().skip(found as usize) {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()
}

/// The version that a database says it has; 0 is a new one.
pub(crate) fn version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}
