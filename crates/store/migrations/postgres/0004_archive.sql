-- Facts of closed periods may leave the ledger for an archive file, and nothing else may. What stays is a
-- hole in the chain: its bounds, the hash that it follows and the hash that it ends with. The archive's
-- document, which is a row of the chain, has the digest of all holes, so that what stays is proven
-- without the archive, and every row of the archive with it.
--
-- A hole is dug, and what it covers leaves, in the transaction that brings the document of its archive.
-- Holes that touch each other are one. The role that the service runs as has no right to delete; the
-- owner of the tables archives.

CREATE TABLE hole (
    first_seq    BIGINT NOT NULL PRIMARY KEY CHECK (first_seq > 0),
    last_seq     BIGINT NOT NULL CHECK (last_seq >= first_seq),
    prev         TEXT COLLATE "C" NOT NULL,
    hash         TEXT COLLATE "C" NOT NULL,
    -- All use that is told in the hole ended before this instant.
    ended_before BIGINT NOT NULL,
    -- The row of the document that dug it, or widened it last.
    archive      BIGINT NOT NULL CHECK (archive > last_seq)
);

-- Which objects are in archives, by a part of their digest, and the instant before which all was told of
-- them: what is told again is known. 'sealed' stands for the newest archive, 'forgotten' for those that
-- are so old that their objects are not listed any more. It is not covered by the hash chain.
CREATE TABLE archived_object (
    object TEXT COLLATE "C" NOT NULL,
    until  BIGINT NOT NULL,
    PRIMARY KEY (object, until)
);

-- Whether a document of an archive was written by this transaction, after row `since`.
CREATE FUNCTION is_archiving(since BIGINT) RETURNS BOOLEAN LANGUAGE plpgsql STABLE
    SET search_path = leasehold, pg_temp
    SET enable_seqscan = off
AS $$
BEGIN
    RETURN EXISTS (
        SELECT 1 FROM document d
        WHERE d.seq = (SELECT max(seq) FROM chain) AND d.kind = 'archive' AND d.seq > since
            AND d.xmin = pg_current_xact_id()::xid
    );
END
$$;

CREATE FUNCTION hole_is_dug_by_an_archive() RETURNS trigger LANGUAGE plpgsql
    SET search_path = leasehold, pg_temp
    SET enable_seqscan = off
    SET enable_hashjoin = off
    SET enable_mergejoin = off
AS $$
DECLARE
    head BIGINT;
BEGIN
    SELECT COALESCE(max(seq), 0) INTO head FROM chain;
    IF is_archiving(0) THEN
        IF NOT EXISTS (
            SELECT 1 FROM added a
            WHERE a.archive <> head
                OR EXISTS (
                    SELECT 1 FROM chain c
                    WHERE c.seq BETWEEN a.first_seq AND a.last_seq AND c.kind <> 'fact'
                )
                OR NOT EXISTS (
                    SELECT 1 FROM chain c WHERE c.seq = a.last_seq + 1 AND c.prev = a.hash
                )
                OR (a.first_seq > 1 AND NOT EXISTS (
                    SELECT 1 FROM chain c WHERE c.seq = a.first_seq - 1 AND c.hash = a.prev
                ))
        ) THEN
            RETURN NULL;
        END IF;
    -- or it comes along when a ledger is copied, behind the last row
    ELSIF NOT EXISTS (
        SELECT 1 FROM added a
        WHERE a.first_seq <> head + 1
            OR a.first_seq <> (SELECT max(h.first_seq) FROM hole h)
            OR EXISTS (SELECT 1 FROM chain c WHERE c.seq = head AND c.hash <> a.prev)
    ) THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION 'append-only: hole takes only what an archive leaves';
END
$$;

CREATE TRIGGER hole_is_dug_by_an_archive AFTER INSERT ON hole
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION hole_is_dug_by_an_archive();

CREATE FUNCTION hole_is_widened_by_an_archive() RETURNS trigger LANGUAGE plpgsql
    SET search_path = leasehold, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM gone) AND NOT is_archiving((SELECT max(archive) FROM gone)) THEN
        RAISE EXCEPTION 'append-only: hole refuses DELETE';
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER hole_is_widened_by_an_archive AFTER DELETE ON hole
    REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION hole_is_widened_by_an_archive();
CREATE TRIGGER hole_refuses_change BEFORE UPDATE OR TRUNCATE ON hole
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE FUNCTION archived_object_is_forgotten_by_an_archive() RETURNS trigger LANGUAGE plpgsql
    SET search_path = leasehold, pg_temp
AS $$
BEGIN
    IF NOT is_archiving(0) THEN
        RAISE EXCEPTION 'append-only: archived_object refuses DELETE';
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER archived_object_is_forgotten_by_an_archive BEFORE DELETE ON archived_object
    FOR EACH STATEMENT EXECUTE FUNCTION archived_object_is_forgotten_by_an_archive();
