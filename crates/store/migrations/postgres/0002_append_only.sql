-- What was written stays. There are two walls: the role that the service runs as has no right to
-- anything but SELECT and INSERT on the tables of evidence (function admit below), and triggers
-- refuse UPDATE, DELETE and TRUNCATE to everybody, the owner of the tables included. Only the owner
-- can take a trigger away; the hash chain shows what was done then.
--
-- Triggers run once for a statement and look at all its rows together. Their functions have a fixed
-- path, so that no temporary table can stand in for one of the ledger's, and are kept from plans
-- that read a whole table: a plan is made once, when the tables may be small, and stays.

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'append-only: % refuses %', TG_TABLE_NAME, TG_OP;
END
$$;

CREATE TRIGGER chain_refuses_change BEFORE UPDATE OR DELETE OR TRUNCATE ON chain
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER fact_refuses_change BEFORE UPDATE OR DELETE OR TRUNCATE ON fact
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER document_refuses_change BEFORE UPDATE OR DELETE OR TRUNCATE ON document
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER entry_refuses_change BEFORE UPDATE OR DELETE OR TRUNCATE ON entry
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER posting_refuses_change BEFORE UPDATE OR DELETE OR TRUNCATE ON posting
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER meta_refuses_change BEFORE UPDATE OR DELETE OR TRUNCATE ON meta
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The rows of one statement follow the head of the chain and each other.
CREATE FUNCTION chain_grows_at_its_end() RETURNS trigger LANGUAGE plpgsql
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
    IF highest - lowest + 1 <> many THEN
        RAISE EXCEPTION 'append-only: chain takes only the next sequence number';
    END IF;
    IF lowest > 1 THEN
        SELECT hash INTO before FROM chain WHERE seq = lowest - 1;
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

CREATE TRIGGER chain_grows_at_its_end AFTER INSERT ON chain
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION chain_grows_at_its_end();

-- A body comes in the transaction that brings its row of the chain, never later. The argument is
-- the kind of the row.
CREATE FUNCTION belongs_to_its_row() RETURNS trigger LANGUAGE plpgsql
    SET search_path = leasehold, pg_temp
    SET enable_seqscan = off
    SET enable_hashjoin = off
    SET enable_mergejoin = off
AS $$
BEGIN
    IF EXISTS (
        SELECT 1 FROM added a WHERE NOT EXISTS (
            SELECT 1 FROM chain c WHERE c.seq = a.seq AND c.kind = TG_ARGV[0]
                AND c.xmin = pg_current_xact_id()::xid
        )
    ) THEN
        RAISE EXCEPTION 'append-only: % takes only what belongs to the head of the chain',
            TG_TABLE_NAME;
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION posting_belongs_to_its_row() RETURNS trigger LANGUAGE plpgsql
    SET search_path = leasehold, pg_temp
    SET enable_seqscan = off
    SET enable_hashjoin = off
    SET enable_mergejoin = off
AS $$
BEGIN
    IF EXISTS (
        SELECT 1 FROM added a WHERE NOT EXISTS (
            SELECT 1 FROM entry e WHERE e.seq = a.entry AND e.xmin = pg_current_xact_id()::xid
        )
    ) THEN
        RAISE EXCEPTION 'append-only: posting takes only what belongs to the head of the chain';
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER fact_belongs_to_the_head AFTER INSERT ON fact
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION belongs_to_its_row('fact');
CREATE TRIGGER document_belongs_to_the_head AFTER INSERT ON document
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION belongs_to_its_row('document');
CREATE TRIGGER entry_belongs_to_the_head AFTER INSERT ON entry
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION belongs_to_its_row('entry');
CREATE TRIGGER posting_belongs_to_the_head AFTER INSERT ON posting
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION posting_belongs_to_its_row();
