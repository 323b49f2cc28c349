-- One row each: whether the last stop was clean, the secret of made-up salts.
CREATE TABLE settings (
    key TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Ids are never reused (AUTOINCREMENT): what hangs on one cannot fall to a namesake.
CREATE TABLE accounts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    salt BLOB NOT NULL,
    iterations INTEGER NOT NULL,
    stored_key BLOB NOT NULL,
    server_key BLOB NOT NULL,
    disabled INTEGER NOT NULL DEFAULT 0,
    generation INTEGER NOT NULL DEFAULT 1,
    created_s INTEGER NOT NULL,
    created_ns INTEGER NOT NULL,
    -- NULL is no limit.
    limit_bytes INTEGER,
    limit_entries INTEGER,
    -- The ledger. reserved is the sum over uploads and intents.
    used_bytes INTEGER NOT NULL DEFAULT 0 CHECK (used_bytes >= 0),
    used_entries INTEGER NOT NULL DEFAULT 0 CHECK (used_entries >= 0),
    reserved_bytes INTEGER NOT NULL DEFAULT 0 CHECK (reserved_bytes >= 0),
    reserved_entries INTEGER NOT NULL DEFAULT 0 CHECK (reserved_entries >= 0),
    -- Use would have gone below 0: the home was changed by hand.
    scan_due INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE keys (
    account INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    public_key BLOB NOT NULL,
    label TEXT NOT NULL,
    enrolled_s INTEGER NOT NULL,
    enrolled_ns INTEGER NOT NULL,
    used_s INTEGER,
    used_ns INTEGER,
    PRIMARY KEY (account, public_key)
) STRICT;

CREATE TABLE uploads (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    key BLOB NOT NULL,
    path BLOB NOT NULL,
    size INTEGER NOT NULL,
    mode INTEGER NOT NULL,
    mtime_s INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    target BLOB NOT NULL,
    parents INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    reserved_bytes INTEGER NOT NULL,
    reserved_entries INTEGER NOT NULL,
    -- The file that it will replace and counts on; NULL is none.
    credit_inode INTEGER,
    credit_bytes INTEGER NOT NULL,
    credit_entries INTEGER NOT NULL,
    opened_s INTEGER NOT NULL,
    opened_ns INTEGER NOT NULL,
    -- About when the last byte came, seconds.
    touched INTEGER NOT NULL,
    -- 0 after an unclean stop: what its journal says must be hashed again.
    proved INTEGER NOT NULL DEFAULT 1,
    UNIQUE (account, key)
) STRICT;
-- Only one upload can count on a file.
CREATE UNIQUE INDEX credits ON uploads (account, credit_inode) WHERE credit_inode IS NOT NULL;
CREATE INDEX touched ON uploads (touched);

-- Changes that are under way. Rolled forward after a crash.
CREATE TABLE intents (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    instance BLOB NOT NULL,
    sequence INTEGER NOT NULL,
    digest BLOB NOT NULL,
    body BLOB NOT NULL,
    reserved_bytes INTEGER NOT NULL,
    reserved_entries INTEGER NOT NULL
) STRICT;
CREATE INDEX intents_of ON intents (account, instance, sequence);

-- What changes answered, to be answered again.
CREATE TABLE answers (
    account INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    instance BLOB NOT NULL,
    sequence INTEGER NOT NULL,
    digest BLOB NOT NULL,
    answer BLOB NOT NULL,
    made INTEGER NOT NULL,
    PRIMARY KEY (account, instance, sequence)
) STRICT, WITHOUT ROWID;
CREATE INDEX answers_by_age ON answers (account, made);

-- Up to which sequence an instance has heard its answers: a late copy of an older change is not
-- carried out again.
CREATE TABLE instances (
    account INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    instance BLOB NOT NULL,
    answered INTEGER NOT NULL,
    made INTEGER NOT NULL,
    PRIMARY KEY (account, instance)
) STRICT, WITHOUT ROWID;
