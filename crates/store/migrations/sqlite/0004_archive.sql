-- Facts of closed periods may leave the ledger for an archive file, and nothing else may. What stays is a
-- hole in the chain: its bounds, the hash that it follows and the hash that it ends with. The archive's
-- document, which is a row of the chain, has the digest of all holes, so that what stays is proven
-- without the archive, and every row of the archive with it.
--
-- A hole is dug in the moment in which the document of its archive is the head of the chain. Holes that
-- touch each other are one.

CREATE TABLE hole (
    first_seq    INTEGER NOT NULL PRIMARY KEY CHECK (first_seq > 0),
    last_seq     INTEGER NOT NULL CHECK (last_seq >= first_seq),
    prev         TEXT    NOT NULL,
    hash         TEXT    NOT NULL,
    -- All use that is told in the hole ended before this instant.
    ended_before INTEGER NOT NULL,
    -- The row of the document that dug it, or widened it last.
    archive      INTEGER NOT NULL CHECK (archive > last_seq)
) STRICT;

-- Which objects are in archives, by a part of their digest, and the instant before which all was told of
-- them: what is told again is known. 'sealed' stands for the newest archive, 'forgotten' for those that
-- are so old that their objects are not listed any more. It is not covered by the hash chain.
CREATE TABLE archived_object (
    object TEXT    NOT NULL,
    until  INTEGER NOT NULL,
    PRIMARY KEY (object, until)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER hole_is_dug_by_an_archive BEFORE INSERT ON hole
WHEN NOT (
    (
        NEW.archive = (SELECT MAX(seq) FROM chain)
        AND EXISTS (SELECT 1 FROM document WHERE seq = NEW.archive AND kind = 'archive')
        AND NOT EXISTS (
            SELECT 1 FROM chain WHERE seq BETWEEN NEW.first_seq AND NEW.last_seq AND kind <> 'fact'
        )
        AND EXISTS (SELECT 1 FROM chain WHERE seq = NEW.last_seq + 1 AND prev = NEW.hash)
        AND (
            NEW.first_seq = 1
            OR EXISTS (SELECT 1 FROM chain WHERE seq = NEW.first_seq - 1 AND hash = NEW.prev)
        )
        AND NOT EXISTS (SELECT 1 FROM hole WHERE first_seq = NEW.first_seq)
    ) OR (
        -- or it comes along when a ledger is copied, behind the last row
        NEW.first_seq = (SELECT COALESCE(MAX(seq), 0) + 1 FROM chain)
        AND COALESCE((SELECT MAX(first_seq) FROM hole), 0) < NEW.first_seq
        AND NOT EXISTS (SELECT 1 FROM chain WHERE seq = NEW.first_seq - 1 AND hash <> NEW.prev)
    )
)
BEGIN
    SELECT RAISE(ABORT, 'append-only: hole takes only what an archive leaves');
END;

CREATE TRIGGER hole_refuses_update BEFORE UPDATE ON hole
BEGIN
    SELECT RAISE(ABORT, 'append-only: hole refuses UPDATE');
END;

CREATE TRIGGER hole_refuses_delete BEFORE DELETE ON hole
WHEN NOT EXISTS (
    SELECT 1 FROM document
    WHERE seq = (SELECT MAX(seq) FROM chain) AND kind = 'archive' AND seq > OLD.archive
)
BEGIN
    SELECT RAISE(ABORT, 'append-only: hole refuses DELETE');
END;

CREATE TRIGGER archived_object_refuses_update BEFORE UPDATE ON archived_object
BEGIN
    SELECT RAISE(ABORT, 'append-only: archived_object refuses UPDATE');
END;

CREATE TRIGGER archived_object_refuses_delete BEFORE DELETE ON archived_object
WHEN NOT EXISTS (
    SELECT 1 FROM document WHERE seq = (SELECT MAX(seq) FROM chain) AND kind = 'archive'
)
BEGIN
    SELECT RAISE(ABORT, 'append-only: archived_object refuses DELETE');
END;

-- What may leave: a fact within a hole.
DROP TRIGGER chain_refuses_delete;
CREATE TRIGGER chain_refuses_delete BEFORE DELETE ON chain
WHEN OLD.kind <> 'fact' OR OLD.seq > COALESCE(
    (SELECT last_seq FROM hole WHERE first_seq <= OLD.seq ORDER BY first_seq DESC LIMIT 1), 0
)
BEGIN
    SELECT RAISE(ABORT, 'append-only: chain refuses DELETE');
END;

DROP TRIGGER fact_refuses_delete;
CREATE TRIGGER fact_refuses_delete BEFORE DELETE ON fact
WHEN OLD.seq > COALESCE(
    (SELECT last_seq FROM hole WHERE first_seq <= OLD.seq ORDER BY first_seq DESC LIMIT 1), 0
)
BEGIN
    SELECT RAISE(ABORT, 'append-only: fact refuses DELETE');
END;

-- The end of the chain may be a hole, while a ledger is copied.
DROP TRIGGER chain_grows_at_its_end;
CREATE TRIGGER chain_grows_at_its_end BEFORE INSERT ON chain
WHEN NEW.seq <> 1 + MAX(
    COALESCE((SELECT MAX(seq) FROM chain), 0),
    COALESCE((SELECT last_seq FROM hole ORDER BY first_seq DESC LIMIT 1), 0)
)
BEGIN
    SELECT RAISE(ABORT, 'append-only: chain takes only the next sequence number');
END;

DROP TRIGGER chain_links_to_its_head;
CREATE TRIGGER chain_links_to_its_head BEFORE INSERT ON chain
WHEN EXISTS (SELECT 1 FROM chain WHERE seq = NEW.seq - 1 AND hash <> NEW.prev)
    OR EXISTS (
        SELECT 1 FROM hole
        WHERE first_seq = (SELECT MAX(first_seq) FROM hole)
            AND last_seq = NEW.seq - 1 AND hash <> NEW.prev
    )
BEGIN
    SELECT RAISE(ABORT, 'append-only: chain takes only a row that links to its head');
END;
