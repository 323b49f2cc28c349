-- How much is kept for each account to be answered again, so that keeping one more knows the bound
-- without counting.
ALTER TABLE accounts ADD COLUMN answers INTEGER NOT NULL DEFAULT 0;
ALTER TABLE accounts ADD COLUMN answer_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE accounts ADD COLUMN instances INTEGER NOT NULL DEFAULT 0;
UPDATE accounts SET
    answers = (SELECT count(*) FROM answers WHERE account = accounts.id),
    answer_bytes =
        (SELECT coalesce(sum(length(answer)), 0) FROM answers WHERE account = accounts.id),
    instances = (SELECT count(*) FROM instances WHERE account = accounts.id);

CREATE TRIGGER answer_kept AFTER INSERT ON answers BEGIN
    UPDATE accounts SET answers = answers + 1, answer_bytes = answer_bytes + length(new.answer)
    WHERE id = new.account;
END;
CREATE TRIGGER answer_changed AFTER UPDATE OF answer ON answers BEGIN
    UPDATE accounts SET answer_bytes = answer_bytes - length(old.answer) + length(new.answer)
    WHERE id = new.account;
END;
CREATE TRIGGER answer_forgotten AFTER DELETE ON answers BEGIN
    UPDATE accounts SET answers = answers - 1, answer_bytes = answer_bytes - length(old.answer)
    WHERE id = old.account;
END;
CREATE TRIGGER instance_noted AFTER INSERT ON instances BEGIN
    UPDATE accounts SET instances = instances + 1 WHERE id = new.account;
END;
CREATE TRIGGER instance_forgotten AFTER DELETE ON instances BEGIN
    UPDATE accounts SET instances = instances - 1 WHERE id = old.account;
END;

-- What is older than a day goes, of whichever account.
CREATE INDEX answers_made ON answers (made);
CREATE INDEX instances_made ON instances (made);
CREATE INDEX instances_by_age ON instances (account, made);
