-- Whose turn it is to write. Whoever opens the ledger for writing takes the next epoch; a row of an
-- older one is refused, so that a writer that was paused and woken again writes nothing after its
-- successor. Like inserted_at, the epoch of a row is not covered by the hash chain.

CREATE TABLE leader (
    one    INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    epoch  INTEGER NOT NULL CHECK (epoch >= 0),
    holder TEXT    NOT NULL
) STRICT;

INSERT INTO leader (one, epoch, holder) VALUES (1, 0, 'nobody');

ALTER TABLE chain ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;

CREATE TRIGGER chain_refuses_older_epochs BEFORE INSERT ON chain
WHEN NEW.epoch <> (SELECT epoch FROM leader)
BEGIN
    SELECT RAISE(ABORT, 'append-only: chain takes only rows of the newest epoch');
END;

CREATE TRIGGER leader_moves_on BEFORE UPDATE ON leader
WHEN NEW.one <> OLD.one OR NEW.epoch <= OLD.epoch
BEGIN
    SELECT RAISE(ABORT, 'append-only: leader takes only a newer epoch');
END;

CREATE TRIGGER leader_refuses_insert BEFORE INSERT ON leader
BEGIN
    SELECT RAISE(ABORT, 'append-only: leader refuses INSERT');
END;

CREATE TRIGGER leader_refuses_delete BEFORE DELETE ON leader
BEGIN
    SELECT RAISE(ABORT, 'append-only: leader refuses DELETE');
END;
