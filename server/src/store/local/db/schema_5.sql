-- A credit is for one file. Once a hand deleted that, its inode may be given to another one, which an
-- upload may count on too: files of one inode are told apart by when they were made.
DROP INDEX credits;
CREATE UNIQUE INDEX credits ON uploads
    (account, credit_inode, coalesce(victim_born_s, 0), victim_born_ns)
    WHERE credit_inode IS NOT NULL;
