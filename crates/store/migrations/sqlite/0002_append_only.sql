-- What was written stays. UPDATE and DELETE are refused by the database itself, so that neither a
-- bug nor a person with a SQL prompt changes history by accident; the hash chain shows what a
-- person with intent did. INSERT is held to the end of the chain, because INSERT OR REPLACE would
-- otherwise delete a row without running a DELETE trigger.

CREATE TRIGGER chain_refuses_update BEFORE UPDATE ON chain
BEGIN
    SELECT RAISE(ABORT, 'append-only: chain refuses UPDATE');
END;

CREATE TRIGGER chain_refuses_delete BEFORE DELETE ON chain
BEGIN
    SELECT RAISE(ABORT, 'append-only: chain refuses DELETE');
END;

CREATE TRIGGER fact_refuses_update BEFORE UPDATE ON fact
BEGIN
    SELECT RAISE(ABORT, 'append-only: fact refuses UPDATE');
END;

CREATE TRIGGER fact_refuses_delete BEFORE DELETE ON fact
BEGIN
    SELECT RAISE(ABORT, 'append-only: fact refuses DELETE');
END;

CREATE TRIGGER document_refuses_update BEFORE UPDATE ON document
BEGIN
    SELECT RAISE(ABORT, 'append-only: document refuses UPDATE');
END;

CREATE TRIGGER document_refuses_delete BEFORE DELETE ON document
BEGIN
    SELECT RAISE(ABORT, 'append-only: document refuses DELETE');
END;

CREATE TRIGGER entry_refuses_update BEFORE UPDATE ON entry
BEGIN
    SELECT RAISE(ABORT, 'append-only: entry refuses UPDATE');
END;

CREATE TRIGGER entry_refuses_delete BEFORE DELETE ON entry
BEGIN
    SELECT RAISE(ABORT, 'append-only: entry refuses DELETE');
END;

CREATE TRIGGER posting_refuses_update BEFORE UPDATE ON posting
BEGIN
    SELECT RAISE(ABORT, 'append-only: posting refuses UPDATE');
END;

CREATE TRIGGER posting_refuses_delete BEFORE DELETE ON posting
BEGIN
    SELECT RAISE(ABORT, 'append-only: posting refuses DELETE');
END;

CREATE TRIGGER meta_refuses_update BEFORE UPDATE ON meta
BEGIN
    SELECT RAISE(ABORT, 'append-only: meta refuses UPDATE');
END;

CREATE TRIGGER meta_refuses_delete BEFORE DELETE ON meta
BEGIN
    SELECT RAISE(ABORT, 'append-only: meta refuses DELETE');
END;

CREATE TRIGGER chain_grows_at_its_end BEFORE INSERT ON chain
WHEN NEW.seq <> (SELECT COALESCE(MAX(seq), 0) + 1 FROM chain)
BEGIN
    SELECT RAISE(ABORT, 'append-only: chain takes only the next sequence number');
END;

CREATE TRIGGER chain_links_to_its_head BEFORE INSERT ON chain
WHEN EXISTS (SELECT 1 FROM chain WHERE seq = NEW.seq - 1 AND hash <> NEW.prev)
BEGIN
    SELECT RAISE(ABORT, 'append-only: chain takes only a row that links to its head');
END;

CREATE TRIGGER chain_keeps_its_keys BEFORE INSERT ON chain
WHEN EXISTS (SELECT 1 FROM chain WHERE kind = NEW.kind AND key = NEW.key)
BEGIN
    SELECT RAISE(ABORT, 'append-only: chain has this key already');
END;

CREATE TRIGGER fact_belongs_to_the_head BEFORE INSERT ON fact
WHEN NEW.seq <> (SELECT COALESCE(MAX(seq), 0) FROM chain)
    OR EXISTS (SELECT 1 FROM fact WHERE seq = NEW.seq)
BEGIN
    SELECT RAISE(ABORT, 'append-only: fact takes only what belongs to the head of the chain');
END;

CREATE TRIGGER document_belongs_to_the_head BEFORE INSERT ON document
WHEN NEW.seq <> (SELECT COALESCE(MAX(seq), 0) FROM chain)
    OR EXISTS (SELECT 1 FROM document WHERE seq = NEW.seq OR (kind = NEW.kind AND key = NEW.key))
BEGIN
    SELECT RAISE(ABORT, 'append-only: document takes only what belongs to the head of the chain');
END;

CREATE TRIGGER entry_belongs_to_the_head BEFORE INSERT ON entry
WHEN NEW.seq <> (SELECT COALESCE(MAX(seq), 0) FROM chain)
    OR EXISTS (SELECT 1 FROM entry WHERE seq = NEW.seq OR id = NEW.id)
BEGIN
    SELECT RAISE(ABORT, 'append-only: entry takes only what belongs to the head of the chain');
END;

CREATE TRIGGER posting_belongs_to_the_head BEFORE INSERT ON posting
WHEN NEW.entry <> (SELECT COALESCE(MAX(seq), 0) FROM chain)
    OR EXISTS (SELECT 1 FROM posting WHERE entry = NEW.entry AND n = NEW.n)
BEGIN
    SELECT RAISE(ABORT, 'append-only: posting takes only what belongs to the head of the chain');
END;

CREATE TRIGGER meta_is_written_once BEFORE INSERT ON meta
WHEN EXISTS (SELECT 1 FROM meta WHERE name = NEW.name)
BEGIN
    SELECT RAISE(ABORT, 'append-only: meta has this name already');
END;
