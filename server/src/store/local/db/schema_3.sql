-- Which of an upload's staging folders counts: raised before one that a failed flush left in doubt is
-- deleted, so that neither a deletion that fails nor a crash before it brings the doubtful bytes back.
ALTER TABLE uploads ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;