CREATE TRIGGER archived_object_refuses_change BEFORE UPDATE OR TRUNCATE ON archived_object
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- What may leave: facts within holes that this transaction dug. There are only facts in a hole.
CREATE FUNCTION leaves_for_an_archive() RETURNS trigger LANGUAGE plpgsql
    SET search_path = leasehold, pg_temp
    SET enable_seqscan = off
    SET enable_hashjoin = off
    SET enable_mergejoin = off
AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM gone) THEN
        RETURN NULL;
    END IF;
    IF NOT is_archiving(0) OR EXISTS (
        SELECT 1 FROM gone g
        WHERE g.seq > COALESCE((
            SELECT h.last_seq FROM hole h
            WHERE h.first_seq <= g.seq ORDER BY h.first_seq DESC LIMIT 1
        ), 0)
    ) THEN
        RAISE EXCEPTION 'append-only: % refuses DELETE', TG_TABLE_NAME;
    END IF;
    RETURN NULL;
END
$$;

DROP TRIGGER chain_refuses_change ON chain;
CREATE TRIGGER chain_refuses_change BEFORE UPDATE OR TRUNCATE ON chain
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER chain_leaves_for_an_archive AFTER DELETE ON chain
    REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION leaves_for_an_archive();

DROP TRIGGER fact_refuses_change ON fact;
CREATE TRIGGER fact_refuses_change BEFORE UPDATE OR TRUNCATE ON fact
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER fact_leaves_for_an_archive AFTER DELETE ON fact
    REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION leaves_for_an_archive();

-- The rows of one statement follow the head of the chain and each other. The end of the chain may be a
-- hole, while a ledger is copied; no row comes back into one.
CREATE OR REPLACE FUNCTION chain_grows_at_its_end() RETURNS trigger LANGUAGE plpgsql
    SET search_path = leasehold, pg_temp
    SET enable_seqscan = off
AS $$
DECLARE
    lowest    BIGINT;
    highest   BIGINT;
    many      BIGINT;
    links     BOOLEAN;
    before    TEXT;
    follows   TEXT;
BEGIN
    SELECT min(a.seq), max(a.seq), count(*), bool_and(a.before IS NULL OR a.before = a.prev)
        INTO lowest, highest, many, links
        FROM (SELECT seq, prev, lag(hash) OVER (ORDER BY seq) AS before FROM added) a;
    IF many = 0 THEN
        RETURN NULL;
    END IF;
    IF highest - lowest + 1 <> many
        OR highest <> (SELECT max(seq) FROM chain)
        OR lowest <= COALESCE((SELECT last_seq FROM hole ORDER BY first_seq DESC LIMIT 1), 0)
    THEN
        RAISE EXCEPTION 'append-only: chain takes only the next sequence number';
    END IF;
    IF lowest > 1 THEN
        SELECT hash INTO before FROM chain WHERE seq = lowest - 1;
        IF before IS NULL THEN
            SELECT h.hash INTO before
                FROM (SELECT last_seq, hash FROM hole ORDER BY first_seq DESC LIMIT 1) h
                WHERE h.last_seq = lowest - 1;
        END IF;
        IF before IS NULL THEN
            RAISE EXCEPTION 'append-only: chain takes only the next sequence number';
        END IF;
        SELECT prev INTO follows FROM chain WHERE seq = lowest;
        links := links AND before = follows;
    END IF;
    IF NOT links THEN
        RAISE EXCEPTION 'append-only: chain takes only a row that links to its head';
    END IF;
    RETURN NULL;
END
$$;

-- The rights of the new tables. Holes come along when a ledger is restored, with the service's role.
CREATE OR REPLACE FUNCTION admit_service(service TEXT) RETURNS VOID LANGUAGE plpgsql
    SET search_path = leasehold, pg_temp
AS $$
BEGIN
    EXECUTE format('REVOKE ALL ON SCHEMA leasehold FROM %I', service);
    EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA leasehold FROM %I', service);
    EXECUTE format('GRANT USAGE ON SCHEMA leasehold TO %I', service);
    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA leasehold TO %I', service);
    EXECUTE format('GRANT INSERT ON chain, fact, document, entry, posting, meta, cursor, hole, archived_object TO %I', service);
    EXECUTE format('GRANT UPDATE ON cursor, leader TO %I', service);
END
$$;

-- Roles that were let in before may do with the new tables what they may do with the chain.
DO $$
DECLARE
    held RECORD;
BEGIN
    FOR held IN
        SELECT r.rolname, a.privilege_type
        FROM pg_catalog.pg_class c, aclexplode(c.relacl) a, pg_catalog.pg_roles r
        WHERE c.oid = 'leasehold.chain'::regclass AND r.oid = a.grantee
            AND a.grantee <> c.relowner AND a.privilege_type IN ('SELECT', 'INSERT')
    LOOP
        EXECUTE format('GRANT %s ON leasehold.hole, leasehold.archived_object TO %I',
            held.privilege_type, held.rolname);
    END LOOP;
END
$$;
