-- When the home was last counted: when it was made or taken, then by scans. NULL: before that was
-- noted.
ALTER TABLE accounts ADD COLUMN scanned_s INTEGER;
ALTER TABLE accounts ADD COLUMN scanned_ns INTEGER NOT NULL DEFAULT 0;
-- Where in staging the home of an account goes that is being removed with it.
ALTER TABLE accounts ADD COLUMN removing TEXT;
-- The bytes of the file that an upload will replace: if it has others in the end, a hand changed it.
-- And when it was made, as seconds and nanoseconds: its inode may be another file's by then.
ALTER TABLE uploads ADD COLUMN victim_bytes INTEGER;
ALTER TABLE uploads ADD COLUMN victim_born_s INTEGER;
ALTER TABLE uploads ADD COLUMN victim_born_ns INTEGER NOT NULL DEFAULT 0;
