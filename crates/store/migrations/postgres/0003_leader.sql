-- Whose turn it is to write. Whoever opens the ledger for writing takes the next epoch; a row of an
-- older one is refused, so that a writer that was paused and woken again writes nothing after its
-- successor. Like inserted_at, the epoch of a row is not covered by the hash chain.
--
-- Every transaction that appends locks the one row of this table first. So appending goes one
-- transaction after the other, and what a transaction reads after the lock is what its predecessor
-- committed.

CREATE TABLE leader (
    one    BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
    epoch  BIGINT NOT NULL CHECK (epoch >= 0),
    holder TEXT COLLATE "C" NOT NULL
);

INSERT INTO leader (one, epoch, holder) VALUES (1, 0, 'nobody');

ALTER TABLE chain ADD COLUMN epoch BIGINT NOT NULL DEFAULT 0;

-- The lock is taken here as well, for whoever writes past the program: no row of an older epoch is
-- committed after a newer one was taken.
CREATE FUNCTION chain_refuses_older_epochs() RETURNS trigger LANGUAGE plpgsql
    SET search_path = leasehold, pg_temp
AS $$
DECLARE
    newest BIGINT;
BEGIN
    SELECT epoch INTO newest FROM leader WHERE one = 1 FOR SHARE;
    IF newest IS NULL OR EXISTS (SELECT 1 FROM added WHERE epoch <> newest) THEN
        RAISE EXCEPTION 'append-only: chain takes only rows of the newest epoch';
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER chain_refuses_older_epochs AFTER INSERT ON chain
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION chain_refuses_older_epochs();

CREATE FUNCTION leader_moves_on() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.one <> OLD.one OR NEW.epoch <= OLD.epoch THEN
        RAISE EXCEPTION 'append-only: leader takes only a newer epoch';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER leader_moves_on BEFORE UPDATE ON leader
    FOR EACH ROW EXECUTE FUNCTION leader_moves_on();
CREATE TRIGGER leader_refuses_change BEFORE INSERT OR DELETE OR TRUNCATE ON leader
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Gives a role what the service needs and takes everything else from it: it appends, moves the
-- cursors of the watches, and takes its turn.
CREATE FUNCTION admit_service(service TEXT) RETURNS VOID LANGUAGE plpgsql
    SET search_path = leasehold, pg_temp
AS $$
BEGIN
    EXECUTE format('REVOKE ALL ON SCHEMA leasehold FROM %I', service);
    EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA leasehold FROM %I', service);
    EXECUTE format('GRANT USAGE ON SCHEMA leasehold TO %I', service);
    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA leasehold TO %I', service);
    EXECUTE format('GRANT INSERT ON chain, fact, document, entry, posting, meta, cursor TO %I', service);
    EXECUTE format('GRANT UPDATE ON cursor, leader TO %I', service);
END
$$;

-- Gives a role what whoever reads the ledger needs: `leasehold verify`, `leasehold backup`.
CREATE FUNCTION admit_reader(reader TEXT) RETURNS VOID LANGUAGE plpgsql
    SET search_path = leasehold, pg_temp
AS $$
BEGIN
    EXECUTE format('REVOKE ALL ON SCHEMA leasehold FROM %I', reader);
    EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA leasehold FROM %I', reader);
    EXECUTE format('GRANT USAGE ON SCHEMA leasehold TO %I', reader);
    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA leasehold TO %I', reader);
END
$$;

REVOKE ALL ON FUNCTION admit_service(TEXT), admit_reader(TEXT) FROM PUBLIC;
